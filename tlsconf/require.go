package tlsconf

import (
	"context"
	"errors"
	"fmt"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
)

// Requirement says what is taken over TLS only. The zero Requirement is logins,
// and messages whose sender said so himself (REQUIRETLS, RFC 8689): these
// always are.
//
// Addresses are written "ann@example.org", which is ann+lists@example.org too,
// "example.org" for all at that domain, and "*.example.org" for all below it.
// Case does not count.
type Requirement struct {
	Mail bool     // all mail
	From []string // mail with one of these reverse-paths, "<>" being the null one
	To   []string // mail to these

	// Reports are the recipients of TLS reports, the rua= of the _smtp-tlsrpt
	// record. They take mail in clear text all the same: who cannot speak TLS with
	// us is to tell us so (RFC 8460, sections 3 and 5.3.1).
	Reports []string
}

// RequireTLS returns the check that refuses in clear text what r wants TLS for,
// with 530 5.7.0 (RFC 3207, section 4). No allow list passes over it. Where
// clients differ, [smtpguard.When] has the choice between several.
func RequireTLS(r Requirement) (smtpguard.Check, error) {
	var must requirement
	must.mail = r.Mail
	var errs []error
	for _, list := range []struct {
		field   string
		entries []string
		into    *addresses
	}{{"From", r.From, &must.from}, {"To", r.To, &must.to}, {"Reports", r.Reports, &must.reports}} {
		for i, entry := range list.entries {
			err := list.into.add(entry)
			if err == nil && entry == "<>" && list.field != "From" {
				err = errors.New("is no recipient")
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("tlsconf: Requirement.%s[%d] %q: %w", list.field, i, entry, err))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return smtpguard.Check{}, err
	}
	return smtpguard.Check{
		Name:   "requiretls",
		Always: true,
		Auth: func(_ context.Context, c *smtpguard.Conn, _ *smtpguard.AuthAttempt) (smtpguard.Verdict, error) {
			return verdict(c, "login"), nil
		},
		Mail: func(_ context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
			return verdict(tx.Conn(), must.atMail(tx)), nil
		},
		Rcpt: func(_ context.Context, tx *smtpguard.Transaction, rcpt *smtpguard.Recipient) (smtpguard.Verdict, error) {
			return verdict(tx.Conn(), must.atRcpt(tx, rcpt)), nil
		},
	}, nil
}

// requirement is a compiled Requirement.
type requirement struct {
	mail              bool
	from, to, reports addresses
}

// atMail says what of the MAIL command wants TLS, "" for nothing. Where there
// are recipients of reports, much is only known when those of the mail are.
func (r *requirement) atMail(tx *smtpguard.Transaction) string {
	switch {
	case tx.Opts().RequireTLS:
		return "mail with REQUIRETLS"
	case r.reports.empty():
		return r.ofSender(tx)
	}
	return ""
}

func (r *requirement) ofSender(tx *smtpguard.Transaction) string {
	switch {
	case r.mail:
		return "mail"
	case r.from.has(tx.From()):
		return "mail from this sender"
	}
	return ""
}

func (r *requirement) atRcpt(tx *smtpguard.Transaction, rcpt *smtpguard.Recipient) string {
	switch {
	case r.reports.has(rcpt.Addr):
		return ""
	case r.to.has(rcpt.Addr):
		return "mail to this recipient"
	}
	return r.ofSender(tx)
}

// verdict refuses what wants TLS where c has none.
func verdict(c *smtpguard.Conn, what string) smtpguard.Verdict {
	if what == "" {
		return smtpguard.Verdict{}
	}
	if _, ok := c.TLS(); ok {
		return smtpguard.Verdict{}
	}
	return smtpguard.Verdict{
		Action: smtpguard.Reject,
		Reply:  &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Must issue a STARTTLS command first"},
		Reason: what + " in clear text",
	}
}
