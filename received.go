package smtpguard

import (
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/smtpguard/smtpguard/internal/peer"
)

// trace is what a Received field says (RFC 5321, section 4.4).
type trace struct {
	hello    string        // EHLO identity as claimed
	addr     netip.Addr    // of the client; the zero Addr is "unknown"
	hostname string        // ours
	protocol string        // after "with": see protocolWord
	channel  *peer.Channel // nil in clear text
	id       string        // ours
	rcpt     string        // as go-smtp parsed it, where it is the only one
	at       time.Time
}

// protocolWord is the "with" keyword (RFC 3848; with SMTPUTF8, RFC 6531,
// section 4.3).
func protocolWord(lmtp, esmtp, smtputf8, tls, auth bool) string {
	var w string
	switch {
	case lmtp && smtputf8:
		w = "UTF8LMTP"
	case lmtp:
		w = "LMTP"
	case smtputf8:
		w = "UTF8SMTP"
	case esmtp:
		w = "ESMTP"
	default:
		return "SMTP"
	}
	if tls {
		w += "S"
	}
	if auth {
		w += "A"
	}
	return w
}

// receivedField is the Received field with its CRLF. What the client said of
// itself stands in it where it is a domain name or an address literal, and else
// cleaned, in a comment.
func receivedField(t *trace) string {
	f := folder{}
	f.b.Grow(256)
	f.word("Received:", "", "")
	tcp := "unknown"
	if t.addr.IsValid() {
		tcp = literal(t.addr)
	}
	if isASCII(t.hello) && validDomain(t.hello) || validLiteral(t.hello) {
		f.word("from ", t.hello, "")
		f.word("(", tcp, ")")
	} else {
		f.word("from ", tcp, "")
		f.word("(EHLO ", commentText(t.hello), ")")
	}
	by := t.hostname
	if !isASCII(by) || !validDomain(by) {
		by = "localhost"
	}
	f.word("by ", by, "")
	f.word("with ", t.protocol, "")
	if t.channel != nil {
		f.word("(", t.channel.Version, ")")
	}
	f.word("id ", t.id, "")
	if path, ok := mailbox(t.rcpt, strings.HasPrefix(t.protocol, "UTF8")); ok {
		f.word("for <", path, ">")
	}
	if c := t.channel; c != nil { // RFC 8314, section 4.3
		f.word("tls ", c.Suite, "")
		if c.Group != "" {
			f.word("group ", c.Group, "")
		}
		if c.Client != "" {
			f.word("(client", "", "")
			f.word(c.Client, ")", "")
		}
	}
	f.b.WriteByte(';')
	f.line++
	f.word(t.at.Format("Mon, 2 Jan 2006 15:04:05 -0700"), "", "") // RFC 5322, section 3.3
	f.b.WriteString("\r\n")
	return f.b.String()
}

// folder writes words on lines of up to 78 octets, where they fit (RFC 5322,
// section 2.1.1).
type folder struct {
	b    strings.Builder
	line int
}

// word writes one word, given in three parts, any of which may be empty.
func (f *folder) word(a, b, c string) {
	size := len(a) + len(b) + len(c)
	switch {
	case f.line == 0:
	case f.line+1+size > 77: // a ";" or "," may follow
		f.b.WriteString("\r\n\t")
		f.line = 1
	default:
		f.b.WriteByte(' ')
		f.line++
	}
	f.b.WriteString(a)
	f.b.WriteString(b)
	f.b.WriteString(c)
	f.line += size
}

// literal is a as an address literal (RFC 5321, section 4.1.3).
func literal(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		return "[IPv6:" + a.String() + "]"
	}
	return "[" + a.String() + "]"
}

// validLiteral reports whether s is an address literal, of IPv4 or IPv6.
func validLiteral(s string) bool {
	s, open := strings.CutPrefix(s, "[")
	s, shut := strings.CutSuffix(s, "]")
	if !open || !shut {
		return false
	}
	six := len(s) > 5 && strings.EqualFold(s[:5], "IPv6:")
	if six {
		s = s[5:]
	}
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is6() == six && a.Zone() == ""
}

// commentText makes s fit for a comment (RFC 5322, section 3.2.2): printable
// ASCII without what ends, nests or quotes, and 64 octets at most.
func commentText(s string) string {
	b := []byte(s[:min(len(s), 64)])
	for i, c := range b {
		if c < ' ' || c > '~' || strings.IndexByte(`()\"`, c) >= 0 {
			b[i] = '?'
		}
	}
	return string(b)
}

// mailbox writes addr, whose local part is unquoted, as RFC 5321, section
// 4.1.2, has it. ok is false when it can not stand in a field.
func mailbox(addr string, smtputf8 bool) (path string, ok bool) {
	at := strings.LastIndexByte(addr, '@')
	if at <= 0 || len(addr) > 254 || !smtputf8 && !isASCII(addr) || !utf8.ValidString(addr) {
		return "", false
	}
	local, domain := addr[:at], addr[at+1:]
	if !validDomain(domain) && !validLiteral(domain) {
		return "", false
	}
	if isDotString(local) {
		return addr, true
	}
	var q strings.Builder
	q.WriteByte('"')
	for i := 0; i < len(local); i++ {
		c := local[i]
		if c < ' ' || c == 0x7f {
			return "", false
		}
		if c == '"' || c == '\\' {
			q.WriteByte('\\')
		}
		q.WriteByte(c)
	}
	q.WriteString(`"@`)
	q.WriteString(domain)
	return q.String(), true
}

// isDotString reports whether s needs no quotes as a local part (RFC 5321,
// section 4.1.2; RFC 6531, section 3.3).
func isDotString(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for i := 0; i < len(atom); i++ {
			switch c := atom[i]; {
			case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c >= 0x80:
			case strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0:
			default:
				return false
			}
		}
	}
	return true
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// quarantineField marks what checks want quarantined, for what delivers behind
// us. Received ones are forged.
const quarantineField = "X-Smtpguard-Quarantine"

// maxStamped bounds the checks that a quarantine field names.
const maxStamped = 20

// quarantineStamp is the field that names the checks which want a message
// quarantined.
func quarantineStamp(checks []string) string {
	f := folder{}
	f.word(quarantineField+":", "", "")
	for i, name := range checks[:min(len(checks), maxStamped)] {
		if i > 0 {
			f.b.WriteByte(',')
			f.line++
		}
		if name = strings.TrimSpace(commentText(name)); name == "" {
			name = "?"
		}
		f.word(name, "", "")
	}
	f.b.WriteString("\r\n")
	return f.b.String()
}
