package spf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/smtpguard/smtpguard/internal/domain"
	"github.com/smtpguard/smtpguard/internal/lookup"
)

// maxLookups bounds the terms that ask DNS in one check, maxHosts the MX hosts
// and the PTR names that one term looks at (RFC 7208, section 4.6.4).
const (
	maxLookups = 10
	maxHosts   = 10
)

// maxIdentity bounds what a client says of itself, in octets: a command line
// has 512 (RFC 5321, section 4.5.3.1.4), some more with extensions.
const maxIdentity = 1024

var (
	errZero      = errors.New("spf: a Checker that New did not make")
	errNoClient  = errors.New("spf: no client address")
	errIdentity  = errors.New("spf: HELO or MAIL FROM longer than a command")
	errNoRecord  = errors.New("spf: the domain has no policy")
	errNotDomain = errors.New("spf: not a fully qualified domain name")
)

// evaluation is one check under way. Names in it end in a dot.
type evaluation struct {
	checker *Checker
	ctx     *lookup.Deadline

	client netip.Addr
	helo   string
	local  string // of the sender
	origin string // the sender's domain, without a dot at its end
	sender string

	lookups, voids int
	steps          steps
	decided        decision
	failure        error // why a result is temperror or permerror

	names     []string // PTR names of the client that were looked up
	askedPTR  bool
	validated map[string]bool // by name, in lower case
}

// decision is what made a result that is neither an error nor a default.
type decision struct {
	mechanism string
	where     string
	explain   *spec
}

// check evaluates the policy of name for a client. whole is the sender in one
// string, "" if that is still to be put together.
func (c *Checker) check(ctx context.Context, id Identity, addr netip.Addr, helo, local, name, whole string) Outcome {
	addr = addr.Unmap().WithZone("")
	out := Outcome{Identity: id, Client: addr, Helo: helo, Domain: name, Result: None}
	if local == "" {
		local, whole = "postmaster", "" // section 4.3
	}
	switch {
	case c.resolver == nil:
		out.Result, out.Err = TempError, errZero
		return out
	case len(helo) > maxIdentity || len(local) > maxIdentity || len(name) > maxIdentity:
		out.Helo, out.Domain, out.Err = clip(helo), clip(name), errIdentity
		return out
	case !addr.IsValid():
		out.Err = errNoClient
	}
	origin := strings.TrimSuffix(name, ".")
	normal, err := domain.Normal(name)
	if err == nil && strings.IndexByte(normal, '.') < 0 {
		err = errNotDomain
	}
	if err == nil && !isASCII(origin) {
		origin = normal // section 4.3: macros show A-labels
	}
	if out.Sender = whole; whole == "" || origin != name {
		out.Sender = local + "@" + origin
	}
	if err != nil {
		if out.Err == nil {
			out.Err = errNotDomain
		}
		return out
	}
	if out.Domain = normal; out.Err != nil {
		return out
	}
	e := &evaluation{
		checker: c, ctx: lookup.Within(ctx, c.timeout),
		client: addr, helo: asciiHost(helo),
		local: local, origin: origin, sender: out.Sender,
	}
	defer e.ctx.End()

	out.Result = e.policy(normal + ".")
	if out.Result == Fail {
		out.Explanation = e.explanation()
	}
	out.Mechanism, out.Where = e.decided.mechanism, unrooted(e.decided.where)
	out.Lookups, out.Voids, out.Trace, out.Err = e.lookups, e.voids, e.steps.all(), e.failure
	return out
}

// asciiHost returns helo for macros: the A-labels of an internationalized name.
func asciiHost(helo string) string {
	if !isASCII(helo) {
		if name, err := domain.Normal(helo); err == nil {
			return name
		}
	}
	return helo
}

// policy is check_host() for name (section 4): it finds its record and goes
// through the terms. It sets e.decided for a match and e.failure for what it
// could not evaluate.
func (e *evaluation) policy(name string) Result {
	rec, result := e.fetch(name)
	if rec == nil {
		return result
	}
	for i := range rec.directives {
		d := &rec.directives[i]
		matched, failed := e.match(d, name)
		if failed != "" {
			e.step(name, d.text, Broken)
			return failed
		}
		if matched {
			e.step(name, d.text, Match)
			e.decided = decision{d.text, name, rec.explain}
			return d.result
		}
		e.decided = decision{}
	}
	if rec.redirect == nil {
		return Neutral // section 4.7
	}
	return e.redirect(rec.redirect, name)
}

// fetch finds the record of name (sections 4.4 and 4.5). Without one, result is
// that of the check.
func (e *evaluation) fetch(name string) (rec *record, result Result) {
	texts, err := e.checker.resolver.LookupTXT(e.ctx, name)
	if err != nil && !notFound(err) {
		e.failure = dnsFailure("TXT", name, err)
		return nil, TempError
	}
	text, found := "", 0
	for _, t := range texts {
		if isPolicy(t) {
			text = t
			found++
		}
	}
	switch {
	case found == 0:
		e.failure = errNoRecord
		return nil, None
	case found > 1:
		e.failure = fmt.Errorf("spf: %s has %d records, and may have one", unrooted(name), found)
		return nil, PermError
	}
	if len(text) <= maxRecord {
		e.step(name, text, Found)
	}
	rec, err = e.checker.records.parse(text)
	if err != nil {
		e.failure = fmt.Errorf("spf: record of %s: %w", unrooted(name), err)
		return nil, PermError
	}
	return rec, ""
}

// match reports whether a directive of name's record matches. failed is the
// result of the check if it cannot be told.
func (e *evaluation) match(d *directive, name string) (matched bool, failed Result) {
	switch d.kind {
	case mechAll:
		return true, ""
	case mechIP:
		return d.net.Contains(e.client), ""
	}
	if !e.count() {
		return false, PermError
	}
	target, ok := "", true
	if d.target == nil {
		target = name
	} else {
		target, ok = e.target(d.target, name)
	}
	if d.kind == mechInclude {
		return e.include(d, name, target)
	}
	if !ok {
		e.step(name, d.text, NoMatch)
		return false, ""
	}
	voids := e.voids
	switch d.kind {
	case mechA:
		matched, failed = e.matchA(d, target)
	case mechMX:
		matched, failed = e.matchMX(d, target)
	case mechExists:
		matched, failed = e.matchExists(target)
	case mechPTR:
		matched, failed = e.matchPTR(target)
	}
	switch {
	case matched || failed != "":
	case e.voids > voids:
		e.step(name, d.text, Void)
	default:
		e.step(name, d.text, NoMatch)
	}
	return matched, failed
}

// include evaluates the policy of target (section 5.2), "" being no name at all.
func (e *evaluation) include(d *directive, name, target string) (matched bool, failed Result) {
	e.step(name, d.text, Follow)
	result := None
	if target != "" {
		result = e.policy(target)
	}
	switch result {
	case Pass:
		return true, ""
	case Fail, SoftFail, Neutral:
		e.step(name, d.text, NoMatch)
		return false, ""
	case None:
		e.failure = fmt.Errorf("spf: %+q in the record of %s leads to no policy", clip(d.text), unrooted(name))
		return false, PermError
	}
	return false, result
}

// redirect puts the policy of another domain in place of name's (section 6.1).
func (e *evaluation) redirect(s *spec, name string) Result {
	if !e.count() {
		return PermError
	}
	e.step(name, s.term, Follow)
	result := None
	if target, ok := e.target(s, name); ok {
		result = e.policy(target)
	}
	if result == None {
		e.failure = fmt.Errorf("spf: %+q in the record of %s leads to no policy", clip(s.term), unrooted(name))
		return PermError
	}
	return result
}

// count counts a term that asks DNS. It is false for one too many.
func (e *evaluation) count() bool {
	if e.lookups >= maxLookups {
		e.failure = fmt.Errorf("spf: more than %d terms that ask DNS", maxLookups)
		return false
	}
	e.lookups++
	return true
}

func (e *evaluation) step(name, term string, note Note) {
	e.steps.add(Step{unrooted(name), term, note})
}

// steps collects a trace without allocating for its first steps, since nobody
// knows beforehand how many a check will have.
type steps struct {
	first [20]Step
	n     int // of first
	more  []Step
}

func (s *steps) add(step Step) {
	if s.n < len(s.first) {
		s.first[s.n] = step
		s.n++
		return
	}
	s.more = append(s.more, step)
}

func (s *steps) all() []Step {
	if s.n == 0 {
		return nil
	}
	return append(append(make([]Step, 0, s.n+len(s.more)), s.first[:s.n]...), s.more...)
}
