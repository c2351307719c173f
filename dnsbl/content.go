package dnsbl

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/address"
)

// authors are the domains of the From fields. Fields that two readers could
// understand differently have none.
func authors(msg *smtpguard.Message) (domains []string) {
	for f := range msg.Fields("From") {
		list, err := address.List(f.Value())
		if err != nil {
			continue
		}
		for _, m := range list {
			if d := strings.ToLower(m.Domain); len(domains) < maxAuthors && !slices.Contains(domains, d) {
				domains = append(domains, d)
			}
		}
	}
	return domains
}

// hops are the clients' addresses in the first n Received fields.
func hops(msg *smtpguard.Message, n int) (addrs []netip.Addr) {
	for f := range msg.Fields("Received") {
		if n--; n < 0 {
			break
		}
		if addr, ok := receivedFrom(f.Unfolded()); ok && !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// maxFrom bounds what is read of a Received field.
const maxFrom = 1024

// receivedFrom is the client's address in a Received field (RFC 5321, section
// 4.4): the last one of the from clause, for the first may be what the client
// said of itself. ok is false where there is none.
func receivedFrom(value string) (addr netip.Addr, ok bool) {
	value = value[:min(len(value), maxFrom)]
	if len(value) < 5 || !strings.EqualFold(value[:4], "from") || value[4] != ' ' && value[4] != '\t' {
		return addr, false
	}
	for word := range strings.FieldsFuncSeq(value[4:], func(r rune) bool { return strings.ContainsRune(" \t()[]<>,;=", r) }) {
		if strings.EqualFold(word, "by") {
			break
		}
		if len(word) > 5 && strings.EqualFold(word[:5], "IPv6:") {
			word = word[5:]
		}
		if a, err := netip.ParseAddr(word); err == nil && a.Zone() == "" {
			addr, ok = a.Unmap(), true
		}
	}
	return addr, ok
}
