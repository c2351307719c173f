package smtpguard

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"
)

// Listener is what a guarded server accepts from: it vets connections before
// go-smtp sees them, and keeps them safe below it.
type Listener struct {
	guard   *Guard
	server  *smtp.Server
	backend *backend
	ln      net.Listener
	cfg     ListenConfig
	host    string // our own name, "" when it is no domain name
	checks  bool   // there are Connect checks

	start  sync.Once
	ready  chan net.Conn // vetted
	done   chan struct{} // closed by Close
	broken chan struct{} // closed when accepting failed for good
	err    error         // why

	lingering atomic.Int32

	mu      sync.Mutex
	closed  bool
	conns   map[*wire]bool // true once handed to go-smtp
	pending int            // those that are not
	empty   chan struct{}  // closed when closed and no connection is left
}

// Listen vets connections on ln before s sees them. s must have been through
// [Harden]; its Backend is asked at connect time too when a guard wrapped it.
// The listener owns ln.
func (g *Guard) Listen(s *smtp.Server, ln net.Listener, cfg ListenConfig) (*Listener, error) {
	cfg = cfg.filled()
	if err := errors.Join(cfg.validate(), served(s)); err != nil {
		return nil, err
	}
	l := &Listener{
		guard: g, server: s, ln: ln, cfg: cfg,
		ready: make(chan net.Conn), done: make(chan struct{}), broken: make(chan struct{}),
		conns: make(map[*wire]bool), empty: make(chan struct{}),
	}
	var ok bool
	if l.backend, ok = s.Backend.(*backend); !ok {
		l.backend = &backend{guards: []*Guard{g}}
	}
	for _, g := range l.backend.guards {
		l.checks = l.checks || len(g.stages[StageConnect]) > 0
	}
	if l.host = g.cfg.Hostname; l.host == "" {
		l.host = s.Domain
	}
	if !validDomain(l.host) {
		l.host = ""
	}
	return l, nil
}

// Serve serves the connections with the server that Listen was given, until
// Close or Shutdown, and then returns nil.
func (l *Listener) Serve() error {
	err := l.server.Serve(l)
	select {
	case <-l.done:
		return nil
	default:
		return err
	}
}

// Accept returns the next connection that passed. It is for smtp.Server.
func (l *Listener) Accept() (net.Conn, error) {
	l.start.Do(func() { go l.loop() })
	select {
	case nc := <-l.ready:
		return nc, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-l.broken:
		return nil, l.err
	}
}

// Addr is the address of the listener below.
func (l *Listener) Addr() net.Addr { return l.ln.Addr() }

// Close stops accepting, closes the connections that are being vetted, and
// begins to drain the others: idle clients get a 421, open transactions may end
// first. It does not wait; smtp.Server.Close and Shutdown call it.
func (l *Listener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.done)
	if len(l.conns) == 0 {
		close(l.empty)
	}
	var vetted, handed []*wire
	for w, over := range l.conns {
		if over {
			handed = append(handed, w)
		} else {
			vetted = append(vetted, w)
		}
	}
	l.mu.Unlock()

	err := l.ln.Close()
	for _, w := range vetted {
		w.shut(true)
	}
	for _, w := range handed {
		w.drain()
	}
	return err
}

// Shutdown is Close, and waits until all connections are gone. When ctx ends
// first it closes them by force and returns ctx's error.
func (l *Listener) Shutdown(ctx context.Context) error {
	err := l.Close()
	select {
	case <-l.empty:
		return err
	case <-ctx.Done():
	}
	l.mu.Lock()
	left := make([]*wire, 0, len(l.conns))
	for w := range l.conns {
		left = append(left, w)
	}
	l.mu.Unlock()
	for _, w := range left {
		w.shut(true)
	}
	return ctx.Err()
}

// loop accepts connections until the listener below is closed. Nothing in it
// waits for a client.
func (l *Listener) loop() {
	var delay time.Duration
	for {
		nc, err := l.ln.Accept()
		if err == nil {
			delay = 0
			l.accepted(nc)
			continue
		}
		var temporary interface{ Temporary() bool } // out of files, say
		if !errors.As(err, &temporary) || !temporary.Temporary() {
			l.err = err
			close(l.broken)
			return
		}
		delay = min(max(2*delay, 5*time.Millisecond), time.Second)
		select {
		case <-time.After(delay):
		case <-l.done:
			return
		}
	}
}

// track begins to keep account of w; it reports whether there is room.
func (l *Listener) track(w *wire) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.pending >= l.cfg.MaxPending || l.cfg.MaxConns > 0 && len(l.conns) >= l.cfg.MaxConns {
		return false
	}
	l.conns[w] = false
	l.pending++
	return true
}

// handOver gives a connection that passed to go-smtp.
func (l *Listener) handOver(w *wire) {
	l.mu.Lock()
	if _, ok := l.conns[w]; !ok || l.closed {
		l.mu.Unlock()
		w.Close()
		return
	}
	l.conns[w] = true
	l.pending--
	l.mu.Unlock()

	if g := l.guard; g.cfg.Observe != nil {
		g.observe(w.conn.event(KindConnect))
	}
	var nc net.Conn = w
	if w.tls != nil {
		nc = w.tls
	}
	select {
	case l.ready <- nc:
	case <-l.done:
		w.Close()
	}
}

// gone ends the account of w.
func (l *Listener) gone(w *wire) {
	l.mu.Lock()
	handed, ok := l.conns[w]
	delete(l.conns, w)
	if ok && !handed {
		l.pending--
	}
	if ok && l.closed && len(l.conns) == 0 {
		close(l.empty)
	}
	l.mu.Unlock()
	if g := l.guard; handed && g.cfg.Observe != nil {
		g.observe(w.conn.event(KindClose))
	}
}

// maxLingering bounds the connections that are closed gently at one time; when
// there are more, the last reply of some may be lost.
const maxLingering = 1000

// linger closes nc gently, in the background. It reports false, and does
// nothing, when too many are being closed so.
func (l *Listener) linger(nc net.Conn) bool {
	if l.lingering.Add(1) > maxLingering {
		l.lingering.Add(-1)
		return false
	}
	go func() {
		defer l.lingering.Add(-1)
		linger(nc)
	}()
	return true
}
