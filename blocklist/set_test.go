package blocklist

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// linear is what a Set should be: it asks every entry in turn.
type linear struct {
	entries    []Entry // in normal form
	delimiters string
}

func (l linear) Find(q Query) (m Match, ok bool) {
	q, ok = q.normal()
	if !ok {
		return m, false
	}
	best := -1
	for _, e := range l.entries {
		score := l.score(q, e)
		if score < 0 || !e.Expires.IsZero() && !time.Now().Before(e.Expires) {
			continue
		}
		if score = score*4 + e.Word.order(); score > best {
			best, m = score, Match{Entry: e, Rank: e.rank()}
		}
	}
	if best < 0 || m.Entry.Word == Except {
		return Match{}, false
	}
	return m, true
}

// score is how specifically e fits q, below 0 when it does not.
func (l linear) score(q Query, e Entry) int {
	if e.Kind != q.Kind {
		return -1
	}
	fits := e.Value == q.Value
	score := 2 * e.rank()
	switch e.Kind {
	case Addr:
		p, _ := normalPrefix(e.Value)
		fits = p.Contains(q.Addr)
	case Domain, Hello:
		if below, ok := strings.CutPrefix(e.Value, "*."); ok {
			fits = strings.HasSuffix(q.Value, "."+below)
		} else if self, ok := strings.CutPrefix(e.Value, "."); ok {
			fits = q.Value == self || strings.HasSuffix(q.Value, e.Value)
		}
	case Mailbox:
		at := strings.LastIndexByte(q.Value, '@')
		for i, local := range []string{q.Value[:at], l.stem(q.Value[:at])} {
			if e.Value == local+q.Value[at:] || e.Value == q.Value[at:] || e.Value == local+"@" {
				return score - i
			}
		}
	}
	if !fits {
		return -1
	}
	return score
}

func (l linear) stem(local string) string {
	for i := 1; i < len(local); i++ {
		if strings.IndexByte(l.delimiters, local[i]) >= 0 {
			return local[:i]
		}
	}
	return local
}

// random makes entries and queries of a world so small that they often meet.
type random struct{ *rand.Rand }

func (r random) pick(of ...string) string { return of[r.IntN(len(of))] }

func (r random) addr() netip.Addr {
	if r.IntN(2) == 0 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], r.Uint32()&0xe000030f|0x0a000000)
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], r.Uint64()&0x0000_0001_0000_0301|0x2001_0db8_0000_0000)
	if r.IntN(2) == 0 {
		binary.BigEndian.PutUint64(b[8:], r.Uint64()&0x8000_0000_0000_0003)
	}
	return netip.AddrFrom16(b)
}

func (r random) name() string {
	labels := make([]string, 1+r.IntN(5))
	for i := range labels {
		labels[i] = r.pick("a", "b", "example", "org")
	}
	return strings.Join(labels, ".")
}

func (r random) mailbox() string {
	return r.pick("ann", "bob", "ann+x", "bob+x+y", "+") + "@" + r.pick("example.org", "a.example", "[192.0.2.1]")
}

func (r random) entry(now time.Time) Entry {
	e := Entry{Kind: Addr + Kind(r.IntN(5)), Word: Block + Word(r.IntN(3))}
	switch e.Kind {
	case Addr:
		a := r.addr()
		p, _ := a.Prefix(1 + r.IntN(a.BitLen()))
		e.Value = p.String()
	case Domain:
		e.Value = r.pick("", "*.", ".") + r.name()
	case Hello:
		if e.Value = r.pick("", "*.", ".") + r.name(); r.IntN(4) == 0 {
			e.Value = r.addr().String()
		}
	case Mailbox:
		at := ""
		switch e.Value = r.mailbox(); r.IntN(3) {
		case 0:
			_, at, _ = strings.Cut(e.Value, "@")
			e.Value = "@" + at
		case 1:
			at, _, _ = strings.Cut(e.Value, "@")
			e.Value = at + "@"
		}
	case Fingerprint:
		e.Value = fmt.Sprintf("%064x", r.IntN(20))
	}
	if r.IntN(3) == 0 {
		e.Expires = now.Add(time.Duration(r.IntN(5)-1) * time.Hour)
	}
	return e
}

func (r random) query() Query {
	q := Query{Kind: Addr + Kind(r.IntN(5))}
	switch q.Kind {
	case Addr:
		q.Addr = r.addr()
	case Domain:
		q.Value = r.name()
	case Hello:
		if q.Value = r.name(); r.IntN(4) == 0 {
			q.Value = r.addr().String()
		}
	case Mailbox:
		q.Value = r.mailbox()
	case Fingerprint:
		q.Value = fmt.Sprintf("%064X", r.IntN(20))
	}
	return q
}

// A Set answers like the linear model, whatever is on it, and goes on to when
// entries have expired.
func TestSetAgainstLinear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(200) {
			r := random{rand.New(rand.NewPCG(seed, 1))}
			model := linear{delimiters: r.pick("", "+")}
			b := Builder{Delimiters: model.delimiters}
			for range 1 + r.IntN(1000) {
				e := r.entry(time.Now())
				if err := b.Add(e); err != nil {
					t.Fatal(err)
				}
				word := e.Word
				e.Word = Block
				e, _ = e.normal()
				e.Word = word
				model.entries = append(model.entries, e)
			}
			s := b.Set()
			for range 3 {
				for range 200 {
					q := r.query()
					got, ok := s.Find(q)
					want, wantOK := model.Find(q)
					// Which of those that say the same is not said.
					for _, m := range []*Match{&got, &want} {
						m.Entry.Expires = time.Time{}
						m.Entry.Value = strings.TrimPrefix(m.Entry.Value, "*")
					}
					if ok != wantOK || got != want {
						t.Fatalf("seed %d: %+v: %+v, %v, want %+v, %v", seed, q, got, ok, want, wantOK)
					}
				}
				time.Sleep(time.Hour + 30*time.Minute)
			}
		}
	})
}

func TestSetKeepsWhatItWasGiven(t *testing.T) {
	added, expires := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	for _, tt := range []struct {
		value string
		kind  Kind
		want  string
		q     Query
	}{
		{"192.0.2.77/24", Addr, "192.0.2.0/24", Query{Addr: netip.MustParseAddr("::ffff:192.0.2.1")}},
		{"2001:DB8::1", Addr, "2001:db8::1", Query{Addr: netip.MustParseAddr("2001:db8::1%eth0")}},
		{"*.BÜCHER.example", Domain, "*.xn--bcher-kva.example", Query{Value: "Mail.Bücher.example."}},
		{"[IPv6:2001:DB8::1]", Hello, "2001:db8::1", Query{Value: "[IPv6:2001:db8:0::1]"}},
		{"Ann@", Mailbox, "ann@", Query{Value: "ANN@example.org"}},
		{strings.Repeat("0A:", 31) + "0a", Fingerprint, sha, Query{Value: strings.ToUpper(sha)}},
	} {
		e := Entry{Kind: tt.kind, Value: tt.value, Word: Allow, Reason: "a\nreason", Source: "list", Added: added, Expires: expires}
		s, err := NewSet(e)
		if err != nil {
			t.Error(err)
			continue
		}
		tt.q.Kind = tt.kind
		m, ok := s.Find(tt.q)
		want := Entry{Kind: tt.kind, Value: tt.want, Word: Allow, Reason: "a reason", Source: "list"}
		if got := m.Entry; !ok || !got.Added.Equal(added) || !got.Expires.Equal(expires) {
			t.Errorf("%q: %+v, %v", tt.value, m, ok)
		}
		m.Entry.Added, m.Entry.Expires = time.Time{}, time.Time{}
		if m.Entry != want || m.Rank != want.rank() || s.Len() != 1 {
			t.Errorf("%q: %+v, want %+v", tt.value, m, want)
		}
	}
}

func TestZeroSet(t *testing.T) {
	r := random{rand.New(rand.NewPCG(1, 1))}
	for _, s := range []*Set{new(Set), new(Builder).Set()} {
		for range 100 {
			if m, ok := s.Find(r.query()); ok {
				t.Errorf("found %+v", m)
			}
		}
		if _, ok := s.Find(Query{}); ok || s.Len() != 0 {
			t.Error("not empty")
		}
	}
}

func TestBadEntries(t *testing.T) {
	_, err := NewSet(
		Entry{Kind: Addr, Value: "192.0.2.0/33", Word: Block},
		Entry{Kind: Addr, Value: "::/0", Word: Block},
		Entry{Kind: Addr, Value: "192.0.2.1"},
		Entry{Kind: Domain, Value: "exam ple", Word: Block},
		Entry{Kind: Domain, Value: "example.org"},
		Entry{Value: "example.org", Word: Block},
		Entry{Kind: Mailbox, Value: "ann", Word: Except},
	)
	want := `blocklist: addr "192.0.2.0/33" is neither an address nor a prefix
blocklist: addr "::/0" fits every address
blocklist: addr 192.0.2.1/32 is neither Block nor Allow nor Except
blocklist: domain "exam ple" is no domain
blocklist: domain "example.org" is neither Block nor Allow
blocklist: invalid "example.org" has no kind that is known (0)
blocklist: mailbox "ann" is no mail address`
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	var b Builder
	if err := b.AddPrefix(netip.Prefix{}, Entry{Word: Block}); err == nil || b.Len() != 0 {
		t.Errorf("the zero prefix: %v", err)
	}
}

// A list that says the same over and over costs, and is searched, like one that
// says it once.
func TestRepeatedEntries(t *testing.T) {
	var b Builder
	for i := range 10000 {
		for _, e := range []Entry{{Kind: Domain, Value: ".example.org"}, {Kind: Addr, Value: "192.0.2.1"}, {Kind: Mailbox, Value: "ann@"}} {
			e.Word = Block + Word(i%3)
			if err := b.Add(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := b.Set()
	if s.Len() != 9 || len(s.tables[Domain].text) > 100 || len(s.tables[Domain].slots) > 10 || cap(s.v4.rows) > 10 {
		t.Errorf("%d entries in %d octets, %d slots, %d rows", s.Len(), len(s.tables[Domain].text), len(s.tables[Domain].slots), cap(s.v4.rows))
	}
	if m, ok := s.Find(Query{Kind: Domain, Value: "a.example.org"}); !ok || m.Entry.Word != Allow {
		t.Errorf("%+v, %v", m, ok)
	}
}

// A builder goes on after a set was made of it, and the set does not.
func TestBuilderGoesOn(t *testing.T) {
	var b Builder
	add := func(value string, reason string) {
		if err := b.Add(Entry{Kind: Addr, Value: value, Word: Block, Reason: reason}); err != nil {
			t.Fatal(err)
		}
	}
	add("192.0.2.2", "one")
	first := b.Set()
	add("192.0.2.1", "two")
	second := b.Set()
	for addr, want := range map[string][2]bool{"192.0.2.1": {false, true}, "192.0.2.2": {true, true}} {
		_, _, one := first.FindAddr(netip.MustParseAddr(addr))
		_, _, two := second.FindAddr(netip.MustParseAddr(addr))
		if got := [2]bool{one, two}; got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
	if first.Len() != 1 || second.Len() != 2 || b.Len() != 2 {
		t.Errorf("%d, %d and %d entries", first.Len(), second.Len(), b.Len())
	}
}

func TestFindDoesNotAllocate(t *testing.T) {
	s, err := NewSet(
		Entry{Kind: Addr, Value: "192.0.2.0/24", Word: Block},
		Entry{Kind: Domain, Value: ".example.org", Word: Block, Expires: time.Now().Add(time.Hour)},
		Entry{Kind: Hello, Value: "192.0.2.1", Word: Block},
		Entry{Kind: Mailbox, Value: "ann@", Word: Block},
		Entry{Kind: Fingerprint, Value: sha, Word: Block},
	)
	if err != nil {
		t.Fatal(err)
	}
	s.delimiters = "+"
	for _, q := range []Query{
		{Kind: Addr, Addr: netip.MustParseAddr("198.51.100.1")},
		{Kind: Domain, Value: "a.b.c.example.org"},
		{Kind: Domain, Value: "a.b.c.example.net"},
		{Kind: Hello, Value: "a.b.c.example.net"},
		{Kind: Mailbox, Value: "ann+news@example.net"},
		{Kind: Fingerprint, Value: sha},
	} {
		if n := testing.AllocsPerRun(100, func() { s.Find(q) }); n > 0 {
			t.Errorf("%+v: %v allocations", q, n)
		}
	}
	addr := netip.MustParseAddr("192.0.2.1")
	if n := testing.AllocsPerRun(100, func() { s.FindAddr(addr) }); n > 0 {
		t.Errorf("%v: %v allocations", addr, n)
	}
}
