package ldapstore

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/smtpguard/smtpguard/auth"
)

// judged turns the error of a bind with a user's password into what it means:
// [auth.ErrCredentials] where the directory judged, else that it did not.
func judged(err error) error {
	var e *ldap.Error
	if err == nil {
		return nil
	}
	if !errors.As(err, &e) {
		return fmt.Errorf("auth: ldapstore: bind: %w", err)
	}
	switch e.ResultCode {
	case ldap.LDAPResultInvalidCredentials:
		if why := windows(e); why != "" {
			return fmt.Errorf("%w: %s", auth.ErrCredentials, why)
		}
		return auth.ErrCredentials
	case ldap.LDAPResultNoSuchObject, // RFC 4511, appendix A.2, wants none of these to be told apart from the one above
		ldap.LDAPResultInappropriateAuthentication, // an entry without a password
		ldap.LDAPResultConstraintViolation,         // locked after too many guesses, at some servers
		ldap.LDAPResultUnwillingToPerform:          // inactive, at some servers
		return fmt.Errorf("%w: %w", auth.ErrCredentials, cleaned(err))
	}
	return fmt.Errorf("auth: ldapstore: bind: %w", cleaned(err))
}

// windows is what Active Directory says besides that credentials are invalid, ""
// for no more than that.
func windows(e *ldap.Error) string {
	if e.Err == nil {
		return ""
	}
	_, rest, _ := strings.Cut(e.Err.Error(), "AcceptSecurityContext error, data ")
	code, _, _ := strings.Cut(rest, ",")
	switch code { // system error codes, in hexadecimal
	case "530":
		return "not at this time"
	case "531":
		return "not from this machine"
	case "532":
		return "password expired"
	case "533":
		return "disabled"
	case "701":
		return "account expired"
	case "773":
		return "password must be changed"
	case "775":
		return "locked out"
	}
	return ""
}

// cleaned is what a server said, bounded and without control characters. Other
// errors are left as they are.
func cleaned(err error) error {
	var e *ldap.Error
	if !errors.As(err, &e) || e.ResultCode >= ldap.ErrorNetwork || e.Err == nil {
		return err
	}
	return fmt.Errorf("LDAP result %d, %s, %.200q", e.ResultCode, ldap.LDAPResultCodeMap[e.ResultCode], e.Err.Error())
}
