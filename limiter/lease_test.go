package limiter_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smtpguard/smtpguard/limiter"
)

// farStore is a store that counts, takes its time, and may be away.
type farStore struct {
	limiter.Store
	takes, asks atomic.Int64
	delay       time.Duration
	away        atomic.Bool
}

var errAway = errors.New("the store is away")

func (c *farStore) Take(ctx context.Context, asks []limiter.Ask) ([]limiter.State, error) {
	c.takes.Add(1)
	c.asks.Add(int64(len(asks)))
	select {
	case <-time.After(c.delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c.away.Load() {
		return nil, errAway
	}
	return c.Store.Take(ctx, asks)
}

func newFarStore(t testing.TB, delay time.Duration) *farStore {
	t.Helper()
	m, err := limiter.NewMemory(limiter.MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return &farStore{Store: m, delay: delay}
}

func newLease(t testing.TB, s limiter.Store, cfg limiter.LeaseConfig) *limiter.Lease {
	t.Helper()
	l, err := limiter.NewLease(s, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// take takes n units of key.
func take(t testing.TB, s limiter.Store, key string, limit limiter.Limit, n int) limiter.State {
	t.Helper()
	states, err := s.Take(context.Background(), []limiter.Ask{{Key: key, Limit: limit, N: n}})
	if err != nil || len(states) != 1 {
		t.Fatalf("Take: %v, %v", states, err)
	}
	return states[0]
}

// drain takes single units until one is refused.
func drain(t testing.TB, s limiter.Store, key string, limit limiter.Limit) (n int) {
	t.Helper()
	for take(t, s, key, limit, 1).OK {
		n++
	}
	return n
}

func TestNewLeaseNamesTheField(t *testing.T) {
	for _, tt := range []struct {
		cfg  limiter.LeaseConfig
		want string
	}{
		{limiter.LeaseConfig{Share: -1}, "limiter: Share: "},
		{limiter.LeaseConfig{Idle: time.Millisecond}, "limiter: Idle: "},
		{limiter.LeaseConfig{Idle: -time.Second}, "limiter: Idle: "},
		{limiter.LeaseConfig{Keys: -1}, "limiter: Keys: "},
	} {
		if _, err := limiter.NewLease(newFarStore(t, 0), tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt.cfg, err)
		}
	}
	if _, err := limiter.NewLease(nil, limiter.LeaseConfig{}); err == nil {
		t.Error("no store, and no error")
	}
	var zero limiter.Lease
	if _, err := zero.Take(context.Background(), make([]limiter.Ask, 1)); err == nil || zero.Close() != nil {
		t.Errorf("the zero Lease: %v", err)
	}
}

// TestLeaseAsksSeldom counts what a thousand units cost, one after another and
// side by side, alone and with a second key.
func TestLeaseAsksSeldom(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, l *limiter.Lease, limit limiter.Limit)
	}{
		{"one after another", func(t *testing.T, l *limiter.Lease, limit limiter.Limit) {
			for range 1000 {
				if st := take(t, l, "a", limit, 1); !st.OK {
					t.Fatalf("got %+v", st)
				}
			}
		}},
		{"two keys", func(t *testing.T, l *limiter.Lease, limit limiter.Limit) {
			for range 500 {
				states, err := l.Take(context.Background(), []limiter.Ask{{Key: "a", Limit: limit, N: 1}, {Key: "b", Limit: limit, N: 1, Force: true}, {Key: "c", N: 1}})
				if err != nil || !states[0].OK || !states[1].OK || !states[2].OK {
					t.Fatalf("got %+v, %v", states, err)
				}
			}
		}},
		{"side by side", func(t *testing.T, l *limiter.Lease, limit limiter.Limit) {
			take(t, l, "a", limit, 1)
			var wg sync.WaitGroup
			for range 9 {
				wg.Go(func() {
					for range 111 {
						if st := take(t, l, "a", limit, 1); !st.OK {
							t.Errorf("got %+v", st)
						}
					}
				})
			}
			wg.Wait()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFarStore(t, time.Millisecond)
				tt.run(t, newLease(t, s, limiter.LeaseConfig{}), limiter.Limit{N: 10_000, Per: time.Hour})
				synctest.Wait()
				if n := s.takes.Load(); n > 1000/10 {
					t.Errorf("the store was asked %d times for a thousand units", n)
				}
			})
		})
	}
}

// TestLeasePassesOn lists what the store is asked for each time.
func TestLeasePassesOn(t *testing.T) {
	big := limiter.Limit{N: 10_000, Per: time.Hour}
	for _, tt := range []struct {
		name string
		ask  limiter.Ask
	}{
		{"a small burst", limiter.Ask{Key: "a", Limit: limiter.Limit{N: 15, Per: time.Hour}, N: 1}},
		{"too much of a share", limiter.Ask{Key: "a", Limit: big, N: 51}},
		{"giving back", limiter.Ask{Key: "a", Limit: big, N: -1}},
		{"a long key", limiter.Ask{Key: strings.Repeat("k", 513), Limit: big, N: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newFarStore(t, 0)
			l := newLease(t, s, limiter.LeaseConfig{})
			for range 10 {
				if _, err := l.Take(context.Background(), []limiter.Ask{tt.ask}); err != nil {
					t.Fatal(err)
				}
			}
			if n := s.takes.Load(); n != 10 {
				t.Errorf("the store was asked %d times of 10", n)
			}
		})
	}
	t.Run("keys that come once", func(t *testing.T) {
		s := newFarStore(t, 0)
		l := newLease(t, s, limiter.LeaseConfig{Keys: 100})
		for i := range 1000 {
			take(t, l, fmt.Sprint(i), big, 1)
		}
		if n := s.takes.Load(); n != 1000 {
			t.Errorf("the store was asked %d times for a thousand keys", n)
		}
		for range 1000 { // one that stays is held all the same
			take(t, l, "a", big, 1)
		}
		if n := s.takes.Load(); n > 1100 {
			t.Errorf("the store was asked %d times for a thousand units", n-1000)
		}
	})
}

// TestLeaseStates: what is described is the store and what is at hand together.
func TestLeaseStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFarStore(t, 0)
		l := newLease(t, s, limiter.LeaseConfig{Idle: time.Hour})
		limit := limiter.Limit{N: 1000, Per: 1000 * time.Second, Burst: 1000}
		for i := range 400 {
			want := limiter.State{OK: true, Left: 999 - i, Full: time.Duration(i+1) * time.Second}
			if st := take(t, l, "a", limit, 1); st != want {
				t.Fatalf("unit %d: got %+v, want %+v", i, st, want)
			}
			synctest.Wait()
		}
		look := func(n int, want limiter.State) {
			t.Helper()
			if st := take(t, l, "a", limit, n); st != want {
				t.Errorf("%d: got %+v, want %+v", n, st, want)
			}
		}
		look(0, limiter.State{OK: true, Left: 600, Full: 400 * time.Second})
		look(601, limiter.State{Left: 600, Retry: time.Second, Full: 400 * time.Second})
		look(-5, limiter.State{OK: true, Left: 605, Full: 395 * time.Second})
		time.Sleep(45 * time.Second)
		look(0, limiter.State{OK: true, Left: 650, Full: 350 * time.Second})
		look(1001, limiter.State{Left: 650, Retry: limiter.Never, Full: 350 * time.Second})
		look(650, limiter.State{OK: true, Retry: 650 * time.Second, Full: 1000 * time.Second}) // to the last unit
		look(0, limiter.State{Retry: time.Second, Full: 1000 * time.Second})

		// What is held does not keep several asks from being all or nothing.
		time.Sleep(1000 * time.Second)
		for range 300 {
			take(t, l, "a", limit, 1)
			synctest.Wait()
		}
		for range 2 {
			states, err := l.Take(context.Background(), []limiter.Ask{{Key: "a", Limit: limit, N: 20}, {Key: "a", Limit: limit, N: 700}, {Key: "b", Limit: limit, N: 1}})
			if err != nil || !states[0].OK || states[1].OK || !states[2].OK || states[1].Left != 700 || states[2].Left != 1000 {
				t.Fatalf("got %+v, %v", states, err)
			}
		}
		states, err := l.Take(context.Background(), []limiter.Ask{{Key: "a", Limit: limit, N: 20}, {Key: "a", Limit: limit, N: 680}, {Key: "b", Limit: limit, N: 1}})
		if err != nil || !states[0].OK || !states[1].OK || !states[2].OK || states[1].Left != 0 || states[2].Left != 999 {
			t.Fatalf("got %+v, %v", states, err)
		}
	})
}

// slowAnswer is a store whose answers to asks for n units wait.
type slowAnswer struct {
	limiter.Store
	n     int
	given chan struct{} // gets one when such an answer is made
	free  chan struct{} // closed when it may come
}

func (s *slowAnswer) Take(ctx context.Context, asks []limiter.Ask) ([]limiter.State, error) {
	states, err := s.Store.Take(ctx, asks)
	if asks[0].N == s.n {
		s.given <- struct{}{}
		<-s.free
	}
	return states, err
}

// An answer that comes late does not make more of what is left than there is.
func TestLeaseAnswersOutOfOrder(t *testing.T) {
	limit := limiter.Limit{N: 30, Per: time.Hour}
	s := &slowAnswer{Store: newFarStore(t, 0).Store, n: 3, given: make(chan struct{}, 1), free: make(chan struct{})}
	l := newLease(t, s, limiter.LeaseConfig{})
	take(t, l, "a", limit, 1)
	fetched := make(chan limiter.State)
	go func() { fetched <- take(t, l, "a", limit, 1) }() // has three fetched
	<-s.given
	take(t, l, "a", limit, 10)
	close(s.free)
	if st := <-fetched; !st.OK || st.Left != 18 {
		t.Errorf("of 30, one, three of which one is spent, and ten: got %+v, want Left 18", st)
	}
	if st := take(t, l, "a", limit, 0); st.Left != 18 {
		t.Errorf("a look: got %+v, want Left 18", st)
	}
}

// TestLeaseNeverAdmitsMoreAtOnce: without time for the store to regain units,
// several machines admit the limit and no more, and what is left over when they
// have closed is there to take.
func TestLeaseNeverAdmitsMoreAtOnce(t *testing.T) {
	s := newFarStore(t, 0)
	const machines, burst = 4, 3000
	limit := limiter.Limit{N: burst, Per: limiter.MaxWindow}
	var admitted atomic.Int64
	var wg sync.WaitGroup
	for g := range machines {
		l := newLease(t, s, limiter.LeaseConfig{Idle: 10 * time.Millisecond})
		var takers sync.WaitGroup
		for h := range 3 {
			takers.Go(func() {
				r := rand.New(rand.NewPCG(uint64(g), uint64(h)))
				for range burst / machines / 2 / 3 {
					n := 1 + r.IntN(3)
					if r.IntN(5) > 0 {
						if take(t, l, "a", limit, n).OK {
							admitted.Add(int64(n))
						}
						continue
					}
					states, err := l.Take(context.Background(), []limiter.Ask{{Key: "a", Limit: limit, N: n}, {Key: "b", Limit: limit, N: 70}})
					if err != nil {
						t.Error(err)
					} else if states[0].OK && states[1].OK {
						admitted.Add(int64(n))
					}
				}
			})
		}
		wg.Go(func() {
			takers.Wait()
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	before := admitted.Load()
	after := drain(t, s.Store, "a", limit)
	if n := int(before) + after; n != burst {
		t.Errorf("admitted %d by leases and %d after, of %d", before, after, burst)
	}
}

// TestLeaseHoldsNoMoreThanItsShare, whatever is asked for.
func TestLeaseHoldsNoMoreThanItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFarStore(t, 0)
		for _, limit := range []limiter.Limit{{N: 5000, Per: limiter.MaxWindow}, {N: 300, Per: limiter.MaxWindow}} {
			share := min(80, limit.N/10)
			l := newLease(t, s, limiter.LeaseConfig{Share: 80})
			r := rand.New(rand.NewPCG(1, 2))
			spent, most := 0, 0
			for {
				n := 1 + r.IntN(3)
				if !take(t, l, "a", limit, n).OK {
					break
				}
				spent += n
				synctest.Wait()
				held := limit.N - spent - take(t, s.Store, "a", limit, 0).Left
				if held < 0 || held > share {
					t.Fatalf("%d held of a share of %d after %d", held, share, spent)
				}
				most = max(most, held)
			}
			if most < share*3/4 {
				t.Errorf("%d held of a share of %d", most, share)
			}
		}
	})
}

// TestLeaseOverAdmits by no more than Share for each machine, and by that.
func TestLeaseOverAdmits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFarStore(t, 0)
		const machines, share, burst = 3, 40, 1000
		limit := limiter.Limit{N: burst, Per: time.Hour}
		var leases []*limiter.Lease
		for range machines {
			l := newLease(t, s, limiter.LeaseConfig{Share: share, Idle: 3 * time.Hour})
			for range 2 { // the second one has a share fetched
				take(t, l, "a", limit, 1)
				synctest.Wait()
			}
			leases = append(leases, l)
		}
		time.Sleep(time.Hour) // in which the store regains what is held
		got := 0
		for _, l := range leases {
			got += drain(t, l, "a", limit)
		}
		if got > burst+machines*share {
			t.Errorf("admitted %d of %d at once, by %d machines that share %d", got, burst, machines, share)
		}
		if got < burst+machines*share/2 {
			t.Errorf("admitted %d of %d at once, so nothing was held", got, burst)
		}
	})
}

// TestLeaseGivesBack what is idle, and everything on Close.
func TestLeaseGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFarStore(t, time.Millisecond)
		limit := limiter.Limit{N: 1000, Per: limiter.MaxWindow}
		left := func() int { return take(t, s.Store, "a", limit, 0).Left }
		l := newLease(t, s, limiter.LeaseConfig{Idle: time.Minute})
		for range 3 {
			take(t, l, "a", limit, 1)
		}
		time.Sleep(time.Second)
		if left() > 950 {
			t.Fatalf("%d left, so nothing is held", left())
		}
		time.Sleep(2 * time.Minute)
		if left() != 997 {
			t.Errorf("%d left after idling", left())
		}
		for range 3 {
			take(t, l, "a", limit, 1)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if left() != 994 {
			t.Errorf("%d left after Close", left())
		}
		before := s.takes.Load()
		for range 10 {
			take(t, l, "a", limit, 1)
		}
		if n := s.takes.Load() - before; n != 10 || left() != 984 {
			t.Errorf("closed: the store was asked %d times of 10, %d left", n, left())
		}
		if err := l.Close(); err != nil {
			t.Errorf("closed twice: %v", err)
		}
	})
}

// TestLeaseWithoutStore: an error is the caller's, what is at hand is still
// spent, and nothing is lost but what was being fetched.
func TestLeaseWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFarStore(t, time.Millisecond)
		limit := limiter.Limit{N: 1000, Per: limiter.MaxWindow}
		l := newLease(t, s, limiter.LeaseConfig{Idle: time.Hour})
		for range 3 {
			take(t, l, "a", limit, 1)
		}
		time.Sleep(time.Second)
		s.away.Store(true)
		ok, failed := 0, 0
		for range 200 {
			states, err := l.Take(context.Background(), []limiter.Ask{{Key: "a", Limit: limit, N: 1}})
			switch {
			case err == nil && states[0].OK:
				ok++
			case errors.Is(err, errAway) && states == nil:
				failed++
			default:
				t.Fatalf("got %+v, %v", states, err)
			}
		}
		if ok < 40 || ok > 100 || failed < 100 {
			t.Errorf("%d decided, %d not", ok, failed)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := l.Take(ctx, []limiter.Ask{{Key: "a", Limit: limit, N: 1}}); !errors.Is(err, context.Canceled) {
			t.Errorf("nobody waits: %v", err)
		}
		s.away.Store(false)
		for range 200 {
			if st := take(t, l, "a", limit, 1); !st.OK {
				t.Fatalf("back again: got %+v", st)
			}
		}
		l.Close()
		if st := take(t, s.Store, "a", limit, 0); st.Left != 1000-3-ok-200 {
			t.Errorf("%d left after %d", st.Left, 3+ok+200)
		}
	})
}

// TestLeaseWaiting: who waits for a share goes when its context ends.
func TestLeaseWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFarStore(t, 0)
		limit := limiter.Limit{N: 1000, Per: time.Hour}
		l := newLease(t, s, limiter.LeaseConfig{})
		take(t, l, "a", limit, 1)
		s.delay = time.Second
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := l.Take(ctx, []limiter.Ask{{Key: "a", Limit: limit, N: 1}})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		time.Sleep(time.Second)
		start = time.Now()
		if st := take(t, l, "a", limit, 1); !st.OK || time.Since(start) != 0 {
			t.Errorf("got %+v after %v: the share has not come", st, time.Since(start))
		}
	})
}
