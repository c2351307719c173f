package verify

import (
	"fmt"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/spf"
)

// judge is what follows from r for the recipients of tx.
func (v *Verifier) judge(tx *smtpguard.Transaction, r *Result) smtpguard.Verdict {
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
		return p.verdict(r)
	}
	for _, rcpt := range rcpts {
		p := v.policyOf(rcpt.Addr)
		if m := p.verdict(r); m.Action > rcpt.Mark.Action {
			rcpt.Mark = m
		}
	}
	return smtpguard.Verdict{Facts: facts(r)}
}

// verdict is what p makes of r.
func (p *Policy) verdict(r *Result) smtpguard.Verdict {
	d := p.decide(r)
	v := smtpguard.Verdict{Action: d.action, Reason: d.reason, Facts: facts(r)}
	if p.Monitor && d.action != smtpguard.Continue {
		v.Action, v.Reason = smtpguard.Continue, fmt.Sprintf("monitored, not %v: %s", d.action, d.reason)
		return v
	}
	switch d.action {
	case smtpguard.Reject:
		v.Reply = &smtp.SMTPError{Code: 550, EnhancedCode: d.code, Message: d.text}
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
	code   smtp.EnhancedCode
	text   string // for the client: nothing of it is his own but names in normal form
}

func (p *Policy) decide(r *Result) decision {
	m := &r.DMARC
	switch {
	case m.Defect != "":
		return decision{p.bound(m.Disposition), "From: " + m.Reason, smtp.EnhancedCode{5, 7, 1}, "From field with one address wanted (RFC 9989, section 11.5)"}
	case m.Result == dmarc.TempError:
		return decision{p.Temporary, "DMARC: " + m.Reason, smtp.EnhancedCode{5, 4, 3}, "Policy of the author domain cannot be told now"}
	case m.Result == dmarc.Fail && m.Disposition != dmarc.NoPolicy:
		return decision{p.bound(m.Disposition), "DMARC: " + m.Reason, smtp.EnhancedCode{5, 7, 26},
			fmt.Sprintf("Not authenticated as %s, whose policy is %s", m.AuthorDomain, m.Disposition)} // RFC 7372, section 3.3
	case m.Result != dmarc.Pass && r.SPF.Result == spf.Fail && !r.passedOn:
		return decision{p.SPFFail, "SPF: " + r.SPF.Mechanism + " of " + r.SPF.Where, smtp.EnhancedCode{5, 7, 23}, "Client may not send for that domain (SPF)"}
	}
	return decision{}
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
