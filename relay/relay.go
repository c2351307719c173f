// Package relay answers: may this client send mail there?
//
//	r, err := relay.New(relay.Rules{
//		Local:   []string{"example.org", "*.example.org"},
//		Relayed: []string{"example.net"}, // we are its backup MX
//		Grants:  []relay.Grant{{Name: "staff", Logins: []string{"*"}, To: []string{"*"}}},
//	})
//	guard, err := smtpguard.New(smtpguard.Config{}, r.Check())
//
// Everybody may send to the domains we deliver or take mail for; only who has
// a [Grant] may send anywhere else. Nobody has one by default, loopback and
// private networks included, and a reverse-path, the null one included, never
// gives one. [Relay.Decide] is the pure core and needs no server.
//
// Recipients are judged by their final mailbox: the domain behind the last '@',
// in normal form, whatever its case, trailing dot or spelling (A-labels or
// U-labels). A client that may not relay anywhere is also refused local parts
// that another host could read as a route: user%foreign@ours, foreign!user@ours,
// "user@foreign"@ours. Rules.LocalPart has exceptions.
//
// It follows RFC 5321 (sections 3.6 on relaying, 4.1.2 and 4.1.3 on addresses,
// 4.5.1 on postmaster, 7.9 on refusing) and RFC 6531 on internationalized
// addresses. RFC 1123, section 5.2.16, has the percent hack.
package relay

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Rules says who may relay where. The zero Rules refuses everything.
//
// A domain is written "example.org", for itself alone, or "*.example.org", for
// all that is below it, at any depth, but not itself; an address literal as in
// mail, "[192.0.2.1]" or "[IPv6:2001:db8::1]". Literals are only fitted by
// entries that name them. Of several entries that fit, the longest counts.
//
// The listener completes a bare RCPT TO:<postmaster> with the server's own name:
// have that in Local, or it is refused.
type Rules struct {
	Local   []string // domains we deliver: our own
	Relayed []string // domains we take mail for, to pass it on
	Grants  []Grant  // who may send elsewhere

	// LocalPart are characters that local parts at our own domains may have
	// although they are used for tricks, out of %!:;,"()<>[]\ and space. Local
	// parts with '@' stay refused.
	LocalPart string

	// Recipients reports whether addr, at one of the Local domains, exists. An
	// error, or a panic, defers the mail. addr is the local part as received,
	// unquoted, and the domain in lower case with A-labels. It is asked from
	// several goroutines, once at a time for an address, and its context ends
	// when nobody waits for the answer any more. postmaster exists everywhere
	// (RFC 5321, section 4.5.1). With nil, every local part exists.
	Recipients func(ctx context.Context, addr string) (bool, error)

	// RelayedRecipients is the same for the Relayed domains. Without it we accept
	// what the next host may refuse, and have to bounce it.
	RelayedRecipients func(ctx context.Context, addr string) (bool, error)

	Cache Cache
}

// Grant lets some clients send to some domains: the clients that fit any of
// Networks, Logins and Certificates.
type Grant struct {
	Name         string // names the rule in decisions; "" means its place in Rules.Grants
	Networks     []netip.Prefix
	Logins       []string // as proven, compared octet by octet; "*" is anybody with a login
	Certificates []string // of TLS clients, as [CertificateNames] writes them
	Listeners    []string // names of the listeners on which the grant holds; empty means all
	To           []string // domains as in Rules, "*" for all of them; empty is an error
}

// Cache bounds what is remembered of Rules.Recipients. The zero value of a
// field means its default; failed lookups are never kept.
type Cache struct {
	Known   time.Duration // how long an existing recipient is; 5 minutes, negative: not kept
	Unknown time.Duration // how long one that does not exist is; 30 seconds, negative: not kept
	Entries int           // 10,000
}

// Relay is compiled Rules. The zero Relay refuses everything. It is safe for
// concurrent use.
type Relay struct {
	inbound   table // Local and Relayed
	hasLocal  bool
	grants    []grant
	localPart string
	local     recipients
	relayed   recipients
}

// tricky are the characters that strangers may not have in local parts: '%' and
// '!' are routes, and so is '@', which is never allowed. The others only occur
// quoted (go-smtp hands on local parts without their quotes), and mean a route,
// a group, a comment or a second address to whoever reads them unquoted.
const tricky = `%!:;,"()<>[]\ `

// New compiles rules. It reports every entry that is wrong, by name.
func New(rules Rules) (*Relay, error) {
	r := &Relay{localPart: rules.LocalPart, hasLocal: len(rules.Local) > 0}
	var errs []error
	bad := func(entry string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("relay: %s: %w", entry, err))
		}
	}
	for i, s := range rules.Local {
		bad(fmt.Sprintf("Local[%d] %q", i, s), r.inbound.add(s, Local))
	}
	for i, s := range rules.Relayed {
		bad(fmt.Sprintf("Relayed[%d] %q", i, s), r.inbound.add(s, Relayed))
	}
	for i := range rules.Grants {
		name := rules.Grants[i].Name
		if name == "" {
			name = fmt.Sprintf("Grants[%d]", i)
		}
		g := grant{name: name}
		g.compile(&rules.Grants[i], func(field string, err error) {
			bad(fmt.Sprintf("Grants[%d] (%q): %s", i, name, field), err)
		})
		r.grants = append(r.grants, g)
	}
	for _, c := range rules.LocalPart {
		if !strings.ContainsRune(tricky, c) {
			bad("LocalPart", fmt.Errorf("%q is not among %s", c, tricky))
		}
	}
	cache := rules.Cache
	if cache.Known == 0 {
		cache.Known = 5 * time.Minute
	}
	if cache.Unknown == 0 {
		cache.Unknown = 30 * time.Second
	}
	if cache.Entries == 0 {
		cache.Entries = 10000
	}
	if cache.Entries < 0 {
		bad("Cache.Entries", errors.New("must not be negative"))
	}
	r.local = recipients{ask: rules.Recipients, limits: cache}
	r.relayed = recipients{ask: rules.RelayedRecipients, limits: cache}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return r, nil
}
