package dmarc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/smtpguard/smtpguard/internal/lookup"
)

var errBudget = errors.New("dmarc: too many DNS queries for one message")

// lookups are the queries of one message. It is for one goroutine.
type lookups struct {
	c     *Checker
	ctx   *lookup.Deadline
	asked int
	names []*answer // few: the budget bounds them

	atHand context.Context // under which nothing is waited for
	missed func() bool     // of atHand; nil where the resolver remembers nothing

	existence *existence // of the author domain; nil before it is asked for

	few  [4]*answer // for names
	room [4]answer  // for the first of them
}

// existence is whether a domain exists, or why that is not known.
type existence struct {
	found bool
	err   error
}

// answer is what DNS has at _dmarc of a domain. No record and no error is an
// answer too.
type answer struct {
	domain string
	record *Record
	err    error
	note   string       // for the owner
	coming <-chan found // nil when it has come
}

// found is what an answer says.
type found struct {
	record *Record
	err    error
	note   string
}

// lookups returns those of a new message. They end when ctx does.
func (c *Checker) lookups(ctx context.Context) *lookups {
	l := &lookups{c: c, ctx: lookup.Within(ctx, c.timeout)}
	l.names = l.few[:0]
	return l
}

// known returns the answer for a name that has been asked for; nil for others.
func (l *lookups) known(name string) *answer {
	for _, a := range l.names {
		if a.domain == name {
			l.await(a)
			return a
		}
	}
	return nil
}

// ask makes the answers for all names known, asking side by side for those that
// are not yet. It waits no longer than its context lasts, even where the
// resolver does.
func (l *lookups) ask(names ...string) {
	l.begin(names...)
	for _, a := range l.names {
		l.await(a)
	}
}

// await waits for an answer that is coming.
func (l *lookups) await(a *answer) {
	if a.coming == nil {
		return
	}
	select {
	case f := <-a.coming:
		a.record, a.err, a.note = f.record, f.err, f.note
	case <-l.ctx.Done():
		a.err = fmt.Errorf("dmarc: %s: %w", a.domain, l.ctx.Err())
	}
	a.coming = nil
}

// begin asks for names without waiting. What the resolver has at hand is known
// when it returns; for each other one that is not coming yet it starts a
// goroutine.
func (l *lookups) begin(names ...string) {
	for _, name := range names {
		if slices.ContainsFunc(l.names, func(a *answer) bool { return a.domain == name }) {
			continue
		}
		a := new(answer)
		if n := len(l.names); n < len(l.room) {
			a = &l.room[n]
		}
		a.domain = name
		l.names = append(l.names, a)
		switch {
		case len(name) > maxName: // too long to have a record, and to be asked for
			continue
		case l.asked == l.c.budget:
			a.err = errBudget
			continue
		}
		l.asked++
		where := "_dmarc." + name + "."
		if l.missed == nil || l.missed() { // once it has, it has for good
			l.atHand, l.missed, _ = lookup.AtHand(l.ctx, l.c.resolver)
		}
		if l.missed != nil {
			texts, err := l.c.resolver.LookupTXT(l.atHand, where)
			if !l.missed() {
				f := l.c.judge(name, texts, err)
				a.record, a.err, a.note = f.record, f.err, f.note
				continue
			}
		}
		coming := make(chan found, 1)
		a.coming = coming
		go func() {
			texts, err := l.c.resolver.LookupTXT(l.ctx, where)
			coming <- l.c.judge(name, texts, err)
		}()
	}
}

// maxName bounds a domain, so that _dmarc of it is a name (RFC 1035, section
// 2.3.4).
const maxName = 253 - len("_dmarc.")

// judge makes an answer of what the resolver says. Of several records none
// counts (RFC 9989, section 4.10).
func (c *Checker) judge(name string, texts []string, err error) (a found) {
	if err != nil {
		if !notFound(err) {
			a.err = fmt.Errorf("dmarc: %s: %w", name, err)
		}
		return a
	}
	n := 0
	for _, text := range texts {
		r, err := c.records.parse(text)
		if err != nil {
			continue
		}
		n++
		a.record = r
	}
	if n > 1 {
		a.record, a.note = nil, fmt.Sprintf("%d records, of which none counts", n)
	}
	return a
}

// notFound reports whether err says that there is nothing.
func notFound(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}
