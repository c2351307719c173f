package blocklist

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// prefixes collects prefixes, in any order.
type prefixes struct {
	v4    []uint64 // the first address above the packed rest, so that sorting numbers sorts prefixes
	short []shortPrefix
	long  []longPrefix
}

// shortPrefix is an IPv6 prefix of at most 64 bits.
type shortPrefix struct {
	key  uint64
	note packed
}

// longPrefix is an IPv6 prefix of more than 64 bits.
type longPrefix struct {
	key  longKey
	note packed
}

// add takes p, which is in normal form.
func (b *prefixes) add(p netip.Prefix, note uint32) {
	n := pack(p.Bits(), note)
	if a := p.Addr(); a.Is4() {
		b.v4 = append(b.v4, uint64(key4(a))<<32|uint64(n))
	} else if k := key6(a); p.Bits() <= 64 {
		b.short = append(b.short, shortPrefix{k.hi, n})
	} else {
		b.long = append(b.long, longPrefix{k, n})
	}
}

func key4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func key6(a netip.Addr) longKey {
	b := a.As16()
	return longKey{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// tables sorts what there is and makes the tables of it.
func (b *prefixes) tables(notes []note) (v4 prefixTable[uint32], short prefixTable[uint64], long longTable) {
	slices.Sort(b.v4)
	slices.SortFunc(b.short, func(x, y shortPrefix) int {
		return cmp.Or(cmp.Compare(x.key, y.key), cmp.Compare(x.note, y.note))
	})
	slices.SortFunc(b.long, func(x, y longPrefix) int {
		return cmp.Or(x.key.compare(y.key), cmp.Compare(x.note, y.note))
	})
	v4 = newPrefixTable(nest(len(b.v4), notes,
		func(i int) (uint32, packed) { return uint32(b.v4[i] >> 32), packed(b.v4[i]) },
		func(x, y uint32) int { return bits.LeadingZeros32(x ^ y) }))
	short = newPrefixTable(nest(len(b.short), notes,
		func(i int) (uint64, packed) { return b.short[i].key, b.short[i].note },
		func(x, y uint64) int { return bits.LeadingZeros64(x ^ y) }))
	long.rows = nest(len(b.long), notes,
		func(i int) (longKey, packed) { return b.long[i].key, b.long[i].note },
		longKey.common)
	return v4, short, long
}

// nest takes n sorted prefixes, drops what repeats another, and finds for each
// the next wider one around it. common tells how many bits two keys share.
func nest[K comparable](n int, notes []note, at func(int) (K, packed), common func(K, K) int) []prefixRow[K] {
	type open struct {
		key    K
		length int
		last   uint32 // where it stands, plus 1
	}
	rows := make([]prefixRow[K], 0, n)
	var around [128]open // the prefixes around the one at hand, widest first
	depth := 0
	for i := 0; i < n; {
		key, p := at(i)
		length := p.length()
		var same words
		same.add(p.note(), notes)
		for i++; i < n; i++ {
			k, p := at(i)
			if k != key || p.length() != length {
				break
			}
			same.add(p.note(), notes)
		}
		for depth > 0 && common(around[depth-1].key, key) < around[depth-1].length {
			depth--
		}
		up := uint32(0)
		if depth > 0 {
			up = around[depth-1].last
		}
		for _, number := range same { // what goes first comes last
			if number > 0 {
				rows = append(rows, prefixRow[K]{key, up, pack(length, number-1)})
				up = uint32(len(rows))
			}
		}
		around[depth] = open{key, length, up}
		depth++
	}
	if cap(rows)-len(rows) > len(rows)/8 { // many repeat another
		rows = slices.Clone(rows)
	}
	return rows
}

// newPrefixTable makes the table of rows, which are sorted and nested.
func newPrefixTable[K uint32 | uint64](rows []prefixRow[K]) prefixTable[K] {
	t := prefixTable[K]{rows: rows}
	if len(rows) == 0 {
		return t
	}
	t.heads = make([]headWord, 1<<headBits/64)
	for i := range rows {
		head := int(rows[i].key >> (t.width() - headBits))
		t.heads[head/64].bits |= 1 << (head % 64)
		t.wide = t.wide || rows[i].note.length() < headBits
	}
	heads := 0
	for i := range t.heads {
		t.heads[i].before = heads
		heads += bits.OnesCount64(t.heads[i].bits)
	}
	t.tailBits = min(bits.Len(uint(len(rows)/bucketRows/heads)), t.width()-headBits-partBits)
	t.buckets = make([]bucket, heads<<t.tailBits+1)
	for i := range rows {
		b, _, _ := t.part(rows[i].key)
		t.buckets[b+1].rows++
		t.touch(&rows[i])
	}
	for i := range t.buckets[1:] {
		t.buckets[i+1].rows += t.buckets[i].rows
	}
	return t
}

// touch marks the parts of buckets that the prefix of row has addresses in.
func (t *prefixTable[K]) touch(row *prefixRow[K]) {
	last := row.key | ^K(0)>>row.note.length()
	from, fromPart, _ := t.part(row.key)
	to, toPart, in := t.part(last)
	if !in { // the head of last does not occur
		to, toPart = to-1, 1<<partBits-1
	}
	for b := from; b <= to; b++ {
		touched := ^uint32(0)
		if b == from {
			touched <<= fromPart
		}
		if b == to {
			touched &= ^uint32(0) >> (1<<partBits - 1 - toPart)
		}
		t.buckets[b].touched |= touched
	}
}
