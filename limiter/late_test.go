package limiter_test

import (
	"context"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/limiter"
)

// stuck is a store that takes its time for one Take: what it is asked for is
// spent, and the answer comes when nobody waits for it any more.
type stuck struct {
	limiter.Store
	takes atomic.Int64
	at    int64
}

func (s *stuck) Take(ctx context.Context, asks []limiter.Ask) ([]limiter.State, error) {
	slow := s.takes.Add(1) == s.at
	states, err := s.Store.Take(ctx, asks)
	if slow {
		time.Sleep(time.Minute)
	}
	return states, err
}

// left is what a key has left.
func left(t *testing.T, store limiter.Store, key string, limit limiter.Limit) int {
	t.Helper()
	states, err := store.Take(t.Context(), []limiter.Ask{{Key: key, Limit: limit}})
	if err != nil {
		t.Fatal(err)
	}
	return states[0].Left
}

// What a hook spends after its transaction is accounted for is given back.
func TestRatesLateHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &stuck{Store: memory(t), at: 1}
		limit := per(10, limiter.MaxWindow)
		check := rates(t, store, limiter.RatesConfig{Rules: []limiter.Rule{{Name: "a", Limits: []limiter.Limit{limit}}}})
		l := bubble(t, smtpguard.Timeout(time.Second, check))
		l.play(t, "192.0.2.1", "HELLO\n"+byA+"S: 451 4.3.0 *\nC: QUIT\nS: 221")
		if got := left(t, store.Store, "rates/a/all", limit); got != 9 {
			t.Fatalf("%d left while the hook waits, want 9", got)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := left(t, store.Store, "rates/a/all", limit); got != 10 {
			t.Errorf("%d left in the end, want 10", got)
		}
	})
}

// And so is what one spends after its AUTH exchange is.
func TestLoginsLateHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &stuck{Store: memory(t), at: 2}
		lk := logins(t, store, limiter.LoginsConfig{})
		l := bubble(t, smtpguard.Timeout(time.Second, lk.Check()))
		l.play(t, "192.0.2.1", "HELLO\n"+auth("ann", "secret", "454 4.3.0 *")+"C: QUIT\nS: 221")
		free := func() int {
			all, _, err := lk.Look(t.Context(), netip.MustParseAddr("192.0.2.1"), "ann")
			if err != nil {
				t.Fatal(err)
			}
			return all[0].Left
		}
		if got := free(); got != 49 {
			t.Fatalf("%d free while the hook waits, want 49", got)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := free(); got != 50 {
			t.Errorf("%d free in the end, want 50", got)
		}
	})
}
