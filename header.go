package smtpguard

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"strings"
)

// Field is one field of a header section. Offsets count from the start of the
// content. Its text stays good when the transaction is over.
type Field struct {
	Name       string // as written, without the white space that may stand before its colon (RFC 5322, section 4.5)
	Start      int64  // of the name
	ValueStart int64  // behind the colon
	End        int64  // behind the last line end: where the next field starts

	raw string
}

// Raw is the field as received, folds and last line end included.
func (f Field) Raw() string { return f.raw }

// Value is what stands behind the colon as received, folds included, without
// the last line end.
func (f Field) Value() string {
	v := strings.TrimSuffix(f.raw[f.ValueStart-f.Start:], "\n")
	return strings.TrimSuffix(v, "\r")
}

// Unfolded is the value on one line (RFC 5322, section 2.2.3), without the
// white space around it.
func (f Field) Unfolded() string {
	v := f.Value()
	if strings.IndexByte(v, '\n') >= 0 {
		v = strings.ReplaceAll(strings.ReplaceAll(v, "\r\n", ""), "\n", "")
	}
	return strings.Trim(v, " \t")
}

// Header returns the fields of the header section in their order, all of them,
// however often a name occurs. The slice is shared: callers must not change it.
// It is nil when first asked for after the transaction.
//
// What is no field ends the header section: see [Message.BodyOffset]. Field by
// field, Raw is the header section without a gap.
func (m *Message) Header() []Field { return m.c.fields() }

// Fields yields the fields called name, whatever their case, from the top down.
func (m *Message) Fields(name string) iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for _, f := range m.Header() {
			if strings.EqualFold(f.Name, name) && !yield(f) {
				return
			}
		}
	}
}

// named reports whether there may be a field called name. In memory it looks
// without making the fields: most mail is only ever asked for a field it does
// not have.
func (c *content) named(name string) bool {
	if c.hold() != nil {
		return false
	}
	defer c.release()
	if c.buf == nil {
		return len(c.scan.marks) > 0
	}
	for _, k := range c.scan.marks {
		if got := bytes.TrimRight(c.buf.b[k.start:k.colon], " \t"); len(got) == len(name) && strings.EqualFold(string(got), name) {
			return true
		}
	}
	return false
}

func (c *content) fields() []Field {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.header == nil && !c.closed {
		c.loadHeader() // of memory, which can not fail; a file's was loaded by receive
	}
	return c.header
}

// loadHeader makes the fields from what the scanner found, over a copy of the
// header section: unlike pooled memory it may be held on to. The budget pays
// for it, without being asked: it is bounded by Limits. Callers hold c.mu, or
// are alone.
func (c *content) loadHeader() error {
	s := &c.scan
	if c.header != nil || len(s.marks) == 0 {
		return nil
	}
	var section []byte
	if c.buf != nil {
		section = c.buf.b[:s.headerEnd]
	} else {
		section = make([]byte, s.headerEnd)
		if _, err := c.readHeld(section, 0); err != nil {
			return err
		}
	}
	text := string(section)
	c.header = make([]Field, len(s.marks))
	for i, k := range s.marks {
		end := s.headerEnd
		if i+1 < len(s.marks) {
			end = s.marks[i+1].start
		}
		c.header[i] = Field{
			Name:       strings.TrimRight(text[k.start:k.colon], " \t"),
			Start:      k.start,
			ValueStart: k.colon + 1,
			End:        end,
			raw:        text[k.start:end],
		}
	}
	c.charged = int64(len(text))
	c.sp.used.Add(c.charged)
	return nil
}

// mark is where the scanner saw a field.
type mark struct{ start, colon int64 }

// scanner finds the structure of content as it passes by, in chunks of any
// size, and holds it to the limits. It keeps a mark a field, and nothing a line.
// A line ends at LF: what stands before it, and elsewhere, is a matter of the
// octet policy.
type scanner struct {
	limits *Limits
	state  scanState
	pos    int64 // octets seen
	line   int64 // where the current line began
	field  int64 // where the current field began
	name   int   // octets of the current field's name
	hops   int   // Received fields
	isHop  bool  // the name so far is a beginning of Received

	long      bool // the current line is counted in longLines
	longLines int  // over 1000 octets with CRLF (RFC 5321, section 4.5.3.1.6)
	eightBit  bool // in the header section

	marks     []mark
	room      [16]mark // for marks: most headers need no more
	headerEnd int64    // where the last field ends
	bodyStart int64
	malformed bool // no empty line ends the header section, and a body follows
}

type scanState uint8

const (
	atLine  scanState = iota // at the start of a line of the header section
	inName                   // in what may be a field's name
	inSpace                  // in the white space before the colon
	inField                  // behind the colon, or in a continuation
	inBody
)

const received = "received"

// scan looks at the next octets.
func (s *scanner) scan(p []byte) *refusal {
	for len(p) > 0 && s.state != inBody {
		var ref *refusal
		if p, ref = s.step(p); ref != nil {
			return ref
		}
	}
	return s.body(p)
}

// step goes on in the header section, by a part of a line.
func (s *scanner) step(p []byte) ([]byte, *refusal) {
	switch s.state {
	case atLine:
		s.line, s.long = s.pos, false
		switch c := p[0]; {
		case c == '\n':
			s.endHeader(s.pos, s.pos+1)
			return s.skip(p, 1), nil
		case c == '\r' && len(p) > 1 && p[1] == '\n':
			s.endHeader(s.pos, s.pos+2)
			return s.skip(p, 2), nil
		case (c == ' ' || c == '\t') && len(s.marks) > 0:
			s.state = inField
		default:
			s.state, s.field, s.name, s.isHop = inName, s.pos, 0, true
		}
		return p, nil
	case inName:
		i := 0
		for i < len(p) && isNameOctet(p[i]) {
			s.isHop = s.isHop && s.name < len(received) && p[i]|0x20 == received[s.name]
			s.name++
			i++
		}
		if i < len(p) && p[i] != ':' && s.name > 0 {
			s.state = inSpace
		}
		return s.colon(p, i)
	case inSpace:
		i := 0
		for i < len(p) && (p[i] == ' ' || p[i] == '\t') {
			i++
		}
		return s.colon(p, i)
	default:
		n := bytes.IndexByte(p, '\n') + 1
		if n == 0 {
			n = len(p)
		} else {
			s.state = atLine
		}
		s.eightBit = s.eightBit || hasEightBit(p[:n])
		p = s.skip(p, n)
		return p, s.bounds()
	}
}

// colon passes n octets of a name or of the space behind it; what follows them
// must be the colon, or in the state inSpace just begun the space.
func (s *scanner) colon(p []byte, n int) ([]byte, *refusal) {
	p = s.skip(p, n)
	if ref := s.bounds(); ref != nil || len(p) == 0 {
		return p, ref
	}
	switch c := p[0]; {
	case c == ':' && s.name > 0:
		return s.found(p)
	case s.state == inSpace && (c == ' ' || c == '\t'):
		return p, nil
	}
	s.malformed = true
	s.endHeader(s.line, s.line)
	return p, nil
}

// found notes the field whose colon p begins with.
func (s *scanner) found(p []byte) ([]byte, *refusal) {
	if s.marks == nil {
		s.marks = s.room[:0]
	}
	s.marks = append(s.marks, mark{s.field, s.pos})
	if len(s.marks) > s.limits.HeaderFields {
		return p, refused(552, 5, 3, 4, "Too many header fields", fmt.Sprintf("over %d header fields", s.limits.HeaderFields))
	}
	if s.isHop && s.name == len(received) {
		if s.hops++; s.hops > s.limits.Received {
			// RFC 5321, section 6.3
			return p, refused(554, 5, 4, 6, "Too many hops", fmt.Sprintf("over %d Received fields", s.limits.Received))
		}
	}
	s.state = inField
	return s.skip(p, 1), s.bounds()
}

// skip passes n octets of p.
func (s *scanner) skip(p []byte, n int) []byte {
	s.pos += int64(n)
	return p[n:]
}

func (s *scanner) endHeader(end, body int64) {
	s.state, s.headerEnd, s.bodyStart = inBody, end, body
	if body > s.line {
		s.line = body
	}
}

// bounds holds what has passed of the header section to the limits. Of several
// that are broken it names the one whose octet came first, so that the answer
// does not depend on how the content was cut into chunks.
func (s *scanner) bounds() *refusal {
	if !s.long && s.pos-s.line > ordinaryLine {
		s.long = true
		s.longLines++
	}
	l := s.limits
	line, field, header := s.line+int64(l.Line)+2, s.field+int64(l.FieldBytes), int64(l.HeaderBytes)
	switch first := min(line, field, header); {
	case s.pos <= first:
		return nil
	case first == line:
		return l.lineTooLong()
	case first == field:
		return refused(552, 5, 3, 4, "Header field too large", fmt.Sprintf("header field of over %d octets", l.FieldBytes))
	default:
		return refused(552, 5, 3, 4, "Message header too large", fmt.Sprintf("header section of over %d octets", l.HeaderBytes))
	}
}

// ordinaryLine is what a line may have with its CRLF (RFC 5321, section
// 4.5.3.1.6; RFC 5322, section 2.1.1).
const ordinaryLine = 1000

// body measures lines. Where the last LF within reach of an ordinary line is
// found, all lines up to it are ordinary: no need to look at each.
func (s *scanner) body(p []byte) *refusal {
	for len(p) > 0 {
		if left := ordinaryLine - (s.pos - s.line); left > 0 {
			n := min(int(left), len(p))
			if i := bytes.LastIndexByte(p[:n], '\n'); i >= 0 {
				p = s.skip(p, i+1)
				s.line, s.long = s.pos, false
			} else {
				p = s.skip(p, n)
			}
			continue
		}
		if !s.long {
			s.long = true
			s.longLines++
		}
		i := bytes.IndexByte(p, '\n')
		n := i + 1
		if i < 0 {
			n = len(p)
		}
		p = s.skip(p, n)
		if s.pos-s.line > int64(s.limits.Line)+2 {
			return s.limits.lineTooLong()
		}
		if i >= 0 {
			s.line, s.long = s.pos, false
		}
	}
	return nil
}

// lineTooLong is 554: after the content the client expects no 500 (RFC 5321,
// sections 4.3.2 and 4.5.3.1.10).
func (l *Limits) lineTooLong() *refusal {
	return refused(554, 5, 6, 0, "Line too long", fmt.Sprintf("line of over %d octets", l.Line))
}

// finish is told that the content ends here.
func (s *scanner) finish() {
	switch s.state {
	case inName, inSpace: // a last line without a colon
		s.malformed = true
		s.endHeader(s.line, s.line)
	case atLine, inField:
		s.endHeader(s.pos, s.pos)
	}
}

// isNameOctet reports whether c may be in a field's name (RFC 5322, section
// 2.2).
func isNameOctet(c byte) bool { return c > ' ' && c < 0x7f && c != ':' }

func hasEightBit(p []byte) bool {
	for ; len(p) >= 8; p = p[8:] {
		if binary.NativeEndian.Uint64(p)&0x8080808080808080 != 0 {
			return true
		}
	}
	for _, c := range p {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
