package resolver

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Lookup returns the records of a type at name, with all that is known of them.
// Where there is no such name, or no such record, the Answer still says whether
// that is Authentic, and for how long.
func (r *Resolver) Lookup(ctx context.Context, name string, typ uint16) (Answer, error) {
	f, q, err := r.find(ctx, name, typ)
	a := Answer{Name: q.name, Canonical: q.name, Type: typ, TTL: max(0, f.left).Truncate(time.Second), Authentic: f.authentic, Stale: f.stale}
	if f.kind == data {
		a.data = f.data
		if name, _ := canonical(f.data); name != "" {
			a.Canonical = name
		}
	}
	return a, err
}

// LookupTXT returns the texts at name, the strings of each record joined.
func (r *Resolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	f, _, err := r.find(ctx, name, dns.TypeTXT)
	if err != nil {
		return nil, err
	}
	return f.texts(), nil
}

// LookupMX returns the mail hosts of name, by preference, and by chance where
// that is the same. A host "." is a null MX (RFC 7505). As with *net.Resolver,
// an answer with names that are none gives those that are and an error.
func (r *Resolver) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	f, _, err := r.find(ctx, name, dns.TypeMX)
	if err != nil {
		return nil, err
	}
	hosts, all := f.mx()
	if !all {
		err = namesError(name)
	}
	return hosts, err
}

func (a answer) mx() (hosts []*net.MX, all bool) {
	_, n := a.records()
	room := make([]net.MX, 0, n)
	all = a.names(2, func(fixed, name string) {
		room = append(room, net.MX{Host: name, Pref: uint16(length(fixed))})
	})
	hosts = make([]*net.MX, len(room))
	for i := range room {
		hosts[i] = &room[i]
	}
	rand.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	slices.SortStableFunc(hosts, func(x, y *net.MX) int { return cmp.Compare(x.Pref, y.Pref) })
	return hosts, all
}

// LookupNS returns the name servers of name. Names that are none are treated as
// by [Resolver.LookupMX].
func (r *Resolver) LookupNS(ctx context.Context, name string) ([]*net.NS, error) {
	f, _, err := r.find(ctx, name, dns.TypeNS)
	if err != nil {
		return nil, err
	}
	var hosts []*net.NS
	if !f.names(0, func(_, host string) { hosts = append(hosts, &net.NS{Host: host}) }) {
		err = namesError(name)
	}
	return hosts, err
}

// LookupSRV returns the hosts of a service, at _service._proto.name, or at name
// where service and proto are empty: by priority, and by chance and weight where
// that is the same (RFC 2782). cname is where the records are. Names that are
// none are treated as by [Resolver.LookupMX].
func (r *Resolver) LookupSRV(ctx context.Context, service, proto, name string) (cname string, hosts []*net.SRV, err error) {
	if service != "" || proto != "" {
		name = "_" + service + "._" + proto + "." + name
	}
	f, q, err := r.find(ctx, name, dns.TypeSRV)
	if err != nil {
		return "", nil, err
	}
	if !f.names(6, func(fixed, host string) {
		hosts = append(hosts, &net.SRV{Target: host, Priority: uint16(length(fixed)), Weight: uint16(length(fixed[2:])), Port: uint16(length(fixed[4:]))})
	}) {
		err = namesError(name)
	}
	sortSRV(hosts)
	return f.where(q), hosts, err
}

// sortSRV orders hosts by priority and, within one, draws them by weight.
func sortSRV(hosts []*net.SRV) {
	slices.SortStableFunc(hosts, func(x, y *net.SRV) int {
		return cmp.Or(cmp.Compare(x.Priority, y.Priority), cmp.Compare(x.Weight, y.Weight))
	})
	for len(hosts) > 0 {
		end := 1
		for end < len(hosts) && hosts[end].Priority == hosts[0].Priority {
			end++
		}
		for same := hosts[:end]; len(same) > 1; same = same[1:] {
			sum := 0
			for _, h := range same {
				sum += int(h.Weight)
			}
			drawn := rand.IntN(sum + 1)
			i := 0
			for drawn -= int(same[0].Weight); drawn > 0; drawn -= int(same[i].Weight) {
				i++
			}
			chosen := same[i]
			copy(same[1:i+1], same[:i])
			same[0] = chosen
		}
		hosts = hosts[end:]
	}
}

// LookupCNAME returns where the addresses of host are: the end of its chain of
// CNAMEs, or host itself. It is an error if there are none.
func (r *Resolver) LookupCNAME(ctx context.Context, host string) (string, error) {
	_, where, err := r.both(ctx, host)
	if err == nil && !hostName(where) {
		return "", namesError(host)
	}
	return where, err
}

// where is the absolute name at which the records are.
func (f found) where(q question) string {
	name := q.name
	if f.kind == data {
		if end, _ := canonical(f.data); end != "" {
			name = end
		}
	}
	return strings.TrimSuffix(name, ".") + "."
}
