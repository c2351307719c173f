package auth

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/address"
	"github.com/smtpguard/smtpguard/internal/domain"
)

// header judges the fields that say who sends.
func (s *Senders) header(ctx context.Context, id *Identity, fields []smtpguard.Field) (smtpguard.Verdict, error) {
	seen := make(map[string]int)
	j := judged{Senders: s, id: id, boxes: make(map[mailbox]bool)}
	for i := range fields {
		f := &fields[i]
		name, most := authorField(f.Name)
		if name == "" {
			continue
		}
		seen[name]++
		switch {
		case seen[name] > most:
			return refuse(550, "More than one "+name+" field", "more than one "+name+" field"), nil // RFC 5322, section 3.6
		case f.Raw()[len(f.Name)] != ':': // obsolete (section 4.5), and skipped by some readers
			return refuse(550, name+" field with a space before its colon", "a space before the colon of "+name), nil
		}
		list, err := address.List(f.Value())
		if err != nil {
			return refuse(550, name+" field is malformed or ambiguous", fmt.Sprintf("%s: %v", name, err)), nil
		}
		if len(list) > 1 && strings.HasSuffix(name, "Sender") { // RFC 5322, sections 3.6.2 and 3.6.6
			return refuse(550, name+" field with more than one address", name+" with more than one address"), nil
		}
		for _, m := range list {
			if why, err := j.refusal(ctx, m); err != nil {
				return smtpguard.Verdict{}, err
			} else if why != "" {
				return refuse(550, name+" is not yours", fmt.Sprintf("%s: %s has %s", id.Login, name, why)), nil
			}
		}
	}
	if seen["From"] == 0 {
		return refuse(550, "No From field", "no From field"), nil
	}
	return smtpguard.Verdict{}, nil
}

// authorField returns the usual spelling of a field that says who sends, and how
// many of it there may be; "" for others. A message that was sent again may have
// several blocks of Resent fields (RFC 5322, section 3.6.6).
func authorField(name string) (usual string, most int) {
	const anyNumber = 1 << 30
	for _, f := range []struct {
		name string
		most int
	}{{"From", 1}, {"Sender", 1}, {"Resent-From", anyNumber}, {"Resent-Sender", anyNumber}} {
		if strings.EqualFold(name, f.name) {
			return f.name, f.most
		}
	}
	return "", 0
}

// maxJudged bounds the addresses of one message that are looked up.
const maxJudged = 100

// judged are the addresses of one message, and what was said of them.
type judged struct {
	*Senders
	id    *Identity
	boxes map[mailbox]bool
}

func (j *judged) may(ctx context.Context, m mailbox) (bool, error) {
	ok, known := j.boxes[m]
	if known || len(j.boxes) == maxJudged {
		return ok, nil
	}
	ok, err := j.allows(ctx, j.id, m)
	j.boxes[m] = ok
	return ok, err
}

// refusal says why the identity may not send with m in one of the fields, for
// the operator; "" when it may.
func (j *judged) refusal(ctx context.Context, m address.Mailbox) (why string, err error) {
	box, err := newMailbox(m.Local, m.Domain)
	if err != nil {
		return fmt.Sprintf("%.300q, which is no address", m.Local+"@"+m.Domain), nil
	}
	if ok, err := j.may(ctx, box); !ok || err != nil {
		return fmt.Sprintf("%.300q", m.Local+"@"+m.Domain), err
	}
	if strings.ContainsFunc(m.Name, deceptive) {
		return fmt.Sprintf("a display name with control characters, %.300q", m.Name), nil
	}
	for _, addr := range addressesIn(m.Name) {
		box, err := splitMailbox(addr)
		ok := false
		if err == nil {
			if ok, err = j.may(ctx, box); err != nil {
				return "", err
			}
		}
		if !ok {
			return fmt.Sprintf("a display name that shows %.300q", addr), nil
		}
	}
	return "", nil
}

// deceptive reports whether r changes how the text around it is read, without
// being seen: control characters, and those that turn the writing direction.
func deceptive(r rune) bool {
	return unicode.IsControl(r) || r >= '\u202A' && r <= '\u202E' || r >= '\u2066' && r <= '\u2069'
}

var aroundAt = regexp.MustCompile(`\s*@\s*`)

// addressesIn returns what looks like an address in a display name to who reads
// it: text with an '@' inside, and a dot somewhere behind that. Look-alikes of
// both count; what cannot be seen does not, nor space around the '@'.
func addressesIn(name string) []string {
	if name == "" {
		return nil
	}
	name = strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Cf, r): // soft hyphens, joiners, marks
			return -1
		case r == '\u3002': // in normal form, what is left of the dots of IDNA
			return '.'
		}
		return r
	}, domain.Compatible(name))
	var found []string
	name = aroundAt.ReplaceAllLiteralString(name, "@")
	for _, word := range strings.FieldsFunc(name, func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune(`()<>[]{},;:"'|/\`, r)
	}) {
		word = strings.Trim(word, ".")
		if at := strings.IndexByte(word, '@'); at > 0 && strings.Contains(word[at+1:], ".") {
			found = append(found, word)
		}
	}
	return found
}
