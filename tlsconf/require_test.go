package tlsconf_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"log"
	"net"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/smtpguardtest"
	"github.com/smtpguard/smtpguard/tlsconf"
)

type discard struct{}

func (discard) NewSession(*smtp.Conn) (smtp.Session, error) { return discard{}, nil }
func (discard) Reset()                                      {}
func (discard) Logout() error                               { return nil }
func (discard) Mail(string, *smtp.MailOptions) error        { return nil }
func (discard) Rcpt(string, *smtp.RcptOptions) error        { return nil }
func (discard) Data(r io.Reader) error                      { _, err := io.Copy(io.Discard, r); return err }
func (discard) AuthMechanisms() []string                    { return []string{sasl.Plain} }
func (discard) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, _, _ string) error { return nil }), nil
}

// site serves cfg behind checks.
func site(t testing.TB, cfg *tls.Config, observe func(smtpguard.Event), edit func(*smtp.Server), checks ...smtpguard.Check) smtpguardtest.Target {
	t.Helper()
	guard, err := smtpguard.New(smtpguard.Config{Observe: observe, Limits: smtpguard.Limits{Slow: -1}}, checks...)
	if err != nil {
		t.Fatal(err)
	}
	srv := smtp.NewServer(guard.Wrap(discard{}))
	srv.Domain = "mx.example.org"
	srv.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLSConfig = cfg
	if err := smtpguard.Harden(srv); err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(srv)
	}
	t.Cleanup(func() { srv.Close() })
	return smtpguardtest.Target{
		Serve: func(ln net.Listener) error {
			l, err := guard.Listen(srv, ln, smtpguard.ListenConfig{})
			if err != nil {
				return err
			}
			return l.Serve()
		},
		TLS: &tls.Config{InsecureSkipVerify: true}, Recipient: "b@example.org",
	}
}

func TestRequireTLS(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, wish{names: []string{"mx.example.org"}})
	auth := "C: AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00a\x00b")) + "\n"
	friend := smtpguard.Check{Name: "friend", Connect: func(context.Context, *smtpguard.Conn) (smtpguard.Verdict, error) {
		return smtpguard.Verdict{Accept: smtpguard.ScopeConnection}, nil
	}}
	const (
		must = "S: 530 5.7.0 Must issue a STARTTLS command first\n"
		ok   = "S: 250\n"
		mail = "C: MAIL FROM:<a@client.example>\n"
		rcpt = "C: RCPT TO:<b@example.org>\n"
		rset = "C: RSET\nS: 250\n"
	)
	for _, tt := range []struct {
		name   string
		r      tlsconf.Requirement
		script string
	}{
		{"logins", tlsconf.Requirement{}, auth + must + mail + ok + rcpt + ok + rset + "STARTTLS\n" + auth + "S: 235\n"},
		{"REQUIRETLS", tlsconf.Requirement{},
			"C: MAIL FROM:<a@client.example> REQUIRETLS\n" + must + mail + ok + rset + "STARTTLS\nC: MAIL FROM:<a@client.example> REQUIRETLS\n" + ok},
		{"all mail", tlsconf.Requirement{Mail: true}, mail + must + "C: NOOP\nS: 250\nSTARTTLS\n" + mail + ok + rcpt + ok},
		{"from whom", tlsconf.Requirement{From: []string{"ann@bank.example", "*.bank.example", "clinic.example", "<>"}},
			"C: MAIL FROM:<ann@bank.example>\n" + must + "C: MAIL FROM:<ANN@Bank.EXAMPLE>\n" + must + "C: MAIL FROM:<bob@bank.example>\n" + ok + rset +
				"C: MAIL FROM:<bob@a.b.bank.example>\n" + must + "C: MAIL FROM:<bob@clinic.example>\n" + must + "C: MAIL FROM:<bob@a.clinic.example>\n" + ok + rset +
				"C: MAIL FROM:<>\n" + must + "STARTTLS\nC: MAIL FROM:<ann@bank.example>\n" + ok},
		{"to whom", tlsconf.Requirement{To: []string{"ward@hospital.example", "bücher.example"}},
			mail + ok + rcpt + ok + "C: RCPT TO:<Ward@HOSPITAL.example>\n" + must + "C: RCPT TO:<a@xn--bcher-kva.example>\n" + must + "C: RCPT TO:<desk@hospital.example>\n" + ok +
				"C: RCPT TO:<ward+night@hospital.example>\n" + must + "C: RCPT TO:<wards@hospital.example>\n" + ok + rset +
				"STARTTLS\n" + mail + ok + "C: RCPT TO:<ward@hospital.example>\n" + ok},
		{"the null reverse-path is nobody else", tlsconf.Requirement{From: []string{"bank.example"}}, "C: MAIL FROM:<>\n" + ok},
		{"all mail but reports", tlsconf.Requirement{Mail: true, From: []string{"bank.example"}, To: []string{"example.org"}, Reports: []string{"tls@example.org"}},
			"C: MAIL FROM:<r@bank.example>\n" + ok + "C: RCPT TO:<tls@example.org>\n" + ok + rcpt + must + rset +
				mail + ok + "C: RCPT TO:<b@example.net>\n" + must + "C: RCPT TO:<TLS@example.org>\n" + ok + rset +
				"C: MAIL FROM:<r@bank.example> REQUIRETLS\n" + must},
	} {
		t.Run(tt.name, func(t *testing.T) {
			check, err := tlsconf.RequireTLS(tt.r)
			if err != nil {
				t.Fatal(err)
			}
			target := site(t, server(t, tlsconf.MX, tlsconf.ServerConfig{Certificates: one{&cert}}), nil, func(srv *smtp.Server) {
				srv.EnableREQUIRETLS = true
				srv.AllowInsecureAuth = true // it is the check that is to refuse
			}, friend, check)
			smtpguardtest.Play(t, target, "HELLO\n"+tt.script)
		})
	}
}

func TestRequirementErrors(t *testing.T) {
	_, err := tlsconf.RequireTLS(tlsconf.Requirement{From: []string{"a b", "@example.org"}, To: []string{"<>", "x@"}, Reports: []string{""}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`tlsconf: Requirement.From[0] "a b": is no domain name and no address`, `From[1] "@example.org": has no local part or no domain`,
		`To[0] "<>": is no recipient`, `To[1] "x@": has no domain name behind the @`, `Reports[0] "": is no domain name`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
}
