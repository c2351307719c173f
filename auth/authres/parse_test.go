package authres_test

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/auth/authres"
)

// text writes results on one line: id, version, and each method with all it has.
func text(r authres.Results) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %d", r.ID, r.Version)
	for _, m := range r.Methods {
		fmt.Fprintf(&b, "; %s/%d=%s", m.Name, m.Version, m.Result)
		if m.Reason != "" {
			fmt.Fprintf(&b, " %q", m.Reason)
		}
		for _, p := range m.Properties {
			fmt.Fprintf(&b, " %s.%s=%q", p.Type, p.Name, p.Value)
		}
	}
	return b.String()
}

func TestParse(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		// RFC 8601, appendix B.
		{"B.2", " example.org 1; none\r\n", `"example.org" 1`},
		{"B.3", " example.com;\r\n\tspf=pass smtp.mailfrom=example.net\r\n", `"example.com" 0; spf/0=pass smtp.mailfrom="example.net"`},
		{"B.4", " example.com;\r\n auth=pass (cram-md5) smtp.auth=sender@example.net;\r\n spf=pass smtp.mailfrom=example.net", `"example.com" 0; auth/0=pass smtp.auth="sender@example.net"; spf/0=pass smtp.mailfrom="example.net"`},
		{"B.6", `example.com; dkim=pass reason="good signature" header.i=@mail-router.example.net; dkim=fail reason="bad signature" header.i=@newyork.example.com`,
			`"example.com" 0; dkim/0=pass "good signature" header.i="@mail-router.example.net"; dkim/0=fail "bad signature" header.i="@newyork.example.com"`},
		{"B.7", " foo.example.net (foobar) 1 (baz);\r\n dkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n policy (A dot can go here) . (like that) expired\r\n (this surprised me) = (as I wasn't expecting it) 1362471462",
			`"foo.example.net" 1; dkim/1=fail policy.expired="1362471462"`},

		{"comments in comments, with quoted pairs", `(a (b \) c) "d) e.example(f); (;) spf (;) = (=) pass (")`, `"e.example" 0; spf/0=pass`},
		{"a quoted authserv-id", "\"a b; \\\"c\" ; none", `"a b; \"c" 0`},
		{"a semicolon in quotes", `a.example; spf=pass reason="b; dkim=pass" smtp.mailfrom="c;d"`, `"a.example" 0; spf/0=pass "b; dkim=pass" smtp.mailfrom="c;d"`},
		{"a quoted local part", `a.example; spf=pass smtp.mailfrom="b c"@d.example`, `"a.example" 0; spf/0=pass smtp.mailfrom="b c@d.example"`},
		{"comments around a local part", `a.example; spf=pass smtp.mailfrom=(x) b (y) @d.example (z)`, `"a.example" 0; spf/0=pass smtp.mailfrom="b@d.example"`},
		{"a fold in quotes", "a.example; spf=fail reason=\"b\r\n\tc\"", `"a.example" 0; spf/0=fail "b\tc"`},
		{"case", "A.example; DKIM=PASS Header.D=B.example", `"A.example" 0; dkim/0=pass header.d="B.example"`},
		{"methods, results and types of nobody's", "a.example; x-y=perhaps x-z.w=1 body.x=y", `"a.example" 0; x-y/0=perhaps x-z.w="1" body.x="y"`},
		{"an empty value in quotes", `a.example; spf=pass smtp.mailfrom=""`, `"a.example" 0; spf/0=pass smtp.mailfrom=""`},
		{"U-labels", "bücher.example; dkim=pass header.d=bücher.example", `"bücher.example" 0; dkim/0=pass header.d="bücher.example"`},
		{"another version", "a.example 2; none", `"a.example" 2`},
		{"a method called none", "a.example; none=pass", `"a.example" 0; none/0=pass`},

		// Not legal, and common.
		{"a semicolon at the end", "a.example; spf=pass;\r\n", `"a.example" 0; spf/0=pass`},
		{"octets that need quotes", "a.example; dkim=pass header.b=ab/c+d==; iprev=pass policy.iprev=2001:db8::1 smtp.mailfrom=<b@c.example>", `"a.example" 0; dkim/0=pass header.b="ab/c+d=="; iprev/0=pass policy.iprev="2001:db8::1" smtp.mailfrom="<b@c.example>"`},
		{"an underscore", "a.example; dkim=perm_fail x_y.z_w=1", `"a.example" 0; dkim/0=perm_fail x_y.z_w="1"`},
		{"a reason behind", "a.example; dkim=fail header.d=b.example reason=c", `"a.example" 0; dkim/0=fail "c" header.d="b.example"`},
		{"Microsoft's", "mx.microsoft.com 1; spf=pass smtp.mailfrom=a.example; dmarc=fail (p=reject) action=oreject header.from=a.example; dkim=none; arc=none",
			`"mx.microsoft.com" 1; spf/0=pass smtp.mailfrom="a.example"; dmarc/0=fail header.from="a.example"; dkim/0=none; arc/0=none`},
		{"Fastmail's", "a.example; dkim=pass (2048-bit rsa key sha256) header.d=b.example x-bits=2048; bimi=skipped (no)", `"a.example" 0; dkim/0=pass header.d="b.example"; bimi/0=skipped`},
		{"folds without CR", "a.example;\n spf=pass\n", `"a.example" 0; spf/0=pass`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := authres.Parse(tt.value)
			if err != nil || text(got) != tt.want {
				t.Errorf("%v\ngot  %s\nwant %s", err, text(got), tt.want)
			}
		})
	}
	for _, bad := range []string{
		"", " ", ";", "a.example", "a.example;", "a.example 1", "a.example 0; none", "a.example x; none", "a.example 1 2; none", "a.example/1; none",
		"spf=pass smtp.mailfrom=b.example", "a@b; none", "a.example, b.example; none", `"a; none`, "a.example (; none", "a.example); none", "a.example\r\n; none",
		"a.example; none; none", "a.example; none; spf=pass", "a.example; spf=pass; none", "a.example;; spf=pass", "a.example; none x",
		"a.example; spf", "a.example; spf=", "a.example; spf=;", "a.example; =pass", "a.example; spf/=pass", "a.example; spf/0=pass", "a.example; spf/x=pass", "a.example; spf=pass/x", `a.example; spf=pass"x"`, "a.example; spf==pass",
		"a.example; spf=pass smtp", "a.example; spf=pass smtp.", "a.example; spf=pass smtp.mailfrom", "a.example; spf=pass smtp.mailfrom=", "a.example; spf=pass smtp.=x", "a.example; spf=pass .x=y", "a.example; spf=pass action=", "a.example; spf=pass action=none=x", "a.example; spf=pass =none", "a.example; spf=pass action=none; action",
		`a.example; spf=pass smtp.mailfrom="x`, `a.example; spf=pass smtp.mailfrom=x"y"`, "a.example; spf=pass smtp.mailfrom=x\\y", "a.example; spf=pass smtp.mailfrom=x @", "a.example; spf=pass smtp.mailfrom=x@",
		"a.example; spf=pass reason=a reason=b", "a.example; spf=pass reason=", "a.example; spf=pass (", "a.example; spf=pass smtp.x=\"a\x00\"", "a.example; spf=pass smtp.x=a\x01", "a.example; spf=pass smtp.x=a\xff", "a.example; spf=pass reason=\"\xff\"",
		"a.example; spf=pass\r\nX: y", "a.example; spf=pass\n\n dkim=pass", "a.example; none" + strings.Repeat(" ", 40000),
	} {
		if got, err := authres.Parse(bad); err == nil || !reflect.DeepEqual(got, authres.Results{}) {
			t.Errorf("%.60q: %s, %v", bad, text(got), err)
		}
	}
}

func TestFind(t *testing.T) {
	r, err := authres.Parse("a.example; dkim=fail header.d=b.example header.d=x; spf=pass; DKIM=pass header.d=c.example")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range r.Find("Dkim") {
		got = append(got, string(m.Result)+" "+m.Value("Header", "D")+m.Value("header", "i"))
	}
	if want := []string{"fail b.example", "pass c.example"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}

// TestHostile asserts that no field costs more than its size.
func TestHostile(t *testing.T) {
	filter := newFilter(t, authres.Config{ID: "mx.example.org", Keep: []string{"*"}})
	for _, piece := range []string{
		"(", "()", "\"", "a ", "; spf=pass", "; spf=pass smtp.x=y", " smtp.x=y", "=?utf-8?q?a?= ", "=?", "\ufdfa", "a.", "\\", "\r\n ", "\u0325",
	} {
		for _, head := range []string{"", "a.example", "a.example; spf=pass", "(", "\""} {
			value := []byte(head + strings.Repeat(piece, (32<<10-len(head))/len(piece)))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			filter.Strip(value)
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > 100*uint64(len(value)) {
				t.Errorf("%q and %q: %d KiB for %d", head, piece, got>>10, len(value)>>10)
			}
		}
	}
}
