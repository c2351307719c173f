package limiter

import (
	"fmt"
	"math"
	"math/bits"
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
	var r rule
	if !r.of(a) {
		return 0, a.Limit.boundless()
	}
	now = min(now, maxNow)
	next, ok := r.spend(now, tat)
	return next, r.stand(now, next, ok)
}

// Look is how a key stands before a is spent: State.OK says whether it would
// be, but nothing is. Where Take refuses asks because another had no room, this
// is their state.
func (a *Ask) Look(now, tat int64) State {
	var r rule
	if !r.of(a) {
		return a.Limit.boundless()
	}
	now = min(now, maxNow)
	_, ok := r.spend(now, tat)
	return r.stand(now, r.bound(now, tat), ok)
}

// boundless is how every key stands under a limit that has no rule: all is
// there under the zero Limit, nothing under one that is not valid.
func (l *Limit) boundless() State {
	if l.N == 0 {
		return State{OK: true, Left: math.MaxInt}
	}
	return State{Retry: Never}
}

// maxNow is far beyond any clock, and keeps sums from overflowing.
const maxNow = 1 << 62

// rule is what a bucket's decisions are computed from, in nanoseconds.
type rule struct {
	n      int64 // the limit's N
	per    int64 // and its Per
	window int64 // of a bucket with nothing left, until it is full
	most   int64 // and of one as far in debt as can be
	unit   int64 // cost of one unit
	cost   int64 // of what is asked for; of what is given back, negative
	force  bool
}

// of makes r the rule of a, and reports whether a is valid and has a limit.
func (r *rule) of(a *Ask) bool {
	l := &a.Limit
	if l.N <= 0 || l.Per <= 0 || int64(l.N) > int64(l.Per) || l.Per > MaxWindow || l.Burst < 0 || a.Debt < 0 || a.Debt > MaxWindow {
		return false
	}
	r.n, r.per, r.force, r.cost = int64(l.N), int64(l.Per), a.Force, 0
	r.window, r.unit = r.per, r.per/r.n
	if l.Burst != 0 && l.Burst != l.N {
		if r.window = l.cost(uint64(l.Burst)); r.window > int64(MaxWindow) {
			return false
		}
	}
	r.most = r.window + int64(a.Debt)
	switch {
	case a.N == 1:
		r.cost = r.unit
	case a.N > 1:
		r.cost = l.cost(uint64(a.N))
	case a.N < 0:
		r.cost = -l.cost(-uint64(a.N))
	}
	return true
}

// bound returns the tat that counts.
func (r *rule) bound(now, tat int64) int64 {
	return min(max(tat, now), now+r.most)
}

// spend returns the tat after the decision, and whether there was room.
func (r *rule) spend(now, tat int64) (next int64, ok bool) {
	tat = r.bound(now, tat)
	switch room := now + r.window - tat; {
	case r.cost < 0:
		return max(tat+r.cost, now), true
	case r.cost == 0:
		return tat, r.unit <= room
	case r.cost <= room:
		return tat + r.cost, true
	case r.force:
		return tat + min(r.cost, now+r.most-tat), false
	}
	return tat, false
}

// stand describes a key whose tat is bound, after a decision.
func (r *rule) stand(now, tat int64, ok bool) State {
	st := State{OK: ok, Full: time.Duration(tat - now)}
	room := now + r.window - tat
	if room >= 0 {
		st.Left = r.units(room)
	}
	switch wish := max(r.cost, r.unit); {
	case wish > r.window:
		st.Retry = Never
	case wish > room:
		st.Retry = time.Duration(wish - room)
	}
	return st
}

// units is how many units fit into room nanoseconds: the largest n that costs
// no more.
func (r *rule) units(room int64) int {
	if r.unit*r.n == r.per {
		return int(room / r.unit) // by far the cheaper division
	}
	// floor(n*Per/N) <= room means n*Per < (room+1)*N.
	hi, lo := bits.Mul64(uint64(room)+1, uint64(r.n))
	lo, borrow := bits.Sub64(lo, 1, 0)
	n, _ := bits.Div64(hi-borrow, lo, uint64(r.per)) // at most Burst: room is at most the window
	return int(n)
}
