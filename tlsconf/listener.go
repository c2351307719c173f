package tlsconf

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/smtpguard/smtpguard"
)

// Listener is a net.Listener whose connections have TLS: each has been through
// the handshake when Accept returns it. A server behind it never sees a client
// without, so that no login can pass in clear text whatever the server allows,
// and no client that is slow, or no client at all, costs it anything.
//
// Without StartTLS the connections are *tls.Conn. With it they only have one's
// methods, and swallow the server's greeting, for the client had the
// listener's: a server that looks for *tls.Conn believes that there is no TLS,
// and has to be told to take logins without.
type Listener struct {
	cfg ListenerConfig
	ln  net.Listener

	start  sync.Once
	ready  chan net.Conn
	done   chan struct{} // closed by Close
	broken chan struct{} // closed when accepting failed for good
	err    error         // why

	mu      sync.Mutex
	closed  bool
	pending map[net.Conn]netip.Prefix // where each is from
	each    map[netip.Prefix]int
}

// NewListener returns a listener that takes in the clients of ln, which it owns.
func NewListener(ln net.Listener, cfg ListenerConfig) (*Listener, error) {
	cfg, err := cfg.checked()
	if err != nil {
		return nil, err
	}
	return &Listener{
		cfg: cfg, ln: ln, pending: make(map[net.Conn]netip.Prefix), each: make(map[netip.Prefix]int),
		ready: make(chan net.Conn), done: make(chan struct{}), broken: make(chan struct{}),
	}, nil
}

// Accept returns the next client that has TLS.
func (l *Listener) Accept() (net.Conn, error) {
	l.start.Do(func() { go l.loop() })
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-l.broken:
		return nil, l.err
	}
}

// Addr is the address of the listener below.
func (l *Listener) Addr() net.Addr { return l.ln.Addr() }

// Close stops accepting, and hangs up on clients that Accept has not returned.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	close(l.done)
	for c := range l.pending {
		c.Close()
	}
	return l.ln.Close()
}

// loop accepts clients. Nothing in it waits for one.
func (l *Listener) loop() {
	var delay time.Duration
	for {
		c, err := l.ln.Accept()
		if err == nil {
			delay = 0
			if l.track(c) {
				go l.take(c)
			} else {
				c.Close()
			}
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

// track begins to keep account of c; it reports whether there is room.
func (l *Listener) track(c net.Conn) bool {
	from := origin(c)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.pending) >= l.cfg.MaxPending || l.each[from] >= l.cfg.MaxPendingEach {
		return false
	}
	l.pending[c] = from
	l.each[from]++
	return true
}

// forget ends that.
func (l *Listener) forget(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := l.pending[c]
	delete(l.pending, c)
	if l.each[from]--; l.each[from] == 0 {
		delete(l.each, from)
	}
}

// origin is the client that c is from: an address, or a network that is one
// customer's.
func origin(c net.Conn) netip.Prefix {
	addr := clientOf(c)
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	from, _ := addr.Prefix(bits) // the zero Prefix for no address
	return from
}

// clientOf is the address that c is from, if it has one.
func clientOf(c net.Conn) netip.Addr {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return a.AddrPort().Addr().Unmap().WithZone("")
}

// take brings c under TLS and hands it over.
func (l *Listener) take(c net.Conn) {
	defer l.forget(c)
	c.SetDeadline(time.Now().Add(l.cfg.Timeout))
	if l.cfg.StartTLS && !l.clear(c) {
		c.Close()
		return
	}
	tc := tls.Server(c, l.cfg.TLS)
	if err := shakeHands(context.Background(), tc); err != nil {
		l.note(c, "TLS handshake failed: "+err.Error())
		c.Close()
		return
	}
	c.SetDeadline(time.Time{})
	var ready net.Conn = tc
	if l.cfg.StartTLS {
		ready = &greeted{Conn: tc, want: l.cfg.Protocol.clear().ok}
	}
	select {
	case l.ready <- ready:
	case <-l.done:
		c.Close()
	}
}

// shakeHands lets no panic out: there are callbacks of the operator's in it.
func shakeHands(ctx context.Context, tc *tls.Conn) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return tc.HandshakeContext(ctx)
}

// clear speaks with the client until it wants TLS; false means that it has
// been given up. What it sent along with the command that begins TLS is not to
// be believed: somebody may have put it there (RFC 3207, section 6).
func (l *Listener) clear(c net.Conn) bool {
	p := l.cfg.Protocol.clear()
	if _, err := c.Write([]byte(p.greeting)); err != nil {
		return false
	}
	r := bufio.NewReaderSize(c, maxClearLine)
	for bad := 0; ; {
		line, err := r.ReadSlice('\n')
		if err != nil { // bufio.ErrBufferFull, too
			return false
		}
		a := p.answer(string(line))
		if a.login {
			l.note(c, "login in clear text refused")
		}
		if a.next == begin && r.Buffered() > 0 {
			l.note(c, "commands sent along with the one that begins TLS")
			return false
		}
		if _, err := c.Write([]byte(a.reply)); err != nil {
			return false
		}
		if a.bad {
			bad++
		}
		if a.next == begin {
			return true
		}
		if a.next == hangUp || bad == maxBad {
			return false
		}
	}
}

func (l *Listener) note(c net.Conn, what string) {
	select {
	case <-l.done:
		return // it is us who hung up
	default:
	}
	if l.cfg.Observe == nil {
		return
	}
	ev := event(smtpguard.KindNote, what, nil)
	ev.Listener = l.cfg.Name
	ev.Client = clientOf(c)
	l.cfg.Observe(ev)
}
