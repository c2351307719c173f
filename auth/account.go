package auth

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
)

// Account is a login as a store keeps it that has hashes: a file, a table.
type Account struct {
	Identity  *Identity // of the login
	Disabled  bool
	Passwords []Password
}

// Password is one password of an account: its own, or an app password.
type Password struct {
	// Identity is what it logs in as, nil for the account's own. That of an app
	// password names it in App, and the account's in Within.
	Identity *Identity
	Disabled bool

	// Forms are hashes of this one password. A PLAIN or LOGIN exchange is judged
	// by the one that costs a thief most, SCRAM by its keys.
	Forms []Hash
}

// main is the form that a clear-text password is compared with, nil for none.
// What needs memory comes first, for that is what a thief's hardware lacks.
func (p *Password) main() *Hash {
	for _, kind := range []Kind{Argon2id, Scrypt, Bcrypt, ScramKeysSHA256, ScramKeysSHA1} {
		for i := range p.Forms {
			if p.Forms[i].kind == kind {
				return &p.Forms[i]
			}
		}
	}
	return nil
}

// identity is what p logs in as, nil when that is disabled.
func (a *Account) identity(p *Password) *Identity {
	switch {
	case a.Disabled || p.Disabled:
		return nil
	case p.Identity != nil:
		return p.Identity
	}
	return a.Identity
}

// Scram returns the account's keys for a mechanism, [ScramSHA256] or [ScramSHA1]:
// what a [ScramStore] that has accounts has to give.
func (a *Account) Scram(mechanism string) []ScramKey {
	var all []ScramKey
	for i := range a.Passwords {
		p := &a.Passwords[i]
		for j := range p.Forms {
			if h := &p.Forms[j]; h.kind.mechanism() == mechanism {
				all = append(all, ScramKey{Salt: h.salt, Iterations: h.cost.time, Stored: h.key, Server: h.server, Identity: a.identity(p)})
			}
		}
	}
	return all
}

// maxWork bounds the derivations of one check.
const maxWork = 8

// Checker compares passwords with hashes, with the same work for every password,
// whether it is right or wrong, its login unknown or disabled: for each kind and
// cost of hash as many derivations as the account with the most needs. In a
// store where all hashes are of one kind and cost, and app passwords share the
// salt of the login's first ([Hash.Beside]), that is one.
//
// The zero Checker is ready for use, and safe for concurrent use.
type Checker struct {
	mu    sync.Mutex
	most  map[work]int  // replaced, never written to
	total *atomic.Int64 // counts for several, in place of count
	count atomic.Int64
}

// Know makes every check cost what one of a takes. A store calls it for each of
// its accounts, as soon as it knows them. It fails, and changes nothing, when a
// check would take more than eight derivations.
func (c *Checker) Know(a *Account) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	most, total := maps.Clone(c.most), 0
	if most == nil {
		most = make(map[work]int)
	}
	mine := make(map[work]int)
	for _, t := range a.tasks() {
		mine[t.work]++
		most[t.work] = max(most[t.work], mine[t.work])
	}
	for _, n := range most {
		total += n
	}
	if total > maxWork {
		return fmt.Errorf("auth: every check would take %d derivations, over %d: have fewer kinds of hash, and make app passwords share a salt", total, maxWork)
	}
	c.most = most
	return nil
}

// Derivations counts the keys derived so far.
func (c *Checker) Derivations() int64 { return c.derived().Load() }

func (c *Checker) derived() *atomic.Int64 {
	if c.total != nil {
		return c.total
	}
	return &c.count
}

// task is one derivation, and the passwords that it serves.
type task struct {
	work
	salt, bcrypt []byte
	passwords    []int // by their place in Account.Passwords
}

// tasks are the derivations that tell whose password one is.
func (a *Account) tasks() []task {
	var all []task
next:
	for i := range a.Passwords {
		h := a.Passwords[i].main()
		if h == nil {
			continue
		}
		t := task{work: h.work(), salt: h.salt, passwords: []int{i}}
		if h.kind == Bcrypt {
			t.bcrypt = h.key
		}
		for j := range all {
			if all[j].work == t.work && h.kind != Bcrypt && string(all[j].salt) == string(t.salt) {
				all[j].passwords = append(all[j].passwords, i)
				continue next
			}
		}
		all = append(all, t)
	}
	return all
}

// Check judges password; a is nil for a login that is unknown. Its errors wrap
// [ErrCredentials], or say that ctx is over.
func (c *Checker) Check(ctx context.Context, a *Account, password string) (*Identity, error) {
	password, long := preparePassword(password)
	c.mu.Lock()
	left := maps.Clone(c.most)
	c.mu.Unlock()
	if len(left) == 0 {
		w, err := Argon2id.usual()
		if err != nil {
			return nil, err
		}
		left = map[work]int{w: 1}
	}
	var found *Identity
	disabled := false
	if a != nil {
		for _, t := range a.tasks() {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			left[t.work]--
			c.derived().Add(1)
			key := t.derive(password, t.salt, t.bcrypt)
			for _, i := range t.passwords {
				p := &a.Passwords[i]
				if !p.main().fits(key) || long {
					continue
				}
				if id := a.identity(p); id == nil {
					disabled = true
				} else if found == nil {
					found = id
				}
			}
		}
	}
	if err := c.pad(ctx, left, password); err != nil {
		return nil, err
	}
	switch {
	case found != nil:
		return found, nil
	case disabled:
		return nil, fmt.Errorf("%w: disabled", ErrCredentials)
	}
	return nil, ErrCredentials
}

// pad does the work that is left, for nothing.
func (c *Checker) pad(ctx context.Context, left map[work]int, password string) error {
	for w, n := range left {
		for range n {
			if err := ctx.Err(); err != nil {
				return err
			}
			c.derived().Add(1)
			w.derive(password, decoySalt[:], decoyBcrypt(w.cost.time))
		}
	}
	return nil
}

// decoySalt is for work whose result nobody looks at.
var decoySalt [16]byte

// decoyBcrypt is a hash of the given cost that no password is known to fit.
func decoyBcrypt(n int) []byte {
	return fmt.Appendf(nil, "$2a$%02d$......................%s", n, "...............................")
}
