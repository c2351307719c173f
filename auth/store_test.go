package auth

import (
	"strings"
	"testing"
)

func TestNormalLogin(t *testing.T) {
	for in, want := range map[string]string{
		"ann":                        "ann",
		"Ann@Example.ORG":            "ann@example.org",
		"ann@example.org.":           "ann@example.org",
		"ann@BÜCHER.example":         "ann@xn--bcher-kva.example",
		"ramo\u0301n":                "ram\u00f3n",
		"JÖRG@example.org":           "jörg@example.org",
		"a@b@Example.org":            "a@b@example.org",
		"DOMAIN\\ann":                "domain\\ann",
		"ann@[192.0.2.1]":            "ann@[192.0.2.1]",
		"ann@under_score.example":    "ann@under_score.example",
		"ann@-":                      "ann@-",
		strings.Repeat("x", 320):     strings.Repeat("x", 320),
		"":                           "",
		"\u00ad":                     "",
		"a\x00b":                     "",
		"a\r\nb":                     "",
		"\xff":                       "",
		"a\u202eb":                   "",
		strings.Repeat("x", 321):     "",
		strings.Repeat("\ufdfa", 11): "",
	} {
		got, err := NormalLogin(in)
		if got != want && want != "" || (err != nil) != (want == "") {
			t.Errorf("NormalLogin(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func FuzzNormalLogin(f *testing.F) {
	for _, s := range []string{"Ann@Example.ORG", "ramo\u0301n", "ann@BÜCHER.example", "İ@x.example", "\u00ad"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := NormalLogin(s)
		if err != nil {
			return
		}
		if again, err := NormalLogin(got); err != nil || again != got {
			t.Errorf("%q becomes %q, and that %q, %v", s, got, again, err)
		}
	})
}
