package redisstore

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/smtpguard/smtpguard/limiter"
	"github.com/smtpguard/smtpguard/limiter/storetest"
)

// slow is a Timeout that a busy machine does not exceed.
const slow = 20 * time.Second

func hourly(n int) limiter.Limit { return limiter.Limit{N: n, Per: time.Hour} }

// takeOne asks for n units and wants no error.
func takeOne(t testing.TB, s *Store, key string, l limiter.Limit, n int) limiter.State {
	t.Helper()
	return all(t, s, limiter.Ask{Key: key, Limit: l, N: n})[0]
}

func all(t testing.TB, s *Store, asks ...limiter.Ask) []limiter.State {
	t.Helper()
	states, err := s.Take(context.Background(), asks)
	if err != nil {
		t.Fatal(err)
	}
	return states
}

func TestStore(t *testing.T) {
	t.Parallel()
	srv := start(t)
	n := 0
	storetest.Run(t, storetest.Config{Exact: true, New: func(t *testing.T) limiter.Store {
		n++
		store, err := New(Config{Redis: redis.UniversalOptions{Addrs: []string{srv.addr}}, Prefix: fmt.Sprintf("case%d:", n), Timeout: slow})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		return store
	}})
}

// A state from a clock that has been set, or that is none, is worth no more and
// no less than an empty bucket, or a full one.
func TestForeignStates(t *testing.T) {
	srv := start(t)
	s := srv.store(Config{Timeout: slow})
	l := hourly(10)
	key := s.stateKey("a", l)
	now := time.Now().UnixMicro()
	full := []string{"", " ", "x", "nan", "-nan", "-inf", "-1", "0", "1", "1e-300", "-1e300", "0x10", "1.5.1", "1,5", "--1", "\x00", strings.Repeat("9", 10) + "x", fmt.Sprint(now - 1e9)}
	empty := []string{"inf", "1e300", "9007199254740993", "18446744073709551616", "0xffffffffffffffff", fmt.Sprint(now + 3*3600e6), fmt.Sprint(now + 1e15), fmt.Sprintf("%d.75", now+5*3600e6)}
	for _, value := range full {
		srv.do("set", key, value)
		if st := takeOne(t, s, "a", l, 0); st != (limiter.State{OK: true, Left: 10}) {
			t.Errorf("%q: got %+v", value, st)
		}
		srv.do("set", key, value)
		if st := takeOne(t, s, "a", l, 10); !st.OK || st.Left != 0 {
			t.Errorf("%q: got %+v, taking all", value, st)
		}
	}
	for _, value := range empty {
		for _, debt := range []time.Duration{0, time.Hour} {
			srv.do("set", key, value)
			st := all(t, s, limiter.Ask{Key: "a", Limit: l, N: 1, Debt: debt})[0]
			if st.OK || st.Left != 0 || st.Full > time.Hour+debt || st.Full < 59*time.Minute {
				t.Errorf("%q: got %+v", value, st)
			}
			// And what is kept now goes with time.
			if ttl := srv.do("pttl", key).(int64); ttl < 0 || ttl > (time.Hour+debt).Milliseconds()+2 {
				t.Errorf("%q: expires in %d ms", value, ttl)
			}
		}
	}
	for _, fraction := range []string{".25", ".5", ".75"} {
		srv.do("set", key, fmt.Sprint(time.Now().Add(30*time.Minute).UnixMicro())+fraction)
		if st := takeOne(t, s, "a", l, 1); !st.OK || st.Left != 4 {
			t.Errorf("half spent, and %s µs: got %+v", fraction, st)
		}
	}
	for _, other := range [][]any{{"lpush", key, "x"}, {"hset", key, "x", "y"}, {"sadd", key, "1"}} {
		srv.do("del", key)
		srv.do(other...)
		if st := takeOne(t, s, "a", l, 10); !st.OK {
			t.Errorf("%v: got %+v", other, st)
		}
		if st := takeOne(t, s, "a", l, 1); st.OK {
			t.Errorf("%v: got %+v", other, st)
		}
	}
	srv.do("set", key, "123")
	takeOne(t, s, "a", l, 0)
	if got := srv.do("exists", key); got != int64(0) {
		t.Error("a bucket that is full is kept")
	}
}

// Keys vanish when their buckets are full.
func TestExpiry(t *testing.T) {
	srv := start(t)
	s := srv.store(Config{Timeout: slow})
	l := hourly(10)
	for range 3 {
		takeOne(t, s, "a", l, 1)
	}
	key := s.stateKey("a", l)
	if ttl := srv.do("pttl", key).(int64); ttl > 18*60e3+2 || ttl < 17*60e3 {
		t.Errorf("expires in %d ms, want 18 minutes", ttl)
	}
	takeOne(t, s, "a", l, -1)
	if ttl := srv.do("pttl", key).(int64); ttl > 12*60e3+2 || ttl < 11*60e3 {
		t.Errorf("after giving back one: expires in %d ms, want 12 minutes", ttl)
	}
	takeOne(t, s, "a", l, -5)
	if n := srv.do("dbsize").(int64); n != 0 {
		t.Errorf("%d keys when all is given back", n)
	}
	takeOne(t, s, "b", l, 0)
	takeOne(t, s, "c", l, 11)
	if n := srv.do("dbsize").(int64); n != 0 {
		t.Errorf("%d keys though nothing was spent", n)
	}
}

// wireTap counts round trips on its connections: writes that follow a read.
type wireTap struct {
	net.Conn
	trips *atomic.Int64
	wrote atomic.Bool
}

func (w *wireTap) Write(b []byte) (int, error) {
	if !w.wrote.Swap(true) {
		w.trips.Add(1)
	}
	return w.Conn.Write(b)
}

func (w *wireTap) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.wrote.Store(false)
	return n, err
}

func TestRoundTrips(t *testing.T) {
	srv := start(t)
	var trips atomic.Int64
	s := srv.store(Config{Timeout: slow, Redis: redis.UniversalOptions{Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := net.Dial("unix", srv.addr)
		return &wireTap{Conn: c, trips: &trips}, err
	}}})
	var asks []limiter.Ask
	for i := range 3 {
		for _, per := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour} {
			asks = append(asks, limiter.Ask{Key: fmt.Sprint("key", i), Limit: limiter.Limit{N: 10, Per: per}, N: 1})
		}
	}
	all(t, s, asks...) // a connection is made, and the server learns the script
	before := trips.Load()
	for _, st := range all(t, s, asks...) {
		if !st.OK || st.Left != 8 {
			t.Errorf("got %+v", st)
		}
	}
	asks[4].N = 9
	for i, st := range all(t, s, asks...) { // a refusal needs no second one
		if st.OK != (i != 4) || st.Left != 8 {
			t.Errorf("got %+v", st)
		}
	}
	if n := trips.Load() - before; n != 2 {
		t.Errorf("two decisions about three windows of three keys took %d round trips", n)
	}
	if n := srv.runs("evalsha"); n != 3 { // the first one did not find the script
		t.Errorf("evalsha ran %d times, want 3", n)
	}
}

// A server may forget its scripts at any time.
func TestScriptFlush(t *testing.T) {
	srv := start(t)
	s := srv.store(Config{Timeout: slow})
	for i := range 4 {
		if st := takeOne(t, s, "a", hourly(5), 1); !st.OK || st.Left != 4-i {
			t.Errorf("got %+v", st)
		}
		srv.do("script", "flush")
	}
}

func TestReset(t *testing.T) {
	srv := start(t)
	s := srv.store(Config{Timeout: slow})
	ctx := context.Background()
	takeOne(t, s, "a", hourly(5), 5)
	takeOne(t, s, "a", hourly(6), 6)
	if ok, err := s.Reset(ctx, "a", hourly(5)); !ok || err != nil {
		t.Errorf("Reset = %v, %v", ok, err)
	}
	if ok, err := s.Reset(ctx, "a", limiter.Limit{N: 5, Per: time.Hour, Burst: 5}); ok || err != nil {
		t.Errorf("Reset again = %v, %v", ok, err)
	}
	if st := takeOne(t, s, "a", hourly(5), 0); st.Left != 5 {
		t.Errorf("got %+v", st)
	}
	if st := takeOne(t, s, "a", hourly(6), 0); st.Left != 0 {
		t.Errorf("another limit: got %+v", st)
	}
	if _, err := s.Reset(ctx, "a", limiter.Limit{N: -1}); err == nil {
		t.Error("Reset of no limit: no error")
	}
	srv.kill()
	if ok, err := s.Reset(ctx, "a", hourly(6)); ok || err == nil {
		t.Errorf("Reset without the server = %v, %v", ok, err)
	}
}
