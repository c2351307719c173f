package relay

import (
	"net/netip"
	"strings"
	"testing"
)

var (
	stranger = Client{Addr: netip.MustParseAddr("192.0.2.99")}
	loopback = Client{Addr: netip.MustParseAddr("127.0.0.1")}
	ann      = Client{Addr: netip.MustParseAddr("192.0.2.99"), Login: "ann", LoggedIn: true}
	bob      = Client{Addr: netip.MustParseAddr("192.0.2.99"), Login: "bob", LoggedIn: true}
	nameless = Client{LoggedIn: true}
	office   = Client{Addr: netip.MustParseAddr("198.51.100.7")}
	printer  = Client{Addr: netip.MustParseAddr("2001:db8::7")}
	mailer   = Client{Certificates: []string{"sha256:" + strings.Repeat("ab", 32), "dns:mailer.example.org"}}
)

// house is a site with something of everything.
func house(t testing.TB) *Relay {
	return mustNew(t, Rules{
		Local:   []string{"example.org", "*.example.org", "Bücher.example", "[192.0.2.25]", "[IPv6:2001:DB8::25]"},
		Relayed: []string{"example.net", "legacy.example.org", "*.dept.example.org"},
		Grants: []Grant{
			{Name: "staff", Logins: []string{"ann"}, To: []string{"*"}},
			{Name: "office", Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, To: []string{"*", "[203.0.113.1]"}},
			{Name: "printer", Networks: []netip.Prefix{netip.MustParsePrefix("2001:db8::/64")}, To: []string{"partner.example", "*.partner.example"}},
			{Certificates: []string{"dns:Mailer.example.org."}, To: []string{"partner.example"}},
			{Name: "bob on submission", Logins: []string{"bob"}, Listeners: []string{"submission"}, To: []string{"*"}},
		},
	})
}

func mustNew(t testing.TB, rules Rules) *Relay {
	t.Helper()
	r, err := New(rules)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDecide(t *testing.T) {
	r := house(t)
	bobSubmits := bob
	bobSubmits.Listener = "submission"
	mapped := Client{Addr: netip.MustParseAddr("::ffff:198.51.100.7")}
	zoned := Client{Addr: netip.MustParseAddr("2001:db8::7%eth0")}
	for _, tt := range []struct {
		name   string
		client Client
		rcpt   string
		kind   Kind
		rule   string
	}{
		{"our domain", stranger, "user@example.org", Local, "example.org"},
		{"in capitals", stranger, "User@EXAMPLE.Org", Local, "example.org"},
		{"with a trailing dot", stranger, "user@example.org.", Local, "example.org"},
		{"with a dot of another script", stranger, "user@example。org", Local, "example.org"},
		{"below it", stranger, "user@mail.example.org", Local, "*.example.org"},
		{"far below it", stranger, "user@a.b.c.example.org", Local, "*.example.org"},
		{"as U-label", stranger, "user@BÜCHER.example", Local, "Bücher.example"},
		{"as A-label", stranger, "user@xn--bcher-kva.EXAMPLE", Local, "Bücher.example"},
		{"not below what has no pattern", stranger, "user@mail.xn--bcher-kva.example", Refused, ""},
		{"our literal", stranger, "user@[192.0.2.25]", Local, "[192.0.2.25]"},
		{"our literal, IPv4-mapped", stranger, "user@[IPv6:::ffff:192.0.2.25]", Local, "[192.0.2.25]"},
		{"our literal, written out", stranger, "user@[ipv6:2001:db8:0:0:0:0:0:25]", Local, "[IPv6:2001:DB8::25]"},
		{"internationalized local part", stranger, "jörg@example.org", Local, "example.org"},
		{"tagged local part", stranger, "bounce+ann=example.com-42@example.org", Local, "example.org"},
		{"long local part", stranger, strings.Repeat("x", 100) + "@example.org", Local, "example.org"},

		{"relayed domain", stranger, "user@Example.Net.", Relayed, "example.net"},
		{"below it", stranger, "user@mail.example.net", Refused, ""},
		{"the longer entry counts", stranger, "user@legacy.example.org", Relayed, "legacy.example.org"},
		{"and the longer pattern", stranger, "user@a.dept.example.org", Relayed, "*.dept.example.org"},
		{"which is not for itself", stranger, "user@dept.example.org", Local, "*.example.org"},

		{"stranger to elsewhere", stranger, "user@foreign.example", Refused, ""},
		{"loopback is nobody", loopback, "user@foreign.example", Refused, ""},
		{"no address is in no network", Client{}, "user@foreign.example", Refused, ""},
		{"login", ann, "user@foreign.example", Outbound, "staff"},
		{"login not proven", Client{Login: "ann"}, "user@foreign.example", Refused, ""},
		{"login in other case", Client{Login: "Ann", LoggedIn: true}, "user@foreign.example", Refused, ""},
		{"login with nothing granted", bob, "user@foreign.example", Refused, ""},
		{"login without a name", nameless, "user@foreign.example", Refused, ""},
		{"on the right listener", bobSubmits, "user@foreign.example", Outbound, "bob on submission"},
		{"network", office, "user@foreign.example", Outbound, "office"},
		{"network, IPv4-mapped", mapped, "user@foreign.example", Outbound, "office"},
		{"pair", printer, "user@partner.example", Outbound, "printer"},
		{"pair, below", printer, "user@mx.partner.example", Outbound, "printer"},
		{"pair, elsewhere", printer, "user@foreign.example", Refused, ""},
		{"pair, address with a zone", zoned, "user@partner.example", Outbound, "printer"},
		{"certificate", mailer, "user@partner.example", Outbound, "Grants[3]"},
		{"certificate, elsewhere", mailer, "user@foreign.example", Refused, ""},
		{"who may send anywhere, to us", ann, "user@example.org", Local, "example.org"},

		{"percent hack", stranger, "user%foreign.example@example.org", Refused, ""},
		{"percent hack twice", stranger, "user%foreign.example%example.org@example.org", Refused, ""},
		{"percent hack at a relayed domain", stranger, "user%foreign.example@example.net", Refused, ""},
		{"percent hack at our literal", stranger, "user%foreign.example@[192.0.2.25]", Refused, ""},
		{"percent hack of a pair", printer, "user%foreign.example@partner.example", Refused, ""},
		{"percent hack to us by who may send anywhere", ann, "user%foreign.example@example.org", Local, "example.org"},
		{"percent-encoded @", stranger, "user%40foreign.example@example.org", Refused, ""},
		{"full-width percent", stranger, "user\uff05foreign.example@example.org", Refused, ""},
		{"bang path", stranger, "foreign.example!user@example.org", Refused, ""},
		{"bang path back to us", stranger, "example.org!foreign.example!user@example.org", Refused, ""},
		{"full-width bang", stranger, "foreign.example\uff01user@example.org", Refused, ""},
		{"quoted @", stranger, "user@foreign.example@example.org", Refused, ""},
		{"quoted @, reversed", stranger, "user@example.org@foreign.example", Refused, ""},
		{"full-width @", stranger, "user\uff20foreign.example@example.org", Refused, ""},
		{"full-width @ last", stranger, "user@example.org\uff20foreign.example", Refused, ""},
		{"small @", stranger, "user\ufe6bforeign.example@example.org", Refused, ""},
		{"source route within", stranger, "@foreign.example:user@example.org", Refused, ""},
		{"UUCP host", stranger, "foreign.example:user@example.org", Refused, ""},
		{"group", stranger, "list:user;@example.org", Refused, ""},
		{"comment", stranger, "user(foreign)@example.org", Refused, ""},
		{"brackets", stranger, "<user>@example.org", Refused, ""},
		{"space", stranger, "user name@example.org", Refused, ""},
		{"two addresses", stranger, "user,other@example.org", Refused, ""},
		{"quotes", stranger, `"user"@example.org`, Refused, ""},
		{"backslash", stranger, `user\@example.org`, Refused, ""},
		{"domain list", stranger, "user@example.org,foreign.example", Refused, ""},
		{"domain with port", stranger, "user@foreign.example:example.org", Refused, ""},
		{"domain with comment", stranger, "user@foreign.example(.example.org)", Refused, ""},
		{"domain with NUL", stranger, "user@foreign.example\x00.example.org", Refused, ""},
		{"domain that only ends alike", stranger, "user@notexample.org", Refused, ""},
		{"domain that only begins alike", stranger, "user@example.org.foreign.example", Refused, ""},
		{"empty label", stranger, "user@foreign..example.org", Refused, ""},
		{"two trailing dots", stranger, "user@example.org..", Refused, ""},
		{"leading dot", stranger, "user@.example.org", Refused, ""},
		{"A-label of nothing but ASCII", stranger, "user@xn--example-.org", Refused, ""},
		{"literal", stranger, "user@[127.0.0.1]", Refused, ""},
		{"IPv6 literal", stranger, "user@[IPv6:::1]", Refused, ""},
		{"bare address", stranger, "user@192.0.2.25", Refused, ""},
		{"bare number", stranger, "user@3221225985", Refused, ""},
		{"bare hexadecimal", stranger, "user@0xc0000219", Refused, ""},
		{"literal of another kind", stranger, "user@[x400:example.org]", Refused, ""},
		{"no local part", stranger, "@example.org", Refused, ""},
		{"no domain", stranger, "user@", Refused, ""},
		{"no @", stranger, "user", Refused, ""},
		{"nothing", stranger, "", Refused, ""},
		{"NUL", stranger, "us\x00er@example.org", Refused, ""},
		{"CR LF", stranger, "user\r\n@example.org", Refused, ""},
		{"DEL", stranger, "us\x7fer@example.org", Refused, ""},
		{"C1 control", stranger, "us\u0085er@example.org", Refused, ""},
		{"invalid UTF-8", stranger, "us\xffer@example.org", Refused, ""},
		{"over-long", stranger, strings.Repeat("x", 243) + "@example.org", Refused, ""},
		{"just not", stranger, strings.Repeat("x", 242) + "@example.org", Local, "example.org"},

		{"literal by who may send anywhere", ann, "user@[203.0.113.1]", Refused, ""},
		{"literal that the grant names", office, "user@[203.0.113.1]", Outbound, "office"},
		{"another literal", office, "user@[127.0.0.1]", Refused, ""},
		{"bare address by who may send anywhere", ann, "user@203.0.113.1", Refused, ""},
		{"NUL by who may send anywhere", ann, "us\x00er@foreign.example", Refused, ""},
		{"no local part by who may send anywhere", ann, "@foreign.example", Refused, ""},
		{"bang path by who may send anywhere", ann, "host!user@foreign.example", Outbound, "staff"},

		{"postmaster", stranger, "postmaster@example.org", Local, "example.org"},
		{"postmaster, bare", stranger, "Postmaster", Local, "postmaster"},
		{"postmaster elsewhere", stranger, "postmaster@foreign.example", Refused, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := r.Decide(tt.client, tt.rcpt)
			if d.Kind != tt.kind || d.Rule != tt.rule {
				t.Errorf("%q: %v by %q (%s), want %v by %q", tt.rcpt, d.Kind, d.Rule, d.Reason, tt.kind, tt.rule)
			}
			if (d.Kind == Refused) != (d.Reason != "") {
				t.Errorf("%q: %v with reason %q", tt.rcpt, d.Kind, d.Reason)
			}
		})
	}
}

func TestDecisionNamesTheFinalMailbox(t *testing.T) {
	r := house(t)
	for rcpt, want := range map[string]Decision{
		"User@BÜCHER.example.":              {LocalPart: "User", Domain: "xn--bcher-kva.example"},
		"user@foreign.example@Example.ORG":  {LocalPart: "user@foreign.example", Domain: "example.org"},
		"user@[ipv6:2001:db8:0:0:0:0:0:25]": {LocalPart: "user", Domain: "[IPv6:2001:db8::25]"},
		"user@[IPv6:::ffff:192.0.2.25]":     {LocalPart: "user", Domain: "[192.0.2.25]"},
		"postmaster":                        {LocalPart: "postmaster"},
	} {
		d := r.Decide(stranger, rcpt)
		if d.LocalPart != want.LocalPart || d.Domain != want.Domain {
			t.Errorf("%q: %q at %q, want %q at %q", rcpt, d.LocalPart, d.Domain, want.LocalPart, want.Domain)
		}
	}
	if got := r.Decide(stranger, "User@BÜCHER.example").Addr(); got != "User@xn--bcher-kva.example" {
		t.Errorf("Addr = %q", got)
	}
	if got := r.Decide(stranger, "postmaster").Addr(); got != "postmaster" {
		t.Errorf("Addr = %q", got)
	}
}

func TestZeroRulesRefuseEverything(t *testing.T) {
	for _, r := range []*Relay{new(Relay), mustNew(t, Rules{})} {
		for _, c := range []Client{{}, stranger, loopback, ann, nameless, office, mailer} {
			for _, rcpt := range []string{"user@example.org", "user@localhost", "user@[127.0.0.1]", "postmaster", "postmaster@example.org", ""} {
				if d := r.Decide(c, rcpt); d.Kind != Refused || d.Reason == "" {
					t.Errorf("%+v to %q: %+v", c, rcpt, d)
				}
			}
		}
	}
	if (Decision{}).Kind != Refused {
		t.Error("the zero Decision lets through")
	}
}

// Rules.LocalPart speaks of our own domains, and never of '@'.
func TestLocalPart(t *testing.T) {
	r := mustNew(t, Rules{Local: []string{"example.org"}, Relayed: []string{"example.net"}, LocalPart: "%! "})
	for rcpt, kind := range map[string]Kind{
		"a%b@example.org":   Local,
		"a!b@example.org":   Local,
		"a b@example.org":   Local,
		"a％b@example.org":   Local,
		"a:b@example.org":   Refused,
		"a%b!c@example.net": Refused,
		"a@b@example.org":   Refused,
		"a%b@c.example":     Refused,
	} {
		if d := r.Decide(stranger, rcpt); d.Kind != kind {
			t.Errorf("%q: %v (%s), want %v", rcpt, d.Kind, d.Reason, kind)
		}
	}
}

func TestAnyLogin(t *testing.T) {
	r := mustNew(t, Rules{Grants: []Grant{{Logins: []string{"*"}, To: []string{"*"}}}})
	for c, kind := range map[*Client]Kind{&ann: Outbound, &bob: Outbound, &nameless: Outbound, &stranger: Refused, {Login: "*"}: Refused} {
		if d := r.Decide(*c, "user@foreign.example"); d.Kind != kind {
			t.Errorf("%+v: %v, want %v", c, d.Kind, kind)
		}
	}
}

// FuzzDecide takes what a stranger got accepted apart by other means than
// Decide does, and looks for a domain that nobody listed.
func FuzzDecide(f *testing.F) {
	for _, s := range []string{
		"user@example.org", "user@EXAMPLE.org.", "a@b@example.org", "user%foreign@example.org", "foreign!user@example.net",
		"user@mail.example.org", "user@Bücher.example", "user@xn--bcher-kva.example", "user@[192.0.2.25]", "user@[IPv6:2001:db8::25]",
		"postmaster", "user@example.org,foreign", "user@foreign:example.org", "user\x00@example.org", "user＠foreign@example.org",
	} {
		f.Add(s)
	}
	r := house(f)
	f.Fuzz(func(t *testing.T, rcpt string) {
		d := r.Decide(stranger, rcpt)
		if d.Kind == Refused {
			if d.Reason == "" || d.Rule != "" {
				t.Errorf("%q refused by %q because of %q", rcpt, d.Rule, d.Reason)
			}
			return
		}
		if d.Kind == Outbound {
			t.Fatalf("%q: a stranger sent elsewhere, by %q", rcpt, d.Rule)
		}
		if strings.ToLower(rcpt) == "postmaster" {
			return
		}
		// Exactly one '@' means that whoever splits it anywhere finds the same domain.
		parts := strings.Split(rcpt, "@")
		if len(parts) != 2 || parts[0] != d.LocalPart || strings.ContainsAny(parts[0], tricky+"\x00\r\n\t") {
			t.Fatalf("%q accepted as %+v", rcpt, d)
		}
		name := strings.ToLower(strings.TrimSuffix(parts[1], "."))
		ours := func(name string) bool {
			switch name {
			case "example.org", "example.net", "xn--bcher-kva.example", "[192.0.2.25]", "[ipv6:2001:db8::25]":
				return true
			}
			return strings.HasSuffix(name, ".example.org")
		}
		if !ours(strings.ToLower(d.Domain)) {
			t.Fatalf("%q accepted, at %q", rcpt, d.Domain)
		}
		for i := range len(name) {
			if name[i] >= 0x80 {
				return // needs the mapping, which has a fuzz test of its own
			}
		}
		if name[0] != '[' && !ours(name) {
			t.Fatalf("%q accepted by %q, whose domain reads %q", rcpt, d.Rule, name)
		}
	})
}
