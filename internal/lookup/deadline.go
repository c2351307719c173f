package spf

import (
	"context"
	"sync"
	"time"
)

// deadline is a context that ends some time after it is first asked about its
// end. It sets no timer and reads no clock before: a resolver that answers from
// memory never asks, and both cost more than the rest of a check.
type deadline struct {
	context.Context // the caller's
	timeout         time.Duration

	mu     sync.Mutex
	timed  context.Context // once somebody asked
	cancel context.CancelFunc
	ended  bool
}

func (d *deadline) started() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timed == nil {
		d.timed, d.cancel = context.WithTimeout(d.Context, d.timeout)
		if d.ended {
			d.cancel()
		}
	}
	return d.timed
}

func (d *deadline) Deadline() (time.Time, bool) { return d.started().Deadline() }
func (d *deadline) Done() <-chan struct{}       { return d.started().Done() }
func (d *deadline) Err() error                  { return d.started().Err() }

// end releases the timer. What still holds the context afterwards sees it done.
func (d *deadline) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	if d.cancel != nil {
		d.cancel()
	}
}
