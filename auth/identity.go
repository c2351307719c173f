package auth

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/smtpguard/smtpguard"
)

// Identity is who logged in, and what that login is good for: need to have, no
// more. Those who hold one do not write to it.
type Identity struct {
	Login string // in normal form; a Store that leaves it empty means the one it was asked about

	// App names the app password that was used, "" for the account's own.
	App string

	// Senders are what it may send as, see [CheckSender]: "ann@example.org",
	// "*@example.org". Empty means its own address alone: the login, where that is
	// one.
	Senders []string

	Scope
	Until time.Time // when it ends; zero: never

	// Within is the account that an app password belongs to. What it may not do,
	// the app password may not either; an app password without Senders may send
	// as the account.
	Within *Identity
}

// Scope is where and how a login may be used. The zero Scope is everywhere.
type Scope struct {
	Networks   []netip.Prefix // of clients; empty: any
	Mechanisms []string       // empty: any
	Listeners  []string       // by name; empty: any
}

// refusal says why id may not log in like this, for the operator; "" when it
// may.
func (id *Identity) refusal(conn *smtpguard.Conn, mechanism string, now time.Time) string {
	for ; id != nil; id = id.Within {
		switch {
		case id.over(now):
			return fmt.Sprintf("ended at %s", id.Until.UTC().Format(time.RFC3339))
		case len(id.Mechanisms) > 0 && !slices.Contains(id.Mechanisms, mechanism):
			return "not by " + mechanism
		case len(id.Listeners) > 0 && !slices.Contains(id.Listeners, conn.Listener()):
			return fmt.Sprintf("not at the listener %q", conn.Listener())
		case len(id.Networks) > 0 && !contains(id.Networks, conn.Addr()):
			return fmt.Sprintf("not from %v", conn.Addr())
		}
	}
	return ""
}

// over reports whether id has ended, whatever it is within.
func (id *Identity) over(now time.Time) bool {
	return !id.Until.IsZero() && !now.Before(id.Until)
}

// contains reports whether one of the networks has addr. IPv4 is never mapped
// into IPv6 on either side.
func contains(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// identities is where a login leaves who it is.
var identities smtpguard.Key[*Identity]

// IdentityOf returns who has logged in on conn. ok is false before a login, after
// STARTTLS, and when somebody else than this package judged the proof.
func IdentityOf(conn *smtpguard.Conn) (id *Identity, ok bool) {
	login, in := conn.Login()
	id, _ = identities.Get(conn)
	if !in || id == nil || id.Login != login {
		return nil, false
	}
	return id, true
}
