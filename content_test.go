package smtpguard_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

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
		{"illegal pipelining behind as much as go-smtp reads at once", begun + `C! "a: b\r\n.\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<b@example.org>\r\nNOOP ` +
			strings.Repeat("x", 4028) + `\r\nDATA\r\nx\r\n.\r\n"` + "\nS: 250\nS: 554\nS: EOF", 1},
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

// tap is a listener whose connections see what is read.
type tap struct {
	net.Listener
	seen *strings.Builder
}

func (l tap) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	return tapped{nc, l.seen}, err
}

type tapped struct {
	net.Conn
	seen *strings.Builder
}

func (c tapped) NetConn() net.Conn { return c.Conn }

func (c tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.seen.Write(p[:n])
	return n, err
}

// TestForeignConn: content is not read past a connection that somebody puts
// around ours.
func TestForeignConn(t *testing.T) {
	var seen strings.Builder
	l, g := wrapped(t, bare(), smtpguard.Config{})
	l.serve = func(ln net.Listener) error {
		gl, err := g.Listen(l.Server, ln, smtpguard.ListenConfig{})
		if err != nil {
			t.Error(err)
			return err
		}
		defer gl.Close()
		return l.Serve(tap{gl, &seen})
	}
	smtpguardtest.Play(t, l.target(), "HELLO\n"+envelope+"C: DATA\nS: 354\nC: quiet\nC: .\nS: 250\nC: QUIT\nS: 221\nS: EOF")
	if !strings.Contains(seen.String(), "quiet") {
		t.Errorf("the connection has seen %q", seen.String())
	}
}

// counts is a middleware that puts a reader of its own around content.
type counts struct{ smtp.Backend }

func (b counts) NewSession(c *smtp.Conn) (smtp.Session, error) {
	s, err := b.Backend.NewSession(c)
	return counting{s}, err
}

type counting struct{ smtp.Session }

func (s counting) Data(r io.Reader) error {
	var n octetCount
	return s.Session.Data(io.TeeReader(r, &n))
}

type octetCount int

func (n *octetCount) Write(p []byte) (int, error) { *n += octetCount(len(p)); return len(p), nil }

// TestForeignReaderOfBDAT: a chunk that is cut short is no message, and one that
// stalls is answered without the error's text, whoever is in between.
func TestForeignReaderOfBDAT(t *testing.T) {
	const cut = envelope + "C! \"BDAT 100 LAST\\r\\nshort\"\nHALFCLOSE\nS: 421\nS: EOF"
	const whole = "\n" + envelope + "C! \"BDAT 3\\r\\nx\\r\\n\"\nS: 250\nC: RSET\nS: 250\n" +
		envelope + "C! \"BDAT 3\\r\\ny\\r\\n\" \"BDAT 0 LAST\\r\\nQUIT\\r\\n\"\nS: 250\nS: 250\nS: 221"
	const stalls = envelope + "C! \"BDAT 100 LAST\\r\\nx\"\nWAIT 500ms\nS: 421 4.4.2 Message not received whole\nS: EOF|421"
	const contentStalls = envelope + "C: DATA\nS: 354\nC: x\nWAIT 500ms\nS: 421 4.4.2 Message not received whole\nS: EOF"
	for _, tt := range []struct {
		script string
		mails  int
	}{
		{hello + cut, 0}, {hello + "STARTTLS\n" + cut, 0}, {hello + whole, 1}, {hello + "STARTTLS\n" + whole, 1},
		{hello + stalls, 0}, {hello + "STARTTLS\n" + stalls, 0}, {hello + contentStalls, 0}, {hello + "STARTTLS\n" + contentStalls, 0},
	} {
		l := bare(withTLS)
		guarded(t, l, smtpguard.Config{}, smtpguard.ListenConfig{BodyTimeout: 400 * time.Millisecond})
		l.Backend = counts{l.Backend}
		smtpguardtest.Play(t, l.target(), tt.script)
		if n := len(l.backend.mails()); n != tt.mails {
			t.Errorf("%q: %d messages delivered, want %d", tt.script, n, tt.mails)
		}
	}
}

// TestHalfLines: go-smtp runs the half of a line that it had read when the
// connection broke off. Nothing comes of it.
func TestHalfLines(t *testing.T) {
	for _, tt := range []struct{ name, script string }{
		{"BDAT before a timeout", hello + envelope + `C! "BDAT 5\r\nshort" "BDAT 0 LAST"` + "\nS: 250\nWAIT 400ms\nS: 421\nS: EOF|421"},
		{"BDAT before an end", hello + envelope + `C! "BDAT 5\r\nshort" "BDAT 0 LAST"` + "\nS: 250\nHALFCLOSE\nS: 421\nS: EOF|421"},
		{"BDAT before a refusal", hello + envelope + `C! "BDAT 5\r\nshort" "BDAT 0 LAST"` + "\nS: 250\nWAIT 50ms\n" + `C! "\nDATA\r\n"` + "\nS: 521\nS: 421\nS: EOF|421"},
		{"RCPT before a refusal", hello + `C! "MAIL FROM:<a@client.example>\r\n" "RCPT TO:<b@example.org>"` + "\nS: 250\nWAIT 50ms\n" + `C! "\nDATA\r\n"` + "\nS: 521\nS: 421\nS: EOF"},
		{"a response before a refusal", hello + "C: AUTH PLAIN\nS: 334\n" + `C! "` + plain("demo", "secret") + `"` + "\nWAIT 50ms\n" + `C! "\r\nx"` + "\nS: 554\nS: 421\nS: EOF"},
		{"a response before an end", hello + "C: AUTH PLAIN\nS: 334\n" + `C! "` + plain("demo", "secret") + `"` + "\nHALFCLOSE\nS: 421\nS: EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := bare(func(l *lab) { l.backend.auth, l.AllowInsecureAuth, l.ReadTimeout = true, true, 300*time.Millisecond })
			guarded(t, l, smtpguard.Config{}, smtpguard.ListenConfig{BodyTimeout: 300 * time.Millisecond})
			smtpguardtest.Play(t, l.target(), tt.script)
			if n := len(l.backend.mails()); n != 0 {
				t.Errorf("%d messages delivered", n)
			}
			if strings.HasPrefix(tt.name, "RCPT") && l.backend.called("Rcpt") > 0 {
				t.Error("the backend was called")
			}
			for _, ev := range l.events.of(smtpguard.KindAuth) {
				if !strings.Contains(ev.Error, "given up") {
					t.Errorf("AUTH ended with %q", ev.Error)
				}
			}
		})
	}
}

// TestResponseIsNoCommand: what a client pipelines behind AUTH, where it may,
// is a response or a command, and only go-smtp knows. The chunk that a BDAT line
// speaks of which is a response may hold a message.
func TestResponseIsNoCommand(t *testing.T) {
	const inside = `MAIL FROM:<a@client.example>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nhello\r\n.\r\n` // 71 octets
	l := bare(func(l *lab) { l.backend.auth, l.AllowInsecureAuth = true, true })
	guarded(t, l, smtpguard.Config{}, smtpguard.ListenConfig{AllowPipelining: true})
	smtpguardtest.Play(t, l.target(), hello+`C! "AUTH PLAIN\r\nBDAT 71\r\n`+inside+`DATA\r\n"`+
		"\nS: 334\nS: 454\nS: 250\nS: 250\nS: 354\nS: 250\nS: 502\n"+envelope+"C: DATA\nS: 354\nC: x\nC: .\nS: 250")
	if got := l.backend.mails(); len(got) != 2 || !strings.HasSuffix(got[0].body, "\r\n\r\nhello\r\n") {
		t.Errorf("delivered %q", got)
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
