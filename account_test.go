package smtpguard_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// TestAccounting: every transaction ends once, however it ends.
func TestAccounting(t *testing.T) {
	const begun = "HELLO\nC: MAIL FROM:<a@client.example>\nS: 250\nC: RCPT TO:<b@example.org>\nS: 250\n"
	for _, tt := range []struct {
		name, script string
		checks       []smtpguard.Check
		want         []string
	}{
		{"delivered", wholeMessage, nil, []string{"data delivered  250"}},
		{"RSET", begun + "C: RSET\nS: 250", nil, []string{" lost  aborted"}},
		{"EHLO again", begun + "C: EHLO client.example\nS: 250 **", nil, []string{" lost  aborted"}},
		{"QUIT", begun + "C: QUIT\nS: 221", nil, []string{" lost  aborted"}},
		{"hang-up", begun + "CLOSE", nil, []string{" lost  aborted"}},
		{"hang-up in the content", begun + "C: DATA\nS: 354\nC: x\nCLOSE", nil, []string{"data lost  421 4.4.2 Message not received whole"}},
		{"half-close in the content", begun + "C: DATA\nS: 354\nC: x\nHALFCLOSE\nS: 421", nil, []string{"data lost  421 4.4.2 Message not received whole"}},
		{"BDAT aborted by RSET", begun + "C! \"BDAT 3\\r\\nx\\r\\n\"\nS: 250\nC: RSET\nS: 250", nil, []string{" lost  aborted"}},
		{"MAIL refused", until("550", "220", "250 **"), []smtpguard.Check{at("no", reject, nil, smtpguard.StageMail)}, []string{"mail lost no 550 5.7.1 Refused by policy"}},
		{"RCPT refused", until("550", "220", "250 **", "250"), []smtpguard.Check{at("no", reject, nil, smtpguard.StageRcpt)}, []string{"rcpt lost no 550 5.7.1 Refused by policy"}},
		{"content refused", until("554", "220", "250 **", "250", "250", "354"), []smtpguard.Check{at("no", reject, nil, smtpguard.StageData)}, []string{"data lost no 554 5.7.1 Message refused"}},
		{"refused by the backend", "HELLO\nC: MAIL FROM:<reject@client.example>\nS: 550", nil, []string{"mail lost  550 5.1.1 No such user"}},
		{"the backend panics", begun + "C: DATA\nS: 354\nC: Subject: panic@\nC:\nC: .\nS: 421 4.0.0 Internal server error", nil, []string{"data lost  421 4.0.0 Internal server error"}},
		{"two", begun + "C: RSET\nS: 250\nC: MAIL FROM:<reject@client.example>\nS: 550", nil, []string{" lost  aborted", "mail lost  550 5.1.1 No such user"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &watcher{}
			count := smtpguard.Check{
				Name: "count",
				Done: func(_ context.Context, tx *smtpguard.Transaction, o smtpguard.Outcome) {
					w.add("done %s %v", o.Stage, o.Delivered)
				},
				Close: func(*smtpguard.Conn) { w.add("close") },
			}
			l, _ := wrapped(t, bare(), smtpguard.Config{}, append(slices.Clip(tt.checks), count)...)
			smtpguardtest.Play(t, l.target(), closed(tt.script))
			waitFor(t, func() bool { return w.has("close") })
			var got []string
			for _, ev := range l.events.of(smtpguard.KindTransaction) {
				how := "lost"
				if ev.Delivered {
					how = "delivered"
				}
				got = append(got, fmt.Sprint(ev.Stage, " ", how, " ", ev.Check, " ", ev.Reply))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("transactions ended as %q, want %q", got, tt.want)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if len(w.log) != len(tt.want)+1 || w.log[len(w.log)-1] != "close" {
				t.Errorf("accounting %q, want %d transactions and then the connection", w.log, len(tt.want))
			}
		})
	}
}

// closed ends a script whose client does not leave by itself.
func closed(script string) string {
	if strings.HasSuffix(script, "\nCLOSE") {
		return script
	}
	return script + "\nCLOSE"
}

func TestRefusedRecipientsAreNamed(t *testing.T) {
	l, _ := wrapped(t, bare(), smtpguard.Config{}, smtpguard.Check{Name: "no", Rcpt: func(_ context.Context, _ *smtpguard.Transaction, r *smtpguard.Recipient) (smtpguard.Verdict, error) {
		if strings.HasPrefix(r.Addr, "no") {
			return reject, nil
		}
		return smtpguard.Verdict{}, nil
	}})
	smtpguardtest.Play(t, l.target(), "HELLO\nC: MAIL FROM:<a@client.example>\nS: 250\nC: RCPT TO:<no@example.org>\nS: 550\n"+
		"C: RCPT TO:<reject@example.org>\nS: 550\nC: RCPT TO:<b@example.org>\nS: 250\nCLOSE")
	waitFor(t, func() bool { return len(l.events.of(smtpguard.KindTransaction)) == 1 })
	ev := l.events.of(smtpguard.KindTransaction)[0]
	if !slices.Equal(ev.Refused, []string{"no@example.org", "reject@example.org"}) || !slices.Equal(ev.Recipients, []string{"b@example.org"}) {
		t.Errorf("refused %q, accepted %q", ev.Refused, ev.Recipients)
	}
}

// What limits count: commands that were answered, and what was refused.
func TestCounts(t *testing.T) {
	var commands, errs []int
	var refused []smtpguard.Refusal
	count := smtpguard.Check{
		Name: "count",
		Mail: func(_ context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
			commands, errs = append(commands, tx.Conn().Commands()), append(errs, tx.Conn().Errors())
			return smtpguard.Verdict{}, nil
		},
		Done: func(_ context.Context, tx *smtpguard.Transaction, _ smtpguard.Outcome) {
			refused = append(refused, tx.Refused()...)
		},
	}
	l := guarded(t, bare(), smtpguard.Config{}, smtpguard.ListenConfig{}, count)
	smtpguardtest.Play(t, l.target(), "HELLO\nC: NOOP\nS: 250\nC: JUNK\nS: 5xx\nC: MAIL FROM:<a@client.example>\nS: 250\n"+
		"C: RCPT TO:<reject@example.org>\nS: 550\nC: RCPT TO:<defer@example.org>\nS: 451\nC: RSET\nS: 250\nC: MAIL FROM:<a@client.example>\nS: 250\nCLOSE")
	waitFor(t, func() bool { return len(l.events.of(smtpguard.KindTransaction)) == 2 })
	if !slices.Equal(commands, []int{4, 8}) { // the banner is a reply too
		t.Errorf("commands %d, want 4 and 8", commands)
	}
	if !slices.Equal(errs, []int{0, 1}) {
		t.Errorf("errors %d, want 0 and 1", errs)
	}
	var got []string
	for _, r := range refused {
		got = append(got, fmt.Sprint(r.Addr, " ", r.Reply.Code, " ", r.By))
	}
	if want := []string{"reject@example.org 550 ", "defer@example.org 451 "}; !slices.Equal(got, want) {
		t.Errorf("refused %q, want %q", got, want)
	}
}

// TestContextsEnd: the context of a hook ends with what it belongs to.
func TestContextsEnd(t *testing.T) {
	var tx *smtpguard.Transaction
	see := smtpguard.Check{Name: "see", Mail: func(_ context.Context, x *smtpguard.Transaction) (smtpguard.Verdict, error) {
		tx = x
		return smtpguard.Verdict{}, nil
	}}
	l, _ := wrapped(t, bare(), smtpguard.Config{}, see)
	smtpguardtest.Play(t, l.target(), "HELLO\nC: MAIL FROM:<a@client.example>\nS: 250\nC: RSET\nS: 250\nCLOSE")
	if tx.Context().Err() == nil {
		t.Error("the transaction is over, its context is not")
	}
	waitFor(t, func() bool { return tx.Conn().Context().Err() != nil })
	if tx.Conn().Transaction() != nil {
		t.Error("a transaction outlived its connection")
	}
}

// TestHookExits: a hook that ends its goroutine ends its connection, and all is
// accounted for.
func TestHookExits(t *testing.T) {
	for _, stage := range []string{"mail", "data", "done"} {
		t.Run(stage, func(t *testing.T) {
			w := &watcher{}
			leave := smtpguard.Check{
				Name: "leave",
				Mail: func(context.Context, *smtpguard.Transaction) (v smtpguard.Verdict, err error) {
					if stage == "mail" {
						runtime.Goexit()
					}
					return v, err
				},
				Data: func(context.Context, *smtpguard.Transaction, *smtpguard.Message) (v smtpguard.Verdict, err error) {
					if stage == "data" {
						runtime.Goexit()
					}
					return v, err
				},
				Done: func(context.Context, *smtpguard.Transaction, smtpguard.Outcome) {
					w.add("done")
					if stage == "done" {
						runtime.Goexit()
					}
				},
				Close: func(*smtpguard.Conn) { w.add("close") },
			}
			l := guarded(t, bare(), smtpguard.Config{}, smtpguard.ListenConfig{}, leave)
			script := "HELLO\nC: MAIL FROM:<a@client.example>\nS: EOF"
			switch stage {
			case "data":
				script = "HELLO\n" + envelope + "C: DATA\nS: 354\nC: x\nC: .\nS: EOF"
			case "done":
				script = "HELLO\n" + envelope + "C: DATA\nS: 354\nC: x\nC: .\nS: 250\n" + envelope + "CLOSE"
			}
			smtpguardtest.Play(t, l.target(), script)
			waitFor(t, func() bool { return w.has("close") })
			want := map[string]int{"mail": 1, "data": 1, "done": 2}[stage]
			if n := len(l.events.of(smtpguard.KindTransaction)); n != want {
				t.Errorf("%d transactions accounted for, want %d", n, want)
			}
		})
	}
}

// TestServerClose ends what is under way: a hook that waits learns of it, and
// what it belongs to is accounted for once.
func TestServerClose(t *testing.T) {
	const begun = "HELLO\nC: MAIL FROM:<a@client.example>\nS: 250\n"
	for _, tt := range []struct {
		stage  smtpguard.Stage
		script string
		txs    int
		logins int
	}{
		{smtpguard.StageHello, "S: 220\nC: EHLO client.example\nS: EOF", 0, 0},
		{smtpguard.StageAuth, "HELLO\nC: AUTH PLAIN ${plain}\nS: EOF", 0, 1},
		{smtpguard.StageMail, "HELLO\nC: MAIL FROM:<a@client.example>\nS: EOF", 1, 0},
		{smtpguard.StageRcpt, begun + "C: RCPT TO:<b@example.org>\nS: EOF", 1, 0},
		{smtpguard.StageData, begun + "C: RCPT TO:<b@example.org>\nS: 250\nC: DATA\nS: 354\nC: x\nC: .\nS: EOF", 1, 0},
	} {
		t.Run(tt.stage.String(), func(t *testing.T) {
			waiting := make(chan struct{})
			ended := make(chan error, 2)
			closed := make(chan struct{})
			once := sync.OnceFunc(func() { close(waiting) })
			wait := at("wait", smtpguard.Verdict{}, nil, tt.stage)
			block := func(ctx context.Context) (smtpguard.Verdict, error) {
				once()
				<-ctx.Done()
				ended <- ctx.Err()
				return smtpguard.Verdict{}, ctx.Err()
			}
			switch tt.stage {
			case smtpguard.StageHello:
				wait.Hello = func(ctx context.Context, _ *smtpguard.Conn) (smtpguard.Verdict, error) { return block(ctx) }
			case smtpguard.StageAuth:
				wait.Auth = func(ctx context.Context, _ *smtpguard.Conn, _ *smtpguard.AuthAttempt) (smtpguard.Verdict, error) {
					return block(ctx)
				}
			case smtpguard.StageMail:
				wait.Mail = func(ctx context.Context, _ *smtpguard.Transaction) (smtpguard.Verdict, error) { return block(ctx) }
			case smtpguard.StageRcpt:
				wait.Rcpt = func(ctx context.Context, _ *smtpguard.Transaction, _ *smtpguard.Recipient) (smtpguard.Verdict, error) {
					return block(ctx)
				}
			case smtpguard.StageData:
				wait.Data = func(ctx context.Context, _ *smtpguard.Transaction, _ *smtpguard.Message) (smtpguard.Verdict, error) {
					return block(ctx)
				}
			}
			wait.Close = func(*smtpguard.Conn) { close(closed) }
			l := bare(func(l *lab) { l.backend.auth, l.AllowInsecureAuth = true, true })
			guarded(t, l, smtpguard.Config{}, smtpguard.ListenConfig{}, wait)
			go func() { <-waiting; l.Close() }()
			target := l.target()
			target.User, target.Password = "user", "password"
			smtpguardtest.Play(t, target, tt.script)
			if err := <-ended; err != context.Canceled {
				t.Errorf("the hook's context ended with %v", err)
			}
			<-closed
			if len(l.backend.mails()) != 0 {
				t.Error("a message was delivered by a closed server")
			}
			if n := len(l.events.of(smtpguard.KindTransaction)); n != tt.txs {
				t.Errorf("%d transactions accounted for, want %d", n, tt.txs)
			}
			if n := len(l.events.of(smtpguard.KindAuth)); n != tt.logins {
				t.Errorf("%d logins accounted for, want %d", n, tt.logins)
			}
		})
	}
}

// TestBudgets: refused commands slow down and end in a 421.
func TestErrorBudget(t *testing.T) {
	l, _ := wrapped(t, bare(), smtpguard.Config{Limits: smtpguard.Limits{Errors: 4}})
	smtpguardtest.Play(t, l.target(), `
		HELLO
		C: MAIL FROM:<a@client.example>
		S: 250
		C: RCPT TO:<defer@example.org>
		S: 451
		C: RCPT TO:<reject@example.org>
		S: 550
		C: MAIL FROM:<a@client.example>
		S: 503
		C: RCPT TO:<reject@example.org>
		S: 550
		C: RCPT TO:<reject@example.org>
		S: 421 4.7.0 Too many errors`)
}

func TestBackendTextIsNotTold(t *testing.T) {
	const script = `
		C: EHLO client.example
		C: MAIL FROM:<plain@client.example>
		C: MAIL FROM:<wrapped@client.example>
		C: MAIL FROM:<a@client.example>
		C: RCPT TO:<plain@example.org>
		C: RCPT TO:<wrapped@example.org>
		C: RCPT TO:<b@example.org>
		C: DATA
		C: Subject: plain@
		C:
		C: .
		C: QUIT`
	if d := smtpguardtest.Record(t, bare().target(), script); strings.Count(d, "secret") < 3 {
		t.Errorf("bare go-smtp no longer tells errors' texts:\n%s", d)
	}
	l, _ := wrapped(t, bare(), smtpguard.Config{})
	d := smtpguardtest.Record(t, l.target(), script)
	if strings.Contains(d, "secret") {
		t.Errorf("an error's text was told:\n%s", d)
	}
	if strings.Count(d, "550 5.1.1 No such user") != 2 || strings.Count(d, "451 4.3.0 Temporary failure") != 3 {
		t.Errorf("want the wrapped 550 twice and 451 three times:\n%s", d)
	}
}
