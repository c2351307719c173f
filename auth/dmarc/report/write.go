package report

import (
	"bufio"
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/smtpguard/smtpguard/auth/dmarc"
)

// writer writes a report in the order that its schema wants (RFC 9990, appendix
// A; RFC 7489, appendix C).
type writer struct {
	w      *bufio.Writer
	legacy bool
	depth  int
	err    error
}

func newWriter(w io.Writer, legacy bool) *writer {
	return &writer{w: bufio.NewWriterSize(w, 32<<10), legacy: legacy}
}

func (x *writer) raw(parts ...string) {
	for _, s := range parts {
		if x.err == nil {
			_, x.err = x.w.WriteString(s)
		}
	}
}

func (x *writer) open(name, attribute string) {
	x.raw(strings.Repeat(" ", x.depth), "<", name, attribute, ">\n")
	x.depth++
}

func (x *writer) close(name string) {
	x.depth--
	x.raw(strings.Repeat(" ", x.depth), "</", name, ">\n")
}

// text writes an element with text, which it escapes: characters that XML can
// not have become U+FFFD.
func (x *writer) text(name, value string) {
	x.raw(strings.Repeat(" ", x.depth), "<", name, ">")
	if x.err == nil {
		x.err = xml.EscapeText(x.w, []byte(value))
	}
	x.raw("</", name, ">\n")
}

// may writes an element that there need not be.
func (x *writer) may(name, value string) {
	if value != "" {
		x.text(name, value)
	}
}

// begin writes what stands before the rows.
func (x *writer) begin(f *Feedback) {
	x.raw(xml.Header)
	if x.legacy {
		x.open("feedback", "")
	} else {
		x.open("feedback", ` xmlns="`+Namespace+`"`)
	}
	x.text("version", "1.0")
	x.open("report_metadata", "")
	x.text("org_name", f.Organization)
	x.text("email", f.Email)
	x.may("extra_contact_info", f.Contact)
	x.text("report_id", f.ID)
	x.open("date_range", "")
	x.text("begin", strconv.FormatInt(f.Begin.Unix(), 10))
	x.text("end", strconv.FormatInt(f.End.Unix(), 10))
	x.close("date_range")
	x.may("error", f.Error)
	if !x.legacy {
		x.may("generator", f.Generator)
	}
	x.close("report_metadata")
	x.policy(&f.Policy)
}

func (x *writer) policy(p *Policy) {
	x.open("policy_published", "")
	x.text("domain", p.Domain)
	x.may("adkim", string(p.DKIM))
	x.may("aspf", string(p.SPF))
	x.text("p", string(cmp.Or(p.Policy, dmarc.NoPolicy)))
	if x.legacy {
		x.text("sp", string(cmp.Or(p.Subdomain, p.Policy, dmarc.NoPolicy)))
		x.text("pct", strconv.Itoa(p.Percent))
		x.may("fo", p.FailureOptions)
	} else {
		x.may("sp", string(p.Subdomain))
		x.may("np", string(p.NonExistent))
		x.may("fo", p.FailureOptions)
		testing := "n"
		if p.Testing {
			testing = "y"
		}
		x.text("testing", testing)
		x.may("discovery_method", string(p.Discovery))
	}
	x.close("policy_published")
}

// row writes one record.
func (x *writer) row(r *Row) {
	x.open("record", "")
	x.open("row", "")
	x.text("source_ip", r.Source.String())
	x.text("count", strconv.FormatInt(r.Count, 10))
	x.open("policy_evaluated", "")
	disposition := r.Disposition
	if x.legacy && disposition == DispositionPass {
		disposition = DispositionNone
	}
	x.text("disposition", string(disposition))
	x.text("dkim", passOrFail(r.DKIMAligned))
	x.text("spf", passOrFail(r.SPFAligned))
	for _, o := range r.Reasons {
		x.reason(o)
	}
	x.close("policy_evaluated")
	x.close("row")

	x.open("identifiers", "")
	x.may("envelope_to", r.EnvelopeTo)
	x.text("envelope_from", r.EnvelopeFrom)
	x.text("header_from", r.HeaderFrom)
	x.close("identifiers")

	x.open("auth_results", "")
	for _, sig := range r.DKIM {
		x.open("dkim", "")
		x.text("domain", sig.Domain)
		x.text("selector", sig.Selector)
		x.text("result", result(sig.Result, "neutral"))
		x.may("human_result", sig.Human)
		x.close("dkim")
	}
	if spf := r.SPF; spf != nil {
		x.open("spf", "")
		x.text("domain", spf.Domain)
		x.text("scope", "mfrom")
		x.text("result", result(spf.Result, "neutral", "softfail"))
		x.may("human_result", spf.Human)
		x.close("spf")
	} else if x.legacy { // which must have one, and that a domain
		x.open("spf", "")
		x.text("domain", cmp.Or(r.EnvelopeFrom, r.HeaderFrom))
		x.text("result", "none")
		x.close("spf")
	}
	x.close("auth_results")
	x.close("record")
}

// reason writes an override, as "other" where its type is not of the schema.
func (x *writer) reason(o dmarc.Override) {
	kind, comment := o.Type, o.Comment
	known := []dmarc.OverrideType{dmarc.LocalPolicy, dmarc.MailingList, dmarc.TrustedForwarder, dmarc.OtherOverride, dmarc.PolicyTestMode}
	if x.legacy {
		known[len(known)-1] = dmarc.SampledOut
	}
	if !slices.Contains(known, kind) {
		kind, comment = dmarc.OtherOverride, strings.TrimSpace(fmt.Sprintf("%s %s", kind, comment))
	}
	x.open("reason", "")
	x.text("type", string(kind))
	x.may("comment", comment)
	x.close("reason")
}

func passOrFail(aligned bool) string {
	if aligned {
		return "pass"
	}
	return "fail"
}

// result is a result of the schema, "none" for one that is not.
func result(text string, also ...string) string {
	if slices.Contains([]string{"none", "pass", "fail", "policy", "temperror", "permerror"}, text) || slices.Contains(also, text) {
		return text
	}
	return "none"
}

// end writes what stands behind the rows.
func (x *writer) end() error {
	x.close("feedback")
	if x.err == nil {
		x.err = x.w.Flush()
	}
	return x.err
}
