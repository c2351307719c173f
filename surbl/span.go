package surbl

import (
	"unicode"
	"unicode/utf8"
)

// maxRun bounds a host as written: 253 octets in A-labels may be more in
// percent encoding.
const maxRun = 1024

// hostEnd is the end of the host that begins at i; dots and hyphens at its end
// are not part of it. odd is for a host behind a scheme, where more may stand:
// percent encoding, dots beyond ASCII.
func hostEnd(b []byte, i int, odd bool) int {
	end, _ := hostSpan(b, i, odd)
	return end
}

// hostSpan is hostEnd, and how far was looked to know.
func hostSpan(b []byte, i int, odd bool) (end, seen int) {
	end = i
	for limit := min(len(b), i+maxRun); i < limit; {
		switch c := b[i]; {
		case classes[c]&label != 0:
			i++
			if c != '-' {
				end = i
			}
		case c == '.':
			if i+1 < len(b) && b[i+1] == '.' {
				return end, i
			}
			i++
		case odd && c == '%' && i+2 < len(b) && unhex(b[i+1]) < 16 && unhex(b[i+2]) < 16:
			i += 3
			end = i
		case c < utf8.RuneSelf:
			return end, i
		default:
			r, n := utf8.DecodeRune(b[i:])
			if !hostRune(r) && !(odd && dotRune(r)) {
				return end, i
			}
			i += n
			if !dotRune(r) && !invisible(r) || odd {
				end = i
			}
		}
	}
	return end, i
}

// hostBegin is the beginning of the host that ends before i.
func hostBegin(b []byte, floor, i int) int {
	floor = max(floor, i-maxRun)
	begin := i
	for i > floor {
		switch c := b[i-1]; {
		case classes[c]&label != 0:
			i--
			if c != '-' && c != '_' {
				begin = i
			}
		case c == '.':
			if i > floor+1 && b[i-2] == '.' {
				return begin
			}
			i--
		case c < utf8.RuneSelf:
			return begin
		default:
			r, n := utf8.DecodeLastRune(b[floor:i])
			if !hostRune(r) {
				return begin
			}
			i -= n
			if !invisible(r) {
				begin = i
			}
		}
	}
	return begin
}

func dotRune(r rune) bool { return r == 0x3002 || r == 0xff61 || r == 0xff0e }

// hostRune reports whether r stands in hosts as people write them: letters,
// symbols that some domains have, and what is not seen.
func hostRune(r rune) bool {
	return r != utf8.RuneError && r >= utf8.RuneSelf && (unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.So) || invisible(r))
}
