package lookup

import "context"

// Rememberer is a resolver that can say what it knows without asking anybody.
type Rememberer interface {
	// AtHand returns a context under which lookups answer from memory or fail at
	// once, and what tells whether one has failed for that.
	AtHand(ctx context.Context) (_ context.Context, missed func() bool)
}

// AtHand is [Rememberer]'s. ok is false where resolver is none: then it has to be
// asked in any case.
func AtHand(ctx context.Context, resolver any) (_ context.Context, missed func() bool, ok bool) {
	r, ok := resolver.(Rememberer)
	if !ok {
		return ctx, nil, false
	}
	ctx, missed = r.AtHand(ctx)
	return ctx, missed, true
}
