package pdf

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// space reports whether c is white space (section 7.2.2).
func space(c byte) bool {
	return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f' || c == 0
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// regular reports whether c goes on in a name or keyword.
func regular(c byte) bool {
	return !space(c) && bytes.IndexByte([]byte("()<>[]{}/%"), c) < 0
}

// maxSpace bounds what stands between a key and its value, comments included.
const maxSpace = 1 << 10

// skipSpace returns where white space and comments end that begin at i.
func skipSpace(b []byte, i int) int {
	for limit := min(len(b), i+maxSpace); i < limit; {
		switch {
		case space(b[i]):
			i++
		case b[i] == '%':
			for i < limit && b[i] != '\n' && b[i] != '\r' {
				i++
			}
		default:
			return i
		}
	}
	return i
}

// readName reads the name behind the "/" before i, with its escapes undone
// (section 7.3.5).
func readName(b []byte, i int) (name []byte, end int) {
	begin := i
	for i < len(b) && i-begin < maxName && regular(b[i]) {
		i++
	}
	name = b[begin:i]
	if bytes.IndexByte(name, '#') < 0 {
		return name, i
	}
	var out []byte
	for j := 0; j < len(name); j++ {
		if name[j] == '#' && j+2 < len(name) && unhex(name[j+1]) < 16 && unhex(name[j+2]) < 16 {
			out = append(out, unhex(name[j+1])<<4|unhex(name[j+2]))
			j += 2
			continue
		}
		out = append(out, name[j])
	}
	return out, i
}

// readNumber reads the digits at i; what is beyond all documents is the largest.
func readNumber(b []byte, i int) (n, end int) {
	for ; i < len(b) && digit(b[i]); i++ {
		n = min(n*10+int(b[i]-'0'), 1<<30)
	}
	return n, i
}

// readReference reads "12 0 R" at i (section 7.3.10). end is how far it looked.
func readReference(b []byte, i int) (number, end int, ok bool) {
	number, i = readNumber(b, i)
	i = skipSpace(b, i)
	if i == len(b) || !digit(b[i]) {
		return 0, i, false
	}
	_, i = readNumber(b, i)
	i = skipSpace(b, i)
	return number, i, i < len(b) && b[i] == 'R'
}

// numberBefore reads "12 0 " before the "obj" at i.
func numberBefore(b []byte, i int) (number int, ok bool) {
	i = backSpace(b, i)
	generation := i
	for i > 0 && generation-i < 10 && digit(b[i-1]) {
		i--
	}
	at := backSpace(b, i)
	if i == generation || at == i {
		return 0, false
	}
	begin := at
	for begin > 0 && at-begin < 10 && digit(b[begin-1]) {
		begin--
	}
	number, _ = readNumber(b[:at], begin)
	return number, begin < at
}

func backSpace(b []byte, i int) int {
	for limit := max(0, i-16); i > limit && space(b[i-1]); {
		i--
	}
	return i
}

// readString appends the string at i, in parentheses (section 7.3.4.2) or
// hexadecimal (7.3.4.3). end is 0 where there is none, or b ends first.
func readString(dst, b []byte, i int) (text []byte, end int) {
	if i >= len(b) {
		return dst, 0
	}
	switch {
	case b[i] == '(':
		return readLiteral(dst, b, i+1)
	case b[i] == '<' && i+1 < len(b) && b[i+1] != '<':
		high, half := byte(0), false
		for i++; i < len(b); i++ {
			switch d := unhex(b[i]); {
			case b[i] == '>':
				if half {
					dst = append(dst, high)
				}
				return dst, i + 1
			case d > 15: // not a digit: skipped, as viewers do
			case half:
				dst, half = append(dst, high|d), false
			default:
				high, half = d<<4, true
			}
		}
	}
	return dst, 0
}

func readLiteral(dst, b []byte, i int) (text []byte, end int) {
	for depth := 1; i < len(b); i++ {
		c := b[i]
		switch c {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return dst, i + 1
			}
		case '\\':
			if i++; i == len(b) {
				return dst, 0
			}
			switch c = b[i]; {
			case c >= '0' && c <= '7':
				n := 0
				for j := 0; j < 3 && i < len(b) && b[i] >= '0' && b[i] <= '7'; j++ {
					n = n<<3 | int(b[i]-'0')
					i++
				}
				i--
				c = byte(n)
			case c == '\r' || c == '\n': // the string goes on in the next line
				if c == '\r' && i+1 < len(b) && b[i+1] == '\n' {
					i++
				}
				continue
			default:
				if at := bytes.IndexByte([]byte("nrtbf"), c); at >= 0 {
					c = "\n\r\t\b\f"[at]
				}
			}
		}
		dst = append(dst, c)
	}
	return dst, 0
}

// decode turns a text string into UTF-8: its first octets say whether it is in
// UTF-16 (section 7.9.2.2) or, since PDF 2.0, UTF-8. Links are of ASCII, in which
// the other encodings agree.
func decode(b []byte) []byte {
	var big bool
	switch {
	case bytes.HasPrefix(b, []byte("\xef\xbb\xbf")):
		return b[3:]
	case bytes.HasPrefix(b, []byte("\xfe\xff")):
		big = true
	case !bytes.HasPrefix(b, []byte("\xff\xfe")):
		return b
	}
	units := make([]uint16, 0, len(b)/2)
	for b = b[2:]; len(b) >= 2; b = b[2:] {
		if big {
			units = append(units, uint16(b[0])<<8|uint16(b[1]))
		} else {
			units = append(units, uint16(b[1])<<8|uint16(b[0]))
		}
	}
	var out []byte
	for _, r := range utf16.Decode(units) {
		out = utf8.AppendRune(out, r)
	}
	return out
}

// unhex is the value of a hexadecimal digit, 255 for what is none.
func unhex(c byte) byte {
	switch {
	case digit(c):
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 255
}
