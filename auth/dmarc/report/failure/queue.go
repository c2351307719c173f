package failure

import (
	"errors"
	"strings"
	"time"
)

// window is how long failures that are alike make one report, and what all bounds
// are of.
const window = time.Hour

// ErrLimited is that a report would be one too many of this hour. It is no fault:
// whoever forges mail has it happen.
var ErrLimited = errors.New("failure: too many reports in an hour")

// entry is one kind of failure. It stays for an hour after its report is begun,
// and counts. When something was counted by then, there is another report.
type entry struct {
	key     string
	domain  string // registered, of the policy domain
	counted int    // for the next report
	next    draft  // what that tells
	due     time.Time

	// Of the report that is being sent. Only who sends it looks at it.
	draft     draft
	incidents int // 0 means that there is none
	began     time.Time
	settled   map[string]bool // addresses that are not to be tried again
}

// Add has m reported, if the owner of the policy domain wants to be told of it,
// and it is not one of too many: then it fails with ErrLimited. It asks DNS
// nothing, and does not wait.
func (r *Reporter) Add(m Message) error { return r.add(&m, time.Now()) }

// maxHeader bounds what is looked at of a header section.
const maxHeader = 256 << 10

func (r *Reporter) add(m *Message, now time.Time) error {
	if len(m.Header) > maxHeader {
		clipped := *m
		clipped.Header = m.Header[:maxHeader]
		m = &clipped
	}
	var limited error
	for _, what := range wanted(m) {
		if !r.count(m, what, now) {
			limited = ErrLimited
		}
	}
	return limited
}

// count counts a failure, and reports whether there is room for it.
func (r *Reporter) count(m *Message, what Failure, now time.Time) bool {
	key, domain := alike(m, what), registered(m.Outcome.PolicyDomain)
	var d *draft
	counted := func() (done, room bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		e := r.entries[key]
		switch {
		case e == nil && !r.room(domain):
			return true, false
		case e != nil && e.counted > 0:
			e.counted++
			return true, true
		case d == nil:
			return false, true
		case e == nil:
			e = &entry{key: key, domain: domain, due: now}
			r.entries[key] = e
		}
		e.counted, e.next = 1, *d
		r.rouse()
		return true, true
	}
	done, room := counted()
	if !done { // written without the lock, as it takes long
		written := r.draft(m, what, now)
		d = &written
		_, room = counted()
	}
	return room
}

// room reports whether one more report about a domain may be. The caller holds mu.
func (r *Reporter) room(domain string) bool {
	of := 0
	for _, e := range r.entries {
		if e.domain == domain {
			of++
		}
	}
	return len(r.entries) < r.total && of < r.perDomain
}

// rouse has Run look at what there is.
func (r *Reporter) rouse() {
	select {
	case r.wake <- struct{}{}:
	default: // it is about to
	}
}

// alike is what failures have in common that one report tells of. Selectors and
// what else who forges mail can have another of each time are left out.
func alike(m *Message, what Failure) string {
	o := &m.Outcome
	parts := []string{string(what), o.PolicyDomain, o.AuthorDomain, m.Source.Unmap().WithZone("").String(), string(m.Delivery), string(o.Result)}
	if o.SPF != nil {
		parts = append(parts, registered(o.SPF.Domain), o.SPF.Result)
	}
	if id := failed(o); id != nil {
		parts = append(parts, registered(id.Domain), id.Result)
	}
	return strings.Join(parts, "\x00")
}
