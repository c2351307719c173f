package iprev

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/domain"
)

// Resolver is what names and addresses are looked up with.
type Resolver interface {
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
}

var _ Resolver = (*net.Resolver)(nil)

// Config says what is looked at, and what findings do. The zero value of a field
// means its default.
type Config struct {
	Name     string   // of the check; "iprev"
	Resolver Resolver // required

	// OurNames and OurAddrs are ours: nobody else may greet with them. A client
	// at one of OurAddrs may.
	OurNames []string
	OurAddrs []netip.Prefix

	Rules    map[Finding]Rule // nil means [DefaultRules]
	Patterns []Pattern        // of names that providers give; nil means [DefaultPatterns]

	// Judge is the stage at which what is known of the client acts: StageHello,
	// StageMail or StageRcpt, which is the default. The reverse-path acts there too,
	// but not before MAIL.
	Judge smtpguard.Stage

	// Timeout bounds the lookups of one thing. What is not known by then is
	// temporary. 5 s.
	Timeout time.Duration

	// Known reports clients that are not looked at. Nil is those with a proven
	// login: what their computers are called is nobody's business.
	Known func(*smtpguard.Conn) bool
}

// Checker is a compiled Config. It is safe for concurrent use.
type Checker struct {
	cfg      Config
	ours     map[string]bool
	patterns patterns

	reverse smtpguard.Key[Reverse] // on the connection
	hello   smtpguard.Key[Hello]   // on the connection where Judge is StageHello, else on the transaction
	sender  smtpguard.Key[Sender]  // on the transaction
}

// New compiles cfg. It reports everything that is wrong with it, and asks
// nothing.
func New(cfg Config) (*Checker, error) {
	c := &Checker{cfg: cfg, ours: make(map[string]bool)}
	var errs []error
	bad := func(field, why string) { errs = append(errs, fmt.Errorf("iprev: Config.%s %s", field, why)) }
	if cfg.Name == "" {
		c.cfg.Name = "iprev"
	}
	if cfg.Resolver == nil {
		bad("Resolver", "is missing")
	}
	for i, n := range cfg.OurNames {
		name, err := domain.Normal(n)
		if err != nil {
			bad(fmt.Sprintf("OurNames[%d]", i), fmt.Sprintf("%q is no domain name", n))
		}
		c.ours[name] = true
	}
	c.cfg.OurAddrs = slices.Clone(cfg.OurAddrs)
	for i, p := range c.cfg.OurAddrs {
		if !p.IsValid() {
			bad(fmt.Sprintf("OurAddrs[%d]", i), "is no prefix")
		}
	}
	if c.cfg.Rules = maps.Clone(cfg.Rules); cfg.Rules == nil {
		c.cfg.Rules = DefaultRules()
	}
	for f, r := range c.cfg.Rules {
		field := fmt.Sprintf("Rules[%v]", f)
		if f == 0 || f >= findings {
			bad(field, fmt.Sprintf("is for finding %d, which there is not", f))
		}
		if r.Action < smtpguard.Continue || r.Action > smtpguard.Disconnect {
			bad(field+".Action", "is no action")
		}
		if math.IsNaN(r.Score) || math.IsInf(r.Score, 0) {
			bad(field+".Score", "is not finite")
		}
	}
	switch cfg.Judge {
	case 0:
		c.cfg.Judge = smtpguard.StageRcpt
	case smtpguard.StageHello, smtpguard.StageMail, smtpguard.StageRcpt:
	default:
		bad("Judge", fmt.Sprintf("is %v: must be hello, mail or rcpt", cfg.Judge))
	}
	if cfg.Timeout < 0 {
		bad("Timeout", "must not be negative")
	} else if cfg.Timeout == 0 {
		c.cfg.Timeout = 5 * time.Second
	}
	if cfg.Known == nil {
		c.cfg.Known = func(conn *smtpguard.Conn) bool { _, ok := conn.Login(); return ok }
	}
	list := cfg.Patterns
	if list == nil {
		list = DefaultPatterns()
	}
	if err := c.patterns.compile(list); err != nil {
		bad("Patterns", err.Error())
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}

// isOurs reports whether addr is one of OurAddrs.
func (c *Checker) isOurs(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(c.cfg.OurAddrs, func(p netip.Prefix) bool { return p.Contains(addr) })
}
