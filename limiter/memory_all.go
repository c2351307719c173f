package limiter

import (
	"errors"
	"fmt"
	"math/bits"
)

// turn is one ask of several while they are decided.
type turn struct {
	rule  rule
	shard *shard // nil without a limit
	hash  uint64
	first int   // the first ask for the same key, itself often
	slot  *slot // of a first ask whose key is there, and busy meanwhile
	was   word  // what the slot held
	word  word  // and is to hold; of first asks, both
}

// takeAll decides about asks under the locks of all their shards.
func (m *Memory) takeAll(asks []Ask, states []State) error {
	if len(m.shards) == 0 {
		return errNotMade
	}
	if len(asks) > MaxAsks {
		return errors.New("limiter: more than MaxAsks asks in one Take")
	}
	var few [4]turn
	turns := few[:0]
	if len(asks) > len(few) {
		turns = make([]turn, 0, len(asks))
	}
	var set shardSet
	for i := range asks {
		a := &asks[i]
		turns = append(turns, turn{})
		t := &turns[i]
		if t.rule.of(a) {
			t.hash = m.hash(a.Key, &a.Limit)
			t.shard = m.shard(t.hash)
			set.add(t.hash >> m.shift)
		} else if st, err := a.unruled(); err != nil {
			return fmt.Errorf("%w (ask %d)", err, i)
		} else {
			states[i] = st
		}
	}
	set.each(func(i int) { m.shards[i].mu.Lock() })
	m.decide(asks, turns, states)
	set.each(func(i int) { m.shards[i].mu.Unlock() })
	return nil
}

// shardSet is a set of shards, in the order in which they are locked.
type shardSet [maxShards / 64]uint64

func (s *shardSet) add(i uint64) { s[i/64] |= 1 << (i % 64) }

func (s *shardSet) each(f func(i int)) {
	for j, w := range s {
		for ; w != 0; w &= w - 1 {
			f(j*64 + bits.TrailingZeros64(w))
		}
	}
}

// decide fills in states, and keeps what was spent. Callers hold the locks of
// all shards in turns.
func (m *Memory) decide(asks []Ask, turns []turn, states []State) {
	now := m.now()
	spilled := false
	for i := range turns {
		if !m.find(turns, i, now) {
			if !spilled {
				spilled = true
				m.spill.mu.Lock()
				defer m.spill.mu.Unlock()
			}
			m.findShared(turns, i, &asks[i], now)
		}
	}
	all := true
	for i := range turns {
		if t := &turns[i]; t.shard != nil {
			states[i] = t.spend(now, &turns[t.first].word)
			all = all && (states[i].OK || asks[i].Force)
		}
	}
	if !all {
		for i := range turns {
			turns[i].word = turns[i].was
		}
		for i := range turns {
			t := &turns[i]
			if t.shard == nil {
				continue
			}
			word := &turns[t.first].word
			if asks[i].Force {
				states[i] = t.spend(now, word)
			} else {
				states[i] = t.refuse(now, word, states[i].OK)
			}
		}
	}
	for i := range turns {
		if t := &turns[i]; t.slot != nil {
			t.slot.word.Store(uint64(t.word))
		}
	}
	for i := range turns {
		// With must, for the room that was there may have gone to another ask.
		if t := &turns[i]; t.shard != nil && t.first == i && t.slot == nil && t.word.tat() > now {
			t.shard.insert(t.hash, t.word, now, true)
		}
	}
}

// find looks up the key of turn i and makes it busy. It reports whether there
// is, or could be, a bucket for it.
func (m *Memory) find(turns []turn, i int, now int64) bool {
	t := &turns[i]
	if t.shard == nil || t.join(turns[:i]) {
		return true
	}
	if e := t.shard.table.Load().find(t.hash); e != nil {
		t.hold(i, e)
		return true
	}
	t.first = i
	if t.shard.room(t.hash, now) {
		return true
	}
	t.shard.overflowed++
	return false
}

// findShared looks up the bucket that stands for a, which is that of turn i, and
// makes it busy. Callers hold the lock of m.spill too.
func (m *Memory) findShared(turns []turn, i int, a *Ask, now int64) {
	t := &turns[i]
	t.shard = &m.spill
	for _, key := range []string{a.Overflow, ""} {
		t.hash = m.hash(key, &a.Limit)
		if t.join(turns[:i]) {
			return
		}
		if e := t.shard.table.Load().find(t.hash); e != nil {
			t.hold(i, e)
			return
		}
		if t.shard.room(t.hash, now) {
			return
		}
	}
}

// hold has turn i, which is t, own the key at e until it is decided about.
func (t *turn) hold(i int, e *slot) {
	t.first, t.slot = i, e
	t.was = word(e.word.Swap(busy))
	t.word = t.was
}

// join looks for t's key among the turns before it.
func (t *turn) join(before []turn) bool {
	for i := range before {
		if b := &before[i]; b.hash == t.hash && b.shard == t.shard {
			t.first = b.first
			return true
		}
	}
	return false
}

// spend decides about t, whose key's word is w.
func (t *turn) spend(now int64, w *word) State {
	next, ok := t.rule.spend(now, w.tat())
	if t.rule.cost != 0 {
		*w = w.after(now, next, ok, &t.rule)
	}
	return t.rule.stand(now, next, ok)
}

// refuse is what becomes of t when not all asks have room; ok says whether it
// had.
func (t *turn) refuse(now int64, w *word, ok bool) State {
	tat := t.rule.bound(now, w.tat())
	if !ok && t.rule.cost != 0 {
		*w = w.after(now, tat, ok, &t.rule)
	}
	return t.rule.stand(now, tat, ok)
}
