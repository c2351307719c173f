package surbl

import (
	"bytes"
	"html"
	"strings"
	"unicode/utf8"
)

// maxReference bounds a character reference in octets; the longest name has 31.
const maxReference = 40

// decodeReferences appends b with its character references decoded (HTML,
// section 13.5). Numbers need no semicolon, names do: one without may be the
// next parameter of a query.
func decodeReferences(dst, b []byte) []byte {
	for {
		i := bytes.IndexByte(b, '&')
		if i < 0 {
			return append(dst, b...)
		}
		dst, b = append(dst, b[:i]...), b[i:]
		n := 0
		switch {
		case len(b) > 4 && string(b[:5]) == "&amp;":
			dst, n = append(dst, '&'), 5
		case len(b) > 2 && b[1] == '#':
			dst, n = numeric(dst, b)
		default:
			end := bytes.IndexByte(b[:min(len(b), maxReference)], ';')
			if end <= 1 {
				break
			}
			if s := common(b[1:end]); s != "" {
				dst, n = append(dst, s...), end+1
			} else if s := html.UnescapeString(string(b[:end+1])); !strings.HasPrefix(s, "&") && !strings.HasSuffix(s, ";") || s == ";" {
				dst, n = append(dst, s...), end+1
			}
		}
		if n == 0 {
			dst, n = append(dst, '&'), 1
		}
		b = b[n:]
	}
}

// common is the character of a reference that mail is full of, "" for others.
func common(name []byte) string {
	switch string(name) {
	case "nbsp":
		return "\u00a0"
	case "lt":
		return "<"
	case "gt":
		return ">"
	case "quot":
		return `"`
	case "zwnj":
		return "\u200c"
	case "mdash":
		return "\u2014"
	case "ndash":
		return "\u2013"
	case "rsquo":
		return "\u2019"
	case "copy":
		return "\u00a9"
	}
	return ""
}

// numeric appends the character of the numeric reference that b begins with,
// decimal or hexadecimal. n is 0 where it is none.
func numeric(dst, b []byte) (_ []byte, n int) {
	i, base := 2, rune(10)
	if b[i]|0x20 == 'x' {
		i, base = 3, 16
	}
	begin := i
	var r rune
	for i < len(b) && rune(unhex(b[i])) < base {
		if r = r*base + rune(unhex(b[i])); r > utf8.MaxRune {
			r = utf8.MaxRune + 1
		}
		i++
	}
	if i == begin {
		return dst, 0
	}
	if i < len(b) && b[i] == ';' {
		i++
	}
	if r == 0 || r > utf8.MaxRune || r >= 0xd800 && r < 0xe000 {
		r = utf8.RuneError
	}
	return utf8.AppendRune(dst, r), i
}
