package limiter

import (
	"net/netip"
	"strings"
	"testing"
)

func TestBits(t *testing.T) {
	for _, tt := range []struct {
		bits Bits
		addr string
		want string
	}{
		{Bits{}, "192.0.2.77", "192.0.2.77/32"},
		{Bits{}, "::ffff:192.0.2.77", "192.0.2.77/32"},
		{Bits{}, "2001:db8:1:2:3::4", "2001:db8:1:2::/64"},
		{Bits{}, "fe80::1%eth0", "fe80::/64"},
		{Bits{V4: 24, V6: 48}, "192.0.2.77", "192.0.2.0/24"},
		{Bits{V4: 24, V6: 48}, "2001:db8:1:2:3::4", "2001:db8:1::/48"},
		{Bits{V6: 128}, "2001:db8::1", "2001:db8::1/128"},
		{Bits{}, "", "unknown"},
	} {
		var addr netip.Addr
		if tt.addr != "" {
			addr = netip.MustParseAddr(tt.addr)
		}
		if got := network(tt.bits.of(addr)); got != tt.want {
			t.Errorf("%v of %s: %s, want %s", tt.bits, tt.addr, got, tt.want)
		}
	}
}

func TestMailbox(t *testing.T) {
	for addr, want := range map[string]string{
		"Ann@Example.ORG.":            "ann@example.org",
		"ann@BÜCHER.example":          "ann@xn--bcher-kva.example",
		"x@y@Example.org":             "x@y@example.org",
		"ann@[192.0.2.1]":             "ann@[192.0.2.1]",
		"Postmaster":                  "postmaster",
		"ann@" + "bad domain.Example": "ann@bad domain.example",
	} {
		if got := mailbox(addr); got != want {
			t.Errorf("%q: %q, want %q", addr, got, want)
		}
	}
}

// FuzzPart: whatever a client says, a key stays short and of one piece, and what
// is said differently is told apart.
func FuzzPart(f *testing.F) {
	for _, s := range []string{"", "ann", "ann@example.org", "a/b", "a+b=c", "#hash", "\x00\r\n", "jörg", strings.Repeat("x", 64), strings.Repeat("x", 65), "\xff"} {
		f.Add(s, s+"x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		p, q := part(a), part(b)
		if len(p) > maxPart || p == "" {
			t.Errorf("%q makes %q", a, p)
		}
		hashed := strings.HasPrefix(p, "#")
		if strings.ContainsAny(p, "/+= \r\n") || strings.Contains(p[1:], "#") || !hashed && p != a {
			t.Errorf("%q makes %q", a, p)
		}
		if (p == q) != (a == b) {
			t.Errorf("%q and %q make %q and %q", a, b, p, q)
		}
		if m := mailbox(a); m != mailbox(m) {
			t.Errorf("%q makes the mailbox %q, which makes %q", a, m, mailbox(m))
		}
	})
}
