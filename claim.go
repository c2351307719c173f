package smtpguard

import (
	"bytes"
	"strings"
	"unicode"
)

// claimed reads the login that an AUTH exchange names from the client's first
// response, initial or not; a later one may be a password. It is a claim:
// nothing is proven yet. ok is false where the response names none.
func claimed(mechanism string, first []byte) (login string, ok bool) {
	switch {
	case mechanism == "PLAIN": // RFC 4616, section 2: authzid NUL authcid NUL password
		if parts := bytes.Split(first, []byte{0}); len(parts) == 3 && len(parts[1]) > 0 {
			return string(parts[1]), true
		}
	case mechanism == "CRAM-MD5": // RFC 2195, section 2: login SP digest
		if i := bytes.LastIndexByte(first, ' '); i > 0 {
			return string(first[:i]), true
		}
	case strings.HasPrefix(mechanism, "SCRAM-"): // RFC 5802, section 7: gs2-cbind "," [a=] "," n= "," r=
		if parts := strings.SplitN(string(first), ",", 4); len(parts) == 4 {
			if name, ok := strings.CutPrefix(parts[2], "n="); ok && name != "" {
				return saslName(name), true
			}
		}
	case mechanism == "OAUTHBEARER": // RFC 7628, section 3.1: gs2-header, a= optional
		if parts := strings.SplitN(string(first), ",", 3); len(parts) == 3 {
			if name, ok := strings.CutPrefix(parts[1], "a="); ok && name != "" {
				return saslName(name), true
			}
		}
	case mechanism == "XOAUTH2":
		if user, _, ok := strings.Cut(string(first), "\x01"); ok { // else the token would be in it
			if name, ok := strings.CutPrefix(user, "user="); ok && name != "" {
				return name, true
			}
		}
	case mechanism == "LOGIN", // the login itself
		mechanism == "EXTERNAL": // RFC 4422, appendix A: the authorization identity
		// With control characters it is the message of another mechanism, and has a
		// password or a token in it.
		if len(first) > 0 && bytes.IndexFunc(first, unicode.IsControl) < 0 {
			return string(first), true
		}
	}
	return "", false
}

// saslName undoes the escapes of a saslname (RFC 5802, section 5.1).
func saslName(s string) string {
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(s)
}

// asksLogin reports whether a challenge of LOGIN asks for the login: mostly it
// is "Username:", in older servers "User Name" with a NUL behind it.
func asksLogin(challenge []byte) bool { return hasPrefixFold(challenge, "USER") }
