package report

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/smtpguard/smtpguard/auth/dmarc"
)

// Disposition is what was done with a message (RFC 9990, section 3.1.1.9).
type Disposition string

const (
	DispositionNone       Disposition = "none"
	DispositionPass       Disposition = "pass" // it passed, where the policy is not none
	DispositionQuarantine Disposition = "quarantine"
	DispositionReject     Disposition = "reject"
)

// Row is messages that are alike, and how many there were.
type Row struct {
	Source netip.Addr `json:"source"` // the client; invalid where a report of others has none
	Count  int64      `json:"-"`

	Disposition Disposition      `json:"disposition"`
	DKIMAligned bool             `json:"dkim_aligned,omitempty"` // passed in alignment
	SPFAligned  bool             `json:"spf_aligned,omitempty"`
	Reasons     []dmarc.Override `json:"reasons,omitempty"` // why it is not as published

	HeaderFrom   string `json:"header_from"`
	EnvelopeFrom string `json:"envelope_from,omitempty"` // domain; "" for the null reverse-path
	EnvelopeTo   string `json:"envelope_to,omitempty"`   // domain; "" where it is not told

	DKIM []Signature `json:"dkim,omitempty"`
	SPF  *Sender     `json:"spf,omitempty"` // nil where there was no check
}

// Signature is what DKIM said of one.
type Signature struct {
	Domain   string `json:"domain"`
	Selector string `json:"selector,omitempty"`
	Result   string `json:"result"` // RFC 8601, section 2.7.1
	Human    string `json:"human,omitempty"`
}

// Sender is what SPF said of the "MAIL FROM" identity.
type Sender struct {
	Domain string `json:"domain"`
	Result string `json:"result"` // RFC 8601, section 2.7.2
	Human  string `json:"human,omitempty"`
}

// Policy is a record as a report has it (RFC 9990, section 3.1.1.5).
type Policy struct {
	Domain      string          `json:"domain"` // where the record is
	Discovery   dmarc.Discovery `json:"discovery,omitempty"`
	Policy      dmarc.Policy    `json:"p"`
	Subdomain   dmarc.Policy    `json:"sp,omitempty"`
	NonExistent dmarc.Policy    `json:"np,omitempty"`
	DKIM        dmarc.Mode      `json:"adkim,omitempty"`
	SPF         dmarc.Mode      `json:"aspf,omitempty"`

	FailureOptions string `json:"fo,omitempty"`
	Testing        bool   `json:"t,omitempty"`
	Percent        int    `json:"pct"` // RFC 7489 only; 100 where a report has none
}

// policyOf is what a report says of the record that applied.
func policyOf(o *dmarc.Outcome) Policy {
	r := o.Record
	return Policy{
		Domain: o.PolicyDomain, Discovery: o.Discovery,
		Policy: r.Policy, Subdomain: r.Subdomain, NonExistent: r.NonExistent,
		DKIM: r.DKIM, SPF: r.SPF, FailureOptions: r.FailureOptions, Testing: r.Testing, Percent: r.Percent,
	}
}

// maxSignatures bounds the signatures of a row. RFC 9990, section 3.1.3, allows a
// hundred; who makes that many is not helped by a report of all.
const maxSignatures = 20

// rowOf is what a report says of a message.
func rowOf(m *Message) Row {
	o := &m.Outcome
	row := Row{
		Source: m.Source.Unmap().WithZone(""), Disposition: Disposition(o.Disposition), Reasons: o.Overrides,
		HeaderFrom: o.AuthorDomain, EnvelopeFrom: m.EnvelopeFrom, EnvelopeTo: m.EnvelopeTo,
	}
	if o.Result == dmarc.Pass && o.Policy != dmarc.NoPolicy {
		row.Disposition = DispositionPass
	}
	if o.SPF != nil {
		row.SPFAligned = o.SPF.Aligned
		row.SPF = &Sender{Domain: o.SPF.Domain, Result: o.SPF.Result, Human: human(o.SPF)}
	}
	ids := slices.Clone(o.DKIM)
	slices.SortStableFunc(ids, func(a, b dmarc.Identifier) int { return worth(o, b) - worth(o, a) })
	for i := range ids {
		row.DKIMAligned = row.DKIMAligned || ids[i].Aligned
		if i < maxSignatures {
			row.DKIM = append(row.DKIM, Signature{Domain: ids[i].Domain, Selector: ids[i].Selector, Result: ids[i].Result, Human: human(&ids[i])})
		}
	}
	return row
}

// human is the reason of an identifier, if it says more than its result does.
func human(id *dmarc.Identifier) string {
	if strings.HasPrefix(id.Reason, "no ") {
		return id.Reason
	}
	return ""
}

// worth orders signatures as section 3.1.3 prefers them.
func worth(o *dmarc.Outcome, id dmarc.Identifier) int {
	switch {
	case id.Aligned && id.Domain == o.AuthorDomain:
		return 3
	case id.Aligned:
		return 2
	case id.Result == "pass":
		return 1
	}
	return 0
}
