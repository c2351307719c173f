package limiter_test

import (
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/smtpguard/smtpguard"
)

// pipes is a listener in memory, so that a server runs on the bubble's clock.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { p.once.Do(func() { close(p.done) }); return nil }

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 25), Port: 25} }

// pipe is the server's end of a connection from an address.
type pipe struct {
	net.Conn
	remote net.Addr
}

func (p pipe) RemoteAddr() net.Addr { return p.remote }

// clientEnd is the client's. A write of nothing to a pipe waits for its reader,
// and to a socket for nobody.
type clientEnd struct{ net.Conn }

func (c clientEnd) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return c.Conn.Write(p)
}

// bubble serves checks in memory, inside a synctest bubble.
func bubble(t testing.TB, checks ...smtpguard.Check) *lab {
	t.Helper()
	l := new(lab)
	srv, guard := guarded(t, l, checks...)
	in := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	ln, err := guard.Listen(srv, in, smtpguard.ListenConfig{})
	if err != nil {
		t.Fatal(err)
	}
	run(t, srv, ln)
	l.dial = func(client string) net.Conn {
		ours, theirs := net.Pipe()
		in.conns <- pipe{theirs, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(client), 2525))}
		return clientEnd{ours}
	}
	return l
}
