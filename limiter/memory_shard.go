package limiter

import (
	"sync"
	"sync/atomic"
)

// shard is one part of a Memory. Who finds its key decides about it with one
// compare-and-swap on the key's word. All else happens under the lock: to add a
// key, to drop one, to let the table grow, to decide about several keys.
type shard struct {
	table atomic.Pointer[table]
	_     [56]byte // who holds the lock does not disturb who does not need it

	mu         sync.Mutex
	used       int // slots that are not empty
	max        int // keys
	overflowed uint64
	evicted    uint64
	_          [24]byte
}

// reach is how many slots are looked through for one to drop.
const reach = 64

// full reports whether a table of n slots shall hold no more than used keys:
// with three quarters taken, a key is found in 2.5 probes, and one that is not
// there missed in 8.5.
func full(used, n int) bool { return used >= n/4*3 }

// take decides about one key, which may not be there. ok is false when there is
// no room for it, which with must there always is.
func (s *shard) take(hash uint64, now int64, r *rule, must bool) (st State, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st, ok = s.table.Load().take(hash, now, r); ok {
		return st, true
	}
	next, fits := r.spend(now, 0)
	if next <= now { // nothing to keep
		ok = must || s.room(hash, now)
	} else {
		ok = s.insert(hash, word(0).after(now, next, fits, r), now, must)
	}
	if !ok {
		s.overflowed++
	}
	return r.stand(now, next, fits), ok
}

// room reports whether a key that is not there could be added. Callers of this
// and of all that follows hold the lock.
func (s *shard) room(hash uint64, now int64) bool {
	if s.used < s.max {
		return true
	}
	i, _ := s.table.Load().victim(hash, now, false)
	return i >= 0
}

// insert adds a key that is not there. It reports whether there was room.
func (s *shard) insert(hash uint64, w word, now int64, must bool) bool {
	t := s.table.Load()
	for full(s.used, len(*t)) || s.used >= s.max {
		i, old := t.victim(hash, now, must)
		expired := i >= 0 && old.tat() <= now
		switch {
		case !expired && s.used < s.max:
			t = s.grow(now)
		case i < 0:
			return false
		case t.freeze(i, old):
			t.remove(i, old)
			s.used--
			if !expired {
				s.evicted++
			}
		}
	}
	t.add(hash, w)
	s.used++
	return true
}

// grow replaces the table by one half as large again, as far as max needs, and
// leaves behind what is full again.
func (s *shard) grow(now int64) *table {
	old := *s.table.Load()
	t := make(table, min(max(len(old)+len(old)/2, 8), s.max/3*4+8))
	s.used = 0
	for i := range old {
		e := &old[i]
		if h := e.hash.Load(); h != 0 {
			if w := word(e.word.Swap(busy)); w.tat() > now {
				t.add(h, w)
				s.used++
			}
		}
	}
	s.table.Store(&t)
	return &t
}

// forget takes back all that hash has spent, and reports whether that was
// anything.
func (s *shard) forget(hash uint64, now int64) bool {
	e := s.table.Load().find(hash)
	for e != nil {
		if w := e.load(); e.word.CompareAndSwap(uint64(w), uint64(w.with(0))) {
			return w.tat() > now
		}
	}
	return false
}

// live counts the keys whose bucket is not full.
func (s *shard) live(now int64) int {
	n := 0
	t := *s.table.Load()
	for i := range t {
		if t[i].hash.Load() != 0 && t[i].load().tat() > now {
			n++
		}
	}
	return n
}
