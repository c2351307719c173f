package surbl

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/emersion/go-message"
)

// lenient reads a message again whose structure could not be read, as mail
// clients do that forgive more: what is no field in a header section is passed
// over, a boundary of a multipart ends what is in its parts too, and where the
// boundary was not named it is what begins a line as one.
type lenient struct {
	s     *scan
	in    *bufio.Reader
	depth int // of encoded messages in encoded messages

	// again is the second reading: of what is there twice the last counts, and not
	// the first, and boundaries are guessed.
	again bool

	boundaries []string // of the multiparts at hand, outermost first; "" is not known yet
	within     bool     // what comes next does not begin a line
	stopped    bool     // at a boundary, or the end
	at         int      // which boundary that is; -1 is the end
	closing    bool     // that it is the last of its multipart
	doubt      bool     // a second reading is as good
}

// looser is how many times the bounds of an Extraction are those of a lenient
// reading, which costs little where parts are nested.
const looser = 16

// lenient reads a message so; doubt says that a second reading of it is as good.
func (s *scan) lenient(r io.Reader, again bool, depth int) (doubt bool) {
	l := &lenient{s: s, in: bufio.NewReader(r), again: again, depth: depth}
	l.entity(0, true, false)
	return l.doubt
}

// next is the next line, or a piece of one that is long; nil at a boundary and
// at the end. It is valid until it is called again.
func (l *lenient) next() []byte {
	if l.stopped {
		return nil
	}
	line, err := l.in.ReadSlice('\n')
	begins := !l.within
	l.within = errors.Is(err, bufio.ErrBufferFull)
	switch {
	case len(line) == 0:
		l.stopped, l.at = true, -1
		return nil
	case begins && l.boundary(line):
		l.stopped = true
		return nil
	}
	return line
}

// boundary reports whether a line is one of those at hand.
func (l *lenient) boundary(line []byte) bool {
	name, ok := bytes.CutPrefix(line, []byte("--"))
	if name = bytes.TrimRight(name, " \t\r\n"); !ok || len(name) == 0 {
		return false
	}
	for i, b := range slices.Backward(l.boundaries) {
		if b == "" {
			if bytes.ContainsAny(name, " \t") {
				continue
			}
			b = string(bytes.TrimSuffix(name, []byte("--")))
			l.boundaries[i] = b
		}
		rest, ok := bytes.CutPrefix(name, []byte(b))
		if ok && (len(rest) == 0 || bytes.HasPrefix(rest, []byte("--"))) {
			l.at, l.closing = i, len(rest) > 0
			return true
		}
	}
	return false
}

// skip passes over what is left up to the next boundary.
func (l *lenient) skip() {
	for l.next() != nil {
	}
}

// body is what is up to the next boundary.
type body struct {
	l    *lenient
	rest []byte
}

func (b *body) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		if b.rest = b.l.next(); b.rest == nil {
			return 0, io.EOF
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// header reads a header section: the fields that count, each within maxShown.
func (l *lenient) header() message.Header {
	var h message.Header
	var name string
	var value []byte
	take := func() {
		switch name {
		case "content-type", "content-transfer-encoding", "content-disposition":
			if h.Has(name) {
				l.doubt = true
				if !l.again {
					return
				}
			}
			h.Set(name, string(value))
		case "subject", "from", "reply-to":
			h.Add(name, string(value))
		}
	}
	for {
		begins := !l.within
		line := l.next()
		if line == nil {
			break
		}
		text := bytes.TrimRight(line, "\r\n")
		if begins && len(text) == 0 {
			break
		}
		if !begins || text[0] == ' ' || text[0] == '\t' {
			if begins {
				text = append([]byte(" "), bytes.TrimLeft(text, " \t")...)
			}
			value = append(value, text[:min(len(text), maxShown-min(len(value), maxShown))]...)
			continue
		}
		before, after, ok := bytes.Cut(text, []byte(":"))
		if !ok {
			continue
		}
		take()
		name = strings.ToLower(strings.TrimSpace(string(before)))
		value = append(value[:0], bytes.TrimSpace(after)...)
	}
	take()
	return h
}

// entity reads a message, or a part, of a digest too.
func (l *lenient) entity(depth int, whole, digest bool) {
	s := l.s
	if s.parts++; s.parts > looser*s.c.x.cfg.Parts || depth > looser*s.c.x.cfg.Depth || l.depth > s.c.x.cfg.Depth {
		s.c.found.Cut = true
		l.skip()
		return
	}
	h := l.header()
	if whole {
		s.header(&h)
	}
	if digest && !h.Has("Content-Type") {
		h.Set("Content-Type", "message/rfc822") // RFC 2046, section 5.1.5
	}
	kind, params, good := contentType(&h, l.again)
	l.doubt = l.doubt || !good
	name := filename(&h, params)
	encoding := h.Get("Content-Transfer-Encoding")
	switch {
	case strings.HasPrefix(kind, "multipart"):
		l.multipart(params["boundary"], depth, kind == "multipart/digest")
	case attachedMessage(kind, name) && plainEncoding(encoding):
		l.entity(depth+1, true, false)
	case attachedMessage(kind, name):
		if s.lenient(loose(encoding, &body{l: l}), l.again, l.depth+1) {
			l.doubt = true
		}
	default:
		s.leaf(decoded(params["charset"], loose(encoding, &body{l: l})), kind, params, name)
	}
	l.skip()
}

// multipart reads the parts of a multipart, whose boundary is "" where it was
// not named.
func (l *lenient) multipart(boundary string, depth int, digest bool) {
	if l.again {
		boundary = ""
	}
	n := len(l.boundaries)
	l.boundaries = append(l.boundaries, boundary)
	for first := true; ; first = false {
		l.skip()
		if l.at != n {
			l.doubt = l.doubt || first
			break
		}
		// Some go on behind the last boundary.
		if l.stopped = false; !l.closing {
			l.entity(depth+1, false, digest)
		}
	}
	l.boundaries = l.boundaries[:n]
}
