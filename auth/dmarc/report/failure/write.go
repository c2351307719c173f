package failure

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/internal/domain"
)

// Mail is a report ready to be sent to one address.
//
// It is to be sent with the null reverse-path, so that nothing comes back of what
// can not be delivered (RFC 6591, section 6.4), signed with DKIM for the domain of
// [Config.From], and over TLS. Its lines end with CRLF and are 7-bit.
type Mail struct {
	From      string // of the header; the reverse-path is ""
	To        string // the forward-path
	ID        string // of the message, without brackets
	Domain    string // the policy domain that it is about
	Failure   Failure
	Incidents int // how many failures of that kind it stands for
	Content   []byte
}

// draft is the parts of a report that do not depend on whom it goes to, nor on
// how often it happened.
type draft struct {
	failure Failure
	domain  string // of the policy
	uris    []dmarc.URI
	text    string
	fields  string // of the feedback report, without Incidents
	header  string // that of the message, redacted
}

// draft writes what is to be told of m.
func (r *Reporter) draft(m *Message, what Failure, now time.Time) draft {
	o := &m.Outcome
	arrived := m.Arrived
	if arrived.IsZero() {
		arrived = now
	}
	when := arrived.Format("Mon, 02 Jan 2006 15:04:05 -0700")
	source := m.Source.Unmap().WithZone("")
	client := "an unknown client"
	if source.IsValid() {
		client = "IP " + source.String()
	}
	d := draft{failure: what, domain: o.PolicyDomain, uris: o.Record.Failure, header: r.redact.header(m.Header)}
	d.text = fmt.Sprintf("This is an authentication failure report for an email message\r\nreceived from %s on %s.\r\n"+
		"Its author is said to be of %s.\r\n\r\nWhat could tell who people are, and what they write, was removed.\r\n",
		client, when, o.AuthorDomain)

	var b strings.Builder
	put := func(name, value string) {
		if value != "" {
			b.WriteString(fold(name, value))
		}
	}
	put("Feedback-Type", "auth-failure")
	put("User-Agent", "smtpguard")
	put("Version", "1")
	put("Auth-Failure", string(what))
	put("Authentication-Results", r.host+"; "+results(o, what))
	if isText(m.EnvelopeID, atext+".:@") && len(m.EnvelopeID) < 256 {
		put("Original-Envelope-Id", m.EnvelopeID)
	}
	if path := r.redact.path(m.MailFrom); path != "" {
		put("Original-Mail-From", "<"+path+">")
	}
	put("Arrival-Date", when)
	put("Reporting-MTA", "dns; "+r.host)
	if source.IsValid() {
		put("Source-IP", source.String())
		if m.Port != 0 {
			put("Source-Port", fmt.Sprint(m.Port)) // RFC 6692
		}
	}
	put("Reported-Domain", o.AuthorDomain)
	switch m.Delivery {
	case Delivered, Spam, Withheld, Rejected, Other:
		put("Delivery-Result", string(m.Delivery))
	}
	failures := unaligned(o)
	if what == DMARC {
		alignment := strings.Join(failures, ", ")
		if alignment == "" {
			alignment = "none"
		}
		put("Identity-Alignment", alignment)
	}
	if what != SPF {
		if id := failed(o); id != nil {
			r.signed(put, m, id)
		}
	}
	if what != Signature && o.SPF != nil && o.SPF.Result != "pass" {
		spfRecords(put, m.SPF)
	}
	d.fields = b.String()
	return d
}

// results says what failed as an Authentication-Results field would: of one
// method (RFC 6591, section 3.1).
func results(o *dmarc.Outcome, what Failure) string {
	switch what {
	case Signature:
		id := failed(o)
		text := "dkim=" + id.Result
		if name, err := domain.Normal(id.Domain); err == nil {
			text += " header.d=" + name
		}
		return text
	case SPF:
		text := "spf=" + o.SPF.Result
		if name, err := domain.Normal(o.SPF.Domain); err == nil {
			text += " smtp.mailfrom=" + name
		}
		return text
	}
	return fmt.Sprintf("dmarc=%s header.from=%s", o.Result, o.AuthorDomain)
}

// signed writes the fields that are of a signature (RFC 6591, section 3.2.3). The
// canonical forms of what was signed are not told: they have all that is removed.
func (r *Reporter) signed(put func(name, value string), m *Message, id *dmarc.Identifier) {
	name, err := domain.Normal(id.Domain)
	if err != nil {
		return
	}
	identity := "@" + name
	for i := range m.Outcome.DKIM {
		if id == &m.Outcome.DKIM[i] && i < len(m.Identities) {
			if told := r.redact.identity(m.Identities[i]); told != "" {
				identity = told
			}
		}
	}
	put("DKIM-Domain", name)
	put("DKIM-Identity", identity)
	if isText(id.Selector, ".-_") && len(id.Selector) < 256 {
		put("DKIM-Selector", id.Selector)
	}
}

// maxRecords bounds the octets of SPF records that are told.
const maxRecords = 4 << 10

// spfRecords writes the records that SPF found (RFC 6591, section 3.2.6), as far
// as they are text.
func spfRecords(put func(name, value string), records []Policy) {
	left := maxRecords
	for _, p := range records {
		if left -= len(p.Record) + len(p.Domain); left < 0 {
			return
		}
		name, err := domain.Normal(p.Domain)
		if err != nil || !isPrintable(p.Record) {
			continue
		}
		text := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(p.Record)
		put("SPF-DNS", "txt : "+name+` : "`+text+`"`)
	}
}

// mail writes the report to one address.
func (r *Reporter) mail(d *draft, incidents int, to string, now time.Time) Mail {
	m := Mail{From: r.from, To: to, Domain: d.domain, Failure: d.failure, Incidents: incidents}
	m.ID = strings.ToLower(rand.Text()) + "@" + r.host
	boundary := "=_" + rand.Text() // that no message can have in it
	var b strings.Builder
	b.WriteString(fold("From", "<"+r.from+">"))
	b.WriteString(fold("To", "<"+to+">"))
	b.WriteString(fold("Date", now.Format("Mon, 02 Jan 2006 15:04:05 -0700")))
	b.WriteString(fold("Message-ID", "<"+m.ID+">"))
	// Not that of the message, as RFC 5965, section 2, has it: it is what people
	// write, or what an attacker wants to be read.
	b.WriteString(fold("Subject", "Failure report for "+d.domain))
	b.WriteString("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n")
	b.WriteString("Content-Type: multipart/report; report-type=feedback-report;\r\n boundary=\"" + boundary + "\"\r\n")
	part := func(media, content string) {
		b.WriteString("\r\n--" + boundary + "\r\nContent-Type: " + media + "\r\n\r\n" + content)
	}
	part("text/plain; charset=us-ascii", d.text)
	fields := d.fields
	if incidents > 1 {
		fields += fold("Incidents", fmt.Sprint(incidents))
	}
	part("message/feedback-report", fields)
	part("text/rfc822-headers", d.header)
	b.WriteString("\r\n--" + boundary + "--\r\n")
	m.Content = []byte(b.String())
	return m
}
