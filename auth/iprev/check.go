package iprev

import (
	"context"
	"fmt"
	"strings"

	"github.com/emersion/go-smtp"
	"github.com/smtpguard/smtpguard"
)

// Check returns c as a check. The client's address is looked up as it connects,
// its EHLO name and the reverse-path at MAIL (the EHLO name at EHLO, where
// Config.Judge is StageHello); all of it acts at Config.Judge. The null
// reverse-path is not looked up. Its failures never keep mail out.
func (c *Checker) Check() smtpguard.Check {
	ck := smtpguard.Check{Name: c.cfg.Name, OnError: smtpguard.FailOpen, Connect: c.connected, Mail: c.mail}
	switch c.cfg.Judge {
	case smtpguard.StageHello:
		ck.Hello = c.greeted
	case smtpguard.StageRcpt:
		ck.Rcpt = c.rcpt
	}
	return ck
}

// ReverseOf is what the check found out of the client's address; ok is false
// while it has not.
func (c *Checker) ReverseOf(conn *smtpguard.Conn) (r Reverse, ok bool) { return c.reverse.Get(conn) }

// HelloOf is what the check found out of the EHLO name that tx came under.
func (c *Checker) HelloOf(tx *smtpguard.Transaction) (h Hello, ok bool) {
	if c.cfg.Judge == smtpguard.StageHello {
		return c.hello.Get(tx.Conn())
	}
	return c.hello.Get(tx)
}

// SenderOf is what the check found out of the domain of tx's reverse-path.
func (c *Checker) SenderOf(tx *smtpguard.Transaction) (s Sender, ok bool) { return c.sender.Get(tx) }

// Names waits for the confirmed names of the client's address: what dnsbl wants
// as its ReverseNames.
func (c *Checker) Names(ctx context.Context, conn *smtpguard.Conn) ([]string, error) {
	r, err := c.await(ctx, conn)
	if err == nil {
		err = r.Err
	}
	return r.Names, err
}

func (c *Checker) connected(_ context.Context, conn *smtpguard.Conn) (smtpguard.Verdict, error) {
	if conn.Addr().IsValid() && !c.cfg.Known(conn) {
		c.begin(conn)
	}
	return smtpguard.Verdict{}, nil
}

// begin looks up the client's address, once.
func (c *Checker) begin(conn *smtpguard.Conn) {
	c.reverse.Start(conn, func(ctx context.Context) (Reverse, error) { return c.Reverse(ctx, conn.Addr()), nil })
}

// await waits for what begin began, and begins it where no one did.
func (c *Checker) await(ctx context.Context, conn *smtpguard.Conn) (Reverse, error) {
	if !conn.Addr().IsValid() {
		return Reverse{}, nil
	}
	c.begin(conn)
	return c.reverse.Wait(ctx, conn)
}

func (c *Checker) greeted(ctx context.Context, conn *smtpguard.Conn) (smtpguard.Verdict, error) {
	if c.cfg.Known(conn) {
		return smtpguard.Verdict{}, nil
	}
	h := c.Hello(ctx, conn.Hello(), conn.Addr())
	c.hello.Set(conn, h)
	r, err := c.await(ctx, conn)
	if err != nil {
		return smtpguard.Verdict{}, err
	}
	return c.verdict(&r, &h, nil), nil
}

func (c *Checker) mail(ctx context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
	conn := tx.Conn()
	if c.cfg.Known(conn) {
		return smtpguard.Verdict{}, nil
	}
	if c.cfg.Judge != smtpguard.StageHello {
		c.hello.Start(tx, func(ctx context.Context) (Hello, error) { return c.Hello(ctx, conn.Hello(), conn.Addr()), nil })
	}
	if from := tx.From(); from != "" {
		c.sender.Start(tx, func(ctx context.Context) (Sender, error) {
			return c.Sender(ctx, from[strings.LastIndexByte(from, '@')+1:]), nil
		})
	}
	switch c.cfg.Judge {
	case smtpguard.StageHello:
		s, err := c.awaitSender(ctx, tx)
		if err != nil {
			return smtpguard.Verdict{}, err
		}
		return c.verdict(nil, nil, &s), nil
	case smtpguard.StageMail:
		return c.whole(ctx, tx)
	}
	return smtpguard.Verdict{}, nil
}

func (c *Checker) rcpt(ctx context.Context, tx *smtpguard.Transaction, _ *smtpguard.Recipient) (smtpguard.Verdict, error) {
	if c.cfg.Known(tx.Conn()) {
		return smtpguard.Verdict{}, nil
	}
	return c.whole(ctx, tx)
}

// whole judges everything.
func (c *Checker) whole(ctx context.Context, tx *smtpguard.Transaction) (v smtpguard.Verdict, err error) {
	r, err := c.await(ctx, tx.Conn())
	if err != nil {
		return v, err
	}
	h, err := c.hello.Wait(ctx, tx)
	if err != nil {
		return v, err
	}
	s, err := c.awaitSender(ctx, tx)
	if err != nil {
		return v, err
	}
	return c.verdict(&r, &h, &s), nil
}

func (c *Checker) awaitSender(ctx context.Context, tx *smtpguard.Transaction) (Sender, error) {
	s, err := c.sender.Wait(ctx, tx)
	if err == smtpguard.ErrNotStarted {
		err = nil // the null reverse-path
	}
	return s, err
}

// verdict is what there is to say, any of it nil where it is judged elsewhere.
func (c *Checker) verdict(r *Reverse, h *Hello, s *Sender) (v smtpguard.Verdict) {
	var found []Finding
	facts := make(map[string]string)
	if r != nil && r.Status != "" {
		found = append(found, r.Findings()...)
		facts["iprev"] = string(r.Status)
		if len(r.Names) > 0 {
			facts["names"] = strings.Join(r.Names, " ")
		} else if len(r.Claimed) > 0 {
			facts["claimed"] = strings.Join(r.Claimed, " ")
		}
		note(facts, "iprev-error", r.Err)
	}
	if h != nil {
		found = append(found, h.Findings...)
		note(facts, "hello-error", h.Err)
	}
	if s != nil && s.Finding != 0 {
		found = append(found, s.Finding)
		facts["sender-domain"] = s.Domain
		note(facts, "sender-error", s.Err)
	}
	v = c.Verdict(found...)
	if len(facts) > 0 {
		v.Facts = facts
	}
	return v
}

// Verdict is what Config.Rules make of findings: the sum of their scores, the
// strongest of their actions with its reply, and all of them as the reason.
func (c *Checker) Verdict(found ...Finding) (v smtpguard.Verdict) {
	var decides Finding
	var reasons []string
	for _, f := range found {
		rule := c.cfg.Rules[f]
		v.Score += rule.Score
		if rule.Action > v.Action {
			v.Action, decides = rule.Action, f
		}
		reasons = append(reasons, f.String())
	}
	v.Reason = strings.Join(reasons, ", ")
	if decides != 0 {
		v.Reply = c.reply(decides, v.Action)
	}
	return v
}

// note adds an error to what a verdict rests on.
func note(facts map[string]string, key string, err error) {
	if err != nil {
		facts[key] = fmt.Sprintf("%.300s", err)
	}
}

// reply is what the client reads where f decides.
func (c *Checker) reply(f Finding, a smtpguard.Action) *smtp.SMTPError {
	known := &replies[f]
	r := &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, known.subject, known.detail}, Message: c.cfg.Rules[f].Reply}
	if r.Message == "" {
		r.Message = known.text
	}
	switch a {
	case smtpguard.Quarantine:
		return nil
	case smtpguard.Defer:
		r.Code, r.EnhancedCode[0] = 451, 4
	case smtpguard.Disconnect:
		r.Code, r.EnhancedCode[0] = 421, 4
	}
	return r
}
