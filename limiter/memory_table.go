package limiter

import (
	"math/bits"
	"sync/atomic"
)

// table is an open-addressed hash table with linear probing, and always has an
// empty slot. Nothing removes keys in time; a key whose bucket is full again is
// as good as absent, and is dropped when its slot is needed.
//
// Words of keys change at any time. Which key a slot holds changes under the
// shard's lock only, and only while its word is busy: whoever sees that takes
// the lock too, and so waits.
type table []slot

// slot is one key. The zero slot is empty.
type slot struct {
	hash atomic.Uint64
	word atomic.Uint64
}

func (e *slot) load() word { return word(e.word.Load()) }

// word is a key's tat; in the highest bit, whether the key is being limited; and
// in the lowest, a count of the keys that the slot has held, so that a word that
// was read when the slot held another key is not mistaken for this one's. A tat
// has room for eighteen years, less the two that it may lie ahead.
//
// Of two words the smaller one is that of the key to drop first.
type word uint64

const (
	limited   word = 1 << 63
	countBits      = 4
	countMask word = 1<<countBits - 1

	busy = 1<<64 - 1 // no key's word: its tat would be too late
)

func (w word) tat() int64 { return int64(w &^ limited >> countBits) }

// with returns w with another tat.
func (w word) with(tat int64) word { return word(tat)<<countBits | w&countMask }

// after is what becomes of w by a decision. A key is being limited when it was
// refused or has nothing left, and from then on until its bucket is full again.
func (w word) after(now, next int64, ok bool, r *rule) word {
	n := w.with(next)
	if !ok || now+r.window-next < r.unit || w&limited != 0 && w.tat() > now {
		n |= limited
	}
	return n
}

// home is where probing for hash begins. Shards differ in the highest bits,
// so they are of no use here.
func (t table) home(hash uint64) int {
	hi, _ := bits.Mul64(hash<<8, uint64(len(t)))
	return int(hi)
}

// next is the slot that is probed after i.
func (t table) next(i int) int {
	if i++; i < len(t) {
		return i
	}
	return 0
}

// find returns the slot of hash, nil when there is none.
func (t table) find(hash uint64) *slot {
	for i := t.home(hash); ; i = t.next(i) {
		e := &t[i]
		switch e.hash.Load() {
		case hash:
			return e
		case 0:
			return nil
		}
	}
}

// take decides about a key that is there. Without the shard's lock, ok being
// false means that it may not be.
func (t *table) take(hash uint64, now int64, r *rule) (st State, ok bool) {
	e := t.find(hash)
	if e == nil {
		return st, false
	}
	for {
		w := e.load()
		if w == busy || e.hash.Load() != hash {
			return st, false
		}
		next, fits := r.spend(now, w.tat())
		if r.cost == 0 || e.word.CompareAndSwap(uint64(w), uint64(w.after(now, next, fits, r))) {
			return r.stand(now, next, fits), true
		}
		for range standBack {
		}
	}
}

// standBack is how many empty turns who lost a race for a word waits before the
// next try: a microsecond or so. Two cores that fight over one cache line decide
// less together than one of them alone: who stands back lets the other decide
// twenty times undisturbed.
const standBack = 4000

// freeze makes slot i busy if it still has the word w.
func (t table) freeze(i int, w word) bool {
	return t[i].word.CompareAndSwap(uint64(w), busy)
}

// set has slot i, which is busy or empty and had the word old, hold a key.
func (t table) set(i int, old word, hash uint64, w word) {
	e := &t[i]
	e.word.Store(busy) // before an empty slot shows a hash
	e.hash.Store(hash)
	e.word.Store(uint64(w&^countMask | (old+1)&countMask))
}

// add puts a new key into the first empty slot. Those of keys that are as good
// as absent stay theirs while there is room: they often come back.
func (t table) add(hash uint64, w word) {
	i := t.home(hash)
	for t[i].hash.Load() != 0 {
		i = t.next(i)
	}
	t.set(i, t[i].load(), hash, w)
}

// victim returns the slot in reach of hash to be dropped for it, and its word:
// one whose bucket is full again, else the one nearest to it of those not being
// limited, and with must of the others; -1 when there is none.
func (t table) victim(hash uint64, now int64, must bool) (i int, w word) {
	i, w = -1, limited
	if must {
		w = busy
	}
	j := t.home(hash)
	for range min(reach, len(t)) {
		switch o := t[j].load(); {
		case o.tat() <= now:
			if t[j].hash.Load() != 0 {
				return j, o
			}
		case o < w:
			i, w = j, o
		}
		j = t.next(j)
	}
	return i, w
}

// remove empties slot i, which is busy and had the word old, and moves up what
// was probed past it.
func (t table) remove(i int, old word) {
	for j := t.next(i); ; j = t.next(j) {
		hash := t[j].hash.Load()
		if hash == 0 {
			break
		}
		// A key may not move to before its home.
		if h := t.home(hash); i <= j && i < h && h <= j || i > j && (i < h || h <= j) {
			continue
		}
		w := word(t[j].word.Swap(busy))
		t.set(i, old, hash, w)
		i, old = j, w
	}
	t.set(i, old, 0, 0)
}
