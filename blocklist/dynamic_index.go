package blocklist

import (
	"container/heap"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// key names an entry: one stands for each kind and value. Patterns of domains
// are without their mark, so that a lookup's keys are slices of what it asks.
type key struct {
	kind  Kind
	mark  byte // '*' of "*.example.org", '.' of ".example.org"
	value string
}

// key is that of an entry in normal form.
func (e Entry) key() key {
	if e.Kind == Domain || e.Kind == Hello {
		if name, ok := strings.CutPrefix(e.Value, "*."); ok {
			return key{e.Kind, '*', name}
		}
		if name, ok := strings.CutPrefix(e.Value, "."); ok {
			return key{e.Kind, '.', name}
		}
	}
	return key{kind: e.Kind, value: e.Value}
}

// held is an entry in the index.
type held struct {
	Item
	prefix netip.Prefix // of Kind Addr
	seq    uint64       // of the change that put it there, 0 when the store has not numbered it
	place  int          // in the heap
}

// index finds entries, and what expires first. It needs no timers, and nothing
// but a lock around it. Its entries are in normal form and never written to.
type index struct {
	prefixes map[netip.Prefix]*held
	names    map[key]*held
	lengths  [2][]lengthCount // of IPv4 and IPv6 prefixes, longest first
	soon     soonest
	allows   map[*held]struct{} // those of Kind Addr that say Allow
	autos    int
}

// lengthCount is how many prefixes have a length.
type lengthCount struct{ bits, n int }

func newIndex() *index {
	return &index{
		prefixes: make(map[netip.Prefix]*held),
		names:    make(map[key]*held),
		allows:   make(map[*held]struct{}),
	}
}

func (ix *index) len() int { return len(ix.soon) }

// get returns what stands for k, expired or not, nil when nothing does.
func (ix *index) get(k key) *held {
	if k.kind != Addr {
		return ix.names[k]
	}
	p, err := normalPrefix(k.value)
	if err != nil {
		return nil
	}
	return ix.prefixes[p]
}

// put takes it up, in place of what stood for the same key.
func (ix *index) put(it Item, seq uint64) {
	if old := ix.get(it.key()); old != nil {
		ix.remove(old)
	}
	h := &held{Item: it, seq: seq}
	if it.Kind == Addr {
		h.prefix, _ = normalPrefix(it.Value)
		ix.prefixes[h.prefix] = h
		ix.count(h.prefix, 1)
		if it.Word == Allow {
			ix.allows[h] = struct{}{}
		}
	} else {
		ix.names[it.key()] = h
	}
	if it.Auto {
		ix.autos++
	}
	heap.Push(&ix.soon, h)
}

func (ix *index) remove(h *held) {
	if h.Kind == Addr {
		delete(ix.prefixes, h.prefix)
		delete(ix.allows, h)
		ix.count(h.prefix, -1)
	} else {
		delete(ix.names, h.key())
	}
	if h.Auto {
		ix.autos--
	}
	heap.Remove(&ix.soon, h.place)
}

// count keeps the lengths that there are, so that a lookup tries no others.
func (ix *index) count(p netip.Prefix, by int) {
	counts := &ix.lengths[0]
	if p.Addr().Is6() {
		counts = &ix.lengths[1]
	}
	i, ok := slices.BinarySearchFunc(*counts, p.Bits(), func(c lengthCount, bits int) int { return bits - c.bits })
	if !ok {
		*counts = slices.Insert(*counts, i, lengthCount{bits: p.Bits()})
	}
	if (*counts)[i].n += by; (*counts)[i].n == 0 {
		*counts = slices.Delete(*counts, i, i+1)
	}
}

// purge removes what has expired, up to max entries.
func (ix *index) purge(now time.Time, max int) {
	for ; max > 0 && len(ix.soon) > 0 && !ix.soon[0].Expires.After(now); max-- {
		ix.remove(ix.soon[0])
	}
}

// find returns the entry that counts for q, which is in normal form: the most
// specific one, Allow before Block; but a person's Allow, however wide, before
// what is automatic. It is nil when none fits.
func (ix *index) find(q Query) *held {
	var f finder
	switch q.Kind {
	case Addr:
		counts := ix.lengths[0]
		if q.Addr.Is6() {
			counts = ix.lengths[1]
		}
		for _, c := range counts {
			if p, err := q.Addr.Prefix(c.bits); err == nil && f.sees(ix.prefixes[p]) {
				break
			}
		}
	case Domain, Hello:
		f.seesPatterns(ix, q)
	case Mailbox:
		at := strings.LastIndexByte(q.Value, '@')
		_ = f.sees(ix.names[key{kind: Mailbox, value: q.Value}]) ||
			f.sees(ix.names[key{kind: Mailbox, value: q.Value[at:]}]) ||
			f.sees(ix.names[key{kind: Mailbox, value: q.Value[:at+1]}])
	default:
		f.sees(ix.names[key{kind: q.Kind, value: q.Value}])
	}
	return f.best
}

// finder is shown what fits, the most specific first. The zero finder has seen
// nothing.
type finder struct {
	best *held
	now  time.Time // asked for when something fits
}

// sees reports whether it has seen enough.
func (f *finder) sees(h *held) bool {
	if h == nil {
		return false
	}
	if f.now.IsZero() {
		f.now = time.Now()
	}
	switch {
	case !h.Expires.After(f.now):
		return false
	case f.best == nil:
		f.best = h
		return !h.Auto
	case h.Auto:
		return false
	case h.Word == Allow:
		f.best = h
	}
	return true
}

// seesPatterns shows f the entries that fit a domain or an EHLO name.
func (f *finder) seesPatterns(ix *index, q Query) {
	if f.sees(ix.names[key{q.Kind, 0, q.Value}]) || f.sees(ix.names[key{q.Kind, '.', q.Value}]) {
		return
	}
	for name, ok := q.Value, true; ok; {
		if _, name, ok = strings.Cut(name, "."); !ok {
			return
		}
		below, both := ix.names[key{q.Kind, '*', name}], ix.names[key{q.Kind, '.', name}]
		if both != nil && both.Word == Allow { // as specific as below
			below, both = both, below
		}
		if f.sees(below) || f.sees(both) {
			return
		}
	}
}

// soonest is a heap of entries by when they expire.
type soonest []*held

func (s soonest) Len() int           { return len(s) }
func (s soonest) Less(i, j int) bool { return s[i].Expires.Before(s[j].Expires) }
func (s soonest) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].place, s[j].place = i, j
}

func (s *soonest) Push(x any) {
	h := x.(*held)
	h.place = len(*s)
	*s = append(*s, h)
}

func (s *soonest) Pop() any {
	last := len(*s) - 1
	h := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	return h
}
