package failure

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"mime"
	"net/mail"
	"slices"
	"strings"

	"github.com/smtpguard/smtpguard/internal/address"
	"github.com/smtpguard/smtpguard/internal/domain"
	"github.com/smtpguard/smtpguard/internal/mailsig"
)

// removed stands for the value of a field that is not told.
const removed = "(removed)"

// redactor takes out of a message what could tell who people are and what they
// write. What it does not know it removes.
type redactor struct {
	key  []byte   // nil removes local parts
	also []string // names of fields that are told
}

// maxOctets bounds the header section of a report. A line more than that is left
// out with all that follows.
const maxOctets = 12 << 10

// header returns the header section as it is told: the names of all fields, and
// some values.
func (r *redactor) header(section []byte) string {
	var b strings.Builder
	for f := range fields(section) {
		if !isText(f.name, "-_") || len(f.name) > 76 { // others may be addresses
			continue
		}
		line := fold(f.name, r.value(f))
		if b.Len()+len(line) > maxOctets {
			break
		}
		b.WriteString(line)
	}
	return b.String()
}

// value is what is told of a field.
func (r *redactor) value(f field) string {
	const most = 8 << 10
	if len(f.value) > most {
		return removed
	}
	told := ""
	switch strings.ToLower(f.name) {
	case "from", "sender", "reply-to", "to", "cc", "resent-from", "resent-sender", "resent-to", "resent-cc", "return-path":
		told = r.addresses(string(f.value))
	case "date", "resent-date":
		told = date(unfold(f.value))
	case "message-id", "resent-message-id":
		told = messageID(unfold(f.value))
	case "received":
		told = received(unfold(f.value))
	case "dkim-signature", "arc-seal", "arc-message-signature":
		told = r.signature(string(f.value))
	case "mime-version", "content-transfer-encoding":
		if told = unfold(f.value); !isText(told, atext+".") || len(told) > 20 {
			told = ""
		}
	case "content-type":
		if media, _, err := mime.ParseMediaType(unfold(f.value)); err == nil && isText(media, atext+"./") && len(media) < 80 {
			told = media
		}
	default:
		if slices.ContainsFunc(r.also, func(name string) bool { return strings.EqualFold(name, f.name) }) {
			return r.text(unfold(f.value))
		}
	}
	if told == "" {
		return removed
	}
	return told
}

// mailbox redacts an address. It is "" where the domain is none.
func (r *redactor) mailbox(local, name string) string {
	name, err := domain.Normal(name)
	if err != nil {
		return ""
	}
	return r.local(local, name) + "@" + name
}

// local stands for a local part.
func (r *redactor) local(local, name string) string {
	if len(r.key) == 0 {
		return "redacted"
	}
	mac := hmac.New(sha256.New, r.key)
	mac.Write([]byte(local + "@" + name))
	return fmt.Sprintf("%x", mac.Sum(nil)[:8])
}

// addresses redacts a list of addresses, without display names.
func (r *redactor) addresses(value string) string {
	if !strings.Contains(value, "\r") {
		value = strings.ReplaceAll(value, "\n", "\r\n")
	}
	list, err := address.List(value)
	if err != nil {
		return ""
	}
	var told []string
	for _, m := range list {
		if text := r.mailbox(m.Local, m.Domain); text != "" {
			told = append(told, "<"+text+">")
		}
	}
	return strings.Join(told, ", ")
}

// path redacts a reverse-path.
func (r *redactor) path(path string) string {
	at := strings.LastIndexByte(path, '@')
	if at < 0 {
		return ""
	}
	return r.mailbox(path[:at], path[at+1:])
}

// signature tells of a signature all but copies of fields (z=) and what else is
// not known, and of whose behalf it is the domain.
func (r *redactor) signature(value string) string {
	tags, err := mailsig.ParseTags(value, nil)
	if err != nil {
		return ""
	}
	var told []string
	for _, t := range tags {
		text := strings.Join(strings.Fields(t.Value), " ")
		switch t.Name {
		case "v", "a", "c", "l", "q", "t", "x", "cv", "d", "s":
			if len(text) > 256 {
				return ""
			}
		case "b", "bh":
			text = strings.ReplaceAll(text, " ", "")
			text = strings.Join(slices.Collect(chunks(text, 64)), " ")
		case "h":
			text = strings.ReplaceAll(strings.ReplaceAll(text, " ", ""), ":", ": ")
		case "i":
			if strings.Contains(text, "@") { // that of ARC is a number
				if text = r.identity(text); text == "" {
					return ""
				}
				told = append(told, "i="+text)
				continue
			}
		default:
			continue
		}
		if !isText(text, "+-._:/= ") {
			return ""
		}
		told = append(told, t.Name+"="+text)
	}
	return strings.Join(told, "; ")
}

// identity redacts an i= tag.
func (r *redactor) identity(text string) string {
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return ""
	}
	if at > 0 {
		return r.mailbox(text[:at], text[at+1:])
	}
	name, err := domain.Normal(text[1:])
	if err != nil {
		return ""
	}
	return "@" + name
}

// chunks yields pieces of no more than n octets.
func chunks(s string, n int) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for len(s) > n {
			if !yield(s[:n]) {
				return
			}
			s = s[n:]
		}
		yield(s)
	}
}

// date is a date in the usual form, so that nothing stands beside it.
func date(value string) string {
	t, err := mail.ParseDate(value)
	if err != nil {
		return ""
	}
	return t.Format("Mon, 02 Jan 2006 15:04:05 -0700")
}

// messageID is told as it is, as its domain made it, and finds the message in the
// log of who sent it.
func messageID(value string) string {
	id, ok := strings.CutPrefix(value, "<")
	id, closed := strings.CutSuffix(id, ">")
	if !ok || !closed || len(id) > 250 || strings.Count(id, "@") != 1 || !isText(id, atext+".@:[]") {
		return ""
	}
	return value
}

// text redacts the addresses in what may be any text, encoded or not, and takes
// the edge off links (RFC 9991, section 7.3). Where an address could be hidden
// from it, all is removed.
func (r *redactor) text(value string) string {
	var words mime.WordDecoder
	value, err := words.DecodeHeader(value)
	if err != nil {
		return removed
	}
	value = unfold([]byte(domain.Compatible(value))) // where a full-width '＠' is one
	for _, hidden := range [...]string{"=?", `"@`, ")@", " @", "@ "} {
		if strings.Contains(value, hidden) {
			return removed
		}
	}
	var b strings.Builder
	for word := range strings.FieldsSeq(value) {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(r.word(word))
	}
	value = defang(b.String())
	if isPrintable(value) {
		return value
	}
	return mime.QEncoding.Encode("utf-8", value)
}

// defang makes links of http and https none.
func defang(text string) string {
	const scheme = "http"
	b := []byte(text)
	for i := 0; i+len(scheme) <= len(b); i++ {
		if strings.EqualFold(text[i:i+len(scheme)], scheme) {
			copy(b[i:], "hxxp")
		}
	}
	return string(b)
}

// word redacts a word with '@' in it: all that could be of a local part, also
// where it was quoted, goes.
func (r *redactor) word(word string) string {
	before, after, found := strings.Cut(word, "@")
	if !found && !strings.Contains(word, "%40") && !strings.Contains(word, "=40") {
		return word
	}
	end := strings.IndexFunc(after, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.')
	})
	if end < 0 {
		end = len(after)
	}
	told := r.mailbox(strings.TrimLeft(before, "<(\"'[:=,;"), strings.TrimRight(after[:end], ".-"))
	if told == "" {
		return removed
	}
	return "<" + told + ">"
}
