package blocklist

import (
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"
)

var sha = strings.Repeat("0a", 32)

func TestNormalEntry(t *testing.T) {
	for _, tt := range []struct {
		kind     Kind
		in, want string // "" is an error
		rank     int
	}{
		{Addr, "192.0.2.1", "192.0.2.1", 32},
		{Addr, "192.0.2.1/32", "192.0.2.1", 32},
		{Addr, "192.0.2.77/24", "192.0.2.0/24", 24},
		{Addr, "::ffff:192.0.2.1", "192.0.2.1", 32},
		{Addr, "::ffff:192.0.2.0/120", "192.0.2.0/24", 24},
		{Addr, "::ffff:0:0/96", "", 0},
		{Addr, "::ffff:0:0/95", "::fffe:0:0/95", 95},
		{Addr, "2001:DB8:0::1/64", "2001:db8::/64", 64},
		{Addr, "2001:db8::1", "2001:db8::1", 128},
		{Addr, "fe80::1%eth0", "", 0},
		{Addr, "fe80::1%eth0/64", "", 0},
		{Addr, "0.0.0.0/0", "", 0},
		{Addr, "::/0", "", 0},
		{Addr, "0.0.0.0/1", "0.0.0.0/1", 1},
		{Addr, "192.0.2.1/33", "", 0},
		{Addr, "192.0.2.01", "", 0},
		{Addr, "192.0.2", "", 0},
		{Addr, "", "", 0},
		{Domain, "Example.ORG.", "example.org", 5},
		{Domain, "*.bücher.example", "*.xn--bcher-kva.example", 4},
		{Domain, ".example.org", ".example.org", 4},
		{Domain, "org", "org", 3},
		{Domain, "*.org", "*.org", 2},
		{Domain, "*", "", 0},
		{Domain, ".", "", 0},
		{Domain, "*.*.org", "", 0},
		{Domain, "..org", "", 0},
		{Domain, "[192.0.2.1]", "", 0},
		{Domain, "ann@example.org", "", 0},
		{Hello, "[192.0.2.1]", "192.0.2.1", 1},
		{Hello, "[IPv6:2001:DB8::1]", "2001:db8::1", 1},
		{Hello, "192.0.2.1", "192.0.2.1", 1},
		{Hello, "*.Dyn.example", "*.dyn.example", 4},
		{Hello, "ylmf-pc", "ylmf-pc", 3},
		{Hello, "", "", 0},
		{Mailbox, "Ann@Example.ORG", "ann@example.org", 3},
		{Mailbox, "@Example.ORG.", "@example.org", 2},
		{Mailbox, "Ann@", "ann@", 1},
		{Mailbox, "a@b@example.org", "a@b@example.org", 3},
		{Mailbox, "ＡＮＮ@example.org", "ann@example.org", 3},
		{Mailbox, "ann@[192.0.2.1]", "ann@[192.0.2.1]", 3},
		{Mailbox, "@", "", 0},
		{Mailbox, "", "", 0},
		{Mailbox, "ann", "", 0},
		{Mailbox, "a\nnn@example.org", "", 0},
		{Mailbox, "a\xff@example.org", "", 0},
		{Mailbox, strings.Repeat("a", 254) + "@", "", 0},
		{Mailbox, strings.Repeat("\ufdfa", 50) + "@", "", 0}, // 18 characters each, once normal
		{Fingerprint, sha, sha, 1},
		{Fingerprint, "SHA256:" + strings.ToUpper(sha), sha, 1},
		{Fingerprint, strings.Repeat("0A:", 31) + "0a", sha, 1},
		{Fingerprint, sha[1:], "", 0},
		{Fingerprint, sha[1:] + "g", "", 0},
		{0, "example.org", "", 0},
		{Fingerprint + 1, "example.org", "", 0},
	} {
		e, err := Entry{Kind: tt.kind, Value: tt.in, Word: Block}.normal()
		if (err != nil) != (tt.want == "") || err == nil && e.Value != tt.want {
			t.Errorf("%v %q: %q, %v, want %q", tt.kind, tt.in, e.Value, err, tt.want)
		} else if err == nil && e.rank() != tt.rank {
			t.Errorf("%v %q: rank %d, want %d", tt.kind, tt.in, e.rank(), tt.rank)
		}
	}
	for _, w := range []Word{None, Allow + 1} {
		if _, err := (Entry{Kind: Domain, Value: "example.org", Word: w}).normal(); err == nil {
			t.Errorf("word %v is fine", w)
		}
	}
	e, err := Entry{Kind: Domain, Value: "example.org", Word: Block, Reason: "a\r\nb" + strings.Repeat("ü", 300)}.normal()
	if err != nil || !strings.HasPrefix(e.Reason, "a  bü") || len(e.Reason) > maxNote || !utf8.ValidString(e.Reason) {
		t.Errorf("%q, %v", e.Reason, err)
	}
}

func TestNormalQuery(t *testing.T) {
	for _, tt := range []struct {
		q    Query
		want Query
		ok   bool
	}{
		{Query{Kind: Addr, Addr: netip.MustParseAddr("::ffff:192.0.2.1")}, Query{Kind: Addr, Addr: netip.MustParseAddr("192.0.2.1")}, true},
		{Query{Kind: Addr, Addr: netip.MustParseAddr("fe80::1%eth0")}, Query{Kind: Addr, Addr: netip.MustParseAddr("fe80::1")}, true},
		{q: Query{Kind: Addr}},
		{Query{Kind: Domain, Value: "EXAMPLE.org."}, Query{Kind: Domain, Value: "example.org"}, true},
		{q: Query{Kind: Domain, Value: "*.example.org"}},
		{q: Query{Kind: Domain, Value: ".example.org"}},
		{Query{Kind: Hello, Value: "[IPv6:::1]"}, Query{Kind: Hello, Value: "::1"}, true},
		{q: Query{Kind: Hello, Value: "*.example.org"}},
		{Query{Kind: Mailbox, Value: "ANN@example.org"}, Query{Kind: Mailbox, Value: "ann@example.org"}, true},
		{q: Query{Kind: Mailbox, Value: "@example.org"}},
		{q: Query{Kind: Mailbox, Value: "ann@"}},
		{q: Query{Kind: Mailbox, Value: ""}},
		{Query{Kind: Fingerprint, Value: strings.ToUpper(sha)}, Query{Kind: Fingerprint, Value: sha}, true},
		{q: Query{}},
	} {
		if n, ok := tt.q.normal(); ok != tt.ok || ok && n != tt.want {
			t.Errorf("%+v: %+v, %v, want %+v, %v", tt.q, n, ok, tt.want, tt.ok)
		}
	}
}

// What is written in lower case, as most of what arrives is, costs nothing.
func TestNormalQueryDoesNotAllocate(t *testing.T) {
	for _, q := range []Query{
		{Kind: Addr, Addr: netip.MustParseAddr("2001:db8::1")},
		{Kind: Domain, Value: "mail.example.org"},
		{Kind: Hello, Value: "mail.example.org"},
		{Kind: Mailbox, Value: "ann@example.org"},
		{Kind: Fingerprint, Value: sha},
	} {
		if n := testing.AllocsPerRun(100, func() { q.normal() }); n > 0 {
			t.Errorf("%v: %v allocations", q.Kind, n)
		}
	}
}

func FuzzNormalEntry(f *testing.F) {
	for k, s := range map[Kind]string{Addr: "::ffff:192.0.2.0/120", Domain: "*.bücher.example", Hello: "[IPv6:::1]", Mailbox: "İ@example.org", Fingerprint: sha} {
		f.Add(uint8(k), s)
	}
	f.Fuzz(func(t *testing.T, kind uint8, s string) {
		e, err := Entry{Kind: Kind(kind), Value: s, Word: Block, Reason: s}.normal()
		if err != nil {
			return
		}
		if again, err := e.normal(); again != e || err != nil {
			t.Errorf("%v %q: %+v, whose own normal form is %+v, %v", e.Kind, s, e, again, err)
		}
		if e.rank() <= 0 || len(e.Value) > 260 || len(e.Reason) > maxNote || strings.ContainsAny(e.Value, "\r\n\x00") {
			t.Errorf("%v %q: %+v", e.Kind, s, e)
		}
	})
}
