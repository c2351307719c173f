package report

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/smtpguard/smtpguard/auth/dmarc"
)

// Delivery is how reports are sent. Checker, Resolver and Send have to be set.
type Delivery struct {
	Checker  *dmarc.Checker // finds organizational domains
	Resolver dmarc.Resolver // is asked for consent

	// Send sends a report to one address. An error means that it was not sent,
	// and is to be tried again, unless it wraps ErrRefused.
	Send func(ctx context.Context, a Attachment, to dmarc.URI) error

	Jitter time.Duration // most of a random wait behind the end of a period; 0 means an hour, negative none
	Retry  time.Duration // between tries; 0 means an hour
	Keep   time.Duration // how long after its end a period is tried; 0 means three days

	// Failed is told what went wrong, with given up where it will not be tried
	// again; nil means nobody.
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

// deliverDue sends what is due, and reports whether something is left to try.
func (c *Collector) deliverDue(ctx context.Context, d *Delivery) (pending bool) {
	for b, err := range c.Due(ctx, time.Now()) {
		if err != nil {
			d.Failed(b, err, false)
			pending = true
			continue
		}
		err := c.deliver(ctx, b, d)
		if ctx.Err() != nil {
			return true
		}
		if err == nil {
			err = c.Done(ctx, b)
		}
		if err == nil {
			continue
		}
		givenUp := errors.Is(err, ErrTooLarge) || time.Since(b.End) > d.Keep
		d.Failed(b, err, givenUp)
		if givenUp {
			err = c.Done(ctx, b)
		}
		pending = pending || err != nil
	}
	return pending
}

// mark is the row that says that a report went to address. It is written before
// that: when the process ends between the two, a report is lost, rather than
// sent twice.
func mark(address string) string { return "sent " + address }

// deliver sends the report of b to all who have not got it yet. Its error says
// to whom that failed.
func (c *Collector) deliver(ctx context.Context, b Batch, d *Delivery) error {
	to := Destinations(ctx, d.Checker, d.Resolver, b.Policy.Domain, b.URIs)
	sent := make(map[string]bool)
	for count, err := range c.store.Rows(ctx, b.key) {
		if err != nil {
			return fmt.Errorf("report: %w", err)
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
			errs = append(errs, dest.Err)
			continue
		case dest.Refused != "" || sent[mark(dest.URI.Address)]:
			continue
		}
		if a.Content == nil {
			var err error
			if a, err = c.Attachment(ctx, b); err != nil {
				return err
			}
		}
		if err := c.send(ctx, b, d, a, dest.URI); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (c *Collector) send(ctx context.Context, b Batch, d *Delivery, a Attachment, to dmarc.URI) error {
	if err := c.store.Add(ctx, b.key, mark(to.Address), 1); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	err := d.Send(ctx, a, to)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("report: to %s: %w", to.Address, err)
	// Whatever ended ctx, that it was not sent is to be known.
	if undo := c.store.Add(context.WithoutCancel(ctx), b.key, mark(to.Address), -1); undo != nil {
		err = errors.Join(err, undo)
	}
	return err
}
