package redisstore

import (
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/limiter"
)

// wire is an ask as the script gets it, in microseconds: costs and windows are
// rounded down, so that Burst units always fit.
type wire struct {
	key                string
	kind               string // as in take.lua
	cost, window, debt int64
}

const microsecond = int64(time.Microsecond)

// encode makes a wire of an ask that is valid and has a limit.
func (s *Store) encode(a *limiter.Ask) wire {
	w := wire{
		key:    s.stateKey(a.Key, a.Limit),
		cost:   unsigned(a) / microsecond,
		window: int64(a.Limit.Cost(burst(a.Limit))) / microsecond,
		debt:   int64(a.Debt) / microsecond,
	}
	switch {
	case a.N > 0:
		w.kind = "t"
	case a.N < 0:
		w.kind = "b"
	default:
		w.kind = "l"
	}
	if a.Force {
		w.kind = strings.ToUpper(w.kind)
	}
	return w
}

// unsigned is what a costs or gives back, in nanoseconds; a look, what a unit
// would cost.
func unsigned(a *limiter.Ask) int64 {
	switch {
	case a.N < 0:
		return -int64(a.Limit.Cost(a.N))
	case a.N == 0:
		return int64(a.Limit.Cost(1))
	}
	return int64(a.Limit.Cost(a.N))
}

// possible reports whether the script can have answered so to w.
func (w *wire) possible(reply int64) bool { return reply >= 0 && reply>>1 <= w.window+w.debt }

// decode makes a state of the script's reply to a, which was sent as w.
func decode(a *limiter.Ask, w *wire, reply int64) limiter.State {
	return stand(a, w, reply>>1, reply&1 == 1)
}

// stand describes a key whose bucket is full again in full microseconds. It
// counts as the script does: what is Left could be taken, and after Retry an ask
// would be OK.
func stand(a *limiter.Ask, w *wire, full int64, ok bool) limiter.State {
	room := w.window - full
	// Look counts in nanoseconds: it gets the last one of the microsecond.
	window := int64(a.Limit.Cost(burst(a.Limit)))
	st := a.Look(0, window-room*microsecond-(microsecond-1))
	st.OK = ok
	st.Full = time.Duration(full) * time.Microsecond
	if st.Retry != limiter.Never {
		cost := w.cost
		if a.N < 0 {
			cost = int64(a.Limit.Cost(1)) / microsecond
		}
		st.Retry = time.Duration(max(cost-room, 0)) * time.Microsecond
	}
	return st
}
