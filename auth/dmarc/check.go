package dmarc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// Check evaluates m.
func (c *Checker) Check(ctx context.Context, m Message) Outcome {
	return c.check(ctx, &m, rand.IntN(100))
}

// check does it with draw, from 0 to 99, for the sampling of RFC 7489.
func (c *Checker) check(ctx context.Context, m *Message, draw int) Outcome {
	author, err := AuthorDomain(m.Header, c.mailboxes)
	if err != nil {
		return c.defect(m, err)
	}
	l := c.lookups(ctx)
	defer l.ctx.End()
	l.begin(l.foreseen(author)...)
	return l.judge(m, author, draw)
}

// Begin is for packages of this module that find out what a Message has while DNS
// is asked: it reads the author domain and asks for what is needed of it, and
// returns what to call, before ctx ends, when the rest is known. Without an author
// domain author is "". Header need not be set for finish.
func (c *Checker) Begin(ctx context.Context, header []byte) (author string, finish func(m *Message) Outcome) {
	author, err := AuthorDomain(header, c.mailboxes)
	if err != nil {
		return "", func(m *Message) Outcome { return c.defect(m, err) }
	}
	l := c.lookups(ctx)
	l.begin(l.foreseen(author)...)
	return author, func(m *Message) Outcome {
		defer l.ctx.End()
		return l.judge(m, author, rand.IntN(100))
	}
}

// defect is the outcome of a message without an author domain.
func (c *Checker) defect(m *Message, err error) Outcome {
	defect, _ := errors.AsType[Defect](err)
	out := c.outcome(m, "", c.discovery)
	out.Result, out.Defect, out.Reason, out.Disposition = PermError, defect, reason(err), c.malformed
	return out
}

// judge evaluates m, by both discoveries where that is asked for.
func (l *lookups) judge(m *Message, author string, draw int) Outcome {
	c := l.c
	l.foresee(author, m)
	out := c.evaluate(l, m, author, c.discovery, draw)
	if c.compare {
		other := TreeWalk
		if c.discovery == TreeWalk {
			other = PublicSuffix
		}
		o := c.evaluate(l, m, author, other, draw)
		o.Lookups = l.asked
		out.Other, out.Differs = &o, differs(&out, &o)
	}
	out.Lookups = l.asked
	return out
}

// walks reports whether trees are walked.
func (c *Checker) walks() bool { return c.discovery == TreeWalk || c.compare }

// foreseen are the names that a usual message needs for its author domain.
func (l *lookups) foreseen(author string) []string {
	if !l.c.walks() {
		return []string{author, l.c.registered(author)}
	}
	return targets(author)
}

// foresee asks at once for all else that a usual message needs, so that it waits
// for DNS once: the walks from identifiers that have the last two labels of the
// author domain.
func (l *lookups) foresee(author string, m *Message) {
	var names []string // besides the author domain's
	near := suffix(author, min(labels(author), 2))
	add := func(name, result string) {
		if result != string(Pass) || name == author || !l.c.walks() {
			return
		}
		name, err := domain.Normal(name)
		if err != nil || !within(name, near) || name == author {
			return
		}
		for _, target := range targets(name) {
			if !slices.Contains(names, target) && len(l.names)+len(names) < l.c.budget/2 {
				names = append(names, target)
			}
		}
	}
	add(m.SPF.Domain, m.SPF.Result)
	for _, sig := range m.DKIM {
		add(sig.Domain, sig.Result)
	}
	l.ask(names...)
}

// outcome has what is known before DNS is asked.
func (c *Checker) outcome(m *Message, author string, by Discovery) Outcome {
	out := Outcome{Result: None, Disposition: NoPolicy, AuthorDomain: author, Discovery: by}
	if m.SPF != (SPF{}) {
		id := identifier(m.SPF.Domain, "", m.SPF.Result)
		out.SPF = &id
	}
	for _, sig := range m.DKIM {
		out.DKIM = append(out.DKIM, identifier(sig.Domain, sig.Selector, sig.Result))
	}
	if m.ARC != (ARC{}) {
		arc := m.ARC
		out.ARC = &arc
	}
	return out
}

func identifier(name, selector, result string) Identifier {
	id := Identifier{Domain: clean(name), Selector: clean(selector), Result: clean(result)}
	if normal, err := domain.Normal(name); err == nil {
		id.Domain = normal
	} else {
		id.Reason = "no domain name"
	}
	if strings.ContainsFunc(selector, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`()<>[]:;@\,"'`, r) }) {
		id.Reason = "no selector" // its key may be that of another name
	}
	return id
}

// evaluation is a message under one discovery.
type evaluation struct {
	*lookups
	by  Discovery
	out Outcome

	home    place // of the author domain
	homeErr error
	settled bool // home is known, or homeErr
}

func (c *Checker) evaluate(l *lookups, m *Message, author string, by Discovery, draw int) Outcome {
	e := &evaluation{lookups: l, by: by, out: c.outcome(m, author, by)}
	if err := e.discover(); err != nil {
		return e.unknown(err)
	}
	if c.compare {
		_, _ = e.settle() // so that both have it; whoever needs it meets the error
	}
	e.out.OrganizationalDomain = e.home.organizational
	if e.out.Record == nil {
		e.out.Reason = "no policy record"
		return e.out
	}
	if r := e.out.Record; r.Policy == "" { // RFC 9989, section 4.10.1
		e.out.Reason = fmt.Sprintf("the record at %s has neither a valid policy nor an address for reports", e.out.PolicyDomain)
		if r.invalid {
			e.out.Result = PermError // section 9.2
		}
		return e.out
	}
	passed, missed := e.align()
	e.out.OrganizationalDomain = e.home.organizational
	switch {
	case passed:
		e.out.Result = Pass
		e.out.Policy, e.out.PolicyTag = e.requested(false)
	case missed != nil:
		return e.unknown(missed)
	default:
		if err := e.fail(m, draw); err != nil {
			return e.unknown(err)
		}
	}
	return e.out
}

// unknown is the outcome where an answer was needed that did not come.
func (e *evaluation) unknown(err error) Outcome {
	e.out.Result, e.out.Reason = TempError, reason(err)
	return e.out
}

// discover finds the record that applies to the author domain (RFC 9989,
// section 4.10.1; RFC 7489, section 6.6.3).
func (e *evaluation) discover() error {
	author := e.out.AuthorDomain
	e.ask(author)
	own := e.known(author)
	if own.err != nil {
		return own.err
	}
	if own.record != nil {
		e.out.Record, e.out.PolicyDomain = own.record, author
		return nil
	}
	home, err := e.settle()
	switch {
	case err != nil:
		return err
	case home.record != nil:
		e.out.Record, e.out.PolicyDomain = home.record, home.organizational
	case home.psdRecord != nil:
		e.out.Record, e.out.PolicyDomain = home.psdRecord, home.psd
	}
	return nil
}

// settle finds the organizational domain of the author.
func (e *evaluation) settle() (place, error) {
	if !e.settled {
		e.home, e.homeErr = e.place(e.out.AuthorDomain)
		e.settled = true
	}
	return e.home, e.homeErr
}

// place finds the organizational domain of name. By the Public Suffix List only
// that of the author needs its record.
func (e *evaluation) place(name string) (place, error) {
	if e.by == TreeWalk {
		return e.walk(name)
	}
	at := place{organizational: e.c.registered(name)}
	if name != e.out.AuthorDomain || e.known(name).record != nil {
		return at, nil
	}
	e.ask(at.organizational)
	a := e.known(at.organizational)
	at.record = a.record
	return at, a.err
}

// requested returns the policy that the owner asks for, and the tag it is of.
// missing is that the author domain does not exist.
func (e *evaluation) requested(missing bool) (Policy, string) {
	r := e.out.Record
	switch {
	case e.out.PolicyDomain == e.out.AuthorDomain:
	case missing && r.NonExistent != "":
		return r.NonExistent, "np"
	case r.Subdomain != "":
		return r.Subdomain, "sp"
	}
	return r.Policy, "p"
}

// fail makes the outcome of a message that fails. Its error is that of the
// answer that np= needs.
func (e *evaluation) fail(m *Message, draw int) error {
	r := e.out.Record
	asked, _ := e.requested(false)
	missing := false
	if unless, _ := e.requested(true); unless != asked && e.by == TreeWalk {
		found, err := e.exists()
		if err != nil {
			return err
		}
		missing = !found
	}
	e.out.Result, e.out.Reason = Fail, "nothing that is authenticated is aligned"
	e.out.Policy, e.out.PolicyTag = e.requested(missing)
	e.out.Disposition = e.out.Policy
	if r.Testing && e.by == TreeWalk {
		e.override(Override{Type: PolicyTestMode, Disposition: e.out.Policy.below()})
	}
	if draw >= r.Percent && e.by == PublicSuffix { // RFC 7489, section 6.6.4
		e.override(Override{Type: SampledOut, Disposition: e.out.Policy.below()})
	}
	if a := m.ARC; a.Result == string(Pass) && a.Trusted && a.Passed {
		e.override(Override{Type: LocalPolicy, Comment: fmt.Sprintf("arc=pass as[%d].d=%s as[%[1]d].s=%s",
			a.Instance, clean(a.Domain), clean(a.Selector))}) // RFC 8617, section 7.2.2
	}
	for _, o := range m.Overrides {
		e.override(o)
	}
	return nil
}

// override lets o count, if it makes the disposition weaker.
func (e *evaluation) override(o Override) {
	if o.Disposition.rank() == 0 {
		o.Disposition = NoPolicy
	}
	if weaker(e.out.Disposition, o.Disposition) != e.out.Disposition {
		e.out.Disposition = o.Disposition
		e.out.Overrides = append(e.out.Overrides, o)
	}
}

// exists asks whether the author domain does, within the budget.
func (e *evaluation) exists() (bool, error) {
	if e.existence == nil {
		if e.asked == e.c.budget {
			return false, errBudget
		}
		e.asked++
		e.existence = &existence{}
		done := make(chan existence, 1)
		go func() {
			found, err := e.c.exists(e.ctx, e.out.AuthorDomain+".")
			done <- existence{found, err}
		}()
		select {
		case *e.existence = <-done:
		case <-e.ctx.Done():
			e.existence.err = e.ctx.Err()
		}
		if e.existence.err != nil {
			e.existence.err = fmt.Errorf("dmarc: does %s exist? %w", e.out.AuthorDomain, e.existence.err)
		}
	}
	return e.existence.found, e.existence.err
}

// differs names the fields in which two discoveries differ.
func differs(a, b *Outcome) (fields []string) {
	for _, f := range []struct {
		name string
		same bool
	}{
		{"result", a.Result == b.Result},
		{"disposition", a.Disposition == b.Disposition},
		{"organizational_domain", a.OrganizationalDomain == b.OrganizationalDomain},
		{"policy_domain", a.PolicyDomain == b.PolicyDomain},
		{"policy", a.Policy == b.Policy},
		{"overrides", slices.Equal(a.Overrides, b.Overrides)},
	} {
		if !f.same {
			fields = append(fields, f.name)
		}
	}
	return fields
}

// maxReason bounds a reason in octets: a resolver's errors quote what it read.
const maxReason = 500

// reason is err for the operator, on one line.
func reason(err error) string {
	return clean(strings.TrimPrefix(err.Error(), "dmarc: "))
}

// clean returns text with nothing in it that would break a line of a log.
func clean(text string) string {
	if len(text) > maxReason {
		text = text[:maxReason]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}
