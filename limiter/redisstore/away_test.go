package redisstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/limiter"
)

// probing is how tests find out soon that a server is back.
const probing = 10 * time.Millisecond

// A server that is killed is away after three round trips, is not asked any more
// then, and is back by itself.
func TestKilled(t *testing.T) {
	srv := start(t)
	var ev events
	s := srv.store(Config{Timeout: slow, Probe: probing, Observe: ev.observe})
	ask := []limiter.Ask{{Key: "a", Limit: hourly(5), N: 1}}
	takeOne(t, s, "a", hourly(5), 1)
	srv.kill()
	for range 10 {
		if states, err := s.Take(context.Background(), ask); !errors.Is(err, ErrAway) || states != nil {
			t.Fatalf("Take = %v, %v without the server", states, err)
		}
	}
	if f, a, b := ev.count(KindFailed), ev.count(KindAway), ev.count(KindBack); f != 3 || a != 1 || b != 0 {
		t.Errorf("%d events of failure, %d of away, %d of back, want 3, 1, 0", f, a, b)
	}
	srv.start()
	waitUntil(t, "the server is back", func() bool { return ev.count(KindBack) == 1 })
	if st := takeOne(t, s, "a", hourly(5), 1); !st.OK || st.Left != 4 {
		t.Errorf("got %+v from a server that forgot", st)
	}
	ev.mu.Lock()
	defer ev.mu.Unlock()
	for _, e := range ev.all {
		if e.Time.IsZero() || (e.Err == nil) != (e.Kind == KindBack) || (e.Away > 0) != (e.Kind == KindBack) {
			t.Errorf("event %+v", e)
		}
	}
}

// A server that does not answer costs its first callers Timeout, and the next
// ones nothing.
func TestStalled(t *testing.T) {
	srv := startPort(t)
	var ev events
	const timeout = 50 * time.Millisecond
	s := srv.store(Config{Timeout: timeout, Probe: probing, Away: Open, Observe: ev.observe})
	waitUntil(t, "a connection", func() bool { // a busy machine may need more than one timeout
		takeOne(t, s, "a", hourly(1000), 1)
		return ev.count(KindFailed) == 0 || ev.count(KindBack) > 0
	})
	srv.stall()
	away := ev.count(KindAway)
	for range 100 {
		begin := time.Now()
		if st := takeOne(t, s, "a", hourly(5), 5); !st.OK {
			t.Fatalf("got %+v, and is open", st)
		}
		if d := time.Since(begin); d > timeout+20*time.Second {
			t.Fatalf("a Take lasted %v", d)
		}
	}
	if n := ev.count(KindAway) - away; n != 1 {
		t.Errorf("%d events of away, want 1", n)
	}
	srv.goOn()
	waitUntil(t, "the server is back", func() bool { return ev.count(KindBack) > away })
}

// A server may answer and not decide: a replica that only reads, one without
// memory to write. Nothing is decided then, and a probe that the server could
// answer does not make it back.
func TestRefusing(t *testing.T) {
	for _, tt := range []struct {
		name      string
		stop, fix []any
	}{
		{"replica", []any{"replicaof", "127.0.0.1", "1"}, []any{"replicaof", "no", "one"}},
		{"no memory", []any{"config", "set", "maxmemory", "1"}, []any{"config", "set", "maxmemory", "0"}},
		{"no right", []any{"acl", "setuser", "default", "-set"}, []any{"acl", "setuser", "default", "+set"}},
		{"no right to scripts", []any{"acl", "setuser", "default", "-evalsha"}, []any{"acl", "setuser", "default", "+evalsha"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := start(t)
			var ev events
			s := srv.store(Config{Timeout: slow, Probe: probing, Observe: ev.observe})
			two := []limiter.Ask{{Key: "a", Limit: hourly(5), N: 1}, {Key: "b", Limit: hourly(5), N: 1}}
			all(t, s, two...)
			srv.do(tt.stop...)
			for range 4 {
				if states, err := s.Take(context.Background(), two); !errors.Is(err, ErrAway) {
					t.Fatalf("Take = %v, %v", states, err)
				}
			}
			time.Sleep(5 * probing)
			if ev.count(KindAway) != 1 || ev.count(KindBack) != 0 {
				t.Errorf("%d events of away, %d of back", ev.count(KindAway), ev.count(KindBack))
			}
			srv.do(tt.fix...)
			waitUntil(t, "the server is back", func() bool { return ev.count(KindBack) == 1 })
			for i, st := range all(t, s, two...) {
				if !st.OK || st.Left != 3 {
					t.Errorf("ask %d: got %+v", i, st)
				}
			}
		})
	}
}

// nowhere is a store whose server has never been there.
func nowhere(t testing.TB, cfg Config) *Store {
	cfg.Redis.Addrs = []string{t.TempDir() + "/none"}
	return mustNew(t, cfg)
}

// Alone, a machine keeps to its share, and exactly so.
func TestLocal(t *testing.T) {
	s := nowhere(t, Config{Away: Local, Machines: 4})
	l := limiter.Limit{N: 100, Per: time.Hour, Burst: 20}
	for i := range 5 {
		if st := takeOne(t, s, "a", l, 1); !st.OK || st.Left != 4-i {
			t.Errorf("got %+v", st)
		}
	}
	st := takeOne(t, s, "a", l, 1)
	if st.OK || st.Retry > 4*36*time.Second || st.Retry < 2*time.Minute {
		t.Errorf("got %+v", st)
	}
	takeOne(t, s, "a", l, -2)
	if st := takeOne(t, s, "a", l, 0); st.Left != 2 {
		t.Errorf("after giving back: got %+v", st)
	}
	a, b := limiter.Ask{Key: "a", Limit: l, N: 3}, limiter.Ask{Key: "b", Limit: l, N: 3}
	if states := all(t, s, b, a); !states[0].OK || states[0].Left != 5 || states[1].OK {
		t.Errorf("all or nothing: got %+v", states)
	}
	if ok, err := s.Reset(context.Background(), "a", l); !ok || err == nil {
		t.Errorf("Reset = %v, %v", ok, err)
	}
	if st := takeOne(t, s, "a", l, 0); st.Left != 5 {
		t.Errorf("after Reset: got %+v", st)
	}
}

func TestOpen(t *testing.T) {
	s := nowhere(t, Config{Away: Open})
	for range 3 {
		if st := takeOne(t, s, "a", hourly(5), 5); st != (limiter.State{OK: true, Left: 5}) {
			t.Errorf("got %+v", st)
		}
	}
	if st := takeOne(t, s, "a", hourly(5), 6); st.OK || st.Retry != limiter.Never {
		t.Errorf("more than burst: got %+v", st)
	}
}

func TestShare(t *testing.T) {
	const day, year = 24 * time.Hour, limiter.MaxWindow
	for _, tt := range []struct {
		l    limiter.Limit
		n    int
		want limiter.Limit
	}{
		{hourly(100), 1, hourly(100)},
		{hourly(100), 4, limiter.Limit{N: 100, Per: 4 * time.Hour, Burst: 25}},
		{hourly(3), 4, limiter.Limit{N: 3, Per: 4 * time.Hour, Burst: 1}},
		{limiter.Limit{N: 100, Per: time.Hour, Burst: 10}, 4, limiter.Limit{N: 100, Per: 4 * time.Hour, Burst: 2}},
		{limiter.Limit{N: 1, Per: time.Hour, Burst: 8}, 4, limiter.Limit{N: 1, Per: 4 * time.Hour, Burst: 2}},
		{limiter.Limit{N: 12, Per: 200 * day}, 4, limiter.Limit{N: 3, Per: 200 * day, Burst: 3}},
		{limiter.Limit{N: 1, Per: year}, 2, limiter.Limit{N: 1, Per: year, Burst: 1}},
		{limiter.Limit{N: 1, Per: 100 * day, Burst: 3}, 3, limiter.Limit{N: 1, Per: 300 * day, Burst: 1}},
		{limiter.Limit{}, 4, limiter.Limit{}},
	} {
		got := share(tt.l, tt.n)
		if got != tt.want {
			t.Errorf("%+v of %d: got %+v, want %+v", tt.l, tt.n, got, tt.want)
		}
	}
	for _, per := range []time.Duration{1, 2, time.Microsecond, time.Hour, year / 2, year} {
		for _, n := range []int{1, 2, 3, 100, 1e9} {
			for _, b := range []int{0, 1, 7, 1e6, 1e12} {
				l := limiter.Limit{N: n, Per: per, Burst: b}
				for _, machines := range []int{1, 2, 3, 7, maxMachines} {
					if own := share(l, machines); l.Validate() == nil && own.Validate() != nil {
						t.Errorf("%+v of %d: got %+v: %v", l, machines, own, own.Validate())
					}
				}
			}
		}
	}
}

// What is observed may panic, and a closed store says nothing more.
func TestObserve(t *testing.T) {
	calls := 0
	s := nowhere(t, Config{Failures: 1, Observe: func(Event) { calls++; panic("no") }})
	ask := []limiter.Ask{{Key: "a", Limit: hourly(5), N: 1}}
	if _, err := s.Take(context.Background(), ask); !errors.Is(err, ErrAway) || calls != 2 {
		t.Errorf("Take: %v, after %d events", err, calls)
	}
	s = nowhere(t, Config{Observe: func(ev Event) { t.Errorf("%+v after Close", ev) }})
	s.Close()
	for range 5 {
		if _, err := s.Take(context.Background(), ask); !errors.Is(err, ErrAway) {
			t.Errorf("Take after Close: %v", err)
		}
	}
}
