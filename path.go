package smtpguard

import (
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-smtp"
)

// pathError says what is wrong with an address of MAIL or RCPT, nil when
// nothing is. go-smtp takes any octet but a space, and any length. ec is the
// enhanced code for a bad address: 5.1.7 for a sender, 5.1.3 for a recipient
// (RFC 3463, section 3.2).
func pathError(addr string, utf8OK bool, max int, ec smtp.EnhancedCode) *smtp.SMTPError {
	if len(addr) > max {
		return reply(501, ec, "Path too long") // RFC 5321, section 4.5.3.1.10
	}
	ascii := true
	for i := 0; i < len(addr); i++ {
		switch c := addr[i]; {
		case c < ' ' || c == 0x7f:
			return reply(501, ec, "Control character in address")
		case c >= 0x80:
			ascii = false
		}
	}
	if !ascii {
		if !utf8OK {
			return reply(553, smtp.EnhancedCode{5, 6, 7}, "Address needs SMTPUTF8") // RFC 6531, section 3.5
		}
		if !utf8.ValidString(addr) {
			return reply(501, ec, "Address is not valid UTF-8")
		}
	}
	if !validMailDomain(addr[strings.LastIndexByte(addr, '@')+1:]) {
		return reply(501, ec, "Bad domain in address")
	}
	return nil
}

// validMailDomain reports whether s may stand right of the @: a domain name or
// an address literal.
func validMailDomain(s string) bool { return validDomain(s) || validLiteral(s) }

// helloError says what is wrong with an EHLO identity: hostile ones are
// refused whatever the policy, odd ones by it.
func helloError(name string) (hostile, odd bool) {
	if len(name) > 255 {
		return true, true
	}
	for i := 0; i < len(name); i++ {
		if name[i] <= ' ' || name[i] >= 0x7f {
			return true, true
		}
	}
	return false, !validMailDomain(name)
}
