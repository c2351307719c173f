package limiter

import (
	"context"
	"sync"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
)

// connRates is what the rules have counted of one connection.
type connRates struct {
	mu      sync.Mutex
	counted []int // of each rule
}

// txRates is what they have counted of one transaction.
type txRates struct {
	mu      sync.Mutex
	counted []int
	message []Ask // spent for the message, to be given back if it is not accepted
	rcpts   []rcptRates
	over    bool // accounted for: what is spent now is to be given back at once
}

// rcptRates is what was spent for one forward-path.
type rcptRates struct {
	addr string
	asks []Ask
}

// of returns what has been counted of m's connection and transaction.
func (r *Rates) of(m *moment) (*connRates, *txRates) {
	c := r.conns.Update(m.conn, func(c *connRates) *connRates {
		if c == nil {
			c = &connRates{counted: make([]int, len(r.cfg.Rules))}
		}
		return c
	})
	if m.tx == nil {
		return c, nil
	}
	return c, r.txs.Update(m.tx, func(t *txRates) *txRates {
		if t == nil {
			t = &txRates{counted: make([]int, len(r.cfg.Rules))}
		}
		return t
	})
}

// pending is how many units the rule at place i has yet to count, and how many
// must be left, where that is the question: of what has happened one, or the
// client has had its share.
func pending(rule *Rule, i int, m *moment, c *connRates, t *txRates) (n, need int) {
	ofConn := func(total int) int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return total - c.counted[i]
	}
	ofTx := func(total int) int {
		t.mu.Lock()
		defer t.mu.Unlock()
		return total - t.counted[i]
	}
	switch rule.Unit {
	case Messages:
		if m.stage == smtpguard.StageMail {
			n = ofTx(1)
		}
	case Recipients:
		if m.stage == smtpguard.StageRcpt {
			n = 1
		}
	case Octets:
		switch m.stage {
		case smtpguard.StageMail:
			need = units(m.tx.Opts().Size)
		case smtpguard.StageData:
			n = units(m.size)
		}
	case Connections:
		if m.stage != 0 {
			n = ofConn(1)
		}
	case Handshakes:
		n = ofConn(handshakes(m.conn))
	case Commands:
		n = ofConn(m.conn.Commands())
	case Errors:
		n = ofConn(m.conn.Errors())
	case Unknown:
		if m.tx != nil {
			n = ofTx(unknown(m.tx))
		}
	}
	if rule.Unit.happened() && (n > 0 || m.stage == smtpguard.StageConnect || m.stage == smtpguard.StageMail) {
		need = 1
	}
	return n, need
}

// units is n as a number of units, whatever the platform.
func units(n int64) int { return int(min(n, 1<<31-1)) }

// handshakes counts the TLS handshakes of conn. Resumed sessions cost little.
func handshakes(conn *smtpguard.Conn) int {
	if state, ok := conn.TLS(); ok && !state.DidResume {
		return 1
	}
	return 0
}

// unknown counts the recipients that were refused because they do not exist.
func unknown(tx *smtpguard.Transaction) (n int) {
	for _, r := range tx.Refused() {
		switch r.Reply.EnhancedCode {
		case smtp.EnhancedCode{5, 1, 1}, smtp.EnhancedCode{5, 1, 2}, smtp.EnhancedCode{5, 1, 6}, smtp.EnhancedCode{5, 1, 10}: // RFC 3463, section 3.2; RFC 7505
			n++
		case smtp.EnhancedCodeNotSet, smtp.NoEnhancedCode:
			if r.Reply.Code == 550 && r.By == "" { // a backend that gives no enhanced codes
				n++
			}
		}
	}
	return n
}

// note takes note of what was spent, which where an ask had no room is what is
// forced only. It returns what is to be given back because the transaction is
// over already.
func (b *batch) note(states []State, m *moment, c *connRates, t *txRates) (late []Ask) {
	all := true
	for i := range b.asks {
		all = all && (b.asks[i].Force || states[i].OK)
	}
	var back []Ask
	last := -1
	for i, w := range b.of {
		if w.n <= 0 || !all && !b.asks[i].Force {
			continue
		}
		unit := w.rule.Unit
		if w.at != last { // once, not for each of its windows
			last = w.at
			switch {
			case !unit.ofMail():
				c.count(w)
			case unit == Messages || unit == Unknown:
				t.count(w)
			}
		}
		// Of a soft limit that was over nobody knows how much was there to spend.
		if unit.ofMail() && unit != Unknown && !w.rule.Keep && states[i].OK {
			ask := b.asks[i]
			ask.N, ask.Force = -ask.N, false
			back = append(back, ask)
		}
	}
	if len(back) > 0 && !t.owe(back, m.rcpt) {
		return back
	}
	return nil
}

func (c *connRates) count(w wish) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counted[w.at] += w.n
}

func (t *txRates) count(w wish) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counted[w.at] += w.n
}

// owe remembers what gives back what was spent, for the message or for one
// recipient. It reports whether the transaction is still to be accounted for.
func (t *txRates) owe(back []Ask, rcpt *smtpguard.Recipient) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.over:
		return false
	case rcpt == nil:
		t.message = append(t.message, back...)
	default:
		t.rcpts = append(t.rcpts, rcptRates{rcpt.Addr, back})
	}
	return true
}

// giveBack ends the account of a transaction and returns what was spent for
// nothing: all of it, or what was for recipients that were refused.
func (t *txRates) giveBack(tx *smtpguard.Transaction, delivered bool) []Ask {
	accepted := make(map[string]int)
	if delivered {
		for _, r := range tx.Recipients() {
			accepted[r.Addr]++
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	var back sum
	if !delivered {
		back.add(t.message)
	}
	for _, r := range t.rcpts {
		if accepted[r.addr] > 0 {
			accepted[r.addr]--
		} else {
			back.add(r.asks)
		}
	}
	t.message, t.rcpts = nil, nil
	return back.asks
}

// sum adds up asks for the same key and limit.
type sum struct {
	asks []Ask
	at   map[Ask]int
}

func (s *sum) add(asks []Ask) {
	for _, a := range asks {
		id := a
		id.N = 0
		if i, ok := s.at[id]; ok {
			s.asks[i].N += a.N
			continue
		}
		if s.at == nil {
			s.at = make(map[Ask]int)
		}
		s.at[id] = len(s.asks)
		s.asks = append(s.asks, a)
	}
}

// done gives back what a transaction did not use, and counts what happened in it.
func (r *Rates) done(ctx context.Context, tx *smtpguard.Transaction, o smtpguard.Outcome) {
	m := &moment{conn: tx.Conn(), tx: tx}
	c, t := r.of(m)
	r.account(ctx, t.giveBack(tx, o.Delivered), m, c, t)
}

// close counts what happened since the last hook.
func (r *Rates) close(conn *smtpguard.Conn) {
	ctx, cancel := lasting(context.Background())
	defer cancel()
	m := &moment{conn: conn}
	c, t := r.of(m)
	r.account(ctx, nil, m, c, t)
}

// account spends what has happened and gives back.
func (r *Rates) account(ctx context.Context, back []Ask, m *moment, c *connRates, t *txRates) {
	b := r.gather(m, c, t)
	asks := append(b.asks, back...)
	if len(asks) == 0 {
		return
	}
	states, err := take(ctx, r.store, asks)
	if err != nil {
		if r.cfg.Report != nil {
			r.cfg.Report(err)
		}
		return
	}
	b.note(states, m, c, t)
}
