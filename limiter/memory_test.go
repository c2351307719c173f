package limiter

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func newMemory(t testing.TB, maxKeys int) *Memory {
	t.Helper()
	m, err := NewMemory(MemoryConfig{MaxKeys: maxKeys})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestNewMemoryNamesTheField(t *testing.T) {
	for _, n := range []int{-1, 1, 127} {
		if _, err := NewMemory(MemoryConfig{MaxKeys: n}); err == nil || !strings.Contains(err.Error(), "limiter: MaxKeys: ") {
			t.Errorf("%d: %v", n, err)
		}
	}
	for _, n := range []int{0, 128, 1000, 5000, 1 << 20, 3e6} {
		want := n
		if n == 0 {
			want = defaultMaxKeys
		}
		if got := newMemory(t, n).Stats().Capacity; got > want || got < want-maxShards {
			t.Errorf("%d: room for %d", n, got)
		}
	}
}

func TestZeroMemory(t *testing.T) {
	var m Memory
	limit := Limit{N: 1, Per: time.Hour}
	if _, err := m.TakeOne(&Ask{Limit: limit}); err == nil {
		t.Error("TakeOne: no error")
	}
	for n := range 3 {
		if states, err := m.Take(context.Background(), make([]Ask, n)); err == nil {
			t.Errorf("Take: %v and no error", states)
		}
	}
	if m.Allow("a", limit) || m.Reset("a", limit) || m.Stats() != (MemoryStats{}) {
		t.Error("Allow, Reset or Stats: found something")
	}
}

// TestMemoryIsAMap compares with a map from key to tat over random asks, while
// the table grows, drops what is full again and takes keys anew.
func TestMemoryIsAMap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, 1<<16)
		r := rand.New(rand.NewPCG(3, 4))
		limits := []Limit{{N: 10, Per: time.Second}, {N: 10, Per: time.Minute}, {N: 10, Per: time.Second, Burst: 4}, {N: 3, Per: time.Hour}, {}}
		type state struct {
			key   string
			limit Limit
		}
		kept := map[state]int64{}
		take := func(now int64, asks []Ask) []State {
			states, ok := make([]State, len(asks)), true
			next := map[state]int64{}
			at := func(a *Ask) int64 {
				if tat, ok := next[state{a.Key, a.Limit}]; ok {
					return tat
				}
				return kept[state{a.Key, a.Limit}]
			}
			for i := range asks {
				a := &asks[i]
				next[state{a.Key, a.Limit}], states[i] = a.Spend(now, at(a))
				ok = ok && (states[i].OK || a.Force)
			}
			if !ok {
				clear(next)
				for i := range asks {
					a, ok := &asks[i], states[i].OK
					if a.Force {
						next[state{a.Key, a.Limit}], states[i] = a.Spend(now, at(a))
					} else {
						states[i] = a.Look(now, at(a))
						states[i].OK = ok
					}
				}
			}
			for s, tat := range next {
				kept[s] = tat
			}
			return states
		}
		for range 20000 {
			time.Sleep(time.Duration(r.Int64N(int64(10 * time.Millisecond))))
			asks := make([]Ask, []int{0, 1, 1, 1, 2, 3, 9, 40}[r.IntN(8)])
			for i := range asks {
				asks[i] = Ask{Key: fmt.Sprint("key", r.IntN(1+r.IntN(2000))), Limit: limits[r.IntN(len(limits))], N: r.IntN(7) - 2, Force: r.IntN(5) == 0, Debt: time.Minute}
			}
			want := take(m.now(), asks)
			got, err := m.Take(context.Background(), asks)
			if err != nil || len(got) != len(asks) {
				t.Fatal(got, err)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("ask %d of %+v:\ngot  %+v\nwant %+v", i, asks, got[i], want[i])
				}
			}
		}
		keys, now := 0, m.now()
		for _, tat := range kept {
			if tat > now {
				keys++
			}
		}
		if st := m.Stats(); st.Keys != keys || st.Overflowed != 0 || st.Evicted != 0 {
			t.Errorf("%+v, want %d keys", st, keys)
		}
	})
}

// TestMemoryAdmitsExactly has a storm of takers, alone and several keys at a
// time, while the table grows under them.
func TestMemoryAdmitsExactly(t *testing.T) {
	m := newMemory(t, 1<<16)
	const takers, keys, burst = 8, 100, 50
	limit := Limit{N: burst, Per: MaxWindow}
	var admitted [keys]atomic.Int64
	var wg sync.WaitGroup
	for g := range takers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 5))
			name := func(k int) string { return "key" + strconv.Itoa(k) }
			for i := range keys * burst {
				m.Allow("other"+strconv.Itoa(g*1e6+i), limit) // grows the table
				k := r.IntN(keys)
				if r.IntN(2) == 0 {
					if m.Allow(name(k), limit) {
						admitted[k].Add(1)
					}
					continue
				}
				o := (k + 1 + r.IntN(keys-1)) % keys
				states, err := m.Take(context.Background(), []Ask{{Key: name(k), Limit: limit, N: 1}, {Key: name(o), Limit: limit, N: 1}})
				if err != nil {
					t.Error(err)
				} else if states[0].OK && states[1].OK {
					admitted[k].Add(1)
					admitted[o].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for k := range admitted {
		for m.Allow("key"+strconv.Itoa(k), limit) {
			admitted[k].Add(1)
		}
		if n := admitted[k].Load(); n != burst {
			t.Errorf("key %d: admitted %d, want %d", k, n, burst)
		}
	}
}

func TestTakeOneAllocatesNothing(t *testing.T) {
	m := newMemory(t, 1<<12)
	limit := Limit{N: 3, Per: time.Hour}
	allowed(m, limit, "held", 1<<13) // full, of keys that can be dropped
	keys := make([]string, 2000)
	for i := range keys {
		keys[i] = fmt.Sprint("key", i)
	}
	i := 0
	if n := testing.AllocsPerRun(10*len(keys), func() {
		key := keys[i%len(keys)]
		i++
		m.TakeOne(&Ask{Key: key, Limit: limit, N: 1 + i%3, Force: i%5 == 0, Overflow: "net"})
		m.Allow(key, limit)
		m.TakeOne(&Ask{Key: "", Limit: Limit{}, N: 1})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	asks := []Ask{{Key: keys[0], Limit: limit, N: 1}, {Key: keys[1], Limit: limit, N: 1}, {Key: keys[2], Limit: limit, N: 1}}
	if n := testing.AllocsPerRun(1000, func() { m.Take(context.Background(), asks) }); n != 1 {
		t.Errorf("%v allocations for three states, want 1", n)
	}
}
