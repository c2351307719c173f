// Package storetest answers: is this a limiter.Store?
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Config{New: func(t *testing.T) limiter.Store { return mystore.New(…) }})
//	}
package storetest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smtpguard/smtpguard/limiter"
)

// Config is the store to test. New is required.
type Config struct {
	// New returns a store in which nothing has been spent. Each case has its own;
	// what it holds open is closed by t.Cleanup.
	New func(t *testing.T) limiter.Store

	// Advance lets d pass on the store's clock. With nil it passes really, some
	// seconds in all, and windows are short; no case is so exact that a busy
	// machine fails it.
	Advance func(d time.Duration)

	// Synctest is for a store whose clock is that of package time: each case runs
	// in a bubble of testing/synctest, New included. Advance is not called.
	Synctest bool

	// Exact says that Take decides about several asks as one even while others
	// take: those that fit are never refused. Without it they may be, but what is
	// admitted stays within the limits.
	Exact bool
}

// Run tests the store of cfg, each case in a subtest of its own.
func Run(t *testing.T, cfg Config) {
	for _, c := range []struct {
		name string
		run  func(*env)
	}{
		{"burst", burst},
		{"burst in portions", portions},
		{"burst other than N", otherBurst},
		{"burst of uneven units", uneven},
		{"more than burst", moreThanBurst},
		{"big numbers", bigNumbers},
		{"zero limit", zeroLimit},
		{"look", look},
		{"give back", giveBack},
		{"force", force},
		{"debt", debt},
		{"debt is the key's", debtShrinks},

		{"refill", refill},
		{"retry", retry},
		{"windows", windows},
		{"long window", longWindow},
		{"debt passes", debtPasses},

		{"all or nothing", allOrNothing},
		{"all or nothing, forced", allOrForced},
		{"the same key twice", twice},
		{"number of asks", numberOfAsks},
		{"asks that are not valid", notValid},
		{"at once", atOnce},
		{"several at once", severalAtOnce},

		{"keys", keys},
		{"limits", limits},
		{"context", contextEnds},
	} {
		t.Run(c.name, func(t *testing.T) {
			if cfg.Synctest {
				synctest.Test(t, func(t *testing.T) { c.run(newEnv(t, &cfg)) })
				return
			}
			c.run(newEnv(t, &cfg))
		})
	}
}

// env is one case's surroundings.
type env struct {
	*testing.T
	cfg   *Config
	store limiter.Store

	started time.Time
	passed  time.Duration // that pass let pass
}

func newEnv(t *testing.T, cfg *Config) *env {
	return &env{T: t, cfg: cfg, store: cfg.New(t), started: time.Now()}
}

// pass lets at least d pass on the store's clock.
func (e *env) pass(d time.Duration) {
	if e.cfg.Advance != nil && !e.cfg.Synctest {
		e.cfg.Advance(d)
	} else {
		time.Sleep(d)
	}
	e.passed += d
}

// most is how much time may have passed on the store's clock since the case
// began; e.passed is the least.
func (e *env) most() time.Duration {
	real := time.Since(e.started)
	if e.cfg.Advance != nil && !e.cfg.Synctest {
		real += e.passed
	}
	return real + grain
}

// window is a window that cases can wait for. N of their limits divide it.
func (e *env) window() time.Duration {
	if e.cfg.Advance == nil && !e.cfg.Synctest {
		return 250 * time.Millisecond
	}
	return 10 * time.Minute
}

// grain is how coarse a store's clock and arithmetic may be.
const grain = 2 * time.Millisecond

// hourly is a limit of which nothing to speak of is regained in a case that
// lets no time pass.
func hourly(n int) limiter.Limit { return limiter.Limit{N: n, Per: time.Hour} }

// idle is how long such a case may take, with a machine that is busy.
const idle = time.Minute

// all has asks decided about.
func (e *env) all(asks ...limiter.Ask) []limiter.State {
	e.Helper()
	states, err := e.store.Take(context.Background(), asks)
	if err != nil {
		e.Fatalf("Take: %v", err)
	}
	if len(states) != len(asks) {
		e.Fatalf("%d asks, %d states", len(asks), len(states))
	}
	return states
}

// take asks for n units.
func (e *env) take(key string, limit limiter.Limit, n int) limiter.State {
	e.Helper()
	return e.all(limiter.Ask{Key: key, Limit: limit, N: n})[0]
}

// wantTake asks for n units and tests the answer.
func (e *env) wantTake(key string, limit limiter.Limit, n int, ok bool, left int) {
	e.Helper()
	if st := e.take(key, limit, n); st.OK != ok || st.Left != left {
		e.Fatalf("%d of %q: got OK %v, Left %d, want %v, %d", n, key, st.OK, st.Left, ok, left)
	}
}

// wantLeft looks, and tests what is left.
func (e *env) wantLeft(key string, limit limiter.Limit, left int) {
	e.Helper()
	if st := e.take(key, limit, 0); st.Left != left {
		e.Fatalf("%q: got Left %d, want %d", key, st.Left, left)
	}
}

// near tests that a duration is want, or less by what may have passed.
func (e *env) near(what string, got, want time.Duration) {
	e.Helper()
	if got > want+grain || got < want-idle {
		e.Errorf("%s: got %v, want %v", what, got, want)
	}
}
