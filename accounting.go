package smtpguard

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
)

// accounting runs a connection's AuthDone, Done and Close hooks and its
// summaries in order, off go-smtp's goroutine: go-smtp calls Reset and Logout
// under its lock, where a hook that asked it anything would wait for ever. The
// zero accounting is idle.
//
// A connection may end beside a hook that is still at work. What it leaves to
// account for then waits for the hook: nothing is released before it was taken.
type accounting struct {
	mu    sync.Mutex
	queue []func()
	busy  chan struct{} // closed when the queue has run out; nil while idle
	held  int           // hooks at work
	free  chan struct{} // closed when held is 0 again; nil while nobody waits
}

// hold begins the work of a hook.
func (a *accounting) hold() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held++
}

// let ends the work of a hook.
func (a *accounting) let() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held--; a.held == 0 && a.free != nil {
		close(a.free)
		a.free = nil
	}
}

// atWork reports whether a hook is.
func (a *accounting) atWork() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held > 0
}

// do appends f to what is to be done.
func (a *accounting) do(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queue = append(a.queue, f)
	if a.busy == nil {
		a.busy = make(chan struct{})
		go a.work(a.busy)
	}
}

func (a *accounting) work(done chan struct{}) {
	idle := false
	defer func() {
		if idle {
			close(done)
		} else {
			go a.work(done) // a hook left by runtime.Goexit: a test's FailNow, say
		}
	}()
	for {
		a.mu.Lock()
		if len(a.queue) == 0 {
			a.busy, idle = nil, true
			a.mu.Unlock()
			return
		}
		if a.held > 0 {
			if a.free == nil {
				a.free = make(chan struct{})
			}
			free := a.free
			a.mu.Unlock()
			<-free
			continue
		}
		f := a.queue[0]
		a.queue = a.queue[1:]
		a.mu.Unlock()
		f()
	}
}

// wait returns when what was to be done is done.
func (a *accounting) wait() {
	a.mu.Lock()
	busy := a.busy
	a.mu.Unlock()
	if busy != nil {
		<-busy
	}
}

// each calls f for every check of guards, with a context of its own; a panic
// is a warning and does not keep the others from running.
func (c *Conn) each(guards []*Guard, hook string, f func(context.Context, *Check)) {
	for _, g := range guards {
		ctx, cancel := context.WithTimeout(context.Background(), g.cfg.StageTimeout)
		for _, check := range g.checks {
			func() {
				defer func() {
					if p := recover(); p != nil {
						ev := c.event(KindWarning)
						ev.Check, ev.Reason = check.Name, hook+" hook panicked"
						ev.Error, ev.Stack = fmt.Sprint(p), string(debug.Stack())
						g.observe(ev)
					}
				}()
				f(ctx, check)
			}()
		}
		cancel()
	}
}

// accounts reports whether any guard has hooks or an observer to tell.
func accounts(guards []*Guard, has func(*Check) bool) bool {
	for _, g := range guards {
		if g.cfg.Observe != nil {
			return true
		}
		for _, c := range g.checks {
			if has(c) {
				return true
			}
		}
	}
	return false
}
