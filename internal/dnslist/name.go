// Package dnslist is what everything that asks DNS lists has in common (RFC
// 5782): the names to ask for, what the answers mean, and keeping a paid key in
// a zone's name to ourselves.
//
//	name := string(dnslist.AppendAddr(nil, addr)) + ".zen.example.net."
//	set, err := codes.Read(answers)
package dnslist

import (
	"net/netip"
	"strconv"
)

// AppendAddr appends addr as it stands before a zone's name: the octets of an
// IPv4 address in reverse, or the 32 nibbles of an IPv6 one (RFC 5782, sections
// 2.1 and 2.4), with a dot between each two and none at the end. An IPv4-mapped
// address is IPv6 here: unmap it first. It appends nothing for the zero Addr.
func AppendAddr(b []byte, addr netip.Addr) []byte {
	switch {
	case addr.Is4():
		a := addr.As4()
		for i := 3; i >= 0; i-- {
			b = strconv.AppendUint(b, uint64(a[i]), 10)
			if i > 0 {
				b = append(b, '.')
			}
		}
	case addr.Is6():
		const digits = "0123456789abcdef"
		a := addr.As16()
		for i := 15; i >= 0; i-- {
			b = append(b, digits[a[i]&15], '.', digits[a[i]>>4])
			if i > 0 {
				b = append(b, '.')
			}
		}
	}
	return b
}

// Hide returns text with every occurrence of secret, whatever its case, made
// unreadable. The secret is ASCII; "" hides nothing.
func Hide(text, secret string) string {
	if secret == "" || len(text) < len(secret) {
		return text
	}
	var out []byte // nil until something is found
	from := 0
	for i := 0; i+len(secret) <= len(text); {
		if !equalFold(text[i:i+len(secret)], secret) {
			i++
			continue
		}
		out = append(append(out, text[from:i]...), "***"...)
		i += len(secret)
		from = i
	}
	if out == nil {
		return text
	}
	return string(append(out, text[from:]...))
}

// equalFold compares two strings of one length, letters of ASCII whatever
// their case: strings.EqualFold would let a rune of two octets be a letter.
func equalFold(a, b string) bool {
	for i := 0; i < len(a); i++ {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}
