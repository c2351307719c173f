package blocklist

import (
	"math/bits"
	"sort"
)

// prefixTable finds the longest prefix that has an address in it. K is an IPv4
// address, or the upper half of an IPv6 one. It costs 12 octets a prefix for
// IPv4 and 16 for IPv6, and a fifteenth of the keys on top.
type prefixTable[K uint32 | uint64] struct {
	keys []K          // the first address of each prefix, ascending; of equal ones the wider prefix first
	meta []prefixMeta // of the same index

	// levels lead to a key without touching many of them: levels[0] has every
	// fan-th of keys, each further one every fan-th of the one before.
	levels [][]K
}

// fan is how many keys of a level are looked through: a cache line or two.
const fan = 16

// prefixMeta is what is known of a prefix besides its first address.
type prefixMeta struct {
	up   uint32 // where the next wider prefix around this one stands, plus 1; 0 when there is none
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

// last returns the index of the last key that is at most x, -1 when there is none.
func (t *prefixTable[K]) last(x K) int {
	at := 0 // the block of fan keys to look through
	for i := len(t.levels) - 1; i >= 0; i-- {
		level := t.levels[i]
		at = at*fan + atMost(level[at*fan:min(len(level), (at+1)*fan)], x) - 1
		if at < 0 {
			return -1
		}
	}
	return at*fan + atMost(t.keys[at*fan:min(len(t.keys), (at+1)*fan)], x) - 1
}

// atMost counts the keys that are at most x.
func atMost[K uint32 | uint64](keys []K, x K) (n int) {
	for _, k := range keys {
		if k <= x {
			n++
		}
	}
	return n
}

// find returns the most specific prefix around x that is live.
func (t *prefixTable[K]) find(x K, notes []note) (length int, n *note) {
	i := t.last(x)
	if i < 0 {
		return 0, nil
	}
	common := bits.LeadingZeros64(uint64(t.keys[i]^x)) - bits.LeadingZeros64(uint64(^K(0)))
	return climb(t.meta, i, common, notes)
}

// climb goes from a prefix to the wider ones around it, up to the first that is
// live and at most common long. The first addresses of all of them are that of
// the one at index i, cut to their length: whatever else begins like it is in
// no prefix that is longer than what both have in common.
func climb(meta []prefixMeta, i, common int, notes []note) (length int, n *note) {
	for i >= 0 {
		m := &meta[i]
		if length := m.note.length(); length <= common {
			if n := &notes[m.note.note()]; n.live() {
				return length, n
			}
		}
		i = int(m.up) - 1
	}
	return 0, nil
}

// longTable is a prefixTable for IPv6 prefixes of more than 64 bits, at 24
// octets a prefix.
type longTable struct {
	keys []longKey
	meta []prefixMeta
}

// longKey is an IPv6 address.
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

func (a longKey) common(b longKey) int {
	if a.hi != b.hi {
		return bits.LeadingZeros64(a.hi ^ b.hi)
	}
	return 64 + bits.LeadingZeros64(a.lo^b.lo)
}

func (t *longTable) find(x longKey, notes []note) (length int, n *note) {
	i := sort.Search(len(t.keys), func(i int) bool { return t.keys[i].compare(x) > 0 }) - 1
	if i < 0 {
		return 0, nil
	}
	return climb(t.meta, i, t.keys[i].common(x), notes)
}
