package smtpguard_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// TestContentEnds: what follows the end of the content are commands, whatever
// came of the content and however it was sent.
func TestContentEnds(t *testing.T) {
	const begun = "HELLO\n" + envelope + "C: DATA\nS: 354\n"
	long := strings.Repeat("x", 9000)
	for _, tt := range []struct {
		name, script string
		mails        int
	}{
		{"pipelined behind it", begun + `C! "a: b\r\n\r\n..\r\n.\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"` +
			"\nS: 250\nS: 250\nS: 250\nS: 354\nC: again\nC: .\nS: 250\nC: QUIT\nS: 221\nS: EOF", 2},
		{"refused, then QUIT in one segment", begun + `C! "a\nb\r\n.\r\nQUIT\r\n"` + "\nS: 554\nS: 221\nS: EOF", 0},
		{"too large", begun + `C! "` + strings.Repeat(`0123456789\r\n`, 6000) + `.\r\nNOOP\r\n"` + "\nS: 552\nS: 250\nC: QUIT\nS: 221", 0},
		{"too long a line", begun + `C! "` + long + `\r\nx\r\n.\r\n"` + "\nS: 55x\n" + envelope + "C: DATA\nS: 354\nC: x\nC: .\nS: 250", 1},
		{"a line longer than go-smtp reads", begun + `C! "` + long + long + `\r\n.\r\n"` + "\nS: 55x\n" + envelope + "C: DATA\nS: 354\nC: x\nC: .\nS: 250", 1},
		{"CR CR LF before it", begun + `C! "a\r\r\n.\r\n"` + "\nS: 554\nC: NOOP\nS: 250", 0},
		{"dot and CR", begun + `C! "a: b\r\n\r\n.\rx\r\n.\r\n"` + "\nS: 554\nC: NOOP\nS: 250", 0},
		{"nothing", begun + "C: .\nS: 250", 1},
		{"illegal pipelining behind it", begun + `C! "a: b\r\n.\r\nDATA\r\nx\r\n.\r\n"` + "\nS: 250\nS: 554\nS: EOF", 1},
		{"a bare LF behind it", begun + `C! "a: b\r\n.\r\nNOOP\n"` + "\nS: 250\nS: 521\nS: EOF", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := bare()
			l.MaxMessageBytes = 64 << 10
			guarded(t, l, smtpguard.Config{}, smtpguard.ListenConfig{})
			smtpguardtest.Play(t, l.target(), tt.script)
			if n := len(l.backend.mails()); n != tt.mails {
				t.Errorf("%d messages delivered, want %d", n, tt.mails)
			}
		})
	}
}

// shout is a middleware that changes content on its way.
type shout struct{ smtp.Backend }

func (b shout) NewSession(c *smtp.Conn) (smtp.Session, error) {
	s, err := b.Backend.NewSession(c)
	return shouting{s}, err
}

type shouting struct{ smtp.Session }

func (s shouting) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return s.Session.Data(strings.NewReader(strings.ToUpper(string(b))))
}

// TestForeignReader: what a middleware outside makes of the content is what the
// guard judges.
func TestForeignReader(t *testing.T) {
	l := bare()
	guarded(t, l, smtpguard.Config{}, smtpguard.ListenConfig{})
	l.Backend = shout{l.Backend}
	smtpguardtest.Play(t, l.target(), "HELLO\n"+envelope+"C: DATA\nS: 354\nC: subject: x\nC:\nC: quiet\nC: .\nS: 250")
	if got := fmt.Sprint(l.backend.mails()); !strings.Contains(got, "QUIET") {
		t.Errorf("delivered %s", got)
	}
}

// TestBinary: what BODY=BINARYMIME (RFC 3030, section 3) lets a client send is
// still a matter of the octet policy, and comes by BDAT alone.
func TestBinary(t *testing.T) {
	const script = "HELLO\nC: MAIL FROM:<a@client.example> BODY=BINARYMIME\nS: 250\nC: RCPT TO:<b@example.org>\nS: 250\nC: DATA\nS: 502\n"
	const envelope = "C: MAIL FROM:<a@client.example> BODY=BINARYMIME\nS: 250\nC: RCPT TO:<b@example.org>\nS: 250\n"
	for _, tt := range []struct {
		policy smtpguard.OctetPolicy
		code   string
		want   int
	}{{smtpguard.OctetsReject, "554", 0}, {smtpguard.OctetsAllow, "250", 1}} {
		l := bare(func(l *lab) { l.EnableBINARYMIME = true })
		guarded(t, l, smtpguard.Config{Octets: tt.policy}, smtpguard.ListenConfig{})
		smtpguardtest.Play(t, l.target(), script+"C: RSET\nS: 250\n"+envelope+`C! "BDAT 12 LAST\r\na: b\r\n\r\n\x00\n\r."`+"\nS: "+tt.code)
		mails := l.backend.mails()
		if len(mails) != tt.want {
			t.Errorf("policy %d: %d messages delivered, want %d", tt.policy, len(mails), tt.want)
		}
		if len(mails) == 1 && !strings.HasSuffix(mails[0].body, "a: b\r\n\r\n\x00\n\r.") {
			t.Errorf("delivered %q", mails[0].body)
		}
	}
}
