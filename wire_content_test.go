package smtpguard

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"

	"github.com/emersion/go-smtp"
)

// scripted is a connection that a client has written to, in segments.
type scripted struct {
	net.Conn
	r io.Reader
}

func (s scripted) Read(p []byte) (int, error) { return s.r.Read(p) }

// directOver reads content from r, by buf octets at a time.
func directOver(r io.Reader, limit int64, buf int) (content, rest []byte, err error) {
	w := &wire{Conn: scripted{r: r}, listener: &Listener{}, direct: true}
	d := &contentDirect{w: w, limit: limit}
	p := make([]byte, buf)
	for {
		n, err := d.Read(p)
		content = append(content, p[:n]...)
		if err == io.EOF {
			return content, w.unread, nil
		}
		if err != nil {
			return content, w.unread, err
		}
	}
}

// naive does the same an octet at a time, as RFC 5321, section 4.5.2, words it.
func naive(s []byte) (content, rest []byte, ended bool) {
	for start := 0; start < len(s); {
		end := bytes.Index(s[start:], []byte("\r\n"))
		line := s[start:]
		if end >= 0 {
			line = s[start : start+end+2]
		}
		start += len(line)
		if string(line) == ".\r\n" {
			return content, s[start:], true
		}
		content = append(content, bytes.TrimPrefix(line, []byte("."))...)
	}
	return content, nil, false
}

var contents = []string{
	".\r\n", "\r\n.\r\n", "a\r\n.\r\n", "..\r\n.\r\n", ".a\r\n..b\r\n.\r\nQUIT\r\n", "a\r\r\n.\r\n", "a\n.\r\n\r\n.\r\n", "a\r.\r\n.\r\n",
	"a\r\n.\rb\r\n.\r\n", "a\r\n.\r\r\n.\r\n", "a\r\n.\n\r\n.\r\n", "a\r\n.\r.\r\n.\r\n", ".\r.\r\n.\r\n", "\r\n..\r\n\r\n.\r\nNOOP\r\nNOOP\r\n",
	"a\r\n.", "a\r\n.\r", "a", "", "\r\n.\r\n.\r\n", "\x00\r\n.\r\n", "a.\r\n.b\r\n.\r\n",
}

func TestContentDirect(t *testing.T) {
	for _, s := range contents {
		checkDirect(t, []byte(s))
	}
	long := bytes.Repeat([]byte("..0123456789\r\nabcdef\r\n"), 1000)
	checkDirect(t, append(long, ".\r\nQUIT\r\n"...))
}

// checkDirect compares what is read in all ways of cutting s with naive.
func checkDirect(t *testing.T, s []byte) {
	t.Helper()
	want, rest, ended := naive(s)
	for _, buf := range []int{1, 2, 3, 5, 4096} {
		for name, r := range map[string]io.Reader{
			"whole": bytes.NewReader(s), "octets": iotest.OneByteReader(bytes.NewReader(s)), "halves": iotest.HalfReader(bytes.NewReader(s)),
		} {
			got, left, err := directOver(r, 0, buf)
			if !ended {
				// What may be the beginning of the end is held back.
				if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.HasPrefix(want, got) || len(want)-len(got) > 2 {
					t.Fatalf("%q in %s by %d: %q, %v; want %q and an unexpected EOF", s, name, buf, got, err, want)
				}
				continue
			}
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%q in %s by %d: %q, %v; want %q", s, name, buf, got, err, want)
			}
			if !bytes.HasPrefix(rest, left) {
				t.Fatalf("%q in %s by %d: left %q, want a beginning of %q", s, name, buf, left, rest)
			}
		}
	}
}

func FuzzContentDirect(f *testing.F) {
	for _, s := range contents {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, s []byte) { checkDirect(t, s) })
}

// A message of just the limit is taken; a larger one is read to its end, so that
// what follows are commands.
func TestContentDirectLimit(t *testing.T) {
	for _, tt := range []struct {
		limit int64
		err   error
	}{{7, nil}, {6, smtp.ErrDataTooLarge}, {1, smtp.ErrDataTooLarge}} {
		for _, buf := range []int{1, 3, 100} {
			_, rest, err := directOver(bytes.NewReader([]byte("abcde\r\n.\r\nQUIT\r\n")), tt.limit, buf)
			if !errors.Is(err, tt.err) {
				t.Errorf("limit %d by %d: %v, want %v", tt.limit, buf, err, tt.err)
			}
			if !bytes.HasPrefix([]byte("QUIT\r\n"), rest) {
				t.Errorf("limit %d by %d: left %q", tt.limit, buf, rest)
			}
		}
	}
}
