package arc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/smtpguard/smtpguard/internal/mailsig"
)

// The fields of a set, in the order in which they are sealed.
var fieldNames = [3]string{"ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal"}

// set is an ARC set under way.
type set struct {
	fields  [3]int          // in the header section
	tags    [3]mailsig.Tags // of them, but for the first
	results string
	message *mailsig.Signature
	seal    *mailsig.Signature

	sum        *mailsig.Sum
	key        *mailsig.Key // of seal
	messageKey *mailsig.Key
}

// collect finds the sets of a message and checks their structure (RFC 8617,
// section 5.2, steps 1 to 3). No sets and no error mean that there is no chain.
func collect(h *mailsig.Header, most int, limits mailsig.Limits) ([]set, error) {
	var all []set
	var seen []uint8 // of each set, a bit for each field
	for i := range h.Fields {
		kind := kindOf(h.Fields[i].Name)
		if kind < 0 {
			continue
		}
		n, tags, err := instance(value(h, i), kind, limits)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", fieldNames[kind], err)
		}
		if n > most {
			return nil, fmt.Errorf("over %d sets", most)
		}
		for len(all) < n {
			all, seen = append(all, set{}), append(seen, 0)
		}
		if seen[n-1]&(1<<kind) != 0 {
			return nil, fmt.Errorf("a second %s of instance %d", fieldNames[kind], n)
		}
		seen[n-1] |= 1 << kind
		all[n-1].fields[kind], all[n-1].tags[kind] = i, tags
	}
	for i, bits := range seen {
		if bits != 7 {
			return nil, fmt.Errorf("set %d is not whole", i+1)
		}
	}
	for i := len(all) - 1; i >= 0; i-- { // what the last one says counts first
		if err := all[i].read(h, i+1, limits); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// kindOf is the place of a field in its set, -1 for what is no ARC field.
func kindOf(name string) int {
	if len(name) < 4 || !strings.EqualFold(name[:4], "ARC-") {
		return -1
	}
	for i, n := range fieldNames {
		if strings.EqualFold(name, n) {
			return i
		}
	}
	return -1
}

var errInstance = errors.New("no i= tag of an instance")

// instance reads the i= of a field. Results begin with it (RFC 8617, section
// 4.1.1); in the others, of which it returns the tags, it may stand anywhere.
func instance(value string, kind int, limits mailsig.Limits) (n int, tags mailsig.Tags, err error) {
	var text string
	if kind == 0 {
		first, _, ok := strings.Cut(value, ";")
		name, number, eq := strings.Cut(first, "=")
		if !ok || !eq || trim(name) != "i" {
			return 0, nil, errInstance
		}
		text = trim(number)
	} else {
		if tags, err = mailsig.ParseField(value, limits); err != nil {
			return 0, nil, err
		}
		t, _ := tags.Get("i")
		text = t.Value
	}
	if len(text) > 2 { // section 3.9 has two digits at most
		return 0, nil, errInstance
	}
	i, err := strconv.ParseUint(text, 10, 8)
	if err != nil || i == 0 {
		return 0, nil, errInstance
	}
	return int(i), tags, nil
}

// value is that of a field of a set. Comments around its instance, which sections
// 3.9 and 4.1.1 to 4.1.3 allow, are spaces: all else is where it was.
func value(h *mailsig.Header, field int) string {
	text := h.Fields[field].Value()
	begin := trim(text)
	paren := strings.IndexByte(begin, '(')
	if paren < 0 || begin[0] != '(' && begin[0] != 'i' || strings.IndexByte(begin[:paren], ';') >= 0 {
		return text
	}
	plain := []byte(text)
	depth := 0
	for i := 0; i < len(plain); i++ {
		switch c := plain[i]; {
		case c == '(':
			depth++
		case depth == 0 && c == ';':
			return string(plain)
		case depth == 0:
			continue
		case c == ')':
			depth--
		case c == '\\' && i+1 < len(plain):
			plain[i] = ' '
			i++
		}
		plain[i] = ' '
	}
	return text // it has no end
}

func trim(s string) string { return strings.Trim(s, " \t\r\n") }

// read parses the fields of set n.
func (s *set) read(h *mailsig.Header, n int, limits mailsig.Limits) (err error) {
	_, s.results, _ = strings.Cut(value(h, s.fields[0]), ";")
	if len(s.results) > limits.FieldBytes {
		return fmt.Errorf("results %d: over %d octets", n, limits.FieldBytes)
	}
	if s.results = trim(s.results); s.results == "" {
		return fmt.Errorf("results %d: there are none", n)
	}
	if s.seal, err = mailsig.NewSeal(s.tags[2]); err != nil {
		return fmt.Errorf("seal %d: %w", n, err)
	}
	cv, _ := s.seal.Tags.Get("cv")
	switch {
	case cv.Value == "fail":
		return fmt.Errorf("seal %d: the chain had failed before", n)
	case n == 1 && cv.Value != "none", n > 1 && cv.Value != "pass":
		return fmt.Errorf("seal %d: cv= is not what it has to be there", n)
	case s.seal.Algorithm == mailsig.RSASHA1:
		return fmt.Errorf("seal %d: rsa-sha1 is no proof", n)
	}
	if s.message, err = mailsig.NewSignature(s.tags[1], limits); err != nil {
		return fmt.Errorf("message signature %d: %w", n, err)
	}
	if s.message.Algorithm == mailsig.RSASHA1 {
		return fmt.Errorf("message signature %d: rsa-sha1 is no proof", n)
	}
	if !s.message.Signs("From") {
		return fmt.Errorf("message signature %d: From field not signed", n) // RFC 6376, section 5.4
	}
	for name := range s.message.SignedFields() {
		// Nor may it have the others of the set (section 4.1.2), but many have, and they
		// do no harm: the seal covers them.
		if kindOf(name) == 2 {
			return fmt.Errorf("message signature %d: h= has the seal", n)
		}
	}
	return nil
}
