package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/iprev"
	"github.com/smtpguard/smtpguard/dnsbl"
	"github.com/smtpguard/smtpguard/resolver"
)

// presets are the lists that are known by name.
var presets = map[string]func() dnsbl.Zone{
	"spamhaus-zen": dnsbl.SpamhausZEN,
	"spamhaus-dbl": dnsbl.SpamhausDBL,
	"spamcop":      dnsbl.SpamCop,
	"barracuda":    dnsbl.Barracuda,
	"psbl":         dnsbl.PSBL,
	"uceprotect-1": dnsbl.UCEPROTECT1,
	"mailspike":    dnsbl.Mailspike,
	"dnswl":        dnsbl.DNSWL,
}

// newResolver asks the servers of cfg, or those of the system; who does not ask
// DNS of anything has none.
func newResolver(cfg *Config) (*resolver.Resolver, error) {
	if cfg.Inbound.Mode == unlooked && cfg.Identity.Check == off && len(cfg.DNSLists.Zones)+len(cfg.URILists.Zones) == 0 {
		return nil, nil
	}
	rc, err := cfg.Resolver.config()
	if err != nil {
		return nil, err
	}
	r, err := resolver.New(rc)
	if err != nil && len(rc.Servers) == 0 {
		return nil, fmt.Errorf("%w: name resolver.servers", err)
	}
	return r, err
}

// named is the resolver of one check: the budget of a message knows by it who has
// spent what.
type named struct {
	*resolver.Resolver
	check string
}

func (n named) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return n.Resolver.LookupTXT(resolver.WithCheck(ctx, n.check), name)
}

func (n named) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	return n.Resolver.LookupMX(resolver.WithCheck(ctx, n.check), name)
}

func (n named) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return n.Resolver.LookupNetIP(resolver.WithCheck(ctx, n.check), network, host)
}

func (n named) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	return n.Resolver.LookupAddr(resolver.WithCheck(ctx, n.check), addr)
}

func (n named) LookupEach(ctx context.Context, hosts []string, each func(int, []netip.Addr, error) bool) {
	n.Resolver.LookupEach(resolver.WithCheck(ctx, n.check), hosts, each)
}

// budget bounds what the checks of one message may ask of DNS together.
func (r *Resolver) budget(ctx context.Context, _ *smtpguard.Conn) context.Context {
	return resolver.WithBudget(ctx, &resolver.Budget{Queries: int(r.Budget.Queries), Time: time.Duration(r.Budget.Time), Octets: int64(r.Budget.Octets)})
}

// config is r for package resolver.
func (r *Resolver) config() (rc resolver.Config, err error) {
	for _, s := range r.Servers {
		server, err := resolver.ParseServer(s)
		if err != nil {
			return rc, err
		}
		rc.Servers = append(rc.Servers, server)
	}
	rc.Rotate = r.Rotate
	rc.Cache = resolver.Cache{Entries: int(r.Entries), Octets: int64(r.Octets), Stale: time.Duration(r.Stale)}
	return rc, nil
}

// newIdentity looks at clients' names and reverse-paths; nil where cfg does not
// want it.
func newIdentity(cfg *Config, dns iprev.Resolver) (*iprev.Checker, error) {
	if cfg.Identity.Check == off {
		return nil, nil
	}
	ic := iprev.Config{Resolver: dns, OurNames: []string{cfg.Hostname}, OurAddrs: prefixes(cfg.Identity.Addresses), Rules: iprev.DefaultRules()}
	for _, d := range cfg.Domains {
		if !strings.HasPrefix(d, "*.") {
			ic.OurNames = append(ic.OurNames, d)
		}
	}
	for name, a := range cfg.Identity.Rules {
		var f iprev.Finding
		if err := f.UnmarshalText([]byte(name)); err != nil {
			return nil, err
		}
		r := ic.Rules[f]
		r.Action = smtpguard.Action(a)
		ic.Rules[f] = r
	}
	return iprev.New(ic)
}

// background is what goes on behind the checks from begin to close.
type background struct {
	ctx  context.Context
	stop context.CancelFunc
	work []func(context.Context)
	done sync.WaitGroup
}

func newBackground() *background {
	b := new(background)
	b.ctx, b.stop = context.WithCancel(context.Background())
	return b
}

// add has f run once the configuration is in force: to look at one asks nobody.
func (b *background) add(f func(context.Context)) { b.work = append(b.work, f) }

func (b *background) begin() {
	for _, f := range b.work {
		b.done.Go(func() { f(b.ctx) })
	}
}

func (b *background) close() {
	b.stop()
	b.done.Wait()
}

// dnsChecks are those that ask DNS: about clients from outside, about who has
// written their mail, and about what any mail links to.
func dnsChecks(cfg *Config, dns *resolver.Resolver, in *incoming, work *background, log *slog.Logger) (checks []smtpguard.Check, err error) {
	outside := fromServers(cfg)
	names, err := newIdentity(cfg, named{dns, "iprev"})
	if err != nil {
		return nil, err
	}
	if names != nil {
		c := smtpguard.When(outside, names.Check())
		if cfg.Identity.Check == note {
			c = smtpguard.Shadow(c)
		}
		checks = append(checks, c)
	}
	lists, err := work.newDNSLists(cfg, named{dns, "dnsbl"}, names, log)
	if err != nil {
		return nil, err
	}
	if lists != nil {
		checks = append(checks, smtpguard.When(outside, lists.Check()))
	}
	uris, err := work.newURILists(cfg, named{dns, "surbl"}, log)
	return slices.Concat(checks, in.checks(cfg), uris), err
}

// newDNSLists has the zones of cfg watched, and our own addresses in them;
// nil where cfg names none.
func (b *background) newDNSLists(cfg *Config, dns dnsbl.Resolver, names *iprev.Checker, log *slog.Logger) (*dnsbl.Lists, error) {
	if len(cfg.DNSLists.Zones) == 0 {
		return nil, nil
	}
	dc, err := cfg.DNSLists.config(dns)
	if err != nil {
		return nil, err
	}
	dc.Observe = smtpguard.LogEvents(log)
	if names != nil {
		dc.ReverseNames = names.Names
	}
	zones, err := dnsbl.New(dc)
	if err != nil {
		return nil, err
	}
	if addrs, domains := cfg.DNSLists.watched(); len(addrs)+len(domains) > 0 {
		w, err := dnsbl.NewWatch(dnsbl.WatchConfig{Lists: zones, Addrs: addrs, Domains: domains, Observe: dc.Observe})
		if err != nil {
			return nil, err
		}
		b.add(func(ctx context.Context) { _ = w.Run(ctx) }) // ends with ctx
	}
	b.add(func(ctx context.Context) { _ = zones.Run(ctx) })
	return zones, nil
}

func (d *DNSLists) config(dns dnsbl.Resolver) (dc dnsbl.Config, err error) {
	dc = dnsbl.Config{
		Resolver: dns,
		Limits:   dnsbl.Limits{Quarantine: d.Limits.Quarantine, Defer: d.Limits.Defer, Reject: d.Limits.Reject},
	}
	for i := range d.Zones {
		z, err := d.Zones[i].zone()
		if err != nil {
			return dc, err
		}
		dc.Zones = append(dc.Zones, z)
	}
	return dc, nil
}

// zone is z for package dnsbl: its preset, and what it says over that.
func (z *DNSZone) zone() (zone dnsbl.Zone, err error) {
	if z.Preset != "" {
		preset, ok := presets[z.Preset]
		if !ok {
			return zone, fmt.Errorf("%q is none of %s", z.Preset, strings.Join(slices.Sorted(maps.Keys(presets)), ", "))
		}
		zone = preset()
		zone.Name = cmp.Or(zone.Name, zone.Domain)
	}
	zone.Name = cmp.Or(z.Name, zone.Name)
	zone.Domain = cmp.Or(z.Domain, zone.Domain)
	zone.Key = dnsbl.Key(z.Key)
	for _, k := range z.Lists {
		zone.Lists |= dnsbl.Kind(k)
	}
	if len(z.Codes) > 0 {
		zone.Codes = nil
	}
	for _, c := range z.Codes {
		zone.Codes = append(zone.Codes, dnsbl.Code{Answer: c.Answer, Means: c.Means, Weight: c.Weight, Action: smtpguard.Action(c.Action)})
	}
	if z.Action != 0 {
		zone.Action = smtpguard.Action(z.Action)
	}
	return zone, nil
}

// watched are our own addresses and domains.
func (d *DNSLists) watched() (addrs []netip.Addr, domains []string) {
	for _, s := range d.Watch {
		if addr, err := netip.ParseAddr(s); err == nil {
			addrs = append(addrs, addr)
		} else {
			domains = append(domains, s)
		}
	}
	return addrs, domains
}
