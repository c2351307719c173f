package report

import (
	"bufio"
	"bytes"
	"strconv"
	"strings"
)

// markup is what a scanner finds.
type markup int

const (
	startTag markup = iota
	endTag
)

// scanner finds the elements of XML, as far as reports need them, in memory that
// does not grow. What is not well formed is taken for text rather than refused:
// reporters put a bare '<' into names and addresses. It knows the character
// references and the five entities that XML has by itself, and no others, so
// that there is nothing to expand.
type scanner struct {
	r     *bufio.Reader
	name  string // of the tag: lower case, without its namespace
	text  []byte // since the last start tag, as written; no more than maxText
	tag   []byte
	close bool // the tag that was found also ends its element
}

// maxTag bounds what is kept of a tag: the name, and not all attributes.
const maxTag = 256

// next goes to the next tag. Its error is io.EOF at the end.
func (s *scanner) next() (markup, error) {
	if s.close {
		s.close = false
		return endTag, nil
	}
	for {
		if err := s.until('<'); err != nil {
			return 0, err
		}
		c, err := s.r.ReadByte()
		if err != nil {
			return 0, err
		}
		switch c {
		case '!':
			err = s.declaration()
		case '?':
			err = s.skip("?>", false)
		default:
			if err = s.r.UnreadByte(); err != nil {
				return 0, err
			}
			var found bool
			if found, err = s.readTag(); found {
				return s.kind(), nil
			}
		}
		if err != nil {
			return 0, err
		}
	}
}

// until keeps text up to end, and goes behind that.
func (s *scanner) until(end byte) error {
	for {
		part, err := s.r.ReadSlice(end)
		s.keep(bytes.TrimSuffix(part, []byte{end}))
		if err != bufio.ErrBufferFull {
			return err
		}
	}
}

func (s *scanner) keep(part []byte) {
	if n := maxText - len(s.text); n > 0 {
		s.text = append(s.text, part[:min(n, len(part))]...)
	}
}

// readTag reads a tag up to its '>', which may stand in quotes before that. At a
// '<' before it, what was read is text, and there is no tag.
func (s *scanner) readTag() (found bool, err error) {
	s.tag = s.tag[:0]
	var quote, last byte
	for {
		c, err := s.r.ReadByte()
		if err != nil {
			return false, err
		}
		switch {
		case c == '<':
			s.keep([]byte("&lt;"))
			s.keep(s.tag)
			return false, s.r.UnreadByte()
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			s.close = last == '/'
			return true, nil
		}
		if last = c; len(s.tag) < maxTag {
			s.tag = append(s.tag, c)
		}
	}
}

// kind tells what the tag is, and takes its name.
func (s *scanner) kind() markup {
	name, ended := strings.CutPrefix(string(s.tag), "/")
	if i := strings.IndexAny(name, " \t\r\n/"); i >= 0 {
		name = name[:i]
	}
	s.name = strings.ToLower(name[strings.LastIndexByte(name, ':')+1:])
	if ended {
		s.close = false
		return endTag
	}
	s.text = s.text[:0]
	return startTag
}

// declaration skips what begins with "<!", but keeps the text of a CDATA section.
func (s *scanner) declaration() error {
	head, err := s.r.Peek(7)
	switch {
	case bytes.HasPrefix(head, []byte("--")):
		_, err = s.r.Discard(2)
		if err == nil {
			err = s.skip("-->", false)
		}
		return err
	case bytes.Equal(head, []byte("[CDATA[")):
		if _, err = s.r.Discard(7); err == nil {
			err = s.skip("]]>", true)
		}
		return err
	case len(head) == 0:
		return err
	}
	depth := 0 // a DOCTYPE may have declarations in brackets
	for {
		c, err := s.r.ReadByte()
		if err != nil {
			return err
		}
		switch c {
		case '[':
			depth++
		case ']':
			depth--
		case '>':
			if depth <= 0 {
				return nil
			}
		}
	}
}

// skip goes behind end. With keep, what stands before it is text that means what
// it says.
func (s *scanner) skip(end string, keep bool) error {
	last := make([]byte, 0, len(end)+1)
	for {
		c, err := s.r.ReadByte()
		if err != nil {
			return err
		}
		if last = append(last, c); len(last) > len(end) {
			if keep {
				s.literal(last[0])
			}
			last = append(last[:0], last[1:]...)
		}
		if string(last) == end {
			return nil
		}
	}
}

func (s *scanner) literal(c byte) {
	if c == '&' {
		s.keep([]byte("&amp;"))
		return
	}
	s.keep([]byte{c})
}

// value is the text since the last start tag: its references resolved, no
// characters that are not UTF-8 or that XML can not have, and no space around.
func (s *scanner) value() string {
	text := strings.ToValidUTF8(string(s.text), "\uFFFD")
	if strings.IndexByte(text, '&') >= 0 {
		text = resolve(text)
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f || r == '\uFEFF' || r == 0xFFFE || r == 0xFFFF {
			return ' '
		}
		return r
	}, text))
}

// resolve puts characters for references. One that is not known stays.
func resolve(text string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "&")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		const longest = len("#x10FFFF;")
		end := strings.IndexByte(after[:min(len(after), longest)], ';')
		r, ok := rune(0), false
		if end >= 0 {
			r, ok = character(after[:end])
		}
		if !ok {
			b.WriteByte('&')
			text = after
			continue
		}
		b.WriteRune(r)
		text = after[end+1:]
	}
}

func character(name string) (rune, bool) {
	switch name {
	case "lt":
		return '<', true
	case "gt":
		return '>', true
	case "amp":
		return '&', true
	case "quot":
		return '"', true
	case "apos":
		return '\'', true
	}
	digits, ok := strings.CutPrefix(name, "#")
	base := 10
	if hex, is := strings.CutPrefix(strings.ToLower(digits), "x"); is {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 21)
	if !ok || err != nil {
		return 0, false
	}
	return rune(n), true // what is no character becomes U+FFFD
}
