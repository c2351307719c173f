package maildir

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// maxName bounds a name in octets: file systems take 255.
const maxName = 200

// Name is s as one path element: any s has a name of its own, but for case and
// Unicode normalization, and no name leads out of its folder, is hidden, or is a
// Maildir's own. Octets other than a-z, 0-9, - and _ are written %xx, as is a
// dot at the start; what is too long ends in a hash of the whole.
func Name(s string) string {
	s = strings.ToLower(norm.NFC.String(s))
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	switch name := b.String(); {
	case name == "":
		return "%" // no escape is that short
	case name == "tmp" || name == "new" || name == "cur":
		return fmt.Sprintf("%%%02x%s", name[0], name[1:])
	case len(name) > maxName:
		sum := sha256.Sum256([]byte(s))
		return name[:maxName-2*len(sum)-2] + "%-" + hex.EncodeToString(sum[:])
	default:
		return name
	}
}

// User is the part of a local part that names a user: what comes before the
// first plus sign (RFC 5233), unless it comes first.
func User(localPart string) string {
	if i := strings.IndexByte(localPart, '+'); i > 0 {
		return localPart[:i]
	}
	return localPart
}
