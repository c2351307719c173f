package smtpguard

import "context"

// Shadow asks c and reports what it says, and that is all: its verdict, its
// failures, its Accept, its edits of the message and what it does to a
// recipient count for nothing. Values that c sets under a [Key] are there.
func Shadow(c Check) Check {
	s := combine("shadow", func(ctx context.Context, e *env, cs []Check, sc *scene) Verdict {
		shadowed := *e
		shadowed.shadow = true
		defer sc.marks().restore()
		shadowed.only(ctx, &cs[0], &sc.branch().scene)
		return Verdict{}
	}, []Check{c})
	s.OnError = FailOpen
	return s
}

// marks are the recipients of a transaction as they were.
type marks struct {
	tx    *Transaction
	rcpts []*Recipient
	was   []Recipient
}

// marks remembers what a Data hook may change by way of the transaction.
func (sc *scene) marks() (m marks) {
	if sc.stage != StageData {
		return m
	}
	m.tx, m.rcpts = sc.tx, sc.tx.Recipients()
	m.tx.mu.Lock()
	defer m.tx.mu.Unlock()
	for _, r := range m.rcpts {
		m.was = append(m.was, *r)
	}
	return m
}

// restore puts back what was changed. It leaves alone what was not: hooks may
// be reading it.
func (m marks) restore() {
	if m.tx == nil {
		return
	}
	m.tx.mu.Lock()
	defer m.tx.mu.Unlock()
	for i, r := range m.rcpts {
		was := &m.was[i]
		if r.Policy != was.Policy {
			r.Policy = was.Policy
		}
		if r.Mark.Action != was.Mark.Action || r.Mark.Reply != was.Mark.Reply || r.Mark.Reason != was.Mark.Reason {
			r.Mark = was.Mark
		}
	}
}
