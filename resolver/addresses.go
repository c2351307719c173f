package resolver

import (
	"context"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// LookupNetIP returns the addresses of host. network is "ip4", "ip6", or "ip"
// for both, of which one is enough: the other's failure is no error then. A host
// that is an address is its own.
func (r *Resolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if addr, ok := literal(host); ok {
		if network == "ip4" && !addr.Is4() || network == "ip6" && !addr.Is6() {
			return nil, dnsError(host, answer{kind: noData})
		}
		return []netip.Addr{addr}, nil
	}
	typ := dns.TypeA
	switch network {
	case "ip4":
	case "ip6":
		typ = dns.TypeAAAA
	case "ip":
		addrs, _, err := r.both(ctx, host)
		return addrs, err
	default:
		return nil, &net.DNSError{UnwrapErr: net.UnknownNetworkError(network), Err: "unknown network " + network, Name: host}
	}
	f, _, err := r.find(ctx, host, typ)
	if err != nil {
		return nil, err
	}
	return f.appendAddrs(nil), nil
}

// literal returns the address that host is. Most names are told apart by their
// last letter, which costs less than what ParseAddr says of them.
func literal(host string) (netip.Addr, bool) {
	if host == "" || (host[len(host)-1] < '0' || host[len(host)-1] > '9') && strings.IndexByte(host, ':') < 0 {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}

// both returns the addresses of host, IPv4 ones first, and where they are.
func (r *Resolver) both(ctx context.Context, host string) ([]netip.Addr, string, error) {
	if addr, ok := literal(host); ok {
		return []netip.Addr{addr}, host, nil
	}
	name, err := normal(host)
	if err != nil {
		return nil, "", nameError(host, err)
	}
	qs := []question{{name, dns.TypeA}, {name, dns.TypeAAAA}}
	var got [2]found
	var own [2]error
	r.ask(ctx, qs, func(i int, f found, err error) bool {
		got[i], own[i] = f, err
		return true
	})
	var addrs []netip.Addr
	where := ""
	for i, f := range got {
		if f.kind != data {
			continue
		}
		addrs = f.appendAddrs(addrs)
		if where == "" {
			where = f.where(qs[i])
		}
	}
	if len(addrs) > 0 {
		return addrs, where, nil
	}
	for _, err := range own {
		if err != nil {
			return nil, "", ownError(host, err)
		}
	}
	// That there is no such thing takes both to say so.
	worst := got[0].answer
	if worst.kind == noName || got[1].kind.failure() && !worst.kind.failure() {
		worst = got[1].answer
	}
	return nil, "", dnsError(host, worst)
}

// LookupHost returns the addresses of host, as text.
func (r *Resolver) LookupHost(ctx context.Context, host string) ([]string, error) {
	addrs, _, err := r.both(ctx, host)
	var list []string
	for _, a := range addrs {
		list = append(list, a.String())
	}
	return list, err
}

// LookupIPAddr returns the addresses of host.
func (r *Resolver) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	addrs, _, err := r.both(ctx, host)
	var list []net.IPAddr
	for _, a := range addrs {
		list = append(list, net.IPAddr{IP: net.IP(a.AsSlice()), Zone: a.Zone()})
	}
	return list, err
}

// LookupIP returns the addresses of host. network is as for
// [Resolver.LookupNetIP].
func (r *Resolver) LookupIP(ctx context.Context, network, host string) ([]net.IP, error) {
	addrs, err := r.LookupNetIP(ctx, network, host)
	var list []net.IP
	for _, a := range addrs {
		list = append(list, net.IP(a.AsSlice()))
	}
	return list, err
}

// LookupAddr returns the names of an address, by its PTR records. They say
// nothing until the names have this address. Names that are none are treated as
// by [Resolver.LookupMX].
func (r *Resolver) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, nameError(addr, errAddress)
	}
	f, _, err := r.find(ctx, reverse(a), dns.TypePTR)
	if err != nil {
		return nil, err
	}
	_, n := f.records()
	names := make([]string, 0, n)
	if !f.names(0, func(_, name string) { names = append(names, name) }) {
		err = namesError(addr)
	}
	return names, err
}

// LookupEach asks for the IPv4 addresses of many names side by side, over one
// socket as far as the servers allow: what a check of DNS lists needs. It calls
// each with the place of each host, in any order but never twice at once, and
// returns when all are answered or each returns false, which ends what is still
// under way. When ctx ends, those that are left get its error. each must not ask
// for any of hosts itself.
func (r *Resolver) LookupEach(ctx context.Context, hosts []string, each func(i int, addrs []netip.Addr, err error) bool) {
	t := telling{hosts: hosts, each: each}
	var qs []question
	var places []int // of qs among hosts
	for i, host := range hosts {
		name, err := normal(host)
		if err != nil {
			if !each(i, nil, nameError(host, err)) {
				return
			}
			continue
		}
		q := question{name, dns.TypeA}
		if f, ok := r.cached(q); ok {
			if !t.tell(i, f) {
				return
			}
			continue
		}
		if qs == nil {
			qs, places = make([]question, 0, len(hosts)-i), make([]int, 0, len(hosts)-i)
		}
		qs, places = append(qs, q), append(places, i)
	}
	if len(qs) > 0 {
		r.askAll(ctx, qs, places, &t)
	}
}

// askAll asks for what is not remembered, as many together as one socket has
// room for.
func (r *Resolver) askAll(ctx context.Context, qs []question, places []int, t *telling) {
	goOn := true
	for start := 0; start < len(qs) && goOn; start += maxTogether {
		r.ask(ctx, qs[start:min(len(qs), start+maxTogether)], func(i int, f found, own error) bool {
			i = places[start+i]
			if own != nil {
				goOn = t.each(i, nil, ownError(t.hosts[i], own))
			} else {
				goOn = t.tell(i, f)
			}
			return goOn
		})
	}
}

// telling hands on answers to many questions.
type telling struct {
	hosts  []string
	each   func(i int, addrs []netip.Addr, err error) bool
	errors []net.DNSError // room, because most lists list nobody
}

func (t *telling) tell(i int, f found) bool {
	if f.kind == data {
		return t.each(i, f.appendAddrs(nil), nil)
	}
	if len(t.errors) == 0 {
		t.errors = make([]net.DNSError, min(len(t.hosts), maxTogether))
	}
	e := &t.errors[0]
	t.errors = t.errors[1:]
	describe(e, t.hosts[i], f.answer)
	return t.each(i, nil, e)
}

// maxTogether bounds the questions on one socket: their answers must fit in its
// receive buffer.
const maxTogether = 64
