package address

import "strings"

// view is what a reader has of a text: whether an octet stands outside quoted
// strings and comments.
type view struct {
	blind  bool // to backslashes
	quoted bool
	depth  int
	escape bool // the next octet is quoted by a backslash
}

// outside takes the next octet, and reports whether it stands outside.
func (v *view) outside(c byte) bool {
	inside := v.quoted || v.depth > 0
	switch {
	case v.escape:
		v.escape = false
	case inside && c == '\\':
		v.escape = !v.blind
	case v.depth == 0 && c == '"':
		v.quoted = !v.quoted
	case !v.quoted && c == '(':
		v.depth++
	case v.depth > 0 && c == ')':
		v.depth--
	default:
		return !inside
	}
	return false
}

// plainly reports whether a reader who takes no notice of backslashes sees no
// address that is quoted to others: `"a\" <x@y.example>, \"" <z@y.example>`.
func plainly(text string) bool {
	if strings.IndexByte(text, '\\') < 0 {
		return true
	}
	var reader view
	careless := view{blind: true}
	for i := 0; i < len(text); i++ {
		c := text[i]
		if seen, taken := reader.outside(c), careless.outside(c); taken && !seen && (c == '@' || c == '<') {
			return false
		}
	}
	return true
}
