package oauth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/smtpguard/smtpguard/auth"
)

// cache remembers tokens that were good, by a hash whose key never leaves the
// process.
type cache struct {
	auth.Cache
	secret [32]byte

	mu      sync.Mutex
	entries map[hash]entry
}

type hash [sha256.Size]byte

// result is whose a token was, and until when.
type result struct {
	login string
	until time.Time // zero: for ever
}

type entry struct {
	result
	forget time.Time
}

func newCache(c auth.Cache) *cache {
	if c.For == 0 {
		c.For = time.Minute
	}
	if c.Entries == 0 {
		c.Entries = 10_000
	}
	s := &cache{Cache: c, entries: make(map[hash]entry)}
	rand.Read(s.secret[:])
	return s
}

func (c *cache) key(token string) hash {
	m := hmac.New(sha256.New, c.secret[:])
	m.Write([]byte(token))
	return hash(m.Sum(nil))
}

func (c *cache) get(k hash, now time.Time) (result, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[k]
	if ok && !now.Before(e.forget) {
		delete(c.entries, k)
		ok = false
	}
	return e.result, ok
}

func (c *cache) put(k hash, r result, now time.Time) {
	if c.For < 0 {
		return
	}
	forget := now.Add(c.For)
	if !r.until.IsZero() && r.until.Before(forget) {
		forget = r.until
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[k]; !ok && len(c.entries) >= c.Entries {
		c.evict(now)
	}
	c.entries[k] = entry{r, forget}
}

// evict makes room for one entry: what is too old among a few, else any one.
// Callers hold c.mu.
func (c *cache) evict(now time.Time) {
	looked, last := 0, hash{}
	for k, e := range c.entries {
		if !now.Before(e.forget) {
			delete(c.entries, k)
		}
		if last, looked = k, looked+1; looked == 8 {
			break
		}
	}
	if len(c.entries) >= c.Entries {
		delete(c.entries, last)
	}
}
