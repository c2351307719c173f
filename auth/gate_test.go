package auth

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A gate lets so many in at once, the next ones in turn, and has slots rest.
func TestGateRests(t *testing.T) {
	for _, tt := range []struct {
		gate     Gate
		through  time.Duration // for six who work a second each
		deferred int
	}{
		{Gate{Slots: 2, Wait: time.Minute, Share: 1}, 3 * time.Second, 0},
		{Gate{Slots: 2, Wait: time.Minute, Share: 0.5}, 5 * time.Second, 0}, // the last second's rest delays nobody
		{Gate{Slots: 2, Wait: time.Minute, Share: 0.25}, 9 * time.Second, 0},
		{Gate{Slots: 2, Wait: 2500 * time.Millisecond, Share: 1}, 3 * time.Second, 0},
		{Gate{Slots: 2, Wait: 1500 * time.Millisecond, Share: 1}, 2 * time.Second, 2},
		{Gate{Slots: 2, Wait: 1500 * time.Millisecond}, 1500 * time.Millisecond, 4},
		{Gate{Slots: 2, Wait: -1}, time.Second, 4},
		{Gate{Slots: 100, Wait: -1}, time.Second, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := newGate(tt.gate)
			start := time.Now()
			results := make(chan error, 6)
			for range 6 {
				go func() {
					leave, err := g.enter(t.Context())
					if err == nil {
						time.Sleep(time.Second)
						leave()
					}
					results <- err
				}()
			}
			deferred := 0
			for range 6 {
				if err := <-results; err == errBusy {
					deferred++
				} else if err != nil {
					t.Error(err)
				}
			}
			if took := time.Since(start); took != tt.through || deferred != tt.deferred {
				t.Errorf("%+v: %v, %d deferred; want %v, %d", tt.gate, took, deferred, tt.through, tt.deferred)
			}
			time.Sleep(time.Hour)
			if n := len(g.slots); n != 0 {
				t.Errorf("%+v: %d slots are in use after all", tt.gate, n)
			}
		})
	}
}

func TestGateEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(Gate{Slots: 1})
		leave, err := g.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.enter(ctx); err != context.DeadlineExceeded {
			t.Errorf("while it is full: %v", err)
		}
		leave()
	})
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(Cache{Entries: 3, For: time.Minute})
	now := time.Unix(1000, 0)
	id := &Identity{Login: "ann"}
	proof := func(i int) proof { return c.proof(1, "ann", string(rune('a'+i))) }
	for i := range 100 {
		c.put(proof(i), id, now)
	}
	if len(c.entries) != 3 {
		t.Errorf("%d entries", len(c.entries))
	}
	if got, ok := c.get(proof(99), now.Add(59*time.Second)); got != id || !ok {
		t.Error("the last is forgotten")
	}
	if _, ok := c.get(proof(99), now.Add(time.Minute)); ok || len(c.entries) != 2 {
		t.Error("the last is remembered for longer than it may be")
	}
	if c.proof(1, "ab", "c") == c.proof(1, "a", "bc") || c.proof(1, "a", "b") == c.proof(2, "a", "b") {
		t.Error("two logins with one proof")
	}
	off := newCache(Cache{For: -1})
	off.put(proof(1), id, now)
	if _, ok := off.get(proof(1), now); ok || len(off.entries) != 0 {
		t.Error("remembered although it should not be")
	}
}
