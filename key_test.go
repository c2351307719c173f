package smtpguard

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestKey(t *testing.T) {
	var a, b Key[int]
	c := &Conn{}
	tx := &Transaction{conn: c}
	if _, ok := a.Get(c); ok {
		t.Error("a new key has a value")
	}
	a.Set(c, 1)
	b.Set(c, 2)
	a.Set(tx, 3)
	for _, tt := range []struct {
		k    *Key[int]
		h    Holder
		want int
	}{{&a, c, 1}, {&b, c, 2}, {&a, tx, 3}} {
		if v, ok := tt.k.Get(tt.h); !ok || v != tt.want {
			t.Errorf("%d, %v, want %d", v, ok, tt.want)
		}
	}
	if _, ok := b.Get(tx); ok {
		t.Error("a value of the connection shows on the transaction")
	}
	if got := b.Update(tx, func(v int) int { return v + 5 }); got != 5 {
		t.Errorf("Update of nothing made %d", got)
	}
	if got := b.Update(tx, func(v int) int { return v + 5 }); got != 10 {
		t.Errorf("Update made %d", got)
	}
}

func TestKeyFromManyGoroutines(t *testing.T) {
	var n Key[int]
	var s Key[string]
	c := &Conn{}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			n.Update(c, func(v int) int { return v + 1 })
			s.Set(c, "x")
			s.Get(c)
			s.Start(c, func(context.Context) (string, error) { return "never", nil })
			if v, err := s.Wait(t.Context(), c); v != "x" || err != nil {
				t.Errorf("%q, %v", v, err)
			}
		})
	}
	wg.Wait()
	if v, _ := n.Get(c); v != 50 {
		t.Errorf("%d of 50 updates", v)
	}
}

func TestKeyStartedOnceAwaitedByMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k Key[string]
		tx := &Transaction{conn: &Conn{}}
		starts := 0
		for range 3 {
			k.Start(tx, func(context.Context) (string, error) {
				starts++
				time.Sleep(time.Second)
				return "listed", nil
			})
		}
		if _, ok := k.Get(tx); ok {
			t.Error("Get before the work is done")
		}
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if v, err := k.Wait(t.Context(), tx); v != "listed" || err != nil {
					t.Errorf("%q, %v", v, err)
				}
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := k.Wait(ctx, tx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("impatient Wait: %v", err)
		}
		wg.Wait()
		if v, ok := k.Get(tx); !ok || v != "listed" {
			t.Errorf("Get after the work: %q, %v", v, ok)
		}
		if starts != 1 {
			t.Errorf("%d starts", starts)
		}
		k.Set(tx, "other")
		if v, _ := k.Wait(ctx, tx); v != "other" {
			t.Errorf("Set over a result: %q", v)
		}
	})
}

func TestKeyWorkThatFails(t *testing.T) {
	var never, panics, fails, ended Key[int]
	c := &Conn{}
	if _, err := never.Wait(t.Context(), c); !errors.Is(err, ErrNotStarted) {
		t.Errorf("nothing started: %v", err)
	}
	panics.Start(c, func(context.Context) (int, error) { panic("boom") })
	if _, err := panics.Wait(t.Context(), c); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("panic: %v", err)
	}
	if _, ok := panics.Get(c); ok {
		t.Error("Get after a panic")
	}
	fails.Start(c, func(context.Context) (int, error) { return 1, errTest })
	if _, err := fails.Wait(t.Context(), c); !errors.Is(err, errTest) {
		t.Errorf("failure: %v", err)
	}
	if _, ok := fails.Get(c); ok {
		t.Error("Get after a failure")
	}
	ended.Start(c, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
	c.disconnected()
	if _, err := ended.Wait(t.Context(), c); !errors.Is(err, context.Canceled) {
		t.Errorf("connection gone: %v", err)
	}
}

// What Config.Context adds is there for hooks and for what they start, and ends
// with the transaction.
func TestContextOfTransaction(t *testing.T) {
	type word string
	adds := func(key word) *Guard {
		return &Guard{cfg: Config{Context: func(ctx context.Context, c *Conn) context.Context {
			return context.WithValue(ctx, key, c)
		}}}
	}
	conn := &Conn{guards: []*Guard{
		adds("outer"), {},
		{cfg: Config{Context: func(context.Context, *Conn) context.Context { panic("no") }}},
		{cfg: Config{Context: func(context.Context, *Conn) context.Context { return nil }}},
		adds("inner"),
	}}
	tx := &Transaction{conn: conn}
	var k Key[context.Context]
	k.Start(tx, func(ctx context.Context) (context.Context, error) { return ctx, nil })
	ctx, err := k.Wait(t.Context(), tx)
	if err != nil || ctx.Value(word("outer")) != conn || ctx.Value(word("inner")) != conn {
		t.Errorf("%v, %v", ctx, err)
	}
	tx.cancel()
	if ctx.Err() == nil {
		t.Error("it does not end with the transaction")
	}
}
