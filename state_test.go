package smtpguard_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// Tests of what must not be carried from one state of a connection into the
// next, and of what must be let go.

// greeting is an allow list by EHLO identity.
var greeting = smtpguard.Check{Name: "greeting", Hello: func(_ context.Context, c *smtpguard.Conn) (smtpguard.Verdict, error) {
	if c.Hello() == "friend.example" {
		return smtpguard.Verdict{Accept: smtpguard.ScopeConnection}, nil
	}
	return smtpguard.Verdict{}, nil
}}

// vip is an allow list by the login that is claimed.
var vip = smtpguard.Check{Name: "vip", Auth: func(_ context.Context, _ *smtpguard.Conn, a *smtpguard.AuthAttempt) (smtpguard.Verdict, error) {
	if a.Claimed == "demo" {
		return smtpguard.Verdict{Accept: smtpguard.ScopeConnection}, nil
	}
	return smtpguard.Verdict{}, nil
}}

// TestAcceptEndsWithWhatItRestsOn: an allow list's word for the connection does
// not outlive the words of the client that it was given for.
func TestAcceptEndsWithWhatItRestsOn(t *testing.T) {
	const mail = "C: MAIL FROM:<a@client.example>\n"
	friend := "S: 220\nC: EHLO friend.example\nS: 250 **\n"
	login := func(pass string) string { return "C: AUTH PLAIN " + plain("demo", pass) + "\n" }
	tlsAgain := "C: STARTTLS\nS: 220\nTLS\nC: EHLO client.example\nS: 250 **\n"
	for _, tt := range []struct{ name, script string }{
		{"holds", friend + mail + "S: 250"},
		{"EHLO under another name", friend + "C: EHLO client.example\nS: 250 **\n" + mail + "S: 550"},
		{"STARTTLS after EHLO", friend + tlsAgain + mail + "S: 550"},
		{"a login that is proven", hello + login("secret") + "S: 235\n" + mail + "S: 250"},
		{"a login that is not", hello + login("wrong") + "S: 535\n" + mail + "S: 550"},
		{"a login that is given up", hello + "C: AUTH PLAIN\nS: 334\nC: *\nS: 501\n" + mail + "S: 550"},
		{"STARTTLS after a login", hello + login("secret") + "S: 235\n" + tlsAgain + mail + "S: 550"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := bare(withTLS, func(l *lab) { l.backend.auth, l.AllowInsecureAuth = true, true })
			l, _ = wrapped(t, l, smtpguard.Config{}, greeting, vip, at("no", reject, nil, smtpguard.StageMail))
			smtpguardtest.Play(t, l.target(), tt.script)
		})
	}
}

// TestLoginOfTwoNames: a mechanism that takes no initial response judges the
// name that comes after it asked, and so must the checks.
func TestLoginOfTwoNames(t *testing.T) {
	w := &watcher{}
	var login atomic.Value
	see := smtpguard.Check{Name: "see", Mail: func(_ context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
		name, _ := tx.Conn().Login()
		login.Store(name)
		return smtpguard.Verdict{}, nil
	}}
	l := bare(func(l *lab) { l.AllowInsecureAuth = true })
	l.Backend = smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &loginSession{memorySession{m: l.backend}}, nil
	})
	l, _ = wrapped(t, l, smtpguard.Config{}, w.check(), see)
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	smtpguardtest.Play(t, l.target(), hello+"C: AUTH LOGIN "+b64("alice")+"\nS: 334 "+b64("Username:")+"\nC: "+b64("mallory")+
		"\nS: 334 "+b64("Password:")+"\nC: "+b64("mallory's own")+"\nS: 235\nC: MAIL FROM:<a@client.example>\nS: 250")
	if got := login.Load(); got != "mallory" {
		t.Errorf("logged in as %q, want mallory: that is whom the backend proved", got)
	}
	if !w.has(`auth LOGIN "mallory"`) {
		t.Errorf("no check was asked about mallory: %q", w.log)
	}
	for _, ev := range append(l.events.of(smtpguard.KindAuth), l.events.of(smtpguard.KindVerdict)...) {
		if strings.Contains(fmt.Sprint(ev), "own") {
			t.Errorf("an event carries the password: %+v", ev)
		}
	}
}

// loginSession offers LOGIN by a mechanism that drops the initial response.
type loginSession struct{ memorySession }

func (*loginSession) AuthMechanisms() []string         { return []string{"LOGIN"} }
func (*loginSession) Auth(string) (sasl.Server, error) { return &dropping{}, nil }

type dropping struct{ name string }

func (d *dropping) Next(response []byte) ([]byte, bool, error) {
	switch d.name {
	case "":
		d.name = "?"
		return []byte("Username:"), false, nil
	case "?":
		d.name = string(response)
		return []byte("Password:"), false, nil
	}
	if string(response) != d.name+"'s own" {
		return nil, false, smtp.ErrAuthFailed
	}
	return nil, true, nil
}

// TestNoContentAfterDisconnect: without a Listener go-smtp goes on after a 421.
func TestNoContentAfterDisconnect(t *testing.T) {
	no := smtpguard.Check{Name: "no", Rcpt: func(_ context.Context, _ *smtpguard.Transaction, r *smtpguard.Recipient) (smtpguard.Verdict, error) {
		if r.Addr == "trap@example.org" {
			return smtpguard.Verdict{Action: smtpguard.Disconnect}, nil
		}
		return smtpguard.Verdict{}, nil
	}}
	for _, content := range []string{`DATA\r\nx\r\n.\r\n`, `BDAT 3 LAST\r\nx\r\n`} {
		l, _ := wrapped(t, bare(), smtpguard.Config{}, no)
		smtpguardtest.Play(t, l.target(), hello+envelope+`C! "RCPT TO:<trap@example.org>\r\n`+content+`"`+"\nS: 421\nS: 354|421\nWAIT 50ms")
		if n := len(l.backend.mails()); n != 0 {
			t.Errorf("%s: %d messages delivered on a connection that was given up", content, n)
		}
	}
}

// TestForgotten: without a Listener nobody says that a connection is gone on
// which go-smtp has no session.
func TestForgotten(t *testing.T) {
	for _, tt := range []struct{ name, script string }{
		{"session refused", "S: 220\nC: EHLO refused.example\nS: 550\nCLOSE"},
		{"check objects at EHLO", "S: 220\nC: EHLO foe.example\nS: 550\nCLOSE"},
		{"hung up after STARTTLS", hello + "C: STARTTLS\nS: 220\nTLS\nCLOSE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &watcher{}
			foe := smtpguard.Check{
				Name: "foe",
				Hello: func(_ context.Context, c *smtpguard.Conn) (smtpguard.Verdict, error) {
					if c.Hello() == "foe.example" {
						return smtpguard.Verdict{Action: smtpguard.Reject}, nil
					}
					return smtpguard.Verdict{}, nil
				},
				Close: func(*smtpguard.Conn) { w.add("close") },
			}
			l, _ := wrapped(t, bare(withTLS), smtpguard.Config{}, foe)
			smtpguardtest.Play(t, l.target(), tt.script)
			waitFor(t, func() bool { runtime.GC(); return w.has("close") })
		})
	}
}

// TestBackendWithoutSession: a backend that gives nothing must not end the
// process when the connection does.
func TestBackendWithoutSession(t *testing.T) {
	l := bare()
	l.Backend = smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return nil, nil })
	l, _ = wrapped(t, l, smtpguard.Config{})
	smtpguardtest.Play(t, l.target(), "S: 220\nC: EHLO client.example\nS: 451 4.3.0 *\nC: QUIT\nS: 221\nS: EOF")
	if n := len(l.events.of(smtpguard.KindWarning)); n == 0 {
		t.Error("the operator heard nothing of it")
	}
}

// TestObserverPanics: no event ends the process, and the operator hears of it.
func TestObserverPanics(t *testing.T) {
	var told, all atomic.Int64
	g, err := smtpguard.New(quick(smtpguard.Config{Observe: func(ev smtpguard.Event) {
		all.Add(1)
		if ev.Reason == "Observe panicked" {
			told.Add(1)
		}
		panic("log is full")
	}}), at("yes", smtpguard.Verdict{}, nil, smtpguard.StageMail))
	if err != nil {
		t.Fatal(err)
	}
	l := bare()
	l.Backend = g.Wrap(l.Backend)
	smtpguardtest.Play(t, l.target(), wholeMessage)
	// The verdict on MAIL, the missing Listener and the transaction.
	waitFor(t, func() bool { return told.Load() >= 3 && all.Load() == 2*told.Load() })
}

// worded is a backend's session that puts a reply of its own into an error.
type worded struct {
	memorySession
	stage string
	code  int
}

func (w *worded) say(stage string, err error) error {
	if err == nil && stage == w.stage {
		return &smtp.SMTPError{Code: w.code, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "Queued as 4711"}
	}
	return err
}

func (w *worded) Mail(from string, o *smtp.MailOptions) error {
	return w.say("MAIL", w.memorySession.Mail(from, o))
}
func (w *worded) Rcpt(to string, o *smtp.RcptOptions) error {
	return w.say("RCPT", w.memorySession.Rcpt(to, o))
}
func (w *worded) Data(r io.Reader) error { return w.say("DATA", w.memorySession.Data(r)) }

// TestBackendWords: a positive reply in an error is how backends word their
// success after the content. Anywhere else go-smtp would say 250 and not mean it.
func TestBackendWords(t *testing.T) {
	for _, tt := range []struct {
		stage     string
		code      int
		replies   []string
		delivered bool
		reply     string
	}{
		{"DATA", 250, []string{"220", "250 **", "250", "250", "354", "250 2.0.0 Queued as 4711"}, true, "250 2.0.0 Queued as 4711"},
		{"DATA", 354, []string{"220", "250 **", "250", "250", "354", "451 4.3.0 *"}, false, "451 4.3.0 Temporary failure, try again later"},
		{"MAIL", 250, []string{"220", "250 **", "451 4.3.0 *"}, false, "451 4.3.0 Temporary failure, try again later"},
		{"RCPT", 250, []string{"220", "250 **", "250", "451 4.3.0 *"}, false, "451 4.3.0 Temporary failure, try again later"},
	} {
		t.Run(fmt.Sprint(tt.stage, tt.code), func(t *testing.T) {
			l := bare()
			l.Backend = smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
				return &worded{memorySession{m: l.backend}, tt.stage, tt.code}, nil
			})
			l, _ = wrapped(t, l, smtpguard.Config{})
			last := len(tt.replies) - 1
			smtpguardtest.Play(t, l.target(), closed(until(tt.replies[last], tt.replies[:last]...)))
			waitFor(t, func() bool { return len(l.events.of(smtpguard.KindTransaction)) == 1 })
			if t.Failed() {
				return
			}
			if ev := l.events.of(smtpguard.KindTransaction)[0]; ev.Delivered != tt.delivered || ev.Reply != tt.reply {
				t.Errorf("the transaction ended with %v %q, want %v %q", ev.Delivered, ev.Reply, tt.delivered, tt.reply)
			}
		})
	}
}

// TestMarksAreNotRepeated: EHLO may be said again and again.
func TestMarksAreNotRepeated(t *testing.T) {
	var marks []string
	see := smtpguard.Check{Name: "see", Mail: func(_ context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
		marks = tx.Quarantined()
		return smtpguard.Verdict{}, nil
	}}
	l, _ := wrapped(t, bare(), smtpguard.Config{}, at("odd", smtpguard.Verdict{Action: smtpguard.Quarantine}, nil, smtpguard.StageHello), see)
	smtpguardtest.Play(t, l.target(), hello+`
		C: MAIL FROM:<a@client.example>
		S: 250
		C: EHLO other.example
		S: 250 **
		C: MAIL FROM:<a@client.example>
		S: 250
		C: RSET
		S: 250`)
	if !slices.Equal(marks, []string{"odd"}) {
		t.Errorf("marks %q, want odd once", marks)
	}
}
