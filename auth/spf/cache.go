package spf

import "sync"

// maxCached is the longest record that is kept, in octets. Honest ones fit one
// UDP answer (RFC 7208, section 3.4).
const maxCached = 4 << 10

// cache keeps parsed records by their text. It forgets by generations: when the
// young one is full it becomes the old one, whose records are lost unless they
// were asked for meanwhile. A nil cache keeps nothing.
type cache struct {
	mu         sync.RWMutex
	young, old map[string]*record
	half       int
}

func newCache(entries int) *cache {
	return &cache{young: make(map[string]*record), half: max(entries/2, 1)}
}

// parse returns the parsed record of text, which others may share.
func (c *cache) parse(text string) (*record, error) {
	if c == nil || len(text) > maxCached {
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
	if c.young[text] == nil && len(c.young) >= c.half {
		c.old, c.young = c.young, make(map[string]*record)
	}
	c.young[text] = rec
}
