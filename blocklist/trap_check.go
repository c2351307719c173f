package blocklist

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/smtpguard/smtpguard"
)

// Check returns t as a check. It goes before those that refuse recipients, where
// what they refuse is to count (TrapConfig.At), and behind those that accept
// friends. The client is blocked when the transaction is over, so that its
// reply need not wait; a [NewCheck] on the list has the rest of its connection
// refused too.
func (t *Traps) Check() smtpguard.Check {
	c := smtpguard.Check{
		Name: t.cfg.Name,
		Rcpt: func(_ context.Context, tx *smtpguard.Transaction, rcpt *smtpguard.Recipient) (smtpguard.Verdict, error) {
			return t.rcpt(tx, rcpt.Addr), nil
		},
		Done: t.done,
	}
	if t.cfg.At == smtpguard.StageData && t.cfg.Action != smtpguard.Continue {
		c.Data = func(_ context.Context, tx *smtpguard.Transaction, _ *smtpguard.Message) (smtpguard.Verdict, error) {
			return t.data(tx), nil
		}
	}
	return c
}

// rcpt notes a trap.
func (t *Traps) rcpt(tx *smtpguard.Transaction, addr string) (v smtpguard.Verdict) {
	if !t.traps(addr) {
		return v
	}
	spared, login := t.spares(tx)
	t.seen.Update(tx, func(s *sighting) *sighting {
		if s == nil {
			s = new(sighting)
		}
		return &sighting{traps: with(s.traps, addr), spared: spared, login: login}
	})
	v.Reason = "forward-path is a trap"
	v.Facts = map[string]string{"trap": addr}
	if spared != "" {
		v.Facts["spared"] = string(spared)
	}
	if t.cfg.At == smtpguard.StageRcpt && spared == "" {
		v.Action = t.cfg.Action
		if v.Action == smtpguard.Reject {
			v.Reply = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such recipient here"}
		}
	}
	return v
}

// data judges a message to a trap.
func (t *Traps) data(tx *smtpguard.Transaction) (v smtpguard.Verdict) {
	s, _ := t.seen.Get(tx)
	if s == nil || s.spared != "" || len(reached(tx, s.traps)) == 0 {
		return v
	}
	v.Action, v.Reason = t.cfg.Action, "message to a trap"
	v.Facts = map[string]string{"trap": s.traps[0]}
	return v
}

// reached are those of traps that were accepted as recipients.
func reached(tx *smtpguard.Transaction, traps []string) (all []string) {
	rcpts := tx.Recipients()
	for _, trap := range traps {
		if slices.ContainsFunc(rcpts, func(r *smtpguard.Recipient) bool { return r.Addr == trap }) {
			all = append(all, trap)
		}
	}
	return all
}

// with returns traps with addr, unless it is one of them in another case. It
// does not write to traps, which others may be reading.
func with(traps []string, addr string) []string {
	same := func(trap string) bool { return strings.EqualFold(trap, addr) }
	if len(traps) >= maxTraps || slices.ContainsFunc(traps, same) {
		return traps
	}
	return append(slices.Clip(traps), addr)
}

// done blocks who sent to a trap.
func (t *Traps) done(ctx context.Context, tx *smtpguard.Transaction, _ smtpguard.Outcome) {
	s, _ := t.seen.Get(tx)
	if s == nil {
		if s = t.accepted(tx); s == nil {
			return
		}
	}
	ev := TrapEvent{
		Time: time.Now(), Transaction: tx.ID(), Client: tx.Conn().Addr(), Hello: tx.Conn().Hello(), From: tx.From(),
		Traps: s.traps, Spared: s.spared, Login: s.login,
	}
	if t.cfg.At == smtpguard.StageData {
		if ev.Traps = reached(tx, s.traps); len(ev.Traps) == 0 || tx.Message() == nil {
			return
		}
	}
	if ev.Spared == "" {
		t.block(ctx, &ev)
	}
	t.cfg.Report(ev)
}

// accepted is what there is to see of a transaction for which an allow list
// spoke, so that the other hooks were not asked; nil when it goes to no trap.
func (t *Traps) accepted(tx *smtpguard.Transaction) *sighting {
	var s sighting
	for _, r := range tx.Recipients() {
		if t.traps(r.Addr) {
			s.traps = with(s.traps, r.Addr)
		}
	}
	if len(s.traps) == 0 {
		return nil
	}
	if s.spared, s.login = t.spares(tx); s.spared == "" {
		s.spared = SparedAccepted
	}
	return &s
}

// block counts the event's hits, and blocks its client when they are enough.
func (t *Traps) block(ctx context.Context, ev *TrapEvent) {
	client := network(ev.Client)
	if !t.count(client, len(ev.Traps), ev.Time) {
		ev.Spared = SparedHits
		return
	}
	until := ev.Time.Add(t.cfg.TTL)
	ev.Err = t.cfg.Blocks.AddAuto(ctx, Entry{
		Kind: Addr, Value: prefixText(client), Word: Block, Reason: ev.reason(), Source: t.cfg.Name, Expires: until,
	})
	switch {
	case ev.Err == nil || errors.Is(ev.Err, ErrNotKept):
		ev.Blocked, ev.Until = client, until
	case errors.Is(ev.Err, ErrProtected):
		ev.Spared = SparedProtected
	}
}
