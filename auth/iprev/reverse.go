package iprev

import (
	"context"
	"net/netip"
	"slices"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// Status is a result of the method iprev (RFC 8601, section 2.7.3).
type Status string

const (
	Pass      Status = "pass"      // a name of the address leads back to it
	Fail      Status = "fail"      // it has names, and none does
	TempError Status = "temperror" // that could not be found out now
	PermError Status = "permerror" // it has no names
)

// Reverse is what reverse DNS says of an address. The zero Reverse is that
// nobody asked.
type Reverse struct {
	Addr    netip.Addr
	Status  Status
	Names   []string // confirmed ones, in normal form, sorted
	Claimed []string // all of them, sorted, up to 10
	Err     error    // of TempError
	Generic Class    // of the confirmed names, or where there is none of the others: the least of them
}

// maxNames bounds the names of an address that are looked up, as RFC 7208,
// section 4.6.4, does for SPF.
const maxNames = 10

// Reverse looks up the names of addr, and the addresses of these. Names that are
// no host names count for nothing.
func (c *Checker) Reverse(ctx context.Context, addr netip.Addr) Reverse {
	r := Reverse{Addr: addr.Unmap().WithZone(""), Status: PermError}
	if !r.Addr.IsValid() {
		return r
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	names, err := c.pointers(ctx, r.Addr)
	if err != nil {
		if !notFound(err) {
			r.Status, r.Err = TempError, err
		}
		return r
	}
	for _, n := range names {
		if n, err := domain.Normal(n); err == nil && !slices.Contains(r.Claimed, n) {
			r.Claimed = append(r.Claimed, n)
		}
		if len(r.Claimed) == maxNames {
			break
		}
	}
	if len(names) == 0 {
		return r
	}
	slices.Sort(r.Claimed)
	r.Status = Fail
	if len(r.Claimed) == 0 {
		return r
	}
	lists, errs := c.allAddrs(ctx, r.Claimed)
	for i, list := range lists {
		if slices.Contains(list, r.Addr) {
			r.Names = append(r.Names, r.Claimed[i])
		}
	}
	judged := r.Claimed
	if len(r.Names) > 0 {
		r.Status, judged = Pass, r.Names
	} else if err := temporary(errs); err != nil {
		r.Status, r.Err = TempError, err
	}
	r.Generic = c.patterns.least(judged, r.Addr)
	return r
}

// pointers looks up the names of addr. What a resolver says of records that it
// left out is not an error as long as there are others.
func (c *Checker) pointers(ctx context.Context, addr netip.Addr) (names []string, err error) {
	defer func() {
		if recover() != nil {
			err = errPanicked
		}
	}()
	names, err = c.cfg.Resolver.LookupAddr(ctx, addr.String())
	if len(names) > 0 {
		err = nil
	}
	return names, err
}

// Findings are what r leads to.
func (r *Reverse) Findings() (list []Finding) {
	switch r.Status {
	case PermError:
		return []Finding{ReverseNone}
	case TempError:
		list = append(list, ReverseTemporary)
	case Fail:
		list = append(list, ReverseMismatch)
	}
	switch r.Generic {
	case Generic:
		list = append(list, ReverseGeneric)
	case Dynamic:
		list = append(list, ReverseDynamic)
	}
	return list
}
