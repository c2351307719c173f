package bench

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sethvargo "github.com/sethvargo/go-limiter"
	"github.com/sethvargo/go-limiter/memorystore"
	"golang.org/x/time/rate"

	"github.com/smtpguard/smtpguard/limiter"
)

// addresses are keys as a check makes them.
func addresses(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("mail/addr/10.%d.%d.%d", i>>16, i>>8&255, i&255)
	}
	return keys
}

// limits are such that no benchmark uses them up, and that a key once taken of
// is not as good as new before the benchmark ends.
var (
	ofOne  = limiter.Limit{N: 1e9, Per: time.Hour, Burst: 1e9}
	ofMany = limiter.Limit{N: 100, Per: time.Hour, Burst: 20_000}
)

// takers make, for each who, a function that takes one unit of key i.
var takers = []struct {
	who  string
	make func(tb testing.TB, keys []string, limit limiter.Limit) func(i int) bool
}{
	{"smtpguard", func(tb testing.TB, keys []string, limit limiter.Limit) func(int) bool {
		m, err := limiter.NewMemory(limiter.MemoryConfig{MaxKeys: 2 << 20})
		if err != nil {
			tb.Fatal(err)
		}
		return func(i int) bool {
			st, err := m.TakeOne(&limiter.Ask{Key: keys[i], Limit: limit, N: 1})
			return err == nil && st.OK
		}
	}},
	{"x-time", func(_ testing.TB, keys []string, limit limiter.Limit) func(int) bool {
		var m sync.Map
		return func(i int) bool {
			v, ok := m.Load(keys[i])
			if !ok {
				v, _ = m.LoadOrStore(keys[i], rate.NewLimiter(rate.Limit(float64(limit.N)/limit.Per.Seconds()), limit.Burst))
			}
			return v.(*rate.Limiter).Allow()
		}
	}},
	{"sethvargo", func(tb testing.TB, keys []string, limit limiter.Limit) func(int) bool {
		var s sethvargo.Store
		s, err := memorystore.New(&memorystore.Config{Tokens: uint64(limit.Burst), Interval: limit.Cost(limit.Burst)})
		if err != nil {
			tb.Fatal(err)
		}
		ctx := context.Background()
		tb.Cleanup(func() { s.Close(ctx) })
		return func(i int) bool {
			_, _, _, ok, err := s.Take(ctx, keys[i])
			return ok && err == nil
		}
	}},
	// The bare primitive: read the clock, and set a word that is known already.
	{"limit", func(_ testing.TB, keys []string, _ limiter.Limit) func(int) bool {
		words := make([]atomic.Int64, len(keys))
		start := time.Now()
		return func(i int) bool {
			for {
				now := int64(time.Since(start))
				if old := words[i].Load(); words[i].CompareAndSwap(old, max(old, now)+1) {
					return true
				}
			}
		}
	}},
}

// drive takes n times, by so many goroutines, keys drawn at random.
func drive(tb testing.TB, take func(int) bool, keys, goroutines, n int) {
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			x := uint64(g)*0x9e3779b97f4a7c15 + uint64(n) | 1
			for range n / goroutines {
				x ^= x << 13 // xorshift64
				x ^= x >> 7
				x ^= x << 17
				if !take(int(x>>32) % keys) {
					tb.Error("refused")
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkLimiter takes one unit a time: of one key, which is contention, and of
// a million, which is memory.
func BenchmarkLimiter(b *testing.B) {
	for _, keys := range []struct {
		name  string
		n     int
		limit limiter.Limit
	}{{"one-key", 1, ofOne}, {"million-keys", 1e6, ofMany}} {
		names := addresses(keys.n)
		made := make([]func(int) bool, len(takers))
		filled := func(i int) func(int) bool {
			if made[i] == nil {
				made[i] = takers[i].make(b, names, keys.limit)
				for k := range names {
					made[i](k)
				}
				runtime.GC()
			}
			return made[i]
		}
		for _, goroutines := range []int{2, 8} {
			name := fmt.Sprintf("%s-%d", keys.name, goroutines)
			for i, t := range takers {
				b.Run(name+"/"+t.who, func(b *testing.B) {
					take := filled(i)
					b.ReportAllocs()
					b.ResetTimer()
					drive(b, take, keys.n, goroutines, b.N)
				})
			}
			// Short turns, side by side, say more than long runs one after another.
			b.Run(name+"-turns/smtpguard", func(b *testing.B) {
				var takes []func(int) bool
				for i := range takers {
					takes = append(takes, filled(i))
				}
				ratios := make([][]float64, len(takers))
				b.ResetTimer()
				for range b.N {
					var took []float64
					for _, take := range takes {
						t, _ := measure(func() { drive(b, take, keys.n, goroutines, 20_000) })
						took = append(took, t.Seconds())
					}
					for i := range takes {
						ratios[i] = append(ratios[i], took[i]/took[0])
					}
				}
				for i, t := range takers[1:] {
					b.ReportMetric(median(ratios[i+1]), "x/"+t.who)
				}
			})
		}
	}
}

// BenchmarkLimiterMemory tells what a key costs where there are a million, whose
// strings are not part of it.
func BenchmarkLimiterMemory(b *testing.B) {
	names := addresses(1e6)
	for _, t := range takers {
		b.Run("million-keys/"+t.who, func(b *testing.B) {
			for range b.N {
				before := inUse()
				take := t.make(b, names, ofMany)
				for i := range names {
					take(i)
				}
				b.ReportMetric(float64(inUse()-before)/float64(len(names)), "B/key")
				runtime.KeepAlive(take)
			}
		})
	}
}

// away is a store at the other end of a network.
type away struct {
	limiter.Store
	trip time.Duration
}

func (a away) Take(ctx context.Context, asks []limiter.Ask) ([]limiter.State, error) {
	time.Sleep(a.trip)
	return a.Store.Take(ctx, asks)
}

// BenchmarkLease takes of one key, one unit after another, from a store 200 µs
// away: with a lease on it, and without.
func BenchmarkLease(b *testing.B) {
	for _, who := range []string{"store", "smtpguard"} {
		b.Run("one-key/"+who, func(b *testing.B) {
			m, err := limiter.NewMemory(limiter.MemoryConfig{})
			if err != nil {
				b.Fatal(err)
			}
			var s limiter.Store = away{m, 200 * time.Microsecond}
			if who == "smtpguard" {
				l, err := limiter.NewLease(s, limiter.LeaseConfig{})
				if err != nil {
					b.Fatal(err)
				}
				defer l.Close()
				s = l
			}
			asks := []limiter.Ask{{Key: "mail/addr/192.0.2.1", Limit: ofOne, N: 1}}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if states, err := s.Take(context.Background(), asks); err != nil || !states[0].OK {
					b.Fatal(states, err)
				}
			}
		})
	}
}
