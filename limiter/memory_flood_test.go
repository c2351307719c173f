package limiter

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// sound tests that every key of m is where find looks for it, once, and that no
// table is larger than it has to be.
func sound(t *testing.T, m *Memory) {
	t.Helper()
	shards := []*shard{&m.spill}
	for i := range m.shards {
		shards = append(shards, &m.shards[i])
	}
	slots, capacity := 0, 0
	for n, s := range shards {
		s.mu.Lock()
		tab := s.table.Load()
		used := 0
		for i := range *tab {
			h := (*tab)[i].hash.Load()
			if h == 0 {
				continue
			}
			used++
			if e := tab.find(h); e != &(*tab)[i] {
				t.Errorf("shard %d: slot %d is not found", n, i)
			}
			if (*tab)[i].word.Load() == busy {
				t.Errorf("shard %d: slot %d is busy", n, i)
			}
		}
		if used != s.used || used > s.max {
			t.Errorf("shard %d: %d slots used, counted %d, of at most %d", n, used, s.used, s.max)
		}
		slots += len(*tab)
		capacity += s.max
		s.mu.Unlock()
	}
	if most := capacity/3*4 + 8*len(shards); slots > most {
		t.Errorf("%d slots, want at most %d", slots, most)
	}
}

// allowed counts how many of n keys are allowed a unit.
func allowed(m *Memory, limit Limit, name string, n int) int {
	ok := 0
	for i := range n {
		if m.Allow(name+strconv.Itoa(i), limit) {
			ok++
		}
	}
	return ok
}

// TestFloodFreesNobody has a million clients come by, more than there is room
// for, and none of those being limited gets away.
func TestFloodFreesNobody(t *testing.T) {
	m := newMemory(t, 1<<14)
	limit := Limit{N: 10, Per: MaxWindow}
	const held = 500
	for range limit.N {
		if n := allowed(m, limit, "held", held); n != held {
			t.Fatalf("%d of %d", n, held)
		}
	}
	refused := Ask{Key: "refused", Limit: limit, N: 9}
	for range 2 { // the second one is refused, with a unit left
		m.TakeOne(&refused)
	}
	clients := 1_000_000
	if raceEnabled {
		clients /= 20 // the detector sees no more in more
	}
	if n := allowed(m, limit, "client", clients); n != clients {
		t.Errorf("%d of the clients were refused", clients-n)
	}
	if n := allowed(m, limit, "held", held); n != 0 {
		t.Errorf("%d of %d that were limited are not any more", n, held)
	}
	if st, err := m.TakeOne(&refused); st.OK || st.Left != 1 || err != nil {
		t.Errorf("refused before: %+v, %v", st, err)
	}
	st := m.Stats()
	if st.Keys > st.Capacity || st.Capacity > 1<<14 || st.Keys < st.Capacity*9/10 {
		t.Errorf("%+v", st)
	}
	if st.Overflowed != 0 || st.Evicted < uint64(clients)-1<<14 {
		t.Errorf("%+v", st)
	}
	sound(t, m)
}

// TestFloodOfLimited has every client of a flood use up its limit at once.
func TestFloodOfLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, 1<<11)
		limit := Limit{N: 1, Per: time.Hour}
		const clients, networks = 20_000, 20
		flood := func() (ok int) {
			for i := range clients {
				a := Ask{Key: "client" + strconv.Itoa(i), Limit: limit, N: 1, Overflow: "net" + strconv.Itoa(i%networks)}
				st, err := m.TakeOne(&a)
				if err != nil {
					t.Fatal(err)
				}
				if st.OK {
					ok++
				}
				if again, _ := m.TakeOne(&a); again.OK {
					t.Fatalf("%s was allowed twice", a.Key)
				}
				a.N = 0
				if look, _ := m.TakeOne(&a); look.OK || look.Left != 0 {
					t.Fatalf("%s: %+v, and has nothing left", a.Key, look)
				}
			}
			return ok
		}
		for range 2 {
			before := m.Stats()
			ok := flood()
			st := m.Stats()
			if most := st.Capacity + networks; ok > most || ok < most*8/10 {
				t.Errorf("%d of %d clients got through, with room for %d", ok, clients, st.Capacity)
			}
			if st.Keys > st.Capacity || st.Evicted != 0 {
				t.Errorf("%+v", st)
			}
			if n := st.Overflowed - before.Overflowed; n < clients-uint64(st.Capacity) {
				t.Errorf("%d asks were decided by shared buckets", n)
			}
			sound(t, m)
			time.Sleep(time.Hour)
			if st := m.Stats(); st.Keys != 0 {
				t.Errorf("after the window: %+v", st)
			}
		}
	})
}

// TestOverflowOverflows: where even the shared buckets have no room left, one
// stands for all of the limit.
func TestOverflowOverflows(t *testing.T) {
	m := newMemory(t, 1024)
	limit, other := Limit{N: 1, Per: time.Hour}, Limit{N: 2, Per: time.Hour, Burst: 1}
	ok := 0
	for i := range 20_000 {
		st, err := m.TakeOne(&Ask{Key: fmt.Sprint("client", i), Limit: limit, N: 1, Overflow: fmt.Sprint("net", i)})
		if err != nil {
			t.Fatal(err)
		}
		if st.OK {
			ok++
		}
	}
	st := m.Stats()
	if ok > st.Capacity+1 || ok < st.Capacity*8/10 || st.Keys > st.Capacity {
		t.Errorf("%d got through, %+v", ok, st)
	}
	if !m.Allow("client", other) || m.Allow("client2", other) {
		t.Error("another limit has no bucket of its own")
	}
	// Several asks at once find the same buckets.
	for _, key := range []string{"a", "b"} {
		asks := []Ask{{Key: key, Limit: limit, N: 1}, {Key: key, Limit: other, N: 1}, {Key: key, Limit: Limit{}, N: 1}}
		states, err := m.Take(context.Background(), asks)
		if err != nil || states[0].OK || states[1].OK || !states[2].OK {
			t.Errorf("%s: %+v, %v", key, states, err)
		}
	}
	sound(t, m)
}

// TestOverflowIsTakenAndGivenBack by keys that have no place.
func TestOverflowIsTakenAndGivenBack(t *testing.T) {
	m := newMemory(t, 128)
	allowed(m, Limit{N: 1, Per: time.Hour}, "held", 1000)
	limit := Limit{N: 3, Per: time.Hour}
	ask := func(key string, n int) Ask { return Ask{Key: key, Limit: limit, N: n, Overflow: "net"} }
	for _, tt := range []struct {
		n    int
		ok   bool
		left int
	}{{0, true, 3}, {-1, true, 3}, {1, true, 2}, {2, true, 0}, {1, false, 0}, {0, false, 0}, {-1, true, 1}, {0, true, 1}, {9, false, 1}, {1, true, 0}} {
		a := ask(fmt.Sprint("client", tt.n, tt.left), tt.n)
		if st, err := m.TakeOne(&a); st.OK != tt.ok || st.Left != tt.left || err != nil {
			t.Errorf("%d: got %+v, %v, want %v, %d", tt.n, st, err, tt.ok, tt.left)
		}
	}
	m.TakeOne(&Ask{Key: "any", Limit: limit, N: -3, Overflow: "net"})
	// Two keys of one Take share the bucket, and find what the other has spent.
	states, err := m.Take(context.Background(), []Ask{ask("x", 2), ask("y", 2)})
	if err != nil || !states[0].OK || states[1].OK {
		t.Errorf("together: %+v, %v", states, err)
	}
	states, err = m.Take(context.Background(), []Ask{ask("x", 2), ask("y", 1)})
	if err != nil || !states[0].OK || !states[1].OK || states[1].Left != 0 {
		t.Errorf("together: %+v, %v", states, err)
	}
	sound(t, m)
}

func TestReset(t *testing.T) {
	m := newMemory(t, 1024)
	limit := Limit{N: 2, Per: time.Hour}
	if m.Reset("a", limit) {
		t.Error("forgot what was never used")
	}
	allowed(m, limit, "a", 1)
	allowed(m, limit, "a", 1)
	if m.Reset("a0", Limit{N: 3, Per: time.Hour}) || m.Reset("a0", Limit{}) {
		t.Error("forgot under another limit")
	}
	if m.Allow("a0", limit) {
		t.Fatal("allowed before")
	}
	if !m.Reset("a0", limit) || m.Reset("a0", limit) {
		t.Error("did not forget, once")
	}
	if st, _ := m.TakeOne(&Ask{Key: "a0", Limit: limit}); st.Left != 2 {
		t.Errorf("after it: %+v", st)
	}
	if st := m.Stats(); st.Keys != 0 {
		t.Errorf("%+v", st)
	}
}

// TestLimitedUntilFull: a key that was limited is held until its bucket is full,
// though it has units again.
func TestLimitedUntilFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, 1024)
		limit, long := Limit{N: 4, Per: time.Hour}, Limit{N: 10, Per: 24 * time.Hour}
		m.TakeOne(&Ask{Key: "a", Limit: limit, N: 4})
		time.Sleep(30 * time.Minute)
		m.Allow("a", limit) // one unit of two
		allowed(m, long, "client", 20_000)
		if st, _ := m.TakeOne(&Ask{Key: "a", Limit: limit}); st.Left != 1 {
			t.Errorf("during its window: %+v", st)
		}
		time.Sleep(time.Hour)
		allowed(m, long, "other", 20_000)
		if st := m.Stats(); st.Keys > st.Capacity {
			t.Errorf("%+v", st)
		}
		if st, _ := m.TakeOne(&Ask{Key: "a", Limit: limit}); st.Left != 4 {
			t.Errorf("after its window: %+v", st)
		}
	})
}
