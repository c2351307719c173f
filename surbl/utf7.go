package surbl

import (
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/transform"
)

// isUTF7 reports whether a character set, in lower case, is UTF-7, which the
// index of encodings for the web leaves out because browsers must not read it.
// Mail clients do.
func isUTF7(name string) bool {
	switch name {
	case "utf-7", "utf7", "unicode-1-1-utf-7", "csunicode11utf7", "x-unicode-2-0-utf-7":
		return true
	}
	return false
}

// utf7 decodes UTF-7 (RFC 2152). What is none stays as it is.
type utf7 struct {
	shifted bool // behind a "+"
	empty   bool // which nothing followed yet
	bits    uint32
	n       int  // valid bits, the lowest
	high    rune // first half of a surrogate pair, 0 for none
}

var _ transform.Transformer = (*utf7)(nil)

func (u *utf7) Reset() { *u = utf7{} }

func (u *utf7) Transform(dst, src []byte, _ bool) (nDst, nSrc int, err error) {
	for ; nSrc < len(src); nSrc++ {
		if len(dst)-nDst < 2*utf8.UTFMax {
			return nDst, nSrc, transform.ErrShortDst
		}
		c := src[nSrc]
		switch {
		case !u.shifted && c == '+':
			*u = utf7{shifted: true, empty: true}
		case !u.shifted:
			dst[nDst] = c
			nDst++
		case letter64(c):
			u.empty = false
			u.bits, u.n = u.bits<<6|uint32(value64(c)), u.n+6
			if u.n >= 16 {
				u.n -= 16
				nDst += u.unit(dst[nDst:], rune(u.bits>>u.n&0xffff))
			}
		case c == '-' && u.empty:
			dst[nDst] = '+'
			nDst++
			*u = utf7{}
		case c == '-':
			*u = utf7{}
		default:
			*u = utf7{}
			dst[nDst] = c
			nDst++
		}
	}
	return nDst, nSrc, nil
}

// unit writes the character that a unit of UTF-16 ends, if it ends one.
func (u *utf7) unit(dst []byte, r rune) int {
	high := u.high
	u.high = 0
	if utf16.IsSurrogate(r) {
		if high == 0 && r < 0xdc00 {
			u.high = r
			return 0
		}
		r = utf16.DecodeRune(high, r)
	}
	return utf8.EncodeRune(dst, r)
}
