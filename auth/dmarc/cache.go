package dmarc

import "sync"

const (
	defaultRecords = 4096    // as long as most are, a few hundred octets each
	longestKept    = 1 << 10 // so that a cache of n records takes n times a little more than that
)

// cache keeps parsed records by their text: nothing of an answer outlives the
// resolver's own cache. It has two generations, of which the older is dropped
// when the newer is full, so that what is in use stays.
type cache struct {
	most     int // in each generation; 0 keeps nothing
	mu       sync.Mutex
	new, old map[string]*Record
}

// parse is ParseRecord, whose record others may share. Texts that are no records
// are not kept.
func (c *cache) parse(text string) (*Record, error) {
	if c.most == 0 || len(text) > longestKept || !versioned(text) {
		return ParseRecord(text)
	}
	c.mu.Lock()
	r := c.new[text]
	if r == nil {
		if r = c.old[text]; r != nil {
			c.keep(text, r)
		}
	}
	c.mu.Unlock()
	if r != nil {
		return r, nil
	}
	r, err := ParseRecord(text)
	if err == nil {
		c.mu.Lock()
		c.keep(text, r)
		c.mu.Unlock()
	}
	return r, err
}

// keep puts a record into the newer generation. The caller holds mu.
func (c *cache) keep(text string, r *Record) {
	if len(c.new) >= c.most || c.new == nil {
		c.old, c.new = c.new, make(map[string]*Record)
	}
	c.new[text] = r
}
