package smtpguardtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// mailbox keeps what a server accepts.
type mailbox struct {
	mu   sync.Mutex
	mail []Message
}

func (b *mailbox) add(m Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mail = append(b.mail, m)
}

func (b *mailbox) delivered() []Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.mail)
}

// acceptAll is a backend without any policy of its own: what it refuses, go-smtp
// refuses.
type acceptAll struct{ box *mailbox }

func (b acceptAll) NewSession(*smtp.Conn) (smtp.Session, error) {
	return &acceptAllSession{box: b.box}, nil
}

type acceptAllSession struct {
	box  *mailbox
	from string
	to   []string
}

func (s *acceptAllSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *acceptAllSession) Auth(mech string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(identity, user, password string) error {
		if (identity == "" || identity == user) && user == "user" && password == "password" {
			return nil
		}
		return smtp.ErrAuthFailed
	}), nil
}

func (s *acceptAllSession) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *acceptAllSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *acceptAllSession) Data(r io.Reader) error {
	m := Message{From: s.from, To: slices.Clone(s.to)}
	data, err := io.ReadAll(r)
	if errors.Is(err, smtp.ErrDataReset) {
		// A backend takes time to clean up; its late result meets the next message.
		time.Sleep(5 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	m.Data = data
	s.box.add(m)
	return nil
}

func (s *acceptAllSession) Reset()        { s.from, s.to = "", nil }
func (s *acceptAllSession) Logout() error { return nil }

// certificate is a key pair for the server and the client's configuration.
func certificate(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: roots, ServerName: "localhost"}
}

// bareTarget is go-smtp as it comes, with everything on that a case can use.
func bareTarget(t testing.TB) Target {
	box := &mailbox{}
	server := smtp.NewServer(acceptAll{box})
	server.Domain = "local.example"
	server.ErrorLog = log.New(io.Discard, "", 0)
	server.AllowInsecureAuth = true
	serverTLS, clientTLS := certificate(t)
	server.TLSConfig = serverTLS
	t.Cleanup(func() { server.Close() })
	return Target{
		Server:    server,
		Recipient: "rcpt@local.example",
		Foreign:   "victim@foreign.example",
		TLS:       clientTLS,
		User:      "user", Password: "password",
		Delivered: box.delivered,
		Timeout:   2 * time.Second,
	}
}
