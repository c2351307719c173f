package smtpguard_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// guarded is a lab behind a guard and its Listener, hardened.
func guarded(t testing.TB, l *lab, cfg smtpguard.Config, lc smtpguard.ListenConfig, checks ...smtpguard.Check) *lab {
	t.Helper()
	if err := smtpguard.Harden(l.Server); err != nil {
		t.Fatal(err)
	}
	return listened(t, l, cfg, lc, checks...)
}

// listened is a lab behind a guard and its Listener, as it is.
func listened(t testing.TB, l *lab, cfg smtpguard.Config, lc smtpguard.ListenConfig, checks ...smtpguard.Check) *lab {
	t.Helper()
	l, g := wrapped(t, l, cfg, checks...)
	l.serve = func(ln net.Listener) error {
		gl, err := g.Listen(l.Server, ln, lc)
		if err != nil {
			t.Error(err)
			return err
		}
		return gl.Serve()
	}
	return l
}

const (
	hello    = "S: 220\nC: EHLO client.example\nS: 250 **\n"
	envelope = "C: MAIL FROM:<a@client.example>\nS: 250\nC: RCPT TO:<b@example.org>\nS: 250\n"
	another  = "C: MAIL FROM:<evil@client.example>\nS: 250\nC: RCPT TO:<b@example.org>\nS: 250\nC: DATA\nS: 354\nC: smuggled\nC: .\nS: 250\n"
	pipeline = `EHLO x.example\r\nMAIL FROM:<evil@client.example>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nx\r\n.\r\n`
)

// TestDefects shows, for each defect of go-smtp that a guard closes, that it is
// there in a bare server, so that we notice when it is gone, and that it is not
// behind a guard. Each script ends where the connection is of no more interest.
func TestDefects(t *testing.T) {
	for _, tt := range []struct {
		name          string
		edit          func(*lab)
		cfg           smtpguard.Config
		listen        smtpguard.ListenConfig
		bare, guarded string
		mails         [2]int // delivered by the bare and by the guarded server
		racy          bool   // the bare one is, so the race detector would tell
	}{
		{
			name:    "content goes on as commands after a timeout",
			edit:    func(l *lab) { l.ReadTimeout = 300 * time.Millisecond },
			listen:  smtpguard.ListenConfig{BodyTimeout: 300 * time.Millisecond},
			bare:    hello + envelope + "C: DATA\nS: 354\nC: x\nWAIT 500ms\nS: 554\n" + another,
			guarded: hello + envelope + "C: DATA\nS: 354\nC: x\nWAIT 500ms\nS: 421 4.4.2 *\nS: EOF",
			mails:   [2]int{1, 0},
		},
		{
			name:    "a BDAT chunk goes on as commands after a timeout",
			edit:    func(l *lab) { l.ReadTimeout = 300 * time.Millisecond },
			listen:  smtpguard.ListenConfig{BodyTimeout: 300 * time.Millisecond},
			bare:    hello + envelope + "C! \"BDAT 1000 LAST\\r\\nx\"\nWAIT 500ms\nS: 554\n" + another,
			guarded: hello + envelope + "C! \"BDAT 1000 LAST\\r\\nx\"\nWAIT 500ms\nS: 421 4.4.2 Message not received whole\nS: EOF|421",
			mails:   [2]int{1, 0},
		},
		{
			name:    "commands run after QUIT",
			edit:    func(l *lab) { l.ReadTimeout = 0 },
			listen:  smtpguard.ListenConfig{AllowPipelining: true},
			bare:    hello + "C! \"QUIT\\r\\n" + pipeline + "\"\nS: 221\nS: EOF",
			guarded: hello + "C! \"QUIT\\r\\n" + pipeline + "\"\nS: 221\nS: EOF",
			mails:   [2]int{1, 0},
		},
		{
			name: "the result of an aborted BDAT transfer is given to the next one",
			edit: func(l *lab) { l.backend.lag = 100 * time.Millisecond },
			bare: hello + envelope + "C! \"BDAT 3\\r\\nx\\r\\n\"\nS: 250\nC: RSET\nS: 250\n" +
				envelope + "C! \"BDAT 3\\r\\ny\\r\\n\"\nS: 250\nWAIT 300ms\nC: BDAT 0 LAST\nS: 554",
			guarded: hello + envelope + "C! \"BDAT 3\\r\\nx\\r\\n\"\nS: 250\nC: RSET\nS: 250\n" +
				envelope + "C! \"BDAT 3\\r\\ny\\r\\n\"\nS: 250\nWAIT 300ms\nC: BDAT 0 LAST\nS: 250",
			mails: [2]int{1, 1},
			racy:  true,
		},
		{
			name:    "a BDAT chunk cut short is a message",
			bare:    hello + envelope + "C! \"BDAT 100 LAST\\r\\nshort\"\nHALFCLOSE\nS: 250",
			guarded: hello + envelope + "C! \"BDAT 100 LAST\\r\\nshort\"\nHALFCLOSE\nS: 421\nS: EOF",
			mails:   [2]int{1, 0},
		},
		{
			name:    "a BDAT chunk cut short under TLS is a message",
			edit:    withTLS,
			bare:    hello + "STARTTLS\n" + envelope + "C! \"BDAT 100 LAST\\r\\nshort\"\nHALFCLOSE\nS: 250",
			guarded: hello + "STARTTLS\n" + envelope + "C! \"BDAT 100 LAST\\r\\nshort\"\nHALFCLOSE\nS: 421\nS: EOF",
			mails:   [2]int{1, 0},
		},
		{
			name:    "a failed STARTTLS goes on in clear text",
			edit:    withTLS,
			bare:    hello + "C: STARTTLS\nS: 220\nC: this is no TLS\nS: 550\n" + another,
			guarded: hello + "C: STARTTLS\nS: 220\nC: this is no TLS\nS: EOF",
			mails:   [2]int{1, 0},
		},
		{
			name:    "MAIL twice keeps the recipients",
			bare:    hello + envelope + "C: MAIL FROM:<c@client.example>\nS: 250\nC: DATA\nS: 354\nC: x\nC: .\nS: 250",
			guarded: hello + envelope + "C: MAIL FROM:<c@client.example>\nS: 503 5.5.1 *\nC: QUIT\nS: 221",
			mails:   [2]int{1, 0},
		},
		{
			name:    "AUTH in a transaction",
			edit:    func(l *lab) { withTLS(l); l.backend.auth = true },
			bare:    hello + "STARTTLS\n" + envelope + "C: AUTH PLAIN " + plain("demo", "secret") + "\nS: 235",
			guarded: hello + "STARTTLS\n" + envelope + "C: AUTH PLAIN " + plain("demo", "secret") + "\nS: 503",
		},
		{
			name:    "a mechanism that is not offered",
			edit:    func(l *lab) { withTLS(l); l.backend.auth = true },
			bare:    hello + "STARTTLS\nC: AUTH CRAM-MD5\nS: 334",
			guarded: hello + "STARTTLS\nC: AUTH CRAM-MD5\nS: 504",
		},
		{
			name:    "a control character in a reverse-path",
			bare:    hello + `C! "MAIL FROM:<a\x00b@client.example>\r\n"` + "\nS: 250",
			guarded: hello + `C! "MAIL FROM:<a\x00b@client.example>\r\n"` + "\nS: 501 5.1.7 *",
		},
		{
			name:    "a bare CR in a forward-path",
			bare:    hello + "C: MAIL FROM:<>\nS: 250\n" + `C! "RCPT TO:<a\rb@example.org>\r\n"` + "\nS: 250 **",
			guarded: hello + "C: MAIL FROM:<>\nS: 250\n" + `C! "RCPT TO:<a\rb@example.org>\r\n"` + "\nS: 501 5.1.3 *",
		},
		{
			name:    "8-bit addresses without SMTPUTF8",
			bare:    hello + "C: MAIL FROM:<é@client.example>\nS: 250",
			guarded: hello + "C: MAIL FROM:<é@client.example>\nS: 553 5.6.7 *\nC: MAIL FROM:<é@client.example> SMTPUTF8\nS: 250",
		},
		{
			name:    "a domain that is none",
			bare:    hello + "C: MAIL FROM:<a@b@-c..example>\nS: 250",
			guarded: hello + "C: MAIL FROM:<a@b@-c..example>\nS: 501 5.1.7 *",
		},
		{
			name:    "an EHLO identity with control characters",
			bare:    `S: 220` + "\n" + `C! "EHLO a\x01b\r\n"` + "\nS: 250 **",
			guarded: `S: 220` + "\n" + `C! "EHLO a\x01b\r\n"` + "\nS: 501 5.5.2 *\nC: MAIL FROM:<>\nS: 502",
		},
		{
			name:    "an EHLO identity that is no name",
			cfg:     smtpguard.Config{Hello: smtpguard.HelloRefuse},
			bare:    "S: 220\nC: EHLO my..pc\nS: 250 **",
			guarded: "S: 220\nC: EHLO my..pc\nS: 501 5.5.2 *",
		},
		{
			name:    "bare LF in content",
			bare:    hello + envelope + "C: DATA\nS: 354\n" + `C! "a\nb\r\n.\r\n"` + "\nS: 250",
			guarded: hello + envelope + "C: DATA\nS: 354\n" + `C! "a\nb\r\n.\r\n"` + "\nS: 554 5.6.0 *",
			mails:   [2]int{1, 0},
		},
		{
			name:    "bare CR in content",
			bare:    hello + envelope + "C: DATA\nS: 354\n" + `C! "a\rb\r\n.\r\n"` + "\nS: 250",
			guarded: hello + envelope + "C: DATA\nS: 354\n" + `C! "a\rb\r\n.\r\n"` + "\nS: 554 5.6.0 *",
			mails:   [2]int{1, 0},
		},
		{
			name:    "NUL in content, by BDAT",
			bare:    hello + envelope + `C! "BDAT 5 LAST\r\na\x00b\r\n"` + "\nS: 250",
			guarded: hello + envelope + `C! "BDAT 5 LAST\r\na\x00b\r\n"` + "\nS: 554 5.6.0 *",
			mails:   [2]int{1, 0},
		},
		{
			name:    "a dot before a bare LF is lost, and the LF kept for the next hop",
			bare:    hello + envelope + "C: DATA\nS: 354\n" + `C! "a\r\n.\nMAIL FROM:<evil@client.example>\r\n.\r\n"` + "\nS: 250",
			guarded: hello + envelope + "C: DATA\nS: 354\n" + `C! "a\r\n.\nMAIL FROM:<evil@client.example>\r\n.\r\n"` + "\nS: 554 5.6.0 *",
			mails:   [2]int{1, 0},
		},
		{
			name:    "command lines that end in a bare LF",
			bare:    hello + `C! "NOOP\n"` + "\nS: 250",
			guarded: hello + `C! "NOOP\n"` + "\nS: 521 5.5.2 *\nS: EOF",
		},
		{
			name:    "commands before the banner",
			listen:  smtpguard.ListenConfig{Wait: 200 * time.Millisecond},
			bare:    "C: EHLO client.example\nS: 220\nS: 250 **",
			guarded: "C: EHLO client.example\nS: 554 5.5.1 *\nS: EOF",
		},
		{
			name:    "commands sent along with EHLO",
			bare:    "S: 220\n" + `C! "EHLO client.example\r\nMAIL FROM:<a@client.example>\r\n"` + "\nS: 250 **\nS: 250",
			guarded: "S: 220\n" + `C! "EHLO client.example\r\nMAIL FROM:<a@client.example>\r\n"` + "\nS: 554 5.5.1 *\nS: EOF",
		},
		{
			name:    "commands sent along with EHLO, under TLS",
			edit:    withTLS,
			bare:    hello + "C: STARTTLS\nS: 220\nTLS\n" + `C! "EHLO client.example\r\nMAIL FROM:<a@client.example>\r\n"` + "\nS: 250 **\nS: 250",
			guarded: hello + "C: STARTTLS\nS: 220\nTLS\n" + `C! "EHLO client.example\r\nMAIL FROM:<a@client.example>\r\n"` + "\nS: 250 **\nS: 503 5.5.1 *\nS: EOF",
		},
		{
			name:    "content sent along with DATA",
			bare:    hello + envelope + `C! "DATA\r\nx\r\n.\r\n"` + "\nS: 354\nS: 250",
			guarded: hello + envelope + `C! "DATA\r\nx\r\n.\r\n"` + "\nS: 554 5.5.1 *\nS: EOF",
			mails:   [2]int{1, 0},
		},
		{
			name:    "content sent along with DATA, under TLS",
			edit:    withTLS,
			bare:    hello + "STARTTLS\n" + envelope + `C! "DATA\r\nx\r\n.\r\n"` + "\nS: 354\nS: 250",
			guarded: hello + "STARTTLS\n" + envelope + `C! "DATA\r\nx\r\n.\r\n"` + "\nS: 354\nS: 503 5.5.1 *\nS: EOF",
			mails:   [2]int{1, 0},
		},
		{
			name:    "bare postmaster is refused",
			bare:    hello + "C: MAIL FROM:<>\nS: 250\nC: RCPT TO:<postmaster>\nS: 501",
			guarded: hello + "C: MAIL FROM:<>\nS: 250\nC: RCPT TO:<PostMaster>\nS: 250 2.0.0 *PostMaster@mx.example.org*",
		},
		{
			name:    "half a line is run as a command when the client leaves",
			bare:    hello + `C! "MAIL FROM:<a@client.example>"` + "\nHALFCLOSE\nS: 250",
			guarded: hello + `C! "MAIL FROM:<a@client.example>"` + "\nHALFCLOSE\nS: 421\nS: EOF",
		},
		{
			name:    "a 421 of the backend does not hang up",
			edit:    func(l *lab) { l.backend.busy = true },
			bare:    hello + "C: MAIL FROM:<a@client.example>\nS: 421\nC: NOOP\nS: 250",
			guarded: hello + "C: MAIL FROM:<a@client.example>\nS: 421\nS: EOF",
		},
		{
			name:    "a flood of NOOP",
			cfg:     smtpguard.Config{Limits: smtpguard.Limits{Idle: 20}},
			bare:    hello + strings.Repeat("C: NOOP\nS: 250\n", 40),
			guarded: hello + strings.Repeat("C: NOOP\nS: 250\n", 18) + "C: NOOP\nS: 250|421\nC: NOOP\nS: 421|EOF\n",
		},
		{
			name:    "a flood of refused recipients",
			cfg:     smtpguard.Config{Limits: smtpguard.Limits{Errors: 5}},
			bare:    hello + envelope + strings.Repeat("C: RCPT TO:<reject@example.org>\nS: 550\n", 20),
			guarded: hello + envelope + strings.Repeat("C: RCPT TO:<reject@example.org>\nS: 550\n", 4) + "C: RCPT TO:<reject@example.org>\nS: 421\nS: EOF",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			build := func() *lab {
				l := bare()
				if tt.edit != nil {
					tt.edit(l)
				}
				return l
			}
			if !tt.racy || !raceDetector {
				one := build()
				smtpguardtest.Play(t, one.target(), tt.bare)
				if tt.mails[0] > 0 {
					waitFor(t, func() bool { return len(one.backend.mails()) >= tt.mails[0] })
				}
			}
			two := guarded(t, build(), tt.cfg, tt.listen)
			smtpguardtest.Play(t, two.target(), tt.guarded)
			if n := len(two.backend.mails()); n != tt.mails[1] {
				t.Errorf("%d messages were delivered behind the guard, want %d", n, tt.mails[1])
			}
		})
	}
}
