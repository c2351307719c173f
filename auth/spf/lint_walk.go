package spf

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// maxPolicyText is what a record should have at most, in octets, so that it fits
// an answer of 512 with the names around it (RFC 7208, section 3.4).
const maxPolicyText = 450

// linter walks through a policy and what it includes.
type linter struct {
	checker *Checker
	ctx     context.Context
	report  Report
}

// find reports a defect in the record of name.
func (l *linter) find(d Defect, name, term, text string) {
	if len(l.report.Findings) < maxFindings {
		l.report.Findings = append(l.report.Findings, Finding{d, unrooted(name), term, text})
	}
}

// policy walks through the record of name. path are the names whose records lead
// here, of the last one by term.
func (l *linter) policy(name string, path []string, term string) {
	from := name // who has to mend a dead end
	if len(path) > 0 {
		from = path[len(path)-1]
	}
	if slices.Contains(path, name) {
		l.find(Loop, from, term, "leads back to "+unrooted(name))
		return
	}
	texts, err := l.checker.resolver.LookupTXT(l.ctx, name)
	if err != nil && !notFound(err) {
		l.find(Unreachable, name, "", "the policy cannot be read: "+clip(err.Error()))
		return
	}
	texts = slices.DeleteFunc(slices.Clone(texts), func(s string) bool { return !isPolicy(s) })
	switch {
	case len(texts) == 0 && len(path) == 0:
		l.find(NoPolicy, name, "", "there is no record that begins with v=spf1")
		return
	case len(texts) == 0:
		l.find(DeadEnd, from, term, unrooted(name)+" has no policy")
		return
	case len(texts) > 1:
		l.find(ManyRecords, name, "", fmt.Sprintf("%d records begin with v=spf1, and one may", len(texts)))
		return
	}
	l.report.Records++
	if len(texts[0]) > maxPolicyText {
		l.find(Oversize, name, "", fmt.Sprintf("%d octets; more than %d may not fit one UDP answer", len(texts[0]), maxPolicyText))
	}
	rec, err := l.checker.records.parse(texts[0])
	if err != nil {
		l.find(Malformed, name, "", err.Error())
		return
	}
	l.terms(rec, name, append(slices.Clip(path), name))
}

// terms walks through the terms of name's record.
func (l *linter) terms(rec *record, name string, path []string) {
	all := slices.IndexFunc(rec.directives, func(d directive) bool { return d.kind == mechAll })
	for i := range rec.directives {
		d := &rec.directives[i]
		if all >= 0 && i > all {
			l.find(AfterAll, name, d.text, "stands behind all, and is never reached")
			continue
		}
		l.directive(d, name, path)
	}
	switch {
	case rec.unreached != nil:
		l.find(AfterAll, name, rec.unreached.term, "is ignored beside all")
	case rec.redirect != nil && l.report.Lookups < maxLintLookups:
		l.report.Lookups++
		l.follow(rec.redirect, name, rec.redirect.term, path)
	case all < 0 && len(path) == 1:
		l.find(NoAll, name, "", "ends neither in all nor in a redirect, and so forbids nothing")
	}
}

// directive looks at one directive of name's record.
func (l *linter) directive(d *directive, name string, path []string) {
	switch d.kind {
	case mechAll:
		if d.result == Pass {
			l.find(PassAll, name, d.text, "lets every client pass")
		}
		return
	case mechIP:
		l.wide(d, name, d.net.Bits(), d.net.Addr().Is4())
		return
	}
	if l.report.Lookups >= maxLintLookups {
		return
	}
	l.report.Lookups++
	switch d.kind {
	case mechPTR:
		l.find(PTR, name, d.text, "should not be published: it is slow, and many receivers skip it")
		return
	case mechInclude:
		l.follow(d.target, name, d.text, path)
		return
	case mechA, mechMX:
		l.wide(d, name, int(d.bits4), true)
		l.wide(d, name, int(d.bits6), false)
	}
	target, ok := l.target(d.target, name)
	if !ok {
		l.find(Dynamic, name, d.text, "has macros, or a name that no DNS can have")
		return
	}
	if d.kind == mechMX {
		l.hosts(d, name, target)
		return
	}
	addrs, err := l.checker.resolver.LookupNetIP(l.ctx, "ip4", target)
	if len(addrs) == 0 && (err == nil || notFound(err)) && d.kind != mechExists {
		addrs, err = l.checker.resolver.LookupNetIP(l.ctx, "ip6", target)
	}
	l.answered(d, name, len(addrs), err)
}

// wide reports a network of which a passing client says next to nothing.
func (l *linter) wide(d *directive, name string, bits int, is4 bool) {
	if d.result == Pass && (is4 && bits < 8 || !is4 && bits < 16) {
		l.find(PassAll, name, d.text, fmt.Sprintf("lets a network of /%d pass", bits))
	}
}

// hosts looks at the MX hosts of target.
func (l *linter) hosts(d *directive, name, target string) {
	hosts, err := l.checker.resolver.LookupMX(l.ctx, target)
	if !l.answered(d, name, len(hosts), err) {
		return
	}
	if len(hosts) > maxHosts {
		l.find(TooManyMX, name, d.text, fmt.Sprintf("%s has %d MX hosts, and ten may be", unrooted(target), len(hosts)))
	}
}

// answered reports a lookup that found nothing or failed.
func (l *linter) answered(d *directive, name string, found int, err error) bool {
	switch {
	case found > 0:
		return true
	case err != nil && !notFound(err):
		l.find(Unreachable, name, d.text, "DNS does not answer: "+clip(err.Error()))
	default:
		l.report.Voids++
		l.find(Nothing, name, d.text, "finds nothing in DNS")
	}
	return false
}

// follow goes on to the policy that term, in the record of name, leads to.
func (l *linter) follow(s *spec, name, term string, path []string) {
	target, ok := l.target(s, name)
	if !ok {
		l.find(Dynamic, name, term, "has macros, or a name that no DNS can have")
		return
	}
	l.policy(strings.ToLower(target), path, term)
}

// target returns the name of a term that does not depend on the mail: %{d} is
// the only macro it may have.
func (l *linter) target(s *spec, name string) (string, bool) {
	if s != nil && slices.ContainsFunc(s.parts, func(p part) bool { return p.letter != 0 && p.letter != 'd' }) {
		return "", false
	}
	e := &evaluation{checker: l.checker, client: netip.IPv4Unspecified()}
	return e.target(s, name)
}
