package smtpguard

import (
	"bytes"
	"io"
	"net"

	"github.com/emersion/go-smtp"
)

// contentDirect is the content of DATA read from the wire itself. go-smtp reads
// it octet by octet through three readers, which is most of what it does for a
// message. It may be read past them where nothing of it can be in their buffers
// yet; afterwards they find the end of the data, and nothing else of it.
//
// It ends at CRLF.CRLF and nowhere else, and loses the dot in front of a line
// that a client has doubled (RFC 5321, section 4.5.2).
type contentDirect struct {
	w     *wire
	limit int64 // octets that may come; 0 is no limit
	n     int64 // octets that came
	at    dotState
	spill []byte // decoded, and without room so far
	room  [1]byte
	err   error // of every Read to come
}

// dotState is what the octets so far end in.
type dotState uint8

const (
	dotLine   dotState = iota // CRLF: a line begins
	dotDot                    // CRLF and a dot
	dotDotCR                  // CRLF, a dot and a CR
	dotMid                    // the middle of a line
	dotMidCR                  // a CR in it
	dotTheEnd                 // CRLF.CRLF
)

// direct returns the content that go-smtp is about to read from r, read past
// it, or nil where that cannot be done: under TLS, when somebody else's reader or
// connection is in between, or when the client has sent more than the DATA line.
func (s *session) direct() *contentDirect {
	w, sc := s.conn.wire, s.conn.SMTP()
	srv := sc.Server()
	if w == nil || sc.Conn() != net.Conn(w) || srv.Debug != nil || !s.first() || !w.beginDirect() {
		return nil
	}
	s.dots = contentDirect{w: w, limit: srv.MaxMessageBytes}
	return &s.dots
}

// first reports whether go-smtp calls s itself: no middleware has read what s is
// given to read.
func (s *session) first() bool {
	b, ok := s.conn.SMTP().Server().Backend.(*backend)
	return ok && b == s.b
}

// Read reads decoded content. Like go-smtp's own reader it fails with
// io.ErrUnexpectedEOF when the connection ends too early, and with
// [smtp.ErrDataTooLarge] past the limit.
func (d *contentDirect) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for d.err == nil || len(d.spill) > 0 {
		if len(d.spill) > 0 {
			n := copy(p, d.spill)
			d.spill = d.spill[n:]
			return n, nil
		}
		n, err := d.w.Read(p)
		n, rest := d.decode(p, n)
		d.n += int64(n + len(d.spill))
		switch {
		case d.at == dotTheEnd:
			d.w.endDirect(rest)
			d.err = io.EOF
		case err == io.EOF:
			d.err = io.ErrUnexpectedEOF
		case err != nil:
			d.err = err
		}
		if d.limit > 0 && d.n > d.limit {
			d.spill = nil
			if d.err == nil {
				d.skip()
			}
			d.err = smtp.ErrDataTooLarge
			return 0, d.err
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, d.err
}

// skip reads on to the end of the content and forgets it: what follows it are
// commands again.
func (d *contentDirect) skip() {
	d.limit = 0
	p := make([]byte, firstBuffer/2)
	for d.err == nil || len(d.spill) > 0 {
		d.Read(p)
	}
}

// decode turns p[:n], as it came, into what it means, in its place: m octets,
// and one more in spill where p has no room for them all. rest is what follows
// the end of the content.
func (d *contentDirect) decode(p []byte, n int) (m int, rest []byte) {
	owed := false // a CR that came with the octets before p, and was no end
	for i := 0; i < n; {
		c := p[i]
		switch d.at {
		case dotMid:
			j := bytes.Index(p[i:n], []byte("\r\n."))
			if j < 0 {
				switch {
				case bytes.HasSuffix(p[i:n], []byte("\r\n")):
					d.at = dotLine
				case p[n-1] == '\r':
					d.at = dotMidCR
				}
				j = n - i
			} else {
				d.at = dotDot
				j += len("\r\n")
			}
			if m < i {
				copy(p[m:], p[i:i+j])
			}
			m, i = m+j, i+j
			if d.at == dotDot {
				i++
			}
			continue
		case dotLine:
			d.at = dotMid
			if c == '.' {
				d.at = dotDot
				i++
				continue
			}
		case dotDot:
			d.at = dotMid
			if c == '\r' {
				d.at = dotDotCR
				i++
				continue
			}
		case dotDotCR:
			if c == '\n' {
				d.at = dotTheEnd
				return d.pay(owed, p, m), p[i+1 : n]
			}
			if m < i {
				p[m] = '\r'
				m++
			} else {
				owed = true
			}
			d.at = dotMid
		case dotMidCR:
			d.at = dotMid
			if c == '\n' {
				d.at = dotLine
			}
		}
		if c == '\r' {
			d.at = dotMidCR
		}
		p[m] = c
		m, i = m+1, i+1
	}
	return d.pay(owed, p, m), nil
}

// pay puts the CR that is owed in front of p[:m].
func (d *contentDirect) pay(owed bool, p []byte, m int) int {
	if !owed {
		return m
	}
	if m == len(p) {
		m--
		d.room[0] = p[m]
		d.spill = d.room[:]
	}
	copy(p[1:], p[:m])
	p[0] = '\r'
	return m + 1
}

// beginDirect lets content be read from the wire. It reports whether go-smtp,
// which has just been told to read it, has nothing of it.
func (w *wire) beginDirect() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.encrypted || !w.lines.atData || len(w.pending) > 0 || len(w.unread) > 0 || w.dead != nil || w.err != nil {
		return false
	}
	w.direct = true
	return true
}

// endDirect gives go-smtp the end of the data to read, and then rest, which came
// behind it.
func (w *wire) endDirect(rest []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.direct = false
	w.pending = []byte(".\r\n")
	if len(rest) > 0 {
		w.unread = bytes.Clone(rest)
	}
}
