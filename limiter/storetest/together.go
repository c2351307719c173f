package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smtpguard/smtpguard/limiter"
)

func allOrNothing(e *env) {
	l := hourly(5)
	a, b, c := limiter.Ask{Key: "a", Limit: l, N: 2}, limiter.Ask{Key: "b", Limit: l, N: 4}, limiter.Ask{Key: "c", Limit: hourly(3), N: 1}
	for i, st := range e.all(a, b, c) {
		if !st.OK || st.Left != []int{3, 1, 2}[i] {
			e.Errorf("ask %d: got %+v", i, st)
		}
	}
	for range 3 {
		for i, st := range e.all(a, b, c) { // b has no room for 4
			if st.OK != (i != 1) || st.Left != []int{3, 1, 2}[i] {
				e.Errorf("ask %d, one being refused: got %+v", i, st)
			}
			if (st.Retry == 0) != (i != 1) {
				e.Errorf("ask %d, one being refused: Retry %v", i, st.Retry)
			}
		}
	}
	e.wantLeft("a", l, 3)
	e.wantLeft("b", l, 1)
	e.wantLeft("c", c.Limit, 2)

	never := limiter.Ask{Key: "d", Limit: l, N: 6}
	back := limiter.Ask{Key: "a", Limit: l, N: -1}
	if states := e.all(a, back, never); states[2].OK || states[2].Retry != limiter.Never || states[0].Left != 3 {
		e.Errorf("more than burst: got %+v", states)
	}
	e.wantLeft("a", l, 3) // nor is anything given back
	e.wantLeft("d", l, 5)

	e.wantTake("d", l, 5, true, 0) // a look without room is a refusal too, unless it is forced
	lookAt := limiter.Ask{Key: "d", Limit: l}
	if states := e.all(a, lookAt); !states[0].OK || states[0].Left != 3 || states[1].OK {
		e.Errorf("beside a look: got %+v", states)
	}
	lookAt.Force = true
	if states := e.all(a, lookAt); !states[0].OK || states[0].Left != 1 || states[1].OK {
		e.Errorf("beside a forced look: got %+v", states)
	}
}

// allOrForced: a forced ask neither keeps others from being spent nor is kept.
func allOrForced(e *env) {
	l := hourly(5)
	e.wantTake("soft", l, 5, true, 0)
	soft := limiter.Ask{Key: "soft", Limit: l, N: 1, Force: true, Debt: time.Hour}
	hard := limiter.Ask{Key: "hard", Limit: l, N: 3}
	states := e.all(hard, soft)
	if !states[0].OK || states[0].Left != 2 || states[1].OK || states[1].Left != 0 {
		e.Errorf("forced without room: got %+v", states)
	}
	e.near("Full", states[1].Full, 72*time.Minute)
	states = e.all(soft, hard)
	if states[1].OK || states[1].Left != 2 {
		e.Errorf("hard without room: got %+v", states)
	}
	e.near("Full, the other refused", states[0].Full, 84*time.Minute)
	soft.N = 0
	soft.Force = false
	e.near("Full, kept", e.all(soft)[0].Full, 84*time.Minute)
	e.wantLeft("hard", l, 2)

	soft.N, soft.Force = -7, true // owed are 7
	if states := e.all(hard, soft); states[0].OK || !states[1].OK || states[1].Left != 5 {
		e.Errorf("forced to give back, the other refused: got %+v", states)
	}
}

// twice asks for one key more than once.
func twice(e *env) {
	l := hourly(5)
	ask := func(n int) limiter.Ask { return limiter.Ask{Key: "a", Limit: l, N: n} }
	states := e.all(ask(3), ask(3))
	if !states[0].OK || states[1].OK {
		e.Errorf("3 and 3 of 5: got %+v", states)
	}
	e.wantLeft("a", l, 5)
	states = e.all(ask(1), ask(0), ask(2))
	if !states[0].OK || !states[1].OK || !states[2].OK || states[2].Left != 2 {
		e.Errorf("1, a look and 2 of 5: got %+v", states)
	}
	e.wantLeft("a", l, 2)
	states = e.all(ask(2), ask(-1), ask(1))
	if !states[2].OK || states[2].Left != 0 {
		e.Errorf("2, 1 back and 1 of 2: got %+v", states)
	}
	e.all(ask(-5))
	forced := ask(3)
	forced.Force = true
	states = e.all(forced, ask(3), forced)
	if !states[0].OK || states[1].OK || states[2].OK {
		e.Errorf("3 forced, 3, 3 forced of 5: got %+v", states)
	}
	e.wantLeft("a", l, 0)
}

func numberOfAsks(e *env) {
	l := hourly(5)
	for _, n := range []int{0, 1, 2, 17, limiter.MaxAsks} {
		asks := make([]limiter.Ask, n)
		for i := range asks {
			asks[i] = limiter.Ask{Key: fmt.Sprint(n, "/", i), Limit: l, N: i % 6}
		}
		for i, st := range e.all(asks...) {
			if !st.OK || st.Left != 5-i%6 && i%6 != 0 {
				e.Fatalf("ask %d of %d: got %+v", i, n, st)
			}
		}
	}
	asks := make([]limiter.Ask, limiter.MaxAsks+1)
	for i := range asks {
		asks[i] = limiter.Ask{Key: "a", Limit: hourly(1000), N: 1}
	}
	if states, err := e.store.Take(context.Background(), asks); err == nil {
		e.Errorf("%d asks: got %d states and no error", len(asks), len(states))
	}
	e.wantLeft("a", hourly(1000), 1000)
}

// notValid: where one ask is not valid nothing is decided.
func notValid(e *env) {
	for _, bad := range []limiter.Ask{
		{Limit: limiter.Limit{N: -1, Per: time.Hour}},
		{Limit: limiter.Limit{N: 1}},
		{Limit: limiter.Limit{N: 1, Per: -time.Hour}},
		{Limit: limiter.Limit{N: 1, Per: limiter.MaxWindow + 1}},
		{Limit: limiter.Limit{N: 1, Per: time.Hour, Burst: -1}},
		{Limit: hourly(1), Debt: -1},
		{Limit: hourly(1), Debt: limiter.MaxWindow + 1},
	} {
		bad.Key, bad.N = "a", 1
		good := limiter.Ask{Key: "b", Limit: hourly(5), N: 1}
		for _, asks := range [][]limiter.Ask{{bad}, {good, bad}, {bad, good}} {
			if states, err := e.store.Take(context.Background(), asks); err == nil {
				e.Errorf("%+v: got %+v and no error", asks, states)
			}
		}
	}
	e.wantLeft("b", hourly(5), 5)
}

// takers run f side by side.
func takers(f func(g int)) {
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() { f(g) })
	}
	wg.Wait()
}

func atOnce(e *env) {
	const burst = 60
	l := hourly(burst)
	var admitted atomic.Int64
	takers(func(int) {
		for range burst / 4 {
			states, err := e.store.Take(context.Background(), []limiter.Ask{{Key: "a", Limit: l, N: 1}})
			if err != nil || len(states) != 1 {
				e.Errorf("Take: %v", err)
			} else if states[0].OK {
				admitted.Add(1)
			}
		}
	})
	if n := admitted.Load(); n != burst {
		e.Errorf("admitted %d of a burst of %d", n, burst)
	}
	e.wantTake("a", l, 1, false, 0)
}

// severalAtOnce takes pairs out of a ring of keys.
func severalAtOnce(e *env) {
	const ring, burst = 4, 30
	bursts := [ring]int{burst / 2, burst, burst, burst} // unevenly, so that one key of a pair runs out long before the other
	ask := func(k int) limiter.Ask {
		return limiter.Ask{Key: fmt.Sprint("key", k%ring), Limit: hourly(bursts[k%ring]), N: 1}
	}
	var admitted [ring]atomic.Int64
	takers(func(g int) {
		r := rand.New(rand.NewPCG(uint64(g), 1))
		for range burst {
			k := r.IntN(ring)
			states, err := e.store.Take(context.Background(), []limiter.Ask{ask(k), ask(k + 1)})
			if err != nil || len(states) != 2 {
				e.Errorf("Take: %v", err)
			} else if states[0].OK && states[1].OK {
				admitted[k%ring].Add(1)
				admitted[(k+1)%ring].Add(1)
			}
		}
	})
	open := false // a pair could still be taken
	for k := range ring {
		n := int(admitted[k].Load())
		if n > bursts[k] {
			e.Errorf("key %d: admitted %d of a burst of %d", k, n, bursts[k])
		}
		e.wantLeft(ask(k).Key, ask(k).Limit, bursts[k]-n)
		open = open || n < bursts[k] && int(admitted[(k+1)%ring].Load()) < bursts[(k+1)%ring]
	}
	if open && e.cfg.Exact {
		e.Errorf("pairs were refused that fit")
	}
}
