package storetest_test

import (
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/limiter"
	"github.com/smtpguard/smtpguard/limiter/storetest"
)

// takeFunc is a store.
type takeFunc func(asks []limiter.Ask) ([]limiter.State, error)

func (f takeFunc) Take(_ context.Context, asks []limiter.Ask) ([]limiter.State, error) {
	return f(asks)
}

// each has f see every ask before the store does.
func each(s limiter.Store, f func(*limiter.Ask)) limiter.Store {
	return takeFunc(func(asks []limiter.Ask) ([]limiter.State, error) {
		asks = slices.Clone(asks)
		for i := range asks {
			f(&asks[i])
		}
		return s.Take(context.Background(), asks)
	})
}

// then has f see every state before the caller does.
func then(s limiter.Store, f func(limiter.Ask, *limiter.State)) limiter.Store {
	return takeFunc(func(asks []limiter.Ask) ([]limiter.State, error) {
		states, err := s.Take(context.Background(), asks)
		for i := range states {
			f(asks[i], &states[i])
		}
		return states, err
	})
}

// byHand is a store of the usual kind: a map, and a now of its own.
func byHand(now func() int64, keep func(next, now int64) int64) limiter.Store {
	type state struct {
		key   string
		limit limiter.Limit
	}
	var mu sync.Mutex
	kept := map[state]int64{}
	return takeFunc(func(asks []limiter.Ask) ([]limiter.State, error) {
		var states []limiter.State
		for i := range asks {
			a := &asks[i]
			mu.Lock()
			tat, at := kept[state{a.Key, a.Limit}], now()
			mu.Unlock()
			next, st := a.Spend(at, tat)
			time.Sleep(time.Nanosecond) // others come between
			mu.Lock()
			kept[state{a.Key, a.Limit}] = keep(next, at)
			mu.Unlock()
			states = append(states, st)
		}
		return states, nil
	})
}

// broken are stores with one fault each, and a case that has to find it.
var broken = []struct {
	name, found string
	breaks      func(limiter.Store) limiter.Store
}{
	{"admits everything", "burst", func(s limiter.Store) limiter.Store {
		return then(s, func(_ limiter.Ask, st *limiter.State) { st.OK = true })
	}},
	{"says nothing of the wait", "burst", func(s limiter.Store) limiter.Store {
		return then(s, func(_ limiter.Ask, st *limiter.State) { st.Retry = 0 })
	}},
	{"always one unit", "burst_in_portions", func(s limiter.Store) limiter.Store {
		return each(s, func(a *limiter.Ask) { a.N = min(a.N, 1) })
	}},
	{"ignores Burst", "burst_other_than_N", func(s limiter.Store) limiter.Store {
		return each(s, func(a *limiter.Ask) { a.Limit.Burst = max(a.Limit.Burst, a.Limit.N) })
	}},
	{"a unit of whole milliseconds", "burst_of_uneven_units", func(s limiter.Store) limiter.Store {
		return each(s, func(a *limiter.Ask) {
			if l := &a.Limit; l.N > 0 && l.Per > 0 {
				unit := (l.Per/time.Duration(l.N) + time.Millisecond).Truncate(time.Millisecond)
				l.Burst = max(l.Burst, l.N) - 1
				l.Per = unit * time.Duration(l.N)
			}
		})
	}},
	{"waits where nothing helps", "more_than_burst", func(s limiter.Store) limiter.Store {
		return then(s, func(_ limiter.Ask, st *limiter.State) { st.Retry = min(st.Retry, time.Hour) })
	}},
	{"spends by looking", "look", func(s limiter.Store) limiter.Store {
		return each(s, func(a *limiter.Ask) {
			if a.N == 0 {
				a.N = 1
			}
		})
	}},
	{"gives nothing back", "give_back", func(s limiter.Store) limiter.Store {
		return each(s, func(a *limiter.Ask) { a.N = max(a.N, 0) })
	}},
	{"gives back less", "give_back", func(s limiter.Store) limiter.Store {
		return each(s, func(a *limiter.Ask) { a.N = max(a.N, -1) })
	}},
	{"forces nothing", "force", func(s limiter.Store) limiter.Store {
		return each(s, func(a *limiter.Ask) { a.Force = false })
	}},
	{"has no debt", "debt", func(s limiter.Store) limiter.Store {
		return each(s, func(a *limiter.Ask) { a.Debt = min(a.Debt, 0) })
	}},
	{"debt without end", "debt", func(s limiter.Store) limiter.Store {
		return each(s, func(a *limiter.Ask) {
			if a.Debt > 0 && a.Debt < limiter.MaxWindow {
				a.Debt = limiter.MaxWindow
			}
		})
	}},
	{"never refills", "refill", func(limiter.Store) limiter.Store {
		return byHand(func() int64 { return 1 }, func(next, _ int64) int64 { return next })
	}},
	{"refills without end", "refill", func(limiter.Store) limiter.Store {
		start := time.Now()
		return byHand(func() int64 { return math.MaxInt64/4 + 2*int64(time.Since(start)) }, func(next, _ int64) int64 { return next })
	}},
	{"forgets after a day", "long_window", func(limiter.Store) limiter.Store {
		start := time.Now()
		return byHand(func() int64 { return int64(time.Since(start)) }, func(next, now int64) int64 { return min(next, now+int64(24*time.Hour)) })
	}},
	{"one ask at a time", "all_or_nothing", func(s limiter.Store) limiter.Store {
		return takeFunc(func(asks []limiter.Ask) ([]limiter.State, error) {
			var states []limiter.State
			for _, a := range asks {
				st, err := s.Take(context.Background(), []limiter.Ask{a})
				if err != nil {
					return nil, err
				}
				states = append(states, st...)
			}
			return states, nil
		})
	}},
	{"forced asks wait for the others", "all_or_nothing,_forced", func(s limiter.Store) limiter.Store {
		return takeFunc(func(asks []limiter.Ask) ([]limiter.State, error) {
			if len(asks) > 1 {
				asks = slices.Clone(asks)
				for i := range asks {
					asks[i].Force = false
				}
			}
			return s.Take(context.Background(), asks)
		})
	}},
	{"duplicates do not see each other", "the_same_key_twice", func(s limiter.Store) limiter.Store {
		return takeFunc(func(asks []limiter.Ask) ([]limiter.State, error) {
			states, err := s.Take(context.Background(), asks)
			if len(asks) == 2 && err == nil && asks[0].Key == asks[1].Key {
				states[1].OK = true
			}
			return states, err
		})
	}},
	{"loses a state", "number_of_asks", func(s limiter.Store) limiter.Store {
		return takeFunc(func(asks []limiter.Ask) ([]limiter.State, error) {
			states, err := s.Take(context.Background(), asks)
			if len(states) > 16 {
				states = states[:16]
			}
			return states, err
		})
	}},
	{"takes any number of asks", "number_of_asks", func(s limiter.Store) limiter.Store {
		return takeFunc(func(asks []limiter.Ask) ([]limiter.State, error) {
			return s.Take(context.Background(), asks[:min(len(asks), limiter.MaxAsks)])
		})
	}},
	{"takes what is not valid", "asks_that_are_not_valid", func(s limiter.Store) limiter.Store {
		return each(s, func(a *limiter.Ask) { a.Limit.N = max(a.Limit.N, 0) })
	}},
	{"reads, then writes", "at_once", func(limiter.Store) limiter.Store {
		start := time.Now()
		return byHand(func() int64 { return int64(time.Since(start)) }, func(next, _ int64) int64 { return next })
	}},
	{"takes pairs in two steps", "several_at_once", func(s limiter.Store) limiter.Store {
		return takeFunc(func(asks []limiter.Ask) ([]limiter.State, error) {
			first, err := s.Take(context.Background(), asks[:1])
			if err != nil || len(asks) < 2 || !first[0].OK {
				return append(first, make([]limiter.State, len(asks)-len(first))...), err
			}
			rest, err := s.Take(context.Background(), asks[1:])
			return append(first, rest...), err
		})
	}},
	{"ends keys at a NUL", "keys", func(s limiter.Store) limiter.Store {
		return each(s, func(a *limiter.Ask) { a.Key, _, _ = strings.Cut(a.Key, "\x00") })
	}},
	{"short keys", "keys", func(s limiter.Store) limiter.Store {
		return each(s, func(a *limiter.Ask) { a.Key = a.Key[:min(len(a.Key), 4096)] })
	}},
	{"keys in lower case", "keys", func(s limiter.Store) limiter.Store {
		return each(s, func(a *limiter.Ask) { a.Key = strings.ToLower(a.Key) })
	}},
	{"one state for all limits", "limits", func(s limiter.Store) limiter.Store {
		return each(s, func(a *limiter.Ask) {
			if a.Limit.N > 0 {
				a.Limit = limiter.Limit{N: 5, Per: time.Hour}
			}
		})
	}},
	{"states beside an error", "context", func(s limiter.Store) limiter.Store {
		first := true
		return takeFunc(func(asks []limiter.Ask) ([]limiter.State, error) {
			states, err := s.Take(context.Background(), asks)
			if first && err == nil {
				first, err = false, errors.New("broken")
			}
			return states, err
		})
	}},
}

// TestRunFindsFaults runs the suite over every broken store, in a process of
// its own because it has to fail.
func TestRunFindsFaults(t *testing.T) {
	const which = "STORETEST_BROKEN"
	if name := os.Getenv(which); name != "" {
		for _, b := range broken {
			if b.name == name {
				storetest.Run(t, storetest.Config{
					New:      func(t *testing.T) limiter.Store { return b.breaks(memory(t)) },
					Synctest: true,
					Exact:    true,
				})
			}
		}
		return
	}
	for _, b := range broken {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestRunFindsFaults$/^"+b.found+"$")
			cmd.Env = append(os.Environ(), which+"="+b.name)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestRunFindsFaults/"+b.found) {
				t.Errorf("%s does not find it: %v\n%s", b.found, err, out)
			}
		})
	}
}
