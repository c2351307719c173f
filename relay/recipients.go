package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// recipients asks whether an address exists, and remembers the answer. The zero
// recipients knows every address.
type recipients struct {
	ask    func(context.Context, string) (bool, error)
	limits Cache // filled

	mu      sync.Mutex
	answers map[string]answer
	calls   map[string]*call
}

// answer is what ask said, until it is too old.
type answer struct {
	known bool
	until time.Time
}

// call is one ask under way, for all who wait for the same address.
type call struct {
	ctx     context.Context // ends when nobody waits any more
	cancel  context.CancelFunc
	waiting int // guarded by recipients.mu

	done  chan struct{} // closed when known and err are set
	known bool
	err   error
}

// known reports whether addr exists. An error says that nobody knows.
func (r *recipients) known(ctx context.Context, addr string) (bool, error) {
	if r.ask == nil {
		return true, nil
	}
	for {
		r.mu.Lock()
		if a, ok := r.answers[addr]; ok && time.Now().Before(a.until) {
			r.mu.Unlock()
			return a.known, nil
		}
		c := r.calls[addr]
		if c == nil {
			c = r.start(ctx, addr)
		}
		late := c.ctx.Err() != nil // given up by all others: wait for its end, then ask anew
		c.waiting++
		r.mu.Unlock()

		select {
		case <-c.done:
			if !late {
				return c.known, c.err
			}
		case <-ctx.Done():
			r.leave(c)
			return false, ctx.Err()
		}
	}
}

// start begins a call, with the values of ctx but not its end: others may join.
// Callers hold r.mu.
func (r *recipients) start(ctx context.Context, addr string) *call {
	c := &call{done: make(chan struct{}), err: errors.New("relay: the recipient lookup did not return")}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if r.calls == nil {
		r.calls = make(map[string]*call)
	}
	r.calls[addr] = c
	go func() {
		defer func() {
			if p := recover(); p != nil { // no guard sees this goroutine
				c.err = fmt.Errorf("relay: panic in the recipient lookup: %v", p)
			}
			r.finish(addr, c)
		}()
		c.known, c.err = r.ask(c.ctx, addr)
	}()
	return c
}

// leave is for who waits no more.
func (r *recipients) leave(c *call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.waiting--; c.waiting == 0 {
		c.cancel()
	}
}

// finish keeps the result of c, and tells who waits for it.
func (r *recipients) finish(addr string, c *call) {
	r.mu.Lock()
	delete(r.calls, addr)
	if c.err == nil && c.ctx.Err() == nil {
		r.keep(addr, c.known, time.Now())
	}
	r.mu.Unlock()
	close(c.done)
	c.cancel()
}

// keep remembers an answer. Callers hold r.mu.
func (r *recipients) keep(addr string, known bool, now time.Time) {
	ttl := r.limits.Unknown
	if known {
		ttl = r.limits.Known
	}
	if ttl <= 0 {
		return
	}
	if r.answers == nil {
		r.answers = make(map[string]answer)
	}
	if _, ok := r.answers[addr]; !ok && len(r.answers) >= r.limits.Entries {
		r.evict(now)
	}
	r.answers[addr] = answer{known, now.Add(ttl)}
}

// evict makes room for one answer: what is too old among a few, else any one.
// Go's maps begin anywhere, so no client can choose who has to go.
func (r *recipients) evict(now time.Time) {
	looked, last := 0, ""
	for addr, a := range r.answers {
		if !now.Before(a.until) {
			delete(r.answers, addr)
		}
		if last, looked = addr, looked+1; looked == 8 {
			break
		}
	}
	if len(r.answers) >= r.limits.Entries {
		delete(r.answers, last)
	}
}
