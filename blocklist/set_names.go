package blocklist

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"math"
	"math/bits"
	"strings"
)

// nameTable finds texts: an open-addressing table of numbers over one string
// that holds all of them. An entry costs 18 octets and its text. A fit is
// always checked against the text. The hash is seeded, so that who writes a list
// cannot make its entries collide.
type nameTable struct {
	seed  maphash.Seed
	slots []uint64 // the hash's lower half above the place of a record, 0 where empty
	text  string   // records: the number of a note in 4 octets, the length in 1, the text
	count int

	labels depths // of domains without a mark and with '.': what a name itself may fit
	above  depths // of domains with a mark: what fits what is below
}

// depths are numbers of labels, those over 63 as one.
type depths uint64

func (d *depths) add(labels int)     { *d |= 1 << min(labels, 63) }
func (d depths) has(labels int) bool { return d&(1<<min(labels, 63)) != 0 }

const recordHead = 5

func (t *nameTable) hash(s string) uint64 { return maphash.String(t.seed, s) }

// pair is the hash of a text in two parts.
func pair(a, b uint64) uint64 { return a + bits.RotateLeft64(b, 17) }

// record returns what stands at a place of the text.
func (t *nameTable) record(at uint32) (text string, note uint32) { return record(t.text, at) }

func record[T string | []byte](text T, at uint32) (T, uint32) {
	head := text[at : at+recordHead]
	note := uint32(head[0]) | uint32(head[1])<<8 | uint32(head[2])<<16 | uint32(head[3])<<24
	start := at + recordHead
	return text[start : start+uint32(head[4])], note
}

// probe is a walk along the records that may have a hash.
type probe struct {
	t    *nameTable
	tag  uint32
	slot int    // the next one to look at
	at   uint32 // the record found
}

func (t *nameTable) probe(hash uint64) probe {
	slot, _ := bits.Mul64(hash, uint64(len(t.slots)))
	return probe{t: t, tag: uint32(hash), slot: int(slot)}
}

// next finds the next record.
func (p *probe) next() bool {
	for p.slot < len(p.t.slots) {
		s := p.t.slots[p.slot]
		if s == 0 {
			return false
		}
		if p.slot++; p.slot == len(p.t.slots) {
			p.slot = 0
		}
		if uint32(s>>32) == p.tag {
			p.at = uint32(s)
			return true
		}
	}
	return false
}

// names collects texts of one kind, in the form of nameTable.text.
type names struct {
	text  []byte
	count int
}

var errFull = errors.New("is one too many")

func (b *names) add(text string, note uint32) error {
	if len(text) > math.MaxUint8 || len(b.text) > math.MaxUint32-recordHead-math.MaxUint8 {
		return errFull
	}
	if len(b.text) == 0 {
		b.text = append(b.text, 0) // no record is at 0, which is an empty slot
	}
	b.text = append(binary.LittleEndian.AppendUint32(b.text, note), byte(len(text)))
	b.text = append(b.text, text...)
	b.count++
	return nil
}

// table makes the table of what there is.
func (b *names) table(kind Kind, notes []note) *nameTable {
	t := &nameTable{seed: maphash.MakeSeed()}
	if b.count == 0 {
		return t
	}
	t.text = string(b.text)
	t.slots = make([]uint64, b.count*8/5+1)
	for at := uint32(1); int(at) < len(t.text); {
		text, number := t.record(at)
		hash := t.key(kind, text)
		if t.insert(hash, at, text, &notes[number], notes) {
			t.count++
		}
		if kind == Domain || kind == Hello {
			t.deepen(text)
		}
		at += recordHead + uint32(len(text))
	}
	if b.count-t.count > b.count/8 { // many repeat another
		var kept names
		for _, s := range t.slots {
			if s != 0 {
				text, number := t.record(uint32(s))
				kept.add(text, number) // which has room for less than b had
			}
		}
		return kept.table(kind, notes)
	}
	return t
}

// key is the hash by which an entry is looked for.
func (t *nameTable) key(kind Kind, text string) uint64 {
	switch kind {
	case Domain, Hello:
		_, name := cutMark(text)
		return t.hash(name)
	case Mailbox:
		at := strings.LastIndexByte(text, '@')
		return pair(t.hash(text[:at]), t.hash(text[at+1:]))
	}
	return t.hash(text)
}

// insert enters the record at a place, and reports whether it is one more: of
// those with the same text and word the one that stays longest is kept.
func (t *nameTable) insert(hash uint64, at uint32, text string, n *note, notes []note) bool {
	p := t.probe(hash)
	for p.next() {
		other, number := t.record(p.at)
		if m := &notes[number]; other == text && m.word == n.word {
			if n.outlives(m) {
				last := (p.slot + len(t.slots) - 1) % len(t.slots) // next has gone on
				t.slots[last] = uint64(p.tag)<<32 | uint64(at)
			}
			return false
		}
	}
	t.slots[p.slot] = uint64(p.tag)<<32 | uint64(at)
	return true
}

// deepen notes how many labels a pattern has.
func (t *nameTable) deepen(pattern string) {
	mark, name := cutMark(pattern)
	labels := strings.Count(name, ".") + 1
	if mark != '*' {
		t.labels.add(labels)
	}
	if mark != 0 {
		t.above.add(labels)
	}
}
