package smtpguard

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"
)

func prefixes(s ...string) (ps []netip.Prefix) {
	for _, s := range s {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

var loopback = prefixes("127.0.0.0/8")

// RFC 5321, section 3.1: the client waits for the banner.
func TestEarlyTalk(t *testing.T) {
	for _, tt := range []struct {
		name    string
		edit    func(*ListenConfig)
		replies []string
		notes   int
	}{
		{"refused", func(*ListenConfig) {}, []string{refuseEarly}, 1},
		{"allowed", func(lc *ListenConfig) { lc.AllowEarlyTalk = true }, []string{"220 ", "250 ", "250 "}, 1},
		{"no wait", func(lc *ListenConfig) { lc.NoWait = loopback }, []string{"220 ", "250 ", "250 "}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startWire(t, func(_ *wireServer, _ *Config, lc *ListenConfig) {
				lc.Wait = 100 * time.Millisecond
				tt.edit(lc)
			})
			c := dialWire(t, s)
			c.send("HELO client.example\r\n")
			if tt.notes == 0 {
				c.expect(tt.replies[:2]...)
				c.do("NOOP", tt.replies[2])
			} else if len(tt.replies) == 1 {
				c.expect(tt.replies...)
				c.expectEnd()
			} else {
				c.expect(tt.replies[:2]...)
				c.do("NOOP", tt.replies[2])
			}
			if n := s.noted(KindNote, "before the greeting"); n != tt.notes {
				t.Errorf("%d notes, want %d", n, tt.notes)
			}
		})
	}
}

func TestProxy(t *testing.T) {
	const v2 = "\r\n\r\n\x00\r\nQUIT\n"
	for _, tt := range []struct {
		name, header string
		trusted      []netip.Prefix
		addr         string // the client's; "" for none, "refused" for no service
	}{
		{"v1", "PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\r\n", loopback, "192.0.2.7"},
		{"v1 over IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 4711 25\r\n", loopback, "2001:db8::7"},
		{"v1 mapped", "PROXY TCP6 ::ffff:192.0.2.7 ::ffff:192.0.2.1 4711 25\r\n", loopback, "192.0.2.7"},
		{"v1 unknown", "PROXY UNKNOWN\r\n", loopback, ""},
		{"v2", v2 + "\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x67\x00\x19", loopback, "192.0.2.7"},
		{"v2 unspecified", v2 + "\x21\x00\x00\x00", loopback, "refused"}, // go-proxyproto takes none
		{"v2 local", v2 + "\x20\x00\x00\x00", loopback, "127.0.0.1"},
		{"missing", "EHLO client.example\r\n", loopback, "refused"},
		{"broken", "PROXY TCP4 192.0.2.700 198.51.100.1 4711 25\r\n", loopback, "refused"},
		{"nobody is trusted", "PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\r\n", nil, "127.0.0.1"},
		{"another is trusted", "PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\r\n", prefixes("192.0.2.0/24"), "127.0.0.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startWire(t, func(_ *wireServer, _ *Config, lc *ListenConfig) { lc.Proxy = tt.trusted })
			c := dialWire(t, s)
			c.send(tt.header)
			if tt.addr == "refused" {
				if said, _ := io.ReadAll(c.r); len(said) > 0 {
					t.Errorf("the server said %q", said)
				}
				if n := s.noted(KindNote, "PROXY"); n != 1 {
					t.Errorf("%d notes, want 1", n)
				}
				return
			}
			c.expect("220 ")
			if slices.Equal(tt.trusted, loopback) {
				c.do("EHLO client.example", "250 ")
			} else { // the header is a wrong command
				c.expect("50")
				c.do("EHLO client.example", "250 ")
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			conn := s.conns[0]
			var want netip.Addr
			if tt.addr != "" {
				want = netip.MustParseAddr(tt.addr)
			} else if conn.RemoteAddr().String() != "unknown" {
				t.Errorf("RemoteAddr %v", conn.RemoteAddr())
			}
			if conn.Addr() != want {
				t.Errorf("Addr %v, want %v", conn.Addr(), want)
			}
		})
	}
}

// What the client sends along with the PROXY header is early talk.
func TestProxyThenEarlyTalk(t *testing.T) {
	s := startWire(t, func(_ *wireServer, _ *Config, lc *ListenConfig) {
		lc.Proxy, lc.Wait = loopback, 20*time.Millisecond
	})
	c := dialWire(t, s)
	c.send("PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\r\nEHLO x\r\n")
	c.expect(refuseEarly)
	c.expectEnd()
}

func TestConnectCheck(t *testing.T) {
	serverTLS, clientTLS := tlsPair(t)
	refusing := Check{Name: "refusing", Connect: func(context.Context, *Conn) (Verdict, error) {
		return Verdict{Action: Reject}, nil
	}}
	t.Run("clear", func(t *testing.T) {
		s := startWire(t, func(s *wireServer, _ *Config, _ *ListenConfig) { s.checks = []Check{refusing} })
		c := dialWire(t, s)
		c.expect("554 5.7.1 ")
		c.expectEnd()
		if n := s.noted(KindConnect, ""); n != 0 {
			t.Error("the connection was handed over")
		}
	})
	t.Run("implicit TLS", func(t *testing.T) {
		s := startWire(t, func(s *wireServer, _ *Config, lc *ListenConfig) {
			s.checks, lc.TLS = []Check{refusing}, serverTLS
		})
		if _, err := tls.Dial("tcp", s.addr, clientTLS); err == nil {
			t.Error("the handshake went on")
		}
	})
	t.Run("content", func(t *testing.T) {
		s := startWire(t, func(s *wireServer, _ *Config, lc *ListenConfig) {
			s.checks = []Check{{Name: "address", Connect: func(_ context.Context, c *Conn) (Verdict, error) {
				if c.Addr() != netip.MustParseAddr("192.0.2.7") {
					return Verdict{Action: Reject}, nil
				}
				return Verdict{}, nil
			}}}
			lc.Proxy = loopback
		})
		c := dialWire(t, s)
		c.send("PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\r\n")
		c.hello()
		c = dialWire(t, s)
		c.send("PROXY TCP4 192.0.2.8 198.51.100.1 4711 25\r\n")
		c.expect("554 5.7.1 ")
		c.expectEnd()
	})
}

// A last reply reaches a client that has sent more than was read.
func TestRefusalArrives(t *testing.T) {
	s := startWire(t, func(s *wireServer, _ *Config, _ *ListenConfig) {
		s.checks = []Check{{Name: "refusing", Connect: func(context.Context, *Conn) (Verdict, error) {
			return Verdict{Action: Defer}, nil
		}}}
	})
	for range 20 {
		c := dialWire(t, s)
		c.send(strings.Repeat("octets that nobody reads\r\n", 1000))
		c.expect("421 4.7.0 ")
		c.expectEnd()
	}
}

// Who stalls is nobody's concern but its own.
func TestStalledClientsHoldUpNobody(t *testing.T) {
	serverTLS, clientTLS := tlsPair(t)
	s := startWire(t, func(_ *wireServer, _ *Config, lc *ListenConfig) { lc.TLS, lc.Proxy = serverTLS, loopback })
	for range 20 {
		dialWire(t, s)
		c := dialWire(t, s)
		c.send("PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\r\n") // and no handshake
	}
	c := dialWire(t, s)
	c.send("PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\r\n")
	c = newWireClient(t, tls.Client(c.Conn, clientTLS))
	c.hello()
	c.do("QUIT", "221 ")
}

func TestTooMany(t *testing.T) {
	t.Run("connections", func(t *testing.T) {
		s := startWire(t, func(_ *wireServer, _ *Config, lc *ListenConfig) { lc.MaxConns = 2 })
		a, b := dialWire(t, s), dialWire(t, s)
		a.hello()
		b.hello()
		c := dialWire(t, s)
		c.expect("421 4.3.2 ")
		a.do("QUIT", "221 ")
		a.expectEnd()
		waitFor(t, "room", func() bool { return s.noted(KindClose, "") == 1 })
		dialWire(t, s).hello()
		if n := s.noted(KindNote, "too many connections"); n != 1 {
			t.Errorf("%d notes, want 1", n)
		}
	})
	t.Run("pending", func(t *testing.T) {
		s := startWire(t, func(_ *wireServer, _ *Config, lc *ListenConfig) {
			lc.Wait, lc.MaxPending = time.Minute, 2
		})
		dialWire(t, s)
		dialWire(t, s)
		dialWire(t, s).expect("421 4.3.2 ")
	})
}

// waitFor polls until cond holds, for what a client cannot see.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for range 1000 {
		if cond() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("no %s", what)
}

// An idle client hears that the server ends; an open transaction may end first.
func TestDrain(t *testing.T) {
	for _, tt := range []struct {
		name string
		shut func(context.Context, *wireServer) error
	}{
		{"Listener", func(ctx context.Context, s *wireServer) error { return s.listener.Shutdown(ctx) }},
		{"Server", func(ctx context.Context, s *wireServer) error { return s.Server.Shutdown(ctx) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachWire(t, startWire, func(t *testing.T, s *wireServer, busy *wireClient) {
				clear := s.TLSConfig == nil && s.listener.cfg.TLS == nil
				var idle *wireClient
				if clear {
					idle = dialWire(t, s)
					idle.hello()
				}
				busy.do("MAIL FROM:<a@example.com>", "250 ")
				busy.do("RCPT TO:<b@example.org>", "250 ")
				end := make(chan error, 1)
				go func() { end <- tt.shut(t.Context(), s) }()
				if clear {
					idle.expect(byeDrain)
					idle.expectEnd()
				} else {
					<-s.listener.done
				}
				busy.do("DATA", "354 ")
				busy.do("x\r\n.", "250 ")
				if clear {
					busy.expect(byeDrain)
				} else {
					busy.expect("421 4.4.2 ")
				}
				busy.expectEnd()
				if err := <-end; err != nil {
					t.Errorf("Shutdown: %v", err)
				}
				if n := len(s.received()); n != 1 {
					t.Errorf("%d messages, want 1", n)
				}
			})
		})
	}
}

// go-smtp leaves connections usable when its own Shutdown runs out of time.
func TestShutdownByForce(t *testing.T) {
	eachWire(t, startWire, func(t *testing.T, s *wireServer, c *wireClient) {
		c.do("MAIL FROM:<a@example.com>", "250 ")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.listener.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown: %v, want the context's error", err)
		}
		io.WriteString(c, "RCPT TO:<b@example.org>\r\n")
		if line, err := c.reply(); err == nil {
			t.Errorf("the connection lives: %q", line)
		}
		if err := s.listener.Shutdown(t.Context()); err != nil {
			t.Errorf("second Shutdown: %v", err)
		}
	})
}

// Close ends what is being vetted, at each point of it.
func TestCloseWhileVetting(t *testing.T) {
	serverTLS, _ := tlsPair(t)
	entered := make(chan struct{}, 1)
	for _, tt := range []struct {
		name string
		opt  wireOption
		sync func(*wireServer)
	}{
		{"wait", func(_ *wireServer, _ *Config, lc *ListenConfig) { lc.Wait = time.Minute }, nil},
		{"PROXY header", func(_ *wireServer, _ *Config, lc *ListenConfig) { lc.Proxy = loopback }, nil},
		{"handshake", func(_ *wireServer, _ *Config, lc *ListenConfig) { lc.TLS = serverTLS }, nil},
		{"check", func(s *wireServer, _ *Config, _ *ListenConfig) {
			s.checks = []Check{{Name: "slow", Connect: func(ctx context.Context, c *Conn) (Verdict, error) {
				entered <- struct{}{}
				<-ctx.Done()
				return Verdict{}, ctx.Err()
			}}}
		}, func(*wireServer) { <-entered }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startWire(t, tt.opt)
			c := dialWire(t, s)
			waitFor(t, "connection", func() bool {
				s.listener.mu.Lock()
				defer s.listener.mu.Unlock()
				return len(s.listener.conns) == 1
			})
			if tt.sync != nil {
				tt.sync(s)
			}
			if err := s.listener.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			if line, err := c.reply(); err == nil {
				t.Errorf("the server said %q", line)
			}
		})
	}
}

// What has no goroutine of its own while it waits leaves none behind either.
func TestWaitingNeedsNoGoroutine(t *testing.T) {
	s := startWire(t, func(_ *wireServer, _ *Config, lc *ListenConfig) { lc.Wait = time.Minute })
	waitFor(t, "loop", func() bool { return s.waiting() == 0 })
	before := runtime.NumGoroutine()
	for range 100 {
		dialWire(t, s)
	}
	waitFor(t, "100 waiting", func() bool { return s.waiting() == 100 })
	if n := runtime.NumGoroutine(); n > before+5 {
		t.Errorf("%d goroutines more for 100 clients", n-before)
	}
}

func (s *wireServer) waiting() int {
	s.listener.mu.Lock()
	defer s.listener.mu.Unlock()
	return s.listener.pending
}

// flaky is a listener that is out of files now and then.
type flaky struct {
	net.Listener
	mu    sync.Mutex
	fails []error
}

func (f *flaky) Accept() (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.fails) > 0 {
		err := f.fails[0]
		f.fails = f.fails[1:]
		return nil, err
	}
	return f.Listener.Accept()
}

type outOfFiles struct{ error }

func (outOfFiles) Temporary() bool { return true }

func TestAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		no := outOfFiles{errors.New("too many open files")}
		startWireOn(t, &flaky{Listener: ln, fails: []error{no, no, no}})
		start := time.Now()
		ln.dial(t).hello()
		within(t, "served", time.Since(start), 35*time.Millisecond, 35*time.Millisecond) // 5, 10 and 20
	})
	errBroken := errors.New("for good")
	g, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	srv := smtp.NewServer(&wireServer{})
	if err := Harden(srv); err != nil {
		t.Fatal(err)
	}
	l, err := g.Listen(srv, &flaky{Listener: newPipes(), fails: []error{errBroken}}, ListenConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Serve(); !errors.Is(err, errBroken) {
		t.Errorf("Serve: %v, want %v", err, errBroken)
	}
	l.Close()
}

func TestEvents(t *testing.T) {
	s := startWire(t, func(_ *wireServer, _ *Config, lc *ListenConfig) { lc.Name = "mx" })
	c := dialWire(t, s)
	c.hello()
	c.do("QUIT", "221 ")
	c.expectEnd()
	waitFor(t, "close event", func() bool { return s.noted(KindClose, "") == 1 })
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, k := range []Kind{KindConnect, KindClose} {
		ev := s.events[i]
		if ev.Kind != k || ev.Listener != "mx" || ev.Client != netip.MustParseAddr("127.0.0.1") || ev.Conn != s.conns[0].ID() {
			t.Errorf("event %d: %+v", i, ev)
		}
	}
}

func TestListenConfig(t *testing.T) {
	g, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		cfg    ListenConfig
		fields []string
	}{
		{ListenConfig{}, nil},
		{ListenConfig{Wait: time.Second, NoWait: loopback, Proxy: loopback}, nil},
		{ListenConfig{Wait: -1, HandshakeTimeout: -1, BodyTimeout: -1, Lifetime: -1, MinRate: -1, MaxPending: -1, MaxConns: -1},
			[]string{"Wait", "HandshakeTimeout", "BodyTimeout", "Lifetime", "MinRate", "MaxPending", "MaxConns"}},
		{ListenConfig{Wait: 5 * time.Minute}, []string{"Wait"}},
		{ListenConfig{NoWait: loopback}, []string{"NoWait"}},
		{ListenConfig{Wait: time.Minute, Lifetime: time.Minute}, []string{"Lifetime"}},
		{ListenConfig{Proxy: make([]netip.Prefix, 1)}, []string{"Proxy"}},
		{ListenConfig{TLS: &tls.Config{}}, []string{"TLS"}},
	} {
		s := smtp.NewServer(&wireServer{})
		if err := Harden(s); err != nil {
			t.Fatal(err)
		}
		_, err := g.Listen(s, newPipes(), tt.cfg)
		if (err == nil) != (len(tt.fields) == 0) {
			t.Errorf("%+v: %v", tt.cfg, err)
		}
		for _, f := range tt.fields {
			if err == nil || !strings.Contains(err.Error(), "ListenConfig."+f+" ") {
				t.Errorf("%+v: %v does not name %s", tt.cfg, err, f)
			}
		}
	}
	_, err = g.Listen(smtp.NewServer(&wireServer{}), newPipes(), ListenConfig{})
	for _, f := range []string{"ReadTimeout", "WriteTimeout", "MaxLineLength", "call Harden"} {
		if err == nil || !strings.Contains(err.Error(), f) {
			t.Errorf("a server as it comes: %v does not name %s", err, f)
		}
	}
}

// BenchmarkWaiting reports what a connection in the pre-greeting wait holds. The
// client's end, a bare socket, is ours too and counts.
func BenchmarkWaiting(b *testing.B) {
	const n = 500
	for b.Loop() {
		s := startWire(b, func(_ *wireServer, _ *Config, lc *ListenConfig) { lc.Wait = time.Minute })
		conns := make([]net.Conn, 0, n)
		before := inUse()
		for range n {
			nc, err := net.Dial("tcp", s.addr)
			if err != nil {
				b.Fatal(err)
			}
			conns = append(conns, nc)
		}
		for s.waiting() < n {
			time.Sleep(time.Millisecond)
		}
		b.ReportMetric(float64(inUse()-before)/n, "B/conn")
		for _, c := range conns {
			c.Close()
		}
		s.listener.Close()
	}
}

// inUse is the memory that the heap and the stacks hold.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
