package smtpguard

import "bytes"

// oddity is a set of octets that RFC 5321, section 2.3.8, and RFC 5322,
// section 4, keep out of content.
type oddity uint8

const (
	bareCR oddity = 1 << iota
	bareLF
	nul
)

var oddityNames = [...]struct {
	o    oddity
	name string
}{{bareCR, "Bare CR"}, {bareLF, "Bare LF"}, {nul, "NUL"}}

// String names o, which is one oddity.
func (o oddity) String() string {
	for _, n := range oddityNames {
		if o == n.o {
			return n.name
		}
	}
	return "nothing odd"
}

// The functions below want whole line ends: p neither ends between a CR and
// its LF, nor begins there. The spool holds a last CR back until it knows what
// follows.

// ordinary reports whether p has nothing odd. It is what nearly all content is
// asked, so it goes by lines.
func ordinary(p []byte) bool {
	if bytes.IndexByte(p, 0) >= 0 {
		return false
	}
	lines := 0
	for rest := p; ; lines++ {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		if i == 0 || rest[i-1] != '\r' {
			return false
		}
		rest = rest[i+1:]
	}
	return bytes.Count(p, []byte{'\r'}) == lines
}

// oddAt tells what the octet at p[i] breaks, 0 for nothing.
func oddAt(p []byte, i int) oddity {
	switch p[i] {
	case 0:
		return nul
	case '\r':
		if i+1 == len(p) || p[i+1] != '\n' {
			return bareCR
		}
	case '\n':
		if i == 0 || p[i-1] != '\r' {
			return bareLF
		}
	}
	return 0
}

// firstOdd returns where p's first odd octet is and what it is, and len(p) and
// 0 when there is none.
func firstOdd(p []byte) (int, oddity) {
	for i := range p {
		if o := oddAt(p, i); o != 0 {
			return i, o
		}
	}
	return len(p), 0
}

// normalize appends p to dst with each bare CR and each bare LF as CRLF and
// without NUL. What an octet is follows from its neighbours as received: a NUL
// between CR and LF leaves two line ends.
func normalize(dst, p []byte) ([]byte, oddity) {
	var seen oddity
	for i, c := range p {
		o := oddAt(p, i)
		seen |= o
		switch o {
		case 0:
			dst = append(dst, c)
		case bareCR, bareLF:
			dst = append(dst, '\r', '\n')
		}
	}
	return dst, seen
}
