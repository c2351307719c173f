package relay

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/emersion/go-smtp"
	"github.com/smtpguard/smtpguard"
)

// Check returns r as a check that judges every recipient: 550 5.7.1 for one the
// client may not send to, 553 5.1.3 for what is no address, 550 5.1.1 for one
// that does not exist, and 451 4.3.0 where that could not be found out. No
// allow list passes over it.
func (r *Relay) Check() smtpguard.Check {
	return smtpguard.Check{
		Name:    "relay",
		OnError: smtpguard.FailDefer,
		Always:  true,
		Rcpt: func(ctx context.Context, tx *smtpguard.Transaction, rcpt *smtpguard.Recipient) (smtpguard.Verdict, error) {
			d := r.Decide(ClientOf(tx.Conn()), rcpt.Addr)
			decisions.Update(tx, func(ds *decided) *decided { return ds.with(rcpt.Addr, d) })
			return r.judge(ctx, d)
		},
	}
}

// judge makes a verdict of d, and asks whether the recipient exists.
func (r *Relay) judge(ctx context.Context, d Decision) (smtpguard.Verdict, error) {
	v := smtpguard.Verdict{Facts: map[string]string{"relay": d.Kind.String()}}
	if d.Kind == Refused {
		v.Action, v.Reason, v.Reply = smtpguard.Reject, d.Reason, reply(550, 5, 7, 1, "Relaying refused")
		if d.malformed {
			v.Reply = reply(553, 5, 1, 3, "Malformed recipient address")
		}
		return v, nil
	}
	v.Facts["rule"] = d.Rule
	known, err := r.exists(ctx, d)
	if err != nil {
		return smtpguard.Verdict{}, fmt.Errorf("relay: does the recipient exist? %w", err)
	}
	if !known {
		v.Action, v.Reason, v.Reply = smtpguard.Reject, "no such recipient", reply(550, 5, 1, 1, "No such recipient here")
	}
	return v, nil
}

// exists reports whether the recipient of d does, as far as it is ours to say.
func (r *Relay) exists(ctx context.Context, d Decision) (bool, error) {
	switch {
	case strings.EqualFold(d.LocalPart, "postmaster"):
		return true, nil
	case d.Kind == Local:
		return r.local.known(ctx, d.Addr())
	case d.Kind == Relayed:
		return r.relayed.known(ctx, d.Addr())
	}
	return true, nil
}

func reply(code, class, subject, detail int, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{class, subject, detail}, Message: text}
}

// decisions is where the check leaves what it decided.
var decisions smtpguard.Key[*decided]

// decided are the decisions of one transaction, by recipient as received.
type decided struct {
	mu sync.Mutex
	m  map[string]Decision
}

// with returns ds, made at first use, with one decision more.
func (ds *decided) with(addr string, d Decision) *decided {
	if ds == nil {
		ds = &decided{m: make(map[string]Decision)}
	}
	ds.mu.Lock()
	defer ds.mu.Unlock()
	ds.m[addr] = d
	return ds
}

// DecisionOf returns what the check decided about a recipient of tx, addr being
// its Recipient.Addr: for later checks, and for the backend, which finds tx
// through [smtpguard.FromConn]. ok is false for one that no check was asked about.
func DecisionOf(tx *smtpguard.Transaction, addr string) (d Decision, ok bool) {
	ds, _ := decisions.Get(tx)
	if ds == nil {
		return d, false
	}
	ds.mu.Lock()
	defer ds.mu.Unlock()
	d, ok = ds.m[addr]
	return d, ok
}
