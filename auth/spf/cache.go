package spf

import "sync"

// recordSize is the memory that a record takes of the cache on average at most,
// in octets: a text of the size of one UDP answer with what it parses into. A
// cache of n records takes n times as much, whatever is published.
const recordSize = 2 << 10

// cache keeps parsed records by their text. It forgets by generations: when the
// young one is full it becomes the old one, whose records are lost unless they
// were asked for meanwhile. A nil cache keeps nothing.
type cache struct {
	mu         sync.RWMutex
	young, old map[string]*record
	half       int // records a generation
	taken      int // octets of the young one
}

func newCache(entries int) *cache {
	return &cache{young: make(map[string]*record), half: max(entries/2, 1)}
}

// parse returns the parsed record of text, which others may share.
func (c *cache) parse(text string) (*record, error) {
	if c == nil {
		return parse(text)
	}
	c.mu.RLock()
	rec, aged := c.young[text], false
	if rec == nil {
		rec, aged = c.old[text], true
	}
	c.mu.RUnlock()
	if rec == nil {
		parsed, err := parse(text)
		if err != nil {
			parsed = &record{err: err}
		}
		rec = parsed
	}
	if aged {
		c.keep(text, rec)
	}
	return rec, rec.err
}

// keep puts rec into the young generation.
func (c *cache) keep(text string, rec *record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.young[text] != nil {
		return // by somebody who parsed it at the same time
	}
	size := rec.size(text)
	if size > c.half*recordSize {
		return
	}
	if len(c.young) >= c.half || c.taken+size > c.half*recordSize {
		c.old, c.young, c.taken = c.young, make(map[string]*record), 0
	}
	c.young[text] = rec
	c.taken += size
}

// size estimates the memory of a record and of its place in the cache.
func (r *record) size(text string) int {
	n := 200 + len(text)
	for i := range r.directives {
		n += 100 + r.directives[i].target.size()
	}
	return n + r.redirect.size() + r.unreached.size() + r.explain.size()
}

func (s *spec) size() int {
	if s == nil {
		return 0
	}
	return 80 + len(s.constant) + 64*len(s.parts)
}
