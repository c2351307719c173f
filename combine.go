package smtpguard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// asker is how a combinator judges one scene by its children.
type asker func(ctx context.Context, e *env, children []Check, sc *scene) Verdict

// combine makes a check out of children: with a hook where a child has one, and
// at the stages in also, where the combinator has a word of its own. What
// failing means is what it means to the strictest child.
func combine(name string, ask asker, children []Check, also ...Stage) Check {
	cs := slices.Clone(children) // a caller may write to his slice
	c := Check{Name: name, composite: true, OnError: FailOpen, err: wrong(name, cs)}
	for i := range cs {
		c.Always = c.Always || cs[i].Always
		if strictness(cs[i].OnError) > strictness(c.OnError) {
			c.OnError = cs[i].OnError
		}
	}
	some := func(has func(*Check) bool) bool {
		return slices.ContainsFunc(cs, func(c Check) bool { return has(&c) })
	}
	wants := func(s Stage) bool {
		return slices.Contains(also, s) || some(func(c *Check) bool { return c.has(s) })
	}
	say := func(ctx context.Context, sc *scene) (Verdict, error) { return ask(ctx, envOf(ctx), cs, sc), nil }
	if wants(StageConnect) {
		c.Connect = func(ctx context.Context, conn *Conn) (Verdict, error) {
			return say(ctx, &scene{stage: StageConnect, conn: conn})
		}
	}
	if wants(StageHello) {
		c.Hello = func(ctx context.Context, conn *Conn) (Verdict, error) {
			return say(ctx, &scene{stage: StageHello, conn: conn})
		}
	}
	if wants(StageAuth) {
		c.Auth = func(ctx context.Context, conn *Conn, a *AuthAttempt) (Verdict, error) {
			return say(ctx, &scene{stage: StageAuth, conn: conn, auth: a})
		}
	}
	if wants(StageMail) {
		c.Mail = func(ctx context.Context, tx *Transaction) (Verdict, error) {
			return say(ctx, &scene{stage: StageMail, conn: tx.conn, tx: tx})
		}
	}
	if wants(StageRcpt) {
		c.Rcpt = func(ctx context.Context, tx *Transaction, r *Recipient) (Verdict, error) {
			return say(ctx, &scene{stage: StageRcpt, conn: tx.conn, tx: tx, rcpt: r})
		}
	}
	if wants(StageData) {
		c.Data = func(ctx context.Context, tx *Transaction, m *Message) (Verdict, error) {
			return say(ctx, &scene{stage: StageData, conn: tx.conn, tx: tx, msg: m})
		}
	}
	// Accounting goes to every child, asked or not, for it may have something to
	// release. Deferred, a panic in one does not keep the others from running and
	// still reaches the guard.
	if some(func(c *Check) bool { return c.AuthDone != nil }) {
		c.AuthDone = func(ctx context.Context, conn *Conn, a *AuthAttempt) {
			for i := range slices.Backward(cs) {
				if f := cs[i].AuthDone; f != nil {
					defer f(ctx, conn, a)
				}
			}
		}
	}
	if some(func(c *Check) bool { return c.Done != nil }) {
		c.Done = func(ctx context.Context, tx *Transaction, o Outcome) {
			for i := range slices.Backward(cs) {
				if f := cs[i].Done; f != nil {
					defer f(ctx, tx, o)
				}
			}
		}
	}
	if some(func(c *Check) bool { return c.Close != nil }) {
		c.Close = func(conn *Conn) {
			for i := range slices.Backward(cs) {
				if f := cs[i].Close; f != nil {
					defer f(conn)
				}
			}
		}
	}
	return c
}

// wrong says what New shall report of the children.
func wrong(name string, cs []Check) error {
	if len(cs) == 0 {
		return fmt.Errorf("smtpguard: %s has no checks", name)
	}
	var errs []error
	for i := range cs {
		c := &cs[i]
		if c.Name == "" {
			errs = append(errs, fmt.Errorf("smtpguard: %s: check %d has no Name", name, i))
		}
		if c.OnError < FailDefer || c.OnError > FailRefuse {
			errs = append(errs, fmt.Errorf("smtpguard: %s: check %q: OnError is %d, which is no Failure", name, c.Name, int(c.OnError)))
		}
		errs = append(errs, c.err)
	}
	return errors.Join(errs...)
}

func strictness(f Failure) int {
	switch f {
	case FailOpen:
		return 0
	case FailRefuse:
		return 2
	}
	return 1
}

// asks reports whether c is to be asked at stage.
func (e *env) asks(c *Check, stage Stage) bool {
	return c.has(stage) && (c.Always || !e.accepted)
}

// only asks a combinator's one child.
func (e *env) only(ctx context.Context, c *Check, sc *scene) Verdict {
	if !e.asks(c, sc.stage) {
		return Verdict{}
	}
	return judge(ctx, e, c, sc)
}

// errExited is the answer of a hook that ended its goroutine.
var errExited = errors.New("smtpguard: hook left by runtime.Goexit")

// branch is a scene of one hook's own: what the hook may write to is a copy, so
// it can go on after nobody waits for it, or count for nothing.
type branch struct {
	scene
	was Recipient
}

func (sc *scene) branch() *branch {
	b := &branch{scene: *sc}
	if sc.auth != nil {
		a := *sc.auth
		b.auth = &a
	}
	if sc.rcpt != nil {
		b.was = *sc.rcpt
		r := b.was
		b.rcpt = &r
	}
	if sc.msg != nil {
		b.msg = sc.msg.shadow()
	}
	return b
}

// join takes over what the hook of b did to its copies. It must have returned.
func (sc *scene) join(b *branch) {
	if sc.rcpt != nil {
		if b.rcpt.Policy != b.was.Policy {
			sc.rcpt.Policy = b.rcpt.Policy
		}
		if b.rcpt.Mark.Action > sc.rcpt.Mark.Action {
			sc.rcpt.Mark = b.rcpt.Mark
		}
	}
	if sc.msg != nil {
		sc.msg.adopt(b.msg)
	}
}

// adopt moves the edits of m's shadow to m, and ends editing of the shadow.
func (m *Message) adopt(shadow *Message) {
	from, to := &shadow.edits, &m.edits
	from.mu.Lock()
	defer from.mu.Unlock()
	to.mu.Lock()
	defer to.mu.Unlock()
	from.sealed = true
	if to.sealed {
		return
	}
	to.fields = append(to.fields, from.fields...)
	to.signers = append(to.signers, from.signers...)
	if to.strip == nil {
		to.strip = from.strip
		return
	}
	for i := range from.strip {
		to.strip[i] = true
	}
}

// holder is what lives as long as what is judged at the scene's stage.
func (sc *scene) holder() Holder {
	if sc.tx != nil {
		return sc.tx
	}
	return sc.conn
}

// anew reports whether what is said in this scene replaces what was said
// before at the same stage for the same holder. It does after a repeated EHLO
// and in a new AUTH exchange, whose first call knows no login yet; but not for
// the next recipient.
func (sc *scene) anew() bool {
	switch sc.stage {
	case StageAuth:
		return sc.auth.Claimed == ""
	case StageRcpt:
		return false
	}
	return true
}

// due reports whether a word kept for stage is to be spoken at this stage. A
// session need not come by AUTH on its way to MAIL.
func due(stage, now Stage) bool {
	return now == stage || stage == StageAuth && now == StageMail
}

// dueAt lists the stages at which due.
func dueAt(stage Stage) []Stage {
	if stage == StageAuth {
		return []Stage{StageAuth, StageMail}
	}
	return []Stage{stage}
}

// decisive is the verdict of vs that counts: a Disconnect, else the first that
// objects. ok is false when none does.
func decisive(vs []Verdict) (v Verdict, ok bool) {
	for i := range vs {
		if vs[i].Action == Disconnect {
			return vs[i], true
		}
		if vs[i].Action.objects() && !ok {
			v, ok = vs[i], true
		}
	}
	return v, ok
}

// merged is what verdicts that do not object say together; names are those of
// their checks.
func merged(names []string, vs []Verdict) (v Verdict) {
	var reasons []string
	for i := range vs {
		if vs[i].Action > v.Action {
			v.Action, v.by = vs[i].Action, vs[i].by
		}
		v.Accept = max(v.Accept, vs[i].Accept)
		v.Score += vs[i].Score
		if vs[i].Reason != "" {
			reasons = append(reasons, names[i]+": "+vs[i].Reason)
		}
	}
	v.Reason = strings.Join(reasons, "; ")
	return v
}
