package spf

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// maxRecord is the longest text that is parsed, in octets: what one TXT record
// can hold (RFC 1035, section 3.2.1).
const maxRecord = 65535

// record is a parsed policy (RFC 7208, section 4.5). It is shared and read only.
type record struct {
	directives []directive
	redirect   *spec // nil where there is none
	unreached  *spec // a redirect beside an "all", which is ignored (section 5.1)
	explain    *spec
	err        error // of a text that does not parse, which is worth keeping too
}

// mechanism is the kind of a directive.
type mechanism uint8

const (
	mechAll     mechanism = iota // section 5.1
	mechInclude                  // section 5.2
	mechA                        // section 5.3
	mechMX                       // section 5.4
	mechPTR                      // section 5.5
	mechIP                       // sections 5.6: ip4 and ip6
	mechExists                   // section 5.7
)

// directive is a mechanism and what a match of it means.
type directive struct {
	text   string // as written
	result Result
	kind   mechanism
	net    netip.Prefix // of mechIP
	target *spec        // nil means the current domain
	bits4  uint8        // of mechA and mechMX: the length of networks compared
	bits6  uint8
}

var (
	errLength   = errors.New("record longer than a TXT record can be")
	errASCII    = errors.New("record with octets outside printable ASCII")
	errTerm     = errors.New("no mechanism or modifier of that name")
	errArgument = errors.New("an argument where none may be")
	errNetwork  = errors.New("malformed network")
	errMissing  = errors.New("missing domain")
	errTwice    = errors.New("modifier given twice")
)

// isPolicy reports whether a TXT record is one of ours (section 4.5): the
// version, then a space or the end.
func isPolicy(text string) bool {
	const version = "v=spf1"
	if len(text) < len(version) || !strings.EqualFold(text[:len(version)], version) {
		return false
	}
	return len(text) == len(version) || text[len(version)] == ' '
}

// parse reads a policy, whole (sections 4.6.1 and 12).
func parse(text string) (*record, error) {
	if len(text) > maxRecord {
		return nil, errLength
	}
	if !isPolicy(text) {
		return nil, errors.New("not a record of this version")
	}
	for i := 0; i < len(text); i++ {
		if text[i] < ' ' || text[i] > '~' {
			return nil, errASCII
		}
	}
	rec, hasAll := &record{}, false
	for term := range strings.SplitSeq(text[len("v=spf1"):], " ") {
		if term == "" {
			continue
		}
		err := rec.add(term, &hasAll)
		if err != nil {
			return nil, fmt.Errorf("%+q: %w", clip(term), err)
		}
	}
	if hasAll {
		rec.redirect, rec.unreached = nil, rec.redirect
	}
	return rec, nil
}

// add reads one term.
func (r *record) add(term string, hasAll *bool) error {
	// A name ends before the first of these; only a modifier has '=' there
	// (section 4.6.1).
	if i := strings.IndexAny(term, "=:/"); i >= 0 && term[i] == '=' {
		return r.modifier(term, term[:i], term[i+1:])
	}
	d := directive{text: term, result: Pass, bits4: 32, bits6: 128}
	body := term
	if i := strings.IndexByte("+-?~", term[0]); i >= 0 {
		d.result = [...]Result{Pass, Fail, Neutral, SoftFail}[i] // section 4.6.2
		body = term[1:]
	}
	name, arg := body, ""
	if i := strings.IndexAny(body, ":/"); i >= 0 {
		name, arg = body[:i], body[i:]
	}
	var err error
	switch strings.ToLower(name) {
	case "all":
		d.kind, *hasAll = mechAll, true
		if arg != "" {
			err = errArgument
		}
	case "include":
		d.kind = mechInclude
		err = d.domain(arg, true)
	case "exists":
		d.kind = mechExists
		err = d.domain(arg, true)
	case "ptr":
		d.kind = mechPTR
		err = d.domain(arg, false)
	case "a":
		d.kind = mechA
		err = d.domainAndBits(arg)
	case "mx":
		d.kind = mechMX
		err = d.domainAndBits(arg)
	case "ip4":
		d.kind = mechIP
		err = d.network(arg, 32)
	case "ip6":
		d.kind = mechIP
		err = d.network(arg, 128)
	default:
		err = errTerm
	}
	if err != nil {
		return err
	}
	r.directives = append(r.directives, d)
	return nil
}

// modifier reads a modifier (section 6). Those unknown are ignored, however
// often they occur, if they are well-formed.
func (r *record) modifier(term, name, value string) (err error) {
	place := (**spec)(nil)
	switch strings.ToLower(name) {
	case "redirect":
		place = &r.redirect
	case "exp":
		place = &r.explain
	default:
		if !isName(name) {
			return errTerm
		}
		_, err = parseMacros(value, true)
		return err
	}
	if *place != nil {
		return errTwice
	}
	if *place, err = parseSpec(value); err == nil {
		(*place).term = term
	}
	return err
}

// isName reports whether s is a name: a letter, then letters, digits, "-", "_"
// and "." (section 12).
func isName(s string) bool {
	for i := 0; i < len(s); i++ {
		switch {
		case isAlpha(s[i]):
		case i > 0 && (isDigit(s[i]) || strings.IndexByte("-_.", s[i]) >= 0):
		default:
			return false
		}
	}
	return s != ""
}

// domain reads the ":domain-spec" of a mechanism that takes no network length.
func (d *directive) domain(arg string, required bool) (err error) {
	if arg == "" {
		if required {
			return errMissing
		}
		return nil
	}
	if arg[0] != ':' {
		return errArgument
	}
	d.target, err = parseSpec(arg[1:])
	return err
}

// domainAndBits reads [ ":" domain-spec ] [ dual-cidr-length ]. Slashes may
// stand in a domain-spec too: only what at the end looks like a length is one.
func (d *directive) domainAndBits(arg string) error {
	rest, bits := cutBits(arg)
	if strings.HasSuffix(rest, "/") && bits != "" {
		if err := setBits(bits, 128, &d.bits6); err != nil {
			return err
		}
		rest, bits = cutBits(rest[:len(rest)-1])
	}
	if bits != "" {
		if err := setBits(bits, 32, &d.bits4); err != nil {
			return err
		}
	}
	return d.domain(rest, false)
}

// cutBits cuts "/" and digits off the end of s.
func cutBits(s string) (rest, digits string) {
	i := len(s)
	for i > 0 && isDigit(s[i-1]) {
		i--
	}
	if i == len(s) || i == 0 || s[i-1] != '/' {
		return s, ""
	}
	return s[:i-1], s[i:]
}

// setBits reads a prefix length of at most most, without leading zeros.
func setBits(digits string, most int, bits *uint8) error {
	n := 0
	for i := 0; i < len(digits); i++ {
		if !isDigit(digits[i]) || i >= 3 {
			return errNetwork
		}
		n = n*10 + int(digits[i]-'0')
	}
	if digits == "" || n > most || digits[0] == '0' && digits != "0" {
		return errNetwork
	}
	*bits = uint8(n)
	return nil
}

// network reads the argument of ip4 and ip6, whose addresses have width bits.
func (d *directive) network(arg string, width int) error {
	if arg == "" || arg[0] != ':' {
		return errNetwork
	}
	text, length, found := strings.Cut(arg[1:], "/")
	bits := uint8(width)
	if found {
		if err := setBits(length, width, &bits); err != nil {
			return err
		}
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.BitLen() != width || addr.Zone() != "" {
		return errNetwork
	}
	d.net = netip.PrefixFrom(addr, int(bits))
	return nil
}
