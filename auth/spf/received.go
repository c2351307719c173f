package spf

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// Received is what a Received-SPF field says (RFC 7208, section 9.1).
type Received struct {
	Result       Result
	Comment      string // for people; without its parentheses
	ClientIP     netip.Addr
	EnvelopeFrom string
	Helo         string
	Identity     Identity
	Mechanism    string // "default" where none matched
	Problem      string // why the result is an error
	Receiver     string // the host that checked
}

// Received returns the outcome for a field of ours, receiver being our name.
func (o Outcome) Received(receiver string) Received {
	r := Received{
		Result: o.Result, ClientIP: o.Client, EnvelopeFrom: o.Sender,
		Helo: o.Helo, Identity: o.Identity, Mechanism: o.Mechanism, Receiver: receiver,
	}
	// The words of section 9.1's examples, with the domain as its owner or our
	// resolver has it; one that is no name at all stays out of the comment.
	about := "identity"
	if name, err := domain.Normal(o.Domain); err == nil {
		about = "domain of " + name
	}
	client := "client"
	if o.Client.IsValid() {
		client = o.Client.String()
	}
	switch o.Result {
	case Pass:
		r.Comment = about + " designates " + client + " as permitted sender"
	case Fail:
		r.Comment = about + " does not designate " + client + " as permitted sender"
	case SoftFail:
		r.Comment = about + " says that " + client + " is probably no permitted sender"
	case Neutral:
		r.Comment = about + " says nothing of " + client
	case None:
		r.Comment = about + " has no policy"
	case TempError:
		r.Comment = "policy of " + about + " could not be read for now"
	case PermError:
		r.Comment = "policy of " + about + " cannot be evaluated"
	}
	switch {
	case o.Result == TempError || o.Result == PermError:
		if o.Err != nil {
			r.Problem = strings.TrimPrefix(o.Err.Error(), "spf: ")
		}
	case o.Mechanism == "" && o.Result == Neutral:
		r.Mechanism = "default"
	}
	return r
}

// maxValue bounds a value in a field, so that its line stays within 998 octets
// (RFC 5322, section 2.1.1).
const maxValue = 400

// Field returns the field, folded, with CRLF at its end. Values of others only
// stand in quotes; their control characters, and octets outside ASCII except
// letters of the reverse-path, become '?'.
func (r Received) Field() string {
	result := r.Result
	if !known(result) {
		result = None
	}
	var b strings.Builder
	b.WriteString("Received-SPF: ")
	b.WriteString(string(result))
	if r.Comment != "" {
		b.WriteString("\r\n\t(")
		b.WriteString(commentText(r.Comment))
		b.WriteByte(')')
	}
	separator := "\r\n\t"
	pair := func(key, value string, utf8 bool) {
		if value == "" {
			return
		}
		b.WriteString(separator)
		b.WriteString(key)
		b.WriteByte('=')
		writeValue(&b, value, utf8)
		separator = ";\r\n\t"
	}
	if r.ClientIP.IsValid() {
		pair("client-ip", r.ClientIP.Unmap().WithZone("").String(), false)
	}
	pair("envelope-from", r.EnvelopeFrom, true)
	pair("helo", r.Helo, false)
	pair("identity", string(r.Identity), false)
	pair("receiver", r.Receiver, false)
	pair("mechanism", r.Mechanism, false)
	pair("problem", r.Problem, false)
	b.WriteString("\r\n")
	return b.String()
}

func known(r Result) bool {
	switch r {
	case None, Neutral, Pass, Fail, SoftFail, TempError, PermError:
		return true
	}
	return false
}

// commentText returns text without what ends or nests a comment.
func commentText(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(`()\`, r) {
			return '?'
		}
		return r
	}, text[:min(len(text), maxValue)])
}

// writeValue writes a dot-atom as it is, everything else as a quoted string.
func writeValue(b *strings.Builder, value string, international bool) {
	if len(value) > maxValue {
		value = value[:maxValue]
	}
	if isDotAtom(value) {
		b.WriteString(value)
		return
	}
	b.WriteByte('"')
	for _, c := range value {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c >= ' ' && c <= '~':
			b.WriteRune(c)
		case international && c != utf8.RuneError && unicode.IsPrint(c):
			b.WriteRune(c)
		default:
			b.WriteByte('?')
		}
	}
	b.WriteByte('"')
}

// isDotAtom reports whether s may stand without quotes (RFC 5322, section 3.2.3).
func isDotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for i := 0; i < len(atom); i++ {
			if !isAlpha(atom[i]) && !isDigit(atom[i]) && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", atom[i]) < 0 {
				return false
			}
		}
	}
	return true
}
