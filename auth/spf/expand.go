package spf

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxExpanded bounds an expansion in octets, of which a name needs the last 254
// and an explanation the first 450.
const maxExpanded = 8 << 10

// target returns the name a term is about, with its trailing dot, name being
// the current domain. ok is false where there is none that could be asked for:
// such a term does not match (RFC 7208, section 4.8).
func (e *evaluation) target(s *spec, name string) (_ string, ok bool) {
	switch {
	case s == nil:
		return name, true
	case s.parts == nil:
		return s.constant, s.valid
	}
	text, ok := e.expand(s.parts, name, true)
	if !ok {
		return "", false
	}
	return rooted(text)
}

// expand replaces the macros of parts (section 7). For a domain it fails on a
// local part outside ASCII, which names cannot carry (RFC 8616, section 4). An
// expansion that grows too long loses its left end as a domain, else its right.
func (e *evaluation) expand(parts []part, name string, forDomain bool) (_ string, ok bool) {
	buf := make([]byte, 0, 256)
	for i := range parts {
		p := &parts[i]
		if p.letter == 0 {
			buf = append(buf, p.literal...)
		} else {
			if forDomain && (p.letter == 's' || p.letter == 'l') && !isASCII(e.local) {
				return "", false
			}
			buf = p.append(buf, e.macro(p.letter, name))
		}
		if len(buf) > maxExpanded {
			if !forDomain {
				break
			}
			// Two more than a name has: a dot before it, and one behind.
			buf = slices.Delete(buf, 0, len(buf)-maxName-2)
		}
	}
	return string(buf), true
}

// macro returns the value of a macro letter (section 7.2).
func (e *evaluation) macro(letter byte, name string) string {
	switch letter {
	case 's':
		return e.sender
	case 'l':
		return e.local
	case 'o':
		return e.origin
	case 'd':
		return unrooted(name)
	case 'i':
		return dotted(e.client)
	case 'p':
		return e.validatedName(name)
	case 'v':
		if e.client.Is4() {
			return "in-addr"
		}
		return "ip6"
	case 'h':
		return e.helo
	case 'c':
		return e.client.String()
	case 'r':
		return e.checker.receiver
	default: // 't'
		return strconv.FormatInt(time.Now().Unix(), 10)
	}
}

// append transforms value as the macro says (section 7.3) and appends it: it is
// split at the delimiters, reversed, cut to its rightmost parts, joined by dots
// and escaped.
func (p *part) append(buf []byte, value string) []byte {
	if p.delims != "" || p.reverse || p.digits > 0 {
		delims := p.delims
		if delims == "" {
			delims = "."
		}
		fields := splitAny(value, delims)
		if p.reverse {
			slices.Reverse(fields)
		}
		if p.digits > 0 && len(fields) > p.digits {
			fields = fields[len(fields)-p.digits:]
		}
		value = strings.Join(fields, ".")
	}
	if !p.escape {
		return append(buf, value...)
	}
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(value); i++ {
		c := value[i]
		if isAlpha(c) || isDigit(c) || strings.IndexByte("-._~", c) >= 0 {
			buf = append(buf, c)
		} else {
			buf = append(buf, '%', hex[c>>4], hex[c&15])
		}
	}
	return buf
}

// splitAny splits at each of delims; empty parts stay (section 7.3).
func splitAny(s, delims string) []string {
	var fields []string
	for {
		i := strings.IndexAny(s, delims)
		if i < 0 {
			return append(fields, s)
		}
		fields = append(fields, s[:i])
		s = s[i+1:]
	}
}

// dotted returns addr for %{i}: a dotted quad, or all nibbles of an IPv6
// address with dots between them (section 7.4), in upper case as the suites have
// it; names do not care.
func dotted(addr netip.Addr) string {
	if addr.Is4() {
		return addr.String()
	}
	const hex = "0123456789ABCDEF"
	buf := make([]byte, 0, 63)
	for i, b := range addr.As16() {
		if i > 0 {
			buf = append(buf, '.')
		}
		buf = append(buf, hex[b>>4], '.', hex[b&15])
	}
	return string(buf)
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// unrooted returns a name without its trailing dot.
func unrooted(name string) string { return strings.TrimSuffix(name, ".") }
