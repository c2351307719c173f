package storetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth"
)

// server is a guarded submission service on loopback that keeps whose mail it
// got.
type server struct {
	t      *testing.T
	addr   string
	client *tls.Config

	mu     sync.Mutex
	events []smtpguard.Event
	by     []string
}

// serve starts a server with the store or the tokens of cfg.
func serve(t *testing.T, cfg auth.Config) *server {
	t.Helper()
	s := &server{t: t}
	cfg.Listeners = []string{"submission"}
	cfg.Gate = auth.Gate{Slots: 16, Share: 1}
	cfg.Observe = s.observe
	a, err := auth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	guard, err := smtpguard.New(smtpguard.Config{Observe: s.observe}, auth.Required("submission"))
	if err != nil {
		t.Fatal(err)
	}
	srv := smtp.NewServer(guard.Wrap(a.Wrap(s)))
	srv.Domain = "mx.example.org"
	srv.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLSConfig, s.client = pair(t)
	if err := smtpguard.Harden(srv); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	guarded, err := guard.Listen(srv, ln, smtpguard.ListenConfig{Name: "submission"})
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	t.Cleanup(func() { srv.Close() })
	go guarded.Serve()
	return s
}

// pair is TLS for a server called localhost, and for its clients.
func pair(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
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
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

func (s *server) observe(ev smtpguard.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, ev)
}

func (s *server) senders() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.by)
}

// silent makes sure that no event has a secret in it.
func (s *server) silent(secret string) {
	s.t.Helper()
	if len(secret) < 4 { // which may be anywhere
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ev := range s.events {
		if text := fmt.Sprintf("%+v", ev); strings.Contains(text, secret) {
			s.t.Errorf("an event has a secret in it: %s", text)
		}
	}
}

// reply is what a client was told of its login.
type reply struct {
	Code    int
	Message string
}

// plain logs in by PLAIN.
func (s *server) plain(p Proof) reply {
	s.t.Helper()
	return s.login(p.Login, sasl.NewPlainClient("", p.Login, p.Password))
}

// bearer logs in by OAUTHBEARER.
func (s *server) bearer(login, token string) reply {
	s.t.Helper()
	return s.login(login, &oauthBearer{login: login, token: token})
}

// oauthBearer is a client of OAUTHBEARER that ends a failed exchange as RFC 7628,
// section 3.2.3, has it.
type oauthBearer struct{ login, token string }

func (c *oauthBearer) Start() (mechanism string, first []byte, err error) {
	return auth.OAuthBearer, []byte("n,a=" + c.login + ",\x01auth=Bearer " + c.token + "\x01\x01"), nil
}
func (c *oauthBearer) Next([]byte) ([]byte, error) { return []byte{1}, nil }

// login logs in, and then sends a message as login.
func (s *server) login(login string, client sasl.Client) reply {
	s.t.Helper()
	c, err := smtp.DialStartTLS(s.addr, s.client)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	if err := c.Auth(client); err != nil {
		var refused *smtp.SMTPError
		if !errors.As(err, &refused) {
			s.t.Errorf("AUTH: %v", err)
			return reply{}
		}
		return reply{refused.Code, refused.Message}
	}
	if err := c.SendMail(login, []string{"user@example.org"}, strings.NewReader("Subject: test\r\n\r\nhello\r\n")); err != nil {
		s.t.Errorf("mail of %s: %v", login, err)
	}
	return reply{Code: 235}
}

// NewSession begins a session of the backend.
func (s *server) NewSession(c *smtp.Conn) (smtp.Session, error) { return &session{s, c}, nil }

type session struct {
	s *server
	c *smtp.Conn
}

func (*session) Reset()                               {}
func (*session) Logout() error                        { return nil }
func (*session) Mail(string, *smtp.MailOptions) error { return nil }
func (*session) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (b *session) Data(r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	by := ""
	if conn, ok := smtpguard.FromConn(b.c); ok {
		if id, ok := auth.IdentityOf(conn); ok {
			by = id.Login
		}
	}
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	b.s.by = append(b.s.by, by)
	return nil
}
