package blocklist

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// The longest of many prefixes is found, wherever they lie.
func TestManyPrefixes(t *testing.T) {
	four := func(n uint32) netip.Addr {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], n)
		return netip.AddrFrom4(b)
	}
	six := func(hi, lo uint64) netip.Addr {
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], hi)
		binary.BigEndian.PutUint64(b[8:], lo)
		return netip.AddrFrom16(b)
	}
	for _, tt := range []struct {
		name string
		addr func(r *rand.Rand) netip.Addr
		bits func(r *rand.Rand) int
	}{
		{"spread", func(r *rand.Rand) netip.Addr { return four(r.Uint32()) }, func(r *rand.Rand) int { return 13 + r.IntN(20) }},
		{"wide ones", func(r *rand.Rand) netip.Addr { return four(r.Uint32()) }, func(r *rand.Rand) int { return 1 + r.IntN(20) }},
		{"dense", func(r *rand.Rand) netip.Addr { return four(0x0a000000 | r.Uint32()>>15) }, func(r *rand.Rand) int { return 20 + r.IntN(13) }},
		{"at the ends", func(r *rand.Rand) netip.Addr { return four(-(r.Uint32() & 1) ^ r.Uint32()>>16) }, func(r *rand.Rand) int { return 2 + r.IntN(31) }},
		{"sixes", func(r *rand.Rand) netip.Addr { return six(0x2001<<48|r.Uint64()>>16, r.Uint64()) }, func(r *rand.Rand) int { return 16 + r.IntN(49) }},
		{"wide sixes", func(r *rand.Rand) netip.Addr { return six(r.Uint64(), 0) }, func(r *rand.Rand) int { return 1 + r.IntN(30) }},
		{"long sixes", func(r *rand.Rand) netip.Addr { return six(0x20010db8<<32|r.Uint64()>>60, r.Uint64()>>52) }, func(r *rand.Rand) int { return 55 + r.IntN(74) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			var b Builder
			model := make(map[netip.Prefix]bool)
			var ends []netip.Addr
			for range 5000 {
				p, err := tt.addr(r).Prefix(tt.bits(r))
				if err != nil {
					t.Fatal(err)
				}
				model[p] = true
				if err := b.AddPrefix(p, Entry{Word: Block, Reason: fmt.Sprint(p.Bits())}); err != nil {
					t.Fatal(err)
				}
				last := p.Addr().AsSlice()
				for i := range 8 * len(last) {
					if i >= p.Bits() {
						last[i/8] |= 0x80 >> (i % 8)
					}
				}
				end, _ := netip.AddrFromSlice(last)
				ends = append(ends, p.Addr(), p.Addr().Prev(), end, end.Next())
			}
			s := b.Set()
			if s.Len() != len(model) {
				t.Fatalf("%d entries, want %d", s.Len(), len(model))
			}
			found := 0
			check := func(a netip.Addr) {
				if !a.IsValid() {
					return
				}
				var want netip.Prefix
				for bits := a.BitLen(); bits > 0; bits-- {
					if p, _ := a.Prefix(bits); model[p] {
						want = p
						break
					}
				}
				got, e, ok := s.FindAddr(a)
				if ok {
					found++
				}
				if got != want || ok != want.IsValid() || ok && e.Reason != fmt.Sprint(want.Bits()) {
					t.Fatalf("%v: %v, %+v, %v, want %v", a, got, e, ok, want)
				}
			}
			for _, a := range ends {
				check(a)
			}
			for range 5000 {
				check(tt.addr(r))
			}
			if found < 5000 {
				t.Errorf("found only %d", found)
			}
		})
	}
}
