package bench

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gaissmai/bart"
	"github.com/smtpguard/smtpguard/blocklist"
)

// million is how many entries the benchmarks of blocklist have.
const million = 1_000_000

// millionPrefixes are different prefixes as on lists of mail's clients: four in
// five IPv4, most of them single addresses and /24s, few wide; the others IPv6
// from /32 to /64, in what the registries have given out.
func millionPrefixes() []netip.Prefix {
	r := rand.New(rand.NewPCG(1, 2))
	seen := make(map[netip.Prefix]bool, million)
	prefixes := make([]netip.Prefix, 0, million)
	for len(prefixes) < million {
		var p netip.Prefix
		if r.IntN(5) > 0 {
			length := 32
			switch n := r.IntN(1000); {
			case n < 1:
				length = 12 + r.IntN(5)
			case n < 50:
				length = 17 + r.IntN(7)
			case n < 250:
				length = 24
			case n < 350:
				length = 25 + r.IntN(7)
			}
			p, _ = v4(r).Prefix(length)
		} else {
			lengths := [...]int{32, 40, 44, 48, 48, 56, 56, 60, 64, 64, 64, 64, 33 + r.IntN(31)}
			p, _ = v6(r).Prefix(lengths[r.IntN(len(lengths))])
		}
		if !seen[p] {
			seen[p] = true
			prefixes = append(prefixes, p)
		}
	}
	return prefixes
}

func v4(r *rand.Rand) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], r.Uint32())
	b[0] = 1 + b[0]%223
	return netip.AddrFrom4(b)
}

func v6(r *rand.Rand) netip.Addr {
	blocks := [...]uint64{0x2001 << 48, 0x2400 << 48, 0x2600 << 48, 0x2800 << 48, 0x2a00 << 48, 0x2c00 << 48}
	hi := r.Uint64()>>12 | blocks[r.IntN(len(blocks))]
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], hi)
	binary.BigEndian.PutUint64(b[8:], r.Uint64())
	return netip.AddrFrom16(b)
}

// clients are addresses, half of them in one of prefixes.
func clients(prefixes []netip.Prefix) []netip.Addr {
	r := rand.New(rand.NewPCG(3, 4))
	addrs := make([]netip.Addr, 1<<20)
	for i := range addrs {
		switch {
		case i%2 == 0:
			p := prefixes[r.IntN(len(prefixes))]
			b := p.Addr().As16()
			random := v6(r).As16()
			bits := p.Bits() + 128 - p.Addr().BitLen()
			for j := range b {
				mask := byte(0xff) >> min(8, max(0, bits-8*j))
				b[j] |= random[j] & mask
			}
			addrs[i] = netip.AddrFrom16(b).Unmap()
		case i%10 == 1:
			addrs[i] = v6(r)
		default:
			addrs[i] = v4(r)
		}
	}
	return addrs
}

var listed = blocklist.Entry{Word: blocklist.Block, Reason: "sends spam", Source: "bench"}

func setOf(tb testing.TB, prefixes []netip.Prefix) *blocklist.Set {
	var b blocklist.Builder
	for _, p := range prefixes {
		if err := b.AddPrefix(p, listed); err != nil {
			tb.Fatal(err)
		}
	}
	return b.Set()
}

func tableOf(prefixes []netip.Prefix) *bart.Table[*blocklist.Entry] {
	t := new(bart.Table[*blocklist.Entry])
	for _, p := range prefixes {
		t.Insert(p, &listed)
	}
	return t
}

func liteOf(prefixes []netip.Prefix) *bart.Lite {
	t := new(bart.Lite)
	for _, p := range prefixes {
		t.Insert(p)
	}
	return t
}

func BenchmarkBlocklistBuild(b *testing.B) {
	prefixes := millionPrefixes()
	b.Run("million-prefixes/smtpguard", func(b *testing.B) {
		for range b.N {
			setOf(b, prefixes)
		}
	})
	b.Run("million-prefixes/bart", func(b *testing.B) {
		for range b.N {
			tableOf(prefixes)
		}
	})
	b.Run("million-prefixes/bart-lite", func(b *testing.B) {
		for range b.N {
			liteOf(prefixes)
		}
	})
	names := millionDomains()
	b.Run("million-domains/smtpguard", func(b *testing.B) {
		for range b.N {
			domainSet(b, names)
		}
	})
	b.Run("million-domains/map", func(b *testing.B) {
		for range b.N {
			domainMap(names)
		}
	})
}

// BenchmarkBlocklistMemory tells what a list costs, an entry. Its map has
// the names' own octets, as a set has.
func BenchmarkBlocklistMemory(b *testing.B) {
	measure := func(name string, build func(tb testing.TB) any) {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				before := inUse()
				kept := build(b)
				b.ReportMetric(float64(inUse()-before)/million, "B/entry")
				runtime.KeepAlive(kept)
			}
		})
	}
	prefixes, names := millionPrefixes(), millionDomains()
	measure("million-prefixes/smtpguard", func(tb testing.TB) any { return setOf(tb, prefixes) })
	measure("million-prefixes/bart", func(tb testing.TB) any { return tableOf(prefixes) })
	measure("million-prefixes/bart-lite", func(tb testing.TB) any { return liteOf(prefixes) })
	measure("million-domains/smtpguard", func(tb testing.TB) any { return domainSet(tb, names) })
	measure("million-domains/map", func(tb testing.TB) any { return domainMap(names) })
	runtime.KeepAlive(prefixes)
	runtime.KeepAlive(names)
}

func BenchmarkBlocklist(b *testing.B) {
	prefixes := millionPrefixes()
	addrs := clients(prefixes)
	hits := 0
	lookup := func(name string, find func(netip.Addr) bool) {
		b.Run("million-prefixes/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				if find(addrs[i&(len(addrs)-1)]) {
					hits++
				}
			}
		})
	}
	set, table, lite := setOf(b, prefixes), tableOf(prefixes), liteOf(prefixes)
	lookup("smtpguard", func(a netip.Addr) bool { _, _, ok := set.FindAddr(a); return ok })
	lookup("bart", func(a netip.Addr) bool { _, ok := table.Lookup(a); return ok })
	lookup("bart-lite", lite.Lookup)
	runtime.KeepAlive(set)

	names := millionDomains()
	domains, byName := domainSet(b, names), domainMap(names)
	// Names of five labels, half of them below a name that is listed.
	r := rand.New(rand.NewPCG(5, 6))
	queries := make([]string, 1<<20)
	for i := range queries {
		parent := domainName(r)
		if i%2 == 0 {
			parent = names[r.IntN(len(names))]
		}
		queries[i] = "a.mail." + word(r) + "." + parent
	}
	b.Run("million-domains/smtpguard", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			if _, ok := domains.Find(blocklist.Query{Kind: blocklist.Domain, Value: queries[i&(len(queries)-1)]}); ok {
				hits++
			}
		}
	})
	// One look-up in a map, of the part of the name that may be listed.
	parents := make([]string, len(queries))
	for i, q := range queries {
		parents[i] = q[strings.LastIndexByte(q[:strings.LastIndexByte(q, '.')], '.')+1:]
	}
	b.Run("million-domains/map", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			if _, ok := byName[parents[i&(len(parents)-1)]]; ok {
				hits++
			}
		}
	})
	runtime.KeepAlive(hits)
}

func word(r *rand.Rand) string {
	b := make([]byte, 3+r.IntN(6)+r.IntN(9))
	for i := range b {
		b[i] = byte('a' + r.IntN(26))
	}
	return string(b)
}

func domainName(r *rand.Rand) string {
	tlds := [...]string{"com", "com", "com", "net", "org", "info", "top", "example", "xyz", "shop"}
	return word(r) + "." + tlds[r.IntN(len(tlds))]
}

// millionDomains are different names of two labels.
func millionDomains() []string {
	r := rand.New(rand.NewPCG(7, 8))
	names := make([]string, 0, million+million/4)
	for len(names) < cap(names) {
		names = append(names, domainName(r))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	if len(names) < million {
		panic(fmt.Sprint("only ", len(names), " names"))
	}
	return slices.Clip(slices.Clone(names[:million]))
}

func domainSet(tb testing.TB, names []string) *blocklist.Set {
	var b blocklist.Builder
	e := listed
	e.Kind = blocklist.Domain
	for _, name := range names {
		e.Value = "." + name
		if err := b.Add(e); err != nil {
			tb.Fatal(err)
		}
	}
	return b.Set()
}

func domainMap(names []string) map[string]*blocklist.Entry {
	m := make(map[string]*blocklist.Entry, len(names))
	for _, name := range names {
		m[strings.Clone(name)] = &listed
	}
	return m
}

