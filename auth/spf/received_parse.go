package spf

import (
	"errors"
	"net/netip"
	"strings"
)

// maxField bounds the value of a field that is parsed, in octets.
const maxField = 8 << 10

var errField = errors.New("spf: malformed Received-SPF field")

// ParseReceived reads the value of a Received-SPF field, folded or not. Words of
// any case are known; keys that are not are skipped, a known key given twice is
// an error. The caller knows which fields are its own: anybody can write one.
func ParseReceived(value string) (Received, error) {
	var r Received
	if len(value) > maxField {
		return r, errors.New("spf: Received-SPF field too long")
	}
	p := &fieldReader{rest: value}
	if _, ok := p.space(); !ok {
		return r, errField
	}
	r.Result = Result(strings.ToLower(p.word()))
	if !known(r.Result) {
		return Received{}, errField
	}
	comment, ok := p.space()
	if !ok {
		return Received{}, errField
	}
	r.Comment = comment
	seen := make(map[string]bool)
	for p.rest != "" {
		key, val, ok := p.pair()
		if !ok || seen[key] && r.has(key) {
			return Received{}, errField
		}
		seen[key] = true
		if err := r.set(key, val); err != nil {
			return Received{}, err
		}
	}
	return r, nil
}

// has reports whether key is one of the field's own.
func (*Received) has(key string) bool {
	switch key {
	case "client-ip", "envelope-from", "helo", "identity", "mechanism", "problem", "receiver":
		return true
	}
	return false
}

func (r *Received) set(key, value string) (err error) {
	switch key {
	case "client-ip":
		if r.ClientIP, err = netip.ParseAddr(value); err != nil || r.ClientIP.Zone() != "" {
			return errField
		}
		r.ClientIP = r.ClientIP.Unmap()
	case "envelope-from":
		r.EnvelopeFrom = value
	case "helo":
		r.Helo = value
	case "identity":
		r.Identity = Identity(strings.ToLower(value))
	case "mechanism":
		r.Mechanism = value
	case "problem":
		r.Problem = value
	case "receiver":
		r.Receiver = value
	}
	return nil
}

// fieldReader goes through the value of a field.
type fieldReader struct{ rest string }

// space skips white space, folds and comments. It returns the text of the first
// comment. ok is false for a comment without an end and for a line end that is
// no fold.
func (p *fieldReader) space() (comment string, ok bool) {
	first := true
	for p.rest != "" {
		switch c := p.rest[0]; {
		case c == ' ' || c == '\t':
			p.rest = p.rest[1:]
		case strings.HasPrefix(p.rest, "\r\n ") || strings.HasPrefix(p.rest, "\r\n\t"):
			p.rest = p.rest[2:]
		case p.rest == "\r\n":
			p.rest = ""
		case c == '(':
			text, ok := p.comment()
			if !ok {
				return "", false
			}
			if first {
				comment, first = text, false
			}
		default:
			return comment, true
		}
	}
	return comment, true
}

// comment reads a comment, with those in it (RFC 5322, section 3.2.2).
func (p *fieldReader) comment() (string, bool) {
	var text strings.Builder
	depth := 0
	for i := 0; i < len(p.rest); i++ {
		c := p.rest[i]
		switch {
		case c == '(':
			if depth++; depth == 1 {
				continue
			}
		case c == ')':
			if depth--; depth == 0 {
				p.rest = p.rest[i+1:]
				return text.String(), true
			}
		case c == '\\' && i+1 < len(p.rest):
			i++
			c = p.rest[i]
		}
		if c == '\r' || c == '\n' {
			continue
		}
		text.WriteByte(c)
	}
	return "", false
}

// word reads up to what ends a word outside quotes.
func (p *fieldReader) word() string {
	i := strings.IndexAny(p.rest, " \t\r\n();=\"")
	if i < 0 {
		i = len(p.rest)
	}
	word := p.rest[:i]
	p.rest = p.rest[i:]
	return word
}

// pair reads one key and value, and the semicolon behind it.
func (p *fieldReader) pair() (key, value string, ok bool) {
	key = strings.ToLower(p.word())
	if _, ok = p.space(); !ok || !isName(key) || !strings.HasPrefix(p.rest, "=") {
		return "", "", false
	}
	p.rest = p.rest[1:]
	if _, ok = p.space(); !ok {
		return "", "", false
	}
	if strings.HasPrefix(p.rest, `"`) {
		value, ok = p.quoted()
	} else {
		value = p.bare()
		ok = value != ""
	}
	if !ok {
		return "", "", false
	}
	if _, ok = p.space(); !ok {
		return "", "", false
	}
	if p.rest == "" {
		return key, value, true
	}
	if p.rest[0] != ';' {
		return "", "", false
	}
	p.rest = p.rest[1:]
	_, ok = p.space()
	return key, value, ok
}

// bare reads a value without quotes. Other implementations leave addresses,
// such as "ann@example.org" and "2001:db8::1", so, and "=" is of a dot-atom.
func (p *fieldReader) bare() string {
	i := strings.IndexAny(p.rest, " \t\r\n();\"")
	if i < 0 {
		i = len(p.rest)
	}
	value := p.rest[:i]
	p.rest = p.rest[i:]
	return value
}

// quoted reads a quoted string (RFC 5322, section 3.2.4) and unfolds it.
func (p *fieldReader) quoted() (string, bool) {
	var text strings.Builder
	for i := 1; i < len(p.rest); i++ {
		c := p.rest[i]
		switch {
		case c == '"':
			p.rest = p.rest[i+1:]
			return text.String(), true
		case c == '\\' && i+1 < len(p.rest):
			i++
			c = p.rest[i]
		}
		if c == '\r' || c == '\n' {
			continue
		}
		text.WriteByte(c)
	}
	return "", false
}
