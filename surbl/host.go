package surbl

import (
	"bytes"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// host is what a host as written stands for.
type host struct {
	name   string // A-labels in lower case, "" for an address
	addr   netip.Addr
	domain string // registered
	listed bool   // name ends in a suffix of the list
	suffix bool   // and is one
	hidden Hidden
}

// text is the name or the address.
func (h *host) text() string {
	if h.name == "" {
		return h.addr.String()
	}
	return h.name
}

// host reads a host as browsers do (WHATWG URL, section 3.5): percent encoding,
// compatibility forms and addresses in every form. ok is false for what no
// browser would connect to.
func (x *Extractor) host(written []byte) (h host, ok bool) {
	if written[0] == '[' {
		addr, err := netip.ParseAddr(strings.Trim(string(written), "[]"))
		if err != nil || !addr.Is6() {
			return h, false
		}
		h.addr = addr.Unmap().WithZone("")
		return h, true
	}
	name, simple := plainName(written)
	if !simple {
		if name, h.hidden, ok = decodeHost(written); !ok {
			return h, false
		}
	}
	if addr, form, is := parseIPv4(name); is {
		if !addr.IsValid() {
			return h, false
		}
		h.addr = addr
		h.hidden |= form
		return h, true
	}
	if !simple || strings.Contains(name, "xn--") {
		normal, err := domain.Normal(name)
		if err != nil {
			return h, false
		}
		name = normal
		h.hidden |= scripts(name)
	}
	h.name = name
	h.domain, h.suffix, h.listed = x.suffixes.Load().registered(name)
	return h, true
}

// plainName returns the name where it is of letters, digits, hyphens and
// underscores in labels, as nearly all are, in lower case. simple is false
// where more must be done, or where it is no name.
func plainName(b []byte) (name string, simple bool) {
	b = bytes.TrimSuffix(b, []byte("."))
	if len(b) == 0 || len(b) > 253 {
		return "", false
	}
	upper, label := false, 0
	for i, c := range b {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_':
			label++
		case c >= 'A' && c <= 'Z':
			label++
			upper = true
		case c == '-':
			if label == 0 || i+1 == len(b) || b[i+1] == '.' {
				return "", false
			}
			label++
		case c == '.':
			if label == 0 || label > 63 {
				return "", false
			}
			label = 0
		default:
			return "", false
		}
	}
	if label == 0 || label > 63 {
		return "", false
	}
	if upper {
		return strings.ToLower(string(b)), true
	}
	return string(b), true
}

// decodeHost undoes percent encoding and drops what has no width.
func decodeHost(b []byte) (name string, h Hidden, ok bool) {
	for round := 0; bytes.IndexByte(b, '%') >= 0; round++ {
		decoded, n := percent(b)
		if n == 0 || round == 3 {
			return "", 0, false
		}
		h |= Encoded
		if round > 0 {
			h |= Doubled
		}
		b = decoded
	}
	if !utf8.Valid(b) {
		return "", 0, false
	}
	var out strings.Builder
	for _, r := range string(b) {
		switch {
		case invisible(r):
			h |= Invisible
		case r == 0x3002 || r == 0xff61 || r == 0xff0e || r == 0x2024 || r == 0xfe52:
			h |= Compatible
			out.WriteByte('.')
		default:
			out.WriteRune(r)
		}
	}
	name = out.String()
	if compatible := domain.Compatible(name); compatible != name {
		// Accents written apart are no disguise, letters of other widths are.
		for i := 0; i < len(compatible); i++ {
			if !isLabel(compatible[i]) && compatible[i] != '.' && compatible[i] < utf8.RuneSelf {
				return "", 0, false
			}
		}
		if ascii(compatible) || wide(name) {
			h |= Compatible
		}
		name = compatible
	}
	for strings.HasSuffix(name, ".") {
		name = name[:len(name)-1]
	}
	return strings.ToLower(name), h, name != ""
}

// wide reports whether s has letters of the blocks that exist for width and
// style alone.
func wide(s string) bool {
	for _, r := range s {
		if r >= 0xff00 && r <= 0xffef || r >= 0x1d400 && r <= 0x1d7ff || r >= 0x2460 && r <= 0x24ff {
			return true
		}
	}
	return false
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// invisible reports whether r takes no room where text is shown: soft hyphens,
// joiners, marks of direction, selectors of variants.
func invisible(r rune) bool {
	switch {
	case r < 0x00ad:
		return false
	case r == 0x00ad, r == 0x034f, r == 0x061c, r == 0x180e, r == 0xfeff,
		r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e,
		r >= 0x2060 && r <= 0x206f, r >= 0xfe00 && r <= 0xfe0f, r >= 0xe0000 && r <= 0xe0fff:
		return true
	}
	return false
}

// percent undoes percent encoding once, and says how often it occurred.
func percent(b []byte) (out []byte, n int) {
	out = make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '%' && i+2 < len(b) {
			if hi, lo := unhex(b[i+1]), unhex(b[i+2]); hi < 16 && lo < 16 {
				out = append(out, hi<<4|lo)
				i += 2
				n++
				continue
			}
		}
		out = append(out, b[i])
	}
	return out, n
}

// unhex is the value of a hexadecimal digit, 255 for what is none.
func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 255
}

// isLabel reports whether c is an octet of a label as written in ASCII.
func isLabel(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// parseIPv4 reads a name whose last label is a number, as inet_aton and
// browsers do (WHATWG URL, section 3.5): up to four numbers, decimal, octal or
// hexadecimal, the last of which fills what is left. is says that name is
// meant as an address; addr is then the zero Addr where it is not valid.
func parseIPv4(name string) (addr netip.Addr, form Hidden, is bool) {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if _, ok := number(last); !ok && !digits(last) {
		return addr, 0, false
	}
	parts, odd := 0, false
	for part := range strings.SplitSeq(name, ".") {
		if _, ok := number(part); !ok || parts == 4 {
			return addr, 0, true
		}
		parts++
		odd = odd || len(part) > 1 && part[0] == '0'
	}
	var value uint64
	i := 0
	for part := range strings.SplitSeq(name, ".") {
		n, _ := number(part)
		if i++; i < parts {
			if n > 255 {
				return addr, 0, true
			}
			value = value<<8 | n
			continue
		}
		room := 8 * (5 - parts)
		if n >= 1<<room {
			return addr, 0, true
		}
		value = value<<room | n
	}
	if parts != 4 || odd {
		form = Number
	}
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}), form, true
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// number reads one number of an IPv4 address; ok is false beyond 32 bits.
func number(s string) (n uint64, ok bool) {
	base := uint64(10)
	switch {
	case len(s) >= 2 && s[0] == '0' && s[1]|0x20 == 'x':
		s, base = s[2:], 16
		if s == "" {
			return 0, true
		}
	case len(s) > 1 && s[0] == '0':
		s, base = s[1:], 8
	}
	if s == "" {
		return 0, false
	}
	for i := 0; i < len(s); i++ {
		d := uint64(unhex(s[i]))
		if d >= base {
			return 0, false
		}
		if n = n*base + d; n > 1<<32-1 {
			return 0, false
		}
	}
	return n, true
}
