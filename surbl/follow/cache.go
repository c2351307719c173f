package follow

import "time"

// cache keeps answers, in two halves: when the young one is full it becomes the
// old one, which is dropped.
type cache struct {
	most       int
	young, old map[string]entry
}

type entry struct {
	answer *request
	until  time.Time
}

func (c *cache) get(key string, now time.Time) (*request, bool) {
	e, ok := c.young[key]
	if !ok {
		e, ok = c.old[key]
	}
	if !ok || !now.Before(e.until) {
		return nil, false
	}
	return e.answer, true
}

func (c *cache) put(key string, answer *request, until time.Time) {
	if len(c.young) >= (c.most+1)/2 || c.young == nil {
		c.old, c.young = c.young, make(map[string]entry)
	}
	c.young[key] = entry{answer, until}
}
