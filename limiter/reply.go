package limiter

import (
	"time"

	"github.com/emersion/go-smtp"
)

// reply is short for a reply of three parts. Ours follow RFC 5321, section 4.2.3,
// RFC 4954, section 6 (454 at AUTH), and RFC 3463: X.7.0 and X.7.1 for policy, 4.3.2
// where there is too much to do. They name no figures, keys or rules: those are
// for the operator.
func reply(code, class, subject, detail int, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{class, subject, detail}, Message: text}
}

// rough is d as operators read it: whole seconds, from 1 on.
func rough(d time.Duration) string {
	if d == Never {
		return "never"
	}
	return max(d.Round(time.Second), time.Second).String()
}
