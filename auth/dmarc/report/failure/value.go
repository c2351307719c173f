package failure

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// word is the first word of a value, comments left out.
func word(value string) string {
	for strings.HasPrefix(value, "(") {
		_, value = cutComment(value)
		value = strings.TrimSpace(value)
	}
	if end := strings.IndexAny(value, " ("); end >= 0 {
		value = value[:end]
	}
	return value
}

// source reads an address, which some have in brackets or with its name.
func source(value string) netip.Addr {
	for text := range strings.FieldsFuncSeq(value, func(r rune) bool { return strings.ContainsRune(" ()[]<>", r) }) {
		if addr, err := netip.ParseAddr(strings.TrimPrefix(strings.ToLower(text), "ipv6:")); err == nil {
			return addr.Unmap().WithZone("")
		}
	}
	return netip.Addr{}
}

// number reads a number, 0 for what is none of that size.
func number[N uint16 | int32](text string) N {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || int64(N(n)) != n {
		return 0
	}
	return N(n)
}

// methods reads the list of Identity-Alignment.
func methods(value string) []string {
	var list []string
	for item := range strings.SplitSeq(value, ",") {
		if m := word(strings.TrimSpace(item)); (m == "dkim" || m == "spf") && !slices.Contains(list, m) {
			list = append(list, m)
		}
	}
	return list
}

// spfDNS reads a type, a domain and a record in quotes, with colons between them.
// Some leave out this or that.
func spfDNS(value string) (Policy, bool) {
	head, record, found := strings.Cut(value, `"`)
	if found {
		record = unquote(record)
	} else if at := strings.Index(value, "v=spf1"); at >= 0 {
		head, record = value[:at], strings.TrimSpace(value[at:])
	} else {
		return Policy{}, false
	}
	var p Policy
	for item := range strings.FieldsFuncSeq(head, func(r rune) bool { return r == ' ' || r == ':' }) {
		if item = strings.ToLower(item); item != "txt" && item != "spf" {
			p.Domain = item
		}
	}
	p.Record = record
	return p, true
}

// unquote returns the rest of a quoted string whose first quote was cut off.
func unquote(s string) string {
	var b strings.Builder
	for i := 0; i < len(s) && s[i] != '"'; i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
