package smtpguard

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestLines(t *testing.T) {
	const post = "RCPT TO:<postmaster@mx.example.org>\r\n"
	for _, tt := range []struct {
		name, in, out, refusal string
	}{
		{name: "group", in: "MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n"},
		{name: "no command", in: "\r\nX\r\nDATAX\r\nEHLOX\r\nAUTHY\r\n\r\n"},
		{name: "EHLO and more", in: "EHLO x\r\nMAIL FROM:<>\r\n", refusal: refusePipelining},
		{name: "helo and more", in: "helo x\r\nMAIL FROM:<>\r\n", refusal: refusePipelining},
		{name: "LHLO and more", in: "LHLO x\r\nM", refusal: refusePipelining},
		{name: "DATA and more", in: "MAIL FROM:<>\r\ndata\r\nx\r\n", refusal: refusePipelining},
		{name: "STARTTLS and more", in: "StartTLS\r\nRSET\r\n", refusal: refusePipelining},
		{name: "AUTH and more", in: "AUTH PLAIN\r\nRSET\r\n", refusal: refusePipelining},
		{name: "AUTH in steps and more", in: "AUTH LOGIN YQ==\r\nRSET\r\n", refusal: refusePipelining},
		{name: "AUTH in one step and more", in: "AUTH  plain AGEAYg==\r\nMAIL FROM:<>\r\n"},
		{name: "AUTH EXTERNAL and more", in: "auth External =\r\nMAIL FROM:<>\r\n"},
		{name: "QUIT and more", in: "QUIT\r\nRSET\r\n"},
		{name: "bare LF", in: "NOOP\n", refusal: refuseBareLF},
		{name: "bare LF after a line", in: "NOOP\r\nNOOP\nNOOP\r\n", refusal: refuseBareLF},
		{name: "LF alone", in: "\n", refusal: refuseBareLF},
		{name: "HTTP", in: "POST / HTTP/1.1\r\n", refusal: refuseHTTP},
		{name: "HTTP too late", in: "NOOP\r\nGET / HTTP/1.1\r\n"},
		{name: "postmaster", in: "RCPT TO:<postmaster>\r\n", out: post},
		{name: "Postmaster", in: "rcpt to:<PostMaster>\r\n", out: "rcpt to:<PostMaster@mx.example.org>\r\n"},
		{name: "spaces", in: "RCPT  TO: <postmaster> NOTIFY=NEVER\r\n", out: "RCPT  TO: <postmaster@mx.example.org> NOTIFY=NEVER\r\n"},
		{name: "twice", in: "RSET\r\nRCPT TO:<postmaster>\r\nRCPT TO:<a@b>\r\nRCPT TO:<postmaster>\r\nDATA\r\n",
			out: "RSET\r\n" + post + "RCPT TO:<a@b>\r\n" + post + "DATA\r\n"},
		{name: "other", in: "RCPT TO:<postmaster@>\r\nRCPT TO:<postmasters>\r\nRCPT TO:postmaster\r\nRCPT TO:<postmaster>x\r\nMAIL FROM:<postmaster>\r\n"},
		{name: "chunk", in: "BDAT 21\r\nRCPT TO:<postmaster>\nRCPT TO:<postmaster>\r\n", out: "BDAT 21\r\nRCPT TO:<postmaster>\nRCPT TO:<postmaster@mx.example.org>\r\n"},
		{name: "last chunk", in: "bdat 007 last\r\nEHLO\n\n\nQUIT\r\n"},
		{name: "chunk refused", in: "BDAT 9 FIRST\r\nNOOP\n", refusal: refuseBareLF},
		{name: "chunk of no size", in: "BDAT -4\r\nNOOP\n", refusal: refuseBareLF},
		{name: "chunk of too many", in: "BDAT 4294967296\r\nNOOP\n", refusal: refuseBareLF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.out == "" && tt.refusal == "" {
				tt.out = tt.in
			}
			l := cmdLines{host: "mx.example.org"}
			out, refusal := l.next([]byte(tt.in), true)
			if string(out) != tt.out || refusal != tt.refusal {
				t.Errorf("next = %q, %q\nwant %q, %q", out, refusal, tt.out, tt.refusal)
			}
			l = cmdLines{allowPipelining: true, allowBareLF: true}
			out, refusal = l.next([]byte(tt.in), true)
			if tt.refusal != refuseHTTP && (string(out) != tt.in || refusal != "") {
				t.Errorf("with all allowed: next = %q, %q", out, refusal)
			}
		})
	}
}

// A line that comes in pieces is one line.
func TestLinesInPieces(t *testing.T) {
	for _, tt := range []struct {
		pieces  []string
		out     string
		refusal string
	}{
		{[]string{"RCPT TO:<post", "master>\r\nNOOP\r\n"}, "RCPT TO:<postmaster@x>\r\nNOOP\r\n", ""},
		{[]string{"RCPT TO:<postmaster>", "\r\n"}, "RCPT TO:<postmaster>\r\n", ""}, // too late to complete it
		{[]string{"NOOP\r", "\nNOOP\r\n"}, "NOOP\r\nNOOP\r\n", ""},
		{[]string{"NO", "OP", "\n"}, "NOOP", refuseBareLF},
		{[]string{"DA", "TA\r\nRSET\r\n"}, "DA", refusePipelining},
		{[]string{"BDAT ", "5\r\nab", "c\n\nRSET\n"}, "BDAT 5\r\nab", refuseBareLF},
	} {
		l := cmdLines{host: "x"}
		var got, said string
		for _, p := range tt.pieces {
			out, refusal := l.next([]byte(p), true)
			got, said = got+string(out), said+refusal
		}
		if got != tt.out || said != tt.refusal {
			t.Errorf("%q: %q, %q; want %q, %q", tt.pieces, got, said, tt.out, tt.refusal)
		}
	}
}

// What is pipelined behind content is not looked at, nor what follows, until
// content ends with its segment: there may be a BDAT line in it.
func TestLinesBehindContent(t *testing.T) {
	const bare, full = "RCPT TO:<postmaster>\r\n", "RCPT TO:<postmaster@x>\r\n"
	l := cmdLines{host: "x"}
	for _, step := range []struct {
		in     string
		wanted bool
		out    string
	}{
		{bare, true, full},
		{"DATA\r\n", true, "DATA\r\n"},
		{bare + ".\r\nBDAT 49\r\n", false, bare + ".\r\nBDAT 49\r\n"},
		{bare + ".\r\n", true, bare + ".\r\n"},
		{bare + "\r\n", true, bare + "\r\n"},
		{"DATA\r\n", true, "DATA\r\n"},
		{bare, false, bare},
		{".\r\n", false, ".\r\n"},
		{bare, true, full},
	} {
		out, refusal := l.next([]byte(step.in), step.wanted)
		if string(out) != step.out || refusal != "" {
			t.Errorf("%q: %q, %q; want %q", step.in, out, refusal, step.out)
		}
	}
}

// player reads a client's octets as go-smtp does: line by line, a message
// after DATA, a chunk after BDAT. Every other DATA is refused, if refuse is set.
type player struct {
	r      *bufio.Reader
	wanted *bool // as the wire keeps it
	seen   []string
	refuse bool
}

func (p *player) play() {
	p.answer()
	for n := 0; ; n++ {
		*p.wanted = true
		line, err := p.r.ReadSlice('\n')
		if err != nil {
			p.seen = append(p.seen, "rest "+string(line))
			return
		}
		p.seen = append(p.seen, "line "+string(line))
		text := bytes.TrimRight(line, "\r\n")
		switch {
		case isVerb(text, "DATA"):
			p.answer()
			if !p.refuse || n%2 == 0 {
				p.data()
			}
		case isVerb(text, "BDAT"):
			chunk, _ := io.ReadAll(io.LimitReader(p.r, int64(chunkSize(text))))
			p.seen = append(p.seen, "chunk "+string(chunk))
		}
		p.answer()
	}
}

func (p *player) answer() { *p.wanted = false }

// data ends where go-smtp ends it, which counts CRs in pairs.
func (p *player) data() {
	var got []byte
	state := "\n"
	for {
		c, err := p.r.ReadByte()
		if err != nil {
			break
		}
		got = append(got, c)
		switch {
		case state == "." && c == '\r':
			state = ".\r"
		case state == ".\r" && c == '\n':
			p.seen = append(p.seen, "data "+string(got))
			return
		case state == "\n" && c == '.':
			state = "."
		case state == "\r" && c == '\n':
			state = "\n"
		case c == '\r' && (state == "" || state == "\n"):
			state = "\r"
		default:
			state = ""
		}
	}
	p.seen = append(p.seen, "data "+string(got))
}

// segments gives out octets as they come in from a client, through the lines.
type segments struct {
	lines   *cmdLines // nil: as they are
	wanted  bool
	left    []byte
	pending []byte
	cut     func() int
	refused bool
}

func (s *segments) Read(p []byte) (int, error) {
	if len(s.pending) == 0 {
		if len(s.left) == 0 || s.refused {
			return 0, io.EOF
		}
		n := min(max(s.cut(), 1), len(s.left))
		seg := bytes.Clone(s.left[:n])
		s.left = s.left[n:]
		if s.lines != nil {
			out, refusal := s.lines.next(seg, s.wanted)
			if refusal != "" {
				s.refused = true
				return 0, io.EOF
			}
			seg = out
		}
		s.pending = seg
	}
	n := copy(p, s.pending)
	s.pending = s.pending[n:]
	return n, nil
}

// checkLines plays in with and without lines in between. Nothing may differ
// but completed postmasters, and what comes after a refusal.
func checkLines(t *testing.T, in []byte, seed uint64, lenient bool) {
	t.Helper()
	play := func(l *cmdLines, cut func() int) (*player, *segments) {
		s := &segments{lines: l, left: in, cut: cut}
		p := &player{r: bufio.NewReader(s), wanted: &s.wanted, refuse: seed%3 == 0}
		p.play()
		return p, s
	}
	plain, _ := play(nil, func() int { return 4096 })
	rnd := rand.New(rand.NewPCG(seed, 1))
	most := 1 + rnd.IntN(200)
	l := &cmdLines{host: "mx.example.org", allowPipelining: lenient, allowBareLF: lenient, started: lenient}
	got, s := play(l, func() int { return 1 + rnd.IntN(most) })
	for i := range got.seen {
		if s := got.seen[i]; strings.HasPrefix(s, "line ") && strings.Contains(s, "@mx.example.org>") {
			got.seen[i] = strings.Replace(s, "@mx.example.org>", ">", 1)
		}
	}
	want := plain.seen
	if s.refused {
		// The last thing seen was cut off by the refusal.
		got.seen = got.seen[:len(got.seen)-1]
		if n := len(got.seen); n > 0 && !strings.HasPrefix(got.seen[n-1], "line ") {
			got.seen = got.seen[:n-1]
		}
		want = want[:len(got.seen)]
	}
	if s.refused && lenient {
		t.Errorf("refused although all is allowed: %q", in)
	}
	if !slices.Equal(got.seen, want) {
		t.Errorf("client sent %q (seed %d)\nseen %q\nwant %q", in, seed, got.seen, want)
	}
}

var dialogueParts = []string{
	"EHLO x\r\n", "MAIL FROM:<a@b>\r\n", "RCPT TO:<postmaster>\r\n", "RCPT TO:<postmaster@x>\r\n", "DATA\r\n",
	"line\r\n", "\r\n", ".\r\n", "..\r\n", "\r\r\n", "\n", "\r", ".", "BDAT 10\r\n", "BDAT 24 LAST\r\n", "0123456789",
	"AUTH PLAIN\r\n", "QUIT\r\n", "\r\n.\r\n", "NOOP\r\n", "x",
}

func TestLinesChangeNothing(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for seed := range uint64(3000) {
		var in []byte
		for range rnd.IntN(40) {
			in = append(in, dialogueParts[rnd.IntN(len(dialogueParts))]...)
		}
		checkLines(t, in, seed, seed%2 == 0)
		if t.Failed() {
			return
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n"), uint64(1))
	f.Add([]byte("BDAT 5\r\nab\r\n.BDAT 1 LAST\r\n\nRCPT TO:<postmaster>\r\n"), uint64(2))
	f.Add([]byte("DATA\r\n.\r\nRCPT TO:<postmaster>\r\nBDAT 3\r\n"), uint64(4))
	f.Fuzz(func(t *testing.T, in []byte, seed uint64) {
		if len(in) > 4000 { // a line that fills the buffer ends the play
			return
		}
		checkLines(t, in, seed, true)
		checkLines(t, in, seed, false)
	})
}

// The ordinary path allocates nothing.
func TestLinesAllocateNothing(t *testing.T) {
	group := []byte("MAIL FROM:<a@b.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n")
	body := bytes.Repeat([]byte("some octets of content\r\n"), 100)
	body = append(body, ".\r\n"...)
	l := cmdLines{host: "mx.example.org"}
	if n := testing.AllocsPerRun(100, func() {
		if _, r := l.next(group, true); r != "" {
			t.Fatal(r)
		}
		if _, r := l.next(body, false); r != "" {
			t.Fatal(r)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a message", n)
	}
}
