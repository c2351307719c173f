package failure

import "strings"

// atext is what an atom may have beside letters and digits (RFC 5322, section
// 3.2.3).
const atext = "!#$%&'*+-/=?^_`{|}~"

// isText reports whether s is of ASCII letters, digits and the characters of
// special, and not empty.
func isText(s, special string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte(special, c) >= 0) {
			return false
		}
	}
	return s != ""
}

// isPrintable reports whether s is of printable ASCII and spaces.
func isPrintable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

const (
	lineLength = 76  // that lines are folded at where they can be
	mostLine   = 990 // RFC 5322, section 2.1.1, has 998
)

// fold returns a field on lines that end with CRLF. A value that is not printable
// ASCII, or can not be folded, is removed.
func fold(name, value string) string {
	var b strings.Builder
	b.WriteString(name)
	b.WriteByte(':')
	column := b.Len()
	for word := range strings.FieldsSeq(value) {
		if len(word) > mostLine || !isPrintable(word) {
			return name + ": " + removed + "\r\n"
		}
		if column+1+len(word) > lineLength && column > len(name)+1 {
			b.WriteString("\r\n")
			column = 0
		}
		b.WriteByte(' ')
		b.WriteString(word)
		column += 1 + len(word)
	}
	b.WriteString("\r\n")
	return b.String()
}
