package smtpguard_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// at returns a check named name that says v at the stages given.
func at(name string, v smtpguard.Verdict, err error, stages ...smtpguard.Stage) smtpguard.Check {
	c := smtpguard.Check{Name: name}
	for _, s := range stages {
		switch s {
		case smtpguard.StageConnect:
			c.Connect = func(context.Context, *smtpguard.Conn) (smtpguard.Verdict, error) { return v, err }
		case smtpguard.StageHello:
			c.Hello = func(context.Context, *smtpguard.Conn) (smtpguard.Verdict, error) { return v, err }
		case smtpguard.StageAuth:
			c.Auth = func(context.Context, *smtpguard.Conn, *smtpguard.AuthAttempt) (smtpguard.Verdict, error) {
				return v, err
			}
		case smtpguard.StageMail:
			c.Mail = func(context.Context, *smtpguard.Transaction) (smtpguard.Verdict, error) { return v, err }
		case smtpguard.StageRcpt:
			c.Rcpt = func(context.Context, *smtpguard.Transaction, *smtpguard.Recipient) (smtpguard.Verdict, error) {
				return v, err
			}
		case smtpguard.StageData:
			c.Data = func(context.Context, *smtpguard.Transaction, *smtpguard.Message) (smtpguard.Verdict, error) {
				return v, err
			}
		}
	}
	return c
}

func always(c smtpguard.Check) smtpguard.Check { c.Always = true; return c }

func onError(f smtpguard.Failure, c smtpguard.Check) smtpguard.Check { c.OnError = f; return c }

var (
	reject     = smtpguard.Verdict{Action: smtpguard.Reject}
	deferred   = smtpguard.Verdict{Action: smtpguard.Defer}
	disconnect = smtpguard.Verdict{Action: smtpguard.Disconnect}
	quarantine = smtpguard.Verdict{Action: smtpguard.Quarantine}
	broken     = errors.New("secret of the check")
)

func accept(s smtpguard.Scope) smtpguard.Verdict { return smtpguard.Verdict{Accept: s} }

// oneMessage is a whole session, with what the server says to each command.
const oneMessage = `
	S: %s
	C: EHLO client.example
	S: %s
	C: MAIL FROM:<a@client.example>
	S: %s
	C: RCPT TO:<b@example.org>
	S: %s
	C: DATA
	S: %s
	C: Subject: hi
	C:
	C: x
	C: .
	S: %s
	C: QUIT
	S: 221`

// until is oneMessage up to and with the reply that refuses it.
func until(refusal string, ok ...string) string {
	all := strings.Split(oneMessage, "%s")
	var b strings.Builder
	for i, reply := range append(ok, refusal) {
		b.WriteString(all[i] + reply)
	}
	return b.String()
}

var wholeMessage = fmt.Sprintf(oneMessage, "220", "250 **", "250", "250", "354", "250")

func TestVerdicts(t *testing.T) {
	const (
		con, hel, mai, rcp, dat = smtpguard.StageConnect, smtpguard.StageHello, smtpguard.StageMail, smtpguard.StageRcpt, smtpguard.StageData
	)
	reply := func(code int, text string) *smtp.SMTPError {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 7, 1}, Message: text}
	}
	for _, tt := range []struct {
		name   string
		checks []smtpguard.Check
		want   string
		mails  int
	}{
		{"nothing to object", []smtpguard.Check{at("a", smtpguard.Verdict{}, nil, con, hel, mai, rcp, dat)}, wholeMessage, 1},
		{"EHLO refused", []smtpguard.Check{at("a", reject, nil, hel)}, until("550 5.7.1 Refused by policy", "220") + "\nC: MAIL FROM:<a@client.example>\nS: 502", 0},
		{"MAIL deferred", []smtpguard.Check{at("a", deferred, nil, mai)}, until("451 4.7.1 Try again later", "220", "250 **") + "\nC: RCPT TO:<b@example.org>\nS: 502", 0},
		{"RCPT refused in the check's words", []smtpguard.Check{at("a", smtpguard.Verdict{Action: smtpguard.Reject, Reply: reply(553, "Not here")}, nil, rcp)}, until("553 5.7.1 Not here", "220", "250 **", "250"), 0},
		{"content refused", []smtpguard.Check{at("a", reject, nil, dat)}, until("554 5.7.1 Message refused", "220", "250 **", "250", "250", "354"), 0},
		{"hung up at RCPT", []smtpguard.Check{at("a", disconnect, nil, rcp)}, until("421 4.7.0 Closing connection", "220", "250 **", "250"), 0},
		{"the first objection counts", []smtpguard.Check{at("a", deferred, nil, mai), at("b", reject, nil, mai)}, until("451", "220", "250 **"), 0},
		{"a failure defers", []smtpguard.Check{at("a", smtpguard.Verdict{}, broken, rcp)}, until("451 4.3.0 Temporary failure, try again later", "220", "250 **", "250"), 0},
		{"a failure of an advisory check", []smtpguard.Check{onError(smtpguard.FailOpen, at("a", reject, broken, mai, rcp, dat))}, wholeMessage, 1},
		{"a failure that refuses", []smtpguard.Check{onError(smtpguard.FailRefuse, at("a", smtpguard.Verdict{}, broken, dat))}, until("554 5.3.0 Cannot be judged, refused", "220", "250 **", "250", "250", "354"), 0},
		{"a panic is a failure", []smtpguard.Check{{Name: "a", Data: func(context.Context, *smtpguard.Transaction, *smtpguard.Message) (smtpguard.Verdict, error) {
			panic("x")
		}}}, until("451 4.3.0 *", "220", "250 **", "250", "250", "354"), 0},
		{"no valid action is a failure", []smtpguard.Check{at("a", smtpguard.Verdict{Action: 77}, nil, mai)}, until("451 4.3.0 *", "220", "250 **"), 0},
		{"accepted in this hook only", []smtpguard.Check{at("allow", accept(smtpguard.ScopeHook), nil, mai), at("a", reject, nil, mai, rcp)}, until("550", "220", "250 **", "250"), 0},
		{"accepted for the transaction", []smtpguard.Check{at("allow", accept(smtpguard.ScopeTransaction), nil, mai), at("a", reject, nil, mai, rcp, dat)}, wholeMessage, 1},
		{"accepted for the connection", []smtpguard.Check{at("allow", accept(smtpguard.ScopeConnection), nil, con), at("a", reject, nil, con, hel, mai, rcp, dat)}, wholeMessage, 1},
		{"no allow list passes over Always", []smtpguard.Check{at("allow", accept(smtpguard.ScopeConnection), nil, con), always(at("relay", reject, nil, rcp))}, until("550", "220", "250 **", "250"), 0},
		{"an allow list that comes too late", []smtpguard.Check{at("a", reject, nil, mai), at("allow", accept(smtpguard.ScopeConnection), nil, mai)}, until("550", "220", "250 **"), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, _ := wrapped(t, bare(), smtpguard.Config{}, tt.checks...)
			smtpguardtest.Play(t, l.target(), tt.want)
			if n := len(l.backend.mails()); n != tt.mails {
				t.Errorf("%d messages delivered, want %d", n, tt.mails)
			}
		})
	}
}

func TestAcceptEndsWithItsTransaction(t *testing.T) {
	first := true
	allow := smtpguard.Check{Name: "allow", Mail: func(context.Context, *smtpguard.Transaction) (smtpguard.Verdict, error) {
		v := smtpguard.Verdict{}
		if first {
			v.Accept = smtpguard.ScopeTransaction
		}
		first = false
		return v, nil
	}}
	l, _ := wrapped(t, bare(), smtpguard.Config{}, allow, at("a", reject, nil, smtpguard.StageRcpt))
	smtpguardtest.Play(t, l.target(), `
		HELLO
		C: MAIL FROM:<a@client.example>
		S: 250
		C: RCPT TO:<b@example.org>
		S: 250
		C: RSET
		S: 250
		C: MAIL FROM:<a@client.example>
		S: 250
		C: RCPT TO:<b@example.org>
		S: 550`)
}

func TestFailureIsNotTold(t *testing.T) {
	l, _ := wrapped(t, bare(), smtpguard.Config{}, at("a", smtpguard.Verdict{}, broken, smtpguard.StageMail))
	d := smtpguardtest.Record(t, l.target(), "C: EHLO client.example\nC: MAIL FROM:<a@client.example>\nC: QUIT")
	if strings.Contains(d, "secret") {
		t.Errorf("the error's text reached the client:\n%s", d)
	}
	verdicts := l.events.of(smtpguard.KindVerdict)
	if len(verdicts) != 1 || verdicts[0].Error != broken.Error() || verdicts[0].Action != smtpguard.Defer {
		t.Errorf("events %+v, want one deferral with the error's text", verdicts)
	}
}

// TestWhoObjected: what a combinator hands on is said of the check below it.
func TestWhoObjected(t *testing.T) {
	always := func(*smtpguard.Conn, *smtpguard.Transaction, *smtpguard.Recipient) bool { return true }
	own, none := at("own", reject, nil, smtpguard.StageMail), at("none", smtpguard.Verdict{}, nil, smtpguard.StageMail)
	high := at("high", smtpguard.Verdict{Score: 5}, nil, smtpguard.StageMail)
	for want, check := range map[string]smtpguard.Check{
		"own":                    own,
		"when/own":               smtpguard.When(always, own),
		"together/own":           smtpguard.Together(none, own),
		"score/timeout/own":      smtpguard.Score(smtpguard.ScoreLimits{}, none, smtpguard.Timeout(time.Minute, own)),
		"late/own":               smtpguard.Late(smtpguard.StageMail, at("own", reject, nil, smtpguard.StageHello)),
		"score":                  smtpguard.Score(smtpguard.ScoreLimits{Stage: smtpguard.StageMail, Reject: 5}, high),
		"when/together/when/own": smtpguard.When(always, smtpguard.Together(none, smtpguard.When(always, own))),
	} {
		l, _ := wrapped(t, bare(), smtpguard.Config{}, check)
		smtpguardtest.Play(t, l.target(), until("550", "220", "250 **"))
		waitFor(t, func() bool { return len(l.events.of(smtpguard.KindTransaction)) == 1 })
		if got := l.events.of(smtpguard.KindTransaction)[0].Check; got != want {
			t.Errorf("objected: %q, want %q", got, want)
		}
	}
	l, _ := wrapped(t, bare(), smtpguard.Config{}, smtpguard.When(always, at("odd", quarantine, nil, smtpguard.StageData)))
	smtpguardtest.Play(t, l.target(), wholeMessage)
	if body := l.backend.mails()[0].body; !strings.HasPrefix(body, "X-Smtpguard-Quarantine: when/odd\r\n") {
		t.Errorf("content %q, want the check in our mark", body)
	}
}

func TestQuarantine(t *testing.T) {
	var marks []string
	seen := smtpguard.Check{Name: "seen", Done: func(_ context.Context, tx *smtpguard.Transaction, _ smtpguard.Outcome) { marks = tx.Quarantined() }}
	l, _ := wrapped(t, bare(), smtpguard.Config{},
		at("early", quarantine, nil, smtpguard.StageHello), at("late", quarantine, nil, smtpguard.StageData), seen)
	smtpguardtest.Play(t, l.target(), `
		HELLO
		C: MAIL FROM:<a@client.example>
		S: 250
		C: RCPT TO:<b@example.org>
		S: 250
		C: DATA
		S: 354
		C: x-smtpguard-quarantine : forged
		C: Subject: hi
		C:
		C: x
		C: .
		S: 250
		C: QUIT
		S: 221`)
	waitFor(t, func() bool { return len(l.events.of(smtpguard.KindTransaction)) == 1 })
	if !slices.Equal(marks, []string{"early", "late"}) {
		t.Errorf("quarantined by %q, want early and late", marks)
	}
	body := l.backend.mails()[0].body
	if !strings.HasPrefix(body, "X-Smtpguard-Quarantine: early, late\r\nReceived: ") || strings.Contains(body, "forged") {
		t.Errorf("content %q, want our mark on top and the forged one gone", body)
	}
}

// TestRecipientsOfOtherPolicy: one reply serves all recipients.
func TestRecipientsOfOtherPolicy(t *testing.T) {
	byDomain := smtpguard.Check{Name: "a", Rcpt: func(_ context.Context, _ *smtpguard.Transaction, r *smtpguard.Recipient) (smtpguard.Verdict, error) {
		r.Policy = r.Addr[strings.LastIndexByte(r.Addr, '@')+1:]
		return smtpguard.Verdict{}, nil
	}}
	l, _ := wrapped(t, bare(), smtpguard.Config{}, byDomain)
	smtpguardtest.Play(t, l.target(), `
		HELLO
		C: MAIL FROM:<a@client.example>
		S: 250
		C: RCPT TO:<b@example.org>
		S: 250
		C: RCPT TO:<b@example.com>
		S: 452 4.5.3 *
		C: RCPT TO:<c@example.org>
		S: 250`)
	l, _ = wrapped(t, bare(func(l *lab) { l.LMTP, l.backend.lmtp = true, true }), smtpguard.Config{}, byDomain)
	smtpguardtest.Play(t, l.target(), `
		HELLO
		C: MAIL FROM:<a@client.example>
		S: 250
		C: RCPT TO:<b@example.org>
		S: 250
		C: RCPT TO:<b@example.com>
		S: 250`)
}

// markers is a Data check that says of recipients what their local part asks for.
var markers = smtpguard.Check{Name: "marks", Data: func(_ context.Context, tx *smtpguard.Transaction, _ *smtpguard.Message) (smtpguard.Verdict, error) {
	for _, r := range tx.Recipients() {
		switch {
		case strings.HasPrefix(r.Addr, "no"):
			r.Mark = smtpguard.Verdict{Action: smtpguard.Reject, Reply: &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "Not for you"}}
		case strings.HasPrefix(r.Addr, "later"):
			r.Mark = smtpguard.Verdict{Action: smtpguard.Defer}
		}
	}
	return smtpguard.Verdict{}, nil
}}

func TestMarksOverLMTP(t *testing.T) {
	const script = `
		HELLO
		C: MAIL FROM:<a@client.example>
		S: 250
		C: RCPT TO:<no@example.org>
		S: 250
		C: RCPT TO:<b@example.org>
		S: 250
		C: RCPT TO:<later@example.org>
		S: 250
		C: DATA
		S: 354
		C: x
		C: .
		S: 554 5.7.1 <no@example.org> Not for you
		S: 250 2.0.0 <b@example.org> OK: queued
		S: 451 4.7.1 <later@example.org> Try again later
		C: QUIT
		S: 221`
	for _, statuses := range []bool{true, false} {
		l, _ := wrapped(t, bare(func(l *lab) { l.LMTP, l.backend.lmtp = true, statuses }), smtpguard.Config{}, markers)
		smtpguardtest.Play(t, l.target(), script)
		mails := l.backend.mails()
		if len(mails) != 1 || !slices.Equal(mails[0].to, []string{"b@example.org"}) {
			t.Errorf("backend with statuses %v: got %v, want one message for b alone", statuses, mails)
		}
	}
}

func TestMarksOverSMTP(t *testing.T) {
	for _, tt := range []struct {
		rcpts []string
		want  string
		mails int
	}{
		{[]string{"no@example.org"}, "554 5.7.1 Not for you", 0},
		{[]string{"no@example.org", "later@example.org"}, "451 4.7.1 Try again later", 0},
		{[]string{"no@example.org", "b@example.org"}, "250", 1},
	} {
		var marks []smtpguard.Action
		seen := smtpguard.Check{Name: "seen", Done: func(_ context.Context, tx *smtpguard.Transaction, _ smtpguard.Outcome) {
			for _, r := range tx.Recipients() {
				marks = append(marks, r.Mark.Action)
			}
		}}
		l, _ := wrapped(t, bare(), smtpguard.Config{}, markers, seen)
		script := "HELLO\nC: MAIL FROM:<a@client.example>\nS: 250\n"
		for _, r := range tt.rcpts {
			script += "C: RCPT TO:<" + r + ">\nS: 250\n"
		}
		smtpguardtest.Play(t, l.target(), script+"C: DATA\nS: 354\nC: x\nC: .\nS: "+tt.want+"\nC: QUIT\nS: 221")
		if n := len(l.backend.mails()); n != tt.mails {
			t.Errorf("%v: %d messages delivered, want %d", tt.rcpts, n, tt.mails)
		}
		waitFor(t, func() bool { return len(l.events.of(smtpguard.KindTransaction)) == 1 })
		if tt.mails == 1 && !slices.Equal(marks, []smtpguard.Action{smtpguard.Quarantine, smtpguard.Continue}) {
			t.Errorf("%v: marked %v, want the refused one quarantined", tt.rcpts, marks)
		}
	}
}

// foreign is a middleware that knows nothing of guards.
type foreign struct {
	next    smtp.Backend
	rewrite bool
}

func (f foreign) NewSession(c *smtp.Conn) (smtp.Session, error) {
	s, err := f.next.NewSession(c)
	if err != nil {
		return nil, err
	}
	return foreignSession{s, f.rewrite}, nil
}

type foreignSession struct {
	smtp.Session
	rewrite bool
}

func (f foreignSession) Data(r io.Reader) error {
	if f.rewrite {
		r = io.MultiReader(strings.NewReader("X-Foreign: 1\r\n"), r)
	}
	return f.Session.Data(r)
}

// TestGuardsShare: guards around guards, adjacent or not, share what they know.
func TestGuardsShare(t *testing.T) {
	for _, tt := range []struct {
		name string
		wrap func(outer, inner *smtpguard.Guard, be smtp.Backend) smtp.Backend
	}{
		{"adjacent", func(outer, inner *smtpguard.Guard, be smtp.Backend) smtp.Backend { return outer.Wrap(inner.Wrap(be)) }},
		{"foreign between", func(outer, inner *smtpguard.Guard, be smtp.Backend) smtp.Backend {
			return outer.Wrap(foreign{inner.Wrap(be), false})
		}},
		{"foreign between that rewrites", func(outer, inner *smtpguard.Guard, be smtp.Backend) smtp.Backend {
			return outer.Wrap(foreign{inner.Wrap(be), true})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var key smtpguard.Key[string]
			var mu sync.Mutex
			var order []string
			note := func(s string) { mu.Lock(); order = append(order, s); mu.Unlock() }
			var outerTx, innerTx *smtpguard.Transaction
			outerCheck := smtpguard.Check{
				Name: "outer",
				Connect: func(_ context.Context, c *smtpguard.Conn) (smtpguard.Verdict, error) {
					note("connect outer")
					return smtpguard.Verdict{}, nil
				},
				Mail: func(_ context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
					note("mail outer")
					key.Set(tx, "left by outer")
					outerTx = tx
					return smtpguard.Verdict{}, nil
				},
				Done:  func(context.Context, *smtpguard.Transaction, smtpguard.Outcome) { note("done outer") },
				Close: func(*smtpguard.Conn) { note("close outer") },
			}
			var content string
			innerCheck := smtpguard.Check{
				Name: "inner",
				Connect: func(_ context.Context, c *smtpguard.Conn) (smtpguard.Verdict, error) {
					note("connect inner")
					return smtpguard.Verdict{}, nil
				},
				Mail: func(_ context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
					note("mail inner")
					innerTx = tx
					if v, _ := key.Get(tx); v != "left by outer" {
						t.Errorf("inner check found %q", v)
					}
					return smtpguard.Verdict{}, nil
				},
				Data: func(_ context.Context, _ *smtpguard.Transaction, m *smtpguard.Message) (smtpguard.Verdict, error) {
					b := make([]byte, m.Size())
					if _, err := m.ReadAt(b, 0); err != nil && err != io.EOF {
						t.Error(err)
					}
					content = string(b)
					return smtpguard.Verdict{}, m.Prepend("X-Inner: 1")
				},
				Done:  func(context.Context, *smtpguard.Transaction, smtpguard.Outcome) { note("done inner") },
				Close: func(*smtpguard.Conn) { note("close inner") },
			}
			innerEvents := &events{}
			inner, err := smtpguard.New(smtpguard.Config{Observe: innerEvents.observe}, innerCheck)
			if err != nil {
				t.Fatal(err)
			}
			l := bare()
			outer, err := smtpguard.New(smtpguard.Config{Observe: l.events.observe}, outerCheck)
			if err != nil {
				t.Fatal(err)
			}
			var fromBackend *smtpguard.Conn
			l.Backend = tt.wrap(outer, inner, smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
				fromBackend, _ = smtpguard.FromConn(c)
				return l.backend.NewSession(c)
			}))
			smtpguardtest.Play(t, l.target(), wholeMessage)
			waitFor(t, func() bool { mu.Lock(); defer mu.Unlock(); return slices.Contains(order, "close inner") })
			if outerTx == nil || outerTx != innerTx || fromBackend == nil || outerTx.Conn() != fromBackend {
				t.Errorf("transactions %p and %p, connection of the backend %p: want one of each", outerTx, innerTx, fromBackend)
			}
			want := []string{"connect outer", "connect inner", "mail outer", "mail inner", "done outer", "done inner", "close outer", "close inner"}
			if !slices.Equal(order, want) {
				t.Errorf("order %q, want %q", order, want)
			}
			body := l.backend.mails()[0].body
			wantContent := "Subject: hi\r\n\r\nx\r\n"
			if strings.Contains(tt.name, "rewrites") {
				wantContent = body[strings.Index(body, "X-Foreign"):]
			}
			if content != wantContent {
				t.Errorf("inner check saw %q, want %q", content, wantContent)
			}
			if strings.Count(body, "Received: ") != 1 || !strings.HasPrefix(body, "X-Inner: 1\r\n") {
				t.Errorf("backend got %q, want one Received field, below the inner check's own", body)
			}
			if n := len(l.events.of(smtpguard.KindTransaction)) + len(innerEvents.of(smtpguard.KindTransaction)); n != 1 {
				t.Errorf("%d transaction events, want 1", n)
			}
			if len(innerEvents.of(smtpguard.KindVerdict)) == 0 || slices.ContainsFunc(l.events.of(smtpguard.KindVerdict), func(e smtpguard.Event) bool { return e.Check == "inner" }) {
				t.Error("an inner check's verdicts belong to its own guard's observer")
			}
		})
	}
}

// TestInnerGuardMarks: what a guard behind a foreign middleware says of the
// content counts, when the outer guard has done its part.
func TestInnerGuardMarks(t *testing.T) {
	refuse := func(which ...string) smtpguard.Check {
		return smtpguard.Check{Name: "inner", Data: func(_ context.Context, tx *smtpguard.Transaction, _ *smtpguard.Message) (smtpguard.Verdict, error) {
			for _, r := range tx.Recipients() {
				if slices.Contains(which, r.Addr) {
					r.Mark = smtpguard.Verdict{Action: smtpguard.Reject, Reason: "inner"}
				}
			}
			return smtpguard.Verdict{}, nil
		}}
	}
	for _, tt := range []struct {
		name  string
		inner smtpguard.Check
		outer smtpguard.Verdict
		reply string
		stamp string // "" for none
	}{
		{"quarantine", at("inner", quarantine, nil, smtpguard.StageData), smtpguard.Verdict{}, "250", "inner"},
		{"quarantine by both", at("inner", quarantine, nil, smtpguard.StageData), quarantine, "250", "inner, outer"},
		{"all recipients refused", refuse("b@example.org", "c@example.org"), smtpguard.Verdict{}, "554", ""},
		{"one refused", refuse("b@example.org"), smtpguard.Verdict{}, "250", ""},
	} {
		for _, rewrite := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.name, rewrite), func(t *testing.T) {
				l := bare()
				inner, err := smtpguard.New(smtpguard.Config{}, tt.inner)
				if err != nil {
					t.Fatal(err)
				}
				var marks []smtpguard.Action
				see := smtpguard.Check{Name: "see", Done: func(_ context.Context, tx *smtpguard.Transaction, _ smtpguard.Outcome) {
					for _, r := range tx.Recipients() {
						marks = append(marks, r.Mark.Action)
					}
				}}
				l.Backend = foreign{inner.Wrap(l.backend), rewrite}
				l, _ = wrapped(t, l, smtpguard.Config{}, at("outer", tt.outer, nil, smtpguard.StageData), see)
				smtpguardtest.Play(t, l.target(), hello+envelope+"C: RCPT TO:<c@example.org>\nS: 250\nC: DATA\nS: 354\nC: Subject: hi\nC:\nC: x\nC: .\nS: "+tt.reply)
				var stamps []string
				for _, m := range l.backend.mails() {
					for line := range strings.SplitSeq(m.body, "\r\n") {
						if name, ok := strings.CutPrefix(line, "X-Smtpguard-Quarantine: "); ok {
							stamps = append(stamps, name)
						}
					}
				}
				if got := strings.Join(stamps, ", "); got != tt.stamp || (len(l.backend.mails()) == 1) != (tt.reply == "250") {
					t.Errorf("%d messages, quarantined by %q, want %q", len(l.backend.mails()), got, tt.stamp)
				}
				waitFor(t, func() bool { return len(l.events.of(smtpguard.KindTransaction)) == 1 })
				if tt.name == "one refused" && !slices.Equal(marks, []smtpguard.Action{smtpguard.Quarantine, smtpguard.Continue}) {
					t.Errorf("marks %v, want the one quarantined", marks)
				}
			})
		}
	}
}
