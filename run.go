package smtpguard

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// env is for whom, and how, a check is being asked. Combinators find theirs in
// the context of their hook and pass a changed copy on to their children.
type env struct {
	guard    *Guard // whose Observe hears of it
	parent   string // path of the combinators above, "score/together" say
	shadow   bool   // judged and reported, counts for nothing
	accepted bool   // an allow list has spoken: only what is marked Always runs
}

type envKey struct{}

// envOf returns the env of a combinator's hook.
func envOf(ctx context.Context) *env {
	if e, ok := ctx.Value(envKey{}).(*env); ok {
		return e
	}
	return &env{guard: &Guard{}} // a combinator's hook called by hand, outside any guard
}

// below returns the env for the children of a combinator.
func (e *env) below(name string) *env {
	child := *e
	if e.parent != "" {
		name = e.parent + "/" + name
	}
	child.parent = name
	return &child
}

// judge asks c, which must have a hook at the scene's stage, and reports it. A
// failure becomes the verdict that c.OnError says. It may be called from
// several goroutines.
func judge(ctx context.Context, e *env, c *Check, sc *scene) Verdict {
	return e.settle(ctx, c, sc, e.ask(ctx, c, sc))
}

// answer is what a hook said, before it is reported.
type answer struct {
	v    Verdict
	err  error
	took time.Duration
}

// ask runs c's hook, in whatever goroutine, and tells nobody: who waited for
// the answer reports it with settle.
func (e *env) ask(ctx context.Context, c *Check, sc *scene) (a answer) {
	if c.composite {
		ctx = context.WithValue(ctx, envKey{}, e.below(c.Name))
	}
	start := time.Now()
	a.v, a.err = protect(ctx, c, sc)
	a.took = time.Since(start)
	return a
}

// settle makes a verdict of c's answer and reports it, unless whoever asked has
// stopped waiting.
func (e *env) settle(ctx context.Context, c *Check, sc *scene, a answer) Verdict {
	if a.err == nil && (a.v.Action < Continue || a.v.Action > Disconnect) {
		a.err = fmt.Errorf("smtpguard: verdict with no valid action (%d)", int(a.v.Action))
	}
	if a.err != nil {
		a.v = verdictOf(c.OnError, sc.stage, a.err)
	}
	switch {
	case a.v.Action == Continue:
		a.v.by = ""
	case c.composite && a.v.by != "":
		a.v.by = c.Name + "/" + a.v.by
	default:
		a.v.by = c.Name
	}
	if context.Cause(ctx) != errOver && (!c.composite || a.err != nil || a.v.Action != Continue) {
		e.report(c, sc, a.v, a.err, a.took)
	}
	return a.v
}

// errOver is the cause of a context whose hook is not waited for any more.
var errOver = errors.New("smtpguard: decided without this check")

// verdictOf is what failing with err means.
func verdictOf(f Failure, stage Stage, err error) Verdict {
	v := Verdict{Action: Defer, Reply: failed(f, stage), Reason: "check failed: " + err.Error()}
	switch f {
	case FailOpen:
		v = Verdict{Reason: v.Reason}
	case FailRefuse:
		v.Action = Reject
	}
	return v
}

// panicError is a panic in a hook or a backend.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// protect runs the hook and turns a panic into an error. A hook that leaves by
// runtime.Goexit is none of ours to stop.
func protect(ctx context.Context, c *Check, sc *scene) (v Verdict, err error) {
	defer recovered(&err)
	return c.call(ctx, sc)
}

// recovered, deferred, turns a panic into *err.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = &panicError{p, debug.Stack()}
	}
}

// report tells the observer and the transaction's summary of one verdict.
func (e *env) report(c *Check, sc *scene, v Verdict, err error, took time.Duration) {
	if e.guard.cfg.Observe == nil {
		return
	}
	ev := sc.conn.event(KindVerdict)
	ev.Stage, ev.Check, ev.Parent, ev.Shadow, ev.Duration = sc.stage, c.Name, e.parent, e.shadow, took
	ev.Action, ev.Accept, ev.Score, ev.Reason, ev.Facts = v.Action, v.Accept, v.Score, v.Reason, v.Facts
	if sc.tx != nil {
		ev.Transaction, ev.From = sc.tx.ID(), sc.tx.from
	}
	if sc.rcpt != nil {
		ev.Rcpt = sc.rcpt.Addr
	}
	if sc.auth != nil {
		ev.Mechanism, ev.Login = sc.auth.Mechanism, sc.auth.Claimed
	}
	if err != nil {
		ev.Error = err.Error()
		var p *panicError
		if errors.As(err, &p) {
			ev.Stack = string(p.stack)
		}
	}
	name := c.Name
	if e.parent != "" {
		name = e.parent + "/" + name
	}
	sc.conn.note(sc.tx, CheckResult{
		Check: name, Stage: sc.stage, Action: v.Action, Shadow: e.shadow, Reason: v.Reason, Duration: took,
	})
	e.guard.observe(ev)
}
