package smtpguard

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/emersion/go-smtp"
)

// objection is what keeps a command from being carried out.
type objection struct {
	verdict Verdict
	reply   *smtp.SMTPError
	check   string
}

// ask asks the checks of guards at the scene's stage, in order, until one
// objects; nil means that none did. What an allow list said, and marks of
// quarantine, are kept for later stages.
func ask(guards []*Guard, sc *scene) *objection {
	var ctx context.Context
	c, tx := sc.conn, sc.tx
	accepted := c.accepted != 0 || tx != nil && tx.accepted == ScopeTransaction || sc.auth != nil && sc.auth.accepted
	for _, g := range guards {
		for _, check := range g.stages[sc.stage] {
			if accepted && !check.Always {
				continue
			}
			if ctx == nil {
				base := c.Context()
				if tx != nil {
					base = tx.Context()
				}
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(base, guards[0].cfg.StageTimeout)
				defer cancel()
				c.accounting.hold()
				defer c.accounting.let()
			}
			v := judge(ctx, &env{guard: g, accepted: accepted}, check, sc)
			if v.Action.objects() {
				return &objection{verdict: v, reply: v.reply(sc.stage, g.cfg.Contact), check: v.by}
			}
			if v.Action == Quarantine {
				sc.mark(v.by)
			}
			if v.Accept != NoScope {
				accepted = true
				if v.Accept == ScopeConnection && sc.auth != nil {
					sc.auth.accepted = true // a claim is yet to be proven
				} else if v.Accept == ScopeConnection {
					c.accept(sc.stage)
				} else if v.Accept == ScopeTransaction && tx != nil {
					tx.accepted = ScopeTransaction
				}
			}
		}
	}
	return nil
}

// mark notes that check wants the mail of this scene quarantined: that of the
// connection before MAIL, else of the transaction or, at RCPT, of the one
// recipient.
func (sc *scene) mark(check string) {
	switch {
	case sc.rcpt != nil:
		if sc.rcpt.Mark.Action < Quarantine {
			sc.rcpt.Mark = Verdict{Action: Quarantine, Reason: check}
		}
	case sc.tx != nil:
		sc.tx.mu.Lock()
		defer sc.tx.mu.Unlock()
		if !slices.Contains(sc.tx.marks, check) {
			sc.tx.marks = append(sc.tx.marks, check)
		}
	default:
		if !slices.Contains(sc.conn.marks, check) { // EHLO and AUTH may be repeated
			sc.conn.marks = append(sc.conn.marks, check)
		}
	}
}

// ask asks the session's checks, and hangs up where they say so.
func (s *session) ask(sc *scene) *objection {
	obj := ask(s.b.guards, sc)
	if obj != nil && (obj.verdict.Action == Disconnect || obj.reply.Code == 421) {
		s.conn.hangUp()
	}
	return obj
}

// refuse counts a refusal against the client's budget of errors: at half of it
// replies slow down, at its end err gives way to a 421.
func (s *session) refuse(err error) error {
	c := s.conn
	if !s.outer || c.dead.Load() {
		return err
	}
	l := &s.b.guards[0].cfg.Limits
	c.refusals.Add(1)
	c.errors++
	if c.errors >= l.Errors {
		s.note(KindNote, "too many refused commands, hanging up", nil)
		c.hangUp()
		return reply(421, smtp.EnhancedCode{4, 7, 0}, "Too many errors")
	}
	if c.errors > l.Errors/2 {
		c.pause(l.Slow)
	}
	return err
}

// pause waits for d, or until the connection is gone.
func (c *Conn) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.Context().Done():
	}
}

// note tells the operator of something odd.
func (s *session) note(k Kind, what string, err error) {
	g := s.b.guards[0]
	if g.cfg.Observe == nil {
		return
	}
	ev := s.conn.event(k)
	if tx := s.conn.Transaction(); tx != nil {
		ev.Transaction, ev.From = tx.ID(), tx.from
	}
	ev.Reason = what
	if err != nil {
		ev.Error = err.Error()
		var p *panicError
		if errors.As(err, &p) {
			ev.Stack = string(p.stack)
		}
	}
	g.observe(ev)
}

// backend calls the backend. What it returns reaches the client only as an
// SMTPError, bare or wrapped: the text of any other error is for the operator,
// and plain is what the client reads. A panic ends the connection.
func (s *session) backend(what string, f func() error, plain func() *smtp.SMTPError) error {
	err := call(f)
	if err == nil {
		return nil
	}
	var p *panicError
	if errors.As(err, &p) {
		s.note(KindWarning, "backend panicked in "+what, err)
		s.conn.hangUp()
		return reply(421, smtp.EnhancedCode{4, 0, 0}, "Internal server error")
	}
	var known *smtp.SMTPError
	if !errors.As(err, &known) {
		s.note(KindWarning, "backend failed in "+what, err)
		return plain()
	}
	if known.Code == 421 {
		s.conn.hangUp() // go-smtp says it and goes on
	}
	switch known.Code / 100 {
	case 4, 5:
		return known
	case 2: // after content this is how a backend words its own success
		if what == "Data" || what == "LMTPData" || what == "SetStatus" {
			return known
		}
	}
	// The client would believe that it got what it did not.
	s.note(KindWarning, "backend failed in "+what+" with a reply code that is no error's", err)
	return plain()
}

// taken reports whether err, of s.backend and after the content, says that the
// backend has it.
func taken(err error) bool {
	r, ok := err.(*smtp.SMTPError)
	return err == nil || ok && r.Code/100 == 2
}

// call runs f and turns a panic into an error.
func call(f func() error) (err error) {
	defer recovered(&err)
	return f()
}
