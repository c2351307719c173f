package smtpguard

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Late holds what c objects to before stage, a Disconnect too, and returns it
// at stage: at StageRcpt for every recipient, so that the log knows the
// envelope. c's later hooks still run. What was held of a connection stays with
// it, but a repeated EHLO replaces what EHLO held, and another AUTH what AUTH
// held; what was held of a transaction goes with it. A session that comes to
// MAIL without AUTH gets there what was held until StageAuth.
//
// An objection to one recipient, held until StageData, becomes its
// [Recipient.Mark].
//
// An Accept spoken meanwhile passes over what is held, unless c is marked
// Always. As any other check, c may be wrapped so for reasons of logging; but
// mind that the session goes on: behind a held Auth objection logins are tried.
func Late(stage Stage, c Check) Check {
	l := combine("late", (&late{stage: stage}).ask, []Check{c}, dueAt(stage)...)
	if stage < StageConnect || stage > StageData {
		l.err = errors.Join(l.err, fmt.Errorf("smtpguard: late: %d is no Stage", int(stage)))
	}
	return l
}

type late struct {
	stage Stage
	key   Key[[]held] // on both the connection and the transaction; never changed in place
}

// held is an objection to be returned.
type held struct {
	stage Stage
	rcpt  string // of StageRcpt
	v     Verdict
}

func (l *late) ask(ctx context.Context, e *env, cs []Check, sc *scene) Verdict {
	c := &cs[0]
	asked := e.asks(c, sc.stage)
	v := e.only(ctx, c, sc)
	if sc.stage < l.stage {
		if asked {
			l.hold(sc, v)
		}
		if v.Action.objects() {
			return Verdict{Score: v.Score}
		}
		return v
	}
	if !due(l.stage, sc.stage) || v.Action == Disconnect {
		return v
	}
	if h, ok := l.release(sc); ok {
		return h
	}
	return v
}

// hold keeps v, where it objects, for later.
func (l *late) hold(sc *scene, v Verdict) {
	h := held{stage: sc.stage, v: v}
	h.v.Reason = "at " + sc.stage.String() + ": " + v.Reason
	if sc.rcpt != nil {
		h.rcpt = sc.rcpt.Addr
	}
	l.key.Update(sc.holder(), func(all []held) []held {
		all = slices.Clone(all)
		if sc.anew() {
			all = slices.DeleteFunc(all, func(o held) bool { return o.stage == sc.stage })
		}
		if v.Action.objects() {
			all = append(all, h)
		}
		return all
	})
}

// release returns what is held. What is held of single recipients is marked on
// them.
func (l *late) release(sc *scene) (Verdict, bool) {
	all, _ := l.key.Get(sc.conn)
	if sc.tx != nil {
		more, _ := l.key.Get(sc.tx)
		all = slices.Concat(all, more)
	}
	var whole []Verdict
	of := make(map[string]Verdict)
	for _, h := range all {
		if h.rcpt == "" || h.v.Action == Disconnect {
			whole = append(whole, h.v)
		} else if of[h.rcpt].Action < h.v.Action {
			of[h.rcpt] = h.v
		}
	}
	if len(of) > 0 {
		rcpts := sc.tx.Recipients()
		sc.tx.mu.Lock()
		defer sc.tx.mu.Unlock()
		for _, r := range rcpts {
			if v, ok := of[r.Addr]; ok && v.Action > r.Mark.Action {
				r.Mark = v
			}
		}
	}
	return decisive(whole)
}
