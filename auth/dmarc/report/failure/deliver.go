package failure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/dmarc/report"
)

// Delivery is how reports are sent. Checker, Resolver and Send have to be set.
type Delivery struct {
	Checker  *dmarc.Checker // finds organizational domains
	Resolver dmarc.Resolver // is asked for consent

	// Send sends a report to one address: see [Mail] for how. An error means that it
	// was not sent, and is to be tried again, unless it wraps
	// [report.ErrRefused]. Its context ends after a minute. Up to 16 run at once,
	// about different domains.
	Send func(ctx context.Context, m Mail, to dmarc.URI) error

	Retry time.Duration // between tries, which end with the hour; 0 means ten minutes

	// Failed is told what report about a policy domain was not sent, and whether
	// that was given up; nil means nobody. It is told of the bounds too: with
	// ErrLimited. As many run at once.
	Failed func(policyDomain string, err error, givenUp bool)
}

// patience bounds one try to send, and one to find out where to.
const patience = time.Minute

// sending is a mail of the last hour.
type sending struct {
	at time.Time
	to string // the domain
}

// Run sends reports as they are made, until ctx ends; its error is that of ctx, or
// says what is wrong with d. Only one may run.
func (r *Reporter) Run(ctx context.Context, d Delivery) error {
	if err := d.complete(); err != nil {
		return err
	}
	var running sync.WaitGroup
	defer running.Wait()
	for {
		e, wait := r.next(time.Now())
		if e != nil {
			running.Go(func() {
				pending := r.deliver(ctx, e, &d)
				r.settle(e, pending, d.Retry, time.Now())
			})
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-r.wake:
			timer.Stop()
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// complete puts defaults, and reports every field that is wrong.
func (d *Delivery) complete() error {
	var errs []error
	if d.Checker == nil {
		errs = append(errs, errors.New("failure: Delivery.Checker: missing"))
	}
	if d.Resolver == nil {
		errs = append(errs, errors.New("failure: Delivery.Resolver: missing"))
	}
	if d.Send == nil {
		errs = append(errs, errors.New("failure: Delivery.Send: missing"))
	}
	if d.Retry < 0 {
		errs = append(errs, errors.New("failure: Delivery.Retry: must not be negative"))
	}
	if d.Retry == 0 {
		d.Retry = 10 * time.Minute
	}
	if d.Failed == nil {
		d.Failed = func(string, error, bool) {}
	}
	return errors.Join(errs...)
}

// maxBusy bounds the reports that are sent at once. Those about one domain are
// sent one after another, so that one whose DNS or mail server does not answer
// holds up nobody else.
const maxBusy = 16

// next returns what is due, with a report begun, or how long nothing will be.
func (r *Reporter) next(now time.Time) (*entry, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait := window
	var first *entry
	for key, e := range r.entries {
		switch {
		case r.busy[e.domain]:
		case e.due.After(now):
			wait = min(wait, e.due.Sub(now))
		case e.incidents == 0 && e.counted == 0:
			delete(r.entries, key)
		case first == nil || e.due.Before(first.due):
			first = e
		}
	}
	if first == nil || len(r.busy) == maxBusy {
		return nil, wait
	}
	r.busy[first.domain] = true
	if first.incidents == 0 {
		first.incidents, first.draft = first.counted, first.next
		first.counted, first.next = 0, draft{}
		first.began, first.settled = now, make(map[string]bool)
	}
	return first, 0
}

// settle says when e is due again: after a while, when something is left to try
// in its hour, else after that.
func (r *Reporter) settle(e *entry, pending bool, retry time.Duration, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, e.domain)
	if end := e.began.Add(window); pending && now.Add(retry).Before(end) {
		e.due = now.Add(retry)
	} else {
		e.due, e.incidents, e.draft, e.settled = end, 0, draft{}, nil
	}
	r.rouse()
}

// deliver sends the report of e to all that it was not sent to yet, and reports
// whether it is to be tried again.
func (r *Reporter) deliver(ctx context.Context, e *entry, d *Delivery) (pending bool) {
	asking, stop := context.WithTimeout(ctx, patience)
	defer stop()
	last := time.Since(e.began)+d.Retry >= window
	failed := func(err error, final bool) {
		d.Failed(e.draft.domain, err, final || last)
		pending = pending || !final
	}
	for _, dest := range report.FailureDestinations(asking, d.Checker, d.Resolver, e.draft.domain, e.draft.uris) {
		to := dest.URI.Address
		switch {
		case ctx.Err() != nil:
			return true
		case dest.Err != nil:
			failed(dest.Err, false)
			continue
		case dest.Refused != "" || e.settled[to]:
			continue
		case !r.admit(dest.URI.Domain, time.Now()):
			e.settled[to] = true
			failed(fmt.Errorf("%w: to %s", ErrLimited, to), true)
			continue
		}
		// Before it is sent, as what happens meanwhile must not have it sent twice.
		e.settled[to] = true
		m := r.mail(&e.draft, e.incidents, to, time.Now())
		if most := dest.URI.MaxOctets; most > 0 && int64(len(m.Content)) > most {
			failed(fmt.Errorf("%w: to %s, which takes %d octets", report.ErrTooLarge, to, most), true)
			continue
		}
		sending, cancel := context.WithTimeout(ctx, patience)
		err := d.sent(sending, m, dest.URI)
		cancel()
		if err != nil {
			final := errors.Is(err, report.ErrRefused)
			e.settled[to] = final
			failed(fmt.Errorf("failure: to %s: %w", to, err), final)
		}
	}
	return pending
}

// sent calls Send. Where that panics, who knows whether it was sent: it is not
// tried again.
func (d *Delivery) sent(ctx context.Context, m Mail, to dmarc.URI) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: Send panicked: %v\n%s", report.ErrRefused, p, debug.Stack())
		}
	}()
	return d.Send(ctx, m, to)
}

// admit reports whether one more mail may go to a domain in this hour, and counts
// it: also one that fails costs who gets it.
func (r *Reporter) admit(to string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, _ := slices.BinarySearchFunc(r.sent, now.Add(-window), func(s sending, at time.Time) int {
		return cmp.Or(s.at.Compare(at), -1) // also what is as old
	})
	r.sent = slices.Delete(r.sent, 0, old)
	to = registered(to)
	n := 0
	for _, s := range r.sent {
		if s.to == to {
			n++
		}
	}
	if n >= r.perDestination || len(r.sent) >= r.total {
		return false
	}
	r.sent = append(r.sent, sending{now, to})
	return true
}
