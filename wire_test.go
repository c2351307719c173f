package smtpguard

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// wireServer is a go-smtp server behind a Listener, with a backend that does
// with the wire what the session layer does.
type wireServer struct {
	*smtp.Server
	listener *Listener
	addr     string
	served   chan error

	mu       sync.Mutex
	events   []Event
	messages []string
	rcpts    []string
	conns    []*Conn

	checks []Check // of the guard; only their Connect hooks run

	// What the sessions do, beside taking everything.
	onMail func(*wire) error
	onData func(*wire, io.Reader) error
	onNew  func(*wire)
}

type wireOption func(*wireServer, *Config, *ListenConfig)

func startWire(t testing.TB, opts ...wireOption) *wireServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startWireOn(t, ln, opts...)
}

func startWireOn(t testing.TB, ln net.Listener, opts ...wireOption) *wireServer {
	t.Helper()
	s := &wireServer{addr: ln.Addr().String(), served: make(chan error, 1)}
	s.Server = smtp.NewServer(s)
	s.Domain = "mx.example.org"
	s.ErrorLog = log.New(io.Discard, "", 0)
	if err := Harden(s.Server); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Observe: s.observe, Limits: Limits{Slow: -1}}
	var lc ListenConfig
	for _, o := range opts {
		o(s, &cfg, &lc)
	}
	g, err := New(cfg, s.checks...)
	if err != nil {
		t.Fatal(err)
	}
	if s.listener, err = g.Listen(s.Server, ln, lc); err != nil {
		t.Fatal(err)
	}
	go func() { s.served <- s.listener.Serve() }()
	t.Cleanup(func() {
		s.Server.Close()
		s.listener.Close()
		if err := <-s.served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

func (s *wireServer) observe(ev Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, ev)
}

// noted reports how often an event of kind k said reason.
func (s *wireServer) noted(k Kind, reason string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ev := range s.events {
		if ev.Kind == k && strings.Contains(ev.Reason, reason) {
			n++
		}
	}
	return n
}

func (s *wireServer) received() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.messages...)
}

func (s *wireServer) recipients() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.rcpts...)
}

func (s *wireServer) NewSession(c *smtp.Conn) (smtp.Session, error) {
	w := wireOf(c.Conn())
	w.hello()
	s.mu.Lock()
	s.conns = append(s.conns, w.conn)
	s.mu.Unlock()
	if s.onNew != nil {
		s.onNew(w)
	}
	return &wireSession{s, c, w}, nil
}

type wireSession struct {
	s *wireServer
	c *smtp.Conn
	w *wire
}

func (x *wireSession) AuthMechanisms() []string { return []string{sasl.Plain} }
func (x *wireSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, _, _ string) error { return nil }), nil
}
func (x *wireSession) Reset()        { x.w.setBusy(false) }
func (x *wireSession) Logout() error { return nil }

func (x *wireSession) Mail(string, *smtp.MailOptions) error {
	if x.s.onMail != nil {
		if err := x.s.onMail(x.w); err != nil {
			return err
		}
	}
	x.w.setBusy(true)
	return nil
}

func (x *wireSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.rcpts = append(x.s.rcpts, to)
	return nil
}

func (x *wireSession) Data(r io.Reader) error {
	_, bdat := r.(*io.PipeReader)
	x.w.enterBody(bdat)
	if bdat {
		defer x.w.leaveBody()
	}
	if x.s.onData != nil {
		return x.s.onData(x.w, r)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	tc, _ := x.c.Conn().(*tls.Conn)
	if bdat && x.w.truncated(tc) {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "Truncated"}
	}
	x.w.progress()
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.messages = append(x.s.messages, string(b))
	return nil
}

var errLastWord = &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: "That was it"}

// wireClient speaks line by line.
type wireClient struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func dialWire(t testing.TB, s *wireServer) *wireClient {
	t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	return newWireClient(t, nc)
}

func newWireClient(t testing.TB, nc net.Conn) *wireClient {
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	return &wireClient{nc, t, bufio.NewReader(nc)}
}

// send writes s as it is.
func (c *wireClient) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.t.Fatalf("writing %q: %v", s, err)
	}
}

// reply reads one reply and returns its last line.
func (c *wireClient) reply() (string, error) {
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return line, err
		}
		if len(line) < 4 || line[3] != '-' {
			return strings.TrimRight(line, "\r\n"), nil
		}
	}
}

// expect reads replies that begin with each of prefixes.
func (c *wireClient) expect(prefixes ...string) {
	c.t.Helper()
	for _, p := range prefixes {
		line, err := c.reply()
		if err != nil {
			c.t.Fatalf("%v, want reply %q", err, p)
		}
		if !strings.HasPrefix(line, p) {
			c.t.Fatalf("reply %q, want %q", line, p)
		}
	}
}

// do sends a line and expects a reply.
func (c *wireClient) do(line, prefix string) {
	c.t.Helper()
	c.send(line + "\r\n")
	c.expect(prefix)
}

// expectEnd wants the server to hang up, orderly, without another word.
func (c *wireClient) expectEnd() {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	if err != nil || len(rest) > 0 {
		c.t.Fatalf("read %q, %v; want the end of the connection", rest, err)
	}
}

// hello reads the banner and says EHLO.
func (c *wireClient) hello() {
	c.t.Helper()
	c.expect("220 ")
	c.do("EHLO client.example", "250 ")
}

// startTLS makes the client one of TLS.
func (c *wireClient) startTLS(cfg *tls.Config) *wireClient {
	c.t.Helper()
	c.do("STARTTLS", "220 2.0.0")
	tc := tls.Client(c.Conn, cfg)
	if err := tc.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	return &wireClient{tc, c.t, bufio.NewReader(tc)}
}

// tlsPair returns the two sides' configurations.
func tlsPair(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"mx.example.org"},
		NotAfter:     time.Now().Add(24 * 365 * 30 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: pool, ServerName: "mx.example.org"}
}

// eachWire runs f over clear text, STARTTLS and implicit TLS, with a client
// that has said EHLO.
func eachWire(t *testing.T, start func(testing.TB, ...wireOption) *wireServer, f func(*testing.T, *wireServer, *wireClient)) {
	serverTLS, clientTLS := tlsPair(t)
	t.Run("clear", func(t *testing.T) {
		s := start(t)
		c := dialWire(t, s)
		c.hello()
		f(t, s, c)
	})
	t.Run("STARTTLS", func(t *testing.T) {
		s := start(t, func(s *wireServer, _ *Config, _ *ListenConfig) { s.TLSConfig = serverTLS })
		c := dialWire(t, s)
		c.hello()
		c = c.startTLS(clientTLS)
		c.do("EHLO client.example", "250 ")
		f(t, s, c)
	})
	t.Run("implicit TLS", func(t *testing.T) {
		s := start(t, func(_ *wireServer, _ *Config, lc *ListenConfig) { lc.TLS = serverTLS })
		nc, err := tls.Dial("tcp", s.addr, clientTLS)
		if err != nil {
			t.Fatal(err)
		}
		c := newWireClient(t, nc)
		c.hello()
		f(t, s, c)
	})
}

func TestWireDelivers(t *testing.T) {
	eachWire(t, startWire, func(t *testing.T, s *wireServer, c *wireClient) {
		c.do("MAIL FROM:<a@example.com>", "250 ")
		c.send("RCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\nDATA\r\n")
		c.expect("250 ", "250 ", "354 ")
		c.send("Subject: one\r\n\r\nhello\n\r\n..\r\n.\r\n")
		c.expect("250 ")
		c.do("MAIL FROM:<a@example.com>", "250 ")
		c.send("RCPT TO:<b@example.org>\r\nBDAT 3\r\nx\r\nBDAT 4 LAST\r\ny\rz\nQUIT\r\n")
		c.expect("250 ", "250 ", "250 ", "221 ")
		c.expectEnd()
		got := s.received()
		if len(got) != 2 || got[0] != "Subject: one\r\n\r\nhello\n\r\n.\r\n" || got[1] != "x\r\ny\rz\n" {
			t.Errorf("messages %q", got)
		}
	})
}

func TestHangUp(t *testing.T) {
	start := func(t testing.TB, opts ...wireOption) *wireServer {
		return startWire(t, append(opts, func(s *wireServer, _ *Config, _ *ListenConfig) {
			s.onMail = func(w *wire) error {
				w.hangUp()
				return errLastWord
			}
		})...)
	}
	eachWire(t, start, func(t *testing.T, s *wireServer, c *wireClient) {
		c.send("MAIL FROM:<a@example.com>\r\nNOOP\r\nMAIL FROM:<a@example.com>\r\n")
		c.expect("421 4.7.0 That was it")
		c.expectEnd()
	})
}

func TestExpire(t *testing.T) {
	start := func(t testing.TB, opts ...wireOption) *wireServer {
		return startWire(t, append(opts, func(s *wireServer, _ *Config, _ *ListenConfig) {
			s.onMail = func(w *wire) error {
				w.expire()
				return nil
			}
		})...)
	}
	eachWire(t, start, func(t *testing.T, s *wireServer, c *wireClient) {
		c.send("MAIL FROM:<a@example.com>\r\nNOOP\r\n")
		c.expect("250 ", "421 4.4.2 ")
		c.expectEnd()
	})
}

func TestIdleFlood(t *testing.T) {
	start := func(t testing.TB, opts ...wireOption) *wireServer {
		return startWire(t, append(opts, func(_ *wireServer, cfg *Config, _ *ListenConfig) {
			cfg.Limits.Idle = 40
		})...)
	}
	eachWire(t, start, func(t *testing.T, s *wireServer, c *wireClient) {
		c.send(strings.Repeat("NOOP\r\n", 100))
		n := 0
		for {
			line, err := c.reply()
			if err != nil {
				t.Fatalf("%v after %d replies", err, n)
			}
			if strings.HasPrefix(line, "421 ") {
				break
			}
			n++
		}
		c.expectEnd()
		if n == 0 || n > 40 {
			t.Errorf("%d replies before the 421, want at most 40", n)
		}
	})
}

// The end of a transaction makes up for what came before it.
func TestProgress(t *testing.T) {
	start := func(t testing.TB, opts ...wireOption) *wireServer {
		return startWire(t, append(opts, func(_ *wireServer, cfg *Config, _ *ListenConfig) {
			cfg.Limits.Idle = 40
		})...)
	}
	eachWire(t, start, func(t *testing.T, s *wireServer, c *wireClient) {
		for range 20 {
			c.do("MAIL FROM:<a@example.com>", "250 ")
			c.do("RCPT TO:<b@example.org>", "250 ")
			c.do("DATA", "354 ")
			c.do("x\r\n.", "250 ")
		}
		if n := len(s.received()); n != 20 {
			t.Errorf("%d messages, want 20", n)
		}
	})
}

func TestESMTP(t *testing.T) {
	for _, tt := range []struct {
		verb string
		want bool
	}{{"HELO", false}, {"EHLO", true}} {
		t.Run(tt.verb, func(t *testing.T) {
			got := make(chan bool, 1)
			serverTLS, clientTLS := tlsPair(t)
			s := startWire(t, func(s *wireServer, _ *Config, _ *ListenConfig) {
				s.TLSConfig = serverTLS
				s.onMail = func(w *wire) error {
					got <- w.esmtp()
					return errors.New("no")
				}
			})
			c := dialWire(t, s)
			c.expect("220 ")
			c.do(tt.verb+" client.example", "250 ")
			c.do("MAIL FROM:<a@example.com>", "451 ")
			if e := <-got; e != tt.want {
				t.Errorf("in clear text: %v", e)
			}
			c = c.startTLS(clientTLS)
			c.do(tt.verb+" client.example", "250 ")
			c.do("MAIL FROM:<a@example.com>", "451 ")
			if e := <-got; e != tt.want {
				t.Errorf("under TLS: %v", e)
			}
		})
	}
}

// Each refusal of the wire's own ends the connection, and nothing of the
// segment runs.
func TestClearTextRefusals(t *testing.T) {
	for _, tt := range []struct {
		name, send, reply string
		allow             func(*ListenConfig)
		allowed           []string // replies when allowed
	}{
		{
			"bare LF", "MAIL FROM:<a@b.example>\n", refuseBareLF,
			func(lc *ListenConfig) { lc.AllowBareLF = true }, []string{"250 "},
		},
		{
			"pipelining", "EHLO again.example\r\nMAIL FROM:<a@b.example>\r\n", refusePipelining,
			func(lc *ListenConfig) { lc.AllowPipelining = true }, []string{"250 ", "250 "},
		},
		{
			"AUTH response and more", "AUTH PLAIN\r\n", "334 ",
			nil, nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startWire(t, func(s *wireServer, _ *Config, _ *ListenConfig) { s.AllowInsecureAuth = true })
			c := dialWire(t, s)
			c.hello()
			c.send(tt.send)
			c.expect(tt.reply)
			if tt.allow == nil {
				c.send("AGEAYg==\r\nMAIL FROM:<a@b.example>\r\n")
				c.expect(refusePipelining)
			}
			c.expectEnd()
			if n := s.noted(KindNote, "5."); n != 1 {
				t.Errorf("%d notes, want 1", n)
			}
			if tt.allow == nil {
				return
			}
			s = startWire(t, func(_ *wireServer, _ *Config, lc *ListenConfig) { tt.allow(lc) })
			c = dialWire(t, s)
			c.hello()
			c.send(tt.send)
			c.expect(tt.allowed...)
		})
	}
}

func TestHTTPRefused(t *testing.T) {
	s := startWire(t)
	c := dialWire(t, s)
	c.expect("220 ")
	c.send("POST / HTTP/1.1\r\nHost: mx.example.org\r\n\r\nEHLO x\r\nMAIL FROM:<a@b.example>\r\n")
	c.expect(refuseHTTP)
	c.expectEnd()
}

// RFC 5321, section 4.5.1.
func TestBarePostmaster(t *testing.T) {
	s := startWire(t)
	c := dialWire(t, s)
	c.hello()
	c.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<Postmaster>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")
	c.expect("250 ", "250 ", "250 ", "354 ")
	c.send("RCPT TO:<postmaster>\r\n")
	c.do(".", "250 ")
	if got := s.recipients(); len(got) != 2 || got[0] != "Postmaster@mx.example.org" || got[1] != "b@example.org" {
		t.Errorf("recipients %q", got)
	}
	if got := s.received(); len(got) != 1 || got[0] != "RCPT TO:<postmaster>\r\n" {
		t.Errorf("content %q", got)
	}
}
