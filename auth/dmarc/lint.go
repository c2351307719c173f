package dmarc

import (
	"context"
	"fmt"
	"strings"
)

// Severity is how much a finding matters to the owner of a record.
type Severity string

const (
	Broken  Severity = "broken"  // receivers ignore the record, or this part of it
	Risky   Severity = "risky"   // it does not do what its owner may think
	Outworn Severity = "outworn" // of RFC 7489, and gone
)

// Finding is one thing that is wrong with a record.
type Finding struct {
	Severity Severity `json:"severity"`
	Tag      string   `json:"tag,omitempty"` // "" for the whole record
	Text     string   `json:"text"`
}

func (f Finding) String() string {
	if f.Tag == "" {
		return fmt.Sprintf("%s: %s", f.Severity, f.Text)
	}
	return fmt.Sprintf("%s: %s: %s", f.Severity, f.Tag, f.Text)
}

// maxFindings bounds what Lint returns of one record.
const maxFindings = 100

// linter collects findings.
type linter struct{ found []Finding }

func (l *linter) find(s Severity, tag, format string, args ...any) {
	if len(l.found) < maxFindings {
		l.found = append(l.found, Finding{s, tag, fmt.Sprintf(format, args...)})
	}
}

// Lint returns what is wrong with the text of a record, in the order of its
// tags. A record without a finding is understood by every receiver.
func Lint(text string) []Finding {
	var l linter
	r, err := ParseRecord(text)
	if err != nil {
		l.find(Broken, "", "%s: receivers ignore it", strings.TrimPrefix(err.Error(), "dmarc: "))
		return l.found
	}
	seen := make(map[string]string)
	n := 0
	for t := range tags(text) {
		if n++; n == 1 || t.name == "" && t.value == "" && !t.ok {
			continue // the version, the end, and what stands between two semicolons
		}
		l.tag(t, seen, n)
	}
	l.whole(r, seen)
	return l.found
}

// tag judges one tag by itself. n counts them, the version being the first.
func (l *linter) tag(t tag, seen map[string]string, n int) {
	if !t.ok {
		l.find(Broken, cut(t.name), "neither name=value of letters and printable ASCII nor nothing")
		return
	}
	if _, twice := seen[t.name]; twice {
		l.find(Broken, cut(t.name), "occurs more than once: counts as absent")
	}
	seen[t.name] = t.value
	value := strings.ToLower(t.value)
	bad := false
	switch t.name {
	case "p", "sp", "np":
		bad = policy(value) == ""
		if t.name == "p" && n != 2 {
			l.find(Outworn, "p", "receivers that follow RFC 7489 want it right behind the version")
		}
	case "adkim", "aspf":
		bad = value != "r" && value != "s"
	case "psd":
		bad = value != "y" && value != "n" && value != "u"
	case "t":
		bad = value != "y" && value != "n"
	case "fo":
		_, ok := failureOptions(value)
		bad = !ok
	case "rua", "ruf":
		l.uris(t)
	case "pct":
		l.find(Outworn, "pct", "gone from RFC 9989: receivers apply the policy to all mail, or as RFC 7489 says; t=y takes its place")
	case "rf", "ri":
		l.find(Outworn, t.name, "gone from RFC 9989, and ignored")
	case "v":
		l.find(Broken, "v", "occurs again, and is ignored")
	default:
		l.find(Risky, cut(t.name), "not a tag of DMARC: ignored")
	}
	if bad {
		l.find(Broken, t.name, "can not have the value %.100q", t.value)
	}
}

// uris judges the list of rua or ruf.
func (l *linter) uris(t tag) {
	for i, part := range strings.Split(t.value, ",") {
		if i == maxURIs {
			l.find(Risky, t.name, "more than %d addresses", maxURIs)
			return
		}
		part = trim(part)
		u, ok := parseURI(part)
		switch {
		case !ok && strings.Contains(part, "@") && !strings.Contains(part, ":"):
			l.find(Broken, t.name, "%.200q lacks its \"mailto:\"", part)
		case !ok:
			l.find(Broken, t.name, "%.200q is no URI", part)
		case u.Address == "":
			l.find(Risky, t.name, "%.200q: receivers need only know mailto", part)
		case u.MaxOctets > 0 || strings.Contains(part, "!"):
			l.find(Outworn, t.name, "%.200q: the size is gone from RFC 9989, and ignored", part)
		}
	}
}

// whole judges what tags say together.
func (l *linter) whole(r *Record, seen map[string]string) {
	has := func(name string) bool { _, ok := seen[name]; return ok }
	switch {
	case r.Policy == "":
		l.find(Broken, "", "without a valid p (and sp and np, where there are) and without a valid rua, DMARC is not applied (RFC 9989, section 4.10.1)")
	case !has("p"):
		l.find(Risky, "p", "missing: counts as none")
	case r.Policy == NoPolicy && policy(seen["p"]) != NoPolicy:
		l.find(Broken, "p", "counts as none, because p, sp or np is not valid (RFC 9989, section 4.10.1)")
	case r.Policy == NoPolicy && len(r.Aggregate) == 0:
		l.find(Risky, "rua", "p=none without reports to anybody has no effect")
	}
	if below := r.Subdomain; below != "" && below.rank() < r.Policy.rank() {
		l.find(Risky, "sp", "weaker than p: whoever is refused as the domain sends as a name below it")
	}
	existing := r.Subdomain
	if existing == "" {
		existing = r.Policy
	}
	if r.NonExistent != "" && r.NonExistent.rank() < existing.rank() {
		l.find(Risky, "np", "weaker than what holds for names that exist")
	}
	if has("fo") && len(r.Failure) == 0 {
		l.find(Risky, "fo", "ignored without ruf")
	}
	if r.Testing {
		if r.Policy != NoPolicy || r.Subdomain.rank() > 1 || r.NonExistent.rank() > 1 {
			l.find(Risky, "t", "policies are applied one level weaker")
		} else {
			l.find(Risky, "t", "without effect on p=none")
		}
	}
	if r.Suffix == SuffixYes {
		l.find(Risky, "psd", "every name right below is another organization")
	}
}

func cut(name string) string { return fmt.Sprintf("%.40s", clean(name)) }

// LintDomain returns what is wrong with the record that is published for a
// domain, or with there being none. Its error is that it could not be found out.
func (c *Checker) LintDomain(ctx context.Context, name string) ([]Finding, error) {
	name, err := normal(name)
	if err != nil {
		return nil, err
	}
	w, err := c.Walk(ctx, name)
	if err != nil {
		return nil, err
	}
	own := w.Steps[0]
	var l linter
	switch {
	case own.Note != "":
		l.find(Broken, "", "%s", own.Note)
	case own.Record == nil && w.Suffix != "" && w.Organizational == name:
		l.find(Risky, "", "no record: that of the public suffix %s applies, its sp or np first", w.Suffix)
	case own.Record == nil && w.Organizational == name:
		l.find(Risky, "", "no record, here or above")
	case own.Record == nil:
		l.find(Risky, "", "no record here: that of %s applies, its sp or np first", w.Organizational)
	default:
		l.found = Lint(own.Record.Text)
		if own.Record.Subdomain != "" && w.Organizational != name {
			l.find(Risky, "sp", "ignored here, below %s (RFC 9989, section 4.7)", w.Organizational)
		}
	}
	if w.Organizational != w.BySuffixList {
		l.find(Risky, "", "the organizational domain is %s by RFC 9989, %s by RFC 7489", w.Organizational, w.BySuffixList)
	}
	return l.found, nil
}
