package authres_test

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/authres"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// mailbox is a backend that keeps the last message.
type mailbox struct{ last *string }

func (m mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return m, nil }

func (mailbox) Mail(string, *smtp.MailOptions) error { return nil }
func (mailbox) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (mailbox) Reset()                               {}
func (mailbox) Logout() error                        { return nil }
func (m mailbox) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	*m.last = string(content)
	return err
}

// TestGuard shows a Filter at work on a message in a session.
func TestGuard(t *testing.T) {
	filter := newFilter(t, authres.Config{ID: "mx.example.org", Keep: []string{"lists.example.com"}})
	check := smtpguard.Check{Name: "authres", Data: func(_ context.Context, tx *smtpguard.Transaction, msg *smtpguard.Message) (smtpguard.Verdict, error) {
		msg.Strip("Authentication-Results", filter.Strip)
		field, err := filter.Results(authres.Method{Name: "spf", Result: authres.Pass, Properties: []authres.Property{{Type: "smtp", Name: "mailfrom", Value: "a;b@example.com"}}}).Field()
		if err != nil {
			return smtpguard.Verdict{}, err
		}
		return smtpguard.Verdict{}, msg.Prepend(field)
	}}
	guard, err := smtpguard.New(smtpguard.Config{}, check)
	if err != nil {
		t.Fatal(err)
	}
	var last string
	server := smtp.NewServer(guard.Wrap(mailbox{&last}))
	server.Domain = "mx.example.org"
	smtpguardtest.Play(t, smtpguardtest.Target{Server: server, Recipient: "bob@example.org"}, `
		READY
		C: MAIL FROM:<ann@example.com>
		S: 250
		C: RCPT TO:<${rcpt}>
		S: 250
		C: DATA
		S: 354
		C: authentication-results: mx.example.org; dkim=pass
		C: Authentication-Results : mx.example.org; dmarc=pass
		C: Authentication-Results: (x)
		C!  "\tMX.example.org\r\n ; dkim=pass\r\n"
		C: AUTHENTICATION-RESULTS: evil.example; spf=pass
		C: Authentication-Results: lists.example.com; spf=pass
		C: From: ann@example.com
		C:
		C: Hello
		C: .
		S: 250
	`)
	// Between the two stands the Received field that the guard adds.
	const first = "Authentication-Results: mx.example.org;\r\n\tspf=pass smtp.mailfrom=\"a;b@example.com\"\r\nReceived: "
	const rest = "\r\nAuthentication-Results: lists.example.com; spf=pass\r\nFrom: ann@example.com\r\n\r\nHello\r\n"
	if !strings.HasPrefix(last, first) || !strings.HasSuffix(last, rest) || strings.Count(strings.ToLower(last), "authentication-results") != 2 {
		t.Errorf("got %q", last)
	}
}
