package lookup

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A Deadline counts from when somebody asks about it.
func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := Within(t.Context(), time.Second)
		defer d.End()
		time.Sleep(time.Hour)
		if err := d.Err(); err != nil {
			t.Error(err)
		}
		start := time.Now()
		<-d.Done()
		if waited := time.Since(start); waited != time.Second || !errors.Is(d.Err(), context.DeadlineExceeded) {
			t.Errorf("%v after %v", d.Err(), waited)
		}
	})
}

// What still holds one sees it done when it has ended, asked before or not.
func TestEnd(t *testing.T) {
	for _, asked := range []bool{false, true} {
		d := Within(t.Context(), time.Hour)
		if _, ok := d.Deadline(); asked && !ok {
			t.Error("no deadline")
		}
		d.End()
		<-d.Done()
		if !errors.Is(d.Err(), context.Canceled) {
			t.Error(d.Err())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	d := Within(ctx, time.Hour)
	cancel()
	if <-d.Done(); !errors.Is(d.Err(), context.Canceled) {
		t.Error(d.Err())
	}
}

type memory struct{}

func (memory) AtHand(ctx context.Context) (context.Context, func() bool) {
	return context.WithValue(ctx, memory{}, true), func() bool { return true }
}

func TestAtHand(t *testing.T) {
	ctx, missed, ok := AtHand(t.Context(), memory{})
	if !ok || ctx.Value(memory{}) != true || !missed() {
		t.Error("not its own")
	}
	if ctx, missed, ok := AtHand(t.Context(), struct{}{}); ok || missed != nil || ctx != t.Context() {
		t.Error("made up")
	}
}
