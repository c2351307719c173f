package blocklist_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/blocklist"
)

// What is said by hand counts as it would on a list that never changes.
func TestDynamicAgreesWithSet(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(all ...string) string { return all[r.IntN(len(all))] }
	name := func() string {
		labels := make([]string, 1+r.IntN(4))
		for i := range labels {
			labels[i] = pick("a", "b", "org")
		}
		return strings.Join(labels, ".")
	}
	addr := func() string {
		if r.IntN(2) == 0 {
			return fmt.Sprintf("192.0.2.%d", r.IntN(16))
		}
		return fmt.Sprintf("2001:db8:%x:%x::%x", r.IntN(2), r.IntN(4), r.IntN(4))
	}
	value := func(kind blocklist.Kind) string {
		switch kind {
		case blocklist.Addr:
			a := netip.MustParseAddr(addr())
			return netip.PrefixFrom(a, a.BitLen()-r.IntN(100)%(a.BitLen()-1)).String()
		case blocklist.Mailbox:
			return pick("x@"+name(), "@"+name(), pick("x@", "y@"))
		case blocklist.Fingerprint:
			return strings.Repeat(pick("0", "1", "2"), 64)
		}
		return pick("", "*.", ".") + name()
	}
	for round := range 300 {
		d := dynamic(t, blocklist.DynamicConfig{})
		var entries []blocklist.Entry
		for range 1 + r.IntN(30) {
			e := blocklist.Entry{Kind: blocklist.Kind(1 + r.IntN(5)), Word: blocklist.Word(1 + r.IntN(2)), Source: "ann"}
			e.Value = value(e.Kind)
			if _, ok := d.Get(e.Kind, e.Value); ok {
				continue // where a set would keep both
			}
			if err := d.Add(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			entries = append(entries, e)
		}
		s, err := blocklist.NewSet(entries...)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			q := blocklist.Query{Kind: blocklist.Kind(1 + r.IntN(5))}
			switch q.Kind {
			case blocklist.Addr:
				q.Addr = netip.MustParseAddr(addr())
			case blocklist.Mailbox:
				q.Value = pick("x@", "y@") + name()
			case blocklist.Fingerprint:
				q.Value = value(q.Kind)
			default:
				q.Value = name()
			}
			a, okA := d.Find(q)
			b, okB := s.Find(q)
			if okA != okB || a.Rank != b.Rank || a.Entry.Word != b.Entry.Word { // of equals either may be named
				t.Fatalf("round %d: %+v among %+v:\ndynamic %+v, %v\nset     %+v, %v", round, q, entries, a, okA, b, okB)
			}
		}
	}
}
