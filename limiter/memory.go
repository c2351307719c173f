package limiter

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/bits"
	"time"
)

// MemoryConfig bounds a [Memory].
type MemoryConfig struct {
	// MaxKeys is how many keys are kept at most, at least 128; 0 means 1,048,576.
	// A key takes 21 to 32 octets, whatever its length. Room is taken as keys
	// come, and a key whose bucket is full again makes room for another.
	MaxKeys int
}

// Memory is the Store of one process. It decides exactly, in the order in which
// asks arrive, and never fails but for asks that are not valid. Its clock is
// monotonic: a step of the wall clock changes nothing.
//
// Keys are told apart by 64 bits of a hash that nobody outside can compute, so
// that whoever chooses keys cannot aim at another's.
//
// Where MaxKeys are kept, a new key takes the place of one that is not being
// limited, the one nearest to its full bucket of those within reach. A key that
// was refused, or has nothing left, keeps its place until its bucket is full
// again, so that a flood of new keys frees nobody. Where only such keys are in
// reach, the new one shares the bucket of its Ask.Overflow; [Memory.Stats]
// counts that.
//
// The zero Memory decides nothing: use [NewMemory].
type Memory struct {
	base   time.Time
	seed   maphash.Seed
	shift  uint // the shard of a key is its hash shifted by this
	shards []shard
	spill  shard // buckets of Ask.Overflow; locked after any other
}

const (
	defaultMaxKeys = 1 << 20
	minMaxKeys     = 128
	maxShards      = 256
	shardKeys      = 1024 // with fewer, shards would fill too unevenly to use MaxKeys
)

// NewMemory returns an empty store.
func NewMemory(cfg MemoryConfig) (*Memory, error) {
	if cfg.MaxKeys == 0 {
		cfg.MaxKeys = defaultMaxKeys
	}
	if cfg.MaxKeys < minMaxKeys {
		return nil, fmt.Errorf("limiter: MaxKeys: %d is less than %d", cfg.MaxKeys, minMaxKeys)
	}
	shared := min(cfg.MaxKeys/16, 1<<16)
	own := cfg.MaxKeys - shared
	n := 1 << (bits.Len(uint(min(max(own/shardKeys, 1), maxShards))) - 1)
	m := &Memory{
		base:   time.Now().Add(-1), // the clock starts above 0, which means never used
		seed:   maphash.MakeSeed(),
		shift:  uint(64 - bits.Len(uint(n-1))),
		shards: make([]shard, n),
	}
	empty := make(table, 1)
	for i := range m.shards {
		m.shards[i].max = own / n
		m.shards[i].table.Store(&empty)
	}
	m.spill.max = shared
	m.spill.table.Store(&empty)
	return m, nil
}

// now is the store's clock, in nanoseconds.
func (m *Memory) now() int64 { return int64(time.Since(m.base)) }

// hash is what the store knows of a key under a limit.
func (m *Memory) hash(key string, l *Limit) uint64 {
	// The limit is the operator's, so mixing it in needs no secret. 0 is no key.
	return maphash.String(m.seed, key) ^
		(uint64(l.N)*0x9e3779b97f4a7c15 + uint64(l.Per)*0xc2b2ae3d27d4eb4f + uint64(l.burst())*0x165667b19e3779f9) | 1
}

func (m *Memory) shard(hash uint64) *shard { return &m.shards[hash>>m.shift] }

// Take decides about all asks as one, and exactly so. It allocates states and,
// for more than a few asks, some room to compute in. ctx is not asked: nothing
// here waits.
func (m *Memory) Take(ctx context.Context, asks []Ask) ([]State, error) {
	states := make([]State, len(asks))
	var err error
	if len(asks) == 1 {
		states[0], err = m.TakeOne(&asks[0])
	} else {
		err = m.takeAll(asks, states)
	}
	if err != nil {
		return nil, err
	}
	return states, nil
}

// TakeOne decides about one ask, and allocates nothing. The only error is that
// of an ask that is not valid.
func (m *Memory) TakeOne(ask *Ask) (State, error) {
	if len(m.shards) == 0 {
		return State{}, errNotMade
	}
	var r rule
	if !r.of(ask) {
		return ask.unruled()
	}
	h := m.hash(ask.Key, &ask.Limit)
	now := m.now()
	s := m.shard(h)
	st, ok := s.table.Load().take(h, now, &r)
	if !ok {
		st, ok = s.take(h, now, &r, false)
	}
	if !ok && ask.Overflow != "" {
		st, ok = m.spill.take(m.hash(ask.Overflow, &ask.Limit), now, &r, false)
	}
	if !ok {
		st, _ = m.spill.take(m.hash("", &ask.Limit), now, &r, true)
	}
	return st, nil
}

// unruled is the answer to an ask without a rule.
func (a *Ask) unruled() (State, error) {
	if err := a.Validate(); err != nil {
		return State{}, fmt.Errorf("limiter: %w", err)
	}
	return a.Limit.boundless(), nil
}

// Allow takes one unit, and reports whether it was there. It is false for a
// limit that is not valid.
func (m *Memory) Allow(key string, limit Limit) bool {
	st, err := m.TakeOne(&Ask{Key: key, Limit: limit, N: 1})
	return err == nil && st.OK
}

// Reset forgets what key has spent of limit, and reports whether there was
// anything to forget. Buckets shared by keys without room stay.
func (m *Memory) Reset(key string, limit Limit) bool {
	if len(m.shards) == 0 {
		return false
	}
	h := m.hash(key, &limit)
	s := m.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forget(h, m.now())
}

// MemoryStats is how full a [Memory] is.
type MemoryStats struct {
	Keys       int    // whose bucket is not full, shared ones included
	Capacity   int    // MaxKeys, or a little less
	Overflowed uint64 // asks decided by a shared bucket so far
	Evicted    uint64 // keys dropped so far before their bucket was full again
}

// Stats looks at every key, which takes milliseconds where there are a million;
// decisions go on meanwhile.
func (m *Memory) Stats() MemoryStats {
	var st MemoryStats
	if len(m.shards) == 0 {
		return st
	}
	now := m.now()
	count := func(s *shard) {
		s.mu.Lock()
		defer s.mu.Unlock()
		st.Keys += s.live(now)
		st.Capacity += s.max
		st.Overflowed += s.overflowed
		st.Evicted += s.evicted
	}
	for i := range m.shards {
		count(&m.shards[i])
	}
	count(&m.spill)
	return st
}

var errNotMade = errors.New("limiter: a Memory that NewMemory has not made")
