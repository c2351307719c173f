package verify

import (
	"cmp"
	"fmt"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/spf"
)

// judge is what follows for the recipients of tx, say being what does by a policy.
func (v *Verifier) judge(tx *smtpguard.Transaction, say func(*Policy) smtpguard.Verdict) smtpguard.Verdict {
	rcpts := tx.Recipients()
	same := true
	for _, rcpt := range rcpts {
		same = same && v.policyOf(rcpt.Addr) == v.policyOf(rcpts[0].Addr)
	}
	if len(rcpts) == 0 || same {
		p := v.cfg.Policy
		if len(rcpts) > 0 {
			p = v.policyOf(rcpts[0].Addr)
		}
		return say(&p)
	}
	var facts map[string]string
	for _, rcpt := range rcpts {
		p := v.policyOf(rcpt.Addr)
		m := say(&p)
		facts = m.Facts
		if m.Action > rcpt.Mark.Action {
			rcpt.Mark = m
		}
	}
	return smtpguard.Verdict{Facts: facts}
}

// verdict is what p makes of r.
func (p *Policy) verdict(r *Result) smtpguard.Verdict {
	v := p.act(p.decide(r))
	v.Facts = facts(r)
	return v
}

// act is d, or with Monitor what it would have been.
func (p *Policy) act(d decision) smtpguard.Verdict {
	v := smtpguard.Verdict{Action: d.action, Reason: d.reason}
	if p.Monitor && d.action != smtpguard.Continue {
		v.Action, v.Reason = smtpguard.Continue, fmt.Sprintf("monitored, not %v: %s", d.action, d.reason)
		return v
	}
	switch d.action {
	case smtpguard.Reject:
		v.Reply = &smtp.SMTPError{Code: cmp.Or(d.reply, 550), EnhancedCode: d.code, Message: d.text}
	case smtpguard.Defer:
		d.code[0] = 4
		v.Reply = &smtp.SMTPError{Code: 451, EnhancedCode: d.code, Message: d.text}
	}
	return v
}

func facts(r *Result) map[string]string { return map[string]string{"result": r.String()} }

// decision is an action and why.
type decision struct {
	action smtpguard.Action
	reason string
	reply  int // of a rejection; 0 means 550
	code   smtp.EnhancedCode
	text   string // for the client: nothing of it is his own but names in normal form
}

// tooLarge is what p makes of a message whose header section is not looked through.
func (p *Policy) tooLarge() smtpguard.Verdict {
	return p.act(decision{smtpguard.Reject, ErrHeader.Error(), 552, smtp.EnhancedCode{5, 3, 4}, "Header section too large"})
}

func (p *Policy) decide(r *Result) decision {
	m := &r.DMARC
	switch {
	case m.Defect != "":
		return decision{p.bound(m.Disposition), "From: " + m.Reason, 0, smtp.EnhancedCode{5, 7, 1}, "From field with one address wanted (RFC 9989, section 11.5)"}
	case m.Result == dmarc.TempError:
		return decision{p.Temporary, "DMARC: " + m.Reason, 0, smtp.EnhancedCode{5, 4, 3}, "Policy of the author domain cannot be told now"}
	case m.Result == dmarc.Fail && m.Disposition != dmarc.NoPolicy:
		return decision{p.bound(m.Disposition), "DMARC: " + m.Reason, 0, smtp.EnhancedCode{5, 7, 26},
			fmt.Sprintf("Not authenticated as %s, whose policy is %s", m.AuthorDomain, m.Disposition)} // RFC 7372, section 3.3
	case m.Result != dmarc.Pass && r.SPF.Result == spf.Fail && !r.passedOn:
		return decision{p.SPFFail, "SPF: " + clip(r.SPF.Mechanism) + " of " + r.SPF.Where, 0, smtp.EnhancedCode{5, 7, 23}, "Client may not send for that domain (SPF)"}
	}
	return decision{}
}

// clip bounds what a domain's owner has written: a term may have 64 KiB.
func clip(text string) string {
	const most = 200
	if len(text) <= most {
		return text
	}
	return text[:most] + "…"
}

// bound is the action for a disposition.
func (p *Policy) bound(d dmarc.Policy) smtpguard.Action {
	a := smtpguard.Continue
	switch d {
	case dmarc.Quarantine:
		a = smtpguard.Quarantine
	case dmarc.Reject:
		a = smtpguard.Reject
	}
	most := p.Most
	if most == smtpguard.Continue {
		most = smtpguard.Reject
	}
	return min(a, most)
}
