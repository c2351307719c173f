package smtpguard_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
)

// A policy is an expression of checks. Here two lists and the EHLO name make a
// score that acts at RCPT; a costly check may take two seconds and, when it
// does not answer, lets mail through; a new one is only watched.
func Example_policy() {
	suspect := func(name string, score float64) smtpguard.Check {
		return smtpguard.Check{
			Name: name,
			Hello: func(_ context.Context, c *smtpguard.Conn) (smtpguard.Verdict, error) {
				if c.Hello() == "localhost" {
					return smtpguard.Verdict{Score: score}, nil
				}
				return smtpguard.Verdict{}, nil
			},
		}
	}
	slow := smtpguard.Check{
		Name:    "slow",
		OnError: smtpguard.FailOpen,
		Mail: func(ctx context.Context, _ *smtpguard.Transaction) (smtpguard.Verdict, error) {
			<-ctx.Done() // a server that does not answer
			return smtpguard.Verdict{}, ctx.Err()
		},
	}
	harsh := smtpguard.Check{
		Name: "harsh",
		Mail: func(context.Context, *smtpguard.Transaction) (smtpguard.Verdict, error) {
			return smtpguard.Verdict{Action: smtpguard.Reject, Reason: "refuses everybody"}, nil
		},
	}
	notLoggedIn := func(c *smtpguard.Conn, _ *smtpguard.Transaction, _ *smtpguard.Recipient) bool {
		_, ok := c.Login()
		return !ok
	}

	guard, err := smtpguard.New(
		smtpguard.Config{Observe: func(ev smtpguard.Event) {
			if ev.Kind == smtpguard.KindVerdict && (ev.Action != smtpguard.Continue || ev.Error != "") {
				fmt.Printf("%s: %s/%s %s shadow=%t %s\n", ev.Stage, ev.Parent, ev.Check, ev.Action, ev.Shadow, ev.Reason)
			}
		}},
		smtpguard.When(notLoggedIn,
			smtpguard.Score(smtpguard.ScoreLimits{Quarantine: 3, Reject: 5},
				smtpguard.Together(suspect("first", 2.5), suspect("second", 1.5)),
				suspect("third", 1),
			)),
		smtpguard.Timeout(20*time.Millisecond, slow),
		smtpguard.Shadow(harsh),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := smtp.NewServer(guard.Wrap(discard{}))
	srv.Domain = "mx.example.org"
	srv.ReadTimeout = 10 * time.Second
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go srv.Serve(ln)
	defer srv.Close()

	client, err := smtp.Dial(ln.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	fmt.Println(client.Hello("localhost"), client.Mail("a@example.net", nil))
	fmt.Println(client.Rcpt("b@example.org", nil))
	// Output:
	// mail: timeout/slow continue shadow=false check failed: context deadline exceeded
	// mail: shadow/harsh reject shadow=true refuses everybody
	// <nil> <nil>
	// rcpt: when/score reject shadow=false score 5 reaches 5 (together 4, third 1)
	// rcpt: /when reject shadow=false score 5 reaches 5 (together 4, third 1)
	// SMTP error 550: Refused by policy
}

// discard is a backend that takes everything and keeps nothing.
type discard struct{}

func (discard) NewSession(*smtp.Conn) (smtp.Session, error) { return discardSession{}, nil }

type discardSession struct{}

func (discardSession) Reset()                               {}
func (discardSession) Logout() error                        { return nil }
func (discardSession) Mail(string, *smtp.MailOptions) error { return nil }
func (discardSession) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (discardSession) Data(io.Reader) error                 { return nil }
