package iprev

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"

	"github.com/smtpguard/smtpguard/internal/bogon"
)

// maxAddrs bounds the addresses of one name that are looked at.
const maxAddrs = 64

var errPanicked = errors.New("iprev: the resolver panicked")

// notFound reports whether err says that there is nothing, rather than that it
// could not be found out.
func notFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// addrs looks up the addresses of a name in normal form, IPv4 and IPv6. A name
// without any is no error.
func (c *Checker) addrs(ctx context.Context, name string) (list []netip.Addr, err error) {
	defer func() {
		if recover() != nil {
			err = errPanicked
		}
	}()
	found, err := c.cfg.Resolver.LookupNetIP(ctx, "ip", name+".")
	if err != nil {
		if notFound(err) {
			err = nil
		}
		return nil, err
	}
	found = found[:min(len(found), maxAddrs)]
	list = make([]netip.Addr, len(found)) // those that the resolver returned are its own
	for i, a := range found {
		list[i] = a.Unmap().WithZone("")
	}
	return list, nil
}

// allAddrs looks up the addresses of several names side by side.
func (c *Checker) allAddrs(ctx context.Context, names []string) ([][]netip.Addr, []error) {
	lists, errs := make([][]netip.Addr, len(names)), make([]error, len(names))
	if len(names) == 1 {
		lists[0], errs[0] = c.addrs(ctx, names[0])
		return lists, errs
	}
	type found struct {
		i    int
		list []netip.Addr
		err  error
	}
	here := make(chan found, len(names)) // room for those that nobody awaits
	for i, name := range names {
		errs[i] = context.DeadlineExceeded
		go func() {
			f := found{i: i, err: errPanicked}
			defer func() { here <- f }()
			f.list, f.err = c.addrs(ctx, name)
		}()
	}
	for range names {
		select {
		case f := <-here:
			lists[f.i], errs[f.i] = f.list, f.err
		case <-ctx.Done():
			return lists, errs
		}
	}
	return lists, errs
}

// anyPublic reports whether an address of list has public meaning.
func anyPublic(list []netip.Addr) bool {
	return slices.ContainsFunc(list, func(a netip.Addr) bool { return !bogon.Is(a) })
}

// temporary is the first error of errs, nil when there is none.
func temporary(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
