package mailsig

import (
	"bytes"
	"hash"
)

// direct is from how many octets on a run is hashed where it lies: shorter ones
// are gathered first, because a hash is slow on small writes.
const direct = 2048

// room is what is gathered.
const room = 16 << 10

// What is made of nothing: lineEnds is a supply of line ends.
var (
	lineEnds = bytes.Repeat([]byte("\r\n"), 512)
	oneCR    = []byte("\r")
	oneSpace = []byte(" ")
)

// stream makes the canonical form of a body, fed in chunks of any size, and
// hands it to sums. Bare CR and LF are octets like others: only CRLF ends a
// line (RFC 6376, section 2.8 and 3.4).
type stream struct {
	canon Canon
	sums  []*Sum
	total int64  // octets made
	ends  int64  // line ends held back: none of them counts at the end of the body
	blank bool   // relaxed: white space held back, behind ends
	cr    bool   // CR held back, behind blank: LF may follow
	out   []byte // made and not yet hashed
}

// write takes the next octets of the body.
func (s *stream) write(p []byte) {
	if s.canon == Relaxed {
		s.relaxed(p)
	} else {
		s.simple(p)
	}
}

// simple canonicalises as RFC 6376, section 3.4.3 says: all that changes is the
// end of the body.
func (s *stream) simple(p []byte) {
	if len(p) == 0 {
		return
	}
	if s.cr {
		s.cr = false
		if p[0] == '\n' {
			s.ends++
			p = p[1:]
		} else {
			s.release()
			s.put(oneCR)
		}
	}
	if n := len(p); n > 0 && p[n-1] == '\r' {
		s.cr = true
		p = p[:n-1]
	}
	n := trailingEnds(p)
	if p = p[:len(p)-2*int(n)]; len(p) > 0 {
		s.release()
		s.put(p)
	}
	s.ends += n
}

// relaxed canonicalises as RFC 6376, section 3.4.4 says: white space at the end
// of lines goes, elsewhere it becomes one space.
func (s *stream) relaxed(p []byte) {
	tab := -1 // where p has its first tab, as seen from its end
	for len(p) > 0 {
		if s.cr {
			s.cr = false
			if p[0] == '\n' {
				s.ends++
				s.blank = false
				p = p[1:]
			} else {
				s.release()
				s.put(oneCR)
			}
			continue
		}
		switch p[0] {
		case '\r':
			if n := leadingEnds(p); n > 0 {
				s.ends += n
				s.blank = false
				p = p[2*n:]
			} else {
				s.cr = true
				p = p[1:]
			}
		case ' ', '\t':
			s.blank = true
			p = p[leadingBlanks(p):]
		default:
			s.release()
			if tab < 0 || tab > len(p) {
				tab = 0
				if i := bytes.IndexByte(p, '\t'); i >= 0 {
					tab = len(p) - i
				}
			}
			run := p[:cleanRun(p, len(p)-tab)]
			p = p[len(run):]
			if run[len(run)-1] == '\r' {
				s.cr = true
				run = run[:len(run)-1]
			}
			s.ends = trailingEnds(run)
			s.put(run[:len(run)-2*int(s.ends)])
		}
	}
}

// release makes what was held back before an octet that stays.
func (s *stream) release() {
	for s.ends > 0 {
		n := min(s.ends, int64(len(lineEnds)/2))
		s.put(lineEnds[:2*n])
		s.ends -= n
	}
	if s.blank {
		s.blank = false
		s.put(oneSpace)
	}
}

// close is told that the body ends here. A body that ends without a line end
// gets one, and one without anything stays empty when relaxed.
func (s *stream) close() {
	if s.cr {
		s.release()
		s.put(oneCR)
	}
	if s.canon == Simple || s.total+int64(len(s.out)) > 0 {
		s.put(lineEnds[:2])
	}
	s.flush()
	s.ends, s.blank, s.cr = 0, false, false
}

func (s *stream) put(p []byte) {
	if len(s.out)+len(p) > room || len(p) >= direct {
		s.flush()
	}
	if len(p) >= direct {
		s.hash(p)
		return
	}
	if s.out == nil {
		s.out = make([]byte, 0, room)
	}
	s.out = append(s.out, p...)
}

func (s *stream) flush() {
	if len(s.out) > 0 {
		s.hash(s.out)
		s.out = s.out[:0]
	}
}

func (s *stream) hash(p []byte) {
	s.total += int64(len(p))
	for _, sum := range s.sums {
		sum.write(p)
	}
}

// Sum is the hash of a canonical body, or of its beginning.
type Sum struct {
	alg    Hash
	length int64 // of the beginning; -1: all
	left   int64 // of length
	h      hash.Hash
	s      *stream
	digest []byte
	room   [32]byte // for digest
}

func (s *Sum) write(p []byte) {
	if s.length >= 0 {
		p = p[:min(int64(len(p)), s.left)]
		s.left -= int64(len(p))
	}
	if len(p) > 0 {
		s.h.Write(p)
	}
}

// Digest is the hash, when the body has been read.
func (s *Sum) Digest() []byte { return s.digest }

// Missing reports whether the canonical body is shorter than the length asked
// for.
func (s *Sum) Missing() bool { return s.length > s.s.total }

// Beyond is how many octets of the canonical body lie behind the length asked
// for.
func (s *Sum) Beyond() int64 {
	if s.length < 0 {
		return 0
	}
	return max(0, s.s.total-s.length)
}
