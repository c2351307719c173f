package resolver

import (
	"hash/maphash"
	"sync"
	"time"
)

// shards spread the locks of a large cache; a small one has only one, so that
// its bounds are exact.
const shards = 64

// overhead is what an entry costs besides its text: itself, its place in a map,
// and what allocations are rounded up by.
const overhead = 176

// cache remembers answers, those used last the longest.
type cache struct {
	cfg    Cache
	seed   maphash.Seed
	shards []shard
	most   int   // entries of a shard
	octets int64 // of a shard
}

type shard struct {
	mu      sync.Mutex
	entries map[question]*entry
	flights map[question]*flight
	ring    entry // of all entries: next is what was used last
	octets  int64

	hits, stale, evicted uint64
}

type entry struct {
	question
	answer
	expires time.Duration // in the time of Resolver.now
	dead    time.Duration // when it does not even serve as stale any more
	uses    int32
	stale   bool // the servers failed when it had expired

	prev, next *entry
}

// flight is a question that somebody asks at the moment. The shard's lock guards
// it until it has landed; then it is only read.
type flight struct {
	done  chan struct{} // closed when it has landed; nil while nobody waits
	found found
	lost  bool // who asked went away; somebody else must
}

func newCache(cfg Cache) *cache {
	n := 1
	if cfg.Entries >= shards*64 {
		n = shards
	}
	c := &cache{cfg: cfg, seed: maphash.MakeSeed(), shards: make([]shard, n), most: max(0, cfg.Entries) / n, octets: cfg.Octets / int64(n)}
	for i := range c.shards {
		s := &c.shards[i]
		s.entries, s.flights = make(map[question]*entry), make(map[question]*flight)
		s.ring.prev, s.ring.next = &s.ring, &s.ring
	}
	return c
}

func (c *cache) shard(q question) *shard {
	if len(c.shards) == 1 {
		return &c.shards[0]
	}
	return &c.shards[(maphash.String(c.seed, q.name)+uint64(q.typ))%shards]
}

// get returns what is remembered of q, and whether it should be fetched anew
// while it is still good.
func (c *cache) get(q question, now time.Duration) (f found, ok, refresh bool) {
	s := c.shard(q)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(c, q, now)
}

func (s *shard) get(c *cache, q question, now time.Duration) (f found, ok, refresh bool) {
	e := s.entries[q]
	if e == nil || now >= e.expires {
		return f, false, false
	}
	s.hits++
	if e.stale {
		s.stale++
	}
	e.uses++
	s.touch(e)
	f = found{e.answer, e.expires - now, e.stale}
	if c.cfg.Prefetch > 0 && int(e.uses) >= c.cfg.Prefetch && e.kind == data && !e.stale {
		refresh = f.left < time.Duration(e.ttl)*time.Second/10
		if refresh {
			e.uses = 0 // asked for once; again when as many have used it
		}
	}
	return f, true, refresh
}

// put remembers what a flight brought and returns what to say: the same, or
// what is remembered where servers failed.
func (s *shard) put(c *cache, q question, f found, hasTTL bool, now time.Duration) found {
	old := s.entries[q]
	if f.kind.failure() && old != nil && !old.kind.failure() {
		if now < old.expires && !old.stale { // a refresh that came to nothing
			return found{old.answer, old.expires - now, false}
		}
		if now < old.dead {
			old.expires, old.stale = min(old.dead, now+max(c.cfg.Failure, 0)), true
			s.stale++
			return found{old.answer, old.expires - now, true}
		}
	}
	keep := c.lifetime(&f.answer, hasTTL)
	if f.left = keep; keep <= 0 || c.most == 0 {
		s.remove(old)
		return f
	}
	size := int64(overhead + len(q.name) + len(f.data))
	s.remove(old)
	if size > c.octets {
		return f
	}
	text := q.name + f.data // one allocation, which pins nothing of the caller's
	e := &entry{question: question{text[:len(q.name)], q.typ}, answer: f.answer}
	e.data = text[len(q.name):]
	e.expires, e.dead = now+keep, now+keep
	if !f.kind.failure() {
		e.dead += c.cfg.Stale
	}
	s.entries[e.question] = e
	s.octets += size
	s.link(e)
	for len(s.entries) > c.most || s.octets > c.octets {
		s.remove(s.ring.prev)
		s.evicted++
	}
	return f
}

// stalled returns what serves as stale where no server answered in time, and
// keeps others from waiting as long.
func (s *shard) stalled(c *cache, q question, now time.Duration) (found, bool) {
	e := s.entries[q]
	if e == nil || e.kind.failure() || now >= e.dead {
		return found{}, false
	}
	if now >= e.expires {
		e.expires, e.stale = min(e.dead, now+max(c.cfg.Failure, 0)), true
	}
	s.stale++
	return found{e.answer, e.expires - now, e.stale}, true
}

// lifetime is how long a is kept. It brings a's TTL within the bounds.
func (c *cache) lifetime(a *answer, hasTTL bool) time.Duration {
	ttl := time.Duration(a.ttl) * time.Second
	switch {
	case a.kind.failure(), a.kind.negative() && !hasTTL:
		ttl = max(c.cfg.Failure, 0)
	case a.kind.negative():
		ttl = min(ttl, c.cfg.Negative)
	default:
		ttl = min(max(ttl, c.cfg.Floor), c.cfg.Ceiling)
	}
	a.ttl = uint32(ttl / time.Second)
	return ttl
}

// remove forgets e, which may be nil.
func (s *shard) remove(e *entry) {
	if e == nil || e == &s.ring {
		return
	}
	e.prev.next, e.next.prev = e.next, e.prev
	delete(s.entries, e.question)
	s.octets -= int64(overhead + len(e.name) + len(e.data))
}

func (s *shard) touch(e *entry) {
	if s.ring.next == e {
		return
	}
	e.prev.next, e.next.prev = e.next, e.prev
	s.link(e)
}

func (s *shard) link(e *entry) {
	e.prev, e.next = &s.ring, s.ring.next
	e.prev.next, e.next.prev = e, e
}
