package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

// Cache bounds how long a password that was right is remembered, so that a
// client that comes again costs no derivation. What is remembered is a keyed hash of
// login and password, whose key is random and never leaves the process. The zero
// value of a field means its default.
type Cache struct {
	For     time.Duration // 1 minute; negative: nothing is remembered
	Entries int           // 10,000
}

func (c Cache) filled() Cache {
	if c.For == 0 {
		c.For = time.Minute
	}
	if c.Entries == 0 {
		c.Entries = 10_000
	}
	return c
}

// cache remembers logins that were proven.
type cache struct {
	Cache
	key [32]byte

	mu      sync.Mutex
	entries map[proof]remembered
}

// proof is the keyed hash of what was proven, and under which version of the
// store.
type proof [sha256.Size]byte

type remembered struct {
	id    *Identity
	until time.Time
}

func newCache(c Cache) *cache {
	s := &cache{Cache: c.filled(), entries: make(map[proof]remembered)}
	rand.Read(s.key[:])
	return s
}

func (c *cache) proof(version uint64, login, password string) proof {
	m := hmac.New(sha256.New, c.key[:])
	var head [16]byte
	binary.BigEndian.PutUint64(head[:8], version)
	binary.BigEndian.PutUint64(head[8:], uint64(len(login)))
	m.Write(head[:])
	m.Write([]byte(login))
	m.Write([]byte(password))
	return proof(m.Sum(nil))
}

func (c *cache) get(p proof, now time.Time) (*Identity, bool) {
	if c.For < 0 {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.entries[p]
	if ok && !now.Before(r.until) {
		delete(c.entries, p)
		ok = false
	}
	return r.id, ok
}

func (c *cache) put(p proof, id *Identity, now time.Time) {
	if c.For < 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[p]; !ok && len(c.entries) >= c.Entries {
		c.evict(now)
	}
	c.entries[p] = remembered{id, now.Add(c.For)}
}

// evict makes room for one entry: what is too old among a few, else any one.
// Callers hold c.mu.
func (c *cache) evict(now time.Time) {
	looked, last := 0, proof{}
	for p, r := range c.entries {
		if !now.Before(r.until) {
			delete(c.entries, p)
		}
		if last, looked = p, looked+1; looked == 8 {
			break
		}
	}
	if len(c.entries) >= c.Entries {
		delete(c.entries, last)
	}
}
