// Package saslprep prepares logins and passwords, so that two spellings of one
// compare equal as strings.
//
//	s, err := saslprep.Prepare("p\u00adassword") // "password"
//
// It follows RFC 4013, a profile of RFC 3454, for query strings: code points
// that Unicode 3.2 did not know are let through.
package saslprep

import (
	"errors"
	"unicode/utf8"

	"golang.org/x/text/unicode/bidi"
	"golang.org/x/text/unicode/norm"
)

var (
	errUTF8       = errors.New("saslprep: not valid UTF-8")
	errProhibited = errors.New("saslprep: prohibited character")
	errBidi       = errors.New("saslprep: mixed writing directions")
)

// span is a range of code points, both ends included.
type span struct{ first, last rune }

func in(r rune, spans []span) bool {
	for _, s := range spans {
		if r >= s.first && r <= s.last {
			return true
		}
	}
	return false
}

var (
	// spaces are mapped to one that is in ASCII (RFC 3454, table C.1.2).
	spaces = []span{{0x00A0, 0x00A0}, {0x1680, 0x1680}, {0x2000, 0x200B}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}}

	// nothing is what those are mapped to that change no meaning (table B.1).
	nothing = []span{{0x00AD, 0x00AD}, {0x034F, 0x034F}, {0x1806, 0x1806}, {0x180B, 0x180D}, {0x200C, 0x200D}, {0x2060, 0x2060}, {0xFE00, 0xFE0F}, {0xFEFF, 0xFEFF}}

	// prohibited may not remain (RFC 4013, section 2.3; tables C.1.2 to C.9).
	prohibited = []span{
		{0x0000, 0x001F}, {0x007F, 0x00A0}, {0x0340, 0x0341}, {0x06DD, 0x06DD}, {0x070F, 0x070F}, {0x1680, 0x1680}, {0x180E, 0x180E},
		{0x2000, 0x200F}, {0x2028, 0x202F}, {0x205F, 0x2063}, {0x206A, 0x206F}, {0x2FF0, 0x2FFB}, {0x3000, 0x3000},
		{0xD800, 0xF8FF}, {0xFDD0, 0xFDEF}, {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFF}, {0x1D173, 0x1D17A},
		{0xE0001, 0xE0001}, {0xE0020, 0xE007F}, {0xF0000, 0x10FFFF},
	}
)

// Prepare returns s as RFC 4013 wants it compared. The empty string is itself.
func Prepare(s string) (string, error) {
	if plain(s) {
		return s, nil
	}
	if !utf8.ValidString(s) {
		return "", errUTF8
	}
	mapped := make([]rune, 0, len(s))
	for _, r := range s {
		switch {
		case in(r, spaces):
			mapped = append(mapped, ' ')
		case !in(r, nothing):
			mapped = append(mapped, r)
		}
	}
	s = norm.NFKC.String(string(mapped))
	for _, r := range s {
		if in(r, prohibited) || r&0xFFFE == 0xFFFE {
			return "", errProhibited
		}
	}
	return s, direction(s)
}

// plain reports whether s is printable ASCII, which stays as it is.
func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// direction holds s to RFC 3454, section 6: what has a character written from
// right to left begins and ends with one, and has none written otherwise.
func direction(s string) error {
	var right, left, first, last bool
	for i := 0; i < len(s); {
		p, size := bidi.LookupString(s[i:])
		c := p.Class()
		last = c == bidi.R || c == bidi.AL
		if i == 0 {
			first = last
		}
		right = right || last
		left = left || c == bidi.L
		i += size
	}
	if right && (left || !first || !last) {
		return errBidi
	}
	return nil
}
