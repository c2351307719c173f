package bench

import (
	"bytes"
	"context"
	"net"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/smtpguard/smtpguard/internal/require"
	"github.com/smtpguard/smtpguard/limiter"
	"github.com/smtpguard/smtpguard/limiter/redisstore"
)

// redisServer starts a redis-server that keeps nothing on disk, and returns its
// address.
func redisServer(tb testing.TB) string {
	tb.Helper()
	path := require.Program(tb, "redis-server")
	own := require.Addr(tb)
	addr, port := own.String(), strconv.Itoa(int(own.Port()))
	cmd := exec.Command(path, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", tb.TempDir())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return addr
		}
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			cmd.Wait()
			tb.Fatalf("redis-server does not listen:\n%s", &out)
		}
	}
}

// redisKeys is how many keys the benchmarks spread over.
const redisKeys = 10000

var (
	redisLimit = limiter.Limit{N: 1_000_000, Per: time.Hour}
	busyLimit  = limiter.Limit{N: 1_000_000_000, Per: time.Hour} // not to be used up
)

func redisKey(i int) string { return "mail/addr/192.0.2." + strconv.Itoa(i%redisKeys) }

// redisWindows are three windows of each of three keys.
func redisWindows(i int) []limiter.Ask {
	asks := make([]limiter.Ask, 0, 9)
	for k := range 3 {
		for _, per := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour} {
			asks = append(asks, limiter.Ask{Key: redisKey(3*i + k), Limit: limiter.Limit{N: 1_000_000, Per: per}, N: 1})
		}
	}
	return asks
}

// BenchmarkRedis is the store beside redis_rate, both with a client of their own
// on the same server: one window for 64 callers at once, one window for one
// caller, and three windows of three keys in one decision, for which redis_rate
// has to be asked nine times. The cases named -pairs run both in turns, and
// report how many times as many decisions the store makes in the same time.
func BenchmarkRedis(b *testing.B) {
	addr := redisServer(b)
	store, err := redisstore.New(redisstore.Config{Redis: redis.UniversalOptions{Addrs: []string{addr}}, Timeout: 5 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	rate := redis_rate.NewLimiter(client)

	type decide func(i int) error
	peer := func(i int) error {
		_, err := rate.Allow(context.Background(), redisKey(i), redis_rate.PerHour(redisLimit.N))
		return err
	}
	ours := func(i int) error {
		_, err := store.Take(context.Background(), []limiter.Ask{{Key: redisKey(i), Limit: redisLimit, N: 1}})
		return err
	}
	peerWindows := func(i int) error {
		for _, ask := range redisWindows(i) {
			limit := redis_rate.Limit{Rate: ask.Limit.N, Burst: ask.Limit.N, Period: ask.Limit.Per}
			if _, err := rate.Allow(context.Background(), ask.Key+ask.Limit.Per.String(), limit); err != nil {
				return err
			}
		}
		return nil
	}
	ourWindows := func(i int) error {
		_, err := store.Take(context.Background(), redisWindows(i))
		return err
	}
	lease, err := limiter.NewLease(store, limiter.LeaseConfig{})
	if err != nil {
		b.Fatal(err)
	}
	defer lease.Close()
	busy := func(i int) string { return redisKey(i % 100) }
	leased := func(i int) error {
		_, err := lease.Take(context.Background(), []limiter.Ask{{Key: busy(i), Limit: busyLimit, N: 1}})
		return err
	}
	peerBusy := func(i int) error {
		_, err := rate.Allow(context.Background(), busy(i), redis_rate.PerHour(busyLimit.N))
		return err
	}
	// crowd makes n decisions from so many callers.
	crowd := func(tb testing.TB, callers, n int, f decide) {
		var next atomic.Int64
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
					if err := f(i); err != nil {
						tb.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	for _, c := range []struct {
		name       string
		callers    int
		peer, ours decide
		pair       [2]int // decisions of each in one pair
	}{
		{"one-window-64-callers", 64, peer, ours, [2]int{6400, 6400}},
		{"one-at-a-time", 1, peer, ours, [2]int{1000, 1000}},
		{"three-windows-three-keys", 1, peerWindows, ourWindows, [2]int{200, 200}},
		{"three-windows-three-keys-64-callers", 64, peerWindows, ourWindows, [2]int{1280, 1280}},
		{"leased", 1, peerBusy, leased, [2]int{1000, 50000}},
		{"leased-64-callers", 64, peerBusy, leased, [2]int{6400, 320000}},
	} {
		for _, who := range []struct {
			name string
			decide
		}{{"redis_rate", c.peer}, {"smtpguard", c.ours}} {
			b.Run(c.name+"/"+who.name, func(b *testing.B) {
				b.ReportAllocs()
				crowd(b, c.callers, b.N, who.decide)
			})
		}
		b.Run(c.name+"-pairs/smtpguard", func(b *testing.B) {
			var ratios []float64
			for range b.N {
				theirs, _ := measure(func() { crowd(b, c.callers, c.pair[0], c.peer) })
				own, _ := measure(func() { crowd(b, c.callers, c.pair[1], c.ours) })
				ratios = append(ratios, theirs.Seconds()/float64(c.pair[0])/(own.Seconds()/float64(c.pair[1])))
			}
			b.ReportMetric(median(ratios), "rate/redis_rate")
		})
	}
}
