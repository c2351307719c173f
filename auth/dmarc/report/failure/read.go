package failure

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/netip"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/auth/dmarc/report"
)

// Report is a failure report of others. All of it is the word of who wrote it,
// cleaned of control characters and no more: quote it wherever it goes. What a
// report lacks, or has in no form that can be read, is zero.
type Report struct {
	Feedback string  `json:"feedback,omitempty"` // "auth-failure", and in a careless report anything
	Failure  Failure `json:"failure,omitempty"`
	Agent    string  `json:"agent,omitempty"` // the program that reports
	Reporter string  `json:"reporter,omitempty"`

	Domain     string     `json:"domain,omitempty"` // what is reported, that of the author
	Source     netip.Addr `json:"source,omitzero"`
	Port       uint16     `json:"port,omitempty"`
	MailFrom   string     `json:"mail_from,omitempty"` // without brackets
	Recipients []string   `json:"recipients,omitempty"`
	EnvelopeID string     `json:"envelope_id,omitempty"`
	Arrived    time.Time  `json:"arrived,omitzero"`
	Incidents  int        `json:"incidents"` // how many failures it stands for, one at least
	Delivery   Result     `json:"delivery,omitempty"`

	Unaligned []string `json:"unaligned,omitempty"` // methods: "dkim", "spf"
	Results   []string `json:"results,omitempty"`   // values of Authentication-Results
	SPF       []Policy `json:"spf,omitempty"`

	DKIMDomain   string `json:"dkim_domain,omitempty"`
	DKIMIdentity string `json:"dkim_identity,omitempty"`
	DKIMSelector string `json:"dkim_selector,omitempty"`

	Header []byte `json:"header,omitempty"` // that of the message, as far as it is told
}

// Limits bound what is read. The zero Limits are safe.
type Limits struct {
	Octets int64 // of the mail; 0 means 1 MiB
	Header int   // of the header section of the message that are kept; 0 means 64 KiB
}

const (
	maxParts  = 50
	maxNest   = 4
	maxValues = 50   // of a field that may be there more than once
	maxValue  = 4096 // octets of a field
)

// ErrNoReport is that mail has no report in it.
var ErrNoReport = errors.New("failure: no report in the message")

// Read reads a report that came as mail, also one that is not of the form, as
// long as it has a feedback report somewhere or is the text that Exim writes.
// More than limits allow is [report.ErrTooLarge].
//
// Who sent it is for the caller to check: reports are to pass DMARC themselves
// (RFC 9991, section 5.1).
func Read(r io.Reader, limits Limits) (*Report, error) {
	if limits.Octets <= 0 {
		limits.Octets = 1 << 20
	}
	if limits.Header <= 0 {
		limits.Header = 64 << 10
	}
	text, err := io.ReadAll(io.LimitReader(r, limits.Octets+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("failure: %w", err)
	case int64(len(text)) > limits.Octets:
		return nil, fmt.Errorf("%w: more than %d octets", report.ErrTooLarge, limits.Octets)
	}
	if bytes.HasPrefix(text, []byte("From ")) { // of an mbox file
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	w := walk{limits: limits, report: Report{Incidents: 1}}
	header, body := split(text)
	if err := w.part(contentOf(header), body, 0); err != nil {
		return nil, err
	}
	if !w.found && !w.exim() {
		return nil, ErrNoReport
	}
	return &w.report, nil
}

// split cuts a header section from what follows its empty line.
func split(text []byte) (header, body []byte) {
	for end := 0; end < len(text); {
		i := bytes.IndexByte(text[end:], '\n')
		if i < 0 {
			break
		}
		if line := text[end : end+i]; len(line) == 0 || len(line) == 1 && line[0] == '\r' {
			return text[:end], text[end+i+1:]
		}
		end += i + 1
	}
	return text, nil
}

// content is what the header of a part says of it.
type content struct {
	media, boundary, encoding string
}

func contentOf(header []byte) (c content) {
	for f := range fields(header) {
		switch strings.ToLower(f.name) {
		case "content-type":
			media, params, _ := mime.ParseMediaType(unfold(f.value[:min(len(f.value), maxValue)]))
			c.media, c.boundary = media, params["boundary"]
		case "content-transfer-encoding":
			c.encoding = strings.ToLower(unfold(f.value))
		}
	}
	return c
}

// walk goes through the parts of a report.
type walk struct {
	limits Limits
	parts  int
	found  bool   // a feedback report
	text   []byte // the first of the parts that are text
	report Report
}

func (w *walk) part(c content, body []byte, depth int) error {
	if w.parts++; w.parts > maxParts || depth > maxNest {
		return fmt.Errorf("%w: too many parts", report.ErrTooLarge)
	}
	if strings.HasPrefix(c.media, "multipart/") {
		return w.multipart(c.boundary, body, depth)
	}
	switch c.encoding {
	case "base64":
		body = decoded(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(body)))
	case "quoted-printable":
		body = decoded(quotedprintable.NewReader(bytes.NewReader(body)))
	}
	switch c.media {
	case "message/feedback-report":
		if !w.found {
			w.found = true
			w.feedback(body)
		}
	case "message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers":
		if header, _ := split(body); w.report.Header == nil {
			w.report.Header = header[:min(len(header), w.limits.Header)]
		}
	case "text/plain", "":
		if w.text == nil {
			w.text = body
		}
	}
	return nil
}

// decoded is what can be decoded of a part.
func decoded(r io.Reader) []byte {
	body, _ := io.ReadAll(r)
	return body
}

func (w *walk) multipart(boundary string, body []byte, depth int) error {
	if boundary == "" {
		return nil
	}
	mr := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		p, err := mr.NextRawPart()
		if err != nil { // the end, or what can not be read of the rest
			return nil
		}
		content := content{encoding: strings.ToLower(strings.TrimSpace(p.Header.Get("Content-Transfer-Encoding")))}
		kind := p.Header.Get("Content-Type")
		media, params, _ := mime.ParseMediaType(kind[:min(len(kind), maxValue)])
		content.media, content.boundary = media, params["boundary"]
		if err := w.part(content, decoded(p), depth+1); err != nil {
			return err
		}
	}
}

// feedback reads the fields of a feedback report (RFC 5965, section 3; RFC 6591,
// section 3.2). Empty lines before them are no end.
func (w *walk) feedback(body []byte) {
	for f := range fields(bytes.TrimLeft(body, "\r\n")) {
		value := unfold(f.value[:min(len(f.value), maxValue)])
		w.field(strings.ToLower(f.name), value)
	}
}

func (w *walk) field(name, value string) {
	r := &w.report
	lower := strings.ToLower(value)
	switch name {
	case "feedback-type":
		r.Feedback = lower
	case "auth-failure":
		r.Failure = Failure(word(lower))
	case "user-agent":
		r.Agent = value
	case "reporting-mta":
		_, value, _ = strings.Cut(value, ";")
		r.Reporter = strings.TrimSpace(value)
	case "reported-domain":
		r.Domain = word(lower)
	case "source-ip":
		r.Source = source(value)
	case "source-port":
		r.Port = number[uint16](word(value))
	case "original-mail-from":
		r.MailFrom = strings.Trim(value, "<> ")
	case "original-rcpt-to":
		if len(r.Recipients) < maxValues {
			r.Recipients = append(r.Recipients, strings.Trim(value, "<> "))
		}
	case "original-envelope-id":
		r.EnvelopeID = value
	case "arrival-date", "received-date":
		if t, err := mail.ParseDate(value); err == nil && r.Arrived.IsZero() {
			r.Arrived = t
		}
	case "incidents":
		r.Incidents = max(1, int(number[int32](word(value))))
	case "delivery-result":
		r.Delivery = Result(word(lower))
	case "identity-alignment":
		r.Unaligned = methods(lower)
	case "authentication-results":
		if len(r.Results) < maxValues {
			r.Results = append(r.Results, value)
		}
	case "spf-dns":
		if p, ok := spfDNS(value); ok && len(r.SPF) < maxValues {
			r.SPF = append(r.SPF, p)
		}
	case "dkim-domain":
		r.DKIMDomain = word(lower)
	case "dkim-identity":
		r.DKIMIdentity = value
	case "dkim-selector":
		r.DKIMSelector = word(value)
	}
}
