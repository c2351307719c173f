package spf

import (
	"errors"
	"strings"
)

// maxName bounds a name in octets, without its trailing dot (RFC 7208, section
// 7.3).
const maxName = 253

// spec is a parsed domain-spec (section 7.1).
type spec struct {
	term     string // of a modifier: the whole of it, as written
	constant string // the name, with its trailing dot, of a spec without macros
	valid    bool   // whether constant can be asked for
	parts    []part // of a spec with macros
}

// part is a run of literal octets, or a macro.
type part struct {
	literal string
	letter  byte // in lower case; 0 for a literal
	escape  bool // an upper-case letter: URL-escaped
	reverse bool
	digits  int    // how many parts from the right; 0 means all
	delims  string // "" means "."
}

var (
	errMacro    = errors.New("malformed macro")
	errLetter   = errors.New("macro letter that only explanations may have")
	errToplabel = errors.New("domain that ends neither in a top-level label nor in a macro")
	errDigits   = errors.New("macro that keeps zero parts")
)

// parseSpec reads a domain-spec: a macro-string that ends in a macro, or in a
// dot, a top-level label and perhaps another dot.
func parseSpec(text string) (*spec, error) {
	if text == "" {
		return nil, errMissing
	}
	parts, err := parseMacros(text, false)
	if err != nil {
		return nil, err
	}
	if end := text[len(text)-1]; !endsInMacro(parts, text) || end == '.' {
		last := parts[len(parts)-1]
		if last.letter != 0 || !endsInToplabel(last.literal) {
			return nil, errToplabel
		}
	}
	s := &spec{parts: parts}
	if len(parts) == 1 && parts[0].letter == 0 {
		s.constant, s.valid = rooted(parts[0].literal)
		s.parts = nil
	}
	return s, nil
}

// endsInMacro reports whether the last thing in text is a macro-expand: "%%",
// "%_" and "%-" are, though they stand for literal octets.
func endsInMacro(parts []part, text string) bool {
	if parts[len(parts)-1].letter != 0 {
		return true
	}
	if len(text) < 2 || strings.IndexByte("%_-", text[len(text)-1]) < 0 {
		return false
	}
	// "%%" may be the end of "%%%%" or of "%%" and a "%": counting the signs
	// tells, since a bare one does not parse.
	signs := 0
	for i := len(text) - 2; i >= 0 && text[i] == '%'; i-- {
		signs++
	}
	return signs%2 == 1
}

// endsInToplabel reports whether literal ends in "." toplabel [ "." ]: letters,
// digits and inner hyphens, not digits alone.
func endsInToplabel(literal string) bool {
	literal = strings.TrimSuffix(literal, ".")
	i := strings.LastIndexByte(literal, '.')
	if i < 0 {
		return false
	}
	label := literal[i+1:]
	if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	number := true
	for i := 0; i < len(label); i++ {
		switch {
		case isDigit(label[i]):
		case isAlpha(label[i]) || label[i] == '-':
			number = false
		default:
			return false
		}
	}
	return !number
}

// parseMacros reads a macro-string (section 7.1), in explanations with the
// letters c, r and t and with spaces.
func parseMacros(text string, explanation bool) ([]part, error) {
	var parts []part
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			parts = append(parts, part{literal: literal.String()})
			literal.Reset()
		}
	}
	for text != "" {
		i := strings.IndexByte(text, '%')
		if i < 0 {
			i = len(text)
		}
		literal.WriteString(text[:i])
		if text = text[i:]; text == "" {
			break
		}
		if len(text) < 2 {
			return nil, errMacro
		}
		switch text[1] {
		case '%':
			literal.WriteByte('%')
			text = text[2:]
		case '_':
			literal.WriteByte(' ')
			text = text[2:]
		case '-':
			literal.WriteString("%20")
			text = text[2:]
		case '{':
			flush()
			end := strings.IndexByte(text, '}')
			if end < 0 {
				return nil, errMacro
			}
			p, err := parseMacro(text[2:end], explanation)
			if err != nil {
				return nil, err
			}
			parts = append(parts, p)
			text = text[end+1:]
		default:
			return nil, errMacro
		}
	}
	flush()
	return parts, nil
}

// parseMacro reads what stands between "%{" and "}".
func parseMacro(text string, explanation bool) (p part, err error) {
	if text == "" {
		return p, errMacro
	}
	c := text[0]
	p.escape = c >= 'A' && c <= 'Z'
	p.letter = c | 0x20
	switch {
	case !isAlpha(c) || strings.IndexByte("slodiphcrtv", p.letter) < 0:
		return p, errMacro
	case !explanation && strings.IndexByte("crt", p.letter) >= 0:
		return p, errLetter
	}
	text = text[1:]
	i := 0
	for ; i < len(text) && isDigit(text[i]); i++ {
		// Section 7.3 asks for 127 at least; no name has more than a thousand parts.
		p.digits = min(p.digits*10+int(text[i]-'0'), 1000)
	}
	if i > 0 && p.digits == 0 {
		return p, errDigits
	}
	text = text[i:]
	if text != "" && text[0]|0x20 == 'r' {
		p.reverse = true
		text = text[1:]
	}
	for i := 0; i < len(text); i++ {
		if strings.IndexByte(".-+,/_=", text[i]) < 0 {
			return p, errMacro
		}
	}
	p.delims = text
	return p, nil
}

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// rooted returns name with its trailing dot, cut to 253 octets by taking labels
// off its left (section 7.3). ok is false for what cannot be asked for: empty
// labels or labels over 63 octets, which section 4.8 leaves open, octets
// outside printable ASCII, and the backslash, with which some resolvers begin
// an escape.
func rooted(name string) (_ string, ok bool) {
	name = strings.TrimSuffix(name, ".")
	for len(name) > maxName {
		_, rest, found := strings.Cut(name, ".")
		if !found {
			return "", false
		}
		name = rest
	}
	label := 0
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '.':
			if label == 0 {
				return "", false
			}
			label = 0
			continue
		case c < ' ' || c > '~' || c == '\\':
			return "", false
		}
		if label++; label > 63 {
			return "", false
		}
	}
	if label == 0 {
		return "", false
	}
	return name + ".", true
}
