package limiter

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/smtpguard/smtpguard"
)

// Bits tells client networks apart: by how many leading bits of an address. The
// zero value of a field means its default, which is what one host can number
// freely.
type Bits struct {
	V4 int // 32
	V6 int // 64
}

// of is the network of addr; the zero Prefix for the zero Addr, so that clients
// whose address nobody knows are one network. b must be valid.
func (b Bits) of(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return netip.Prefix{}
	}
	bits := b.V6
	if addr.Is4() {
		bits = b.V4
		if bits == 0 {
			bits = 32
		}
	} else if bits == 0 {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // fails only for bits that validate refuses
	return p
}

func (b Bits) validate() error {
	switch {
	case b.V4 < 0 || b.V4 > 32:
		return errors.New("V4: must be between 0 and 32")
	case b.V6 < 0 || b.V6 > 128:
		return errors.New("V6: must be between 0 and 128")
	}
	return nil
}

// wide is the network that stands for many others where a store has no room for
// each of them.
func wide(addr netip.Addr) netip.Prefix { return Bits{V4: 16, V6: 32}.of(addr) }

// Clients selects clients: those that any of its fields fits. The zero Clients
// fits nobody.
type Clients struct {
	Networks []netip.Prefix
	Logins   []string            // as proven, compared octet by octet; "*" is anybody with a login
	Match    smtpguard.Predicate // anything else, an allow list's word say
}

// empty reports whether c is the zero Clients.
func (c *Clients) empty() bool { return len(c.Networks) == 0 && len(c.Logins) == 0 && c.Match == nil }

func (c *Clients) fits(conn *smtpguard.Conn, tx *smtpguard.Transaction, rcpt *smtpguard.Recipient) bool {
	if within(c.Networks, conn.Addr()) {
		return true
	}
	if len(c.Logins) > 0 {
		if login, ok := conn.Login(); ok && (slices.Contains(c.Logins, "*") || login != "" && slices.Contains(c.Logins, login)) {
			return true
		}
	}
	return c.Match != nil && c.Match(conn, tx, rcpt)
}

func (c *Clients) validate() error {
	if slices.Contains(c.Logins, "") {
		return errors.New("one of Logins is empty")
	}
	if err := networks(c.Networks); err != nil {
		return fmt.Errorf("in Networks %w", err)
	}
	return nil
}

// within reports whether addr is in one of the networks. The zero Addr is in
// none.
func within(ps []netip.Prefix, addr netip.Addr) bool {
	for _, p := range ps {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// networks says what is wrong with ps.
func networks(ps []netip.Prefix) error {
	for i, p := range ps {
		if !p.IsValid() || p.Addr().Is4In6() { // which no address of a connection is
			return fmt.Errorf("the one at %d is no network", i)
		}
	}
	return nil
}
