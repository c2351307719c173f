package mailsig

import (
	"context"
	"errors"
	"hash"
	"hash/maphash"
	"io"
	"sync"
)

// chunk is how much of a message is read at a time. Of buffers that a large header
// section made grow, those up to keep are kept for the next message.
const (
	chunk = 64 << 10
	keep  = 2 << 20
)

// ErrHeader is of a header section that is larger than the limits.
var ErrHeader = errors.New("header section too large")

// Engine makes runs. It is safe for concurrent use.
type Engine struct {
	Limits Limits
	Keys   *Keys // nil for who only signs

	seed maphash.Seed
	runs sync.Pool
}

// New returns an engine. It fills in the limits that are zero.
func New(limits Limits, keys *Keys) *Engine {
	for _, l := range [...]struct {
		value    *int
		fallback int
	}{
		{&limits.HeaderBytes, 1 << 20}, {&limits.HeaderFields, 4000}, {&limits.FieldBytes, 16 << 10},
		{&limits.SignedFields, 256}, {&limits.Lookups, 8}, {&limits.KeyBits, 4096},
	} {
		if *l.value == 0 {
			*l.value = l.fallback
		}
	}
	return &Engine{Limits: limits, Keys: keys, seed: maphash.MakeSeed()}
}

// Run is one pass over one message, for one goroutine.
type Run struct {
	Engine *Engine
	Header *Header

	r       io.Reader
	buf     []byte // for reading
	body    []byte // in buf: what has been read of the body
	eof     bool
	section section
	header  Header
	streams [2]stream // by Canon
	sums    []*Sum
	lookups lookups
	done    bool

	// For Hash and HeaderHash.
	scratch []byte
	last    []byte
	digest  []byte
	covered []int32

	idle []hash.Hash // of SHA-256, to be used again
}

// hash returns a hash to write to.
func (r *Run) hash(alg Hash) hash.Hash {
	if n := len(r.idle); n > 0 && r.idle[n-1].Size() == alg.id().Size() {
		h := r.idle[n-1]
		r.idle = r.idle[:n-1]
		h.Reset()
		return h
	}
	return alg.new()
}

// Start reads the header section of a message.
func (e *Engine) Start(r io.Reader) (*Run, error) {
	run, _ := e.runs.Get().(*Run)
	if run == nil {
		run = &Run{Engine: e, buf: make([]byte, chunk), header: Header{seed: e.seed}}
	}
	run.r = r
	if err := run.head(); err != nil {
		run.Close()
		return nil, err
	}
	return run, nil
}

// head reads until the header section is whole.
func (r *Run) head() error {
	n := 0
	limits := &r.Engine.Limits
	for {
		m, err := fill(r.r, r.buf[n:]) // all of it: what has been looked at is not looked at again
		n += m
		if err != nil && err != io.EOF {
			return err
		}
		r.eof = err == io.EOF
		end, body, ok, bad := r.section.scan(r.buf[:n], r.eof, limits.HeaderFields)
		switch {
		case bad != nil:
			return bad
		case ok && end > limits.HeaderBytes, !ok && n > limits.HeaderBytes:
			return ErrHeader
		case ok:
			r.header.set(r.buf[:end], r.section.marks)
			r.Header = &r.header
			r.body = r.buf[body:n]
			return nil
		case 2*n <= cap(r.buf):
			r.buf = r.buf[:2*n]
		default:
			larger := make([]byte, 2*n)
			copy(larger, r.buf)
			r.buf = larger
		}
	}
}

// Raw is the header section as received. It is good until Body is called.
func (r *Run) Raw() []byte { return r.buf[:len(r.Header.text)] }

// Sum asks for the hash of the canonical body, or of its first length octets;
// of all with -1. Who asks for the same gets the same.
func (r *Run) Sum(c Canon, length int64, h Hash) *Sum {
	for _, s := range r.sums {
		if s.s.canon == c && s.length == length && s.alg == h {
			return s
		}
	}
	stream := &r.streams[c]
	s := &Sum{alg: h, length: length, left: length, h: r.hash(h), s: stream}
	stream.canon = c
	stream.sums = append(stream.sums, s)
	r.sums = append(r.sums, s)
	return s
}

// Body reads the rest of the message, if anybody asked for a hash of it.
func (r *Run) Body(ctx context.Context) error {
	if r.done || len(r.sums) == 0 {
		return nil
	}
	r.done = true
	r.feed(r.body)
	for !r.eof {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := fill(r.r, r.buf[:chunk])
		if err != nil && err != io.EOF {
			return err
		}
		r.eof = err == io.EOF
		r.feed(r.buf[:n])
	}
	for i := range r.streams {
		if s := &r.streams[i]; len(s.sums) > 0 {
			s.close()
		}
	}
	for _, s := range r.sums {
		s.digest = s.h.Sum(s.room[:0])
		r.idle = append(r.idle, s.h)
	}
	return nil
}

// fill reads until p is full, or the end.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

func (r *Run) feed(p []byte) {
	for i := range r.streams {
		if s := &r.streams[i]; len(s.sums) > 0 {
			s.write(p)
		}
	}
}

// Close ends lookups and gives memory back. Of what the run has handed out only
// strings stay good.
func (r *Run) Close() {
	if r.lookups.cancel != nil {
		r.lookups.cancel()
	}
	if cap(r.buf) > keep {
		r.buf = make([]byte, chunk)
	}
	r.buf = r.buf[:chunk]
	if cap(r.scratch) > keep {
		r.scratch = nil
	}
	r.header.reset()
	clear(r.sums)
	clear(r.lookups.keys)
	next := Run{
		Engine: r.Engine, buf: r.buf, section: section{marks: r.section.marks[:0]}, header: r.header, sums: r.sums[:0],
		lookups: lookups{keys: r.lookups.keys[:0]}, scratch: r.scratch, last: r.last, digest: r.digest, covered: r.covered, idle: r.idle,
	}
	for i := range r.streams {
		s := &r.streams[i]
		clear(s.sums)
		next.streams[i] = stream{out: s.out[:0], sums: s.sums[:0]}
	}
	if len(next.idle) > 4 {
		next.idle = next.idle[:4]
	}
	*r = next
	r.Engine.runs.Put(r)
}
