package relay

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/smtpguard/smtpguard/internal/peer"
)

// grant is a compiled Grant.
type grant struct {
	name         string
	networks     []netip.Prefix
	logins       map[string]bool
	certificates map[string]bool
	listeners    []string
	to           table
	anywhere     bool
}

// compile fills g from what the operator wrote.
func (g *grant) compile(from *Grant, bad func(field string, err error)) {
	g.listeners = slices.Clone(from.Listeners)
	for i, p := range from.Networks {
		p, err := network(p)
		bad(fmt.Sprintf("Networks[%d] %v", i, from.Networks[i]), err)
		g.networks = append(g.networks, p)
	}
	g.logins = make(map[string]bool)
	for i, l := range from.Logins {
		if l == "" {
			bad(fmt.Sprintf("Logins[%d]", i), errors.New("is empty"))
		}
		g.logins[l] = true
	}
	g.certificates = make(map[string]bool)
	for i, c := range from.Certificates {
		name, err := peer.Normal(c)
		bad(fmt.Sprintf("Certificates[%d] %q", i, c), err)
		g.certificates[name] = true
	}
	if len(from.Networks)+len(from.Logins)+len(from.Certificates) == 0 {
		bad("no network, login or certificate", errors.New("fits nobody"))
	}
	for i, s := range from.To {
		if s == "*" {
			g.anywhere = true
			continue
		}
		bad(fmt.Sprintf("To[%d] %q", i, s), g.to.add(s, Outbound))
	}
	if len(from.To) == 0 {
		bad("To", errors.New(`is empty: say "*" for everywhere`))
	}
}

// network returns p as client addresses are: IPv4 never mapped into IPv6.
func network(p netip.Prefix) (netip.Prefix, error) {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	switch {
	case !p.IsValid():
		return p, errors.New("is no network")
	case p.Bits() == 0:
		return p, errors.New("fits everybody: that is an open relay")
	}
	return p.Masked(), nil
}

// fits reports whether the grant is for c.
func (g *grant) fits(c *Client) bool {
	if len(g.listeners) > 0 && !slices.Contains(g.listeners, c.Listener) {
		return false
	}
	if c.LoggedIn && (g.logins["*"] || g.logins[c.Login]) {
		return true
	}
	for _, name := range c.Certificates {
		if g.certificates[name] {
			return true
		}
	}
	addr := c.Addr.Unmap().WithZone("") // a prefix contains no address with a zone
	for _, p := range g.networks {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// covers reports whether the grant reaches name, which is in normal form.
func (g *grant) covers(name string) bool {
	if g.anywhere && name[0] != '[' {
		return true
	}
	_, ok := g.to.find(name)
	return ok
}
