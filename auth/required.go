package auth

import (
	"context"
	"slices"

	"github.com/emersion/go-smtp"
	"github.com/smtpguard/smtpguard"
)

// Required returns a check that refuses mail without a login (RFC 6409, section
// 4.3): 530 5.7.0 (RFC 4954, section 6). It holds at the named listeners; with
// none named, at all. No allow list passes over it. It asks [smtpguard.Conn.Login],
// so it goes with any backend's AUTH.
func Required(listeners ...string) smtpguard.Check {
	listeners = slices.Clone(listeners)
	return smtpguard.Check{
		Name:   "login-required",
		Always: true,
		Mail: func(_ context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
			conn := tx.Conn()
			if len(listeners) > 0 && !slices.Contains(listeners, conn.Listener()) {
				return smtpguard.Verdict{}, nil
			}
			if _, ok := conn.Login(); ok {
				return smtpguard.Verdict{}, nil
			}
			text := "Authentication required"
			if _, ok := conn.TLS(); !ok {
				text = "Authentication required, after STARTTLS" // RFC 3207, section 4
			}
			return smtpguard.Verdict{Action: smtpguard.Reject, Reply: reply(530, 0, text), Reason: "no login"}, nil
		},
	}
}

// reply is a refusal with the enhanced code 5.7.detail.
func reply(code, detail int, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{5, 7, detail}, Message: text}
}
