package dmarc

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/smtpguard/smtpguard/internal/address"
	"github.com/smtpguard/smtpguard/internal/domain"
)

// Defect is why a message has no author domain that everybody who reads it would
// agree on (RFC 9989, sections 5.3.1 and 11.5). It is an error.
type Defect string

const (
	NoFrom         Defect = "no-from"         // no From field
	SeveralFrom    Defect = "several-from"    // more than one
	HiddenFrom     Defect = "hidden-from"     // a From field that some readers see and others do not
	MalformedFrom  Defect = "malformed-from"  // no list of addresses, or one that can be read in two ways
	SeveralAuthors Defect = "several-authors" // more addresses than allowed, or more than one domain
	NoDomain       Defect = "no-domain"       // an address literal, or what can not be a name
)

func (d Defect) Error() string {
	switch d {
	case NoFrom:
		return "dmarc: no From field"
	case SeveralFrom:
		return "dmarc: more than one From field"
	case HiddenFrom:
		return "dmarc: a From field that some readers see and others do not"
	case MalformedFrom:
		return "dmarc: From field malformed or ambiguous"
	case SeveralAuthors:
		return "dmarc: more than one author in From"
	case NoDomain:
		return "dmarc: From address without a domain name"
	}
	return "dmarc: defect " + string(d)
}

// AuthorDomain returns the domain of the From field of a header section as
// received, in normal form: A-labels, lower case. Its error is a [Defect], or
// wraps one. From may have as many addresses as mailboxes says, all of one
// domain; less than one means one.
//
// The section ends at its first empty line, or with header. Lines end with
// CRLF; in one without any CR, with LF.
func AuthorDomain(header []byte, mailboxes int) (string, error) {
	value, err := fromField(header)
	if err != nil {
		return "", err
	}
	list, err := address.List(value)
	if err != nil {
		return "", fmt.Errorf("%w: %w", MalformedFrom, err)
	}
	if len(list) > max(mailboxes, 1) {
		return "", SeveralAuthors
	}
	var author string
	for i, m := range list {
		name, err := domain.Normal(m.Domain)
		switch {
		case err != nil:
			return "", fmt.Errorf("%w: %w", NoDomain, err)
		case i == 0:
			author = name
		case name != author:
			return "", SeveralAuthors
		}
	}
	return author, nil
}

// fromField returns the value of the one From field, folds included.
func fromField(header []byte) (string, error) {
	var value []byte
	var defect error = NoFrom
	s := section{header: header}
	for s.next() {
		switch {
		case s.hidden:
			return "", HiddenFrom
		case !s.from:
		case defect == nil:
			return "", SeveralFrom
		default:
			value, defect = s.value, nil
		}
	}
	if defect != nil {
		return "", defect
	}
	text := string(value)
	if bytes.IndexByte(header, '\r') < 0 {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return text, nil
}

// section goes through the fields of a header section. It looks at names only
// as far as one may be From to somebody.
type section struct {
	header []byte
	end    int    // of the field
	from   bool   // the field is a From field
	hidden bool   // it is one to some readers
	value  []byte // of a From field
}

// next goes to the next field, and reports whether there is one.
func (s *section) next() bool {
	start := s.end
	if !s.line() {
		return false
	}
	for s.end < len(s.header) && isBlank(s.header[s.end]) && s.line() {
	}
	field := s.header[start:s.end]
	s.from, s.hidden = false, strayFrom(field)
	colon := bytes.IndexByte(field, ':')
	name := field
	if colon >= 0 {
		name = field[:colon]
	}
	if spells(name) {
		s.from = true
		// White space or something invisible in the name or before its colon, a
		// fold among them (RFC 5322, section 4.5, has white space there as
		// obsolete); a first line that begins as a fold does; or no colon.
		s.hidden = s.hidden || len(name) != len("From") || colon < 0
		s.value = bytes.TrimSuffix(bytes.TrimSuffix(field[colon+1:], []byte("\n")), []byte("\r"))
	}
	return true
}

// line goes behind the next line, and reports whether there is one that is not
// empty: that one ends the section.
func (s *section) line() bool {
	rest := s.header[s.end:]
	if len(rest) == 0 || empty(rest) {
		return false
	}
	if n := bytes.IndexByte(rest, '\n'); n >= 0 {
		s.end += n + 1
	} else {
		s.end = len(s.header)
	}
	return true
}

// empty reports whether b, which holds something, begins with an empty line.
func empty(b []byte) bool {
	return b[0] == '\n' || len(b) > 1 && b[0] == '\r' && b[1] == '\n'
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// spells reports whether name is From, whatever its case and whatever there is
// in it that is not seen or that some readers drop.
func spells(name []byte) bool {
	const from = "from"
	n := 0
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			continue
		}
		if n == len(from) || c|0x20 != from[n] {
			return false
		}
		n++
	}
	return n == len(from)
}

// strayFrom reports whether a From field begins behind a bare CR in field, which
// some readers take for the end of a line. It goes over field once, however many
// there are.
func strayFrom(field []byte) bool {
	const from = "from"
	var begun [len(from) + 1]bool // names that have so many octets of it
	some := false                 // of begun
	for i := 0; i < len(field); i++ {
		if !some {
			n := bytes.IndexByte(field[i:], '\r')
			if n < 0 {
				return false
			}
			i += n
		}
		switch c := field[i]; {
		case c == '\r' && i+1 < len(field) && field[i+1] != '\n' && !isBlank(field[i+1]):
			begun[0], some = true, true
		case c <= ' ' || c >= 0x7f: // not seen, or dropped: see spells
		case c == ':' && begun[len(from)]:
			return true
		default:
			some = false
			for n := len(from); n > 0; n-- {
				begun[n] = begun[n-1] && c|0x20 == from[n-1]
				some = some || begun[n]
			}
			begun[0] = false
		}
	}
	return false
}
