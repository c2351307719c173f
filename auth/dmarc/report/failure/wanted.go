package failure

import (
	"bytes"
	"mime"
	"strings"

	"github.com/smtpguard/smtpguard/auth/dmarc"
)

// wanted says what the owner of the policy wants to be told of m, which depends
// on the fo tag (RFC 9989, section 4.7). DMARC holds all that the others do.
//
// What was not found out, or can not be, is no failure: it says more of us than
// of the message.
func wanted(m *Message) []Failure {
	o := &m.Outcome
	if o.Record == nil || len(o.Record.Failure) == 0 || o.Result != dmarc.Pass && o.Result != dmarc.Fail {
		return nil
	}
	if o.Record.Suffix == dmarc.SuffixYes { // RFC 9991, section 2
		return nil
	}
	if m.MailFrom == "" || automatic(m.Header) {
		return nil
	}
	var list []Failure
	for option := range strings.SplitSeq(o.Record.FailureOptions, ":") {
		switch option {
		case "0":
			if o.Result == dmarc.Fail {
				return []Failure{DMARC}
			}
		case "1":
			if len(unaligned(o)) > 0 {
				return []Failure{DMARC}
			}
		case "d":
			if failed(o) != nil {
				list = append(list, Signature)
			}
		case "s":
			if o.SPF != nil && failing(o.SPF.Result) {
				list = append(list, SPF)
			}
		}
	}
	return list
}

// failing reports whether a result of SPF or DKIM is that of a check that was
// made, and failed.
func failing(result string) bool {
	switch result {
	case "fail", "softfail", "permerror", "neutral", "policy":
		return true
	}
	return false
}

// unaligned are the methods that authenticated no aligned identifier, of those
// that came to a result (RFC 9991, section 4).
func unaligned(o *dmarc.Outcome) []string {
	var list []string
	dkim, unknown := false, false
	for i := range o.DKIM {
		dkim = dkim || o.DKIM[i].Aligned
		unknown = unknown || o.DKIM[i].Result == "temperror"
	}
	if !dkim && (!unknown || o.Result == dmarc.Fail) {
		list = append(list, "dkim")
	}
	if o.SPF == nil || !o.SPF.Aligned && (o.SPF.Result != "temperror" || o.Result == dmarc.Fail) {
		list = append(list, "spf")
	}
	return list
}

// failed is the first signature that failed, one that would have been aligned
// before others, or nil.
func failed(o *dmarc.Outcome) *dmarc.Identifier {
	var first *dmarc.Identifier
	for i := range o.DKIM {
		id := &o.DKIM[i]
		switch {
		case !failing(id.Result):
		case near(o, id.Domain):
			return id
		case first == nil:
			first = id
		}
	}
	return first
}

// near reports whether an identifier of that domain would be aligned, as far as
// the outcome tells of one that did not pass.
func near(o *dmarc.Outcome, name string) bool {
	for _, home := range [...]string{o.AuthorDomain, o.PolicyDomain, o.OrganizationalDomain} {
		if home != "" && (name == home || strings.HasSuffix(name, "."+home)) {
			return true
		}
	}
	return false
}

// automatic reports whether a message says that no person sent it, or is a report
// itself: a report about one could have another made (RFC 6591, section 6.4).
func automatic(header []byte) bool {
	for f := range fields(header) {
		value := func() string { return strings.ToLower(unfold(f.value[:min(len(f.value), maxValue)])) }
		switch strings.ToLower(f.name) {
		case "auto-submitted": // RFC 3834, section 5
			said, _, _ := strings.Cut(value(), ";")
			if said, _, _ = strings.Cut(said, "("); strings.TrimSpace(said) != "no" {
				return true
			}
		case "content-type":
			value := value()
			media, _, err := mime.ParseMediaType(value)
			if media == "multipart/report" || media == "message/feedback-report" || err != nil && strings.Contains(value, "report") {
				return true
			}
		case "feedback-type":
			return true
		}
	}
	return false
}

// field is one field of a header section.
type field struct {
	name  string // without white space before the colon
	value []byte // with its folds and without the last line end
}

// maxFields bounds the fields that are looked at.
const maxFields = 500

// fields yields the fields of a header section up to its first empty line. Lines
// that belong to none are left out.
func fields(header []byte) func(yield func(field) bool) {
	return func(yield func(field) bool) {
		for n := 0; n < maxFields; n++ {
			end := 0
			for end < len(header) {
				i := bytes.IndexByte(header[end:], '\n')
				if i < 0 {
					end = len(header)
				} else {
					end += i + 1
				}
				if end == len(header) || header[end] != ' ' && header[end] != '\t' {
					break
				}
			}
			line := bytes.TrimRight(header[:end], "\r\n")
			if header = header[end:]; len(line) == 0 {
				return
			}
			if name, value, found := bytes.Cut(line, []byte(":")); found && len(name) < 1000 && !yield(field{strings.TrimRight(string(name), " \t"), value}) {
				return
			}
		}
	}
}

// unfold returns a value on one line, without white space around it, and without
// octets that are not to be in one.
func unfold(value []byte) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < ' ' || r == 0x7f:
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(value), "\uFFFD")))
}
