package relay_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
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
	"github.com/smtpguard/smtpguard/relay"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// backend keeps its messages, and what the check decided about each recipient.
type backend struct {
	mu        sync.Mutex
	messages  []smtpguardtest.Message
	decisions []relay.Decision
}

func (b *backend) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &session{b: b, conn: c}, nil
}

func (b *backend) delivered() []smtpguardtest.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.messages)
}

type session struct {
	b    *backend
	conn *smtp.Conn
	msg  smtpguardtest.Message
}

func (s *session) Reset()        { s.msg = smtpguardtest.Message{} }
func (s *session) Logout() error { return nil }

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }
func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "ann" || password != "secret" {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.msg.From = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	conn, _ := smtpguard.FromConn(s.conn)
	d, ok := relay.DecisionOf(conn.Transaction(), to)
	if !ok {
		return errors.New("nothing was decided")
	}
	s.b.mu.Lock()
	s.b.decisions = append(s.b.decisions, d)
	s.b.mu.Unlock()
	s.msg.To = append(s.msg.To, to)
	return nil
}

func (s *session) Data(r io.Reader) (err error) {
	if s.msg.Data, err = io.ReadAll(r); err != nil {
		return err
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.b.messages = append(s.b.messages, s.msg)
	return nil
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

// site serves rules, behind checks that come before them, and returns the
// server as a target whose client is at 192.0.2.99.
func site(t *testing.T, rules relay.Rules, before ...smtpguard.Check) (smtpguardtest.Target, *backend) {
	t.Helper()
	r, err := relay.New(rules)
	if err != nil {
		t.Fatal(err)
	}
	guard, err := smtpguard.New(smtpguard.Config{Limits: smtpguard.Limits{Slow: -1}}, append(before, r.Check())...)
	if err != nil {
		t.Fatal(err)
	}
	b := new(backend)
	srv := smtp.NewServer(guard.Wrap(b))
	srv.Domain = "mx.example.org"
	srv.EnableSMTPUTF8 = true
	srv.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate(t)}, ClientAuth: tls.RequestClientCert}
	if err := smtpguard.Harden(srv); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	return smtpguardtest.Target{
		Serve: func(ln net.Listener) error {
			guarded, err := guard.Listen(srv, ln, smtpguard.ListenConfig{Proxy: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
			if err != nil {
				return err
			}
			return guarded.Serve()
		},
		ClientAddr: netip.MustParseAddrPort("192.0.2.99:2525"),
		Recipient:  "user@example.org",
		Foreign:    "somebody@foreign.example",
		TLS:        &tls.Config{InsecureSkipVerify: true},
		User:       "ann", Password: "secret",
		Delivered: b.delivered,
	}, b
}

var rules = relay.Rules{
	Local:   []string{"example.org", "mx.example.org", "bücher.example"},
	Relayed: []string{"example.net"},
	Grants: []relay.Grant{
		{Name: "staff", Logins: []string{"ann"}, To: []string{"*"}},
		{Name: "printer", Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32")}, To: []string{"partner.example"}},
	},
}

func TestOpenRelay(t *testing.T) {
	target, _ := site(t, rules)
	smtpguardtest.OpenRelay(t, target)
}

func TestTranscripts(t *testing.T) {
	for _, tt := range []struct{ name, client, script string }{
		{"stranger", "", `
			HELLO
			C: MAIL FROM:<user@example.org>
			S: 250
			C: RCPT TO:<user@foreign.example>
			S: 550 5.7.1 Relaying refused
			C: RCPT TO:<user@Example.ORG>
			S: 250
			C: RCPT TO:<user@example.net>
			S: 250
			C: RCPT TO:<user@xn--bcher-kva.example>
			S: 250
			C: RCPT TO:<user%foreign.example@example.org>
			S: 550 5.7.1 *
			C: RCPT TO:<"user@foreign.example"@example.org>
			S: 550 5.7.1 *
			C: RCPT TO:<foreign.example!user@example.net>
			S: 550 5.7.1 *
			C: RCPT TO:<@example.org:user@foreign.example>
			S: 550 5.7.1 *
			C: RCPT TO:<@foreign.example:user@example.org>
			S: 250
			C: RCPT TO:<user@[127.0.0.1]>
			S: 550 5.7.1 *
			C: RCPT TO:<user@2130706433>
			S: 553 5.1.3 Malformed recipient address
			C: RCPT TO:<Postmaster>
			S: 250`},
		{"null reverse-path", "", `
			HELLO
			C: MAIL FROM:<>
			S: 250
			C: RCPT TO:<user@foreign.example>
			S: 550 5.7.1 *
			C: RCPT TO:<user@example.org>
			S: 250`},
		{"internationalized", "", `
			HELLO
			C: MAIL FROM:<> SMTPUTF8
			S: 250
			C: RCPT TO:<jörg@BÜCHER.example>
			S: 250
			C: RCPT TO:<user＠foreign.example@example.org>
			S: 550 5.7.1 *
			C: RCPT TO:<user％foreign.example@example.org>
			S: 550 5.7.1 *`},
		{"login", "", `
			HELLO
			C: MAIL FROM:<ann@example.org>
			S: 250
			C: RCPT TO:<user@foreign.example>
			S: 550 5.7.1 *
			STARTTLS
			AUTH
			C: MAIL FROM:<>
			S: 250
			C: RCPT TO:<user@foreign.example>
			S: 250
			C: RCPT TO:<user@[127.0.0.1]>
			S: 550 5.7.1 *`},
		{"named pair", "198.51.100.7:25", `
			HELLO
			C: MAIL FROM:<>
			S: 250
			C: RCPT TO:<user@partner.example>
			S: 250
			C: RCPT TO:<user@foreign.example>
			S: 550 5.7.1 *
			C: RCPT TO:<user%foreign.example@partner.example>
			S: 550 5.7.1 *`},
		{"loopback", "127.0.0.1:25", `
			HELLO
			C: MAIL FROM:<>
			S: 250
			C: RCPT TO:<user@foreign.example>
			S: 550 5.7.1 *`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			target, _ := site(t, rules)
			if tt.client != "" {
				target.ClientAddr = netip.MustParseAddrPort(tt.client)
			}
			smtpguardtest.Play(t, target, tt.script)
		})
	}
}

func TestClientCertificate(t *testing.T) {
	known, other := certificate(t), certificate(t)
	rules := rules
	rules.Grants = []relay.Grant{{Certificates: []string{fmt.Sprintf("sha256:%x", sha256.Sum256(known.Certificate[0]))}, To: []string{"*"}}}
	for _, tt := range []struct {
		name  string
		certs []tls.Certificate
		reply string
	}{
		{"known", []tls.Certificate{known}, "250"},
		{"another", []tls.Certificate{other}, "550 5.7.1 *"},
		{"none", nil, "550 5.7.1 *"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			target, _ := site(t, rules)
			target.TLS.Certificates = tt.certs
			smtpguardtest.Play(t, target, `
				HELLO
				C: MAIL FROM:<>
				S: 250
				C: RCPT TO:<user@foreign.example>
				S: 550 5.7.1 *
				STARTTLS
				C: MAIL FROM:<>
				S: 250
				C: RCPT TO:<user@foreign.example>
				S: `+tt.reply)
		})
	}
}

func TestRecipients(t *testing.T) {
	rules := rules
	asked := make(map[string]int)
	var mu sync.Mutex
	lookup := func(_ context.Context, addr string) (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		asked[addr]++
		if strings.HasPrefix(addr, "down@") {
			return true, errors.New("dial ldap.internal: connection refused")
		}
		return strings.HasPrefix(addr, "user@"), nil
	}
	rules.Recipients = lookup
	target, _ := site(t, rules)
	smtpguardtest.Play(t, target, `
		HELLO
		C: MAIL FROM:<>
		S: 250
		C: RCPT TO:<user@EXAMPLE.org>
		S: 250
		C: RCPT TO:<user@example.org>
		S: 250
		C: RCPT TO:<nobody@example.org>
		S: 550 5.1.1 No such recipient here
		C: RCPT TO:<nobody@example.org>
		S: 550 5.1.1 *
		C: RCPT TO:<down@example.org>
		S: 451 4.3.0 Temporary failure, try again later
		C: RCPT TO:<down@example.org>
		S: 451 4.3.0 *
		C: RCPT TO:<POSTMASTER@example.org>
		S: 250
		C: RCPT TO:<nobody@example.net>
		S: 250
		C: RCPT TO:<nobody@foreign.example>
		S: 550 5.7.1 *`)
	want := map[string]int{"user@example.org": 1, "nobody@example.org": 1, "down@example.org": 2}
	if fmt.Sprint(asked) != fmt.Sprint(want) {
		t.Errorf("asked %v, want %v", asked, want)
	}

	rules.Recipients, rules.RelayedRecipients = nil, lookup
	target, _ = site(t, rules)
	smtpguardtest.Play(t, target, `
		HELLO
		C: MAIL FROM:<>
		S: 250
		C: RCPT TO:<nobody@example.org>
		S: 250
		C: RCPT TO:<nobody@example.net>
		S: 550 5.1.1 *
		C: RCPT TO:<down@example.net>
		S: 451 4.3.0 *
		C: RCPT TO:<user@example.net>
		S: 250`)
}

// The word of an allow list is not leave to relay.
func TestAcceptDoesNotPassOverIt(t *testing.T) {
	friend := smtpguard.Check{Name: "friend", Connect: func(context.Context, *smtpguard.Conn) (smtpguard.Verdict, error) {
		return smtpguard.Verdict{Accept: smtpguard.ScopeConnection}, nil
	}}
	target, _ := site(t, rules, friend)
	smtpguardtest.Play(t, target, `
		HELLO
		C: MAIL FROM:<>
		S: 250
		C: RCPT TO:<user@foreign.example>
		S: 550 5.7.1 *`)
}

func TestBackendFindsDecisions(t *testing.T) {
	target, b := site(t, rules)
	smtpguardtest.Play(t, target, `
		HELLO
		STARTTLS
		AUTH
		C: MAIL FROM:<ann@example.org>
		S: 250
		C: RCPT TO:<user@EXAMPLE.org>
		S: 250
		C: RCPT TO:<user@example.net>
		S: 250
		C: RCPT TO:<"a b"@foreign.example>
		S: 250`)
	want := []relay.Decision{
		{Kind: relay.Local, Rule: "example.org", LocalPart: "user", Domain: "example.org"},
		{Kind: relay.Relayed, Rule: "example.net", LocalPart: "user", Domain: "example.net"},
		{Kind: relay.Outbound, Rule: "staff", LocalPart: "a b", Domain: "foreign.example"},
	}
	if !slices.Equal(b.decisions, want) {
		t.Errorf("%+v, want %+v", b.decisions, want)
	}
	if d, ok := relay.DecisionOf(new(smtpguard.Transaction), "user@example.org"); ok || d.Kind != relay.Refused {
		t.Errorf("decided about what nobody asked: %+v", d)
	}
}
