package smtpguard_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
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

	"github.com/smtpguard/smtpguard"
)

// memory is a backend that keeps what it gets, and fails as addresses ask it to.
type memory struct {
	mu       sync.Mutex
	messages []mail
	calls    []string
	auth     bool          // offer AUTH
	lmtp     bool          // judge each recipient by itself
	busy     bool          // refuse MAIL with a 421
	lag      time.Duration // before a content that breaks off is answered for
	greeted  func()        // called at EHLO
}

type mail struct {
	from string
	to   []string
	body string
}

func (m *memory) NewSession(c *smtp.Conn) (smtp.Session, error) {
	switch c.Hostname() {
	case "refused.example":
		return nil, &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "Not you"}
	}
	m.call("NewSession")
	if m.greeted != nil {
		m.greeted()
	}
	s := &memorySession{m: m}
	if m.auth && m.lmtp {
		panic("one at a time")
	}
	if m.auth {
		return &authSession{s}, nil
	}
	if m.lmtp {
		return &lmtpSession{s}, nil
	}
	return s, nil
}

func (m *memory) call(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, what)
}

// called counts the calls of what.
func (m *memory) called(what string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.calls {
		if c == what {
			n++
		}
	}
	return n
}

func (m *memory) mails() []mail {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]mail(nil), m.messages...)
}

type memorySession struct {
	m    *memory
	from string
	to   []string
}

func (s *memorySession) Reset() { s.from, s.to = "", nil; s.m.call("Reset") }

func (s *memorySession) Logout() error { s.m.call("Logout"); return nil }

// fault is the error that a local part asks for.
func fault(addr string) error {
	local, _, _ := strings.Cut(addr, "@")
	switch local {
	case "reject":
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such user"}
	case "defer":
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 2, 0}, Message: "Mailbox busy"}
	case "lines":
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "First\nSecond"}
	case "wrapped":
		return fmt.Errorf("inner secret: %w", fault("reject@"))
	case "plain":
		return errors.New("secret of the database")
	case "panic":
		panic("backend broken")
	}
	return nil
}

func (s *memorySession) Mail(from string, _ *smtp.MailOptions) error {
	s.m.call("Mail")
	if s.m.busy {
		return &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "Going down"}
	}
	if err := fault(from); err != nil {
		return err
	}
	s.from = from
	return nil
}

func (s *memorySession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.m.call("Rcpt")
	if err := fault(to); err != nil {
		return err
	}
	s.to = append(s.to, to)
	return nil
}

func (s *memorySession) Data(r io.Reader) error {
	s.m.call("Data")
	b, err := io.ReadAll(r)
	if err != nil {
		time.Sleep(s.m.lag)
		return err
	}
	if _, word, ok := bytes.Cut(b, []byte("Subject: ")); ok {
		word, _, _ = bytes.Cut(word, []byte("\r\n"))
		if err := fault(string(word)); err != nil {
			return err
		}
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.messages = append(s.m.messages, mail{s.from, s.to, string(b)})
	return nil
}

type lmtpSession struct{ *memorySession }

func (s *lmtpSession) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	if err := s.Data(r); err != nil {
		return err
	}
	for _, to := range s.to {
		switch {
		case strings.HasPrefix(to, "full"):
			status.SetStatus(to, &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 2, 2}, Message: "Mailbox full"})
		case strings.HasPrefix(to, "quiet"):
		default:
			status.SetStatus(to, nil)
		}
	}
	return nil
}

type authSession struct{ *memorySession }

func (s *authSession) AuthMechanisms() []string { return []string{"PLAIN", "X-THREE"} }

func (s *authSession) Auth(mech string) (sasl.Server, error) {
	if mech == "X-THREE" {
		return &three{}, nil
	}
	return sasl.NewPlainServer(func(_, user, pass string) error {
		switch {
		case user == "demo" && pass == "secret":
			return nil
		case user == "panic":
			panic("store broken")
		case user == "plain":
			return errors.New("secret of the database")
		}
		return smtp.ErrAuthFailed
	}), nil
}

// three wants three responses.
type three struct{ n int }

func (t *three) Next(response []byte) ([]byte, bool, error) {
	if response == nil {
		return []byte("go on"), false, nil
	}
	t.n++
	return []byte(fmt.Sprint("got ", t.n)), t.n == 3, nil
}

// lab is a server in a test.
type lab struct {
	*smtp.Server
	backend *memory
	events  *events
	serve   func(net.Listener) error
}

// events collects what a guard observes.
type events struct {
	mu  sync.Mutex
	all []smtpguard.Event
}

func (e *events) observe(ev smtpguard.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

func (e *events) of(k smtpguard.Kind) (out []smtpguard.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.all {
		if ev.Kind == k {
			out = append(out, ev)
		}
	}
	return out
}

// bare is go-smtp with a memory backend and nothing of ours.
func bare(edit ...func(*lab)) *lab {
	l := &lab{backend: &memory{}, events: &events{}}
	l.Server = smtp.NewServer(l.backend)
	l.Domain = "mx.example.org"
	l.ReadTimeout, l.WriteTimeout = 5*time.Second, 5*time.Second
	l.MaxMessageBytes, l.MaxRecipients, l.MaxLineLength = 1<<20, 100, 12288
	l.EnableSMTPUTF8 = true
	l.ErrorLog = log.New(io.Discard, "", 0)
	l.serve = l.Serve
	for _, f := range edit {
		f(l)
	}
	return l
}

// quick spares the tests the slowing down of floods.
func quick(cfg smtpguard.Config) smtpguard.Config {
	cfg.Limits.Slow = -1
	return cfg
}

// wrapped is a bare lab whose backend a guard wraps, without a Listener.
func wrapped(t testing.TB, l *lab, cfg smtpguard.Config, checks ...smtpguard.Check) (*lab, *smtpguard.Guard) {
	t.Helper()
	cfg.Observe = l.events.observe
	g, err := smtpguard.New(quick(cfg), checks...)
	if err != nil {
		t.Fatal(err)
	}
	l.Backend = g.Wrap(l.Backend)
	return l, g
}

// withTLS gives the lab a certificate for localhost.
func withTLS(l *lab) {
	l.TLSConfig = &tls.Config{Certificates: []tls.Certificate{testCertificate()}}
}

var testCertificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// clientTLS trusts the test certificate.
func clientTLS() *tls.Config {
	cert, err := x509.ParseCertificate(testCertificate().Certificate[0])
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

// waitFor waits until ok, which something in the background brings about.
func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Error("what was waited for did not come")
}
