package limiter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// counted is a Memory that counts what it is asked, and can be away.
type counted struct {
	*Memory
	takes atomic.Int64
	away  atomic.Bool
}

var errAway = errors.New("away")

func (c *counted) Take(ctx context.Context, asks []Ask) ([]State, error) {
	c.takes.Add(1)
	if c.away.Load() {
		return nil, errAway
	}
	return c.Memory.Take(ctx, asks)
}

func newCounted(t testing.TB) *counted {
	t.Helper()
	m, err := NewMemory(MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return &counted{Memory: m}
}

func newLease(t testing.TB, store Store, cfg LeaseConfig) *Lease {
	t.Helper()
	l, err := NewLease(store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// left is what the store has of a key.
func (c *counted) left(t testing.TB, key string, limit Limit) int {
	t.Helper()
	st, err := c.TakeOne(&Ask{Key: key, Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	return st.Left
}

var thousand = Limit{N: 1000, Per: time.Hour}

// A thousand asks are ten round trips, and exactly the limit is admitted.
func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newCounted(t)
		l := newLease(t, store, LeaseConfig{Share: 100})
		admitted := 0
		for range 1200 {
			st, err := l.TakeOne(t.Context(), Ask{Key: "k", Limit: thousand, N: 1})
			if err != nil {
				t.Fatal(err)
			}
			if st.OK {
				admitted++
				if st.Left != 1000-admitted {
					t.Fatalf("after %d units %d are left", admitted, st.Left)
				}
			}
		}
		if admitted != 1000 {
			t.Errorf("%d admitted, want 1000", admitted)
		}
		if n := store.takes.Load(); n > 10+1+200 {
			t.Errorf("%d round trips", n)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Several machines get no more than the limit has, and within a window no more
// than their shares beyond it.
func TestLeaseBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const machines, share = 4, 50
		store := newCounted(t)
		var ls []*Lease
		for range machines {
			ls = append(ls, newLease(t, store, LeaseConfig{Share: share, Idle: 2 * time.Hour}))
		}
		limit := Limit{N: 1000, Per: time.Hour}
		for _, l := range ls { // each has a share, nearly unused
			if _, err := l.TakeOne(t.Context(), Ask{Key: "k", Limit: limit, N: 1}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour) // all is regained
		admitted := 0
		for i := range 4000 {
			st, err := ls[i%machines].TakeOne(t.Context(), Ask{Key: "k", Limit: limit, N: 1})
			if err != nil {
				t.Fatal(err)
			}
			if st.OK {
				admitted++
			}
		}
		if admitted > 1000+machines*share || admitted < 1000 {
			t.Errorf("%d admitted at once, want 1000 to %d", admitted, 1000+machines*share)
		}
		for _, l := range ls {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// What is not used is given back: after Idle, and at Close.
func TestLeaseGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newCounted(t)
		l := newLease(t, store, LeaseConfig{Share: 100, Idle: time.Second})
		for range 10 {
			if st, err := l.TakeOne(t.Context(), Ask{Key: "k", Limit: thousand, N: 1}); err != nil || !st.OK {
				t.Fatal(st, err)
			}
		}
		if n := store.left(t, "k", thousand); n != 900 {
			t.Errorf("with a share out, %d are left", n)
		}
		st, err := l.TakeOne(t.Context(), Ask{Key: "k", Limit: thousand})
		if err != nil || !st.OK || st.Left != 990 {
			t.Errorf("a look says %+v, %v", st, err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := store.left(t, "k", thousand); n != 990 {
			t.Errorf("when idle, %d are left", n)
		}
		if _, err := l.TakeOne(t.Context(), Ask{Key: "k", Limit: thousand, N: 10}); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if n := store.left(t, "k", thousand); n != 980 {
			t.Errorf("when closed, %d are left", n)
		}
		if st, err := l.TakeOne(t.Context(), Ask{Key: "k", Limit: thousand, N: 1}); err != nil || !st.OK {
			t.Errorf("after Close: %+v, %v", st, err)
		}
		if n := store.left(t, "k", thousand); n != 979 {
			t.Errorf("after Close, %d are left: a share was taken", n)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// What a share is no good for goes to the store.
func TestLeasePassesOn(t *testing.T) {
	store := newCounted(t)
	l := newLease(t, store, LeaseConfig{Share: 100, MaxKeys: 1})
	defer l.Close()
	small := Limit{N: 10, Per: time.Hour}
	for _, asks := range [][]Ask{
		{{Key: "small", Limit: small, N: 1}},
		{{Key: "many", Limit: thousand, N: 51}},
		{{Key: "forced", Limit: thousand, N: 1, Force: true}},
		{{Key: "back", Limit: thousand, N: -1}},
		{{Key: "a", Limit: thousand, N: 1}, {Key: "b", Limit: thousand, N: 1}},
		{{Key: "none", N: 1}},
	} {
		before := store.takes.Load()
		for range 3 {
			if _, err := l.Take(t.Context(), asks); err != nil {
				t.Fatal(err)
			}
		}
		if n := store.takes.Load() - before; n != 3 {
			t.Errorf("%+v: %d of 3 went to the store", asks, n)
		}
	}
	for i := range 3 { // only the first has room for a share
		key := fmt.Sprint("key", i)
		for range 10 {
			if _, err := l.TakeOne(t.Context(), Ask{Key: key, Limit: thousand, N: 1}); err != nil {
				t.Fatal(err)
			}
		}
		if want := map[bool]int{true: 900, false: 990}[i == 0]; store.left(t, key, thousand) != want {
			t.Errorf("%s: %d left, want %d", key, store.left(t, key, thousand), want)
		}
	}
	if _, err := l.Take(t.Context(), []Ask{{Limit: Limit{N: -1}, N: 1}}); err == nil {
		t.Error("a limit that is not valid was decided about")
	}
}

// While the store is away a share is all there is, and nobody waits for long.
func TestLeaseAway(t *testing.T) {
	store := newCounted(t)
	l := newLease(t, store, LeaseConfig{Share: 100})
	admitted := 0
	for i := range 300 {
		store.away.Store(i > 0)
		st, err := l.TakeOne(t.Context(), Ask{Key: "k", Limit: thousand, N: 1})
		if err == nil && st.OK {
			admitted++
		} else if !errors.Is(err, errAway) {
			t.Fatal(st, err)
		}
	}
	if admitted != 100 {
		t.Errorf("%d admitted, want the share", admitted)
	}
	store.away.Store(false)
	if st, err := l.TakeOne(t.Context(), Ask{Key: "k", Limit: thousand, N: 1}); err != nil || !st.OK {
		t.Errorf("when it is back: %+v, %v", st, err)
	}
	store.away.Store(true)
	if err := l.Close(); !errors.Is(err, errAway) {
		t.Errorf("Close: %v", err)
	}
}

// Many callers at once get the limit, exactly.
func TestLeaseCrowd(t *testing.T) {
	store := newCounted(t)
	l := newLease(t, store, LeaseConfig{Share: 10, Idle: time.Millisecond})
	limit := Limit{N: 1000, Per: MaxWindow}
	var admitted atomic.Int64
	var crowd sync.WaitGroup
	for range 8 {
		crowd.Go(func() {
			for range 500 {
				st, err := l.TakeOne(t.Context(), Ask{Key: "k", Limit: limit, N: 1})
				if err != nil {
					t.Error(err)
					return
				}
				if st.OK {
					admitted.Add(1)
				}
			}
		})
	}
	crowd.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got, left := admitted.Load(), int64(store.left(t, "k", limit)); got+left != 1000 {
		t.Errorf("%d admitted, %d left, of 1000", got, left)
	}
}

func TestNewLeaseFails(t *testing.T) {
	_, err := NewLease(nil, LeaseConfig{Share: -1, Idle: -1, MaxKeys: -1, Timeout: -1})
	for _, field := range []string{"store", "Share", "Idle", "MaxKeys", "Timeout"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
}
