// Package domain brings domain names to one normal form, so that two spellings
// of a name compare equal as strings, and tells address literals apart.
//
//	name, err := domain.Normal("BÜCHER.example.") // "xn--bcher-kva.example"
//	addr, ok := domain.Literal("[IPv6:2001:db8::1]")
//
// It follows RFC 1035 and RFC 5321, section 4.1.2, for names, RFC 5890 and
// UTS #46 for internationalized ones, and RFC 5321, section 4.1.3, for
// literals.
package domain

import (
	"errors"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// maxName bounds a name in octets without its trailing dot: 255 on the wire
// (RFC 1035, section 2.3.4), of which the text saves two.
const maxName = 253

// maxLabel bounds a label in octets (RFC 1035, section 2.3.4).
const maxLabel = 63

var (
	errEmpty  = errors.New("domain: empty name or label")
	errLong   = errors.New("domain: name over 253 octets or label over 63")
	errLetter = errors.New("domain: neither letter, digit, hyphen nor underscore")
	errHyphen = errors.New("domain: hyphen at the end of a label")
	errNumber = errors.New("domain: a number for the last label: an address, not a name")
	errIDNA   = errors.New("domain: not a valid internationalized name")
)

// lookup maps as UTS #46 says for lookup, without its transitional forms (as
// browsers and RFC 5891 have it). The letters of ASCII are checked by Normal:
// many real names have underscores, or hyphens in third and fourth place.
var lookup = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(),
	idna.StrictDomainName(false), idna.CheckHyphens(false))

// Normal returns the normal form of name: A-labels in lower case, without the
// trailing dot. It fails on what can not be a host's name, and so on address
// literals, on addresses without brackets and on names whose last label is a
// number, which some resolvers take for an address.
func Normal(name string) (string, error) {
	if len(name) > 4*maxName { // U-labels may be longer than their A-labels
		return "", errLong
	}
	name = trimDot(name)
	if international(name) {
		if !utf8.ValidString(name) {
			return "", errIDNA
		}
		a, err := lookup.ToASCII(name)
		if err != nil {
			return "", errIDNA // the library's error quotes the name
		}
		name = a
	}
	name = strings.ToLower(name)
	if len(name) > maxName {
		return "", errLong
	}
	var last string
	for last = range strings.SplitSeq(name, ".") {
		if err := check(last); err != nil {
			return "", err
		}
	}
	if number(last) {
		return "", errNumber
	}
	return name, nil
}

// trimDot takes the trailing dot off name, or one that UTS #46 maps to a dot.
// It comes before mapping, which can leave an empty last label of its own.
func trimDot(name string) string {
	for _, dot := range []string{".", "\u3002", "\uff0e", "\uff61"} {
		if trimmed, ok := strings.CutSuffix(name, dot); ok {
			return trimmed
		}
	}
	return name
}

// international reports whether name needs mapping: it has octets outside
// ASCII, or may have an A-label.
func international(name string) bool {
	for i := 0; i < len(name); i++ {
		if name[i] >= 0x80 || name[i]|0x20 == 'x' && i+4 <= len(name) && strings.EqualFold(name[i:i+4], "xn--") {
			return true
		}
	}
	return false
}

// check judges a label in lower case.
func check(label string) error {
	switch {
	case label == "":
		return errEmpty
	case len(label) > maxLabel:
		return errLong
	case label[0] == '-' || label[len(label)-1] == '-':
		return errHyphen
	}
	for i := 0; i < len(label); i++ {
		switch c := label[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return errLetter
		}
	}
	return nil
}

// number reports whether label is one as inet_aton reads it, "127" or "0x7f".
func number(label string) bool {
	if label[0] < '0' || label[0] > '9' {
		return false // most names: this is asked of every one
	}
	digits := "0123456789"
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		label, digits = hex, "0123456789abcdef"
	}
	return strings.Trim(label, digits) == ""
}

// Literal returns the address of an IPv4 or IPv6 address literal, "[192.0.2.1]"
// or "[IPv6:2001:db8::1]", an IPv4-mapped one as IPv4. ok is false for
// everything else, which may yet have brackets.
func Literal(s string) (addr netip.Addr, ok bool) {
	if len(s) < 2 || s[0] != '[' || s[len(s)-1] != ']' {
		return addr, false
	}
	s = s[1 : len(s)-1]
	tagged := len(s) >= 5 && strings.EqualFold(s[:5], "IPv6:")
	if tagged {
		s = s[5:]
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Is4() == tagged || addr.Zone() != "" {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}

// Compatible returns the compatibility form of text (NFKC), in which a
// full-width '％' is a '%': what text may become when others normalize it.
func Compatible(text string) string { return norm.NFKC.String(text) }
