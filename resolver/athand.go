package resolver

import (
	"context"
	"errors"
	"sync/atomic"
)

// errNotAtHand is of a question that is not remembered, under [Resolver.AtHand].
var errNotAtHand = errors.New("not at hand")

type atHandKey struct{}

// atHand is a context under which nothing is asked.
type atHand struct {
	context.Context
	missed atomic.Bool
}

func (a *atHand) Value(key any) any {
	if key == (atHandKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// AtHand returns a context under which lookups, of r as of any other Resolver,
// answer from what is remembered or fail at once. missed reports whether one has
// failed for that. Who has many questions can do with it what is known without
// waiting, and all in one goroutine, before the rest is asked side by side.
func (r *Resolver) AtHand(ctx context.Context) (_ context.Context, missed func() bool) {
	a := &atHand{Context: ctx}
	return a, a.missed.Load
}

// remembered is ask for a context under which nothing is asked.
func (a *atHand) remembered(r *Resolver, qs []question, each func(i int, f found, own error) bool) {
	for i, q := range qs {
		f, ok := r.cached(q)
		var own error
		if !ok {
			a.missed.Store(true)
			own = errNotAtHand
		}
		if !each(i, f, own) {
			return
		}
	}
}
