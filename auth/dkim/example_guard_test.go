package dkim_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"
	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/dkim"
)

// A server refuses what its sender has signed and somebody has changed, and signs
// what it hands on.
func Example_server() {
	record, err := dkim.Record(key.Private.Public())
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := dkim.New(dkim.Config{Resolver: zone{key.Name(): record}})
	if err != nil {
		fmt.Println(err)
		return
	}
	signer, err := dkim.NewSigner(dkim.SignConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	verify := smtpguard.Check{
		Name: "dkim",
		Data: func(ctx context.Context, _ *smtpguard.Transaction, m *smtpguard.Message) (smtpguard.Verdict, error) {
			report, err := v.Verify(ctx, m.Open())
			if err != nil {
				return smtpguard.Verdict{}, err
			}
			if report.Result() == dkim.Fail {
				return smtpguard.Verdict{Action: smtpguard.Reject, Reason: report.Signatures[0].Reason}, nil
			}
			return smtpguard.Verdict{}, nil
		},
	}
	sign := smtpguard.Check{
		Name: "dkim-sign",
		Data: func(_ context.Context, _ *smtpguard.Transaction, m *smtpguard.Message) (smtpguard.Verdict, error) {
			m.Sign(func(ctx context.Context, content io.Reader) ([]string, error) {
				return signer.Sign(ctx, content, key)
			})
			return smtpguard.Verdict{}, nil
		},
	}
	signed := send(message, sign)
	fmt.Println("signed:", strings.Contains(signed, "DKIM-Signature:"))
	fmt.Println("verified:", strings.HasSuffix(send(signed, verify), signed))
	fmt.Println(send(strings.Replace(signed, "Dear Bob", "Dear Eve", 1), verify))
	// Output:
	// signed: true
	// verified: true
	// SMTP error 554: Message refused
}

// Example_msgauth is the same check with go-msgauth in place of this package.
func Example_msgauth() {
	record, err := dkim.Record(key.Private.Public())
	if err != nil {
		fmt.Println(err)
		return
	}
	dns := zone{key.Name(): record}
	verify := smtpguard.Check{
		Name: "dkim",
		Data: func(ctx context.Context, _ *smtpguard.Transaction, m *smtpguard.Message) (smtpguard.Verdict, error) {
			list, err := msgauth.VerifyWithOptions(m.Open(), &msgauth.VerifyOptions{
				LookupTXT:        func(name string) ([]string, error) { return dns.LookupTXT(ctx, name) },
				MaxVerifications: 5, // there is no bound without it
			})
			if err != nil && err != msgauth.ErrTooManySignatures {
				return smtpguard.Verdict{}, err
			}
			for _, s := range list {
				if s.Err != nil && !msgauth.IsPermFail(s.Err) && !msgauth.IsTempFail(s.Err) {
					return smtpguard.Verdict{Action: smtpguard.Reject, Reason: s.Err.Error()}, nil
				}
			}
			return smtpguard.Verdict{}, nil
		},
	}
	signer, err := dkim.NewSigner(dkim.SignConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fields, err := signer.Sign(context.Background(), strings.NewReader(message), key)
	if err != nil {
		fmt.Println(err)
		return
	}
	signed := fields[0] + message
	fmt.Println("verified:", strings.HasSuffix(send(signed, verify), signed))
	fmt.Println(send(strings.Replace(signed, "Dear Bob", "Dear Eve", 1), verify))
	// Output:
	// verified: true
	// SMTP error 554: Message refused
}

// send has a server with one check take a message, and returns what its backend
// has read, or the server's refusal.
func send(text string, check smtpguard.Check) string {
	guard, err := smtpguard.New(smtpguard.Config{}, check)
	if err != nil {
		return err.Error()
	}
	got := make(mailbox, 1)
	srv := smtp.NewServer(guard.Wrap(got))
	srv.Domain = "mx.example.com"
	srv.ReadTimeout = 10 * time.Second
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err.Error()
	}
	go srv.Serve(ln)
	defer srv.Close()
	client, err := smtp.Dial(ln.Addr().String())
	if err != nil {
		return err.Error()
	}
	defer client.Close()
	if err := client.SendMail("ann@example.org", []string{"bob@example.com"}, strings.NewReader(text)); err != nil {
		return err.Error()
	}
	return <-got
}

// mailbox is a backend that keeps what it is sent.
type mailbox chan string

func (m mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return m, nil }
func (m mailbox) Mail(string, *smtp.MailOptions) error        { return nil }
func (m mailbox) Rcpt(string, *smtp.RcptOptions) error        { return nil }
func (m mailbox) Reset()                                      {}
func (m mailbox) Logout() error                               { return nil }
func (m mailbox) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	m <- string(b)
	return err
}
