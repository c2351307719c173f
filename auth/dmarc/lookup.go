package dmarc

import (
	"context"
	"errors"
	"fmt"
	"net"
)

var errBudget = errors.New("dmarc: too many DNS queries for one message")

// lookups are the queries of one message. It is for one goroutine.
type lookups struct {
	c     *Checker
	ctx   context.Context
	asked int
	known map[string]*answer // by domain

	existence *existence // of the author domain; nil before it is asked for
}

// existence is whether a domain exists, or why that is not known.
type existence struct {
	found bool
	err   error
}

// answer is what DNS has at _dmarc of a domain. No record and no error is an
// answer too.
type answer struct {
	record *Record
	err    error
	note   string // for the owner
}

func (c *Checker) lookups(ctx context.Context) *lookups {
	return &lookups{c: c, ctx: ctx, known: make(map[string]*answer, maxWalk)}
}

// ask makes the answers for all names known, asking side by side for those that
// are not yet. It waits no longer than its context lasts, even where the
// resolver does.
func (l *lookups) ask(names ...string) {
	type found struct {
		name string
		answer
	}
	var results chan found
	pending := 0
	for _, name := range names {
		switch {
		case l.known[name] != nil:
			continue
		case len(name) > maxName: // too long to have a record, and to be asked for
			l.known[name] = new(answer)
			continue
		case l.asked == l.c.budget:
			l.known[name] = &answer{err: errBudget}
			continue
		}
		if results == nil {
			results = make(chan found, len(names))
		}
		l.known[name] = &answer{err: errPending}
		l.asked++
		pending++
		go func() {
			texts, err := l.c.lookup(l.ctx, "_dmarc."+name+".")
			results <- found{name, l.c.judge(name, texts, err)}
		}()
	}
	for ; pending > 0; pending-- {
		select {
		case f := <-results:
			*l.known[f.name] = f.answer
		case <-l.ctx.Done():
			for _, name := range names {
				if a := l.known[name]; a.err == errPending {
					a.err = fmt.Errorf("dmarc: %s: %w", name, l.ctx.Err())
				}
			}
			return
		}
	}
}

// lookup asks for texts. A panic of the resolver's is a failure.
func (c *Checker) lookup(ctx context.Context, name string) (texts []string, err error) {
	defer recovered(&err)
	return c.resolver.LookupTXT(ctx, name)
}

// recovered, deferred, turns a panic of a resolver's into *err.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("dmarc: resolver: panic: %v", p)
	}
}

var errPending = errors.New("dmarc: not answered yet")

// maxName bounds a domain, so that _dmarc of it is a name (RFC 1035, section
// 2.3.4).
const maxName = 253 - len("_dmarc.")

// judge makes an answer of what the resolver says. Of several records none
// counts (RFC 9989, section 4.10).
func (c *Checker) judge(name string, texts []string, err error) (a answer) {
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
