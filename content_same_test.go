package smtpguard_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
)

// script is a connection whose client has sent everything already, in segments:
// each is one Read, where there is room for it.
type script struct {
	net.Conn // none
	segments [][]byte

	mu     sync.Mutex
	said   bytes.Buffer
	closed chan struct{}
}

func (c *script) Read(p []byte) (int, error) {
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
	}
	if len(c.segments) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.segments[0])
	if c.segments[0] = c.segments[0][n:]; len(c.segments[0]) == 0 {
		c.segments = c.segments[1:]
	}
	return n, nil
}

func (c *script) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said.Write(p)
}

func (c *script) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	return nil
}

func (c *script) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 25), Port: 25} }
func (c *script) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 1025}
}
func (c *script) SetDeadline(time.Time) error      { return nil }
func (c *script) SetReadDeadline(time.Time) error  { return nil }
func (c *script) SetWriteDeadline(time.Time) error { return nil }

// Accept, with Close and Addr, makes the connection a listener of just itself.
type once struct {
	c    *script
	gone bool
}

func (l *once) Accept() (net.Conn, error) {
	if l.gone {
		<-l.c.closed
		return nil, net.ErrClosed
	}
	l.gone = true
	return l.c, nil
}
func (l *once) Close() error   { return nil }
func (l *once) Addr() net.Addr { return l.c.LocalAddr() }

// outcome is all that a session shows: what the client read, what the backend
// got, what the guard accounted for.
func outcome(t testing.TB, l *lab, segments [][]byte, accounted <-chan struct{}) string {
	t.Helper()
	c := &script{segments: segments, closed: make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- l.serve(&once{c: c}) }()
	select {
	case <-c.closed:
	case <-time.After(20 * time.Second):
		t.Fatal("the session does not end")
	}
	<-served
	l.Close()
	select {
	case <-accounted:
	case <-time.After(20 * time.Second):
		t.Fatal("the session is not accounted for")
	}
	var out strings.Builder
	c.mu.Lock()
	out.Write(c.said.Bytes())
	c.mu.Unlock()
	for _, m := range l.backend.mails() {
		fmt.Fprintf(&out, "mail from %s to %v: %q\n", m.from, m.to, ours.ReplaceAllString(m.body, ""))
	}
	for _, ev := range l.events.of(smtpguard.KindTransaction) {
		fmt.Fprintf(&out, "transaction from %s to %v, %d octets: %s\n", ev.From, ev.Recipients, ev.Size, ev.Reply)
	}
	return out.String()
}

// ours is the field that the guard adds, with its time and id.
var ours = regexp.MustCompile(`(?m)^Received: [^\n]*\n([ \t][^\n]*\n)*`)

// What clients say. Pieces of content are of even size, so that none is just as
// large as the limit, where go-smtp's own reader is one octet wrong, and have
// none of what it cannot read: two CRs before a LF, a dot before a bare CR.
var (
	saidByClients = []string{
		"EHLO client.example\r\n", "EHLO other.example\r\n", "HELO client.example\r\n", "LHLO client.example\r\n",
		"MAIL FROM:<a@client.example>\r\n", "MAIL FROM:<reject@client.example>\r\n", "MAIL FROM:<> SIZE=3000\r\n",
		"RCPT TO:<b@example.org>\r\n", "RCPT TO:<full@example.org>\r\n", "RCPT TO:<reject@example.org>\r\n",
		"RSET\r\n", "NOOP\r\n", "VRFY x\r\n", "x\r\n", "\r\n", "AUTH PLAIN\r\n", "data \t\r\n", "DATA x\r\n", nothing, "BDAT 0 LAST\r\n", "BDAT x\r\n", decoy,
		"QUIT\r\n",
	}
	decoy       = "BDAT 71\r\n" // a chunk of what comes next
	nothing     = "BDAT 0\r\n"  // over LMTP go-smtp's goroutine for it may begin beside the next one's BDAT
	transaction = []string{"RSET\r\n", "MAIL FROM:<a@client.example>\r\n", "RCPT TO:<b@example.org>\r\n", "RCPT TO:<c@example.org>\r\n"}
	content     = []string{
		"Subject: hello\r\n", "Subject: reject\r\n\r\n", "\r\n", "abcd\r\n", "..\r\nx\r\n", "..abc\r\n", ".ab\r\n", "MAIL FROM:<evil@client.example>\r\n",
		"a\rbc\r\n", "ab\nc\r\n", "\n.\n\nab\r\n", "a\n.\r\nb\r\n", ".\nab\r\n", "\x00a\r\n", "BDAT 9\r\n", "DATA\r\n", "RSET\r\n", "EHLO x\r\n",
		strings.Repeat("0123456789abcd\r\n", 40), strings.Repeat("x", 4096) + "\r\n", strings.Repeat("..0123456789\r\n", 500),
	}
)

// dialogue makes a client's part of a session out of a program, in pieces none
// of which a client may send before it has read the reply to the one before,
// unless it pipelines what it must not.
func dialogue(program []byte, lmtp, pipelining bool) (groups [][]byte) {
	next := func() int {
		if len(program) == 0 {
			return 0
		}
		b := program[0]
		program = program[1:]
		return int(b)
	}
	text := func() (s string) {
		for n := next() % 5; n > 0; n-- {
			s += content[next()%len(content)]
		}
		return s
	}
	hello := "EHLO client.example\r\n"
	if lmtp {
		hello = "LHLO client.example\r\n"
	}
	groups = [][]byte{[]byte(hello), nil}
	say := func(s string) { groups[len(groups)-1] = append(groups[len(groups)-1], s...) }
	stop := func() { groups = append(groups, nil) }
	for len(program) > 0 {
		switch op := next() % 16; {
		case op < 5:
			s := saidByClients[next()%len(saidByClients)]
			if s == decoy && !pipelining || s == nothing && lmtp && raceDetector {
				continue
			}
			say(s)
			switch {
			case strings.HasPrefix(s, "AUTH") && !pipelining: // else anything is the response
				stop()
				say("*\r\n")
				stop()
			case strings.Contains("EHLO HELO LHLO data DATA", s[:min(4, len(s))]):
				stop()
			}
		case op < 8:
			say(strings.Join(transaction[op%2:], ""))
		case op < 13 && !pipelining, op < 12: // as good clients do
			say(strings.Join(transaction, "") + "DATA\r\n")
			stop()
			say(text() + ".\r\n")
		case op < 13 && pipelining: // where there is no transaction, content is commands
			say("DATA\r\n")
			stop()
			say(text() + ".\r\n")
		case op < 15:
			s, last := text()+"x\r\n\r\n", ""
			if op == 13 {
				last = " LAST"
			}
			say(fmt.Sprintf("BDAT %d%s\r\n%s", len(s), last, s))
		default:
			say(strings.Join(transaction, ""))
			s := text() + "x\r\n\r\n"
			say(fmt.Sprintf("BDAT %d\r\n%sBDAT %d LAST\r\n%s", len(s), s, len(s), s))
		}
	}
	say("\r\n.\r\n") // of content that breaks off, what is wrong with it may be seen first
	return groups
}

// cut makes segments of groups: all between a group and what follows it, and
// others as cuts says, each octet of which is the size of the next segment.
func cut(groups [][]byte, cuts []byte) (segments [][]byte) {
	i := 0
	for _, g := range groups {
		for len(g) > 0 {
			n := len(g)
			if len(cuts) > 0 {
				c := int(cuts[i%len(cuts)])
				if c >= 128 {
					c = (c - 127) * 64
				}
				n = min(c+1, n)
				i++
			}
			segments = append(segments, slices.Clone(g[:n]))
			g = g[n:]
		}
	}
	return segments
}

// reading is who reads content.
type reading int

const (
	directly     reading = iota // the guard, past go-smtp
	byGoSMTP                    // as under TLS
	byMiddleware                // one outside the guard, by way of go-smtp
)

// around is a middleware that hands on everything, content by a reader of its
// own.
type around struct{ smtp.Backend }

func (b around) NewSession(c *smtp.Conn) (smtp.Session, error) {
	s, err := b.Backend.NewSession(c)
	if err != nil {
		return nil, err
	}
	return hands{s.(guardSession)}, nil
}

// guardSession is what a guard's sessions are.
type guardSession interface {
	smtp.AuthSession
	smtp.LMTPSession
}

type hands struct{ guardSession }

func (s hands) Data(r io.Reader) error { return s.guardSession.Data(io.MultiReader(r)) }
func (s hands) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	return s.guardSession.LMTPData(io.MultiReader(r), status)
}

// sameWays is one session, read in all ways, cut anyhow and whole.
func sameWays(t *testing.T, program, cuts []byte, mode uint8) {
	t.Helper()
	pipelining, lmtp := mode&1 != 0, mode&2 != 0
	octets := []smtpguard.OctetPolicy{smtpguard.OctetsReject, smtpguard.OctetsNormalize, smtpguard.OctetsAllow, smtpguard.OctetsReject}[mode>>2&3]
	groups := dialogue(program[:min(len(program), 40)], lmtp, pipelining)
	if pipelining {
		groups = [][]byte{bytes.Join(groups, nil)}
	}
	play := func(how reading, cuts []byte) string {
		accounted := make(chan struct{})
		l := bare(func(l *lab) {
			l.LMTP, l.backend.lmtp = lmtp, lmtp && mode&64 != 0
			l.backend.auth, l.AllowInsecureAuth = !l.backend.lmtp, true
			l.MaxMessageBytes = 5001
			if mode&32 != 0 {
				l.MaxMessageBytes = 0
			}
			if mode&128 != 0 { // another guard, and a middleware between
				inner, err := smtpguard.New(smtpguard.Config{}, judge, edit)
				if err != nil {
					t.Fatal(err)
				}
				l.Backend = around{inner.Wrap(l.backend)}
			}
		})
		cfg := smtpguard.Config{Octets: octets, Limits: smtpguard.Limits{Errors: 1 << 20, Idle: 1 << 20}}
		cfg.Spool.Memory = 1 << 10
		if mode&16 != 0 {
			cfg.Limits.Line = 998
		}
		listened(t, l, cfg, smtpguard.ListenConfig{AllowPipelining: pipelining, AllowBareLF: true}, judge,
			smtpguard.Check{Name: "last", Close: func(*smtpguard.Conn) { close(accounted) }})
		switch how {
		case byGoSMTP:
			l.Debug = io.Discard
		case byMiddleware:
			l.Backend = around{l.Backend}
		}
		return outcome(t, l, cut(groups, cuts), accounted)
	}
	want := play(byGoSMTP, nil)
	for name, got := range map[string]string{
		"directly": play(directly, nil), "directly, cut": play(directly, cuts),
		"by go-smtp, cut": play(byGoSMTP, cuts), "by a middleware, cut": play(byMiddleware, cuts),
	} {
		if got != want {
			t.Fatalf("client says %s\ncut by %v, mode %b: read %s, then by go-smtp, whole:\n%s", short(fmt.Sprintf("%q", groups)), cuts, mode, name, short(parting(got, want)))
		}
	}
}

// parting is where two outcomes part.
func parting(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	n := 0
	for n < min(len(as), len(bs)) && as[n] == bs[n] {
		n++
	}
	at := max(n-3, 0)
	return strings.Join(as[at:], "\n") + "\n--------\n" + strings.Join(bs[at:], "\n")
}

func short(s string) string { return runs.ReplaceAllString(s, "$1~") }

var runs = regexp.MustCompile(`(xxxx)x+|(\.\.0123456789|0123456789abcd)((\\r\\n)?(\.)?(\.0123456789|0123456789abcd))+`)

// edit changes what the backend reads.
var edit = smtpguard.Check{Name: "edit", Data: func(_ context.Context, _ *smtpguard.Transaction, m *smtpguard.Message) (smtpguard.Verdict, error) {
	m.Strip("Subject", nil)
	return smtpguard.Verdict{}, m.Prepend("X-Edited: yes")
}}

// judge refuses some of the content, by what it reads.
var judge = smtpguard.Check{Name: "judge", Data: func(_ context.Context, _ *smtpguard.Transaction, m *smtpguard.Message) (smtpguard.Verdict, error) {
	b, err := io.ReadAll(m.Open())
	switch {
	case err != nil:
		return smtpguard.Verdict{}, err
	case bytes.Contains(b, []byte("<evil@")): // an inner guard reads a Received field too: with random letters
		return smtpguard.Verdict{Action: smtpguard.Reject}, nil
	case bytes.HasPrefix(b, []byte("abcd")):
		return smtpguard.Verdict{}, errors.New("cannot judge")
	case bytes.HasPrefix(b, []byte(".ab")):
		panic("broken")
	}
	return smtpguard.Verdict{}, nil
}}

// TestReadDirectlyOrNot: who reads content, and in what pieces it comes, makes
// no difference to anybody.
func TestReadDirectlyOrNot(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 2))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.UintN(256))
		}
		return b
	}
	n := 400
	if testing.Short() {
		n = 100
	}
	for range n {
		sameWays(t, random(r.IntN(40)), random(r.IntN(12)), uint8(r.UintN(256)))
	}
}

func FuzzReadDirectlyOrNot(f *testing.F) {
	f.Add([]byte{8, 3, 0, 3, 2, 8, 1, 1}, []byte{5}, uint8(0))
	f.Add([]byte{13, 2, 0, 1, 14, 1, 0, 13, 1, 1}, []byte{0}, uint8(1))
	f.Fuzz(sameWays)
}
