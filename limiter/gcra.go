package limiter

import (
	"fmt"
	"math"
	"time"
)

// Validate reports what is wrong with a's Limit or Debt. Stores do not decide
// about an ask that is not valid.
func (a *Ask) Validate() error {
	if a.Debt < 0 || a.Debt > MaxWindow {
		return fmt.Errorf("a Debt that is negative or more than %v", MaxWindow)
	}
	if err := a.Limit.Validate(); err != nil {
		return fmt.Errorf("a Limit with %w", err)
	}
	return nil
}

// Spend is the decision about one valid ask, by the generic cell rate
// algorithm (ITU-T I.371, Annex A): what every store computes.
//
// tat is what the store keeps of the key, the theoretical arrival time: when,
// on the store's clock and in nanoseconds, the bucket will be full again. A tat
// that is not after now is that of a key never used, and one later than Limit
// and Debt allow counts as the latest they do, so that a clock set back or a
// spoilt state locks nobody out for longer. next is what the store has to keep.
//
// Costs are rounded down to whole nanoseconds, so that Burst units always fit,
// in whatever portions they are asked for; each ask costs less than one
// nanosecond too little.
func (a *Ask) Spend(now, tat int64) (next int64, st State) {
	if a.Limit.N <= 0 || a.Limit.Per <= 0 {
		return 0, a.Limit.boundless()
	}
	now = min(now, maxNow)
	full := now + a.Limit.window() // the tat of a key with nothing left
	tat = min(max(tat, now), full+int64(a.Debt))
	ok := true
	switch {
	case a.N > 0:
		cost := a.Limit.cost(uint64(a.N))
		ok = cost <= full-tat
		if ok {
			tat += cost
		} else if a.Force {
			tat += min(cost, full+int64(a.Debt)-tat)
		}
	case a.N < 0:
		tat -= min(a.Limit.cost(-uint64(a.N)), tat-now)
	default:
		ok = a.Limit.cost(1) <= full-tat
	}
	return tat, a.stand(now, tat, full, ok)
}

// Look is how a key stands before a is spent: State.OK says whether it would
// be, but nothing is. Where Take refuses asks because another had no room, this
// is their state.
func (a *Ask) Look(now, tat int64) State {
	if a.Limit.N <= 0 || a.Limit.Per <= 0 {
		return a.Limit.boundless()
	}
	now = min(now, maxNow)
	full := now + a.Limit.window()
	tat = min(max(tat, now), full+int64(a.Debt))
	return a.stand(now, tat, full, a.N < 0 || a.Limit.cost(a.wish()) <= full-tat)
}

// wish is for how many units Retry is the wait.
func (a *Ask) wish() uint64 { return uint64(max(a.N, 1)) }

// maxNow is far beyond any clock, and keeps sums from overflowing.
const maxNow = 1 << 62

// boundless is how every key stands under a limit without N: all is there under
// the zero Limit, nothing under one that is not valid.
func (l *Limit) boundless() State {
	if l.N == 0 {
		return State{OK: true, Left: math.MaxInt}
	}
	return State{Retry: Never}
}

// stand describes a key whose tat is between now and full+Debt.
func (a *Ask) stand(now, tat, full int64, ok bool) State {
	st := State{OK: ok, Full: time.Duration(tat - now)}
	room := full - tat
	if room >= 0 {
		st.Left = a.Limit.units(room)
	}
	if a.N > a.Limit.burst() {
		st.Retry = Never
	} else if cost := a.Limit.cost(a.wish()); cost > room {
		st.Retry = time.Duration(cost - room)
	}
	return st
}
