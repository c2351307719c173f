package smtpguard

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Key is a typed slot on a [Conn] or a [Transaction], by which one check
// leaves a result for others. A key is its address: declare it as a variable
// and do not copy it. The zero Key is ready for use. All methods are safe for
// concurrent use.
//
//	var Result smtpguard.Key[spf.Result]
//
//	Result.Set(tx, res)
//	res, ok := Result.Get(tx)
type Key[V any] struct{ _ byte }

// Holder is what keys store on: a *Conn or a *Transaction.
type Holder interface {
	slots() *slots
	Context() context.Context
}

// slots is the storage behind keys. The zero slots is empty.
type slots struct {
	mu sync.Mutex
	m  map[any]any
}

// Get returns what was last set on h, or the result of a finished Start.
func (k *Key[V]) Get(h Holder) (v V, ok bool) {
	s := h.slots()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch x := s.m[k].(type) {
	case *V:
		return *x, true
	case *task[V]:
		select {
		case <-x.done:
			return x.v, x.err == nil
		default:
		}
	}
	return v, false
}

// Set stores v on h.
func (k *Key[V]) Set(h Holder, v V) {
	s := h.slots()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(k, &v)
}

// Update stores what f makes of the value on h and returns it. The value is the
// zero V when there is none, or when what Start began has not finished or has
// failed. f must not use keys of the same holder.
func (k *Key[V]) Update(h Holder, f func(V) V) V {
	s := h.slots()
	s.mu.Lock()
	defer s.mu.Unlock()
	var v V
	switch x := s.m[k].(type) {
	case *V:
		v = *x
	case *task[V]:
		select {
		case <-x.done:
			v = x.v
		default:
		}
	}
	v = f(v)
	s.put(k, &v)
	return v
}

func (s *slots) put(k, v any) {
	if s.m == nil {
		s.m = make(map[any]any)
	}
	s.m[k] = v
}

// task is work begun by Start.
type task[V any] struct {
	done chan struct{}
	v    V
	err  error
}

// ErrNotStarted is what Wait returns when there is nothing to wait for.
var ErrNotStarted = errors.New("smtpguard: nothing was started under this key")

// Start begins f in the background, to be awaited by Wait: a DNS list asked at
// Connect, say, and judged at Rcpt. f's context ends with h. When work was
// begun or a value set under the key already, Start does nothing. A panic in f
// becomes its error.
func (k *Key[V]) Start(h Holder, f func(context.Context) (V, error)) {
	s := h.slots()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.m[k]; ok {
		return
	}
	t := &task[V]{done: make(chan struct{}), err: errExited} // should f leave by runtime.Goexit
	s.put(k, t)
	go func() {
		defer close(t.done)
		defer func() {
			if p := recover(); p != nil {
				t.err = fmt.Errorf("smtpguard: panic in started work: %v", p)
			}
		}()
		t.v, t.err = f(h.Context())
	}()
}

// Wait returns the result of the work begun by Start, or the value set, as
// soon as it is there. Its error is f's own, ctx's, or [ErrNotStarted].
func (k *Key[V]) Wait(ctx context.Context, h Holder) (v V, err error) {
	s := h.slots()
	s.mu.Lock()
	x := s.m[k]
	s.mu.Unlock()
	switch x := x.(type) {
	case *V:
		return *x, nil
	case *task[V]:
		select {
		case <-x.done:
			return x.v, x.err
		default:
		}
		select {
		case <-x.done:
			return x.v, x.err
		case <-ctx.Done():
			return v, ctx.Err()
		}
	}
	return v, ErrNotStarted
}
