package main

import (
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/dnsbl"
	"github.com/smtpguard/smtpguard/limiter"
	"github.com/smtpguard/smtpguard/relay"
	"github.com/smtpguard/smtpguard/resolver"
	"github.com/smtpguard/smtpguard/surbl"
	"github.com/smtpguard/smtpguard/tlsconf"
)

// problems lists what no single value shows to be wrong.
func (cfg *Config) problems() []problem {
	var all []problem
	bad := func(what string, key ...any) { all = append(all, problem{key: key, what: what}) }

	if _, err := smtpguard.New(smtpguard.Config{Hostname: cfg.Hostname}); err != nil || cfg.Hostname == "" {
		bad(fmt.Sprintf("%q is no domain name", cfg.Hostname), "hostname")
	}
	if len(cfg.Domains) == 0 {
		bad("is empty: there would be nobody to deliver to", "domains")
	}
	for i, d := range cfg.Domains {
		if _, err := relay.New(relay.Rules{Local: []string{d}}); err != nil {
			bad(short(err), "domains", i)
		}
	}
	for i, m := range cfg.Mailboxes {
		if m == "" || strings.ContainsAny(m, "@+") {
			bad(fmt.Sprintf("%q is no local part without detail", m), "mailboxes", i)
		}
	}
	if cfg.Route.Address != "" && !hostPort(cfg.Route.Address) {
		bad(fmt.Sprintf("%q is not host:port", cfg.Route.Address), "route", "address")
	}
	for i, r := range cfg.Relayed {
		if _, err := relay.New(relay.Rules{Relayed: []string{r.Domain}}); err != nil {
			bad(short(err), "relayed", i, "domain")
		} else if slices.Contains(cfg.Domains, r.Domain) {
			bad(fmt.Sprintf("%q is one of domains", r.Domain), "relayed", i, "domain")
		}
		if !hostPort(r.Route.Address) {
			bad(fmt.Sprintf("%q is not host:port", r.Route.Address), "relayed", i, "route", "address")
		}
	}
	logins := func(logins []string, key ...any) {
		for i, login := range logins {
			if why := misspelled(login); why != "" {
				bad(why, append(slices.Clone(key), "logins", i)...)
			}
		}
	}
	for i := range cfg.Relay {
		logins(cfg.Relay[i].Logins, "relay", i)
		if _, err := relay.New(relay.Rules{Grants: grants(cfg.Relay[i : i+1])}); err != nil {
			bad(short(err), "relay", i)
		}
	}
	cfg.authProblems(bad)
	cfg.listenerProblems(bad)
	for i, r := range cfg.Rates {
		logins(r.Logins, "rates", i)
	}
	for i, r := range cfg.Octets.Rules {
		logins(r.Logins, "octets", "rules", i)
		if len(r.Networks)+len(r.Logins) == 0 {
			bad("names no network and no login: it fits nobody", "octets", "rules", i)
		}
	}
	cfg.Limits.problems(bad)
	cfg.abuseProblems(bad)
	return all
}

// abuseProblems are those of limits and lists.
func (cfg *Config) abuseProblems(bad func(string, ...any)) {
	if store, err := limiter.NewMemory(limiter.MemoryConfig{}); err == nil {
		quiet := slog.New(slog.DiscardHandler)
		for i := range cfg.Rates {
			one := Config{Rates: cfg.Rates[i : i+1]}
			if err := ratesError(store, one.limiterRules()); err != nil {
				bad(short(err), "rates", i)
			}
			if slices.ContainsFunc(cfg.Rates[:i], func(r Rate) bool { return r.Name == cfg.Rates[i].Name }) {
				bad(fmt.Sprintf("%q is there already", cfg.Rates[i].Name), "rates", i, "name")
			}
		}
		if _, err := limiter.NewLogins(store, cfg.Guesses.config()); err != nil {
			bad(short(err), "guesses")
		}
		if _, err := limiter.NewConcurrency(cfg.Concurrency.config(prefixes(cfg.OwnNetworks))); err != nil {
			bad(short(err), "concurrency")
		}
		for i := range cfg.Lists {
			cfg.Lists[i].problems(quiet, i, func(what string, key ...any) { bad(what, append([]any{"lists", i}, key...)...) }, cfg.Lists)
		}
	}
	for i, p := range cfg.OwnNetworks {
		if prefixes([]network{p})[0].Bits() == 0 {
			bad("is everybody", "own-networks", i)
		}
	}
	for i, a := range cfg.Traps.Addresses {
		if _, err := (&Traps{Addresses: []string{a}}).set(); err != nil {
			bad(short(err), "traps", "addresses", i)
		}
	}
	cfg.dnsProblems(bad)
	if cfg.Traps.Hits < 1 {
		bad("must be 1 or more", "traps", "hits")
	}
	if r := &cfg.Redis; r.Address != "" && !hostPort(r.Address) && !strings.HasPrefix(r.Address, "/") {
		bad(fmt.Sprintf("%q is neither host:port nor a path", r.Address), "redis", "address")
	}
	if cfg.Redis.Machines < 1 {
		bad("must be 1 or more", "redis", "machines")
	}
}

// dnsProblems are those of what DNS is asked.
func (cfg *Config) dnsProblems(bad func(string, ...any)) {
	for i, s := range cfg.Resolver.Servers {
		if _, err := resolver.ParseServer(s); err != nil {
			bad(short(err), "resolver", "servers", i)
		}
	}
	if cfg.Resolver.Entries == 0 || cfg.Resolver.Octets == 0 {
		bad("entries and octets must be 1 or more", "resolver")
	}
	if cfg.Inbound.Mode == "" {
		bad("is empty: none, monitor or enforce", "authentication", "mode")
	} else if cfg.Inbound.Most == action(smtpguard.Continue) {
		bad("none is what mode monitor does", "authentication", "most")
	} else if _, err := newVerifier(cfg, new(net.Resolver)); err != nil && cfg.Inbound.Mode != unlooked {
		bad(short(err), "authentication")
	}
	for i := range cfg.Inbound.Upstream {
		cfg.Inbound.Upstream[i].problems(cfg, i, bad)
	}
	cfg.Signing.problems(bad)
	cfg.Sealing.problems(&cfg.Inbound, bad)
	cfg.Reports.problems(cfg, bad)
	if cfg.Identity.Check == "" {
		bad("is empty: none, note or enforce", "identity", "check")
	} else if _, err := newIdentity(cfg, new(net.Resolver)); err != nil {
		bad(short(err), "identity", "rules")
	}
	cfg.uriProblems(bad)
	fine := true
	for i := range cfg.DNSLists.Zones {
		one := DNSLists{Zones: cfg.DNSLists.Zones[i : i+1]}
		dc, err := one.config(new(net.Resolver))
		if err == nil {
			_, err = dnsbl.New(dc)
		}
		if err != nil {
			fine = false
			bad(short(err), "dns-lists", "zones", i)
		}
	}
	if len(cfg.DNSLists.Zones) == 0 {
		if len(cfg.DNSLists.Watch) > 0 {
			bad("there are no zones to watch", "dns-lists", "watch")
		}
		return
	}
	if dc, err := cfg.DNSLists.config(new(net.Resolver)); err == nil && fine {
		zones, err := dnsbl.New(dc)
		if err != nil { // of all zones together, or of the limits
			bad(short(err), "dns-lists")
			return
		}
		addrs, domains := cfg.DNSLists.watched()
		if _, err := dnsbl.NewWatch(dnsbl.WatchConfig{Lists: zones, Addrs: addrs, Domains: domains}); err != nil && len(cfg.DNSLists.Watch) > 0 {
			bad(short(err), "dns-lists", "watch")
		}
	}
}

func ratesError(store limiter.Store, rules []limiter.Rule) error {
	tarpit, err := limiter.NewTarpit(limiter.TarpitConfig{})
	if err != nil {
		return err
	}
	_, err = limiter.NewRates(store, limiter.RatesConfig{Rules: rules, Tarpit: tarpit})
	return err
}

func (l *List) problems(quiet *slog.Logger, i int, bad func(string, ...any), all []List) {
	if l.Name == "" || strings.ContainsFunc(l.Name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}) {
		bad(fmt.Sprintf("%q is no name of letters in lower case, digits, '-' and '_'", l.Name), "name")
	}
	if slices.ContainsFunc(all[:i], func(o List) bool { return o.Name == l.Name }) {
		bad(fmt.Sprintf("%q is there already", l.Name), "name")
	}
	if (l.Path == "") == (l.URL == "") {
		bad("has to have either a path or a url")
		return
	}
	if err := l.config("", quiet).Validate(); err != nil {
		bad(short(err))
	}
}

// uriProblems are those of lists of links.
func (cfg *Config) uriProblems(bad func(string, ...any)) {
	fine := len(cfg.URILists.Zones) > 0
	for i := range cfg.URILists.Zones {
		one := URILists{Zones: cfg.URILists.Zones[i : i+1]}
		uc, err := one.config(new(net.Resolver))
		if err == nil {
			_, err = surbl.New(uc)
		}
		if err != nil {
			fine = false
			bad(short(err), "uri-lists", "zones", i)
		}
	}
	if uc, err := cfg.URILists.config(new(net.Resolver)); err == nil && fine {
		if _, err := surbl.New(uc); err != nil { // of all zones together, or of the limits
			bad(short(err), "uri-lists")
		}
	}
}

// authProblems are those of logins and of TLS.
func (cfg *Config) authProblems(bad func(string, ...any)) {
	known := []string{auth.External, auth.ScramSHA256Plus, auth.ScramSHA1Plus, auth.ScramSHA256, auth.ScramSHA1, auth.Plain, auth.Login}
	for i, m := range cfg.Auth.Mechanisms {
		if !slices.Contains(known, m) {
			bad(fmt.Sprintf("%q is none of %s", m, strings.Join(known, ", ")), "auth", "mechanisms", i)
		}
	}
	if len(cfg.Auth.Mechanisms) == 0 {
		bad("is empty: nobody could log in", "auth", "mechanisms")
	}
	for i, c := range cfg.Auth.Certificates {
		if why := misspelled(c.Login); why != "" {
			bad(why, "auth", "certificates", i, "login")
		}
		if _, err := tlsconf.NewIdentities(tlsconf.IdentitiesConfig{Logins: map[string]string{c.Name: "login"}}); err != nil {
			bad(short(err), "auth", "certificates", i, "name")
		}
		if c.Name != "" && !strings.HasPrefix(c.Name, "sha256:") && cfg.Auth.Authorities == "" {
			bad("needs authorities: whose certificate else says so?", "auth", "certificates", i, "name")
		}
	}
	for i, p := range cfg.TLS.Certificates {
		if p.Certificate == "" || p.Key == "" {
			bad("certificate and key come together", "tls", "certificates", i)
		}
	}
	if _, err := tlsconf.RequireTLS(cfg.requirement()); err != nil {
		bad(short(err), "tls", "require")
	}
}

// misspelled says why nobody logs in by that spelling, "" where somebody may: a
// rule for it would hold for nobody.
func misspelled(login string) string {
	normal, err := auth.NormalLogin(login)
	switch {
	case err != nil:
		return short(err)
	case normal != login:
		return fmt.Sprintf("%q logs in as %q: write it so", login, normal)
	}
	return ""
}

func (cfg *Config) listenerProblems(bad func(string, ...any)) {
	if len(cfg.Listeners) == 0 {
		bad("is empty: nobody could connect", "listeners")
	}
	names, addresses := make(map[string]bool), make(map[string]bool)
	for i, l := range cfg.Listeners {
		switch {
		case l.Name == "":
			bad("has no name", "listeners", i)
		case names[l.Name]:
			bad(fmt.Sprintf("%q is there already", l.Name), "listeners", i, "name")
		}
		names[l.Name] = true
		switch {
		case !hostPort(l.Address):
			bad(fmt.Sprintf("%q is not host:port", l.Address), "listeners", i, "address")
		case addresses[l.Address]:
			bad(fmt.Sprintf("%q is there already", l.Address), "listeners", i, "address")
		}
		addresses[l.Address] = true
		if l.Kind == "" {
			bad("has no kind: inbound or submission", "listeners", i)
		}
		if l.TLS == "" {
			bad("has no tls: starttls, implicit or none", "listeners", i)
		}
		if l.Kind == submission && l.TLS == noTLS {
			bad("submission needs TLS: nobody could log in", "listeners", i, "tls")
		}
		if l.wait() > 4*time.Minute {
			bad("clients give up after 5m", "listeners", i, "wait")
		}
		if life := time.Duration(cfg.Limits.Lifetime); life > 0 && life <= l.wait() {
			bad(fmt.Sprintf("%v is over before the wait of listener %s, %v: nobody would get the banner", life, l.Name, l.wait()), "limits", "lifetime")
		}
		if l.wait() == 0 && len(l.NoWait) > 0 {
			bad("there is no wait to make exceptions from", "listeners", i, "no-wait")
		}
		for j, p := range l.Proxy {
			if prefixes([]network{p})[0].Bits() == 0 {
				bad("would let anybody say where they come from", "listeners", i, "proxy", j)
			}
		}
	}
}

func (l *Limits) problems(bad func(string, ...any)) {
	for _, f := range []struct {
		key      string
		v, least count
		why      string
	}{
		{"message-octets", l.MessageOctets, 64 << 10, " (RFC 5321, section 4.5.3.1.7)"},
		{"recipients", l.Recipients, 100, " (RFC 5321, section 4.5.3.1.8)"},
		{"connections", l.Connections, 1, ""},
		{"errors", l.Errors, 1, ""},
		{"idle-commands", l.IdleCommands, 10, ""},
		{"min-rate", l.MinRate, 1, ""},
	} {
		if f.v < f.least {
			bad(fmt.Sprintf("must be %d or more%s", f.least, f.why), "limits", f.key)
		}
	}
	for _, f := range []struct {
		key string
		v   duration
	}{
		{"command-timeout", l.CommandTimeout},
		{"body-timeout", l.BodyTimeout},
		{"lifetime", l.Lifetime},
	} {
		if f.v == 0 {
			bad("must be more than 0s", "limits", f.key)
		}
	}
}

// hostPort reports whether s is a host and a port by number.
func hostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	n, perr := strconv.ParseUint(port, 10, 16)
	return err == nil && host != "" && perr == nil && n > 0
}

// short is an error of one of our packages without what repeats where we are:
// "relay: Local[0] \"x\": why", "limiter: RatesConfig.Rules[0] (\"x\"): why".
func short(err error) string {
	var all []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		all = append(all, shortLine(line))
	}
	return strings.Join(all, "; ")
}

func shortLine(text string) string {
	for _, known := range []string{"relay: ", "limiter: ", "blocklist: ", "auth: ", "tlsconf: ", "dnsbl: ", "iprev: ", "verify: ", "resolver: ", "surbl: ", "dkim: ", "arc: ", "authres: ", "report: "} {
		text = strings.TrimPrefix(text, known)
	}
	for _, config := range []string{"LoginsConfig.", "ConcurrencyConfig.", "ListConfig.Parse: ", "ListConfig.Fetch: ", "ListConfig."} {
		if why, ok := strings.CutPrefix(text, config); ok {
			return why
		}
	}
	if _, why, ok := strings.Cut(text, ": "); ok {
		return why
	}
	return text
}
