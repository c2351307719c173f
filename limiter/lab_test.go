package limiter_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/limiter"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// backend delivers to nowhere. Recipients whose address begins with nobody do
// not exist; content with the line REFUSE is refused.
type backend struct{ proofs *atomic.Int64 } // that were judged

func (b backend) NewSession(*smtp.Conn) (smtp.Session, error) { return session{b}, nil }

type session struct{ backend }

func (session) Reset()                               {}
func (session) Logout() error                        { return nil }
func (session) Mail(string, *smtp.MailOptions) error { return nil }

func (session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such recipient"}
	}
	return nil
}

func (session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if strings.Contains(string(b), "REFUSE") {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "Refused"}
	}
	return err
}

func (session) AuthMechanisms() []string { return []string{"PLAIN", "LOGIN", "X-BARE"} }

// Auth lets in whoever has the password "secret". X-BARE names no login.
func (s session) Auth(mech string) (sasl.Server, error) {
	judge := func(password string) error {
		s.proofs.Add(1)
		switch password {
		case "secret":
			return nil
		case "outage":
			return &smtp.SMTPError{Code: 454, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Database is down"}
		}
		return smtp.ErrAuthFailed
	}
	switch mech {
	case "X-BARE":
		return &steps{n: 1, judge: judge}, nil
	case "LOGIN":
		return &steps{n: 2, judge: judge}, nil
	}
	return sasl.NewPlainServer(func(_, _, password string) error { return judge(password) }), nil
}

// steps is a mechanism of n responses, the last of which is the password.
type steps struct {
	n, got int
	judge  func(password string) error
}

func (s *steps) Next(response []byte) ([]byte, bool, error) {
	if response != nil {
		s.got++
	}
	switch {
	case s.got == s.n:
		return nil, true, s.judge(string(response))
	case s.n-s.got == 2:
		return []byte("Username:"), false, nil
	}
	return []byte("Password:"), false, nil
}

// lab is a server with checks, for clients at any address.
type lab struct {
	addr   string
	dial   func(client string) net.Conn // of a lab in memory
	proofs atomic.Int64
	ended  atomic.Int64 // connections whose client is done
	closed atomic.Int64 // connections that are accounted for

	mu     sync.Mutex
	events []smtpguard.Event
}

func (l *lab) observe(ev smtpguard.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, ev)
}

// verdicts are the reasons that a check gave so far.
func (l *lab) verdicts(check string) (reasons []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ev := range l.events {
		if ev.Kind == smtpguard.KindVerdict && ev.Check == check && ev.Reason != "" {
			reasons = append(reasons, ev.Reason)
		}
	}
	return reasons
}

// guarded returns a server that runs checks, and its guard.
func guarded(t testing.TB, l *lab, checks ...smtpguard.Check) (*smtp.Server, *smtpguard.Guard) {
	t.Helper()
	last := smtpguard.Check{Name: "last", Close: func(*smtpguard.Conn) { l.closed.Add(1) }}
	guard, err := smtpguard.New(smtpguard.Config{
		Observe: l.observe,
		Limits:  smtpguard.Limits{Slow: -1, Errors: 10_000, Idle: 100_000},
	}, append(checks, last)...)
	if err != nil {
		t.Fatal(err)
	}
	srv := smtp.NewServer(guard.Wrap(backend{&l.proofs}))
	srv.Domain = "mx.example.org"
	srv.MaxMessageBytes = 1 << 20
	srv.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate()}}
	if err := smtpguard.Harden(srv); err != nil {
		t.Fatal(err)
	}
	srv.AllowInsecureAuth = true // and TLS: not what Harden lets through, but short for tests
	return srv, guard
}

// serve serves checks on a loopback port.
func serve(t testing.TB, checks ...smtpguard.Check) *lab {
	t.Helper()
	l := new(lab)
	srv, guard := guarded(t, l, checks...)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.addr = tcp.Addr().String()
	ln, err := guard.Listen(srv, tcp, smtpguard.ListenConfig{Proxy: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if err != nil {
		t.Fatal(err)
	}
	run(t, srv, ln)
	return l
}

// run serves until the test ends.
func run(t testing.TB, srv *smtp.Server, ln *smtpguard.Listener) {
	done := make(chan error, 1)
	go func() { done <- ln.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		srv.Close()
		ln.Shutdown(ctx)
		<-done
	})
}

// play plays a transcript as the client at an address. The connection is open
// until the test ends, unless the transcript ends with its end: then all that was
// to be done for it is done when play returns.
func (l *lab) play(t testing.TB, client, script string) {
	t.Helper()
	smtpguardtest.Play(t, l.target(client), script)
	if script = strings.TrimSpace(script); strings.HasSuffix(script, "S: EOF") || strings.HasSuffix(script, "CLOSE") {
		n := l.ended.Add(1)
		eventually(t, func() bool { return l.closed.Load() >= n }, "the connection is accounted for")
	}
}

func (l *lab) target(client string) smtpguardtest.Target {
	target := smtpguardtest.Target{
		Recipient: "user@example.org", TLS: &tls.Config{InsecureSkipVerify: true},
		User: "ann", Password: "secret",
	}
	if l.dial != nil {
		target.Dial = func(context.Context) (net.Conn, error) { return l.dial(client), nil }
		target.Timeout = time.Hour // of the bubble
	} else {
		target.Addr, target.ClientAddr = l.addr, netip.AddrPortFrom(netip.MustParseAddr(client), 2525)
	}
	return target
}

var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// message is a whole message, up to its last line.
const message = `
	C: MAIL FROM:<a@client.example>
	S: 250
	C: RCPT TO:<user@example.org>
	S: 250
	C: DATA
	S: 354
	C: Subject: hi
	C:
	C: %s
	C: .
	S: %s
`

func sends(text, reply string) string { return fmt.Sprintf(message, text, reply) }

// eventually waits for what the server does after its last reply.
func eventually(t testing.TB, ok func() bool, what string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Errorf("not so in time: %s", what)
}

func memory(t testing.TB) *limiter.Memory {
	t.Helper()
	m, err := limiter.NewMemory(limiter.MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// broken is a store that fails.
type broken struct{}

var errBroken = errors.New("dial redis.internal: connection refused")

func (broken) Take(context.Context, []limiter.Ask) ([]limiter.State, error) { return nil, errBroken }

// plain is the PLAIN message of a login.
func plain(login, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + login + "\x00" + password))
}
