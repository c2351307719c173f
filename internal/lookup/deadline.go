package lookup

import (
	"context"
	"sync"
	"time"
)

// Deadline is a context that ends some time after it is first asked about its
// end. It sets no timer and reads no clock before: a resolver that answers from
// memory never asks, and both cost more than the rest of a check.
type Deadline struct {
	context.Context // the caller's
	timeout         time.Duration

	mu     sync.Mutex
	timed  context.Context // once somebody asked
	cancel context.CancelFunc
	ended  bool
}

// Within returns a context that ends timeout after it is first asked about its
// end, or with ctx, or with End.
func Within(ctx context.Context, timeout time.Duration) *Deadline {
	return &Deadline{Context: ctx, timeout: timeout}
}

func (d *Deadline) started() context.Context {
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

func (d *Deadline) Deadline() (time.Time, bool) { return d.started().Deadline() }
func (d *Deadline) Done() <-chan struct{}       { return d.started().Done() }
func (d *Deadline) Err() error                  { return d.started().Err() }

// End releases the timer. What still holds the context afterwards sees it done.
func (d *Deadline) End() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	if d.cancel != nil {
		d.cancel()
	}
}
