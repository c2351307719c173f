package blocklist

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// maxMailbox bounds a mail address in octets: a path of 256 less its brackets
// (RFC 5321, section 4.5.3.1.3).
const maxMailbox = 254

// maxNote bounds the texts of an entry in octets.
const maxNote = 500

// normal returns e with its Value in the one form by which lists compare, and
// with Reason and Source as one bounded line each. Its errors say what is wrong
// with the entry, without a prefix.
func (e Entry) normal() (Entry, error) {
	var err error
	switch {
	case e.Word != Block && e.Word != Allow:
		err = errors.New("is neither Block nor Allow")
	case e.Kind == Addr:
		var p netip.Prefix
		if p, err = normalPrefix(e.Value); err == nil {
			e.Value = prefixText(p)
		}
	case e.Kind == Domain:
		e.Value, err = normalPattern(e.Value)
	case e.Kind == Hello:
		if name, ok := normalHello(e.Value); ok {
			e.Value = name
		} else {
			e.Value, err = normalPattern(e.Value)
		}
	case e.Kind == Mailbox:
		e.Value, err = normalMailbox(e.Value)
	case e.Kind == Fingerprint:
		e.Value, err = normalFingerprint(e.Value)
	default:
		err = fmt.Errorf("has no kind that is known (%d)", e.Kind)
	}
	e.Reason, e.Source = oneLine(e.Reason), oneLine(e.Source)
	return e, err
}

// rank says how specific an entry in normal form is, among those of its kind
// that fit one query: more wins.
//
//	Addr         the length of the prefix
//	Domain       two for each label, and one more for the name itself: "example.org" is
//	             5, "*.example.org" and ".example.org" are 4
//	Hello        the same; an address is 1
//	Mailbox      "ann@example.org" 3, "@example.org" 2, "ann@" 1
//	Fingerprint  1
func (e Entry) rank() int {
	switch e.Kind {
	case Addr:
		p, err := normalPrefix(e.Value)
		if err != nil {
			return 0
		}
		return p.Bits()
	case Domain, Hello:
		return patternRank(e.Value)
	case Mailbox:
		switch {
		case e.Value == "":
			return 0
		case e.Value[0] == '@':
			return 2
		case e.Value[len(e.Value)-1] == '@':
			return 1
		}
		return 3
	}
	return 1
}

// patternRank is rank for what a domain or an EHLO name is compared with.
func patternRank(pattern string) int {
	if strings.HasPrefix(pattern, "*.") || strings.HasPrefix(pattern, ".") {
		return 2 * strings.Count(pattern, ".")
	}
	if _, err := domain.Normal(pattern); err != nil {
		return 1 // an address
	}
	return 2*(strings.Count(pattern, ".")+1) + 1
}

// normalPrefix reads an address or a prefix: IPv4 never mapped into IPv6, no
// bits set beyond its length, no zone.
func normalPrefix(text string) (p netip.Prefix, err error) {
	if strings.IndexByte(text, '/') >= 0 {
		p, err = netip.ParsePrefix(text)
	} else {
		var a netip.Addr
		if a, err = netip.ParseAddr(text); err == nil && a.Zone() == "" {
			p = netip.PrefixFrom(a, a.BitLen())
		}
	}
	if err != nil { // netip's quotes the text
		return netip.Prefix{}, errNoPrefix
	}
	return foldPrefix(p)
}

var (
	errNoPrefix = errors.New("is neither an address nor a prefix")
	errAll      = errors.New("fits every address")
)

// foldPrefix is the normal form of a prefix.
func foldPrefix(p netip.Prefix) (netip.Prefix, error) {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	switch {
	case !p.IsValid():
		return netip.Prefix{}, errNoPrefix
	case p.Bits() == 0:
		return netip.Prefix{}, errAll
	}
	return p.Masked(), nil
}

// prefixText is the text of a prefix in normal form: a single address without
// its length.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// normalPattern is the normal form of "example.org", "*.example.org" or
// ".example.org".
func normalPattern(text string) (string, error) {
	rest, mark := text, ""
	if s, ok := strings.CutPrefix(text, "*."); ok {
		rest, mark = s, "*."
	} else if s, ok := strings.CutPrefix(text, "."); ok {
		rest, mark = s, "."
	}
	name, err := domain.Normal(rest)
	if err != nil {
		return "", errors.New("is no domain")
	}
	if mark == "" {
		return name, nil
	}
	return mark + name, nil
}

// normalHello is the normal form of an EHLO name as received: a domain, or an
// address, which many send without the brackets of a literal.
func normalHello(text string) (name string, ok bool) {
	if name, err := domain.Normal(text); err == nil {
		return name, true
	}
	if addr, ok := domain.Literal(text); ok {
		return addr.String(), true
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.Unmap().WithZone("").String(), true
	}
	return "", false
}

// normalMailbox is the normal form of "ann@example.org", "@example.org" or
// "ann@". A local part is as go-smtp hands it over, without quotes, and its case
// counts for nothing: else "Ann" would get past a list that has "ann".
func normalMailbox(text string) (string, error) {
	at := strings.LastIndexByte(text, '@')
	if at < 0 || len(text) < 2 || len(text) > 2*maxMailbox || // U-labels may be longer than A-labels
		!utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return "", errors.New("is no mail address")
	}
	local, host := text[:at], text[at+1:]
	name := ""
	if host != "" {
		if addr, ok := domain.Literal(host); ok {
			name = "[" + addr.String() + "]"
		} else {
			var err error
			if name, err = domain.Normal(host); err != nil {
				return "", errors.New("is no mail address: its domain is none")
			}
		}
	}
	if folded := foldLocal(local); folded != local || name != host {
		text = folded + "@" + name
	}
	if len(text) > maxMailbox { // a compatibility form may be longer
		return "", errors.New("is no mail address: it is too long")
	}
	return text, nil
}

// foldLocal is a local part in lower case, in its compatibility form where it
// is not ASCII.
func foldLocal(local string) string {
	for i := 0; i < len(local); i++ {
		if local[i] >= utf8.RuneSelf {
			return strings.ToLower(domain.Compatible(local))
		}
	}
	return strings.ToLower(local)
}

// normalFingerprint is the normal form of a SHA-256: 64 hexadecimal digits in
// lower case. Colons between them, and "sha256:" before them, may be there.
func normalFingerprint(text string) (string, error) {
	if len(text) > 200 {
		return "", errors.New("is not the SHA-256 of a certificate")
	}
	text = strings.ToLower(text)
	text = strings.ReplaceAll(strings.TrimPrefix(text, "sha256:"), ":", "")
	if len(text) != 64 || strings.Trim(text, "0123456789abcdef") != "" {
		return "", errors.New("is not the SHA-256 of a certificate")
	}
	return text, nil
}

// normal returns q with its Value in normal form and its Addr as prefixes have
// them. ok is false for what no entry can fit.
func (q Query) normal() (n Query, ok bool) {
	switch q.Kind {
	case Addr:
		q.Addr = q.Addr.Unmap().WithZone("")
		return q, q.Addr.IsValid()
	case Domain:
		name, err := domain.Normal(q.Value)
		q.Value = name
		return q, err == nil
	case Hello:
		q.Value, ok = normalHello(q.Value)
		return q, ok
	case Mailbox:
		var err error
		q.Value, err = normalMailbox(q.Value)
		return q, err == nil && q.Value[0] != '@' && q.Value[len(q.Value)-1] != '@'
	case Fingerprint:
		var err error
		q.Value, err = normalFingerprint(q.Value)
		return q, err == nil
	}
	return q, false
}

// better reports whether m goes before other: more specific, or Allow where
// both are as specific.
func (m Match) better(other Match) bool {
	if m.Rank != other.Rank {
		return m.Rank > other.Rank
	}
	return m.Entry.Word == Allow && other.Entry.Word != Allow
}

// oneLine makes text fit for one line of a list or a log, at most maxNote
// octets.
func oneLine(text string) string {
	if len(text) > maxNote {
		text = text[:maxNote]
	}
	text = strings.ToValidUTF8(text, "")
	if !strings.ContainsFunc(text, unicode.IsControl) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}
