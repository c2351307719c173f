package verify

import (
	"context"
	"errors"
	"sync"
)

// once is a resolver that asks for each name once a message: the author domain's
// policy is looked for while the message is read, and again when it is judged.
type once struct {
	next interface {
		LookupTXT(ctx context.Context, name string) ([]string, error)
	}
}

// asked are the answers for one message.
type asked struct {
	mu    sync.Mutex
	names map[string]*answer
}

type answer struct {
	done  chan struct{}
	texts []string
	err   error
}

type askedKey struct{}

var errPanic = errors.New("verify: the resolver has panicked")

// withAsked returns a context under which names are asked for once.
func withAsked(ctx context.Context) context.Context {
	return context.WithValue(ctx, askedKey{}, &asked{names: make(map[string]*answer)})
}

func (o once) LookupTXT(ctx context.Context, name string) ([]string, error) {
	a, ok := ctx.Value(askedKey{}).(*asked)
	if !ok {
		return o.next.LookupTXT(ctx, name)
	}
	a.mu.Lock()
	r, ok := a.names[name]
	if !ok {
		r = &answer{done: make(chan struct{})}
		a.names[name] = r
	}
	a.mu.Unlock()
	if !ok {
		defer close(r.done)
		r.err = errPanic // should this panic
		r.texts, r.err = o.next.LookupTXT(ctx, name)
		return r.texts, r.err
	}
	select {
	case <-r.done: // and if ctx has ended meanwhile, the answer is there all the same
		return r.texts, r.err
	default:
	}
	select {
	case <-r.done:
		return r.texts, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
