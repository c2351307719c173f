package tlsconf_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/tlsconf"
)

// talker is a client that speaks in lines.
type talker struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func talk(t testing.TB, addr string) *talker {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &talker{t, c, bufio.NewReader(c)}
}

// want reads a line.
func (c *talker) want(line string) {
	c.t.Helper()
	if got, err := c.r.ReadString('\n'); got != line+"\r\n" {
		c.t.Fatalf("got %q, %v, want %q", got, err, line)
	}
}

func (c *talker) say(line string) { io.WriteString(c.Conn, line+"\r\n") }

// wantEnd reads the end of the connection.
func (c *talker) wantEnd() {
	c.t.Helper()
	if got, err := io.ReadAll(c.r); len(got) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("got %q, %v, want the end", got, err)
	}
}

// begin shakes hands, and returns the same client under TLS.
func (c *talker) begin(cfg *tls.Config) *talker {
	c.t.Helper()
	tc := tls.Client(c.Conn, cfg)
	if err := tc.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	return &talker{c.t, tc, bufio.NewReader(tc)}
}

// reception is a listener with a server that greets and repeats what it hears.
type reception struct {
	*tlsconf.Listener
	addr string
	e    *events

	mu  sync.Mutex
	got []net.Conn
}

func (r *reception) conns() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

func (r *reception) first() net.Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[0]
}

func receive(t testing.TB, greeting string, cfg tlsconf.ListenerConfig) *reception {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &reception{addr: ln.Addr().String(), e: new(events)}
	cfg.Name, cfg.Observe = "test", r.e.observe
	if r.Listener, err = tlsconf.NewListener(ln, cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	go func() {
		for {
			c, err := r.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.got = append(r.got, c)
			r.mu.Unlock()
			go func() {
				defer c.Close()
				for i := range len(greeting) { // octet by octet: it may come in pieces
					io.WriteString(c, greeting[i:i+1])
				}
				io.Copy(c, c)
			}()
		}
	}()
	return r
}

func TestListener(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, wish{names: []string{"mail.example.org"}})
	config := func(p tlsconf.Protocol) *tls.Config {
		return server(t, tlsconf.Submission, tlsconf.ServerConfig{Protocol: p, Certificates: one{&cert}})
	}
	client := &tls.Config{RootCAs: ca.pool, ServerName: "mail.example.org"}
	imap := tlsconf.ListenerConfig{Protocol: tlsconf.IMAP, TLS: config(tlsconf.IMAP), StartTLS: true}
	pop3 := tlsconf.ListenerConfig{Protocol: tlsconf.POP3, TLS: config(tlsconf.POP3), StartTLS: true}
	imaps, pop3s := imap, pop3
	imaps.StartTLS, pop3s.StartTLS = false, false
	const imapGreeting = "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] Ready for STARTTLS"

	t.Run("implicit", func(t *testing.T) {
		for _, cfg := range []tlsconf.ListenerConfig{imaps, pop3s} {
			r := receive(t, "hello\r\n", cfg)
			c := talk(t, r.addr).begin(client)
			c.want("hello")
			c.say("a")
			c.want("a")
			if _, ok := r.first().(*tls.Conn); !ok {
				t.Errorf("Accept returned a %T", r.first())
			}
		}
	})
	t.Run("IMAP", func(t *testing.T) {
		r := receive(t, "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] server\r\n", imap)
		c := talk(t, r.addr)
		c.want(imapGreeting)
		c.say("a LOGIN ann secret")
		c.want("a NO [PRIVACYREQUIRED] STARTTLS first")
		c.say("b STARTTLS")
		c.want("b OK Begin TLS now")
		c = c.begin(client)
		c.say("c CAPABILITY")
		c.want("c CAPABILITY") // and no greeting
		if s, ok := r.first().(interface{ ConnectionState() tls.ConnectionState }); !ok || !s.ConnectionState().HandshakeComplete {
			t.Errorf("%T", r.first())
		}
		if ev := r.e.take(); len(ev) != 1 || ev[0].Reason != "login in clear text refused" || ev[0].Listener != "test" || ev[0].Client.String() != "127.0.0.1" {
			t.Errorf("%+v", ev)
		}
	})
	t.Run("POP3", func(t *testing.T) {
		r := receive(t, "+OK server <1@example.org>\r\n", pop3)
		c := talk(t, r.addr)
		c.want("+OK Ready for STLS")
		c.say("USER ann")
		c.want("-ERR STLS first")
		c.say("PASS secret")
		c.want("-ERR STLS first")
		c.say("STLS")
		c.want("+OK Begin TLS now")
		c = c.begin(client)
		c.say("CAPA")
		c.want("CAPA")
	})
	t.Run("a server that does not take the client", func(t *testing.T) {
		for greeting, cfg := range map[string]tlsconf.ListenerConfig{"* BYE full": imap, "-ERR full": pop3, "*": imap} {
			c := talk(t, receive(t, greeting+"\r\n", cfg).addr)
			c.r.ReadString('\n')
			if c.say("STLS"); cfg.Protocol == tlsconf.IMAP {
				c.r.ReadString('\n')
				c.say("a STARTTLS")
			}
			c.r.ReadString('\n')
			c.begin(client).want(greeting)
		}
	})
	t.Run("commands sent along", func(t *testing.T) {
		r := receive(t, "* OK server\r\n", imap)
		c := talk(t, r.addr)
		c.want(imapGreeting)
		io.WriteString(c, "a STARTTLS\r\nb LOGIN ann secret\r\n")
		c.wantEnd()
		waitFor(t, "the event", func() bool { return r.e.has("commands sent along with the one that begins TLS") })
		if r.conns() != 0 {
			t.Error("the server saw it")
		}
	})
	t.Run("refused too often", func(t *testing.T) {
		c := talk(t, receive(t, "", pop3).addr)
		c.want("+OK Ready for STLS")
		for range 10 {
			c.say("STAT")
			c.want("-ERR Only CAPA, STLS and QUIT before TLS")
		}
		c.wantEnd()
	})
	t.Run("a line without an end", func(t *testing.T) {
		c := talk(t, receive(t, "", pop3).addr)
		c.want("+OK Ready for STLS")
		io.WriteString(c, strings.Repeat("x", 2000))
		c.wantEnd()
	})
	t.Run("no TLS", func(t *testing.T) {
		r := receive(t, "hello\r\n", imaps)
		c := talk(t, r.addr)
		c.say("a LOGIN ann secret")
		if _, err := io.Copy(io.Discard, c.r); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		waitFor(t, "the event", func() bool { return len(r.e.reasons()) == 1 })
		if got := r.e.reasons()[0]; !strings.HasPrefix(got, "TLS handshake failed: tls: ") {
			t.Error(got)
		}
		if r.conns() != 0 {
			t.Error("the server saw it")
		}
	})
	t.Run("an operator's panic", func(t *testing.T) {
		cfg := imaps
		cfg.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { panic("none today") }}
		r := receive(t, "", cfg)
		if err := tls.Client(talk(t, r.addr), client).Handshake(); err == nil {
			t.Error("no error")
		}
		waitFor(t, "the event", func() bool { return r.e.has("TLS handshake failed: panic: none today") })
	})
	t.Run("slow clients", func(t *testing.T) {
		for _, cfg := range []tlsconf.ListenerConfig{imap, imaps} {
			cfg.Timeout = 50 * time.Millisecond
			r := receive(t, "", cfg)
			c := talk(t, r.addr)
			if cfg.StartTLS {
				c.want(imapGreeting)
			}
			io.WriteString(c, "\x16") // the first octet of a handshake
			start := time.Now()
			io.Copy(io.Discard, c.r)
			if d := time.Since(start); d > 10*time.Second {
				t.Errorf("hung up on after %v", d)
			}
		}
	})
	t.Run("too many", func(t *testing.T) {
		cfg := imaps
		cfg.MaxPending, cfg.MaxPendingEach = 2, 2
		r := receive(t, "hello\r\n", cfg)
		idle := []*talker{talk(t, r.addr), talk(t, r.addr)}
		waitFor(t, "a client that is one too many", func() bool {
			c := talk(t, r.addr)
			c.SetDeadline(time.Now().Add(50 * time.Millisecond))
			_, err := c.Read(make([]byte, 1))
			var ne net.Error
			return !errors.As(err, &ne) || !ne.Timeout()
		})
		idle[0].Close()
		waitFor(t, "room", func() bool {
			c, err := tls.Dial("tcp", r.addr, client)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	})
	t.Run("too many from one client", func(t *testing.T) {
		cfg := imaps
		cfg.MaxPending, cfg.MaxPendingEach = 10, 1
		r := receive(t, "hello\r\n", cfg)
		idle := talk(t, r.addr)
		waitFor(t, "a client that is one too many", func() bool {
			c := talk(t, r.addr)
			c.SetDeadline(time.Now().Add(50 * time.Millisecond))
			_, err := c.Read(make([]byte, 1))
			var ne net.Error
			return !errors.As(err, &ne) || !ne.Timeout()
		})
		other := &tls.Dialer{NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}, Config: client}
		c, err := other.Dial("tcp", r.addr)
		if err != nil {
			t.Fatalf("another client: %v", err)
		}
		c.Close()
		idle.Close()
		waitFor(t, "room", func() bool {
			c, err := tls.Dial("tcp", r.addr, client)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	})
	t.Run("Close", func(t *testing.T) {
		r := receive(t, "* OK server\r\n", imap)
		c := talk(t, r.addr)
		c.want(imapGreeting)
		r.Close()
		c.wantEnd()
		if _, err := r.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
		if r.Close() != nil || len(r.e.take()) != 0 {
			t.Error("a second Close, or the first, was noted")
		}
	})
}

func TestListenerErrors(t *testing.T) {
	cfg := &tls.Config{Certificates: make([]tls.Certificate, 1)}
	for want, c := range map[string]tlsconf.ListenerConfig{
		"tlsconf: ListenerConfig.TLS is without a certificate": {TLS: new(tls.Config)},
		"ListenerConfig.TLS is":                                {},
		"ListenerConfig.StartTLS is true: smtp":                {TLS: cfg, StartTLS: true},
		"ListenerConfig.StartTLS is true: https":               {TLS: cfg, StartTLS: true, Protocol: tlsconf.HTTPS},
		"ListenerConfig.Protocol is 9":                         {TLS: cfg, Protocol: 9},
		"ListenerConfig.Timeout is -1s":                        {TLS: cfg, Timeout: -time.Second},
		"ListenerConfig.MaxPending is -1":                      {TLS: cfg, MaxPending: -1},
		"ListenerConfig.MaxPendingEach is -1":                  {TLS: cfg, MaxPendingEach: -1},
	} {
		if _, err := tlsconf.NewListener(nil, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// flaky fails as it is told to.
type flaky struct {
	net.Listener
	fails []error
}

func (f *flaky) Accept() (net.Conn, error) {
	if len(f.fails) > 0 {
		err := f.fails[0]
		f.fails = f.fails[1:]
		return nil, err
	}
	return f.Listener.Accept()
}

type outOfFiles struct{}

func (outOfFiles) Error() string   { return "too many open files" }
func (outOfFiles) Temporary() bool { return true }

func TestAcceptErrors(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, wish{names: []string{"mail.example.org"}})
	cfg := tlsconf.ListenerConfig{TLS: server(t, tlsconf.Submission, tlsconf.ServerConfig{Certificates: one{&cert}})}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("for good")
	f := &flaky{ln, []error{outOfFiles{}, fmt.Errorf("accept: %w", outOfFiles{})}}
	l, err := tlsconf.NewListener(f, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: ca.pool, ServerName: "mail.example.org"})
		if err == nil {
			defer c.Close()
			io.Copy(io.Discard, c)
		}
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if l, err = tlsconf.NewListener(&flaky{ln, []error{broken}}, cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); err != broken {
		t.Errorf("%v", err)
	}
}
