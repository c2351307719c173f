package smtpguard_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

func plain(user, pass string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + pass))
}

// watcher is a check that writes down what it learns of logins.
type watcher struct {
	mu  sync.Mutex
	log []string
}

func (w *watcher) add(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

func (w *watcher) has(entry string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.log, entry)
}

func (w *watcher) check() smtpguard.Check {
	return smtpguard.Check{
		Name: "watch",
		Auth: func(_ context.Context, c *smtpguard.Conn, a *smtpguard.AuthAttempt) (smtpguard.Verdict, error) {
			w.add("auth %s %q", a.Mechanism, a.Claimed)
			switch a.Claimed {
			case "locked":
				return smtpguard.Verdict{Action: smtpguard.Reject}, nil
			case "guesser":
				return smtpguard.Verdict{Action: smtpguard.Disconnect}, nil
			}
			return smtpguard.Verdict{}, nil
		},
		AuthDone: func(_ context.Context, c *smtpguard.Conn, a *smtpguard.AuthAttempt) {
			login, ok := c.Login()
			w.add("done %s %q %v, %q %v", a.Mechanism, a.Claimed, a.Err != nil, login, ok)
		},
	}
}

func TestAuthIsWatched(t *testing.T) {
	const ok = "S: 220\nC: EHLO client.example\nS: 250 **\n"
	for _, tt := range []struct {
		name, script string
		want         []string
	}{
		{"accepted", ok + "C: AUTH PLAIN " + plain("demo", "secret") + "\nS: 235",
			[]string{`auth PLAIN ""`, `auth PLAIN "demo"`, `done PLAIN "demo" false, "demo" true`}},
		{"wrong password", ok + "C: AUTH PLAIN\nS: 334\nC: " + plain("demo", "wrong") + "\nS: 535\nC: MAIL FROM:<a@client.example>\nS: 250",
			[]string{`auth PLAIN ""`, `auth PLAIN "demo"`, `done PLAIN "demo" true, "" false`}},
		{"refused before its proof is judged", ok + "C: AUTH PLAIN " + plain("locked", "secret") + "\nS: 535 5.7.8 Authentication refused",
			[]string{`auth PLAIN ""`, `auth PLAIN "locked"`, `done PLAIN "locked" true, "" false`}},
		{"hung up", ok + "C: AUTH PLAIN " + plain("guesser", "secret") + "\nS: 421",
			[]string{`auth PLAIN ""`, `auth PLAIN "guesser"`, `done PLAIN "guesser" true, "" false`}},
		{"cancelled", ok + "C: AUTH PLAIN\nS: 334\nC: *\nS: 501\nC: NOOP\nS: 250\nC: RSET\nS: 250",
			[]string{`auth PLAIN ""`, `done PLAIN "" true, "" false`}},
		{"no base64", ok + "C: AUTH PLAIN\nS: 334\nC: !\nS: 454\nC: MAIL FROM:<a@client.example>\nS: 250",
			[]string{`auth PLAIN ""`, `done PLAIN "" true, "" false`}},
		{"given up by hanging up", ok + "C: AUTH PLAIN\nS: 334\nCLOSE",
			[]string{`auth PLAIN ""`, `done PLAIN "" true, "" false`}},
		{"the mechanism panics", ok + "C: AUTH PLAIN " + plain("panic", "") + "\nS: 421 4.0.0 Internal server error",
			[]string{`auth PLAIN ""`, `auth PLAIN "panic"`, `done PLAIN "panic" true, "" false`}},
		{"a mechanism the guard cannot read", ok + "C: AUTH X-THREE\nS: 334\nC: YQ==\nS: 334\nC: YQ==\nS: 334\nC: YQ==\nS: 235",
			[]string{`auth X-THREE ""`, `done X-THREE "" false, "" true`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &watcher{}
			l, _ := wrapped(t, bare(func(l *lab) { l.backend.auth, l.AllowInsecureAuth = true, true }), smtpguard.Config{}, w.check())
			smtpguardtest.Play(t, l.target(), closed(tt.script))
			waitFor(t, func() bool { return w.has(tt.want[len(tt.want)-1]) })
			w.mu.Lock()
			defer w.mu.Unlock()
			if !slices.Equal(w.log, tt.want) {
				t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(w.log, "\n\t"), strings.Join(tt.want, "\n\t"))
			}
			for _, ev := range append(l.events.of(smtpguard.KindAuth), l.events.of(smtpguard.KindVerdict)...) {
				if strings.Contains(fmt.Sprint(ev), "wrong") || strings.Contains(fmt.Sprint(ev), "secret") {
					t.Errorf("an event carries a password: %+v", ev)
				}
			}
		})
	}
}

func TestAuthDefects(t *testing.T) {
	l, _ := wrapped(t, bare(func(l *lab) { l.backend.auth, l.AllowInsecureAuth = true, true }), smtpguard.Config{})
	smtpguardtest.Play(t, l.target(), `
		HELLO
		C: AUTH CRAM-MD5
		S: 504 5.7.4 *
		C: MAIL FROM:<a@client.example>
		S: 250
		C: AUTH PLAIN `+plain("demo", "secret")+`
		S: 503 5.5.1 AUTH not allowed during a mail transaction
		C: RSET
		S: 250
		C: AUTH PLAIN `+plain("plain", "x")+`
		S: 454 4.7.0 Authentication failed
		C: AUTH PLAIN `+plain("demo", "secret")+`
		S: 235`)
}

// TestLoginDoesNotOutliveStartTLS: what was proven in clear text says nothing
// of who speaks under TLS (RFC 3207, section 4.2).
func TestLoginDoesNotOutliveStartTLS(t *testing.T) {
	var logins []string
	see := smtpguard.Check{Name: "see", Mail: func(_ context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
		login, ok := tx.Conn().Login()
		_, tls := tx.Conn().TLS()
		logins = append(logins, fmt.Sprint(login, " ", ok, " ", tls, " ", tx.Conn().ID()))
		return smtpguard.Verdict{}, nil
	}}
	l := bare(withTLS, func(l *lab) { l.backend.auth, l.AllowInsecureAuth = true, true })
	l, _ = wrapped(t, l, smtpguard.Config{}, see)
	smtpguardtest.Play(t, l.target(), `
		HELLO
		C: AUTH PLAIN `+plain("demo", "secret")+`
		S: 235
		C: MAIL FROM:<a@client.example>
		S: 250
		C: STARTTLS
		S: 220
		TLS
		C: EHLO client.example
		S: 250 **
		C: MAIL FROM:<a@client.example>
		S: 250`)
	if len(logins) != 2 {
		t.Fatalf("%d transactions, want 2", len(logins))
	}
	id := logins[0][strings.LastIndexByte(logins[0], ' ')+1:]
	if logins[0] != "demo true false "+id || logins[1] != " false true "+id {
		t.Errorf("logins %q: want demo in clear text, nobody under TLS, on one Conn", logins)
	}
}

// TestPipelinedAuth: nothing may be sent along with AUTH, unless it is over in
// one step (RFC 4954, section 4).
func TestPipelinedAuth(t *testing.T) {
	const mail = `MAIL FROM:<a@client.example>\r\n"`
	three := func(more string) string { return "C: AUTH X-THREE\nS: 334\n" + `C! "YQ==\r\n` + more + `"` + "\n" }
	step, last := "C: YQ==\nS: 334\nC: YQ==\nS: 235\n", `C! "YQ==\r\n`
	secret := plain("demo", "secret")
	for _, tt := range []struct {
		name, send   string
		clear, below string // what comes of it in clear text, and inside TLS
		mails        int
	}{
		{"in one step", `C! "AUTH PLAIN ` + secret + `\r\n` + mail, "S: 235\nS: 250", "S: 235\nS: 250", 1},
		{"in one step that fails", `C! "AUTH PLAIN ` + plain("demo", "wrong") + `\r\n` + mail, "S: 535\nS: 250", "S: 535\nS: 250", 1},
		{"the response", `C! "AUTH PLAIN\r\n` + secret + `\r\n"`, "S: 554\nS: EOF", "S: 334\nS: 503\nS: EOF", 0},
		{"behind the response", "C: AUTH PLAIN\nS: 334\n" + `C! "` + secret + `\r\n` + mail, "S: 554\nS: EOF", "S: 235\nS: 503\nS: EOF", 0},
		{"two responses", three(`YQ==\r\n`), "S: 554\nS: EOF", "S: 334\nS: 503\nS: EOF", 0},
		{"behind many steps", "C: AUTH X-THREE\nS: 334\nC: YQ==\nS: 334\nC: YQ==\nS: 334\n" + last + mail, "S: 554\nS: EOF", "S: 235\nS: 503\nS: EOF", 0},
		{"nothing", "C: AUTH X-THREE\nS: 334\nC: YQ==\nS: 334\n" + step + "C: MAIL FROM:<a@client.example>", "S: 250", "S: 250", 1},
	} {
		for _, below := range []bool{false, true} {
			want, start := tt.clear, hello
			if below {
				want, start = tt.below, hello+"STARTTLS\n"
			}
			t.Run(fmt.Sprint(tt.name, " ", below), func(t *testing.T) {
				l := bare(func(l *lab) { l.backend.auth, l.AllowInsecureAuth = true, true })
				if below {
					withTLS(l)
					l.AllowInsecureAuth = false
				}
				guarded(t, l, smtpguard.Config{}, smtpguard.ListenConfig{})
				smtpguardtest.Play(t, l.target(), start+tt.send+"\n"+want)
				if n := l.backend.called("Mail"); n != tt.mails {
					t.Errorf("the backend got %d MAIL, want %d", n, tt.mails)
				}
			})
		}
	}
}

// TestNestedAuth: an exchange that the client gives up is over for every guard,
// whatever stands between them, and keeps no connection.
func TestNestedAuth(t *testing.T) {
	for _, tt := range []struct{ name, script string }{
		{"cancelled", "C: AUTH PLAIN\nS: 334\nC: *\nS: 501\nC: MAIL FROM:<a@client.example>\nS: 250\nC: QUIT\nS: 221"},
		{"another command", "C: AUTH PLAIN\nS: 334\nC: !\nS: 454\nC: RSET\nS: 250\nC: QUIT\nS: 221"},
		{"refused by the outer guard", "C: AUTH PLAIN " + plain("locked", "secret") + "\nS: 535\nC: QUIT\nS: 221"},
		{"hung up", "C: AUTH PLAIN\nS: 334\nCLOSE"},
		{"wrong password", "C: AUTH PLAIN " + plain("demo", "wrong") + "\nS: 535\nC: QUIT\nS: 221"},
		{"accepted", "C: AUTH PLAIN " + plain("demo", "secret") + "\nS: 235\nC: QUIT\nS: 221"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := &watcher{}
			watch := func(name string) smtpguard.Check {
				return smtpguard.Check{
					Name:     name,
					AuthDone: func(context.Context, *smtpguard.Conn, *smtpguard.AuthAttempt) { log.add("auth %s", name) },
					Mail: func(context.Context, *smtpguard.Transaction) (smtpguard.Verdict, error) {
						log.add("mail %s", name)
						return smtpguard.Verdict{}, nil
					},
					Close: func(*smtpguard.Conn) { log.add("close %s", name) },
				}
			}
			outer := watch("outer")
			outer.Auth = func(_ context.Context, _ *smtpguard.Conn, a *smtpguard.AuthAttempt) (smtpguard.Verdict, error) {
				if a.Claimed == "locked" {
					return reject, nil
				}
				return smtpguard.Verdict{}, nil
			}
			inner, err := smtpguard.New(smtpguard.Config{}, watch("inner"))
			if err != nil {
				t.Fatal(err)
			}
			l := bare(func(l *lab) { l.backend.auth, l.AllowInsecureAuth = true, true })
			l.Backend = around{inner.Wrap(l.backend)}
			l, _ = wrapped(t, l, smtpguard.Config{}, outer)
			smtpguardtest.Play(t, l.target(), hello+tt.script)
			waitFor(t, func() bool { return log.has("close inner") && log.has("close outer") })
			log.mu.Lock()
			defer log.mu.Unlock()
			counts := make(map[string]int)
			for _, what := range log.log {
				counts[what]++
				if stage, guard, _ := strings.Cut(what, " "); stage == "mail" && counts["auth "+guard] == 0 {
					t.Errorf("hooks ran as %q, want AuthDone before what comes next", log.log)
				}
			}
			if counts["auth outer"] != 1 || counts["auth inner"] != 1 {
				t.Errorf("hooks ran as %q, want each AuthDone once", log.log)
			}
		})
	}
}
