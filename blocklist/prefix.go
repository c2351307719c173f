package blocklist

import (
	"math/bits"
	"sort"
)

// prefixTable finds the longest prefix that has an address in it. K is an IPv4
// address, or the upper half of an IPv6 one: rows of 12 and 16 octets, and one or
// two octets a row for what leads to them.
//
// Memory is what a search waits for, so it touches little of it: one word of
// the heads, one bucket, and the row that fits; none of the rows where nothing
// can fit.
type prefixTable[K uint32 | uint64] struct {
	rows []prefixRow[K] // by key, of equal ones the wider prefix first

	// An address falls into a bucket by its first headBits, of which only those
	// that occur have buckets, and the tailBits behind them: so buckets are even
	// where addresses are, and cost nothing where there are none.
	heads    []headWord
	tailBits int
	buckets  []bucket // and one more at the end
	wide     bool     // there are prefixes shorter than headBits
}

const (
	headBits   = 12
	partBits   = 5 // a bucket has 32 parts
	bucketRows = 8 // and at most so many rows, on the average
)

// bucket is where the rows of a range of addresses begin. Bit i of touched tells
// whether any prefix has an address in its part i.
type bucket struct{ rows, touched uint32 }

// headWord is 64 values of headBits: which of them occur, and how many do
// before.
type headWord struct {
	bits   uint64
	before int
}

// prefixRow is a prefix and what is known of it.
type prefixRow[K comparable] struct {
	key  K      // its first address
	up   uint32 // where the next wider prefix around it stands, plus 1; 0 when there is none
	note packed
}

// packed is the length of a prefix less 1 in 7 bits, and the number of its note.
type packed uint32

const (
	noteBits = 25
	maxNotes = 1 << noteBits
)

func pack(length int, note uint32) packed { return packed(length-1)<<noteBits | packed(note) }

func (p packed) length() int  { return int(p>>noteBits) + 1 }
func (p packed) note() uint32 { return uint32(p) & (maxNotes - 1) }

// width is how many bits a key has.
func (t *prefixTable[K]) width() int { return bits.Len64(uint64(^K(0))) }

// part returns the first bucket with addresses from x on, and the part of it
// that x is in; in is false when x is in none.
func (t *prefixTable[K]) part(x K) (b, part int, in bool) {
	head := int(x >> (t.width() - headBits))
	word := &t.heads[head/64]
	b = (word.before + bits.OnesCount64(word.bits&(1<<(head%64)-1))) << t.tailBits
	if word.bits>>(head%64)&1 == 0 {
		return b, 0, false
	}
	tail := int(x << headBits >> (t.width() - t.tailBits - partBits))
	return b + tail>>partBits, tail & (1<<partBits - 1), true
}

// last returns the index of the last row whose key is at most x. It is -1 when
// there is none, or none that x could be in.
func (t *prefixTable[K]) last(x K) int {
	b, part, in := t.part(x)
	if in && t.buckets[b].touched>>part&1 == 0 || !in && !t.wide {
		return -1
	}
	start := int(t.buckets[b].rows)
	if !in {
		return start - 1
	}
	rows := t.rows[start:t.buckets[b+1].rows]
	if len(rows) > 2*bucketRows {
		return start - 1 + sort.Search(len(rows), func(i int) bool { return rows[i].key > x })
	}
	n := start - 1 + len(rows)
	for i := range rows {
		_, after := bits.Sub64(uint64(x), uint64(rows[i].key), 0)
		n -= int(after)
	}
	return n
}

// find returns the most specific prefix around x that is live.
func (t *prefixTable[K]) find(x K, notes []note) (length int, n *note) {
	if len(t.rows) == 0 {
		return 0, nil
	}
	i := t.last(x)
	if i < 0 {
		return 0, nil
	}
	return climb(t.rows, i, bits.LeadingZeros64(uint64(t.rows[i].key^x))-64+t.width(), notes)
}

// climb goes from a prefix to the wider ones around it, up to the first that is
// live and at most common long. The first addresses of all of them are that of
// the one at index i, cut to their length: whatever else begins like it is in
// no prefix that is longer than what both have in common.
func climb[K comparable](rows []prefixRow[K], i, common int, notes []note) (length int, n *note) {
	for i >= 0 {
		row := &rows[i]
		if length := row.note.length(); length <= common {
			if n := &notes[row.note.note()]; n.live() {
				return length, n
			}
		}
		i = int(row.up) - 1
	}
	return 0, nil
}

// longKey is an IPv6 address, of prefixes of more than 64 bits.
type longKey struct{ hi, lo uint64 }

func (a longKey) compare(b longKey) int {
	switch {
	case a == b:
		return 0
	case a.hi < b.hi || a.hi == b.hi && a.lo < b.lo:
		return -1
	}
	return 1
}

// common is how many bits two addresses share.
func (a longKey) common(b longKey) int {
	if a.hi != b.hi {
		return bits.LeadingZeros64(a.hi ^ b.hi)
	}
	return 64 + bits.LeadingZeros64(a.lo^b.lo)
}

// longTable is a prefixTable for IPv6 prefixes of more than 64 bits, at 24
// octets a prefix.
type longTable struct{ rows []prefixRow[longKey] }

func (t *longTable) find(x longKey, notes []note) (length int, n *note) {
	i := sort.Search(len(t.rows), func(i int) bool { return t.rows[i].key.compare(x) > 0 }) - 1
	if i < 0 {
		return 0, nil
	}
	return climb(t.rows, i, t.rows[i].key.common(x), notes)
}
