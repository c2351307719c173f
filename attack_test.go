package smtpguard_test

import (
	"context"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// TestAcceptOfAClaim: what an allow list says of a login counts once the login
// is proven.
func TestAcceptOfAClaim(t *testing.T) {
	allow := smtpguard.Check{Name: "allow", Auth: func(_ context.Context, _ *smtpguard.Conn, a *smtpguard.AuthAttempt) (smtpguard.Verdict, error) {
		if a.Claimed == "demo" {
			return accept(smtpguard.ScopeConnection), nil
		}
		return smtpguard.Verdict{}, nil
	}}
	l, _ := wrapped(t, bare(func(l *lab) { l.backend.auth, l.AllowInsecureAuth = true, true }), smtpguard.Config{},
		allow, at("no", reject, nil, smtpguard.StageMail))
	smtpguardtest.Play(t, l.target(), `
		HELLO
		C: AUTH PLAIN `+plain("demo", "wrong")+`
		S: 535
		C: MAIL FROM:<a@client.example>
		S: 550
		C: AUTH PLAIN `+plain("demo", "secret")+`
		S: 235
		C: MAIL FROM:<a@client.example>
		S: 250`)
}

// TestAcceptOfAnEHLO: what an allow list says of an EHLO identity ends with it.
func TestAcceptOfAnEHLO(t *testing.T) {
	allow := smtpguard.Check{Name: "allow", Hello: func(_ context.Context, c *smtpguard.Conn) (smtpguard.Verdict, error) {
		if c.Hello() == "friend.example" {
			return accept(smtpguard.ScopeConnection), nil
		}
		return smtpguard.Verdict{}, nil
	}}
	l, _ := wrapped(t, bare(), smtpguard.Config{}, allow, at("no", reject, nil, smtpguard.StageMail))
	smtpguardtest.Play(t, l.target(), `
		S: 220
		C: EHLO friend.example
		S: 250 **
		C: MAIL FROM:<a@client.example>
		S: 250
		C: EHLO stranger.example
		S: 250 **
		C: MAIL FROM:<a@client.example>
		S: 550`)
}

// worded is a backend that answers with replies of its own.
type worded struct {
	mail, data *smtp.SMTPError
}

func (w worded) NewSession(*smtp.Conn) (smtp.Session, error) { return w, nil }
func (w worded) Reset()                                      {}
func (w worded) Logout() error                               { return nil }
func (w worded) Rcpt(string, *smtp.RcptOptions) error        { return nil }
func (w worded) Mail(string, *smtp.MailOptions) error {
	if w.mail != nil {
		return w.mail
	}
	return nil
}
func (w worded) Data(r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	return w.data
}

// TestBackendsOwnWords: a backend may word its success; a success where there
// is none to word would be a lie to the client.
func TestBackendsOwnWords(t *testing.T) {
	l, _ := wrapped(t, bare(), smtpguard.Config{})
	l.Backend = must(smtpguard.New(smtpguard.Config{Observe: l.events.observe})).Wrap(
		worded{data: &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "Queued as 42"}})
	smtpguardtest.Play(t, l.target(), until("250 2.0.0 Queued as 42", "220", "250 **", "250", "250", "354")+"\nC: QUIT\nS: 221")
	waitFor(t, func() bool { return len(l.events.of(smtpguard.KindTransaction)) == 1 })
	if ev := l.events.of(smtpguard.KindTransaction)[0]; !ev.Delivered || ev.Reply != "250 2.0.0 Queued as 42" {
		t.Errorf("the transaction ended as %+v, want delivered, in the backend's words", ev)
	}

	l, _ = wrapped(t, bare(), smtpguard.Config{})
	l.Backend = must(smtpguard.New(smtpguard.Config{})).Wrap(
		worded{mail: &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "Fine"}})
	smtpguardtest.Play(t, l.target(), until("451 4.3.0 *", "220", "250 **"))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestObserverPanics: an operator's mistake is no end of the process.
func TestObserverPanics(t *testing.T) {
	var warned atomic.Bool
	g := must(smtpguard.New(smtpguard.Config{Observe: func(ev smtpguard.Event) {
		if ev.Reason == "Observe panicked" {
			warned.Store(true)
			return
		}
		panic("sink broken")
	}}))
	l := bare()
	l.Backend = g.Wrap(l.Backend)
	smtpguardtest.Play(t, l.target(), wholeMessage)
	waitFor(t, warned.Load)
}

func TestBackendWithoutSession(t *testing.T) {
	l := bare()
	l.Backend = must(smtpguard.New(smtpguard.Config{})).Wrap(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return nil, nil }))
	smtpguardtest.Play(t, l.target(), "S: 220\nC: EHLO client.example\nS: 451 4.3.0 *\nC: QUIT\nS: 221")
}

// TestConnReleased: go-smtp calls no Logout where NewSession failed; the check
// hears of the end of the connection all the same.
func TestConnReleased(t *testing.T) {
	w := &watcher{}
	l, _ := wrapped(t, bare(), smtpguard.Config{}, smtpguard.Check{
		Name: "slots",
		Connect: func(context.Context, *smtpguard.Conn) (smtpguard.Verdict, error) {
			w.add("taken")
			return smtpguard.Verdict{}, nil
		},
		Close: func(*smtpguard.Conn) { w.add("released") },
	})
	smtpguardtest.Play(t, l.target(), "S: 220\nC: EHLO refused.example\nS: 550\nCLOSE")
	waitFor(t, func() bool { runtime.GC(); return w.has("released") })
	if got := strings.Join(w.log, " "); got != "taken released" {
		t.Errorf("the check's slot was %q", got)
	}
}

func TestMarksOnce(t *testing.T) {
	l, _ := wrapped(t, bare(), smtpguard.Config{}, at("odd", quarantine, nil, smtpguard.StageHello, smtpguard.StageMail))
	smtpguardtest.Play(t, l.target(), `
		HELLO
		C: EHLO other.example
		S: 250 **
		C: MAIL FROM:<a@client.example>
		S: 250
		C: RCPT TO:<b@example.org>
		S: 250
		C: DATA
		S: 354
		C: .
		S: 250`)
	if body := l.backend.mails()[0].body; !strings.HasPrefix(body, "X-Smtpguard-Quarantine: odd\r\n") {
		t.Errorf("content %q, want one mark", body)
	}
}
