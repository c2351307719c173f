package verify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/arc"
	"github.com/smtpguard/smtpguard/auth/authres"
	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/spf"
	"github.com/smtpguard/smtpguard/internal/domain"
	"github.com/smtpguard/smtpguard/internal/mailsig"
)

// Check returns v as a check. An allow list's word passes over it, and then there
// is no Result and no field of ours; fields that claim to be ours are taken out
// only where it runs.
func (v *Verifier) Check() smtpguard.Check {
	c := smtpguard.Check{Name: v.cfg.Name, Mail: v.mail, Data: v.data}
	if len(v.domains) > 0 {
		c.Rcpt = v.rcpt
	}
	return c
}

// mail begins SPF.
func (v *Verifier) mail(_ context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
	conn := tx.Conn()
	if !v.cfg.Known(conn) && !within(v.cfg.Gateways, conn.Addr()) {
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
	ctx, cancel := context.WithTimeout(withAsked(ctx), v.cfg.Timeout)
	defer cancel()
	r, err := v.verify(ctx, tx, msg)
	if err != nil {
		return smtpguard.Verdict{}, err
	}
	v.result.Set(tx, r)
	if err := v.write(tx, msg, &r); err != nil {
		return smtpguard.Verdict{}, err
	}
	return v.judge(tx, &r), nil
}

// verify finds out all there is.
func (v *Verifier) verify(ctx context.Context, tx *smtpguard.Transaction, msg *smtpguard.Message) (r Result, err error) {
	header := make([]byte, msg.BodyOffset())
	if _, err := msg.ReadAt(header, 0); err != nil && len(header) > 0 {
		return r, fmt.Errorf("verify: message: %w", err)
	}
	run, err := v.engine.Start(msg.Open())
	if errors.Is(err, mailsig.ErrHeader) {
		return r, errHeader
	} else if err != nil {
		return r, fmt.Errorf("verify: message: %w", err)
	}
	defer run.Close()

	// Whatever DNS has to say of the author is on its way while the body is hashed.
	warm := make(chan struct{})
	go func() {
		defer close(warm)
		if author, err := dmarc.AuthorDomain(header, v.cfg.DMARC.Mailboxes); err == nil {
			_, _ = v.dmarc.Walk(ctx, author) // asked for what it asks, not for what it says
		}
	}()
	defer func() { <-warm }()
	signatures := v.dkim.Begin(ctx, run, tx.Started())
	chain := v.arc.Begin(ctx, run)
	if err := run.Body(ctx); err != nil {
		return r, fmt.Errorf("verify: message: %w", err)
	}
	if r.Client, r.SPF, err = v.spfOf(ctx, tx, msg); err != nil {
		return r, err
	}
	r.DKIM, r.ARC = signatures(), chain()
	m := dmarc.Message{Header: header, SPF: dmarc.SPF{Domain: r.SPF.Domain, Result: string(r.SPF.Result)}}
	for i := range r.DKIM.Signatures {
		s := &r.DKIM.Signatures[i]
		m.DKIM = append(m.DKIM, dmarc.DKIM{Domain: s.Domain, Selector: s.Selector, Result: string(s.Result)})
	}
	m.ARC = v.chain(r.ARC, header)
	if within(v.cfg.Forwarders, r.Client) {
		m.Overrides = append(m.Overrides, dmarc.Override{Type: dmarc.TrustedForwarder, Comment: "client is a known forwarder"})
	}
	r.DMARC = v.dmarc.Check(ctx, m)
	return r, nil
}

var errHeader = errors.New("verify: header section too large")

// spfOf waits for what was begun at MAIL, or asks on behalf of who came through a
// gateway of ours.
func (v *Verifier) spfOf(ctx context.Context, tx *smtpguard.Transaction, msg *smtpguard.Message) (netip.Addr, spf.Outcome, error) {
	conn := tx.Conn()
	addr := conn.Addr()
	if !within(v.cfg.Gateways, addr) {
		found, err := v.sender.Wait(ctx, tx)
		if errors.Is(err, context.DeadlineExceeded) {
			return addr, spf.Outcome{Result: spf.TempError, Identity: spf.MailFrom, Client: addr, Helo: conn.Hello(), Err: err}, nil
		}
		return addr, found, err
	}
	client, hello, ok := v.behind(msg)
	if !ok {
		return addr, spf.Outcome{Result: spf.None, Identity: spf.MailFrom, Helo: conn.Hello(), Err: errors.New("no Received field tells the client")}, nil
	}
	return client, v.spf.MailFrom(ctx, client, hello, tx.From()), nil
}

// chain is what a validated chain means to DMARC.
func (v *Verifier) chain(c *arc.Chain, header []byte) dmarc.ARC {
	a := dmarc.ARC{Result: string(c.Status)}
	if n := len(c.Sets); n > 0 {
		a.Instance, a.Domain, a.Selector = n, c.Sets[n-1].Domain, c.Sets[n-1].Selector
	}
	set, ok := c.Trusted(v.cfg.Sealers...)
	if !ok {
		return a
	}
	a.Trusted = true
	author, err := dmarc.AuthorDomain(header, v.cfg.DMARC.Mailboxes)
	if err != nil {
		return a
	}
	found, err := authres.Parse(set.Results)
	if err != nil {
		return a
	}
	for _, m := range found.Find("dmarc") {
		from, err := domain.Normal(m.Value("header", "from"))
		a.Passed = a.Passed || m.Result == authres.Pass && err == nil && from == author
	}
	return a
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
