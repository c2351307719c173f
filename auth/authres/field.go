package authres

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// maxValue bounds a value that is written, in octets, so that its line stays
// within 998 (RFC 5322, section 2.1.1); maxLine is where lines are folded
// (section 2.1.1 too).
const (
	maxValue = 400
	maxLine  = 78
)

// Field returns the whole field, folded, with CRLF at its end. Names of methods,
// results and properties must be keywords of up to 64 octets; an error names the one
// that is not.
// Values and reasons may be anything: they are put into quotes unless they are
// letters, digits, ".", "-", "_" and "+" around at most one "@"; they are cut at
// 400 octets; control characters become "?"; domains outside ASCII become
// A-labels, and what is then left outside ASCII "?", unless r.UTF8.
//
// Many who read the field know nothing of quotes: a mail filter searches it for
// "dmarc=pass". So a "=" in a value becomes "?" too where "pass" follows, or where
// the name of a property stands before it, and so do parentheses.
func (r Results) Field() (string, error) {
	w := &writer{utf8: r.UTF8}
	if r.ID == "" || strings.ContainsFunc(r.ID, unicode.IsControl) {
		return "", fmt.Errorf("authres: authserv-id %q", r.ID)
	}
	w.WriteString("Authentication-Results: ")
	id := r.ID
	if !w.utf8 {
		id = aLabels(id)
	}
	w.value(id, isPlain(id))
	if r.Version > 0 {
		w.WriteString(" " + strconv.Itoa(r.Version))
	}
	if len(r.Methods) == 0 {
		w.WriteString("; none")
	}
	for _, m := range r.Methods {
		w.WriteString(";\r\n\t")
		w.start = w.Len()
		if err := w.method(m); err != nil {
			return "", err
		}
	}
	w.WriteString("\r\n")
	return w.String(), nil
}

// writer builds a field.
type writer struct {
	strings.Builder
	utf8  bool
	start int // of the line
}

func (w *writer) method(m Method) error {
	if !keyword(m.Name) {
		return fmt.Errorf("authres: method %q is no keyword", m.Name)
	}
	if !keyword(string(m.Result)) {
		return fmt.Errorf("authres: result %q of %s is no keyword", m.Result, m.Name)
	}
	w.WriteString(strings.ToLower(m.Name))
	if m.Version > 0 {
		w.WriteString("/" + strconv.Itoa(m.Version))
	}
	w.WriteString("=" + strings.ToLower(string(m.Result)))
	if m.Reason != "" {
		v := &writer{utf8: w.utf8}
		v.value(m.Reason, isPlain(m.Reason))
		w.pair("reason", v.String())
	}
	for _, p := range m.Properties {
		if !keyword(p.Type) || !keyword(p.Name) {
			return fmt.Errorf("authres: property %q of %s is not two keywords", p.Type+"."+p.Name, m.Name)
		}
		v := &writer{utf8: w.utf8}
		v.name(p.Value)
		w.pair(strings.ToLower(p.Type)+"."+strings.ToLower(p.Name), v.String())
	}
	return nil
}

// pair writes a name and a value as it stands, on a line of their own where they would make
// this one too long.
func (w *writer) pair(name, value string) {
	if w.Len()-w.start+len(name)+len(value)+3 > maxLine {
		w.WriteString("\r\n\t")
		w.start = w.Len()
	} else {
		w.WriteByte(' ')
	}
	w.WriteString(name + "=" + value)
}

func keyword(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isKeyword(s[i]) {
			return false
		}
	}
	return s != "" && len(s) <= maxKeyword
}

// name writes a value that may be a domain, or an address.
func (w *writer) name(text string) {
	if !w.utf8 {
		text = aLabels(text)
	}
	w.value(text, plain(text))
}

// value writes text, in quotes unless it is plain.
func (w *writer) value(text string, plain bool) {
	if len(text) > maxValue {
		text = text[:maxValue]
	}
	if plain {
		w.WriteString(text)
		return
	}
	w.WriteByte('"')
	for i, c := range text {
		switch {
		case c == '(' || c == ')', c == '=' && telling(text[:i], text[i+1:]):
			w.WriteByte('?')
		case c == '"' || c == '\\':
			w.WriteByte('\\')
			w.WriteRune(c)
		case c >= ' ' && c <= '~', w.utf8 && c != utf8.RuneError && unicode.IsPrint(c):
			w.WriteRune(c)
		default:
			w.WriteByte('?')
		}
	}
	w.WriteByte('"')
}

// telling reports whether a "=" between two texts may be taken for that of a result
// or a property.
func telling(before, behind string) bool {
	behind = strings.TrimLeftFunc(behind, func(r rune) bool { return r >= utf8.RuneSelf || !isKeyword(byte(r)) })
	if len(behind) >= 4 && strings.EqualFold(behind[:4], "pass") {
		return true
	}
	name := func(r rune) bool { return r < utf8.RuneSelf && isKeyword(byte(r)) }
	before = strings.TrimRightFunc(strings.TrimRight(before, " "), name)
	ptype, ok := strings.CutSuffix(strings.TrimRight(before, " "), ".")
	if !ok {
		return false
	}
	ptype = strings.TrimRight(ptype, " ")
	switch strings.ToLower(ptype[len(strings.TrimRightFunc(ptype, name)):]) {
	case "smtp", "header", "body", "policy", "dns": // RFC 8601, section 2.3; RFC 8904, section 3
		return true
	}
	return false
}

// aLabels turns the domain that text is, or that stands behind its last '@',
// into A-labels if it is outside ASCII.
func aLabels(text string) string {
	at := strings.LastIndexByte(text, '@') + 1
	outside := func(r rune) bool { return r >= utf8.RuneSelf }
	if strings.ContainsFunc(text[at:], outside) && strings.Contains(text[at:], ".") {
		if name, err := domain.Normal(text[at:]); err == nil {
			return text[:at] + name
		}
	}
	return text
}

// plain reports whether text may stand without quotes for every reader, those
// included who know nothing of RFC 2045: as a word, or as [ word ] "@" word.
func plain(text string) bool {
	local, name, found := strings.Cut(text, "@")
	if found {
		return isPlain(local) && name != "" && isPlain(name)
	}
	return text != "" && isPlain(text)
}

func isPlain(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isKeyword(s[i]) && s[i] != '.' && s[i] != '+' {
			return false
		}
	}
	return true
}
