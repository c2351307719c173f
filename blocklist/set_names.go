package blocklist

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"math"
	"math/bits"
	"strings"
)

// nameTable finds texts: an open-addressing table over one string that holds all
// of them. An entry costs 13 octets and its text. Most of what is looked for is
// not there, which the tags alone tell. A fit is always checked against the
// text. The hash is seeded, so that who writes a list cannot make its entries
// collide.
type nameTable struct {
	seed   maphash.Seed
	tags   []uint8  // a part of the hash, 0 where a slot is empty
	places []uint32 // of the records, by slot
	text   string   // records: the number of a note in 4 octets, the length in 1, the text
	count  int

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
func record(text string, at uint32) (string, uint32) {
	head := text[at : at+recordHead]
	note := uint32(head[0]) | uint32(head[1])<<8 | uint32(head[2])<<16 | uint32(head[3])<<24
	start := at + recordHead
	return text[start : start+uint32(head[4])], note
}

// probe is a walk along the records that may have a hash.
type probe struct {
	t    *nameTable
	tag  uint8
	slot int // the one looked at
}

func (t *nameTable) probe(hash uint64) probe {
	slot, _ := bits.Mul64(hash, uint64(len(t.tags)))
	return probe{t: t, tag: max(uint8(hash), 1), slot: int(slot) - 1}
}

// next finds the next record. Where there is none, p.slot is an empty one.
func (p *probe) next() bool {
	for {
		if p.slot++; p.slot >= len(p.t.tags) {
			if p.slot = 0; len(p.t.tags) == 0 {
				return false
			}
		}
		switch p.t.tags[p.slot] {
		case p.tag:
			return true
		case 0:
			return false
		}
	}
}

// record returns the record found.
func (p *probe) record() (text string, note uint32) {
	return record(p.t.text, p.t.places[p.slot])
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
	slots := b.count*8/5 + 1
	t.tags, t.places = make([]uint8, slots), make([]uint32, slots)
	for at := uint32(0); int(at) < len(t.text); {
		text, number := record(t.text, at)
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
		for i, tag := range t.tags {
			if tag != 0 {
				text, number := record(t.text, t.places[i])
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
		other, number := p.record()
		if m := &notes[number]; other == text && m.word == n.word {
			if n.outlives(m) {
				t.places[p.slot] = at
			}
			return false
		}
	}
	t.tags[p.slot], t.places[p.slot] = p.tag, at
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
