package relay

import (
	"net/netip"
	"strings"
	"testing"
)

func TestNewNamesTheEntry(t *testing.T) {
	to := []string{"*"}
	logins := []string{"ann"}
	for _, tt := range []struct {
		name  string
		rules Rules
		want  []string // all of them in the error
	}{
		{"no domain", Rules{Local: []string{"example.org", "exam ple.org"}}, []string{`Local[1] "exam ple.org"`}},
		{"everybody's", Rules{Local: []string{"*"}}, []string{`Local[0] "*"`, "open relay"}},
		{"relayed, everybody's", Rules{Relayed: []string{"*"}}, []string{`Relayed[0] "*"`, "open relay"}},
		{"nothing below", Rules{Local: []string{"*."}}, []string{`Local[0] "*."`}},
		{"star within", Rules{Local: []string{"a.*.example.org"}}, []string{`Local[0]`}},
		{"leading dot", Rules{Local: []string{".example.org"}}, []string{`Local[0]`, `"*.example.org"`}},
		{"below a literal", Rules{Local: []string{"*.[192.0.2.1]"}}, []string{`Local[0]`}},
		{"bare address", Rules{Local: []string{"192.0.2.1"}}, []string{`Local[0]`}},
		{"empty", Rules{Relayed: []string{""}}, []string{`Relayed[0] ""`}},
		{"both", Rules{Local: []string{"Example.org"}, Relayed: []string{"example.org."}}, []string{`Relayed[0] "example.org."`, `local as "Example.org"`}},
		{"no network", Rules{Grants: []Grant{{Networks: make([]netip.Prefix, 1), To: to}}}, []string{"Grants[0]", "Networks[0]"}},
		{"all of IPv4", Rules{Grants: []Grant{{Networks: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, To: to}}}, []string{"Networks[0] 0.0.0.0/0", "open relay"}},
		{"all of IPv6", Rules{Grants: []Grant{{Networks: []netip.Prefix{netip.MustParsePrefix("::/0")}, To: to}}}, []string{"Networks[0] ::/0", "open relay"}},
		{"all of IPv4, mapped", Rules{Grants: []Grant{{Networks: []netip.Prefix{netip.MustParsePrefix("::ffff:0:0/96")}, To: to}}}, []string{"Networks[0]", "open relay"}},
		{"nobody", Rules{Grants: []Grant{{Name: "staff", To: to}}}, []string{"staff", "fits nobody"}},
		{"a listener alone", Rules{Grants: []Grant{{Listeners: []string{"submission"}, To: to}}}, []string{"fits nobody"}},
		{"nowhere", Rules{Grants: []Grant{{Name: "staff", Logins: logins}}}, []string{"staff", "To: is empty"}},
		{"no destination", Rules{Grants: []Grant{{Logins: logins, To: []string{"a..b"}}}}, []string{`To[0] "a..b"`}},
		{"empty login", Rules{Grants: []Grant{{Logins: []string{""}, To: to}}}, []string{"Logins[0]"}},
		{"short fingerprint", Rules{Grants: []Grant{{Certificates: []string{"sha256:abcd"}, To: to}}}, []string{`Certificates[0] "sha256:abcd"`}},
		{"wildcard certificate", Rules{Grants: []Grant{{Certificates: []string{"dns:*.example.org"}, To: to}}}, []string{"Certificates[0]"}},
		{"no mailbox", Rules{Grants: []Grant{{Certificates: []string{"email:example.org"}, To: to}}}, []string{"Certificates[0]"}},
		{"relative URI", Rules{Grants: []Grant{{Certificates: []string{"uri:/x"}, To: to}}}, []string{"Certificates[0]"}},
		{"empty subject", Rules{Grants: []Grant{{Certificates: []string{"subject:"}, To: to}}}, []string{"Certificates[0]"}},
		{"certificate of no kind", Rules{Grants: []Grant{{Certificates: []string{"mailer"}, To: to}}}, []string{"Certificates[0]"}},
		{"@ in local parts", Rules{LocalPart: "%@"}, []string{"LocalPart", "'@'"}},
		{"cache", Rules{Cache: Cache{Entries: -1}}, []string{"Cache.Entries"}},
		{"all at once", Rules{Local: []string{"*"}, Relayed: []string{"-"}, LocalPart: "x"}, []string{"Local[0]", "Relayed[0]", "LocalPart"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := New(tt.rules)
			if err == nil || r != nil {
				t.Fatalf("New = %v, %v", r, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not name %q", err, want)
				}
			}
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, "relay: ") {
					t.Errorf("%q has no prefix", line)
				}
			}
		})
	}
}

// New compiles a copy: what the operator does to his Rules later changes nothing.
func TestNewCopies(t *testing.T) {
	rules := Rules{Grants: []Grant{{Logins: []string{"bob"}, Listeners: []string{"mx"}, To: []string{"*"}}}}
	r := mustNew(t, rules)
	rules.Grants[0].Listeners[0] = ""
	rules.Grants[0].Logins[0] = "ann"
	for _, c := range []Client{ann, bob} {
		if d := r.Decide(c, "user@foreign.example"); d.Kind != Refused {
			t.Errorf("%+v: %v by %s", c, d.Kind, d.Rule)
		}
	}
}
