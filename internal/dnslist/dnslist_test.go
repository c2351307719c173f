package dnslist

import (
	"net/netip"
	"strings"
	"testing"
)

func TestAppendAddr(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.99":                "99.2.0.192",
		"2001:db8:1:2:3:4:567:89ab": "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2",
		"::ffff:127.0.0.2":          "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0",
	} {
		if got := string(AppendAddr([]byte("x:"), netip.MustParseAddr(addr))); got != "x:"+want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	if got := AppendAddr(nil, netip.Addr{}); len(got) != 0 {
		t.Errorf("the zero Addr: %q", got)
	}
}

func TestHide(t *testing.T) {
	for _, tt := range []struct{ text, secret, want string }{
		{"a KEY b key.c kEy", "key", "a *** b ***.c ***"},
		{"nothing", "key", "nothing"},
		{"keykeykey", "key", "*********"},
		{"ke", "key", "ke"},
		{"all", "", "all"},
		{"\u212aey", "key", "\u212aey"}, // the Kelvin sign is no letter of a name
		{"kekey", "key", "ke***"},
	} {
		if got := Hide(tt.text, tt.secret); got != tt.want {
			t.Errorf("%q without %q: %q, want %q", tt.text, tt.secret, got, tt.want)
		}
	}
}

func FuzzHide(f *testing.F) {
	f.Add("a KEY b", "key")
	f.Add("aaa", "aa")
	f.Fuzz(func(t *testing.T, text, secret string) {
		secret = strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return -1
		}, strings.ToLower(secret))
		if got := Hide(text, secret); secret != "" && strings.Contains(strings.ToLower(strings.ToValidUTF8(got, "?")), secret) && !strings.Contains(got, "\u212a") {
			t.Errorf("%q is in %q", secret, got)
		}
	})
}

func FuzzPattern(f *testing.F) {
	for _, s := range []string{"127.0.0.2", "127.0.0.4-7", "127.0.*.3", "127.0.0.&8", "127.0.2-20.1", "127..0.1", "127.0.0.256", "0.0.0.0"} {
		f.Add(s, []byte{127, 0, 0, 8})
	}
	f.Fuzz(func(t *testing.T, s string, a []byte) {
		p, err := ParsePattern(s)
		if err != nil || len(a) < 4 {
			return
		}
		b := [4]byte(a)
		if p.fits(b) && b[0] != 127 {
			t.Errorf("%q fits %v", s, b)
		}
		if p.single() && p.fits(b) && b != p.low {
			t.Errorf("%q is single, and fits %v", s, b)
		}
	})
}
