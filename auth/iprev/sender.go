package iprev

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"

	"github.com/smtpguard/smtpguard/internal/bogon"
	"github.com/smtpguard/smtpguard/internal/domain"
)

// Sender is whether a domain can receive mail. The zero Sender is that it can,
// or that nobody asked.
type Sender struct {
	Domain  string   // in normal form, "" for what is no domain name and for literals
	Hosts   []string // that take its mail, best first, up to 10
	Finding Finding  // why it cannot; 0 when it can
	Err     error    // of SenderTemporary
}

// maxMX bounds the MX hosts whose addresses are looked up: the best ones.
const maxMX = 10

// Sender looks up where mail for a domain, or for an address literal, goes: MX,
// or where there is none its own addresses (RFC 5321, section 5.1).
func (c *Checker) Sender(ctx context.Context, name string) (s Sender) {
	if a, ok := domain.Literal(name); ok {
		if bogon.Is(a) {
			s.Finding = SenderBogon
		}
		return s
	}
	n, err := domain.Normal(name)
	if err != nil {
		s.Finding = SenderInvalid
		return s
	}
	s.Domain = n
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	records, err := c.exchanges(ctx, n)
	missing := notFound(err) || err == nil && len(records) == 0
	if err != nil && !missing {
		s.Finding, s.Err = SenderTemporary, err
		return s
	}
	if len(records) == 1 && (records[0].Host == "." || records[0].Host == "") {
		s.Finding = SenderNullMX // RFC 7505, section 3
		return s
	}
	if s.Hosts = hosts(records); missing {
		s.Hosts = []string{n}
	}
	var lists [][]netip.Addr
	var errs []error
	if len(s.Hosts) > 0 {
		lists, errs = c.allAddrs(ctx, s.Hosts)
	}
	resolved := false
	for _, list := range lists {
		if anyPublic(list) {
			return s
		}
		resolved = resolved || len(list) > 0
	}
	s.Err = temporary(errs)
	switch {
	case s.Err != nil:
		s.Finding = SenderTemporary
	case resolved:
		s.Finding = SenderBogon
	case missing:
		s.Finding, s.Hosts = SenderNoMail, nil
	default:
		s.Finding = SenderUnknown
	}
	return s
}

// exchanges looks up the MX records of a name in normal form. What a resolver
// says of records that it left out is not an error as long as there are others.
func (c *Checker) exchanges(ctx context.Context, name string) (records []*net.MX, err error) {
	defer func() {
		if recover() != nil {
			err = errPanicked
		}
	}()
	records, err = c.cfg.Resolver.LookupMX(ctx, name+".")
	if len(records) > 0 {
		err = nil
	}
	return records, err
}

// hosts are the hosts of MX records that are host names, best first.
func hosts(records []*net.MX) (names []string) {
	records = slices.DeleteFunc(slices.Clone(records), func(mx *net.MX) bool { return mx == nil })
	slices.SortStableFunc(records, func(a, b *net.MX) int { return cmp.Compare(a.Pref, b.Pref) })
	for _, mx := range records {
		if n, err := domain.Normal(mx.Host); err == nil && !slices.Contains(names, n) && len(names) < maxMX {
			names = append(names, n)
		}
	}
	return names
}
