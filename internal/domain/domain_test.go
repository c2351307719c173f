package domain

import (
	"net/netip"
	"strings"
	"testing"
)

func TestNormal(t *testing.T) {
	l63 := strings.Repeat("a", 63)
	for in, want := range map[string]string{
		"example.org":                    "example.org",
		"Example.ORG":                    "example.org",
		"example.org.":                   "example.org",
		"localhost":                      "localhost",
		"_dmarc.example.org":             "_dmarc.example.org",
		"r3---sn.example":                "r3---sn.example",
		"1.0.0.127.in-addr.arpa":         "1.0.0.127.in-addr.arpa",
		"0xcafe":                         "", // a number to inet_aton
		"0xcafe.example":                 "0xcafe.example",
		"0xcage":                         "0xcage",
		"bücher.example":                 "xn--bcher-kva.example",
		"BÜCHER.EXAMPLE.":                "xn--bcher-kva.example",
		"bu\u0308cher.example":           "xn--bcher-kva.example", // decomposed
		"XN--Bcher-KVA.example":          "xn--bcher-kva.example",
		"straße.example":                 "xn--strae-oqa.example", // not strasse: no transitional mapping
		"example。org":                    "example.org",           // UTS #46: the ideographic full stop is a dot
		"example.org。":                   "example.org",
		"exa\u00admple.org":              "example.org", // and a soft hyphen is nothing
		"\uff25xample.org":               "example.org",
		"a_b.bücher.example":             "a_b.xn--bcher-kva.example",
		"foo.xn--":                       "",
		"":                               "",
		".":                              "",
		".example.org":                   "",
		"example..org":                   "",
		"example.org..":                  "",
		"example.org。.":                  "",
		"-a.example":                     "",
		"a-.example":                     "",
		"*.example.org":                  "",
		"exam ple.org":                   "",
		"exam\x00ple.org":                "",
		"bü\x00cher.example":             "", // Punycode carries ASCII through
		"a@b.example":                    "",
		"a\uff20b.example":               "", // a full-width @ maps to one
		"a\uff05b.example":               "",
		"xn--example-.org":               "", // an A-label of nothing but ASCII
		"xn--.org":                       "",
		"xn--a.org":                      "",
		"\xff.example":                   "",
		"\u00ad.example":                 "",
		"א1a.example":                    "", // against the Bidi rule (RFC 5893)
		"127.0.0.1":                      "",
		"2130706433":                     "",
		"0x7f000001":                     "",
		"0x":                             "",
		"example.1":                      "",
		"[127.0.0.1]":                    "",
		"::1":                            "",
		l63 + ".example":                 l63 + ".example",
		l63 + "a.example":                "",
		strings.Repeat("ü", 60):          "", // its A-label is over 63
		strings.Repeat("a.", 126) + "a":  strings.Repeat("a.", 126) + "a",
		strings.Repeat("a.", 126) + "aa": "",
		strings.Repeat("ü", 100000):      "",
	} {
		got, err := Normal(in)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("Normal(%.60q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestLiteral(t *testing.T) {
	for in, want := range map[string]string{
		"[192.0.2.1]":             "192.0.2.1",
		"[IPv6:2001:db8::1]":      "2001:db8::1",
		"[ipv6:2001:DB8::1]":      "2001:db8::1",
		"[IPv6:::1]":              "::1",
		"[IPv6:::ffff:192.0.2.1]": "192.0.2.1",
		"[2001:db8::1]":           "", // the tag is required
		"[IPv6:192.0.2.1]":        "",
		"[IPv6:fe80::1%eth0]":     "",
		"[192.0.2.01]":            "",
		"[192.0.2]":               "",
		"[2130706433]":            "",
		"[192.0.2.1":              "",
		"192.0.2.1]":              "",
		"192.0.2.1":               "",
		"[[192.0.2.1]]":           "",
		"[ 192.0.2.1]":            "",
		"[]":                      "",
		"[":                       "",
		"":                        "",
		"[IPv6:]":                 "",
		"[x400:192.0.2.1]":        "",
		"example.org":             "",
	} {
		var addr netip.Addr
		if want != "" {
			addr = netip.MustParseAddr(want)
		}
		if got, ok := Literal(in); got != addr || ok != (want != "") {
			t.Errorf("Literal(%q) = %v, %v, want %q", in, got, ok, want)
		}
	}
}

func TestCompatible(t *testing.T) {
	if got := Compatible("a\uff05b\ufe6bc\uff20"); got != "a%b@c@" {
		t.Errorf("Compatible = %q", got)
	}
}

func FuzzNormal(f *testing.F) {
	for _, s := range []string{"Example.org.", "bücher.example", "xn--bcher-kva.example", "xn--.a", "[IPv6:::1]", "0x7f", "a。b", "xn--straße-.de", "א1.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := Normal(s)
		if err != nil {
			if n != "" {
				t.Fatalf("Normal(%q) = %q with error %v", s, n, err)
			}
			return
		}
		if again, err := Normal(n); again != n || err != nil {
			t.Errorf("Normal(%q) = %q, whose own normal form is %q, %v", s, n, again, err)
		}
		if len(n) > 253 || strings.Trim(n, ".") != n || strings.ToLower(n) != n || strings.ContainsAny(n, "@%!:;[]<>\x00 \t\r\n") {
			t.Errorf("Normal(%q) = %q", s, n)
		}
		for i := range len(n) {
			if n[i] >= 0x80 {
				t.Fatalf("Normal(%q) = %q", s, n)
			}
		}
		if _, err := netip.ParseAddr(n); err == nil {
			t.Errorf("Normal(%q) = %q, an address", s, n)
		}
	})
}
