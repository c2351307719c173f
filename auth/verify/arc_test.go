package verify_test

import (
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/auth/arc"
	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/verify"
)

// What a trusted list says counts where it has changed the message; what others
// say does not.
func TestSealers(t *testing.T) {
	w := &world{txt: map[string]string{"_dmarc.example.com": "v=DMARC1; p=reject"}}
	k := w.key(t, "lists.example.net")
	v, err := arc.New(arc.Config{Resolver: w})
	if err != nil {
		t.Fatal(err)
	}
	s, err := arc.NewSealer(arc.SealConfig{})
	if err != nil {
		t.Fatal(err)
	}
	seal := func(results string) string {
		chain, err := v.Validate(t.Context(), strings.NewReader(letter))
		if err != nil {
			t.Fatal(err)
		}
		fields, err := s.Seal(t.Context(), strings.NewReader(letter), chain, results, arc.Key{Domain: k.Domain, Selector: k.Selector, Private: k.Private})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(fields, "") + letter
	}
	good := seal("lists.example.net; arc=none; dmarc=pass header.from=example.com")
	for _, tt := range []struct {
		name    string
		sealers []string
		message string
		code    string
	}{
		{"trusted", []string{"lists.example.net"}, good, ""},
		{"trusted with all its kin", []string{"*.example.net"}, good, ""},
		{"not trusted", []string{"lists.example.org"}, good, "550 5.7.26"},
		{"nobody is", nil, good, "550 5.7.26"},
		{"changed after", []string{"lists.example.net"}, good + "more\r\n", "550 5.7.26"},
		{"it failed there", []string{"lists.example.net"}, seal("lists.example.net; arc=none; dmarc=fail header.from=example.com"), "550 5.7.26"},
		{"another author passed", []string{"lists.example.net"}, seal("lists.example.net; arc=none; dmarc=pass header.from=evil.example"), "550 5.7.26"},
		{"no DMARC there", []string{"lists.example.net"}, seal("lists.example.net; arc=none; spf=pass"), "550 5.7.26"},
		{"no results that parse", []string{"lists.example.net"}, seal("lists.example.net; dmarc=pass =;"), "550 5.7.26"},
	} {
		s := newSite(t, verify.Config{Resolver: w, Sealers: tt.sealers})
		if err := s.send("list@lists.example.net", tt.message); code(err) != tt.code {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if tt.code != "" {
			continue
		}
		got, _, r := s.taken()
		if r.DMARC.Result != dmarc.Fail || r.DMARC.ARC == nil || !r.DMARC.ARC.Passed || !strings.Contains(got, "arc=pass") {
			t.Errorf("%s: %+v\n%s", tt.name, r.DMARC, got)
		}
	}
}
