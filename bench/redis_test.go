package bench

import (
	"bytes"
	"context"
	"net"
	"os/exec"
	"runtime"
	"strconv"
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
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	addr := ln.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	ln.Close()
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
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
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

var redisLimit = limiter.Limit{N: 1_000_000, Per: time.Hour}

func redisKey(i uint64) string { return "mail/addr/192.0.2." + strconv.FormatUint(i%redisKeys, 10) }

// BenchmarkRedis is the store beside redis_rate, both with their own client on
// the same server: 64 callers at once, one after another, nine windows in one
// decision, and from a lease.
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

	ours := func(i uint64) error {
		_, err := store.Take(context.Background(), []limiter.Ask{{Key: redisKey(i), Limit: redisLimit, N: 1}})
		return err
	}
	peer := func(i uint64) error {
		_, err := rate.Allow(context.Background(), redisKey(i), redis_rate.PerHour(redisLimit.N))
		return err
	}
	nine := func(i uint64) error {
		asks := make([]limiter.Ask, 0, 9)
		for k := range 3 {
			for _, per := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour} {
				asks = append(asks, limiter.Ask{Key: redisKey(3*i + uint64(k)), Limit: limiter.Limit{N: 1_000_000, Per: per}, N: 1})
			}
		}
		_, err := store.Take(context.Background(), asks)
		return err
	}
	lease, err := limiter.NewLease(store, limiter.LeaseConfig{})
	if err != nil {
		b.Fatal(err)
	}
	defer lease.Close()
	leased := func(i uint64) error { // of a hundred keys, so that each is asked for often
		_, err := lease.TakeOne(context.Background(), limiter.Ask{Key: redisKey(i % 100), Limit: redisLimit, N: 1})
		return err
	}
	crowd := func(b *testing.B, decide func(uint64) error) {
		var n atomic.Uint64
		b.SetParallelism(64 / runtime.GOMAXPROCS(0))
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := decide(n.Add(1)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	alone := func(b *testing.B, decide func(uint64) error) {
		for i := range b.N {
			if err := decide(uint64(i)); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name   string
		run    func(*testing.B, func(uint64) error)
		decide func(uint64) error
	}{
		{"one-window-64-callers/redis_rate", crowd, peer},
		{"one-window-64-callers/smtpguard", crowd, ours},
		{"leased-64-callers/smtpguard", crowd, leased},
		{"one-at-a-time/redis_rate", alone, peer},
		{"one-at-a-time/smtpguard", alone, ours},
		{"three-windows-three-keys/smtpguard", alone, nine},
		{"three-windows-three-keys-64-callers/smtpguard", crowd, nine},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			c.run(b, c.decide)
		})
	}
}
