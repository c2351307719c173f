// Package address reads the addresses of a header field, conservatively: what
// two readers could take for different addresses is an error.
//
//	list, err := address.List(`"Ann" <ann@example.org>, bob@example.net`)
//
// It reads the mailbox-list of RFC 5322, section 3.4, with the UTF-8 of RFC 6532,
// encoded words (RFC 2047) in display names, and the old habits of a comment
// beside an address (its text is then taken for a display name) and of dots in
// a display name. Groups, routes, empty elements, white space and comments inside
// an address, nested comments and everything else that is obsolete are errors.
package address

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Mailbox is one address of a field.
type Mailbox struct {
	Name   string // what a reader is shown: display name and comments, decoded, on one line
	Local  string // left of the '@', without quotes
	Domain string // right of it as written; a literal in brackets
	Quoted bool   // the local part needs quotes
}

// Bounds of what List reads, beyond which it fails.
const (
	MaxOctets    = 16 << 10
	MaxMailboxes = 50
)

var (
	errLong      = errors.New("address: field too long")
	errMany      = errors.New("address: too many addresses")
	errOctets    = errors.New("address: control characters, bare line ends or invalid UTF-8")
	errEmpty     = errors.New("address: no address, or an empty one in the list")
	errUnclosed  = errors.New("address: quotes, comment or brackets without an end")
	errNested    = errors.New("address: comment in a comment")
	errSpecial   = errors.New("address: a group, a route or another character that needs quotes")
	errNoAddress = errors.New("address: words without an address")
	errTrailing  = errors.New("address: words behind an address")
	errSpec      = errors.New("address: neither local part nor domain around the '@'")
	errLocal     = errors.New("address: malformed local part")
	errDomain    = errors.New("address: malformed domain")
	errCharset   = errors.New("address: encoded word in a character set that hides its text")
	errEscape    = errors.New("address: an address in quotes or a comment that ends there for who takes no notice of backslashes")
	errHidden    = errors.New("address: an address in quotes, or brackets in a comment, beside other words")
	errOrder     = errors.New("address: characters that change the order in which an address is shown")
)

// List reads the value of a field, with its folds. It returns at least one
// mailbox, or an error.
func List(value string) ([]Mailbox, error) {
	if len(value) > MaxOctets {
		return nil, errLong
	}
	text, err := unfold(value)
	if err != nil {
		return nil, err
	}
	if !plainly(text) {
		return nil, errEscape
	}
	p := &parser{rest: text}
	var list []Mailbox
	for {
		m, err := p.mailbox()
		if err != nil {
			return nil, err
		}
		if list = append(list, m); len(list) > MaxMailboxes {
			return nil, errMany
		}
		if p.rest == "" {
			return list, nil
		}
		p.rest = p.rest[1:] // the comma
	}
}

// unfold puts value on one line (RFC 5322, section 2.2.3).
func unfold(value string) (string, error) {
	value = strings.ReplaceAll(strings.ReplaceAll(value, "\r\n ", " "), "\r\n\t", "\t")
	if !utf8.ValidString(value) {
		return "", errOctets
	}
	for _, r := range value {
		if r != '\t' && unicode.IsControl(r) {
			return "", errOctets
		}
	}
	return value, nil
}

// parser goes through the text of a field.
type parser struct{ rest string }

// words are what is shown of a mailbox, as written but without quotes.
type words []string

// mailbox reads one mailbox and what is beside it, up to a comma or the end.
func (p *parser) mailbox() (m Mailbox, err error) {
	var shown words
	found := false
	hidden := false // what some take for an address who put words together without their quotes
	for {
		p.rest = strings.TrimLeft(p.rest, " \t")
		switch {
		case p.rest == "" || p.rest[0] == ',':
			if !found && len(shown) > 0 {
				return m, errNoAddress
			} else if !found {
				return m, errEmpty
			} else if hidden && len(shown) > 1 {
				return m, errHidden
			}
			m.Name, err = decode(shown)
			return m, err
		case p.rest[0] == '(':
			text, err := p.comment()
			if err != nil {
				return m, err
			}
			shown, hidden = append(shown, text), hidden || strings.Contains(text, "<")
			continue
		case found:
			return m, errTrailing
		case p.rest[0] == '<':
			p.rest = p.rest[1:]
			if err = p.spec(&m); err == nil && !strings.HasPrefix(p.rest, ">") {
				err = errSpec
			}
			if err != nil {
				return m, err
			}
			p.rest, found = p.rest[1:], true
			continue
		}
		if p.bare() {
			if len(shown) > 0 {
				return m, errSpecial // words before an address without brackets
			}
			if err := p.spec(&m); err != nil {
				return m, err
			}
			found = true
			continue
		}
		text, err := p.word() // in quotes, or it has neither bracket nor '@'
		if err != nil {
			return m, err
		}
		shown, hidden = append(shown, text), hidden || strings.ContainsAny(text, "<@")
	}
}

// bare reports whether an address without brackets begins here: a word, and an
// '@' right behind it.
func (p *parser) bare() bool {
	ahead := *p
	if _, err := ahead.word(); err != nil {
		return false
	}
	return strings.HasPrefix(ahead.rest, "@")
}

// word reads a quoted string, or an atom with dots.
func (p *parser) word() (string, error) {
	if p.rest != "" && p.rest[0] == '"' {
		return p.quoted()
	}
	n := strings.IndexFunc(p.rest, func(r rune) bool { return !isText(r) && r != '.' })
	if n < 0 {
		n = len(p.rest)
	}
	if n == 0 {
		return "", errSpecial
	}
	text := p.rest[:n]
	p.rest = p.rest[n:]
	return text, nil
}

// isText reports whether r may stand in an atom (RFC 5322, section 3.2.3; RFC
// 6532, section 3.2).
func isText(r rune) bool {
	return r > ' ' && r != 0x7f && !strings.ContainsRune(`()<>[]:;@\,."`, r)
}

// quoted reads a quoted string, which begins here.
func (p *parser) quoted() (string, error) { return p.enclosed('"', `"`) }

// comment reads a comment, which begins here.
func (p *parser) comment() (string, error) { return p.enclosed(')', `()`) }

// enclosed reads up to end, without the backslashes that quote; none of special
// may stand inside unquoted.
func (p *parser) enclosed(end byte, special string) (string, error) {
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == end:
			p.rest = p.rest[i+1:]
			return b.String(), nil
		case c == '\\':
			if i++; i == len(p.rest) {
				return "", errUnclosed
			}
			b.WriteByte(p.rest[i])
		case strings.IndexByte(special, c) >= 0:
			return "", errNested
		default:
			b.WriteByte(c)
		}
	}
	return "", errUnclosed
}

// spec reads an address (RFC 5322, section 3.4.1) without white space or
// comments, which begins here.
func (p *parser) spec(m *Mailbox) error {
	quoted := strings.HasPrefix(p.rest, `"`)
	local, err := p.word()
	if err != nil {
		return errSpec
	}
	m.Local, m.Quoted = local, !dotAtom(local)
	switch {
	case strings.ContainsFunc(local, reorders):
		return errOrder
	case strings.ContainsAny(local, `@<>\"`):
		return errLocal // legal in quotes, and to many readers an address of its own
	}
	if !strings.HasPrefix(p.rest, "@") {
		return errSpec
	}
	if m.Quoted && !quoted {
		return errLocal
	}
	p.rest = p.rest[1:]
	if strings.HasPrefix(p.rest, "[") {
		n := strings.IndexByte(p.rest, ']') + 1
		if n == 0 || strings.ContainsFunc(p.rest[1:n-1], notLiteral) {
			return errDomain
		}
		m.Domain, p.rest = p.rest[:n], p.rest[n:]
		return nil
	}
	if m.Domain, err = p.word(); err != nil || !dotAtom(m.Domain) {
		return errDomain
	}
	return nil
}

// notLiteral reports whether r is in no address literal (RFC 5321, section 4.1.3). RFC
// 5322, section 3.4.1, allows more, and who looks for commas and '@' sees an address in
// it.
func notLiteral(r rune) bool {
	return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune(".:-", r))
}

// reorders reports whether r makes what stands behind it show before it: "moc.knab@"
// can be made to end in bank.com (RFC 5893 keeps such characters out of domains).
func reorders(r rune) bool { return unicode.Is(unicode.Bidi_Control, r) }

// dotAtom reports whether s is atoms with a dot between each two.
func dotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool { return !isText(r) }) {
			return false
		}
	}
	return true
}
