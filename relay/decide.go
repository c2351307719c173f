package relay

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// Kind is what a [Decision] comes to.
type Kind int

const (
	Refused  Kind = iota // the client may not send there
	Local                // to one of our own domains: anybody may
	Relayed              // to a domain we take mail for: anybody may
	Outbound             // elsewhere, by a Grant
)

// String returns the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case Refused:
		return "refused"
	case Local:
		return "local"
	case Relayed:
		return "relayed"
	case Outbound:
		return "outbound"
	}
	return "invalid"
}

// Decision says whether a client may send to a recipient, and why. The zero
// Decision is Refused.
type Decision struct {
	Kind   Kind
	Rule   string // of Rules, what allowed it: the domain as written there, or the grant's name
	Reason string // when Refused, for the operator

	LocalPart string // of the recipient, unquoted, as received
	Domain    string // of the recipient, in normal form: lower case, A-labels, literals in brackets

	malformed bool // refused to everybody
}

// Addr is the recipient with its domain in normal form; a local part that needs
// quotes has none.
func (d Decision) Addr() string {
	if d.Domain == "" {
		return d.LocalPart
	}
	return d.LocalPart + "@" + d.Domain
}

// maxPath bounds a recipient in octets: a path of 256 less its brackets
// (RFC 5321, section 4.5.3.1.3). Its local part may be longer than the 64 of
// section 4.5.3.1.1: the tags of bounce addresses often are.
const maxPath = 254

// Decide says whether client may send to recipient, an address as go-smtp hands
// it over: without brackets, and without the quotes of its local part.
func (r *Relay) Decide(client Client, recipient string) Decision {
	if r.hasLocal && strings.EqualFold(recipient, "postmaster") { // RFC 5321, section 4.1.1.3: needs no domain
		return Decision{Kind: Local, Rule: "postmaster", LocalPart: recipient}
	}
	local, name, err := split(recipient)
	if err != nil {
		return Decision{Reason: err.Error(), malformed: true}
	}
	d := Decision{LocalPart: local, Domain: name}

	var by *grant
	trusted := false // may send anywhere: has no need of tricks
	for i := range r.grants {
		if g := &r.grants[i]; g.fits(&client) {
			if by == nil && g.covers(name) {
				by = g
			}
			trusted = trusted || g.anywhere
		}
	}
	e, ours := r.inbound.find(name)
	switch {
	case ours:
		d.Kind, d.Rule = e.kind, e.text
	case by != nil:
		d.Kind, d.Rule = Outbound, by.name
	case trusted:
		d.Reason = fmt.Sprintf("no entry names the address literal %s", name)
		return d
	default:
		d.Reason = fmt.Sprintf("%s is not ours, and no grant lets the client send there", name)
		return d
	}
	if trusted {
		return d
	}
	allowed := ""
	if d.Kind == Local {
		allowed = r.localPart
	}
	if c, ok := trick(local, allowed); ok {
		d.Kind, d.Rule = Refused, ""
		d.Reason = fmt.Sprintf("local part with %q, which may be a route to elsewhere", c)
	}
	return d
}

// split takes recipient apart at its last '@'. Its errors are for the operator.
func split(recipient string) (local, name string, err error) {
	if len(recipient) > maxPath {
		return "", "", fmt.Errorf("address of %d octets", len(recipient))
	}
	if !utf8.ValidString(recipient) || strings.ContainsFunc(recipient, unicode.IsControl) {
		return "", "", errors.New("address with control characters or invalid UTF-8")
	}
	at := strings.LastIndexByte(recipient, '@')
	if at < 1 || at == len(recipient)-1 {
		return "", "", errors.New("address without a local part or a domain")
	}
	name, err = destination(recipient[at+1:])
	if err != nil {
		return "", "", fmt.Errorf("address whose domain %q is none: %w", recipient[at+1:], err)
	}
	return recipient[:at], name, nil
}

// trick returns the first character of local that is tricky and not allowed. It
// looks at the compatibility form too, in which a full-width '％' is a '%':
// whoever normalizes the address later would see a route.
func trick(local, allowed string) (rune, bool) {
	for _, c := range local + domain.Compatible(local) {
		if c == '@' || strings.ContainsRune(tricky, c) && !strings.ContainsRune(allowed, c) {
			return c, true
		}
	}
	return 0, false
}
