package auth_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// mailbox is a backend without AUTH that keeps what it gets, and who sent it.
type mailbox struct {
	mu   sync.Mutex
	mail []smtpguardtest.Message
	by   []string // login, app password
}

func (b *mailbox) NewSession(c *smtp.Conn) (smtp.Session, error) { return &inbox{b: b, c: c}, nil }

func (b *mailbox) delivered() []smtpguardtest.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.mail)
}

func (b *mailbox) senders() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.by)
}

type inbox struct {
	b   *mailbox
	c   *smtp.Conn
	msg smtpguardtest.Message
}

func (s *inbox) Reset()        { s.msg = smtpguardtest.Message{} }
func (s *inbox) Logout() error { return nil }
func (s *inbox) Mail(from string, _ *smtp.MailOptions) error {
	s.msg.From = from
	return nil
}
func (s *inbox) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.msg.To = append(s.msg.To, to)
	return nil
}
func (s *inbox) Data(r io.Reader) (err error) {
	if s.msg.Data, err = io.ReadAll(r); err != nil {
		return err
	}
	by := "nobody"
	conn, _ := smtpguard.FromConn(s.c)
	if id, ok := auth.IdentityOf(conn); ok {
		by = id.Login + "/" + id.App
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.b.mail, s.b.by = append(s.b.mail, s.msg), append(s.b.by, by)
	return nil
}

// certificate is a pair for localhost, and what trusts it.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots
}

// lab is a guarded server with AUTH.
type lab struct {
	*smtp.Server
	guard  *smtpguard.Guard
	listen smtpguard.ListenConfig
	box    *mailbox
	cert   tls.Certificate
	client *tls.Config

	mu     sync.Mutex
	events []smtpguard.Event
}

func (l *lab) observe(ev smtpguard.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, ev)
}

func (l *lab) all() []smtpguard.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

// notes are the reasons of the events of a kind.
func (l *lab) notes(kind smtpguard.Kind) []string {
	var all []string
	for _, ev := range l.all() {
		if ev.Kind == kind && ev.Stage == smtpguard.StageAuth {
			all = append(all, ev.Reason)
		}
	}
	return all
}

// newLab serves cfg; its listener is called submission, unless cfg names another.
func newLab(t testing.TB, cfg auth.Config, checks ...smtpguard.Check) *lab {
	t.Helper()
	l := &lab{box: &mailbox{}}
	if cfg.Listeners == nil {
		cfg.Listeners = []string{"submission"}
	}
	cfg.Observe = l.observe
	var roots *x509.CertPool
	l.cert, roots = certificate(t)
	l.client = &tls.Config{RootCAs: roots, ServerName: "localhost"}
	a, err := auth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.guard, err = smtpguard.New(smtpguard.Config{Observe: l.observe, Limits: smtpguard.Limits{Slow: -1}}, checks...)
	if err != nil {
		t.Fatal(err)
	}
	l.Server = smtp.NewServer(l.guard.Wrap(a.Wrap(l.box)))
	l.Domain = "mx.example.org"
	l.ErrorLog = log.New(io.Discard, "", 0)
	l.TLSConfig = &tls.Config{Certificates: []tls.Certificate{l.cert}, ClientAuth: tls.RequestClientCert}
	l.EnableSMTPUTF8 = true
	if err := smtpguard.Harden(l.Server); err != nil {
		t.Fatal(err)
	}
	l.listen = smtpguard.ListenConfig{Name: "submission", Proxy: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	t.Cleanup(func() { l.Close() })
	return l
}

// target is the lab for the kit. Its client is at 192.0.2.99.
func (l *lab) target() smtpguardtest.Target {
	return smtpguardtest.Target{
		Serve: func(ln net.Listener) error {
			guarded, err := l.guard.Listen(l.Server, ln, l.listen)
			if err != nil {
				return err
			}
			return guarded.Serve()
		},
		ClientAddr: netip.MustParseAddrPort("192.0.2.99:2525"),
		Recipient:  "user@example.org",
		Sender:     "ann@example.org",
		TLS:        l.client,
		User:       "ann@example.org", Password: "secret",
		Delivered: l.box.delivered,
	}
}

// start serves the lab and returns its address; clients of it need no PROXY
// header.
func (l *lab) start(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := l.listen
	cfg.Proxy = nil
	guarded, err := l.guard.Listen(l.Server, ln, cfg)
	if err != nil {
		t.Fatal(err)
	}
	go guarded.Serve()
	return ln.Addr().String()
}

// hashed is a hash that costs little.
func hashed(t testing.TB, kind auth.Kind, password string) string {
	t.Helper()
	var like string
	switch kind {
	case auth.Argon2id:
		like = "$argon2id$v=19$m=8,t=1,p=1$c2FsdCBvZiBhbm4$AAAAAAAAAAAAAAAAAAAAAA"
	case auth.ScramKeysSHA256:
		like = "SCRAM-SHA-256$4096:c2FsdCBvZiBhbm4gYW5kIG1l$" + strings.Repeat("A", 43) + "=:" + strings.Repeat("A", 43) + "="
	case auth.ScramKeysSHA1:
		like = "SCRAM-SHA-1$4096:c2FsdCBvZiBhbm4gYW5kIG1l$" + strings.Repeat("A", 27) + "=:" + strings.Repeat("A", 27) + "="
	}
	h, err := auth.ParseHash(like)
	if err != nil {
		t.Fatal(err)
	}
	if h, err = h.Beside(password); err != nil {
		t.Fatal(err)
	}
	return h.String()
}

// file is a store of lines.
func file(t testing.TB, lines ...string) *auth.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "passwords")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := auth.OpenFile(auth.FileConfig{Path: path, Unwatched: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// dial is a client under TLS that has said EHLO.
func (l *lab) dial(t testing.TB, addr string, cfg *tls.Config) *smtp.Client {
	t.Helper()
	if cfg == nil {
		cfg = l.client
	}
	c, err := smtp.DialStartTLS(addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Hello("client.example"); err != nil {
		t.Fatal(err)
	}
	return c
}

func message(lines ...string) io.Reader {
	return bytes.NewReader([]byte(strings.Join(lines, "\r\n") + "\r\n\r\nhello\r\n"))
}
