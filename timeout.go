package smtpguard

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Timeout gives each hook of c that judges the time d. One that has not
// returned by then has failed with [context.DeadlineExceeded], and c.OnError
// says what that means; what it does later counts for nothing.
func Timeout(d time.Duration, c Check) Check {
	t := combine("timeout", func(ctx context.Context, e *env, cs []Check, sc *scene) Verdict {
		c := &cs[0]
		if !e.asks(c, sc.stage) {
			return Verdict{}
		}
		hookCtx, cancel := context.WithTimeoutCause(ctx, d, errOver)
		defer cancel()
		b := sc.branch()
		answers := make(chan answer, 1) // room for one that nobody awaits
		start := time.Now()
		go func() {
			a := answer{err: errExited}
			defer func() { answers <- a }()
			a = e.ask(hookCtx, c, &b.scene)
		}()
		select {
		case a := <-answers:
			sc.join(b)
			return e.settle(ctx, c, sc, a)
		case <-hookCtx.Done():
			return e.settle(ctx, c, sc, answer{err: hookCtx.Err(), took: time.Since(start)})
		}
	}, []Check{c})
	if d <= 0 {
		t.err = errors.Join(t.err, fmt.Errorf("smtpguard: timeout of %v: must be positive", d))
	}
	return t
}
