package limiter

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestFirstComers has several takers find a key absent at the same time.
func TestFirstComers(t *testing.T) {
	m := newMemory(t, 1<<17)
	limit := Limit{N: 1, Per: MaxWindow}
	const keys = 30_000
	var admitted atomic.Int64
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { admitted.Add(int64(allowed(m, limit, "key", keys))) })
	}
	wg.Wait()
	if n := admitted.Load(); n != keys {
		t.Errorf("admitted %d units of %d", n, keys)
	}
	sound(t, m)
}

// TestStaleWords: a taker that has read a key's word does not get through any
// more once its slot is another key's, or the table another one.
func TestStaleWords(t *testing.T) {
	m := newMemory(t, 128)
	s := &m.shards[0]
	limit := Limit{N: 10, Per: time.Hour}
	type read struct {
		hash uint64
		word word
	}
	for i := range 3000 {
		tab := s.table.Load()
		before := make([]read, len(*tab))
		for j := range *tab {
			e := &(*tab)[j]
			before[j] = read{e.hash.Load(), e.load()}
		}
		if i%7 == 0 && i > 100 {
			m.Reset(strconv.Itoa(i-100), limit)
		} else if i%5 == 0 && i > 100 {
			m.Allow(strconv.Itoa(i-100), Limit{N: 1, Per: 1}) // soon full again
		} else {
			m.Allow(strconv.Itoa(i), limit)
		}
		for j := range *tab {
			e := &(*tab)[j]
			is := read{e.hash.Load(), e.load()}
			if before[j].hash != 0 && is.word == before[j].word && (is.hash != before[j].hash || s.table.Load() != tab) {
				t.Fatalf("step %d, slot %d: %x held %x, and %x now holds the same", i, j, before[j].hash, is.word, is.hash)
			}
		}
	}
	if m.Stats().Evicted == 0 {
		t.Error("no slot was used twice")
	}
}

// TestMoves takes of two keys with one home while each is dropped and added
// again in turn, which moves the other.
func TestMoves(t *testing.T) {
	tab := make(table, 8)
	hashes := [2]uint64{1 << 8, 1<<8 + 1}
	const now, moves = 1, 100_000
	r := rule{n: 1, per: 1, window: 1 << 50, most: 1 << 50, unit: 1, cost: 1}
	for _, h := range hashes {
		tab.add(h, word(0).with(now))
	}
	var taken [2]atomic.Int64
	var done atomic.Bool
	var wg sync.WaitGroup
	for k, h := range hashes {
		wg.Go(func() {
			for !done.Load() {
				if _, ok := tab.take(h, now, &r); ok {
					taken[k].Add(1)
				}
			}
		})
	}
	home := tab.home(hashes[0])
	for n := 0; n < moves || taken[0].Load() == 0 || taken[1].Load() == 0; n++ {
		var w word
		for w = tab[home].load(); !tab.freeze(home, w); w = tab[home].load() {
		}
		h := tab[home].hash.Load()
		tab.remove(home, w)
		tab.add(h, w)
	}
	done.Store(true)
	wg.Wait()
	for k, h := range hashes {
		if got, want := tab.find(h).load().tat(), now+taken[k].Load(); got != want {
			t.Errorf("key %d: tat %d, want %d", k, got, want)
		}
	}
}

// TestGrowth has a key taken all the time while its table grows.
func TestGrowth(t *testing.T) {
	limit := Limit{N: 1e6, Per: MaxWindow}
	for range 20 {
		m := newMemory(t, 2000)
		var done atomic.Bool
		var taken atomic.Int64
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for !done.Load() {
					if m.Allow("hot", limit) {
						taken.Add(1)
					}
				}
			})
		}
		for taken.Load() == 0 {
			runtime.Gosched()
		}
		allowed(m, limit, "key", 1500)
		done.Store(true)
		wg.Wait()
		if st, _ := m.TakeOne(&Ask{Key: "hot", Limit: limit}); st.Left != limit.N-int(taken.Load()) {
			t.Fatalf("%d left of %d after %d", st.Left, limit.N, taken.Load())
		}
		sound(t, m)
	}
}

// TestStorm has takers of a few hot keys while others flood a small table, so
// that slots move, are dropped and are reused under the takers' hands.
func TestStorm(t *testing.T) {
	m := newMemory(t, 256)
	const hot, burst, takers = 4, 100_000, 2
	limit := Limit{N: burst, Per: MaxWindow}
	var keys [hot]string
	for k := range keys {
		keys[k] = fmt.Sprint("hot", k)
		// Limited from the start, so the flood may not drop them; one unit stays spent.
		m.TakeOne(&Ask{Key: keys[k], Limit: limit, N: burst + 1, Force: true})
		m.TakeOne(&Ask{Key: keys[k], Limit: limit, N: -burst + 1})
	}
	rounds := hot * burst / takers
	if raceEnabled {
		rounds /= 10
	}
	var admitted [hot]atomic.Int64
	var done atomic.Bool
	var flood, wg sync.WaitGroup
	flood.Go(func() {
		brief := Limit{N: 1000, Per: time.Millisecond}
		moment := Limit{N: 1, Per: 100 * time.Microsecond} // limited, but soon full again
		for i := 0; !done.Load(); i++ {
			key := strconv.Itoa(i)
			switch i % 8 {
			case 0:
				m.Take(context.Background(), []Ask{{Key: key, Limit: brief, N: 1}, {Key: key + "b", Limit: limit, N: 1}})
			case 1:
				m.Allow(key, moment)
			case 2:
				m.Reset(strconv.Itoa(i-1), moment)
			case 3:
				m.Allow(key, brief)
			default:
				m.Allow(key, limit)
			}
		}
	})
	for g := range takers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 2))
			for range rounds {
				k := r.IntN(hot)
				if r.IntN(16) > 0 {
					if m.Allow(keys[k], limit) {
						admitted[k].Add(1)
					}
					continue
				}
				o := (k + 1) % hot
				states, err := m.Take(context.Background(), []Ask{{Key: keys[k], Limit: limit, N: 1}, {Key: keys[o], Limit: limit, N: 1}})
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
	done.Store(true)
	flood.Wait()
	for k, key := range keys {
		for m.Allow(key, limit) {
			admitted[k].Add(1)
		}
		if n := admitted[k].Load(); n != burst-1 {
			t.Errorf("%s: admitted %d, want %d", key, n, burst-1)
		}
	}
	sound(t, m)
	if st := m.Stats(); st.Evicted == 0 {
		t.Errorf("%+v: there was no storm", st)
	}
}
