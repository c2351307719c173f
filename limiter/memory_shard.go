package limiter

import (
	"math/bits"
	"sync"
)

// shard is one part of a Memory: an open-addressed hash table with linear
// probing. Nothing removes keys in time; one whose bucket is full again is as
// good as absent, and its slot as good as empty for the next key that probes it.
type shard struct {
	mu         sync.Mutex
	slots      []slot
	used       int // slots that are not empty
	max        int // keys
	overflowed uint64
	evicted    uint64
	_          [48]byte // the next shard's lock is on another cache line
}

// slot is one key. The zero slot is empty.
type slot struct {
	hash uint64
	word word
}

// word is a key's tat, and in the highest bit whether the key is being
// limited. Of two words the smaller one is that of the key to drop first.
type word uint64

const limited word = 1 << 63

func (w word) tat() int64 { return int64(w &^ limited) }

// wordOf is the word of a key after a decision. Once limited, it is so until
// its bucket is full again.
func wordOf(old word, now, next int64, st *State) word {
	w := word(next)
	if !st.OK || st.Left == 0 || old.tat() > now && old&limited != 0 {
		w |= limited
	}
	return w
}

const (
	firstSlots = 8
	reach      = 64 // slots looked through for one to drop
)

// full reports whether a table of n slots shall hold no more than used keys:
// with three quarters taken, a key is found in 2.5 probes, one that is not
// there missed in 8.5.
func full(used, n int) bool { return used >= n/4*3 }

// home is where probing for hash begins. Shards differ in the highest bits,
// so they are of no use here.
func (s *shard) home(hash uint64) int {
	hi, _ := bits.Mul64(hash<<8, uint64(len(s.slots)))
	return int(hi)
}

// after is the slot that is probed after i.
func (s *shard) after(i int) int {
	if i++; i < len(s.slots) {
		return i
	}
	return 0
}

// find returns the slot of hash, nil when there is none.
func (s *shard) find(hash uint64) *slot {
	if len(s.slots) == 0 {
		return nil
	}
	for i := s.home(hash); ; i = s.after(i) {
		switch e := &s.slots[i]; e.hash {
		case hash:
			return e
		case 0:
			return nil
		}
	}
}

// tat is what is kept of hash, 0 when nothing is.
func (s *shard) tat(hash uint64) int64 {
	if e := s.find(hash); e != nil {
		return e.word.tat()
	}
	return 0
}

// holds reports whether hash has a bucket here, or could have one.
func (s *shard) holds(hash uint64, now int64) bool {
	return s.used < s.max || s.find(hash) != nil || s.victim(hash, now, false) >= 0
}

// put keeps next of a key after a decision. It reports whether there was room,
// which with must there always is.
func (s *shard) put(hash uint64, now, next int64, st *State, must bool) bool {
	if e := s.find(hash); e != nil {
		e.word = wordOf(e.word, now, next, st)
		return true
	}
	return next <= now || s.insert(hash, wordOf(0, now, next, st), now, must)
}

// insert adds a key that find did not find.
func (s *shard) insert(hash uint64, w word, now int64, must bool) bool {
	if full(s.used, len(s.slots)) || s.used >= s.max {
		v := s.victim(hash, now, must)
		switch {
		case v >= 0 && s.slots[v].word.tat() <= now:
			s.remove(v)
		case s.used < s.max:
			s.grow(now)
		case v >= 0:
			s.remove(v)
			s.evicted++
		default:
			return false
		}
	}
	s.add(hash, w, now)
	return true
}

// add puts a new key into the first slot that is free for it. There must be one.
func (s *shard) add(hash uint64, w word, now int64) {
	i := s.home(hash)
	for s.slots[i].hash != 0 && s.slots[i].word.tat() > now {
		i = s.after(i)
	}
	if s.slots[i].hash == 0 {
		s.used++
	}
	s.slots[i] = slot{hash, w}
}

// victim returns the slot in reach of hash to be dropped for it: one whose
// bucket is full again, else the one nearest to it of those not being limited,
// and with must of the others; -1 when there is none.
func (s *shard) victim(hash uint64, now int64, must bool) int {
	if len(s.slots) == 0 {
		return -1
	}
	best, least := -1, limited
	if must {
		least = ^word(0)
	}
	i := s.home(hash)
	for range min(reach, len(s.slots)) {
		if e := &s.slots[i]; e.hash != 0 {
			if e.word.tat() <= now {
				return i
			}
			if e.word < least {
				best, least = i, e.word
			}
		}
		i = s.after(i)
	}
	return best
}

// remove empties slot i, and moves up what was probed past it.
func (s *shard) remove(i int) {
	s.used--
	for j := s.after(i); ; j = s.after(j) {
		e := &s.slots[j]
		if e.hash == 0 {
			break
		}
		// The key at j may not move to before its home.
		if h := s.home(e.hash); i <= j && (h <= i || h > j) || i > j && h <= i && h > j {
			s.slots[i] = *e
			i = j
		}
	}
	s.slots[i] = slot{}
}

// forget removes hash, and reports whether its bucket was not full.
func (s *shard) forget(hash uint64, now int64) bool {
	e := s.find(hash)
	if e == nil || e.word.tat() <= now {
		return false
	}
	e.word = 0
	return true
}

// grow doubles the table, as far as max needs, and leaves behind what is full
// again.
func (s *shard) grow(now int64) {
	old := s.slots
	s.slots = make([]slot, min(max(2*len(old), firstSlots), s.max/3*4+8))
	s.used = 0
	for i := range old {
		if e := &old[i]; e.hash != 0 && e.word.tat() > now {
			s.add(e.hash, e.word, now)
		}
	}
}

// live counts the keys whose bucket is not full.
func (s *shard) live(now int64) int {
	n := 0
	for i := range s.slots {
		if e := &s.slots[i]; e.hash != 0 && e.word.tat() > now {
			n++
		}
	}
	return n
}
