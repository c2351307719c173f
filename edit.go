package smtpguard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// Signer makes fields over content, as the backend will read it: a signature of
// each of several keys, or an ARC set. Each is whole, as [Message.Prepend] takes
// it, and the first comes to stand on top; none means that there is nothing to
// add. An error, or a field that is none, defers the message, and nothing is
// added.
type Signer func(ctx context.Context, content io.Reader) (fields []string, err error)

// edits are what the backend reads otherwise than it was received.
type edits struct {
	mu      sync.Mutex
	fields  []string     // prepended, oldest first
	room    [2]string    // for fields: Received, and one more
	strip   map[int]bool // indexes into Header
	signers []Signer
	sealed  bool
}

var errSealed = errors.New("smtpguard: message is edited after the checks have run")

// Prepend puts a field above all others in what the backend reads. field is
// whole: name, colon, value; folded with CRLF before white space; the CRLF at
// its end is added where it is missing. Lines are 998 octets at most (RFC 5322,
// section 2.1.1). It returns an error, and changes nothing, when field is none,
// or when the checks have run.
func (m *Message) Prepend(field string) error {
	field, err := checkField(field)
	if err != nil {
		return err
	}
	e := &m.edits
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sealed {
		return errSealed
	}
	if e.fields == nil {
		e.fields = e.room[:0]
	}
	e.fields = append(e.fields, field)
	return nil
}

// Strip takes received fields called name, whatever its case, out of what the
// backend reads: those whose [Field.Value] match wants, all when match is nil.
// Fields that were prepended stay. It does nothing when the checks have run.
func (m *Message) Strip(name string, match func(value []byte) bool) {
	if !m.c.named(name) {
		return
	}
	var found []int
	for i, f := range m.Header() {
		if strings.EqualFold(f.Name, name) && (match == nil || match([]byte(f.Value()))) {
			found = append(found, i)
		}
	}
	e := &m.edits
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(found) == 0 || e.sealed {
		return
	}
	if e.strip == nil {
		e.strip = make(map[int]bool)
	}
	for _, i := range found {
		e.strip[i] = true
	}
}

// Sign registers f to run after all checks, over the content with all edits and
// with what signers registered before it have added. It does nothing when the
// checks have run.
func (m *Message) Sign(f Signer) {
	e := &m.edits
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.sealed {
		e.signers = append(e.signers, f)
	}
}

// seal ends editing and runs the signers, with h's context. After an error the
// message must not be handed on.
func (m *Message) seal(h Holder) error {
	e := &m.edits
	e.mu.Lock()
	e.sealed = true
	signers := e.signers
	e.signers = nil
	e.mu.Unlock()
	for _, f := range signers {
		fields, err := sign(h.Context(), f, m.edited())
		if err != nil {
			return fmt.Errorf("smtpguard: signer: %w", err)
		}
		e.mu.Lock()
		for _, field := range slices.Backward(fields) {
			e.fields = append(e.fields, field)
		}
		e.mu.Unlock()
	}
	return nil
}

// sign has f make fields, and checks them. The slice is the caller's.
func sign(ctx context.Context, f Signer, content io.Reader) (checked []string, err error) {
	defer recovered(&err)
	fields, err := f(ctx, content)
	if err != nil {
		return nil, err
	}
	for _, field := range fields {
		field, err := checkField(field)
		if err != nil {
			return nil, err
		}
		checked = append(checked, field)
	}
	return checked, nil
}

// checkField returns field with a CRLF at its end, or what is wrong with it. It
// lets through what is above ASCII: fields of SMTPUTF8 messages.
func checkField(field string) (string, error) {
	bad := func(why string) (string, error) {
		return "", fmt.Errorf("smtpguard: prepend %.40q: %s", field, why)
	}
	name, value, ok := strings.Cut(strings.TrimSuffix(field, "\r\n"), ":")
	if !ok || name == "" {
		return bad("no field name")
	}
	for i := 0; i < len(name); i++ {
		if !isNameOctet(name[i]) {
			return bad("the field name is not printable ASCII")
		}
	}
	first := true
	for line := range strings.SplitSeq(value, "\r\n") {
		size := len(line)
		if first {
			size += len(name) + 1
		} else if line == "" || line[0] != ' ' && line[0] != '\t' {
			return bad("a line of it is no continuation")
		} else if strings.Trim(line, " \t") == "" {
			return bad("a line of it is white space alone") // RFC 5322, section 3.2.2
		}
		first = false
		if size > 998 {
			return bad("a line of it is over 998 octets")
		}
		for i := 0; i < len(line); i++ {
			if c := line[i]; c < ' ' && c != '\t' || c == 0x7f {
				return bad("it has control characters")
			}
		}
	}
	if strings.HasSuffix(field, "\r\n") {
		return field, nil
	}
	return field + "\r\n", nil
}

// edited returns a reader of the content as the backend reads it: prepended
// fields, the header section without what was stripped, the body. Where no
// empty line ends the header section, one does here: nobody behind us shall
// take a part of the body for fields, or continue a prepended field with it.
func (m *Message) edited() *contentReader {
	e := &m.edits
	e.mu.Lock()
	defer e.mu.Unlock()
	r := &contentReader{c: m.c}
	r.pieces = r.room[:0]
	if len(e.fields) == 1 {
		r.text(e.fields[0])
	} else if len(e.fields) > 0 {
		var top strings.Builder
		for i := len(e.fields) - 1; i >= 0; i-- {
			top.WriteString(e.fields[i])
		}
		r.text(top.String())
	}
	from := int64(0)
	if len(e.strip) > 0 {
		for i, f := range m.Header() {
			if e.strip[i] {
				r.span(from, f.Start)
				from = f.End
			}
		}
	}
	if s := &m.c.scan; s.malformed {
		r.span(from, s.bodyStart)
		r.text("\r\n")
		from = s.bodyStart
	}
	r.span(from, m.c.size)
	return r
}

// contentReader reads pieces one after another.
type contentReader struct {
	c      *content
	pieces []piece
	room   [3]piece // for pieces: no more are needed where nothing is stripped
}

// piece is text, or else the octets of the content from, to below to.
type piece struct {
	text     string
	from, to int64
}

func (r *contentReader) text(s string) { r.pieces = append(r.pieces, piece{text: s}) }

func (r *contentReader) span(from, to int64) {
	if from < to {
		r.pieces = append(r.pieces, piece{from: from, to: to})
	}
}

// Read is io.Reader.
func (r *contentReader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if len(r.pieces) == 0 {
		return 0, io.EOF
	}
	if p := r.pieces[0]; p.text != "" {
		n := copy(b, p.text)
		r.passed(n)
		return n, nil
	} else {
		n, err := r.c.ReadAt(b[:min(int64(len(b)), p.to-p.from)], p.from)
		r.passed(n)
		return n, err
	}
}

// WriteTo is io.WriterTo: one Write for each piece in memory.
func (r *contentReader) WriteTo(w io.Writer) (total int64, err error) {
	if err := r.c.hold(); err != nil {
		return 0, err
	}
	defer r.c.release()
	var b *buffer
	defer func() { r.c.sp.put(b) }()
	for len(r.pieces) > 0 {
		p := &r.pieces[0]
		var n, want int
		switch {
		case p.text != "":
			want = len(p.text)
			n, err = io.WriteString(w, p.text)
		case r.c.buf != nil:
			want = int(p.to - p.from)
			n, err = w.Write(r.c.buf.b[p.from:p.to])
		default:
			if b == nil {
				if b = r.c.sp.get(readAtOnce); b == nil {
					b = r.c.sp.get(firstBuffer)
				}
			}
			want = int(min(int64(len(b.b)), p.to-p.from))
			if _, err = r.c.readHeld(b.b[:want], p.from); err == nil {
				n, err = w.Write(b.b[:want])
			}
		}
		if err == nil && n < want {
			err = io.ErrShortWrite
		}
		total += int64(n)
		r.passed(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// passed takes the first n octets off the first piece.
func (r *contentReader) passed(n int) {
	p := &r.pieces[0]
	if p.text != "" {
		p.text = p.text[n:]
	} else {
		p.from += int64(n)
	}
	if p.text == "" && p.from >= p.to {
		r.pieces = r.pieces[1:]
	}
}
