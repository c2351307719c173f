package verify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/spf"
	"github.com/smtpguard/smtpguard/internal/domain"
	"github.com/smtpguard/smtpguard/internal/lookup"
)

// Check returns v as a check. An allow list's word passes over it, and then there
// is no Result and no field of ours, and fields that claim to be ours stay: see
// [Verifier.Strip].
func (v *Verifier) Check() smtpguard.Check {
	c := smtpguard.Check{Name: v.cfg.Name, Mail: v.mail, Data: v.data}
	if len(v.domains) > 0 {
		c.Rcpt = v.rcpt
	}
	return c
}

// Strip returns a check that takes fields which claim to be ours out of all mail,
// that of allow-listed clients and of users too (RFC 8601, section 5). No allow list
// passes over it.
func (v *Verifier) Strip() smtpguard.Check {
	return smtpguard.Check{Name: v.cfg.Name + "-strip", Always: true, Data: func(_ context.Context, _ *smtpguard.Transaction, msg *smtpguard.Message) (smtpguard.Verdict, error) {
		msg.Strip("Authentication-Results", v.fields.Strip)
		return smtpguard.Verdict{}, nil
	}}
}

// mail begins SPF.
func (v *Verifier) mail(ctx context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
	conn := tx.Conn()
	if v.cfg.Known(conn) || v.throughGateway(conn.Addr()) {
		return smtpguard.Verdict{}, nil
	}
	if out, ok := v.spfAtHand(ctx, conn.Addr(), conn.Hello(), tx.From()); ok {
		v.sender.Set(tx, out)
	} else {
		v.sender.Start(tx, func(ctx context.Context) (spf.Outcome, error) {
			return v.spf.MailFrom(ctx, conn.Addr(), conn.Hello(), tx.From()), nil
		})
	}
	return smtpguard.Verdict{}, nil
}

// rcpt keeps recipients apart whose policies differ.
func (v *Verifier) rcpt(_ context.Context, _ *smtpguard.Transaction, r *smtpguard.Recipient) (smtpguard.Verdict, error) {
	if p := v.policyOf(r.Addr); p != v.cfg.Policy {
		r.Policy += fmt.Sprintf(" %s %+v", v.cfg.Name, p)
	}
	return smtpguard.Verdict{}, nil
}

// policyOf is the policy for mail to addr.
func (v *Verifier) policyOf(addr string) Policy {
	if len(v.domains) > 0 {
		if d, err := domain.Normal(addr[strings.LastIndexByte(addr, '@')+1:]); err == nil {
			if p, ok := v.domains[d]; ok {
				return p
			}
		}
	}
	return v.cfg.Policy
}

// data verifies, writes the fields and judges.
func (v *Verifier) data(ctx context.Context, tx *smtpguard.Transaction, msg *smtpguard.Message) (smtpguard.Verdict, error) {
	msg.Strip("Authentication-Results", v.fields.Strip)
	if v.cfg.Known(tx.Conn()) {
		return smtpguard.Verdict{}, nil
	}
	d := lookup.Within(ctx, v.cfg.Timeout)
	defer d.End()
	r, err := v.verify(d, msg.Open(), tx.Started(), func() (netip.Addr, spf.Outcome, error) { return v.spfOf(d, tx, msg) })
	if errors.Is(err, ErrHeader) {
		return v.judge(tx, (*Policy).tooLarge), nil
	} else if err != nil {
		return smtpguard.Verdict{}, err
	}
	v.result.Set(tx, r)
	if err := v.write(tx, msg, &r); err != nil {
		return smtpguard.Verdict{}, err
	}
	return v.judge(tx, func(p *Policy) smtpguard.Verdict { return p.verdict(&r) }), nil
}

// spfOf waits for what was begun at MAIL, or asks on behalf of who came through a
// gateway of ours.
func (v *Verifier) spfOf(ctx context.Context, tx *smtpguard.Transaction, msg *smtpguard.Message) (netip.Addr, spf.Outcome, error) {
	conn := tx.Conn()
	addr := conn.Addr()
	if !v.throughGateway(addr) {
		found, err := v.sender.Wait(ctx, tx)
		switch {
		case errors.Is(err, smtpguard.ErrNotStarted): // an allow list spoke at MAIL alone
			return addr, v.spf.MailFrom(ctx, addr, conn.Hello(), tx.From()), nil
		case errors.Is(err, context.DeadlineExceeded):
			// Whose policy it would have been still matters: it may have passed.
			name := tx.From()[strings.LastIndexByte(tx.From(), '@')+1:]
			if name == "" {
				name = conn.Hello()
			}
			if d, err := domain.Normal(name); err == nil {
				name = d
			}
			return addr, spf.Outcome{Result: spf.TempError, Identity: spf.MailFrom, Client: addr, Helo: conn.Hello(), Sender: tx.From(), Domain: name, Err: err}, nil
		}
		return addr, found, err
	}
	client, hello, ok := v.behind(msg)
	if !ok {
		return addr, spf.Outcome{Result: spf.None, Identity: spf.MailFrom, Helo: conn.Hello(), Err: errors.New("no Received field tells the client")}, nil
	}
	return client, v.spf.MailFrom(ctx, client, hello, tx.From()), nil
}

func within(list []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap()
	for _, p := range list {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
