package dnsbl

import (
	"context"
	"net/netip"

	"github.com/smtpguard/smtpguard/internal/dnslist"
)

// Raw looks addr up whatever it means, IPv4-mapped addresses as IPv6, and
// fetches what the first list has to say of it.
func (l *Lists) Raw(ctx context.Context, addr netip.Addr) (Result, string) {
	kind := IPv4
	if addr.Is6() {
		kind = IPv6
	}
	var q questions
	q.add(l.zones, kind, subject{addr: addr}, dnslist.AppendAddr(nil, addr))
	res := l.ask(ctx, &q, 0, false)
	if len(res.Listings) == 0 {
		return res, ""
	}
	return res, l.text(ctx, &res.Listings[0])
}

// ReceivedFrom is receivedFrom.
func ReceivedFrom(value string) (netip.Addr, bool) { return receivedFrom(value) }

// Tested reports whether every zone has been tested.
func (l *Lists) Tested() bool {
	for _, z := range l.zones {
		if z.state.tests.Load() == 0 {
			return false
		}
	}
	return true
}
