package smtpguardtest_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// backend takes mail for anybody, from anybody.
type backend struct{}

func (backend) NewSession(*smtp.Conn) (smtp.Session, error) { return session{}, nil }

type session struct{}

func (session) Mail(string, *smtp.MailOptions) error { return nil }
func (session) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (session) Data(r io.Reader) error               { _, err := io.Copy(io.Discard, r); return err }
func (session) Reset()                               {}
func (session) Logout() error                        { return nil }

// In a test, smtpguardtest.Run(t, target) does the same with a subtest a case.
func Example() {
	target := smtpguardtest.Target{
		Server:    smtp.NewServer(backend{}),
		Recipient: "somebody@example.org",
		Foreign:   "victim@example.com",
	}
	findings, err := smtpguardtest.CheckCases(context.Background(), target, smtpguardtest.Suite("relay")[:2])
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range findings {
		fmt.Println(f.Case.Name, "-", f.Case.Rule)
		fmt.Println(f.Err)
	}
	// Output:
	// relay/plain - a client without a login reaches no mailbox elsewhere
	// RCPT TO:"<victim@example.com>" was accepted: "250 2.0.0 I'll make sure <victim@example.com> gets this"
	// relay/no-brackets - a client without a login reaches no mailbox elsewhere
	// RCPT TO:"victim@example.com" was accepted: "250 2.0.0 I'll make sure <victim@example.com> gets this"
}
