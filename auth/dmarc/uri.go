package dmarc

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// maxURIs bounds the addresses kept of one tag. RFC 9990 lets a receiver limit
// to how many it reports.
const maxURIs = 16

// uris reads the list of rua or ruf, without what is no URI in it.
func uris(value string) []URI {
	if value == "" {
		return nil
	}
	var list []URI
	for part := range strings.SplitSeq(value, ",") {
		if u, ok := parseURI(trim(part)); ok && len(list) < maxURIs {
			list = append(list, u)
		}
	}
	return list
}

// parseURI reads one reporting URI (RFC 9989, section 4.8).
func parseURI(text string) (u URI, ok bool) {
	text, size, sized := strings.Cut(text, "!") // which an URI must have encoded
	if sized {
		if u.MaxOctets, ok = octets(size); !ok {
			return URI{}, false
		}
	}
	u.Text = text
	scheme, rest, found := strings.Cut(text, ":")
	if !found || !isScheme(scheme) || rest == "" || strings.ContainsAny(rest, " \t\"<>\\^`{|}") {
		return URI{}, false
	}
	if !strings.EqualFold(scheme, "mailto") {
		_, err := url.Parse(text)
		return u, err == nil
	}
	address, _, _ := strings.Cut(rest, "?") // header fields (RFC 6068, section 2)
	address, err := url.PathUnescape(address)
	if err != nil || strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r == 0x7f || r == ',' }) {
		return URI{}, false
	}
	at := strings.LastIndexByte(address, '@')
	if at <= 0 || strings.ContainsRune(address[:at], '@') {
		return URI{}, false
	}
	if u.Domain, err = domain.Normal(address[at+1:]); err != nil {
		return URI{}, false
	}
	u.Address = address
	return u, true
}

// isScheme follows RFC 3986, section 3.1.
func isScheme(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", rune(c))) {
			return false
		}
	}
	return s != ""
}

// octets reads the obsolete size: a number and k, m, g or t for a power of 1,024.
func octets(size string) (n int64, ok bool) {
	shift := 0
	if size != "" {
		if i := strings.IndexByte("kmgt", size[len(size)-1]|0x20); i >= 0 {
			shift, size = 10*(i+1), size[:len(size)-1]
		}
	}
	u, err := strconv.ParseUint(size, 10, 63)
	if err != nil || u > 1<<62>>shift {
		return 0, false
	}
	return int64(u) << shift, true
}
