package blocklist

import (
	"strings"
	"testing"
)

func TestPlainName(t *testing.T) {
	l63 := strings.Repeat("a", 63)
	for name, want := range map[string]bool{
		"mail.example.org":               true,
		"ylmf-pc":                        true,
		"_dmarc.a_b.r3---sn.example":     true,
		"1.2.0.192.in-addr.arpa":         true,
		"1-2":                            true,
		"0xcafe.example":                 true,
		l63 + ".example":                 true,
		strings.Repeat("a.", 126) + "a":  true,
		"":                               false,
		".":                              false,
		".example":                       false,
		"example.":                       false,
		"a..example":                     false,
		"-a.example":                     false,
		"a-.example":                     false,
		"Example":                        false,
		"a b":                            false,
		"bücher.example":                 false,
		"xn--bcher-kva.example":          false, // is, but only IDNA can tell
		"a.xn--b":                        false,
		"192.0.2.1":                      false,
		"a.0xcafe":                       false,
		l63 + "a.example":                false,
		strings.Repeat("a.", 126) + "aa": false,
	} {
		if got := plainName(name); got != want {
			t.Errorf("plainName(%.40q) = %v", name, got)
		}
	}
}

// plainName takes nothing for the normal form of a name that is not.
func FuzzPlainName(f *testing.F) {
	for _, s := range []string{"mail.example.org", "a-.example", "1.2.3.4", "0xcafe", "xn--a", "a..b", "A.example", "1_", "a.0x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, ok := (Query{Kind: Domain, Value: s}).normal(); plainName(s) && (!ok || n.Value != s) {
			t.Errorf("plainName(%q), whose normal form is %q, %v", s, n.Value, ok)
		}
	})
}
