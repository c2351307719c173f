// Package bogon tells addresses that mean the same host everywhere from those
// that do not: private, local, reserved and documentation ones.
//
//	bogon.Is(netip.MustParseAddr("192.168.1.1")) // true
//
// The lists are IANA's IPv4 and IPv6 Special-Purpose Address Registries (RFC
// 6890) and, for IPv6, what lies outside 2000::/3 (RFC 4291, section 2.4).
package bogon

import "net/netip"

// special4 is what of IPv4 has no public meaning. 192.88.99.0/24, once the 6to4
// relays (RFC 7526), is among it.
var special4 = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
)

// special6 is what of 2000::/3 has none: Teredo and other protocol assignments
// of 2001::/23, documentation (RFC 3849, RFC 9637). 6to4 is not here: see Is.
var special6 = prefixes("2001::/23", "2001:db8::/32", "3fff::/20")

var (
	global6 = netip.MustParsePrefix("2000::/3")
	sixTo4  = netip.MustParsePrefix("2002::/16")
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// Is reports whether addr has no public meaning. The zero Addr has none; an
// IPv4 address inside an IPv6 one (mapped, NAT64 of RFC 6052, 6to4 of RFC
// 3056) is judged as IPv4.
func Is(addr netip.Addr) bool {
	if !addr.IsValid() {
		return true
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return in(special4, addr)
	}
	b := addr.As16()
	switch {
	case nat64.Contains(addr):
		return in(special4, netip.AddrFrom4([4]byte(b[12:16])))
	case sixTo4.Contains(addr):
		return in(special4, netip.AddrFrom4([4]byte(b[2:6])))
	}
	return !global6.Contains(addr) || in(special6, addr)
}

func in(list []netip.Prefix, addr netip.Addr) bool {
	for _, p := range list {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
