package storetest

import (
	"math"
	"time"

	"github.com/smtpguard/smtpguard/limiter"
)

func burst(e *env) {
	l := hourly(5)
	for i := range 5 {
		e.wantTake("a", l, 1, true, 4-i)
	}
	for range 3 { // to be refused costs nothing
		st := e.take("a", l, 1)
		if st.OK || st.Left != 0 {
			e.Fatalf("got %+v after the burst", st)
		}
		e.near("Retry", st.Retry, 12*time.Minute)
		e.near("Full", st.Full, time.Hour)
	}
	e.wantTake("b", l, 1, true, 4)
}

func portions(e *env) {
	l := hourly(10)
	e.wantTake("a", l, 7, true, 3)
	st := e.take("a", l, 4)
	if st.OK || st.Left != 3 {
		e.Fatalf("4 of the 3 left: got %+v", st)
	}
	e.near("Retry", st.Retry, 6*time.Minute)
	e.near("Full", st.Full, 42*time.Minute)
	e.wantTake("a", l, 3, true, 0)
}

func otherBurst(e *env) {
	slow := limiter.Limit{N: 1, Per: time.Hour, Burst: 3}
	e.wantTake("a", slow, 1, true, 2)
	st := e.take("a", slow, 2)
	if !st.OK || st.Left != 0 {
		e.Fatalf("got %+v within the burst", st)
	}
	e.near("Full", st.Full, 3*time.Hour)
	st = e.take("a", slow, 1)
	if st.OK {
		e.Fatal("admitted after the burst")
	}
	e.near("Retry", st.Retry, time.Hour)

	smooth := limiter.Limit{N: 4, Per: time.Hour, Burst: 1}
	e.wantTake("b", smooth, 1, true, 0)
	e.wantTake("b", smooth, 1, false, 0)
}

// uneven has units that are no whole number of nanoseconds.
func uneven(e *env) {
	for _, n := range []int{3, 7, 11, 13} {
		l := limiter.Limit{N: n, Per: time.Hour + 1}
		for i := range n {
			e.wantTake("a", l, 1, true, n-1-i)
		}
		e.wantTake("a", l, 1, false, 0)
	}
}

func moreThanBurst(e *env) {
	for _, n := range []int{6, 1e9, math.MaxInt} {
		st := e.take("a", hourly(5), n)
		if st.OK || st.Left != 5 || st.Full != 0 {
			e.Errorf("%d of 5: got %+v", n, st)
		}
		if st.Retry != limiter.Never {
			e.Errorf("%d of 5: Retry %v, want Never", n, st.Retry)
		}
	}
	e.wantTake("a", hourly(5), 5, true, 0)
}

// bigNumbers limits octets.
func bigNumbers(e *env) {
	const message, n = 5e6, 40
	l := limiter.Limit{N: 2e9, Per: time.Hour}
	for range n {
		if st := e.take("a", l, message); !st.OK {
			e.Fatalf("got %+v", st)
		}
	}
	st := e.take("a", l, 0)
	if st.Left < 1.8e9 || st.Left > 1.84e9 {
		e.Errorf("Left %d, want 1.8e9 and little more", st.Left)
	}
	e.near("Full", st.Full, 6*time.Minute)
	if st := e.take("a", l, 2e9); st.OK {
		e.Errorf("got %+v, and a tenth is spent", st)
	}
}

func zeroLimit(e *env) {
	want := limiter.State{OK: true, Left: math.MaxInt}
	for _, n := range []int{1, 0, 1e9, math.MaxInt, -1} {
		for _, forced := range []bool{false, true} {
			a := limiter.Ask{Key: "a", N: n, Force: forced, Debt: time.Hour}
			if st := e.all(a)[0]; st != want {
				e.Errorf("%d: got %+v", n, st)
			}
		}
	}
	a, b := limiter.Ask{Key: "a", N: 9}, limiter.Ask{Key: "a", Limit: hourly(1), N: 1}
	if states := e.all(a, b, a); states[0] != want || states[2] != want || !states[1].OK || states[1].Left != 0 {
		e.Errorf("with others: got %+v", states)
	}
	if states := e.all(a, b, a); states[0] != want || states[2] != want || states[1].OK {
		e.Errorf("with others that are refused: got %+v", states)
	}
}

func look(e *env) {
	l := hourly(2)
	for range 3 {
		if st := e.take("a", l, 0); st != (limiter.State{OK: true, Left: 2}) {
			e.Fatalf("never used: got %+v", st)
		}
	}
	e.wantTake("a", l, 1, true, 1)
	for range 3 {
		st := e.take("a", l, 0)
		if !st.OK || st.Left != 1 || st.Retry != 0 {
			e.Fatalf("one left: got %+v", st)
		}
		e.near("Full", st.Full, 30*time.Minute)
	}
	e.wantTake("a", l, 1, true, 0)
	for range 3 {
		st := e.take("a", l, 0)
		if st.OK || st.Left != 0 {
			e.Fatalf("none left: got %+v", st)
		}
		e.near("Retry", st.Retry, 30*time.Minute)
	}
}

func giveBack(e *env) {
	l := hourly(5)
	full := limiter.State{OK: true, Left: 5}
	if st := e.take("a", l, -2); st != full {
		e.Errorf("never used: got %+v", st)
	}
	e.wantTake("a", l, 5, true, 0)
	e.wantTake("a", l, -2, true, 2)
	e.wantTake("a", l, 3, false, 2)
	for _, n := range []int{-4, -1, -1e9, math.MinInt} {
		if st := e.take("a", l, n); st != full {
			e.Errorf("more than was spent: got %+v after %d", st, n)
		}
	}
	for i := range 5 { // and nothing was gained
		e.wantTake("a", l, 1, true, 4-i)
	}
	e.wantTake("a", l, 1, false, 0)
}

func force(e *env) {
	l := hourly(3)
	a := limiter.Ask{Key: "a", Limit: l, N: 2, Force: true}
	if st := e.all(a)[0]; !st.OK || st.Left != 1 {
		e.Errorf("with room: got %+v", st)
	}
	for range 2 { // without Debt the bucket can but be empty
		st := e.all(a)[0]
		if st.OK || st.Left != 0 {
			e.Errorf("without room: got %+v", st)
		}
		e.near("Retry", st.Retry, 40*time.Minute)
		e.near("Full", st.Full, time.Hour)
	}
	e.wantTake("a", l, 1, false, 0)
}

func debt(e *env) {
	l := hourly(6)
	a := limiter.Ask{Key: "a", Limit: l, N: 8, Force: true, Debt: 25 * time.Minute}
	st := e.all(a)[0]
	if st.OK || st.Left != 0 || st.Retry != limiter.Never {
		e.Errorf("first: got %+v", st)
	}
	e.near("Full", st.Full, 80*time.Minute)
	a.N = 1
	for range 3 { // one more unit, and then Debt is all
		st = e.all(a)[0]
	}
	if st.OK || st.Left != 0 {
		e.Errorf("at the end: got %+v", st)
	}
	e.near("Full", st.Full, 85*time.Minute)
	e.near("Retry", st.Retry, 35*time.Minute)

	a.Force, a.N = false, 0
	if st := e.all(a)[0]; st.OK || st.Left != 0 {
		e.Errorf("look: got %+v", st)
	} else {
		e.near("Retry, looking", st.Retry, 35*time.Minute)
	}
	a.N = -4
	if st := e.all(a)[0]; !st.OK || st.Left != 1 {
		e.Errorf("after giving back 4 units of 3.5 in debt: got %+v", st)
	}
	a.N, a.Force = math.MaxInt, true
	e.near("Full, asked for everything", e.all(a)[0].Full, 85*time.Minute)
}

// debtShrinks: what an ask allows less of than the one before is forgiven.
func debtShrinks(e *env) {
	a := limiter.Ask{Key: "a", Limit: hourly(6), N: 60, Force: true, Debt: 3 * time.Hour}
	e.near("Full", e.all(a)[0].Full, 4*time.Hour)
	a.Force, a.N, a.Debt = false, 1, time.Hour
	for range 2 {
		st := e.all(a)[0]
		if st.OK {
			e.Errorf("got %+v", st)
		}
		e.near("Full, with less Debt", st.Full, 2*time.Hour)
		e.near("Retry, with less Debt", st.Retry, 70*time.Minute)
		a.Debt = 3 * time.Hour
	}
}
