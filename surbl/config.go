package surbl

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/dnslist"
	"github.com/smtpguard/smtpguard/internal/domain"
)

// Resolver is what lists are asked through, and what finds the addresses of
// hosts where a zone has Hosted. It must not be a public one: most operators
// refuse those. One that has LookupEach, as package dnsbl has it, is asked for
// many names at once.
type Resolver interface {
	dnslist.Resolver
}

var _ Resolver = (*net.Resolver)(nil)

// NameServers is what a Resolver is besides where a zone has Served.
type NameServers interface {
	LookupNS(ctx context.Context, name string) ([]*net.NS, error)
}

var _ NameServers = (*net.Resolver)(nil)

// Config says which lists are asked, and what their answers do. The zero value
// of a field means its default.
type Config struct {
	Name     string   // of the check, and in events; "surbl"
	Resolver Resolver // required where there are Zones
	Zones    []Zone   // up to 64
	Local    []Local  // lists of one's own, asked first

	Extract Extraction
	Follow  Following // over the network; nothing by default

	// Exempt are registered domains that are not looked up, nor their hosts; their
	// URLs and mail addresses are, where a zone lists those. Nil is [DefaultExempt]; an
	// empty slice is none.
	Exempt []string

	// Limits are sums of weights from which on an action is due; each code of each
	// zone counts once a message. The zero Limits leaves weights to
	// [smtpguard.Score].
	Limits Limits

	// Unseen is what follows where a message has more than is kept or asked about:
	// what is listed may be among it.
	Unseen Unseen

	// Lookups are the questions about one message; 300. One URI of each registered
	// domain comes before the second of any, the more telling before the less, and of
	// those that are equal the first, the last, the second, the last but one.
	Lookups int

	Timeout time.Duration // of all of them; 5 s
	Pending int           // questions under way, beyond which none is asked; 10,000

	Health Health

	// Observe hears of zones set aside and taken back, and from the check of
	// outbound mail of accounts that send listed links. It must not block; what
	// smtpguard.Config.Observe has will do.
	Observe func(smtpguard.Event)
}

// Limits are sums of weights that do what they are called. 0 means never. The
// strongest that is reached acts.
type Limits struct{ Quarantine, Defer, Reject float64 }

// Unseen says what follows where something of a message was not looked up. The
// zero Unseen tells it in the verdict's facts and does nothing else.
type Unseen struct {
	Weight float64          // into Verdict.Score and the sum for Config.Limits
	Action smtpguard.Action // whatever the sum
	Reply  string           // what the client reads where nothing that is listed decides; "" is a text of ours
}

// Health says how zones are watched. The zero value of a field means its default.
type Health struct {
	Every  time.Duration // between two tests of a zone, less or more a fifth; 15 minutes, negative: no tests
	Retry  time.Duration // a zone is set aside at first; 1 minute
	Errors int           // lookups failed in a row until a zone is set aside without a test; 10
}

// Local is a list of one's own: a set of package blocklist, say.
type Local struct {
	Name   string
	Find   func(u *URI) (means string, listed bool) // required; must not block
	Weight float64
	Action smtpguard.Action // with neither this nor a Weight, Reject
	Reply  string           // as in Code
}

// Lists are compiled zones. They are safe for concurrent use.
type Lists struct {
	cfg     Config
	extract *Extractor
	exempt  map[string]struct{}
	zones   []*zone
	lists   Subject // of all zones
	asker   dnslist.Asker
	servers NameServers // nil where no zone needs them
	key     smtpguard.Key[*Result]
}

// zone is a compiled Zone.
type zone struct {
	Zone
	list dnslist.List
}

const maxZones = 64

// New compiles cfg. It reports everything that is wrong with it, and asks
// nothing.
func New(cfg Config) (*Lists, error) {
	l := &Lists{cfg: cfg, exempt: make(map[string]struct{})}
	var errs []error
	bad := func(field, why string) { errs = append(errs, fmt.Errorf("surbl: Config.%s %s", field, why)) }
	l.cfg.defaults(bad)
	for i, name := range l.cfg.Exempt {
		normal, err := domain.Normal(name)
		if err != nil {
			bad(fmt.Sprintf("Exempt[%d]", i), "is no domain name")
		}
		l.exempt[normal] = struct{}{}
	}
	if len(cfg.Zones) > maxZones {
		bad("Zones", fmt.Sprintf("are %d: must be at most %d", len(cfg.Zones), maxZones))
	}
	if len(cfg.Zones)+len(cfg.Local) == 0 {
		bad("Zones", "are missing, and so are Local")
	}
	for i := range cfg.Zones {
		z := &zone{Zone: cfg.Zones[i]}
		z.compile(func(field, why string) { bad(fmt.Sprintf("Zones[%d].%s", i, field), why) })
		if slices.ContainsFunc(l.zones, func(other *zone) bool { return other.Name == z.Name }) {
			bad(fmt.Sprintf("Zones[%d].Name", i), fmt.Sprintf("%q is another zone's too", z.Name))
		}
		l.zones = append(l.zones, z)
		l.lists |= z.Lists
		if z.Lists&Served != 0 {
			var ok bool
			if l.servers, ok = cfg.Resolver.(NameServers); !ok && cfg.Resolver != nil {
				bad("Resolver", fmt.Sprintf("has no LookupNS, which Zones[%d].Lists needs", i))
			}
		}
	}
	x, err := NewExtractor(l.extraction())
	if err != nil {
		errs = append(errs, err)
	} else {
		x.exempt, x.mailboxes, x.paths = l.exempt, l.lists&Address != 0, l.lists&URL != 0
		l.extract = x
	}
	l.asker = dnslist.Asker{Resolver: cfg.Resolver, Timeout: l.cfg.Timeout, Pending: l.cfg.Pending,
		Errors: l.cfg.Health.Errors, Retry: l.cfg.Health.Retry, Every: l.cfg.Health.Every, Told: l.told}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return l, nil
}

// extraction is Config.Extract, and what the zones need besides.
func (l *Lists) extraction() Extraction {
	x := l.cfg.Extract
	x.Wallets = x.Wallets || l.lists&Crypto != 0
	x.Files = slices.Clone(x.Files)
	for _, z := range l.zones {
		if z.Lists&Attached != 0 && !slices.Contains(x.Files, z.Hash.Sum) {
			x.Files = append(x.Files, z.Hash.Sum)
		}
	}
	return x
}

func (c *Config) defaults(bad func(field, why string)) {
	if c.Name == "" {
		c.Name = "surbl"
	}
	if c.Resolver == nil && len(c.Zones) > 0 {
		bad("Resolver", "is missing")
	}
	if c.Exempt == nil {
		c.Exempt = DefaultExempt()
	}
	for _, n := range []struct {
		field    string
		value    *int
		fallback int
	}{{"Lookups", &c.Lookups, 300}, {"Pending", &c.Pending, 10000}, {"Health.Errors", &c.Health.Errors, 10}} {
		if *n.value < 0 {
			bad(n.field, "must not be negative")
		} else if *n.value == 0 {
			*n.value = n.fallback
		}
	}
	for _, d := range []struct {
		field    string
		value    *time.Duration
		fallback time.Duration
	}{{"Timeout", &c.Timeout, 5 * time.Second}, {"Health.Retry", &c.Health.Retry, time.Minute}, {"", &c.Health.Every, 15 * time.Minute}} {
		if *d.value < 0 && d.field != "" {
			bad(d.field, "must not be negative")
		} else if *d.value == 0 {
			*d.value = d.fallback
		}
	}
	vet(Code{Weight: c.Unseen.Weight, Action: c.Unseen.Action}, func(f, why string) { bad("Unseen."+f, why) })
	if c.Unseen.Reply != clean(c.Unseen.Reply) {
		bad("Unseen.Reply", "has characters that replies cannot have")
	}
	for _, l := range []struct {
		name  string
		value float64
	}{{"Quarantine", c.Limits.Quarantine}, {"Defer", c.Limits.Defer}, {"Reject", c.Limits.Reject}} {
		if !(l.value >= 0) || math.IsInf(l.value, 0) {
			bad("Limits."+l.name, "must be 0 or more, and finite")
		}
	}
	c.Follow.defaults(bad)
	c.Local = slices.Clone(c.Local)
	for i := range c.Local {
		field := fmt.Sprintf("Local[%d].", i)
		lo := &c.Local[i]
		if lo.Name == "" || lo.Name != clean(lo.Name) {
			bad(field+"Name", "is missing, or has characters that replies cannot have")
		}
		if lo.Find == nil {
			bad(field+"Find", "is missing")
		}
		if lo.Weight == 0 && lo.Action == smtpguard.Continue {
			lo.Action = smtpguard.Reject
		}
		vet(Code{Weight: lo.Weight, Action: lo.Action, Reply: lo.Reply}, func(f, why string) { bad(field+f, why) })
	}
}
