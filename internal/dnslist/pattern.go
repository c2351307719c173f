package dnslist

import (
	"errors"
	"strconv"
	"strings"
)

// Pattern says which answers of a list have one meaning.
type Pattern struct {
	low, high [4]byte // for each octet
	mask      byte    // of the last octet, all of whose bits must be set; 0 for a range
}

var (
	errOctets   = errors.New("not four octets with dots between them")
	errOctet    = errors.New("an octet is a number up to 255, a range 4-7, or * for all; the last may be a bit, &8")
	errLoopback = errors.New("does not begin with 127: outside of 127.0.0.0/8 nothing is a listing")
	errReserved = errors.New("is in 127.255.255.0/24, where answers are errors")
)

// ParsePattern reads "127.0.0.2", with ranges "127.0.2-15.3", with any octet
// "127.0.*.1", or with bits of the last octet that must all be set,
// "127.0.0.&8".
func ParsePattern(s string) (p Pattern, err error) {
	octets := strings.Split(s, ".")
	if len(octets) != 4 {
		return p, errOctets
	}
	for i, o := range octets {
		if bits, ok := strings.CutPrefix(o, "&"); ok && i == 3 {
			n, err := octet(bits)
			if err != nil || n == 0 {
				return p, errOctet
			}
			p.mask, p.high[i] = n, 255
			continue
		}
		if o == "*" {
			p.high[i] = 255
			continue
		}
		low, high, ranged := strings.Cut(o, "-")
		if !ranged {
			high = low
		}
		if p.low[i], err = octet(low); err != nil {
			return p, err
		}
		if p.high[i], err = octet(high); err != nil {
			return p, err
		}
		if p.low[i] > p.high[i] {
			return p, errOctet
		}
	}
	if p.low[0] != 127 || p.high[0] != 127 {
		return p, errLoopback
	}
	return p, nil
}

func octet(s string) (byte, error) {
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || len(s) > 1 && s[0] == '0' {
		return 0, errOctet
	}
	return byte(n), nil
}

// fits reports whether an answer is among those of p.
func (p *Pattern) fits(a [4]byte) bool {
	for i := range a {
		if a[i] < p.low[i] || a[i] > p.high[i] {
			return false
		}
	}
	return p.mask == 0 || a[3]&p.mask == p.mask
}

// single reports whether p names one answer and no other.
func (p *Pattern) single() bool { return p.mask == 0 && p.low == p.high }

// reserved reports whether all answers of p are errors by convention.
func (p *Pattern) reserved() bool { return p.low[1] == 255 && p.low[2] == 255 }
