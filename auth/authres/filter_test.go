package authres_test

import (
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/auth/authres"
)

func newFilter(t testing.TB, cfg authres.Config) *authres.Filter {
	t.Helper()
	f, err := authres.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestConfig(t *testing.T) {
	_, err := authres.New(authres.Config{ID: "a b", Also: []string{"", "ok.example"}, Upstream: []string{"[192.0.2.1]"}, Keep: []string{"*", "ok.example", "x..y"}})
	for _, want := range []string{`authres: ID "a b"`, `authres: Also[0] ""`, `authres: Upstream[0] "[192.0.2.1]"`, `authres: Keep[1] "x..y"`, `authres: "ok.example" is ours`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v has no %q", err, want)
		}
	}
	if _, err := authres.New(authres.Config{}); err == nil {
		t.Error("no ID is no error")
	}
}

func TestStrip(t *testing.T) {
	everything := newFilter(t, authres.Config{ID: "MX.bücher.example.", Also: []string{"old.example.org"}, Upstream: []string{"gateway.example.net"}, Keep: []string{"*"}})
	listed := newFilter(t, authres.Config{ID: "mx.xn--bcher-kva.example", Also: []string{"old.example.org"}, Upstream: []string{"gateway.example.net"}, Keep: []string{"friend.example"}})
	const result = "; dkim=pass header.d=bank.example"
	for _, tt := range []struct {
		name, value string
		want        string // who keeps it: "everything", "listed", "upstream", in this order
	}{
		{"ours", "mx.xn--bcher-kva.example" + result, ""},
		{"ours, of before", "old.example.org" + result, ""},
		{"in U-labels", "mx.bücher.example" + result, ""},
		{"in another case", "OLD.Example.ORG" + result, ""},
		{"with a dot at its end", "old.example.org." + result, ""},
		{"with a version", " old.example.org 1" + result, ""},
		{"with a version of the future", "old.example.org 2" + result, ""},
		{"in quotes", `"old.example.org"` + result, ""},
		{"in quotes, with spaces", `" old.example.org "` + result, ""},
		{"with quoted pairs", `"o\ld.exa\mple.org"` + result, ""},
		{"behind a comment", "(friend.example;) old.example.org" + result, ""},
		{"before a comment", "old.example.org(friend.example)" + result, ""},
		{"in a comment", "(old.example.org) friend.example" + result, ""},
		{"in a comment with more", "(by old.example.org, yes) friend.example" + result, ""},
		{"in pieces", "old .example.org" + result, ""},
		{"in pieces in quotes", `"old. example .org"` + result, ""},
		{"folded", "\r\n\told.example.org\r\n\t" + result, ""},
		{"folded in its middle", "old.exa\r\n mple.org" + result, ""},
		{"full-width", "ｏｌｄ.ｅxample.ｏrg" + result, ""},
		{"ideographic dots", "old。example。org" + result, ""},
		{"with a soft hyphen", "ol\u00add.example.org" + result, ""},
		{"with a zero-width joiner", "old.exam\u200dple.org" + result, ""},
		{"with a mark on a letter", "old.examp\u0325le.org" + result, ""},
		{"in bold letters", "𝐨𝐥𝐝.example.org" + result, ""},
		{"an encoded word", "=?utf-8?q?old=2Eexample=2Eorg?=" + result, ""},
		{"an encoded word in quotes", `"=?utf-8?b?b2xkLmV4YW1wbGUub3Jn?="` + result, ""},
		{"with a port", "old.example.org:25" + result, ""},
		{"with a path", "old.example.org/1" + result, ""},
		{"as an address", "x@old.example.org" + result, ""},
		{"no result at all", "old.example.org; none", ""},
		{"malformed behind", "old.example.org; dkim=pass (", ""},

		{"no authserv-id", "dkim=pass header.d=bank.example", ""},
		{"nothing", "", ""},
		{"another host, malformed", "friend.example; dkim=pass action=", ""},
		{"another id that is no name", `"a;b"` + result, ""},
		{"control characters", "friend.example\x00" + result, ""},
		{"not UTF-8", "friend.example\xff" + result, ""},
		{"a result of nobody's octets", "friend.example; dkim=\xff", ""},

		{"a friend", "friend.example" + result, "everything listed upstream"},
		{"a friend in another spelling", " (x) \"Friend.Example.\" 1 " + result, "everything listed upstream"},
		{"a stranger", "evil.example" + result, "everything"},
		{"a subdomain of ours", "x.old.example.org" + result, "everything"},
		{"a domain that begins like ours", "old.example.org.evil.example" + result, "everything"},
		{"a domain that ends like ours", "bold.example.org" + result, "everything"},
		{"ours in a value", "evil.example; spf=pass smtp.mailfrom=old.example.org", "everything"},

		{"the gateway", "gateway.example.net" + result, "upstream"},
		{"the gateway in another case", "GATEWAY.example.net" + result, "upstream"},
		{"the gateway in a comment", "(gateway.example.net) friend.example" + result, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var kept []string
			if !everything.Strip([]byte(tt.value)) {
				kept = append(kept, "everything")
			}
			if !listed.Strip([]byte(tt.value)) {
				kept = append(kept, "listed")
			}
			if !listed.StripFromUpstream([]byte(tt.value)) {
				kept = append(kept, "upstream")
			}
			if got := strings.Join(kept, " "); got != tt.want {
				t.Errorf("kept by %q, want %q", got, tt.want)
			}
		})
	}
	var zero authres.Filter
	if !zero.Strip([]byte("friend.example"+result)) || zero.Upstream([]string{"friend.example" + result}) != nil {
		t.Error("the zero Filter believes somebody")
	}
}

func TestUpstream(t *testing.T) {
	f := newFilter(t, authres.Config{ID: "mx.example.org", Upstream: []string{"gateway.example.net", "gw2.example.net"}})
	for _, tt := range []struct {
		name   string
		fields []string
		want   []string
	}{
		{"one", []string{"gateway.example.net; spf=pass; dmarc=fail"}, []string{`"gateway.example.net" 0; spf/0=pass; dmarc/0=fail`}},
		{"several on top", []string{"gateway.example.net; spf=pass", "GW2.example.net 1; dkim=pass"}, []string{`"gateway.example.net" 0; spf/0=pass`, `"GW2.example.net" 1; dkim/0=pass`}},
		{"one of the sender below", []string{"gateway.example.net; spf=fail", "x.example; none", "gateway.example.net; spf=pass"}, []string{`"gateway.example.net" 0; spf/0=fail`}},
		{"somebody else on top", []string{"x.example; none", "gateway.example.net; spf=pass"}, nil},
		{"a malformed one on top", []string{"gateway.example.net; spf", "gateway.example.net; spf=pass"}, nil},
		{"another version", []string{"gateway.example.net 2; spf=pass", "gateway.example.net; spf=fail"}, []string{`"gateway.example.net" 0; spf/0=fail`}},
		{"none", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, r := range f.Upstream(tt.fields) {
				got = append(got, text(r))
			}
			if strings.Join(got, "|") != strings.Join(tt.want, "|") {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// FuzzStrip asserts that nothing passes as ours for a reader who cuts at the
// first semicolon, takes out comments, quotes and white space, and ignores case.
func FuzzStrip(f *testing.F) {
	filter := newFilter(f, authres.Config{ID: "mx.example.org", Keep: []string{"*"}})
	f.Add("(x) mx.exam\r\n ple.org 1; none")
	f.Add("\"m\\x.example.org\"; none")
	f.Add("mx.example.org.evil.example; none")
	f.Fuzz(func(t *testing.T, value string) {
		if filter.Strip([]byte(value)) {
			return
		}
		r, err := authres.Parse(value)
		if err != nil {
			t.Fatalf("kept, though malformed: %v", err)
		}
		head, _, _ := strings.Cut(value, ";")
		bare := strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "", `"`, "", `\`, "", "(", "", ")", "").Replace(strings.ToLower(head))
		for _, name := range []string{bare, strings.ToLower(r.ID), strings.TrimRight(bare, "0123456789")} {
			if strings.Trim(name, ".") == "mx.example.org" {
				t.Fatalf("kept: %q", value)
			}
		}
	})
}
