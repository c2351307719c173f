package mailsig

import (
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// maxTags bounds a tag list. Signatures have about a dozen.
const maxTags = 64

// Tag is one tag of a list.
type Tag struct {
	Name  string
	Value string // without the white space around it

	// Start and End say where the list has the value, with all white space around
	// it.
	Start, End int
}

var (
	errTagSyntax = errors.New("not a list of tags")
	errTags      = fmt.Errorf("over %d tags", maxTags)
)

// Tags is a tag list (RFC 6376, section 3.2).
type Tags []Tag

// ParseTags reads a tag list. It appends to room. Values may have octets outside
// ASCII (RFC 8616, section 4).
func ParseTags(list string, room Tags) (Tags, error) {
	tags := room[:0]
	for pos := 0; pos < len(list); {
		end := strings.IndexByte(list[pos:], ';')
		if end < 0 {
			end = len(list)
		} else {
			end += pos
		}
		spec := list[pos:end]
		eq := strings.IndexByte(spec, '=')
		if eq < 0 {
			if len(tags) > 0 && end == len(list) && trim(spec) == "" {
				break // white space behind the last semicolon
			}
			return nil, errTagSyntax
		}
		t := Tag{Name: trim(spec[:eq]), Value: trim(spec[eq+1:]), Start: pos + eq + 1, End: end}
		switch {
		case !isTagName(t.Name) || !isTagValue(t.Value):
			return nil, errTagSyntax
		case len(tags) == maxTags:
			return nil, errTags
		}
		if _, twice := tags.Get(t.Name); twice {
			return nil, fmt.Errorf("more than one %s= tag", t.Name)
		}
		tags = append(tags, t)
		pos = end + 1
	}
	if len(tags) == 0 {
		return nil, errTagSyntax
	}
	return tags, nil
}

// Get returns the tag called name. Names differ by case.
func (t Tags) Get(name string) (Tag, bool) {
	for i := range t {
		if t[i].Name == name {
			return t[i], true
		}
	}
	return Tag{}, false
}

// maxTagName bounds the name of a tag in octets: errors quote it.
const maxTagName = 32

func isTagName(s string) bool {
	if len(s) > maxTagName {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c|0x20 && c|0x20 <= 'z':
		case i > 0 && ('0' <= c && c <= '9' || c == '_'):
		default:
			return false
		}
	}
	return s != ""
}

// isTagValue reports whether s is free of control characters other than white
// space.
func isTagValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if class[s[i]] == control {
			return false
		}
	}
	return true
}

// class tells octets of a tag value apart: most are none of these.
var class = func() (t [256]uint8) {
	for c := range byte(' ') {
		t[c] = control
	}
	t[0x7f] = control
	t[' '], t['\t'], t['\r'], t['\n'] = blank, blank, blank, blank
	return t
}()

const (
	control = iota + 1
	blank
)

// isBlank reports whether c occurs in folding white space.
func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// trim returns s without the folding white space around it.
func trim(s string) string {
	for s != "" && isBlank(s[0]) {
		s = s[1:]
	}
	for s != "" && isBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// items yields the items of a list that colons separate.
func items(list string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			item, rest, more := strings.Cut(list, ":")
			if !yield(trim(item)) || !more {
				return
			}
			list = rest
		}
	}
}

// has reports whether a list that colons separate has item.
func has(list, item string) bool {
	for s := range items(list) {
		if strings.EqualFold(s, item) {
			return true
		}
	}
	return false
}

// decode reads base64 with white space anywhere. The padding may be left out
// (RFC 6376, section 2.10).
func decode(s string) ([]byte, error) {
	text := make([]byte, 0, len(s))
	for run := 0; run < len(s); {
		end := run
		for end < len(s) && class[s[end]] != blank {
			end++
		}
		text = append(text, s[run:end]...)
		run = end + 1
	}
	for range 2 {
		if n := len(text); n > 0 && text[n-1] == '=' {
			text = text[:n-1]
		}
	}
	n, err := base64.RawStdEncoding.Decode(text, text) // never ahead of what it reads
	return text[:n], err
}

// Unquote decodes the quoted-printable of DKIM (RFC 6376, section 2.11).
func Unquote(s string) (string, error) {
	if strings.IndexByte(s, '=') < 0 && !strings.ContainsAny(s, " \t\r\n") {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case isBlank(c):
		case c == '=':
			if i+2 >= len(s) {
				return "", errors.New("bad quoted-printable")
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi < 0 || lo < 0 {
				return "", errors.New("bad quoted-printable")
			}
			b = append(b, byte(hi<<4|lo))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return string(b), nil
}

// unhex returns the value of a hexadecimal digit, -1 for anything else. Lower
// case is not one by section 2.11, and is written all the same.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
