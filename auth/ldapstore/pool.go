package ldapstore

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// maxAnswer bounds what a server may send in answer to one step, in octets.
const maxAnswer = 256 << 10

// bounded is a connection that fails once a server has sent too much.
type bounded struct {
	net.Conn
	left atomic.Int64
}

var errLong = errors.New("the answer is too long")

func (c *bounded) Read(p []byte) (int, error) {
	left := c.left.Load()
	if left <= 0 {
		return 0, errLong
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), left)])
	c.left.Add(-int64(n))
	return n, err
}

// conn is a connection to a server.
type conn struct {
	*ldap.Conn
	raw  *bounded
	used time.Time
}

// newConn makes a connection of raw. The library's own goroutines end with raw.
func newConn(raw *bounded, tls net.Conn) *conn {
	raw.left.Store(maxAnswer)
	c := &conn{raw: raw}
	if tls != nil {
		c.Conn = ldap.NewConn(tls, true)
	} else {
		c.Conn = ldap.NewConn(raw, false)
	}
	c.Start()
	return c
}

// during runs f, and closes the connection when ctx ends before it, which ends f.
// intact says that it can be used again.
func (c *conn) during(ctx context.Context, f func(*ldap.Conn) error) (intact bool, err error) {
	if err := ctx.Err(); err != nil {
		return true, err
	}
	c.raw.left.Store(maxAnswer)
	stop := context.AfterFunc(ctx, func() { c.raw.Close() })
	err = f(c.Conn)
	if !stop() {
		if err != nil {
			err = errors.Join(ctx.Err(), err)
		}
		return false, err
	}
	return err == nil || answered(err), err
}

// answered reports whether err is what a server said.
func answered(err error) bool {
	var e *ldap.Error
	return errors.As(err, &e) && e.ResultCode < ldap.ErrorNetwork
}

// pool is a bounded number of connections.
type pool struct {
	open  func(context.Context) (*conn, error)
	idle  time.Duration
	slots chan struct{}

	mu     sync.Mutex
	closed bool
	free   []*conn // the last used last
}

func newPool(size int, idle time.Duration, open func(context.Context) (*conn, error)) *pool {
	return &pool{open: open, idle: idle, slots: make(chan struct{}, size)}
}

// do runs f on a connection. One that was kept may have ended meanwhile: then f
// runs once more, on a new one.
func (p *pool) do(ctx context.Context, f func(*ldap.Conn) error) error {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if c := p.take(time.Now()); c != nil {
		intact, err := c.during(ctx, f)
		if p.put(c, intact); intact || ctx.Err() != nil {
			return err
		}
	}
	c, err := p.open(ctx)
	if err != nil {
		return err
	}
	intact, err := c.during(ctx, f)
	p.put(c, intact)
	return err
}

// take takes a connection that was kept, nil when there is none.
func (p *pool) take(now time.Time) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := len(p.free); n > 0; n = len(p.free) {
		c := p.free[n-1]
		p.free = p.free[:n-1]
		if !c.IsClosing() && now.Sub(c.used) < p.idle {
			return c
		}
		c.raw.Close()
	}
	return nil
}

// put keeps a connection, or ends it.
func (p *pool) put(c *conn, intact bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !intact || p.closed {
		c.raw.Close()
		return
	}
	c.used = time.Now()
	p.free = append(p.free, c)
}

// close ends what is kept, and keeps nothing more.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.free {
		c.raw.Close()
	}
	p.free = nil
}
