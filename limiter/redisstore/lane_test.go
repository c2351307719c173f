package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/limiter"
)

// waitUntil polls for what other goroutines are about to do.
func waitUntil(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(slow); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func (l *lane) queued() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting
}

func (l *lane) sending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy
}

// events keeps what a store has to say.
type events struct {
	mu  sync.Mutex
	all []Event
}

func (e *events) observe(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

func (e *events) count(kind Kind) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.all {
		if ev.Kind == kind {
			n++
		}
	}
	return n
}

// What comes while a round trip is under way shares the next one.
func TestShared(t *testing.T) {
	const crowd = 100
	srv := start(t)
	s := srv.store(Config{Timeout: slow})
	l := hourly(crowd / 2)
	takeOne(t, s, "other", l, 1)
	before := srv.runs("evalsha")

	srv.stall()
	var admitted, refused atomic.Int64
	var wg sync.WaitGroup
	one := func() {
		st, err := s.Take(context.Background(), []limiter.Ask{{Key: "a", Limit: l, N: 1}})
		switch {
		case err != nil:
			t.Error(err)
		case st[0].OK:
			admitted.Add(1)
		default:
			refused.Add(1)
		}
	}
	wg.Go(one)
	waitUntil(t, "one Take is under way", s.lanes.first.sending)
	for range crowd {
		wg.Go(one)
	}
	waitUntil(t, "the others wait", func() bool { return s.lanes.first.queued() == crowd })
	srv.goOn()
	wg.Wait()
	if a, r := admitted.Load(), refused.Load(); a != crowd/2 || r != crowd+1-crowd/2 {
		t.Errorf("admitted %d, refused %d", a, r)
	}
	if n := srv.runs("evalsha") - before; n != 2 {
		t.Errorf("took %d round trips, want 2", n)
	}
}

// A batch is bounded, and so is what waits for one.
func TestQueueIsBounded(t *testing.T) {
	srv := start(t)
	var ev events
	s := srv.store(Config{Timeout: slow, Observe: ev.observe})
	asks := make([]limiter.Ask, limiter.MaxAsks)
	for i := range asks {
		asks[i] = limiter.Ask{Key: fmt.Sprint("key", i), Limit: hourly(1000), N: 1}
	}
	all(t, s, asks...)
	before := srv.runs("evalsha")

	srv.stall()
	var busy, decided atomic.Int64
	var wg sync.WaitGroup
	one := func() {
		switch _, err := s.Take(context.Background(), asks); {
		case err == nil:
			decided.Add(1)
		case errors.Is(err, ErrAway) && errors.Is(err, errBusy):
			busy.Add(1)
		default:
			t.Error(err)
		}
	}
	wg.Go(one)
	waitUntil(t, "one Take is under way", s.lanes.first.sending)
	const fit = maxQueue / limiter.MaxAsks
	for range fit + 5 {
		wg.Go(one)
	}
	waitUntil(t, "the queue is full", func() bool { return busy.Load() == 5 })
	srv.goOn()
	wg.Wait()
	if n := decided.Load(); n != fit+1 {
		t.Errorf("%d decided, want %d", n, fit+1)
	}
	if n := srv.runs("evalsha") - before; n != 1+maxQueue/maxBatch {
		t.Errorf("took %d round trips, want %d", n, 1+maxQueue/maxBatch)
	}
	if n := ev.count(KindBusy); n != 1 {
		t.Errorf("%d events of %s, want 1", n, KindBusy)
	}
	if st := takeOne(t, s, "key0", hourly(1000), 0); st.Left != 1000-1-fit-1 {
		t.Errorf("got %+v", st)
	}
}

// A Take whose context ends while it waits is not decided afterwards.
func TestGivenUp(t *testing.T) {
	srv := start(t)
	s := srv.store(Config{Timeout: slow})
	takeOne(t, s, "other", hourly(5), 1)
	srv.stall()
	done := make(chan error, 2)
	go func() {
		_, err := s.Take(context.Background(), []limiter.Ask{{Key: "a", Limit: hourly(5), N: 1}})
		done <- err
	}()
	waitUntil(t, "one Take is under way", s.lanes.first.sending)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, err := s.Take(ctx, []limiter.Ask{{Key: "b", Limit: hourly(5), N: 1}})
		done <- err
	}()
	waitUntil(t, "the other waits", func() bool { return s.lanes.first.queued() == 1 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the other: %v", err)
	}
	srv.goOn()
	if err := <-done; err != nil {
		t.Errorf("the first: %v", err)
	}
	if st := takeOne(t, s, "b", hourly(5), 0); st.Left != 5 {
		t.Errorf("got %+v of what was given up", st)
	}
	if st := takeOne(t, s, "a", hourly(5), 0); st.Left != 4 {
		t.Errorf("got %+v", st)
	}
}

// A Take with a deadline of its own does not wait longer, and says nothing of
// the server.
func TestDeadline(t *testing.T) {
	srv := start(t)
	var ev events
	s := srv.store(Config{Timeout: slow, Failures: 1, Observe: ev.observe})
	takeOne(t, s, "other", hourly(5), 1)
	srv.stall()
	for range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		begin := time.Now()
		_, err := s.Take(ctx, []limiter.Ask{{Key: "a", Limit: hourly(5), N: 1}})
		if err == nil || time.Since(begin) > slow/2 {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		cancel()
	}
	srv.goOn()
	if n := ev.count(KindFailed) + ev.count(KindAway); n != 0 {
		t.Errorf("%d events", n)
	}
	takeOne(t, s, "a", hourly(5), 1)
}
