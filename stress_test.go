package smtpguard

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// chaos fails, refuses and panics at random.
type chaos struct {
	taken *atomic.Int64
}

func whim() error {
	switch rand.IntN(12) {
	case 0:
		return errors.New("broken")
	case 1:
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No"}
	case 2:
		if rand.IntN(4) == 0 {
			panic("at a whim")
		}
	}
	return nil
}

func (c chaos) NewSession(*smtp.Conn) (smtp.Session, error) { return c, whim() }
func (c chaos) Reset()                                      { _ = whim() }
func (c chaos) Logout() error                               { return whim() }
func (c chaos) Mail(string, *smtp.MailOptions) error        { return whim() }
func (c chaos) Rcpt(string, *smtp.RcptOptions) error        { return whim() }
func (c chaos) AuthMechanisms() []string                    { return []string{sasl.Plain} }
func (c chaos) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(string, string, string) error { return whim() }), nil
}
func (c chaos) Data(r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	if err := whim(); err != nil {
		return err
	}
	c.taken.Add(1)
	return nil
}

// TestChaos: whatever clients, checks and the backend do, and while the
// listener is shut down on them, every transaction is accounted for once, every
// connection is released, and nothing is kept.
func TestChaos(t *testing.T) {
	before := runtime.NumGoroutine()
	var begun, done, met, released, delivered, taken, attempts, judged atomic.Int64
	verdict := func() (Verdict, error) { return Verdict{}, whim() }
	check := Check{
		Name:    "chaos",
		Connect: func(context.Context, *Conn) (Verdict, error) { met.Add(1); return Verdict{}, nil },
		Close:   func(*Conn) { released.Add(1) },
		Hello:   func(context.Context, *Conn) (Verdict, error) { return verdict() },
		Auth: func(_ context.Context, _ *Conn, a *AuthAttempt) (Verdict, error) {
			if a.Claimed == "" {
				attempts.Add(1)
			}
			return verdict()
		},
		AuthDone: func(context.Context, *Conn, *AuthAttempt) { judged.Add(1) },
		Mail:     func(context.Context, *Transaction) (Verdict, error) { begun.Add(1); return verdict() },
		Rcpt:     func(context.Context, *Transaction, *Recipient) (Verdict, error) { return verdict() },
		Data: func(_ context.Context, _ *Transaction, m *Message) (Verdict, error) {
			_, err := io.Copy(io.Discard, m.Open())
			if err != nil {
				return Verdict{}, err
			}
			return verdict()
		},
		Done: func(_ context.Context, _ *Transaction, o Outcome) {
			done.Add(1)
			if o.Delivered {
				delivered.Add(1)
			}
		},
	}
	g, err := New(Config{
		Limits:  Limits{Errors: 1000, Idle: 1000, Slow: -1},
		Spool:   SpoolConfig{Dir: t.TempDir(), Memory: 16 << 10, Total: 128 << 10},
		Observe: func(Event) {},
	}, check, Together(moody("a"), moody("b")))
	if err != nil {
		t.Fatal(err)
	}
	s := smtp.NewServer(g.Wrap(chaos{taken: &taken}))
	s.Domain, s.ErrorLog = "mx.example.org", log.New(io.Discard, "", 0)
	var secure *tls.Config
	s.TLSConfig, secure = tlsPair(t)
	if err := Harden(s); err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := g.Listen(s, tcp, ListenConfig{AllowPipelining: true}) // else most sessions would end at once
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- l.Serve() }()

	var clients sync.WaitGroup
	sessions := 100
	if testing.Short() {
		sessions = 15
	}
	var ended atomic.Int64
	for range 8 {
		clients.Go(func() {
			for range sessions {
				chaosClient(tcp.Addr().String(), secure)
				ended.Add(1)
			}
		})
	}
	for end := time.Now().Add(time.Minute); ended.Load() < int64(sessions*7) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := l.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	clients.Wait()
	if err := <-served; err != nil {
		t.Error(err)
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if begun.Load() == done.Load() && met.Load() == released.Load() && attempts.Load() == judged.Load() &&
			g.spool.used.Load() == 0 && l.count() == 0 && runtime.NumGoroutine() <= before {
			break
		}
	}
	for _, c := range []struct {
		what      string
		got, want int64
	}{
		{"transactions accounted for", done.Load(), begun.Load()},
		{"connections released", released.Load(), met.Load()},
		{"logins accounted for", judged.Load(), attempts.Load()},
		{"messages delivered", delivered.Load(), taken.Load()},
		{"octets of the budget in use", g.spool.used.Load(), 0},
		{"connections open", int64(l.count()), 0},
	} {
		if c.got != c.want {
			t.Errorf("%d %s, want %d", c.got, c.what, c.want)
		}
	}
	if n := runtime.NumGoroutine(); n > before {
		buf := make([]byte, 1<<16)
		t.Errorf("%d goroutines, %d before\n%s", n, before, buf[:runtime.Stack(buf, true)])
	}
	if begun.Load() == 0 || taken.Load() == 0 || attempts.Load() == 0 {
		t.Errorf("%d transactions, %d messages, %d logins: the clients did nothing", begun.Load(), taken.Load(), attempts.Load())
	}
	t.Logf("%d connections, %d transactions, %d messages, %d logins", met.Load(), begun.Load(), taken.Load(), attempts.Load())
}

// moody is an advisory check with whims.
func moody(name string) Check {
	verdict := func() (Verdict, error) { return Verdict{}, whim() }
	return Check{
		Name: name, OnError: FailOpen,
		Mail: func(context.Context, *Transaction) (Verdict, error) { return verdict() },
		Data: func(context.Context, *Transaction, *Message) (Verdict, error) { return verdict() },
	}
}

// chaosClient sends commands in any order, half of them without waiting, and
// leaves when it likes.
func chaosClient(addr string, secure *tls.Config) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer func() { c.Close() }()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	read := func() bool {
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, err := c.Read(make([]byte, 4096))
		var ne net.Error
		return err == nil || errors.As(err, &ne) && ne.Timeout()
	}
	body := strings.Repeat("0123456789abcdef\r\n", rand.IntN(2000))
	if !read() {
		return
	}
	for range 25 {
		var line string
		switch rand.IntN(18) {
		case 0:
			line = "EHLO client.example\r\n"
		case 1:
			line = fmt.Sprintf("EHLO client%d.example\r\n", rand.IntN(3))
		case 2, 3:
			line = "MAIL FROM:<a@client.example>\r\n"
		case 4, 5:
			line = "RCPT TO:<b@example.org>\r\n"
		case 6:
			line = "DATA\r\n"
		case 7:
			line = body + ".\r\n"
		case 8:
			line = fmt.Sprintf("BDAT %d\r\n%s", len(body), body)
		case 9:
			line = fmt.Sprintf("BDAT %d LAST\r\n%s", len(body), body)
		case 10:
			line = "RSET\r\n"
		case 11:
			line = "EHLO client.example\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<b@example.org>\r\n"
		case 12:
			line = "AUTH PLAIN\r\n"
		case 13:
			line = "AUTH PLAIN AGRlbW8Ac2VjcmV0\r\n"
		case 14:
			line = "NOOP\r\n"
			if _, err := io.WriteString(c, "STARTTLS\r\n"); err != nil {
				return
			}
			if _, plain := c.(*net.TCPConn); plain && rand.IntN(2) == 0 && read() {
				tc := tls.Client(c, secure)
				tc.SetDeadline(time.Now().Add(time.Second))
				if tc.Handshake() != nil {
					return
				}
				c = tc
			}
		case 15:
			if rand.IntN(8) == 0 {
				return
			}
			line = "MAIL FROM:<a@client.example>\r\nRCPT TO:<b@example.org>\r\n"
		}
		if line == "" { // a whole message
			for _, l := range []string{"RSET\r\n", "MAIL FROM:<a@client.example>\r\n", "RCPT TO:<b@example.org>\r\n", "DATA\r\n"} {
				if io.WriteString(c, l); !read() {
					return
				}
			}
			line = body + ".\r\n"
		}
		c.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(c, line); err != nil {
			return
		}
		if rand.IntN(3) > 0 && !read() {
			return
		}
	}
}
