package auth

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// sender is a compiled entry of [Identity].Senders. The zero sender fits nothing.
type sender struct {
	local  string // folded; "*" is any
	domain string // in normal form; "*" is any
	below  bool   // the domain's subdomains, not itself
}

// CheckSender says what is wrong with an entry of [Identity].Senders; an entry
// that is wrong fits no address. One is written
//
//	ann@example.org      that address, and with a detail: ann+lists@example.org
//	*@example.org        any there
//	*@*.example.org      any in a domain below it, at any depth
//	ann@*.example.org    that local part in any of them
//	*                    any address at all
//
// The case of ASCII letters does not count, nor how the domain is spelled
// (A-labels or U-labels).
func CheckSender(s string) error {
	_, err := parseSender(s)
	return err
}

func parseSender(s string) (sender, error) {
	if s == "*" {
		return sender{local: "*", domain: "*"}, nil
	}
	at := strings.LastIndexByte(s, '@')
	if at < 1 {
		return sender{}, fmt.Errorf("auth: sender %q is no address", s)
	}
	p := sender{local: fold(s[:at])}
	if p.local != "*" && (strings.Contains(p.local, "*") || strings.ContainsFunc(p.local, unicode.IsControl)) {
		return sender{}, fmt.Errorf("auth: sender %q: * stands for a whole local part", s)
	}
	name, below := strings.CutPrefix(s[at+1:], "*.")
	var err error
	if p.domain, err = domain.Normal(name); err != nil {
		return sender{}, fmt.Errorf("auth: sender %q: %w", s, err)
	}
	p.below = below
	return p, nil
}

// fold makes two spellings of a local part equal. Letters outside ASCII stay: one
// that looks like another is not the same mailbox.
func fold(local string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, local)
}

// mailbox is an address to be judged.
type mailbox struct {
	local  string // folded, without quotes
	domain string // in normal form
	odd    bool   // the local part needs quotes
}

// maxAddress bounds an address in octets (RFC 5321, section 4.5.3.1.3).
const maxAddress = 254

var errAddress = errors.New("is no address with a domain name")

// newMailbox takes local, which has no quotes, and the domain as written.
func newMailbox(local, name string) (mailbox, error) {
	if local == "" || len(local)+len(name) >= maxAddress || strings.ContainsFunc(local, unicode.IsControl) {
		return mailbox{}, errAddress
	}
	normal, err := domain.Normal(name)
	if err != nil {
		return mailbox{}, errAddress
	}
	m := mailbox{local: fold(local), domain: normal}
	for atom := range strings.SplitSeq(local, ".") {
		m.odd = m.odd || atom == "" || strings.ContainsAny(atom, `()<>[]:;@\," `)
	}
	return m, nil
}

// splitMailbox takes an address of the envelope, whose local part has no quotes.
func splitMailbox(addr string) (mailbox, error) {
	at := strings.LastIndexByte(addr, '@')
	if at < 0 {
		return mailbox{}, errAddress
	}
	return newMailbox(addr[:at], addr[at+1:])
}

// fits reports whether p stands for m. Behind each of delimiters a local part
// may go on. A local part that needs quotes has to be named whole: anything may
// be in it, another address too.
func (p *sender) fits(m mailbox, delimiters string) bool {
	switch {
	case p.domain == "*" || p.domain == m.domain && !p.below:
	case p.below && strings.HasSuffix(m.domain, "."+p.domain):
	default:
		return false
	}
	switch {
	case p.local == m.local:
		return true
	case m.odd:
		return false
	case p.local == "*":
		return true
	}
	rest, ok := strings.CutPrefix(m.local, p.local)
	return ok && rest != "" && p.local != "" && strings.IndexByte(delimiters, rest[0]) >= 0
}
