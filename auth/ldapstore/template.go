package ldapstore

import (
	"errors"
	"fmt"
	"strings"
)

// template is text with places for a login and its parts.
type template struct {
	text []string // before each place, and after the last
	at   []string // places: login, local, domain
}

// parseTemplate reads {login}, {local} and {domain} in s; there must be one.
func parseTemplate(s string) (t template, err error) {
	for {
		before, rest, found := strings.Cut(s, "{")
		if strings.Contains(before, "}") {
			return t, errors.New("has a } without its {")
		}
		t.text = append(t.text, before)
		if !found {
			break
		}
		place, after, found := strings.Cut(rest, "}")
		if !found || place != "login" && place != "local" && place != "domain" {
			return t, fmt.Errorf("has {%s, which is none of {login}, {local} and {domain}", place)
		}
		t.at = append(t.at, place)
		s = after
	}
	if len(t.at) == 0 {
		return t, errors.New("has none of {login}, {local} and {domain}: everybody would be the same")
	}
	return t, nil
}

// ambiguous reports whether logins of different domains fill t alike.
func (t template) ambiguous() bool {
	for _, place := range t.at {
		if place != "local" {
			return false
		}
	}
	return true
}

// fill puts a login into t, escaped.
func (t template) fill(login string, escape func(string) string) string {
	local, domain := split(login)
	var b strings.Builder
	for i, text := range t.text {
		b.WriteString(text)
		if i == len(t.at) {
			break
		}
		switch t.at[i] {
		case "login":
			b.WriteString(escape(login))
		case "local":
			b.WriteString(escape(local))
		case "domain":
			b.WriteString(escape(domain))
		}
	}
	return b.String()
}

// split splits a login at its last "@"; one without has no domain.
func split(login string) (local, domain string) {
	if at := strings.LastIndexByte(login, '@'); at >= 0 {
		return login[:at], login[at+1:]
	}
	return login, ""
}

// escapeDN escapes a value for a DN. All that is not surely plain is written as
// hexadecimal octets (RFC 4514, section 2.4).
func escapeDN(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_', c == '@':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "\\%02x", c)
		}
	}
	return b.String()
}

func unescaped(s string) string { return s }
