package spf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// matchA compares the client with the addresses of target (section 5.3).
func (e *evaluation) matchA(d *directive, target string) (matched bool, failed Result) {
	addrs, err := e.addresses(target)
	switch {
	case err != nil:
		e.failure = dnsFailure("address", target, err)
		return false, TempError
	case len(addrs) == 0:
		return false, e.void()
	}
	return e.near(d, addrs), ""
}

// matchMX compares the client with the addresses of target's MX hosts (section
// 5.4). There is no falling back to the addresses of target itself.
func (e *evaluation) matchMX(d *directive, target string) (matched bool, failed Result) {
	hosts, err := e.checker.resolver.LookupMX(e.ctx, target)
	switch {
	case len(hosts) > 0: // net.Resolver returns the good ones with an error about the bad
	case err != nil && !notFound(err):
		e.failure = dnsFailure("MX", target, err)
		return false, TempError
	default:
		return false, e.void()
	}
	if len(hosts) > maxHosts {
		e.failure = fmt.Errorf("spf: %s has more than %d MX hosts", unrooted(target), maxHosts)
		return false, PermError
	}
	for _, mx := range hosts {
		host, ok := rooted(mx.Host)
		if !ok {
			continue // the null MX (RFC 7505), or none that could be asked for
		}
		addrs, err := e.addresses(host)
		if err != nil {
			e.failure = dnsFailure("address", host, err)
			return false, TempError
		}
		if e.near(d, addrs) {
			return true, ""
		}
	}
	return false, ""
}

// matchExists reports whether target has any IPv4 address, whatever the client
// has (section 5.7).
func (e *evaluation) matchExists(target string) (matched bool, failed Result) {
	addrs, err := e.checker.resolver.LookupNetIP(e.ctx, "ip4", target)
	switch {
	case err != nil && !notFound(err):
		e.failure = dnsFailure("address", target, err)
		return false, TempError
	case err != nil || len(addrs) == 0:
		return false, e.void()
	}
	return true, ""
}

// matchPTR reports whether a validated name of the client is target or below it
// (section 5.5).
func (e *evaluation) matchPTR(target string) (matched bool, failed Result) {
	if names, err := e.reverse(); err == nil && len(names) == 0 {
		return false, e.void()
	}
	for _, name := range e.names {
		if within(name, target) && e.validate(name) {
			return true, ""
		}
	}
	return false, ""
}

// validatedName is the value of %{p} (section 7.3): a validated name of the
// client, best name itself, else one below it, else any.
func (e *evaluation) validatedName(name string) string {
	if !e.askedPTR {
		if e.lookups >= maxLookups {
			return "unknown"
		}
		e.lookups++ // section 4.6.4
	}
	e.reverse()
	for _, fits := range []func(string) bool{
		func(s string) bool { return strings.EqualFold(s, name) },
		func(s string) bool { return within(s, name) },
		func(string) bool { return true },
	} {
		for _, s := range e.names {
			if fits(s) && e.validate(s) {
				return unrooted(s)
			}
		}
	}
	return "unknown"
}

// reverse returns the first ten names that the client's PTR records have; they
// are looked up once a check. A DNS error is that of a client who controls that
// zone, and only means no match.
func (e *evaluation) reverse() ([]string, error) {
	if e.askedPTR {
		return e.names, nil
	}
	e.askedPTR = true
	names, err := e.checker.resolver.LookupAddr(e.ctx, e.client.String())
	if len(names) == 0 {
		if err != nil && !notFound(err) {
			return nil, err
		}
		return nil, nil
	}
	for _, name := range names[:min(len(names), maxHosts)] {
		if name, ok := rooted(name); ok {
			e.names = append(e.names, name)
		}
	}
	return e.names, nil
}

// validate reports whether name has the client's address among its own. It asks
// once a check.
func (e *evaluation) validate(name string) bool {
	key := strings.ToLower(name)
	valid, known := e.validated[key]
	if known {
		return valid
	}
	addrs, err := e.addresses(name)
	if err == nil {
		for _, a := range addrs {
			valid = valid || a.Unmap() == e.client
		}
	}
	if e.validated == nil {
		e.validated = make(map[string]bool)
	}
	e.validated[key] = valid
	return valid
}

// within reports whether name is parent or below it.
func within(name, parent string) bool {
	n := len(name) - len(parent)
	return n >= 0 && strings.EqualFold(name[n:], parent) && (n == 0 || name[n-1] == '.')
}

// near reports whether one of addrs is in a network with the client, of the
// length that d compares.
func (e *evaluation) near(d *directive, addrs []netip.Addr) bool {
	bits := int(d.bits6)
	if e.client.Is4() {
		bits = int(d.bits4)
	}
	for _, a := range addrs {
		a = a.Unmap()
		if a.BitLen() == e.client.BitLen() && netip.PrefixFrom(a, bits).Contains(e.client) {
			return true
		}
	}
	return false
}

// addresses returns the addresses of name in the client's family, none for a
// name that does not exist.
func (e *evaluation) addresses(name string) ([]netip.Addr, error) {
	network := "ip6"
	if e.client.Is4() {
		network = "ip4"
	}
	addrs, err := e.checker.resolver.LookupNetIP(e.ctx, network, name)
	if err != nil && !notFound(err) {
		return nil, err
	}
	return addrs, nil
}

// void counts a term that found nothing. A term counts once, and the addresses
// of MX hosts and PTR names do not: section 4.6.4 counts terms, and a host with
// addresses of the other family only is no error.
func (e *evaluation) void() (failed Result) {
	e.voids++
	if e.voids > e.checker.voids {
		e.failure = fmt.Errorf("spf: more than %d terms that find nothing in DNS", e.checker.voids)
		return PermError
	}
	return ""
}

// notFound tells an answer of none from a failure to answer.
func notFound(err error) bool {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.IsNotFound
	}
	_, ok := errors.AsType[*net.AddrError](err) // net.Resolver's, of a name with addresses of the other family only
	return ok
}

func dnsFailure(what, name string, err error) error {
	return fmt.Errorf("spf: %s lookup of %+q: %w", what, unrooted(name), err)
}
