package limiter

import "fmt"

// turn is one ask of several while they are decided.
type turn struct {
	shard *shard // nil under the zero Limit
	hash  uint64
	next  int64
}

// takeAll decides about asks while it holds the locks of all their shards.
func (m *Memory) takeAll(asks []Ask, states []State) error {
	if len(asks) > MaxAsks {
		return errTooManyAsks
	}
	var room [8]turn
	turns := room[:0]
	if len(asks) > len(room) {
		turns = make([]turn, 0, len(asks))
	}
	var used [maxShards]bool
	for i := range asks {
		a := &asks[i]
		if err := a.Validate(); err != nil {
			return fmt.Errorf("limiter: ask %d: %w", i, err)
		}
		var t turn
		if a.Limit.N > 0 {
			t.hash = m.hash(a.Key, &a.Limit)
			t.shard = m.shard(t.hash)
			used[t.hash>>m.shift] = true
		}
		turns = append(turns, t)
	}
	for i := range m.shards {
		if used[i] {
			m.shards[i].mu.Lock()
		}
	}
	m.spill.mu.Lock()
	m.decide(asks, turns, states)
	m.spill.mu.Unlock()
	for i := range m.shards {
		if used[i] {
			m.shards[i].mu.Unlock()
		}
	}
	return nil
}

// decide fills in states, and keeps what was spent. Callers hold the locks of
// all shards in turns and that of m.spill.
func (m *Memory) decide(asks []Ask, turns []turn, states []State) {
	now := m.now()
	for i := range turns {
		if t := &turns[i]; t.shard != nil && !t.shard.holds(t.hash, now) {
			t.shard.overflowed++
			t.shard, t.hash = &m.spill, m.overflow(&asks[i], now)
		}
	}
	refused := false
	for i := range turns {
		t, a := &turns[i], &asks[i]
		t.next, states[i] = a.Spend(now, before(turns, i))
		refused = refused || !states[i].OK && !a.Force
	}
	if refused {
		for i := range turns {
			t, a := &turns[i], &asks[i]
			tat := before(turns, i)
			if a.Force {
				t.next, states[i] = a.Spend(now, tat)
				continue
			}
			ok := states[i].OK
			t.next, states[i] = tat, a.Look(now, tat)
			states[i].OK = ok
		}
	}
	for i := range turns {
		t, a := &turns[i], &asks[i]
		if t.shard == nil || t.shard.put(t.hash, now, t.next, &states[i], t.shard == &m.spill) {
			continue
		}
		// An ask before this one has taken the last room in reach.
		t.shard.overflowed++
		h := m.overflow(a, now)
		next, _ := a.Spend(now, m.spill.tat(h))
		m.spill.put(h, now, next, &states[i], true)
	}
}

// before is the tat that turn i finds.
func before(turns []turn, i int) int64 {
	t := &turns[i]
	if t.shard == nil {
		return 0
	}
	for j := i - 1; j >= 0; j-- {
		if turns[j].hash == t.hash && turns[j].shard == t.shard {
			return turns[j].next
		}
	}
	return t.shard.tat(t.hash)
}
