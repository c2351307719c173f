package smtpguard

import "strings"

// validHostname reports whether name may stand as our own name in a field; ""
// may, and means another source.
func validHostname(name string) bool { return name == "" || validDomain(name) }

// validDomain reports whether name is a domain name as mail uses it (RFC 5321,
// section 4.1.2): labels of letters, digits, hyphens, or non-ASCII characters
// (RFC 6531), no hyphen at a label's end, at most 63 octets a label and 255 in
// all. Underscores are let through: many real names have them.
func validDomain(name string) bool {
	if name == "" || len(name) > 255 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := 0; i < len(label); i++ {
			switch c := label[i]; {
			case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c >= 0x80:
			default:
				return false
			}
		}
	}
	return true
}
