package dnsbl

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/dnslist"
	"github.com/smtpguard/smtpguard/internal/domain"
)

// Resolver is what lists are asked through. It must not be a public one: most
// operators refuse those.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

var _ Resolver = (*net.Resolver)(nil)

// EachResolver is what a Resolver may be besides: one that asks for the IPv4
// addresses of many names side by side, which saves a goroutine and a socket a
// name. LookupEach calls answer with the place of each host, in any order but
// never from two goroutines at once, and returns when all are answered, when
// answer returns false, or when ctx ends; it does not call answer later. The
// error for names that do not exist may be the same for all: it saves the
// allocations of most clients.
type EachResolver interface {
	LookupEach(ctx context.Context, hosts []string, answer func(i int, addrs []netip.Addr, err error) bool)
}

// Config says which lists are asked, and what their answers do. The zero value
// of a field means its default.
type Config struct {
	Name     string   // of the check, and in events; "dnsbl"
	Resolver Resolver // required; better an EachResolver too
	Zones    []Zone   // required; up to 64

	// Judge is the stage at which listings act. What is looked up sooner, the
	// client's address as it connects, is awaited there; what comes later acts at
	// once. StageRcpt; any but StageAuth.
	Judge smtpguard.Stage

	// Limits are sums of weights from which on an action is due. The zero Limits
	// leaves weights to [smtpguard.Score].
	Limits Limits

	// Timeout bounds the lookups of one stage. Zones that have not answered by
	// then have failed. 5 s.
	Timeout time.Duration

	// Pending bounds questions under way. Beyond it zones are not asked, and fail.
	// 10,000.
	Pending int

	// Complete has every zone waited for, even when the outcome is clear: for
	// counters that show what each list is worth.
	Complete bool

	// Known reports clients that are not looked up, where Zone.Known does not say
	// otherwise. Nil is those with a proven login.
	Known func(*smtpguard.Conn) bool

	// ReverseNames returns the confirmed names of the client's address, for the
	// position ReverseName; up to 4 count.
	ReverseNames func(context.Context, *smtpguard.Conn) ([]string, error)

	Hops int // Received fields looked at for the position Received, from the top; 5

	Health Health

	// Observe hears of zones set aside and taken back. It must not block; what
	// smtpguard.Config.Observe has will do.
	Observe func(smtpguard.Event)
}

// Limits are sums of weights, reached at one address or message, that do what
// they are called. 0 means never. The strongest that is reached acts.
type Limits struct{ Quarantine, Defer, Reject float64 }

// Health says how zones are watched. The zero value of a field means its default.
type Health struct {
	Every  time.Duration // between two tests of a zone, less or more a fifth; 15 minutes, negative: no tests
	Retry  time.Duration // between two while it is set aside, twice as long after each, up to Every; 1 minute
	Errors int           // lookups failed in a row until a zone is set aside without a test; 10
}

const (
	maxZones        = 64
	maxReverseNames = 4
	maxAuthors      = 8
)

// Lists are compiled zones. They are safe for concurrent use.
type Lists struct {
	cfg   Config
	zones []*zone
	at    [Received + 1][]*zone // by position
	known bool                  // all zones treat known clients alike
	alone bool                  // what one stage says no other makes weaker, an allow list's word aside
	asker dnslist.Asker
	stats stats
	keys  keys
}

// zone is a compiled Zone.
type zone struct {
	Zone
	index int
	list  dnslist.List
	reach reach // of all its codes
	state counters
}

// New compiles cfg. It reports everything that is wrong with it, and asks
// nothing.
func New(cfg Config) (*Lists, error) {
	l := &Lists{cfg: cfg}
	var errs []error
	bad := func(field, why string) { errs = append(errs, fmt.Errorf("dnsbl: Config.%s %s", field, why)) }
	l.cfg.defaults(bad)
	if len(cfg.Zones) == 0 || len(cfg.Zones) > maxZones {
		bad("Zones", fmt.Sprintf("are %d: must be 1 to %d", len(cfg.Zones), maxZones))
	}
	names := make(map[string]bool)
	for i := range cfg.Zones {
		z := &zone{Zone: cfg.Zones[i], index: i}
		z.compile(func(field, why string) { bad(fmt.Sprintf("Zones[%d].%s", i, field), why) })
		if names[z.Name] {
			bad(fmt.Sprintf("Zones[%d].Name", i), fmt.Sprintf("%q is another zone's too", z.Name))
		}
		names[z.Name] = true
		if slices.Contains(z.At, ReverseName) && cfg.ReverseNames == nil {
			bad("ReverseNames", fmt.Sprintf("is missing, which Zones[%d].At needs", i))
		}
		l.zones = append(l.zones, z)
		for _, p := range z.At {
			if p >= Client && p <= Received {
				l.at[p] = append(l.at[p], z)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	l.known = !slices.ContainsFunc(l.zones, func(z *zone) bool { return z.Known != l.zones[0].Known })
	l.alone = l.known && (cfg.Limits == Limits{} || !slices.ContainsFunc(l.zones, func(z *zone) bool { return z.reach.low < 0 }))
	l.asker = dnslist.Asker{Resolver: cfg.Resolver, Timeout: l.cfg.Timeout, Pending: l.cfg.Pending,
		Errors: l.cfg.Health.Errors, Retry: l.cfg.Health.Retry, Every: l.cfg.Health.Every, Told: l.told}
	l.stats.init(len(l.zones))
	return l, nil
}

func (c *Config) defaults(bad func(field, why string)) {
	c.Zones = slices.Clone(c.Zones)
	if c.Name == "" {
		c.Name = "dnsbl"
	}
	if c.Resolver == nil {
		bad("Resolver", "is missing")
	}
	switch {
	case c.Judge == 0:
		c.Judge = smtpguard.StageRcpt
	case c.Judge < smtpguard.StageConnect || c.Judge > smtpguard.StageData || c.Judge == smtpguard.StageAuth:
		bad("Judge", fmt.Sprintf("is %v: must be connect, hello, mail, rcpt or data", c.Judge))
	}
	for _, n := range []struct {
		field    string
		value    *int
		fallback int
	}{{"Pending", &c.Pending, 10000}, {"Hops", &c.Hops, 5}, {"Health.Errors", &c.Health.Errors, 10}} {
		if *n.value < 0 {
			bad(n.field, "must not be negative")
		} else if *n.value == 0 {
			*n.value = n.fallback
		}
	}
	if c.Timeout < 0 || c.Health.Retry < 0 {
		bad("Timeout and Health.Retry", "must not be negative")
	}
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{{&c.Timeout, 5 * time.Second}, {&c.Health.Every, 15 * time.Minute}, {&c.Health.Retry, time.Minute}} {
		if *d.value == 0 {
			*d.value = d.fallback
		}
	}
	for _, l := range []struct {
		name  string
		value float64
	}{{"Quarantine", c.Limits.Quarantine}, {"Defer", c.Limits.Defer}, {"Reject", c.Limits.Reject}} {
		if !(l.value >= 0) || math.IsInf(l.value, 0) {
			bad("Limits."+l.name, "must be 0 or more, and finite")
		}
	}
	if c.Known == nil {
		c.Known = func(conn *smtpguard.Conn) bool { _, ok := conn.Login(); return ok }
	}
}

func (z *zone) compile(bad func(field, why string)) {
	name, err := domain.Normal(z.Domain)
	if err != nil {
		bad("Domain", "is no domain name")
	}
	if z.Name == "" {
		z.Name = name
	}
	if z.Name != clean(z.Name, 100) {
		bad("Name", "has characters that replies cannot have, or over 100")
	}
	z.Domain = name
	z.list.Name, z.list.Suffix, z.list.Secret = z.Name, "."+name+".", string(z.Key)
	if z.Key != "" {
		key, err := domain.Normal(string(z.Key))
		if err != nil || strings.HasPrefix(string(z.Key), "*") {
			bad("Key", "is no label of a name")
		}
		z.list.Suffix = "." + key + z.list.Suffix
	}
	if len(z.list.Suffix) > 180 { // 64 octets of an IPv6 address come before it
		bad("Domain", "leaves no room for an address")
	}
	if z.Lists == 0 || z.Lists > IPv4|IPv6|Domains {
		bad("Lists", "must be IPv4, IPv6, Domains, or several of them")
	}
	z.positions(bad)
	z.compileCodes(bad)
	if err := template(z.Reply); err != nil {
		bad("Reply", err.Error())
	}
	z.compileTests(bad)
}

func (z *zone) positions(bad func(field, why string)) {
	z.At = slices.Clone(z.At)
	if len(z.At) == 0 {
		if z.Lists&(IPv4|IPv6) != 0 {
			z.At = append(z.At, Client)
		}
		if z.Lists&Domains != 0 {
			z.At = append(z.At, Hello, Sender)
		}
	}
	for i, p := range z.At {
		switch {
		case p < Client || p > Received:
			bad("At", fmt.Sprintf("has a position %d, which there is not", p))
		case slices.Contains(z.At[:i], p):
			bad("At", fmt.Sprintf("has %v twice", p))
		case p.addresses() && z.Lists&(IPv4|IPv6) == 0:
			bad("At", fmt.Sprintf("has %v, and the zone lists no addresses", p))
		case !p.addresses() && z.Lists&Domains == 0:
			bad("At", fmt.Sprintf("has %v, and the zone lists no domains", p))
		}
	}
}

func (z *zone) compileCodes(bad func(field, why string)) {
	z.Codes = slices.Clone(z.Codes)
	if len(z.Codes) == 0 {
		z.Codes = []Code{{Answer: "127.0.0.2", Action: z.Action}}
		if z.Action == smtpguard.Continue {
			z.Codes[0].Action = smtpguard.Reject
		}
	}
	if !validAction(z.Action) {
		bad("Action", "is no action")
	}
	patterns := make([]dnslist.Pattern, len(z.Codes))
	for i := range z.Codes {
		c := &z.Codes[i]
		field := fmt.Sprintf("Codes[%d].", i)
		var err error
		if patterns[i], err = dnslist.ParsePattern(c.Answer); err != nil {
			bad(field+"Answer", fmt.Sprintf("%q: %v", c.Answer, err))
		}
		if math.IsNaN(c.Weight) || math.IsInf(c.Weight, 0) {
			bad(field+"Weight", "is not finite")
		}
		if !validAction(c.Action) {
			bad(field+"Action", "is no action")
		}
		if c.Accept < smtpguard.NoScope || c.Accept > smtpguard.ScopeConnection {
			bad(field+"Accept", "is no scope")
		}
		if c.Action != smtpguard.Continue && c.Accept != smtpguard.NoScope {
			bad(field+"Accept", "does not go with an Action")
		}
		if err := template(c.Reply); err != nil {
			bad(field+"Reply", err.Error())
		}
		c.Means = clean(c.Means, maxText)
		if c.Action == smtpguard.Continue && c.Accept == smtpguard.NoScope && c.Weight == 0 {
			c.Action = z.Action
		}
		if c.Reply == "" {
			c.Reply = z.Reply
		}
		z.reach.add(c)
	}
	refusals := make([]dnslist.Refusal, len(z.Refusals))
	for i, r := range z.Refusals {
		p, err := dnslist.ParsePattern(r.Answer)
		if err != nil {
			bad(fmt.Sprintf("Refusals[%d].Answer", i), fmt.Sprintf("%q: %v", r.Answer, err))
		}
		refusals[i] = dnslist.Refusal{Pattern: p, Means: clean(r.Means, maxText)}
	}
	var err error
	if z.list.Codes, err = dnslist.NewCodes(patterns, refusals); err != nil {
		bad("Codes", err.Error())
	}
}

func validAction(a smtpguard.Action) bool {
	return a >= smtpguard.Continue && a <= smtpguard.Disconnect
}
