package storetest

import (
	"context"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/limiter"
)

// keys has keys that clients may make up. Each is a key of its own.
func keys(e *env) {
	long := strings.Repeat("x", 64<<10)
	all := []string{
		"", " ", "a", "A", "a ", "a\x00", "\x00", "\x00a", "\xff\xfe", "a\r\nb", "a\nb", "é", "e\u0301",
		"mail/addr/192.0.2.1", "mail/addr/192.0.2.10", "mail/addr", "mail:addr:192.0.2.1", "{a}", "{}", "{", "*", "?", "%s", "'", `"`, `\`,
		long, long + "x", long[:len(long)-1] + "y", "y" + long[1:],
	}
	l := hourly(2)
	for i, key := range all {
		a := limiter.Ask{Key: key, Limit: l, N: 2, Overflow: all[len(all)-1-i]}
		if st := e.all(a)[0]; !st.OK || st.Left != 0 {
			e.Errorf("%.30q: got %+v, it has another key's state", key, st)
		}
	}
	for _, key := range all {
		if st := e.take(key, l, 1); st.OK {
			e.Errorf("%.30q: got %+v, its state is lost", key, st)
		}
	}
	asks := make([]limiter.Ask, len(all)) // and in one piece
	for i, key := range all {
		asks[i] = limiter.Ask{Key: key, Limit: hourly(3), N: 1}
	}
	for i, st := range e.all(asks...) {
		if !st.OK || st.Left != 2 {
			e.Errorf("%.30q, of many: got %+v", all[i], st)
		}
	}
}

// limits has one key under several limits.
func limits(e *env) {
	all := []limiter.Limit{
		hourly(5), hourly(6), {N: 5, Per: 2 * time.Hour}, {N: 5, Per: time.Hour, Burst: 2}, {N: 5, Per: time.Hour, Burst: 3}, {N: 10, Per: 2 * time.Hour},
	}
	burst := func(l limiter.Limit) int {
		if l.Burst > 0 {
			return l.Burst
		}
		return l.N
	}
	for _, l := range all {
		e.wantTake("a", l, 1, true, burst(l)-1)
	}
	for _, l := range all {
		e.wantTake("a", l, burst(l)-1, true, 0)
	}
	for _, l := range all {
		e.wantTake("a", l, 1, false, 0)
	}
}

// contextEnds: a store may answer whom nobody waits for, but has to return, and
// to serve the next.
func contextEnds(e *env) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	l := hourly(5)
	asks := []limiter.Ask{{Key: "a", Limit: l, N: 1}, {Key: "b", Limit: l, N: 1}}
	states, err := e.store.Take(ctx, asks)
	if err == nil && len(states) != len(asks) {
		e.Errorf("no error, and %d states", len(states))
	}
	if err != nil && len(states) != 0 {
		e.Errorf("an error, and states: %+v, %v", states, err)
	}
	e.wantTake("c", l, 1, true, 4)
}
