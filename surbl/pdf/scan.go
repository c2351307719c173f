package pdf

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/smtpguard/smtpguard/surbl"
)

const (
	maxString = 2 << 10 // octets of a link that are read
	maxScript = 16 << 10
	maxName   = 127      // octets of a name (ISO 32000-1, annex C)
	maxDict   = 64 << 10 // octets before "stream" in which its dictionary is looked for
)

// scanner reads one document.
type scanner struct {
	found    func(text []byte, kind surbl.Kind, hidden surbl.Hidden)
	pictures surbl.Decoder // nil: not read
	objects  int           // that may still be looked at
	work     int           // octets that may still be inflated, or read for that
	errs     []error

	encrypted bool
	links     []link
	streams   []stream
	wanted    map[int]surbl.Kind // numbers of objects that hold a link or a script
	text      []byte             // room for the string at hand
	flate     io.ReadCloser
}

// link is what was found, told once it is known whether it can be believed.
type link struct {
	text []byte
	kind surbl.Kind
}

func (s *scanner) fail(err error) {
	if !slices.ContainsFunc(s.errs, func(known error) bool { return errors.Is(known, err) }) {
		s.errs = append(s.errs, err)
	}
}

// object accounts for one more thing to look at.
func (s *scanner) object() bool {
	if s.objects == 0 {
		s.fail(ErrObjects)
		return false
	}
	s.objects--
	return true
}

// spend accounts for n octets that were read, or are kept.
func (s *scanner) spend(n int) bool {
	if s.work -= n; s.work < 0 {
		s.work = 0
		s.fail(ErrInflated)
		return false
	}
	return true
}

// wide accounts for n octets between a key and its value, if they are more than
// one comes across: they are read again with the next key.
func (s *scanner) wide(n int) bool { return n <= 16 || s.spend(n) }

// document reads a whole file: what stands in it, then what its object streams
// hold, then the objects that links were only references to.
func (s *scanner) document(b []byte) {
	s.names(b)
	s.findStreams(b)
	contents := make([][]byte, len(s.streams)) // of object streams: in all what s.work leaves room for
	for i := range s.streams {
		if st := &s.streams[i]; st.objects {
			if contents[i] = s.inflate(b, st); len(st.filters) > 0 {
				s.names(contents[i])
			}
		}
	}
	if len(s.wanted) > 0 {
		s.indirect(b)
		for i := range s.streams {
			if st := &s.streams[i]; st.objects {
				s.table(contents[i], st)
			} else if s.wanted[st.number] == surbl.Script {
				s.add(s.inflate(b, st), surbl.Script)
			}
		}
	}
	if s.encrypted {
		s.errs = slices.DeleteFunc(s.errs, func(err error) bool { return err == ErrFilter }) // of course
		s.fail(ErrEncrypted)
	}
	for _, l := range s.links {
		if !s.encrypted || plain(l.text) {
			s.found(l.text, l.kind, 0)
		}
	}
	if s.pictures != nil && !s.encrypted {
		s.readPictures(b)
	}
}

// names looks at every name in b: those that are keys of links have these
// behind them.
func (s *scanner) names(b []byte) {
	for i := 0; ; {
		n := bytes.IndexByte(b[i:], '/')
		if n < 0 {
			return
		}
		name, at := readName(b, i+n+1)
		i = at
		var kind surbl.Kind
		switch string(name) {
		case "URI": // section 12.6.4.7
			kind = surbl.Link
		case "F", "UF": // a file specification that is a URL, section 7.11.5
			kind = surbl.Form
		case "Base": // of relative URIs, section 12.6.4.7
			kind = surbl.Base
		case "JS": // section 12.6.4.16
			kind = surbl.Script
		case "Encrypt": // section 7.5.5
			if s.encrypted {
				continue
			}
			at = skipSpace(b, at)
			s.encrypted = at < len(b) && (b[at] == '<' || digit(b[at]))
			if !s.wide(at - i) {
				return
			}
			continue
		default:
			continue
		}
		if at = skipSpace(b, at); !s.wide(at - i) {
			return
		}
		if at == len(b) || b[at] != '(' && b[at] != '<' && !digit(b[at]) {
			continue // a value, or damaged
		}
		if digit(b[at]) {
			number, end, ok := readReference(b, at)
			if !s.wide(end-at) || ok && !s.object() {
				return
			}
			if ok {
				s.wanted[number] = kind
			}
			continue
		}
		if !s.object() {
			return
		}
		end, ok := s.read(b, at, kind)
		if !ok {
			return
		}
		if end > 0 {
			i = end
		}
	}
}

// read takes the string at i. It returns where that ends, 0 where there is none
// or it has no end in sight: then what there is of it counts. ok is false where
// there is no room for more.
func (s *scanner) read(b []byte, i int, kind surbl.Kind) (end int, ok bool) {
	limit := maxString
	if kind == surbl.Script {
		limit = maxScript
	}
	text, end := readString(s.text[:0], b[:min(len(b), i+limit)], i)
	s.text = text
	if !s.spend(len(text)) {
		return 0, false
	}
	s.add(text, kind)
	return end, true
}

// add takes a string that is a link, or that may be one.
func (s *scanner) add(text []byte, kind surbl.Kind) {
	text = decode(text)
	if len(text) == 0 || (kind == surbl.Form || kind == surbl.Base) && !bytes.Contains(text, []byte("://")) {
		return // a file beside this one
	}
	s.links = append(s.links, link{bytes.Clone(text), kind})
}

// indirect takes the wanted objects that are strings: "12 0 obj (…)".
func (s *scanner) indirect(b []byte) {
	for i := 0; ; {
		n := bytes.Index(b[i:], []byte("obj"))
		if n < 0 {
			return
		}
		i += n
		number, ok := numberBefore(b, i)
		i += len("obj")
		kind := s.wanted[number]
		if !ok || kind == 0 {
			continue
		}
		if !s.object() {
			return
		}
		if _, ok := s.read(b, skipSpace(b, i), kind); !ok {
			return
		}
	}
}

// table takes the wanted objects of an object stream that are strings (section
// 7.5.7): pairs of a number and a place come first.
func (s *scanner) table(content []byte, st *stream) {
	for i := 0; i < min(st.first, len(content)); {
		var pair [2]int
		for j := range pair {
			if i = skipSpace(content, i); i == len(content) || !digit(content[i]) {
				return
			}
			pair[j], i = readNumber(content, i)
		}
		kind := s.wanted[pair[0]]
		if kind == 0 || st.first+pair[1] >= len(content) {
			continue
		}
		if !s.object() {
			return
		}
		if _, ok := s.read(content, skipSpace(content, st.first+pair[1]), kind); !ok {
			return
		}
	}
}

// plain reports whether text can be read in spite of an encryption: what is
// encrypted looks like noise.
func plain(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return bytes.Contains(text, []byte("://")) || bytes.HasPrefix(text, []byte("mailto:"))
}
