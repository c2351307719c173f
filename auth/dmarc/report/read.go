package report

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/auth/dmarc"
)

// Limits bound what is read. The zero Limits are safe.
type Limits struct {
	Packed int64 // octets as they came; 0 means 16 MiB
	Octets int64 // of XML, unpacked; 0 means 64 MiB
	Rows   int   // 0 means 200,000
}

func (l Limits) withDefaults() Limits {
	if l.Packed <= 0 {
		l.Packed = 16 << 20
	}
	if l.Octets <= 0 {
		l.Octets = 64 << 20
	}
	if l.Rows <= 0 {
		l.Rows = 200_000
	}
	return l
}

const (
	maxDepth   = 16   // of elements; a report has seven
	maxText    = 4096 // octets of an element that are kept
	maxReasons = 20   // of a row
)

var (
	errDepth  = errors.New("report: elements too deep")
	errNoRoot = errors.New("report: no feedback in it, or no policy")
)

// parse reads the XML of a report, of RFC 9990 or RFC 7489, whatever its
// namespace. It is lenient, as reporters are careless: case of values, white
// space, unknown elements, elements left open and an order of their own do no
// harm, nor does an octet that is not of the character set.
func parse(r io.Reader, limits Limits) (*Feedback, error) {
	s := &scanner{r: bufio.NewReader(&bounded{r: r, left: limits.Octets})}
	p := parser{limits: limits, f: Feedback{Policy: Policy{Percent: 100}}}
	for !p.ended { // what stands behind it does not spoil it
		kind, err := s.next()
		switch {
		case errors.Is(err, ErrTooLarge):
			return nil, err
		case err != nil:
			return nil, fmt.Errorf("report: in the middle of it: %w", err)
		case kind == startTag:
			err = p.start(s.name)
		default:
			err = p.end(s.name, s)
		}
		if err != nil {
			return nil, err
		}
	}
	if p.f.Policy.Domain == "" {
		return nil, errNoRoot
	}
	return &p.f, nil
}

// parser is where the reading of a report is.
type parser struct {
	limits       Limits
	f            Feedback
	begun, ended bool
	path         []string // below feedback

	row    Row
	sig    Signature
	sender Sender
	reason dmarc.Override
}

func (p *parser) start(name string) error {
	switch {
	case !p.begun:
		p.begun = name == "feedback"
		return nil
	case len(p.path) == maxDepth:
		return errDepth
	}
	p.path = append(p.path, name)
	switch name {
	case "record":
		p.row = Row{}
	case "dkim":
		p.sig = Signature{}
	case "spf":
		p.sender = Sender{}
	case "reason":
		p.reason = dmarc.Override{}
	}
	return nil
}

// end ends an element: that of the name that began last, those in it having
// been left open.
func (p *parser) end(name string, s *scanner) error {
	if !p.begun {
		return nil
	}
	i := len(p.path) - 1
	for i >= 0 && p.path[i] != name {
		i--
	}
	if i < 0 {
		p.ended = name == "feedback"
		return nil
	}
	p.path = p.path[:i+1]
	text := s.value()
	var err error
	switch p.path[0] {
	case "report_metadata":
		p.metadata(text)
	case "policy_published":
		p.policy(text)
	case "record":
		err = p.record(text)
	}
	p.path = p.path[:i]
	return err
}

// at is the path below its first element.
func (p *parser) at() string { return strings.Join(p.path[1:], "/") }

func (p *parser) metadata(text string) {
	switch p.at() {
	case "org_name":
		p.f.Organization = text
	case "email":
		p.f.Email = text
	case "extra_contact_info":
		p.f.Contact = text
	case "report_id":
		p.f.ID = text
	case "date_range/begin":
		p.f.Begin = seconds(text)
	case "date_range/end":
		p.f.End = seconds(text)
	case "error":
		p.f.Error = strings.TrimSpace(p.f.Error + " " + text)
		p.f.Error = p.f.Error[:min(len(p.f.Error), maxText)]
	case "generator":
		p.f.Generator = text
	}
}

// seconds reads a time. What is none is the zero Time.
func seconds(text string) time.Time {
	text, _, _ = strings.Cut(text, ".") // some have a fraction
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > 1<<40 {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

func (p *parser) policy(text string) {
	lower := strings.ToLower(text)
	switch p.at() {
	case "domain":
		p.f.Policy.Domain = text
	case "p":
		p.f.Policy.Policy = dmarc.Policy(lower)
	case "sp":
		p.f.Policy.Subdomain = dmarc.Policy(lower)
	case "np":
		p.f.Policy.NonExistent = dmarc.Policy(lower)
	case "adkim":
		p.f.Policy.DKIM = dmarc.Mode(lower)
	case "aspf":
		p.f.Policy.SPF = dmarc.Mode(lower)
	case "fo":
		p.f.Policy.FailureOptions = lower
	case "testing":
		p.f.Policy.Testing = lower == "y"
	case "discovery_method":
		p.f.Policy.Discovery = dmarc.Discovery(lower)
	case "pct":
		if n, err := strconv.Atoi(text); err == nil && n >= 0 && n <= 100 {
			p.f.Policy.Percent = n
		}
	}
}

func (p *parser) record(text string) error {
	lower := strings.ToLower(text)
	r := &p.row
	switch p.at() {
	case "":
		if len(p.f.Rows) == p.limits.Rows {
			return fmt.Errorf("%w: more than %d rows", ErrTooLarge, p.limits.Rows)
		}
		p.f.Rows = append(p.f.Rows, *r)
	case "row/source_ip":
		r.Source, _ = netip.ParseAddr(text)
		r.Source = r.Source.Unmap().WithZone("")
	case "row/count":
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 && n < 1<<48 {
			r.Count = n
		}
	case "row/policy_evaluated/disposition":
		r.Disposition = Disposition(lower)
	case "row/policy_evaluated/dkim":
		r.DKIMAligned = lower == "pass"
	case "row/policy_evaluated/spf":
		r.SPFAligned = lower == "pass"
	case "row/policy_evaluated/reason/type":
		p.reason.Type = dmarc.OverrideType(lower)
	case "row/policy_evaluated/reason/comment":
		p.reason.Comment = text
	case "row/policy_evaluated/reason":
		if len(r.Reasons) < maxReasons && p.reason.Type != "" {
			r.Reasons = append(r.Reasons, p.reason)
		}
	case "identifiers/header_from":
		r.HeaderFrom = text
	case "identifiers/envelope_from":
		r.EnvelopeFrom = text
	case "identifiers/envelope_to":
		r.EnvelopeTo = text
	case "auth_results/dkim/domain":
		p.sig.Domain = text
	case "auth_results/dkim/selector":
		p.sig.Selector = text
	case "auth_results/dkim/result":
		p.sig.Result = lower
	case "auth_results/dkim/human_result":
		p.sig.Human = text
	case "auth_results/dkim":
		if len(r.DKIM) < 100 && p.sig != (Signature{}) { // section 3.1.3
			r.DKIM = append(r.DKIM, p.sig)
		}
	case "auth_results/spf/domain":
		p.sender.Domain = text
	case "auth_results/spf/result":
		p.sender.Result = lower
	case "auth_results/spf/human_result":
		p.sender.Human = text
	case "auth_results/spf":
		if r.SPF == nil && p.sender != (Sender{}) { // RFC 7489 has HELO second
			sender := p.sender
			r.SPF = &sender
		}
	}
	return nil
}

// bounded reads no more than left, and fails on more: a shorter report would
// count wrongly.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, ErrTooLarge
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return 0, ErrTooLarge
	}
	return n, err
}

// packed are the magic numbers of gzip and zip.
var packed = [...]string{"\x1f\x8b", "PK\x03\x04"}

func isPacked(head []byte) bool {
	return slices.ContainsFunc(packed[:], func(magic string) bool { return strings.HasPrefix(string(head), magic) })
}
