package storetest

import (
	"time"

	"github.com/smtpguard/smtpguard/limiter"
)

// within tests that got, units of l admitted since the case began in an
// unbroken run of refusals and of nothing wasted, are what the time gives.
func (e *env) within(l limiter.Limit, got int, least, most time.Duration) {
	e.Helper()
	rate := float64(l.N) / float64(l.Per)
	b := l.Burst
	if b == 0 {
		b = l.N
	}
	low, high := b+int(rate*float64(least-grain)), b+int(rate*float64(most))
	if got < low || got > high {
		e.Errorf("admitted %d in %v to %v, want %d to %d", got, least, most, low, high)
	}
}

// drain takes single units until one is refused.
func (e *env) drain(key string, l limiter.Limit) int {
	e.Helper()
	n := 0
	for e.take(key, l, 1).OK {
		if n++; n > 10000 {
			e.Fatalf("admits without end")
		}
	}
	return n
}

// refill lets part of a window pass, and then more than one.
func refill(e *env) {
	l := limiter.Limit{N: 10, Per: e.window()}
	got := e.drain("a", l)
	e.within(l, got, 0, e.most())
	e.pass(l.Per / 2)
	got += e.drain("a", l)
	e.within(l, got, l.Per/2, e.most())
	e.pass(2 * l.Per) // a bucket holds no more than Burst
	if st := e.take("a", l, 0); st != (limiter.State{OK: true, Left: 10}) {
		e.Errorf("after two windows: got %+v", st)
	}
	if st := e.take("a", l, 11); st.OK {
		e.Errorf("after two windows: admitted 11 at once")
	}
	if st := e.take("a", l, 10); !st.OK {
		e.Errorf("after two windows: got %+v", st)
	}
}

// retry waits for as long as it was told.
func retry(e *env) {
	l := limiter.Limit{N: 2, Per: e.window()}
	for range 3 {
		for {
			st := e.take("a", l, 2)
			if st.Retry < 0 || st.Retry > l.Per+grain || !st.OK && st.Retry == 0 {
				e.Fatalf("got %+v", st)
			}
			if !st.OK {
				e.pass(st.Retry + grain)
				break
			}
		}
		st := e.take("a", l, 2)
		if !st.OK {
			e.Fatalf("got %+v after waiting as told", st)
		}
		e.pass(st.Full + grain)
		if st := e.take("a", l, 0); st.Left != 2 || st.Full != 0 {
			e.Fatalf("got %+v, and should be full", st)
		}
	}
}

// windows takes all it can get, over several windows.
func windows(e *env) {
	l := limiter.Limit{N: 5, Per: e.window(), Burst: 3}
	got := 0
	for range 15 {
		got += e.drain("a", l)
		e.within(l, got, e.passed-l.Per/5, e.most())
		e.pass(l.Per / 5)
	}
}

// longWindow outlasts what a store may keep for a short time.
func longWindow(e *env) {
	window := 2 * e.window()
	if e.cfg.Synctest || e.cfg.Advance != nil {
		window = 30 * 24 * time.Hour
	}
	l := limiter.Limit{N: 1, Per: window}
	e.wantTake("a", l, 1, true, 0)
	for range 3 {
		e.pass(window / 4)
		if st := e.take("a", l, 1); st.OK {
			if e.most() < window {
				e.Fatalf("admitted after %v to %v", e.passed, e.most())
			}
			return // a busy machine has slept through the window
		}
	}
	e.pass(window/4 + grain)
	if st := e.take("a", l, 1); !st.OK {
		e.Fatalf("got %+v after the window", st)
	}
}

func debtPasses(e *env) {
	window := e.window()
	a := limiter.Ask{Key: "a", Limit: limiter.Limit{N: 5, Per: window}, N: 100, Force: true, Debt: window / 2}
	e.all(a)
	a.Force, a.N = false, 1
	e.pass(window / 4)
	if st := e.all(a)[0]; st.OK && e.most() < window/2 {
		e.Fatalf("admitted in debt: got %+v", st)
	}
	e.pass(window/4 + window/5 + grain)
	if st := e.all(a)[0]; !st.OK {
		e.Fatalf("got %+v after the debt", st)
	}
}
