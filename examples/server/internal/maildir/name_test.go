package maildir

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestName(t *testing.T) {
	for in, want := range map[string]string{
		"ann":                        "ann",
		"Ann.O'Neill":                "ann.o%27neill",
		"":                           "%",
		".":                          "%2e",
		"..":                         "%2e.",
		"../../etc/passwd":           "%2e.%2f..%2fetc%2fpasswd",
		".Junk":                      "%2ejunk",
		"a/b":                        "a%2fb",
		`a\b`:                        "a%5cb",
		"a\x00b":                     "a%00b",
		"a%2fb":                      "a%252fb",
		"tmp":                        "%74mp",
		"NEW":                        "%6eew",
		"Grün":                       "gr%c3%bcn",
		"gru\u0308n":                 "gr%c3%bcn",
		"[IPv6:2001:db8::1]":         "%5bipv6%3a2001%3adb8%3a%3a1%5d",
		strings.Repeat("a", maxName): strings.Repeat("a", maxName),
		"postmaster":                 "postmaster",
	} {
		if got := Name(in); got != want {
			t.Errorf("Name(%q) = %q, want %q", in, got, want)
		}
	}
	a, b := Name(strings.Repeat("a", 300)), Name(strings.Repeat("a", 301))
	if a == b || len(a) != maxName || len(b) != maxName {
		t.Errorf("long names are %q and %q", a, b)
	}
}

func TestUser(t *testing.T) {
	for in, want := range map[string]string{"ann": "ann", "ann+lists": "ann", "ann+a+b": "ann", "+x": "+x", "": ""} {
		if got := User(in); got != want {
			t.Errorf("User(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"", ".", "..", "a/b", "tmp", "%", "%-", "Ü", "\xff", strings.Repeat("é", 150)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := Name(s)
		if n == "" || len(n) > maxName || n[0] == '.' || strings.ContainsAny(n, "/\\\x00") || filepath.Base(n) != n {
			t.Errorf("Name(%q) = %q", s, n)
		}
		if n == "tmp" || n == "new" || n == "cur" {
			t.Errorf("Name(%q) is a Maildir's own", s)
		}
		if n != strings.ToLower(n) {
			t.Errorf("Name(%q) = %q has capitals", s, n)
		}
	})
}
