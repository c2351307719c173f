package spf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// Resolver is what a check asks of DNS, in the shape of *net.Resolver. Names
// are given with their trailing dot. A TXT record comes with its strings joined.
//
// An answer of none, or an error that is a *net.DNSError with IsNotFound, means
// that there is no such record; every other error makes a temperror.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) // "ip4" or "ip6"
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

var _ Resolver = (*net.Resolver)(nil)

// Config is how a Checker works. The zero Config asks net.DefaultResolver.
type Config struct {
	Resolver Resolver // nil means net.DefaultResolver

	// Receiver is the name of the host that checks, for the %{r} of explanations;
	// "" means "unknown" (RFC 7208, section 7.3).
	Receiver string

	// Timeout bounds one check; 0 means 20 seconds, the least that RFC 7208,
	// section 4.6.4, recommends. An earlier deadline of the context counts.
	Timeout time.Duration

	// VoidLookups is how many terms may find no such name or no such data; 0
	// means two (section 4.6.4), negative none.
	VoidLookups int

	// Records is how many parsed records are kept, of 2 KiB each at most on
	// average; 0 means 4,096, negative none.
	Records int
}

// Checker evaluates policies. It is safe for concurrent use. The zero Checker
// finds a temperror everywhere: New makes others.
type Checker struct {
	resolver Resolver
	receiver string
	timeout  time.Duration
	voids    int
	records  *cache
}

// New returns a Checker. It reports every field of cfg that is wrong.
func New(cfg Config) (*Checker, error) {
	c := &Checker{resolver: cfg.Resolver, receiver: "unknown", timeout: cfg.Timeout, voids: cfg.VoidLookups}
	var errs []error
	if cfg.Receiver != "" {
		name, err := domain.Normal(cfg.Receiver)
		if err != nil {
			errs = append(errs, fmt.Errorf("spf: Receiver %q: %w", cfg.Receiver, err))
		}
		c.receiver = name
	}
	if c.resolver == nil {
		c.resolver = net.DefaultResolver
	}
	switch {
	case cfg.Timeout < 0:
		errs = append(errs, errors.New("spf: Timeout: must not be negative"))
	case cfg.Timeout == 0:
		c.timeout = 20 * time.Second
	}
	switch {
	case cfg.VoidLookups < 0:
		c.voids = 0
	case cfg.VoidLookups == 0:
		c.voids = 2
	}
	switch {
	case cfg.Records == 0:
		c.records = newCache(4096)
	case cfg.Records > 0:
		c.records = newCache(cfg.Records)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}

// MailFrom checks the "MAIL FROM" identity (RFC 7208, section 2.4): addr is the
// client's address, an IPv4-mapped one being IPv4; helo what it said in HELO or
// EHLO; reversePath what it said in MAIL FROM, without brackets. The null
// reverse-path, "", stands for postmaster at the HELO identity.
func (c *Checker) MailFrom(ctx context.Context, addr netip.Addr, helo, reversePath string) Outcome {
	if reversePath == "" {
		return c.check(ctx, MailFrom, addr, helo, "", helo, "")
	}
	local, name := split(reversePath)
	return c.check(ctx, MailFrom, addr, helo, local, name, reversePath)
}

// Helo checks the "HELO" identity (section 2.3): helo is what the client at
// addr said in HELO or EHLO.
func (c *Checker) Helo(ctx context.Context, addr netip.Addr, helo string) Outcome {
	return c.check(ctx, Helo, addr, helo, "", helo, "")
}
