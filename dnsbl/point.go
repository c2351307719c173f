package dnsbl

import (
	"fmt"
	"net/netip"

	"github.com/smtpguard/smtpguard/internal/dnslist"
	"github.com/smtpguard/smtpguard/internal/domain"
)

// points are what RFC 5782 has listed, and not, in every list of one kind
// (sections 2.1, 2.3, 2.4 and 5).
var points = []struct {
	kind             Kind
	listed, unlisted string
}{
	{IPv4, "127.0.0.2", "127.0.0.1"},
	{IPv6, "::ffff:7f00:2", "::ffff:7f00:1"},
	{Domains, "test", "invalid"},
}

// compileTests makes the names by which the zone's health is told. A list of several kinds must have the
// first one's listed point, and none of the unlisted ones.
func (z *zone) compileTests(bad func(field, why string)) {
	name := func(field, point string) string {
		s, ok := z.testName(point)
		if !ok {
			bad(field, fmt.Sprintf("%q is nothing the zone lists", point))
		}
		return s
	}
	switch {
	case z.TestListed == "-":
	case z.TestListed != "":
		z.list.Listed = name("TestListed", z.TestListed)
	default:
		for _, p := range points {
			if z.Lists&p.kind != 0 {
				z.list.Listed = name("TestListed", p.listed)
				break
			}
		}
	}
	switch {
	case z.TestUnlisted == "-":
	case z.TestUnlisted != "":
		z.list.Unlisted = []string{name("TestUnlisted", z.TestUnlisted)}
	default:
		for _, p := range points {
			if z.Lists&p.kind != 0 {
				z.list.Unlisted = append(z.list.Unlisted, name("TestUnlisted", p.unlisted))
			}
		}
	}
}

// testName is what is asked for a point of test.
func (z *zone) testName(point string) (string, bool) {
	if addr, err := netip.ParseAddr(point); err == nil {
		// A mapped address is IPv6 here, as RFC 5782 has it.
		if addr.Is4() && z.Lists&IPv4 == 0 || addr.Is6() && z.Lists&IPv6 == 0 || addr.Zone() != "" {
			return "", false
		}
		return string(dnslist.AppendAddr(nil, addr)), true
	}
	name, err := domain.Normal(point)
	return name, err == nil && z.Lists&Domains != 0
}
