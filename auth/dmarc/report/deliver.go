package report

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/smtpguard/smtpguard/auth/dmarc"
)

// Delivery is how reports are sent. Checker, Resolver and Send have to be set.
type Delivery struct {
	Checker  *dmarc.Checker // finds organizational domains
	Resolver dmarc.Resolver // is asked for consent

	// Send sends a report to one address. An error means that it was not sent,
	// and is to be tried again, unless it wraps ErrRefused. Up to eight run at once,
	// about different domains.
	Send func(ctx context.Context, a Attachment, to dmarc.URI) error

	Jitter time.Duration // most of a random wait behind the end of a period; 0 means an hour, negative none
	Retry  time.Duration // between tries; 0 means an hour
	Keep   time.Duration // how long after its end a period is tried; 0 means three days

	// Failed is told what went wrong, with given up where it will not be tried
	// again; nil means nobody. One runs at a time.
	Failed func(b Batch, err error, givenUp bool)
}

// ErrRefused is for Send to wrap where an address will never take the report: a
// permanent negative reply (RFC 5321, section 4.2.1). It is not tried again.
var ErrRefused = errors.New("report: refused for good")

// Run sends what is due now, then what each period leaves when it ends, until
// ctx does; its error is that of ctx, or says what is wrong with d.
func (c *Collector) Run(ctx context.Context, d Delivery) error {
	if err := d.complete(); err != nil {
		return err
	}
	for {
		pending := c.deliverDue(ctx, &d)
		now := time.Now()
		wait := now.UTC().Truncate(c.period).Add(c.period).Sub(now) + time.Second
		if d.Jitter > 0 {
			wait += rand.N(d.Jitter)
		}
		if pending {
			wait = min(wait, d.Retry)
		}
		timer := time.NewTimer(wait)
		select {
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
		errs = append(errs, errors.New("report: Delivery.Checker: missing"))
	}
	if d.Resolver == nil {
		errs = append(errs, errors.New("report: Delivery.Resolver: missing"))
	}
	if d.Send == nil {
		errs = append(errs, errors.New("report: Delivery.Send: missing"))
	}
	if d.Retry < 0 {
		errs = append(errs, errors.New("report: Delivery.Retry: must not be negative"))
	}
	if d.Keep < 0 {
		errs = append(errs, errors.New("report: Delivery.Keep: must not be negative"))
	}
	if d.Jitter == 0 {
		d.Jitter = time.Hour
	}
	if d.Retry == 0 {
		d.Retry = time.Hour
	}
	if d.Keep == 0 {
		d.Keep = 3 * 24 * time.Hour
	}
	if d.Failed == nil {
		d.Failed = func(Batch, error, bool) {}
	}
	return errors.Join(errs...)
}

const (
	// maxBusy bounds the domains that reports are sent about at once, and turn how
	// long it takes about one before others have theirs: who publishes slow
	// destinations, under as many names as it likes, holds up itself.
	maxBusy = 8
	turn    = 10 * time.Minute

	patience = time.Minute // for finding out where one report may go
)

// deliverDue sends what is due, and reports whether something is left to try.
func (c *Collector) deliverDue(ctx context.Context, d *Delivery) (pending bool) {
	var mu sync.Mutex // of pending, and for d.Failed
	failed := func(b Batch, err error, givenUp, left bool) {
		mu.Lock()
		defer mu.Unlock()
		pending = pending || left
		if err != nil {
			d.Failed(b, err, givenUp)
		}
	}
	groups, order := make(map[string][]Batch), []string(nil)
	for b, err := range c.Due(ctx, time.Now()) {
		if err != nil {
			failed(b, err, false, true)
			continue
		}
		name := registered(b.Policy.Domain)
		if groups[name] == nil {
			order = append(order, name)
		}
		groups[name] = append(groups[name], b)
	}
	var running sync.WaitGroup
	slots := make(chan struct{}, maxBusy)
	for _, name := range order {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			end := time.Now().Add(turn)
			for _, b := range groups[name] {
				if ctx.Err() != nil || time.Now().After(end) {
					failed(b, nil, false, true)
					return
				}
				c.deliverOne(ctx, b, d, failed)
			}
		})
	}
	running.Wait()
	return pending
}

// deliverOne sends one report, and forgets it when nothing is left to try.
func (c *Collector) deliverOne(ctx context.Context, b Batch, d *Delivery, failed func(b Batch, err error, givenUp, left bool)) {
	left, err := c.deliver(ctx, b, d)
	if ctx.Err() != nil {
		failed(b, nil, false, true)
		return
	}
	givenUp := !left || errors.Is(err, ErrTooLarge) || time.Since(b.End) > d.Keep
	if err != nil {
		failed(b, err, givenUp, !givenUp)
	}
	if givenUp {
		if err := c.Done(ctx, b); err != nil {
			failed(b, err, false, true)
		}
	}
}

// registered is what somebody had to pay for of a domain.
func registered(name string) string {
	if org, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return org
	}
	return name
}

// mark is the row that says that a report went to address. It is written before
// that: when the process ends between the two, a report is lost, rather than
// sent twice.
func mark(address string) string { return "sent " + address }

// deliver sends the report of b to all who have not got it yet. Its error says
// to whom that failed, and left whether another try may do better.
func (c *Collector) deliver(ctx context.Context, b Batch, d *Delivery) (left bool, err error) {
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	to := Destinations(asking, d.Checker, d.Resolver, b.Policy.Domain, b.URIs)
	sent := make(map[string]bool)
	for count, err := range c.store.Rows(ctx, b.key) {
		if err != nil {
			return true, fmt.Errorf("report: %w", err)
		}
		if !isRow(count.Row) && count.N > 0 {
			sent[count.Row] = true
		}
	}
	var errs []error
	var a Attachment
	for _, dest := range to {
		switch {
		case dest.Err != nil:
			errs, left = append(errs, dest.Err), true
			continue
		case dest.Refused != "" || sent[mark(dest.URI.Address)]:
			continue
		}
		if a.Content == nil {
			if a, err = c.Attachment(ctx, b); err != nil {
				return true, errors.Join(append(errs, err)...)
			}
		}
		if err := c.send(ctx, b, d, a, dest.URI); err != nil {
			errs = append(errs, err)
			left = left || !errors.Is(err, ErrRefused)
		}
	}
	return left, errors.Join(errs...)
}

// send sends the report of b to one address. What is refused for good stays
// marked.
func (c *Collector) send(ctx context.Context, b Batch, d *Delivery, a Attachment, to dmarc.URI) error {
	if err := c.store.Add(ctx, b.key, mark(to.Address), 1); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if most := to.MaxOctets; most > 0 && int64(len(a.Content)) > most { // RFC 7489, section 6.2
		return fmt.Errorf("%w: to %s: it takes %d octets", ErrRefused, to.Address, most)
	}
	err := d.sent(ctx, a, to)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("report: to %s: %w", to.Address, err)
	if errors.Is(err, ErrRefused) {
		return err
	}
	// Whatever ended ctx, that it was not sent is to be known.
	if undo := c.store.Add(context.WithoutCancel(ctx), b.key, mark(to.Address), -1); undo != nil {
		err = errors.Join(err, undo)
	}
	return err
}

// sent calls Send. Where that panics, who knows whether it was sent: it is not
// tried again.
func (d *Delivery) sent(ctx context.Context, a Attachment, to dmarc.URI) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: Send panicked: %v\n%s", ErrRefused, p, debug.Stack())
		}
	}()
	return d.Send(ctx, a, to)
}
