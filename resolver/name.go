package resolver

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// maxName and maxLabel bound names in octets, without the trailing dot (RFC
// 1035, section 2.3.4).
const (
	maxName  = 253
	maxLabel = 63
)

var (
	errEmpty     = errors.New("empty name or label")
	errLong      = errors.New("name over 253 octets or label over 63")
	errCharacter = errors.New("character that no name we ask for has")
	errAddress   = errors.New("no address")
)

// question is what is asked: records of a type at a name in normal form.
type question struct {
	name string
	typ  uint16
}

// normal returns the normal form of name: lower case, A-labels, no trailing dot.
// Besides the letters of host names it lets through what local parts of
// addresses have, because SPF's macros (RFC 7208, section 7) make names of
// those. Control characters, spaces, quotes and backslashes it refuses.
func normal(name string) (string, error) {
	name = strings.TrimSuffix(name, ".")
	label, upper := 0, false
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		case c == '.':
			if err := checkLabel(i - label); err != nil {
				return "", err
			}
			label = i + 1
		case c >= 'A' && c <= 'Z':
			upper = true
		case c >= 0x80:
			return domain.Normal(name)
		case strings.IndexByte("!#$%&'*+/=?^`{|}~", c) < 0:
			return "", errCharacter
		}
	}
	if err := checkLabel(len(name) - label); err != nil {
		return "", err
	}
	if len(name) > maxName {
		return "", errLong
	}
	if upper {
		name = strings.ToLower(name)
	}
	return name, nil
}

func checkLabel(length int) error {
	switch {
	case length == 0:
		return errEmpty
	case length > maxLabel:
		return errLong
	}
	return nil
}

// hostName reports whether a name in an answer is one to hand on: the letters of
// host names, or the root, by which records say "none" (RFC 7505, RFC 2782). It
// is absolute.
func hostName(name string) bool {
	if name == "." {
		return true
	}
	label := 0
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		case c == '.' && i > label:
			label = i + 1
		default:
			return false
		}
	}
	return label == len(name) && len(name) > 0 && len(name) <= maxName+1
}

// reverse returns the name at which the PTR records of addr are (RFC 1035,
// section 3.5, and RFC 3596, section 2.5).
func reverse(addr netip.Addr) string {
	const digits = "0123456789abcdef"
	addr = addr.Unmap()
	if addr.Is4() {
		a := addr.As4()
		return netip.AddrFrom4([4]byte{a[3], a[2], a[1], a[0]}).String() + ".in-addr.arpa"
	}
	a := addr.As16()
	name := make([]byte, 0, 4*len(a)+len("ip6.arpa"))
	for i := len(a) - 1; i >= 0; i-- {
		name = append(name, digits[a[i]&15], '.', digits[a[i]>>4], '.')
	}
	return string(append(name, "ip6.arpa"...))
}
