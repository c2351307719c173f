package dmarc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// Resolver is what a check asks of DNS, in the shape of *net.Resolver. Names
// are given with their trailing dot. A TXT record comes with its strings joined.
//
// An answer of none, or an error that is a *net.DNSError with IsNotFound, means
// that there is no such record; every other error makes a temperror.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

var _ Resolver = (*net.Resolver)(nil)

// Discovery is how organizational domains, and with them policies, are found.
type Discovery string

const (
	TreeWalk Discovery = "treewalk" // RFC 9989, section 4.10

	// PublicSuffix is by the Public Suffix List, and the rest as in RFC 7489 too:
	// pct= counts, np=, psd= and t= do not.
	PublicSuffix Discovery = "psl"
)

// Config is how a Checker works. The zero Config asks net.DefaultResolver, walks
// the tree, and rejects messages without one clear author.
type Config struct {
	Resolver Resolver // nil means net.DefaultResolver

	// Exists reports whether there is a domain of that name, given with its
	// trailing dot, or anything below it: false only for NXDOMAIN (RFC 9989,
	// section 3.2.13). It is asked where np= decides.
	//
	// nil asks Resolver for TXT and, where it has the methods of *net.Resolver,
	// for MX and addresses, and takes a name that has none of them for one that
	// does not exist: *net.Resolver does not tell NXDOMAIN from no data.
	Exists func(ctx context.Context, name string) (bool, error)

	Discovery Discovery // "" means TreeWalk

	// Compare makes every check do the other discovery as well, and tell what it
	// would change: see [Outcome.Other].
	Compare bool

	// SuffixOf returns the public suffix of a domain in normal form, "co.uk" for
	// "example.co.uk"; nil means golang.org/x/net/publicsuffix.
	SuffixOf func(name string) string

	// Malformed is the disposition of a message with a [Defect]; "" means Reject.
	Malformed Policy

	// Mailboxes is how many addresses From may have, all of one domain; 0 means
	// one. RFC 9989, section 11.5, leaves it to the receiver.
	Mailboxes int

	Lookups int           // most DNS queries for one message; 0 means 32, and 8 is the least
	Timeout time.Duration // for all of them; 0 means 10 seconds
	Records int           // how many parsed records are kept; 0 means 4,096, negative none
}

// Checker evaluates messages. It is safe for concurrent use.
type Checker struct {
	resolver  Resolver
	exists    func(ctx context.Context, name string) (bool, error)
	discovery Discovery
	compare   bool
	suffixOf  func(name string) string
	malformed Policy
	mailboxes int
	budget    int
	timeout   time.Duration
	records   cache
}

// New returns a Checker. It reports every field of cfg that is wrong.
func New(cfg Config) (*Checker, error) {
	c := &Checker{
		resolver: cfg.Resolver, exists: cfg.Exists, discovery: cfg.Discovery, compare: cfg.Compare,
		suffixOf: cfg.SuffixOf, malformed: cfg.Malformed, mailboxes: max(cfg.Mailboxes, 1),
		budget: cfg.Lookups, timeout: cfg.Timeout,
	}
	if c.resolver == nil {
		c.resolver = net.DefaultResolver
	}
	if c.exists == nil {
		c.exists = c.resolves
	}
	if c.suffixOf == nil {
		c.suffixOf = func(name string) string {
			suffix, _ := publicsuffix.PublicSuffix(name)
			return suffix
		}
	}
	switch {
	case cfg.Records == 0:
		c.records.most = defaultRecords / 2
	case cfg.Records > 0:
		c.records.most = (cfg.Records + 1) / 2
	}
	if c.timeout == 0 {
		c.timeout = 10 * time.Second
	}
	var errs []error
	switch c.discovery {
	case "":
		c.discovery = TreeWalk
	case TreeWalk, PublicSuffix:
	default:
		errs = append(errs, fmt.Errorf("dmarc: Discovery %q: neither treewalk nor psl", c.discovery))
	}
	switch c.malformed {
	case "":
		c.malformed = Reject
	case NoPolicy, Quarantine, Reject:
	default:
		errs = append(errs, fmt.Errorf("dmarc: Malformed %q: neither none, quarantine nor reject", c.malformed))
	}
	if cfg.Mailboxes < 0 {
		errs = append(errs, errors.New("dmarc: Mailboxes: must not be negative"))
	}
	switch {
	case cfg.Lookups == 0:
		c.budget = 4 * maxWalk
	case cfg.Lookups < maxWalk:
		errs = append(errs, fmt.Errorf("dmarc: Lookups %d: one tree walk takes up to %d", cfg.Lookups, maxWalk))
	}
	if cfg.Timeout < 0 {
		errs = append(errs, errors.New("dmarc: Timeout: must not be negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}

// normal is the normal form of a domain.
func normal(name string) (string, error) {
	n, err := domain.Normal(name)
	if err != nil {
		return "", fmt.Errorf("dmarc: %.300q: %w", name, err)
	}
	return n, nil
}

// registered returns the organizational domain by the Public Suffix List: the
// public suffix and one label more. That of a public suffix is itself (RFC
// 7489, section 3.2).
func (c *Checker) registered(name string) string {
	suffixed := c.suffixOf(name)
	if suffixed == "" || !within(name, suffixed) || name == suffixed {
		return name
	}
	return suffix(name, labels(suffixed)+1)
}

// resolves is the default of Exists. What fails counts for more than what is
// not found: there may be an answer behind it.
func (c *Checker) resolves(ctx context.Context, name string) (bool, error) {
	found, err := answered(c.resolver.LookupTXT(ctx, name))
	if found {
		return true, nil
	}
	if r, ok := c.resolver.(interface {
		LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	}); ok {
		found, mxErr := answered(r.LookupMX(ctx, name))
		if found {
			return true, nil
		}
		err = errors.Join(err, mxErr)
	}
	if r, ok := c.resolver.(interface {
		LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	}); ok {
		found, ipErr := answered(r.LookupNetIP(ctx, "ip", name))
		if found {
			return true, nil
		}
		err = errors.Join(err, ipErr)
	}
	return false, err
}

// answered reports whether a lookup found something, and why it may have missed
// it.
func answered[T any](list []T, err error) (bool, error) {
	switch {
	case len(list) > 0:
		return true, nil
	case err != nil && !notFound(err):
		return false, err
	}
	return false, nil
}
