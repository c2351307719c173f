package authres

import (
	"strings"
	"unicode/utf8"
)

// scanner goes through the value of a field.
type scanner struct{ rest string }

// space skips white space, folds and comments (CFWS; RFC 5322, section 3.2.2). It
// is false for a comment without an end, and for a line end that is no fold.
func (s *scanner) space() bool {
	for s.rest != "" {
		switch c := s.rest[0]; {
		case c == ' ' || c == '\t':
			s.rest = s.rest[1:]
		case c == '\r' || c == '\n':
			after := strings.TrimPrefix(strings.TrimPrefix(s.rest, "\r"), "\n")
			if after != "" && after[0] != ' ' && after[0] != '\t' {
				return false
			}
			s.rest = after
		case c == '(':
			if !s.comment() {
				return false
			}
		default:
			return true
		}
	}
	return true
}

// comment skips a comment, with those in it.
func (s *scanner) comment() bool {
	depth := 0
	for i := 0; i < len(s.rest); i++ {
		switch s.rest[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				s.rest = s.rest[i+1:]
				return true
			}
		}
	}
	return false
}

// take skips c, and white space around it. It is false if c does not come next.
func (s *scanner) take(c byte) bool {
	if !s.space() || s.rest == "" || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return s.space()
}

// maxKeyword bounds a keyword, so that none makes a line too long; registered ones
// have 20 octets at most.
const maxKeyword = 64

// keyword reads a Keyword (RFC 5321, section 4.1.2), in lower case; "" is none, or
// one that is too long. Real fields have underscores too.
func (s *scanner) keyword() string {
	i := 0
	for i < len(s.rest) && isKeyword(s.rest[i]) {
		i++
	}
	if i > maxKeyword {
		return ""
	}
	word := strings.ToLower(s.rest[:i])
	s.rest = s.rest[i:]
	return word
}

func isKeyword(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// number reads 1*DIGIT.
func (s *scanner) number() (n int, ok bool) {
	for s.rest != "" && s.rest[0] >= '0' && s.rest[0] <= '9' {
		n, ok = min(n*10+int(s.rest[0]-'0'), 1<<20), true // no such version ever
		s.rest = s.rest[1:]
	}
	return n, ok
}

// value reads a token or a quoted string (RFC 2045, section 5.1). except are the
// octets outside quotes that end it, besides white space and what means
// something everywhere.
func (s *scanner) value(except string) (text string, ok bool) {
	if strings.HasPrefix(s.rest, `"`) {
		return s.quoted()
	}
	i := 0
	for i < len(s.rest) && s.rest[i] > ' ' && s.rest[i] != 0x7f && strings.IndexByte(`;()"\`, s.rest[i]) < 0 && strings.IndexByte(except, s.rest[i]) < 0 {
		i++
	}
	text, s.rest = s.rest[:i], s.rest[i:]
	return text, text != "" && utf8.ValidString(text)
}

// quoted reads a quoted string (RFC 5322, section 3.2.4), unfolded.
func (s *scanner) quoted() (string, bool) {
	var text strings.Builder
	for i := 1; i < len(s.rest); i++ {
		c := s.rest[i]
		switch {
		case c == '"':
			s.rest = s.rest[i+1:]
			return text.String(), utf8.ValidString(text.String())
		case c == '\\' && i+1 < len(s.rest):
			i++
			c = s.rest[i]
		}
		switch {
		case c == '\r' || c == '\n':
			// The white space behind a fold stays.
		case c < ' ' && c != '\t' || c == 0x7f:
			return "", false
		default:
			text.WriteByte(c)
		}
	}
	return "", false
}
