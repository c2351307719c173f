package surbl

import (
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

// scripts reports what is suspicious about the letters of a name in A-labels:
// a label that mixes scripts nobody writes together (UTS #39, section 5.2,
// "highly restrictive"), or one wholly of letters that look like Latin ones.
func scripts(name string) (h Hidden) {
	for label := range strings.SplitSeq(name, ".") {
		if !strings.HasPrefix(label, "xn--") {
			continue
		}
		u, err := idna.Punycode.ToUnicode(label)
		if err != nil {
			continue
		}
		var latin, east, other, others bool
		var first *unicode.RangeTable
		alike := true
		for _, r := range u {
			if r < 0x80 {
				latin = latin || r >= 'a' && r <= 'z'
				alike = alike && (r < 'a' || r > 'z')
				continue
			}
			if !strings.ContainsRune(lookalikes, r) {
				alike = false
			}
			switch {
			case unicode.Is(unicode.Latin, r):
				latin = true
			case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo):
				east = true
			case unicode.In(r, unicode.Common, unicode.Inherited):
			case first != nil && unicode.Is(first, r):
			default:
				others = others || other
				other = true
				first = scriptOf(r)
			}
		}
		if other && (latin || east || others) {
			h |= MixedScript
		}
		if other && alike && !latin {
			h |= Lookalike
		}
	}
	return h
}

// scriptOf is the script of a letter.
func scriptOf(r rune) *unicode.RangeTable {
	for _, t := range [...]*unicode.RangeTable{unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Hebrew, unicode.Arabic,
		unicode.Cherokee, unicode.Georgian, unicode.Devanagari, unicode.Thai} {
		if unicode.Is(t, r) {
			return t
		}
	}
	for _, t := range unicode.Scripts {
		if unicode.Is(t, r) {
			return t
		}
	}
	return nil
}

// lookalikes are letters of other scripts that can hardly be told from Latin
// ones in most typefaces (UTS #39, confusables.txt).
const lookalikes = "асԁеһіјӏќԛорգԝхуѕьвкмнтгԍ" + "αβγεικνορυωχ" + "օոսհցզյ" + "0123456789-"
