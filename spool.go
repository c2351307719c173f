package smtpguard

import (
	"fmt"
	"io"
	"math/bits"
	"os"
	"sync"
	"sync/atomic"

	"github.com/emersion/go-smtp"
)

// refusal is why the guard itself refuses content: what the client reads, and
// what the operator does.
type refusal struct {
	reply  *smtp.SMTPError
	reason string
	err    error // below reason, if any
}

func (r *refusal) Error() string { return "smtpguard: " + r.reason }
func (r *refusal) Unwrap() error { return r.err }

// refused makes a refusal with the reply code, enhanced code a.b.c and text.
func refused(code, a, b, c int, text, reason string) *refusal {
	return &refusal{
		reply:  &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{a, b, c}, Message: text},
		reason: reason,
	}
}

// noStorage is what a disk that fails or is full means (RFC 3463, X.3.1).
func noStorage(err error) *refusal {
	r := refused(452, 4, 3, 1, "Insufficient system storage", "spool: "+err.Error())
	r.err = err
	return r
}

// spooler takes content in. Memory comes in buffers of a few sizes, each twice
// the one below, that messages reuse.
type spooler struct {
	cfg    *Config
	used   atomic.Int64 // octets of memory that messages have, of cfg.Spool.Total
	pools  []sync.Pool  // of *buffer
	create func() (*os.File, error)
}

const (
	firstBuffer = 8 << 10  // the smallest: most mail fits
	readAtOnce  = 32 << 10 // so that what was read is looked at while it is in the processor's cache
)

type buffer struct{ b []byte }

// newSpooler makes the spooler of a filled cfg.
func newSpooler(cfg *Config) *spooler {
	sp := &spooler{cfg: cfg}
	sp.pools = make([]sync.Pool, max(class(cfg.Spool.Memory), class(readAtOnce))+1)
	sp.create = func() (*os.File, error) { return os.CreateTemp(cfg.Spool.Dir, "smtpguard-*") } // mode 0600
	return sp
}

// class is the index of the smallest buffers that hold n octets.
func class(n int) int { return max(0, bits.Len(uint(max(n, 1)-1))-bits.Len(firstBuffer-1)) }

// get returns a buffer of n octets or more, nil where the budget does not have
// it. One of the smallest size is given in any case: the connection itself costs
// more.
func (sp *spooler) get(n int) *buffer {
	i := class(n)
	size := int64(firstBuffer) << i
	if sp.used.Add(size) > sp.cfg.Spool.Total && i > 0 {
		sp.used.Add(-size)
		return nil
	}
	if b, ok := sp.pools[i].Get().(*buffer); ok {
		return b
	}
	return &buffer{make([]byte, size)}
}

// put gives b, which may be nil, back.
func (sp *spooler) put(b *buffer) {
	if b != nil {
		sp.used.Add(-int64(len(b.b)))
		sp.pools[class(len(b.b))].Put(b)
	}
}

// intake is how one message is to be received.
type intake struct {
	octets OctetPolicy
	size   int64             // as declared by SIZE, 0 when not; a hint
	utf8   bool              // SMTPUTF8 was asked for: 8-bit header fields are in order
	note   func(what string) // something odd that is allowed; nil for nobody listens
}

// receive reads content from r to its end. An error of r other than io.EOF is
// returned as it is; a *refusal when the guard refuses the content, which may be
// before r's end. With an error there is no Message and nothing is kept.
func (sp *spooler) receive(r io.Reader, in intake) (m *Message, err error) {
	t := taking{content: &content{sp: sp}, in: in}
	t.scan.limits = &sp.cfg.Limits
	defer func() { // by a panic or Goexit of r as well
		if m == nil {
			t.free()
		}
	}()
	t.buf = sp.get(firstBuffer)
	for idle, end := 0, false; !end; {
		room, err := t.room()
		if err != nil {
			return nil, err
		}
		n, err := r.Read(room[:min(len(room), readAtOnce)])
		switch {
		case err == io.EOF:
			end = true
		case err != nil:
			return nil, err
		case n == 0:
			if idle++; idle == 100 {
				return nil, io.ErrNoProgress
			}
			continue
		}
		idle = 0
		t.n += n
		if err := t.look(end); err != nil {
			return nil, err
		}
	}
	if err := t.finish(); err != nil {
		return nil, err
	}
	return &Message{c: t.content}, nil
}

// taking is content on its way in. buf[:n] is what is not, or not yet, in the
// file; buf[:done] of it has been looked at. What has not is at most a CR, once
// look is through: what it is depends on the octet behind it.
type taking struct {
	*content
	in      intake
	n, done int
	seen    oddity
	scratch []byte
}

// room returns where the next octets go, at least one.
func (t *taking) room() ([]byte, error) {
	memory := t.sp.cfg.Spool.Memory
	limit := len(t.buf.b)
	if t.file == nil {
		limit = min(limit, memory)
	}
	if t.n < limit {
		return t.buf.b[t.n:limit], nil
	}
	if t.file == nil && t.n < memory && t.in.size <= int64(memory) {
		// A declared size is believed once the first octets have come: until
		// then it would be a cheap way to use the budget up.
		want := min(max(2*len(t.buf.b), int(t.in.size)+1), memory)
		if b := t.sp.get(want); b != nil {
			copy(b.b, t.buf.b[:t.n])
			t.sp.put(t.buf)
			t.buf = b
			return b.b[t.n:min(len(b.b), memory)], nil
		}
	}
	if err := t.flush(); err != nil {
		return nil, err
	}
	return t.buf.b[t.n:], nil
}

// flush writes what has been looked at to the file, which it makes at first.
func (t *taking) flush() error {
	if t.file == nil {
		f, err := t.sp.create()
		if err != nil {
			return noStorage(err)
		}
		t.file = f
		if os.Remove(f.Name()) != nil {
			t.path = f.Name() // a system that unlinks no open files
		}
	}
	n, err := t.file.Write(t.buf.b[:t.done])
	if err == nil && n < t.done {
		err = io.ErrShortWrite
	}
	if err != nil {
		return noStorage(err)
	}
	t.size += int64(t.done)
	held := t.n > t.done
	if len(t.buf.b) != readAtOnce { // the size to copy by
		t.sp.put(t.buf)
		if t.buf = t.sp.get(readAtOnce); t.buf == nil {
			t.buf = t.sp.get(firstBuffer)
		}
	}
	t.n, t.done = 0, 0
	if held {
		t.buf.b[0], t.n = '\r', 1
	}
	return nil
}

// add appends p, which has been looked at.
func (t *taking) add(p []byte) error {
	for len(p) > 0 {
		room, err := t.room()
		if err != nil {
			return err
		}
		n := copy(room, p)
		t.n += n
		t.done = t.n
		p = p[n:]
	}
	return nil
}

// look applies the octet policy and the limits to buf[done:n]; end says that
// nothing follows.
func (t *taking) look(end bool) error {
	p := t.buf.b[t.done:t.n]
	held := !end && len(p) > 0 && p[len(p)-1] == '\r'
	if held {
		p = p[:len(p)-1]
	}
	if !ordinary(p) {
		switch t.in.octets {
		case OctetsNormalize:
			return t.normalize(p, held)
		case OctetsAllow:
			for i := range p {
				t.seen |= oddAt(p, i)
			}
		default:
			i, o := firstOdd(p)
			if ref := t.scan.scan(p[:i]); ref != nil {
				return ref
			}
			return refused(554, 5, 6, 0, o.String()+" in message", o.String()+" in content")
		}
	}
	t.done += len(p)
	if ref := t.scan.scan(p); ref != nil {
		return ref
	}
	return nil
}

// normalize puts the normal form of p, which ends buf but for a CR held back,
// in its place.
func (t *taking) normalize(p []byte, held bool) error {
	out, seen := normalize(t.scratch[:0], p)
	t.scratch, t.seen = out, t.seen|seen
	if ref := t.scan.scan(out); ref != nil {
		return ref
	}
	t.n = t.done
	if err := t.add(out); err != nil || !held {
		return err
	}
	room, err := t.room()
	if err != nil {
		return err
	}
	room[0] = '\r'
	t.n++
	return nil
}

// finish makes the content ready to be read, and tells what was odd.
func (t *taking) finish() error {
	if t.file != nil {
		if err := t.flush(); err != nil {
			return err
		}
		t.sp.put(t.buf)
		t.buf = nil
	} else {
		t.size = int64(t.n)
	}
	s := &t.scan
	s.finish()
	raw := s.eightBit && !t.in.utf8
	if raw && t.sp.cfg.EightBit == EightBitRefuse {
		return refused(554, 5, 6, 0, "8-bit octets in the header need SMTPUTF8", "8-bit octets in the header section without SMTPUTF8")
	}
	if t.file != nil {
		// Now, while a failing disk can still be answered for.
		if err := t.loadHeader(); err != nil {
			return noStorage(err)
		}
	}
	if t.in.note == nil {
		return nil
	}
	for _, n := range oddityNames {
		switch {
		case t.seen&n.o == 0:
		case t.in.octets == OctetsNormalize:
			t.in.note(n.name + " in content, normalized")
		default:
			t.in.note(n.name + " in content, allowed")
		}
	}
	if s.longLines > 0 {
		t.in.note(fmt.Sprintf("%d lines of over 998 octets", s.longLines))
	}
	if raw {
		t.in.note("8-bit octets in the header section without SMTPUTF8")
	}
	if s.malformed {
		t.in.note("header section ends without an empty line, at a line that is no field")
	}
	return nil
}
