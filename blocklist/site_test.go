package blocklist_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/blocklist"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// site is a server with checks, on a listener that believes what the PROXY
// protocol says.
type site struct {
	t     *testing.T
	guard *smtpguard.Guard
	srv   *smtp.Server
	rcpt  func(to string) // called for what is accepted, when not nil

	mu       sync.Mutex
	messages []smtpguardtest.Message
	reasons  []string // of verdicts that have one
}

func newSite(t *testing.T, checks ...smtpguard.Check) *site {
	t.Helper()
	s := &site{t: t}
	var err error
	s.guard, err = smtpguard.New(smtpguard.Config{Limits: smtpguard.Limits{Slow: -1}, Observe: s.observe}, checks...)
	if err != nil {
		t.Fatal(err)
	}
	s.srv = smtp.NewServer(s.guard.Wrap(s))
	s.srv.Domain = "mx.example.org"
	s.srv.ErrorLog = log.New(io.Discard, "", 0)
	s.srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate(t)}, ClientAuth: tls.RequestClientCert}
	if err := smtpguard.Harden(s.srv); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.srv.Close() })
	return s
}

// from is the site seen by a client at addr, on the listener of that name.
func (s *site) from(addr, listener string) smtpguardtest.Target {
	return smtpguardtest.Target{
		Serve: func(ln net.Listener) error {
			guarded, err := s.guard.Listen(s.srv, ln, smtpguard.ListenConfig{
				Name: listener, Proxy: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			})
			if err != nil {
				return err
			}
			return guarded.Serve()
		},
		ClientAddr: netip.AddrPortFrom(netip.MustParseAddr(addr), 2525),
		Recipient:  "user@example.org",
		TLS:        &tls.Config{InsecureSkipVerify: true},
		User:       "ann", Password: "secret",
	}
}

// play plays a transcript from addr.
func (s *site) play(addr, script string) {
	s.t.Helper()
	smtpguardtest.Play(s.t, s.from(addr, "mx"), script)
}

func (s *site) observe(ev smtpguard.Event) {
	if ev.Kind != smtpguard.KindVerdict || ev.Reason == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reasons = append(s.reasons, ev.Stage.String()+": "+ev.Reason)
}

func (s *site) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.reasons, "\n")
}

func (s *site) delivered() []smtpguardtest.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

func (s *site) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{s: s}, nil }

type session struct {
	s   *site
	msg smtpguardtest.Message
}

func (s *session) Reset()                                      { s.msg = smtpguardtest.Message{} }
func (s *session) Logout() error                               { return nil }
func (s *session) Mail(from string, _ *smtp.MailOptions) error { s.msg.From = from; return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.s.rcpt != nil {
		s.s.rcpt(to)
	}
	s.msg.To = append(s.msg.To, to)
	return nil
}

func (s *session) Data(r io.Reader) (err error) {
	if s.msg.Data, err = io.ReadAll(r); err != nil {
		return err
	}
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	s.s.messages = append(s.s.messages, s.msg)
	return nil
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "ann" || password != "secret" {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// set is a list of entries: "block addr 192.0.2.0/24", say.
func set(t *testing.T, lines ...string) *blocklist.Set {
	t.Helper()
	var entries []blocklist.Entry
	for _, line := range lines {
		f := strings.Fields(line)
		e := blocklist.Entry{Value: f[2], Source: "list"}
		if err := e.Word.UnmarshalText([]byte(f[0])); err != nil {
			t.Fatal(err)
		}
		if err := e.Kind.UnmarshalText([]byte(f[1])); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	s, err := blocklist.NewSet(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
