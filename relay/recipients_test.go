package relay

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func askFor(known ...string) (ask func(context.Context, string) (bool, error), asked *atomic.Int64) {
	asked = new(atomic.Int64)
	return func(_ context.Context, addr string) (bool, error) {
		asked.Add(1)
		for _, k := range known {
			if k == addr {
				return true, nil
			}
		}
		return false, nil
	}, asked
}

func expect(t *testing.T, r *recipients, addr string, want bool) {
	t.Helper()
	if got, err := r.known(context.Background(), addr); got != want || err != nil {
		t.Errorf("%s: %v, %v, want %v", addr, got, err, want)
	}
}

func TestAnswersAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ask, asked := askFor("ann@example.org")
		r := &recipients{ask: ask, limits: Cache{Known: time.Hour, Unknown: time.Minute, Entries: 10}}
		for _, step := range []struct {
			wait  time.Duration
			asked int64 // in all, after ann and then bob were looked up
		}{
			{0, 2},
			{59 * time.Second, 2},
			{time.Second, 3}, // bob's minute is over
			{59 * time.Minute, 5},
		} {
			time.Sleep(step.wait)
			expect(t, r, "ann@example.org", true)
			expect(t, r, "bob@example.org", false)
			if n := asked.Load(); n != step.asked {
				t.Errorf("asked %d times, want %d", n, step.asked)
			}
		}
	})
}

func TestAnswersNotKept(t *testing.T) {
	ask, asked := askFor("ann@example.org")
	r := &recipients{ask: ask, limits: Cache{Known: -1, Unknown: -1, Entries: 10}}
	for range 2 {
		expect(t, r, "ann@example.org", true)
		expect(t, r, "bob@example.org", false)
	}
	if n := asked.Load(); n != 4 || len(r.answers) != 0 {
		t.Errorf("asked %d times, want 4; %d kept", n, len(r.answers))
	}
}

func TestCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ask, _ := askFor()
		r := &recipients{ask: ask, limits: Cache{Unknown: time.Minute, Entries: 20}}
		for i := range 200 {
			addr := fmt.Sprintf("user%d@example.org", i)
			expect(t, r, addr, false)
			if _, ok := r.answers[addr]; !ok || len(r.answers) > 20 {
				t.Fatalf("%d answers kept, the last one: %v", len(r.answers), ok)
			}
		}
		if len(r.answers) != 20 {
			t.Errorf("%d answers kept of 20", len(r.answers))
		}
		time.Sleep(time.Minute)
		expect(t, r, "late@example.org", false)
		if n := len(r.answers); n != 13 {
			t.Errorf("%d answers kept: 8 old ones should have made room", n)
		}
	})
}

func TestOneCallAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked int
		r := &recipients{limits: Cache{Known: time.Minute, Entries: 10}, ask: func(ctx context.Context, addr string) (bool, error) {
			asked++
			time.Sleep(time.Second)
			return true, ctx.Err()
		}}
		// The first to ask hangs up; the others still get its call's answer.
		first, hangUp := context.WithCancel(context.Background())
		gone := make(chan error, 1)
		go func() {
			_, err := r.known(first, "ann@example.org")
			gone <- err
		}()
		synctest.Wait()
		known := 0
		results := make(chan bool)
		for range 10 {
			go func() {
				ok, err := r.known(context.Background(), "ann@example.org")
				results <- ok && err == nil
			}()
		}
		synctest.Wait()
		hangUp()
		for range 10 {
			if <-results {
				known++
			}
		}
		if err := <-gone; asked != 1 || known != 10 || !errors.Is(err, context.Canceled) {
			t.Errorf("asked %d times, %d of 10 answered, the first got %v", asked, known, err)
		}
	})
}

// A call that nobody waits for is cancelled, and never answers who comes later.
func TestAbandonedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most, asked int
		r := &recipients{limits: Cache{Known: time.Minute, Unknown: time.Minute, Entries: 10}, ask: func(ctx context.Context, addr string) (bool, error) {
			asked++
			running++
			most = max(most, running)
			defer func() { running-- }()
			if asked == 1 {
				<-ctx.Done()
				time.Sleep(time.Second) // slow to notice
				return false, nil
			}
			return true, nil
		}}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if known, err := r.known(ctx, "ann@example.org"); known || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, %v", known, err)
		}
		expect(t, r, "ann@example.org", true)
		if asked != 2 || most != 1 || len(r.calls) != 0 {
			t.Errorf("asked %d times, %d at once, %d calls left", asked, most, len(r.calls))
		}
	})
}

func TestFailedCall(t *testing.T) {
	down := errors.New("database is down")
	for _, tt := range []struct {
		name string
		ask  func(context.Context, string) (bool, error)
		want string
	}{
		{"error", func(context.Context, string) (bool, error) { return true, down }, "database is down"},
		{"panic", func(context.Context, string) (bool, error) { panic("nil map") }, "panic in the recipient lookup: nil map"},
		{"Goexit", func(context.Context, string) (bool, error) { runtime.Goexit(); return true, nil }, "did not return"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := 0
			r := &recipients{limits: Cache{Known: time.Minute, Unknown: time.Minute, Entries: 10}, ask: func(ctx context.Context, addr string) (bool, error) {
				asked++
				return tt.ask(ctx, addr)
			}}
			for range 2 {
				if _, err := r.known(context.Background(), "ann@example.org"); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want %q", err, tt.want)
				}
			}
			if asked != 2 {
				t.Errorf("asked %d times: a failure was kept", asked)
			}
		})
	}
}
