package smtpguard_test

import (
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// dialogues are played by a bare and by a guarded server, and must come out the
// same octet for octet.
var dialogues = []struct {
	name, script string
	edit         func(*lab)
	broken       bool // content ends early: only a bare backend is shown any of it
}{
	{name: "one message", script: `
		C: EHLO client.example
		C: MAIL FROM:<a@client.example> SIZE=100 BODY=8BITMIME
		C: RCPT TO:<b@example.org>
		C: DATA
		C: Subject: hi
		C:
		C: ..stuffed
		C: .
		C: QUIT`},
	{name: "HELO and the null reverse-path", script: `
		C: HELO client.example
		C: MAIL FROM:<>
		C: RCPT TO:<b@example.org>
		C: DATA
		C: x
		C: .
		C: NOOP
		C: QUIT`},
	{name: "pipelined", script: `
		S: 220
		C: EHLO client.example
		S: 250 **
		C! "MAIL FROM:<a@client.example>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<reject@example.org>\r\nRCPT TO:<c@example.org>\r\nDATA\r\n"
		S: 250
		S: 250
		S: 550
		S: 250
		S: 354
		C! "Subject: hi\r\n\r\nx\r\n.\r\nMAIL FROM:<a2@client.example>\r\nRSET\r\nQUIT\r\n"
		S: 250
		S: 250
		S: 250
		S: 221`},
	{name: "refusals of the backend", script: `
		C: EHLO client.example
		C: MAIL FROM:<reject@client.example>
		C: MAIL FROM:<defer@client.example>
		C: MAIL FROM:<lines@client.example>
		C: MAIL FROM:<a@client.example>
		C: RCPT TO:<reject@example.org>
		C: RCPT TO:<lines@example.org>
		C: RCPT TO:<defer@example.org>
		C: DATA
		C: RCPT TO:<b@example.org>
		C: DATA
		C: Subject: reject@
		C:
		C: x
		C: .
		C: MAIL FROM:<a@client.example>
		C: QUIT`},
	{name: "commands out of order", script: `
		C: MAIL FROM:<a@client.example>
		C: EHLO client.example
		C: RCPT TO:<b@example.org>
		C: DATA
		C: MAIL FROM:a@client.example BODY=9BIT
		C: MAIL TO:<a>
		C: BDAT
		C: VRFY x
		C: EXPN x
		C: HELP
		C: STARTTLS
		C: AUTH PLAIN
		C: RSET
		C: QUIT`},
	{name: "EHLO again", script: `
		C: EHLO client.example
		C: MAIL FROM:<a@client.example>
		C: EHLO other.example
		C: RCPT TO:<b@example.org>
		C: MAIL FROM:<a@client.example>
		C: RCPT TO:<b@example.org>
		C: QUIT`},
	{name: "a session refused by the backend", script: `
		C: EHLO refused.example
		C: MAIL FROM:<a@client.example>
		C: EHLO client.example
		C: MAIL FROM:<a@client.example>
		C: QUIT`},
	{name: "too large", broken: true, edit: func(l *lab) { l.MaxMessageBytes = 100 }, script: `
		C: EHLO client.example
		C: MAIL FROM:<a@client.example> SIZE=101
		C: MAIL FROM:<a@client.example>
		C: RCPT TO:<b@example.org>
		C: DATA
		C! "0123456789\r\n" * 20
		C: .
		C: MAIL FROM:<a@client.example>
		C: QUIT`},
	{name: "too many recipients", edit: func(l *lab) { l.MaxRecipients = 1 }, script: `
		C: EHLO client.example
		C: MAIL FROM:<a@client.example>
		C: RCPT TO:<b@example.org>
		C: RCPT TO:<c@example.org>
		C: QUIT`},
	{name: "BDAT", script: `
		C: EHLO client.example
		C: MAIL FROM:<a@client.example>
		C: RCPT TO:<b@example.org>
		C: BDAT 15
		C! "Subject: hi\r\n\r\n"
		C: BDAT 3
		C! "x\r\n"
		C: BDAT 0 LAST
		C: MAIL FROM:<a@client.example>
		C: RCPT TO:<b@example.org>
		C: BDAT 20 LAST
		C! "Subject: reject@\r\n\r\n"
		C: BDAT 3
		C! "x\r\n"
		C: QUIT`},
	{name: "BDAT too large", broken: true, edit: func(l *lab) { l.MaxMessageBytes = 100 }, script: `
		C: EHLO client.example
		C: MAIL FROM:<a@client.example>
		C: RCPT TO:<b@example.org>
		C: BDAT 15
		C! "Subject: hi\r\n\r\n"
		C: BDAT 120
		C! "0123456789\r\n" * 10
		C: MAIL FROM:<a@client.example>
		C: QUIT`},
	{name: "SMTPUTF8", script: `
		C: EHLO client.example
		C: MAIL FROM:<é@client.example> SMTPUTF8
		C: RCPT TO:<b@exämple.org>
		C: DATA
		C: x
		C: .
		C: QUIT`},
	{name: "AUTH", edit: func(l *lab) { l.backend.auth, l.AllowInsecureAuth = true, true }, script: `
		S: 220
		C: AUTH PLAIN AGRlbW8Ac2VjcmV0
		S: 502
		C: EHLO client.example
		S: 250 **
		C: AUTH PLAIN AGRlbW8Ad3Jvbmc=
		S: 535
		C: AUTH PLAIN
		S: 334
		C: *
		S: 501
		C: AUTH PLAIN
		S: 334
		C: !!!
		S: 454
		C: AUTH X-THREE
		S: 334
		C: YQ==
		S: 334
		C: =
		S: 334
		C: YQ==
		S: 235
		C: AUTH PLAIN AGRlbW8Ac2VjcmV0
		S: 503
		C: MAIL FROM:<a@client.example> AUTH=<>
		S: 250
		C: QUIT
		S: 221`},
	{name: "STARTTLS", edit: func(l *lab) { withTLS(l); l.backend.auth = true }, script: `
		S: 220
		C: EHLO client.example
		S: 250 **
		C: AUTH PLAIN AGRlbW8Ac2VjcmV0
		S: 523
		C: MAIL FROM:<a@client.example>
		S: 250
		C: STARTTLS
		S: 220
		TLS
		C: MAIL FROM:<a@client.example>
		S: 502
		C: EHLO client.example
		S: 250 **
		C: STARTTLS
		S: 502
		C: AUTH PLAIN AGRlbW8Ac2VjcmV0
		S: 235
		C: MAIL FROM:<a@client.example>
		S: 250
		C: RCPT TO:<b@example.org>
		S: 250
		C: DATA
		S: 354
		C: x
		C: .
		S: 250
		C: QUIT
		S: 221`},
	{name: "LMTP", edit: func(l *lab) { l.LMTP, l.backend.lmtp = true, true }, script: `
		C: EHLO client.example
		C: LHLO client.example
		C: MAIL FROM:<a@client.example>
		C: RCPT TO:<b@example.org>
		C: RCPT TO:<full@example.org>
		C: RCPT TO:<quiet@example.org>
		C: RCPT TO:<b@example.org>
		C: DATA
		C: x
		C: .
		C: QUIT`},
	{name: "LMTP, refused whole", edit: func(l *lab) { l.LMTP, l.backend.lmtp = true, true }, script: `
		C: LHLO client.example
		C: MAIL FROM:<a@client.example>
		C: RCPT TO:<b@example.org>
		C: RCPT TO:<c@example.org>
		C: DATA
		C: Subject: reject@
		C:
		C: .
		C: QUIT`},
	{name: "LMTP, a backend without statuses, BDAT", edit: func(l *lab) { l.LMTP = true }, script: `
		C: LHLO client.example
		C: MAIL FROM:<a@client.example>
		C: RCPT TO:<b@example.org>
		C: RCPT TO:<c@example.org>
		C: BDAT 3 LAST
		C! "x\r\n"
		C: QUIT`},
}

func TestTransparent(t *testing.T) {
	for _, d := range dialogues {
		t.Run(d.name, func(t *testing.T) {
			build := func() *lab {
				l := bare()
				if d.edit != nil {
					d.edit(l)
				}
				return l
			}
			one := build()
			want := smtpguardtest.Record(t, one.target(), d.script)
			two, _ := wrapped(t, build(), smtpguard.Config{})
			if got := smtpguardtest.Record(t, two.target(), d.script); got != want {
				t.Errorf("wrapped by a guard:\n%s\nbare:\n%s", got, want)
			}
			sameMail(t, two, one, d.broken)
			three := listened(t, build(), smtpguard.Config{}, smtpguard.ListenConfig{})
			if got := smtpguardtest.Record(t, three.target(), d.script); got != want {
				t.Errorf("behind a Listener:\n%s\nbare:\n%s", got, want)
			}
			sameMail(t, three, one, d.broken)
		})
	}
}

// sameMail compares what two backends got; a guarded one finds one more
// Received field.
func sameMail(t *testing.T, guarded, bare *lab, broken bool) {
	t.Helper()
	got, want := guarded.backend.mails(), bare.backend.mails()
	if len(got) != len(want) {
		t.Fatalf("guarded backend got %d messages, bare one %d", len(got), len(want))
	}
	for i := range got {
		if got[i].from != want[i].from || strings.Join(got[i].to, " ") != strings.Join(want[i].to, " ") {
			t.Errorf("message %d: envelope %v, want %v", i, got[i], want[i])
		}
		field, ok := strings.CutSuffix(got[i].body, want[i].body)
		if !ok || !strings.HasPrefix(field, "Received: ") {
			t.Errorf("message %d: content %q, want a Received field and %q", i, got[i].body, want[i].body)
		}
	}
	g, w := strings.Join(guarded.backend.calls, " "), strings.Join(bare.backend.calls, " ")
	if broken {
		w = strings.Replace(w, " Data", "", 1)
	}
	if g != w {
		t.Errorf("guarded backend was called %s\nbare one %s", g, w)
	}
}

func (l *lab) target() smtpguardtest.Target {
	t := smtpguardtest.Target{Serve: l.serve, Recipient: "b@example.org", LMTP: l.LMTP}
	if l.TLSConfig != nil {
		t.TLS = clientTLS()
	}
	return t
}
