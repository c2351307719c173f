package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
	"github.com/smtpguard/smtpguard/internal/dnszone"
	"github.com/smtpguard/smtpguard/resolver"
)

// It serves whoever can do with a *net.Resolver, and dnsbl's wish for more.
// methods are those of *net.Resolver that ask DNS.
type methods interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNS(ctx context.Context, name string) ([]*net.NS, error)
	LookupHost(ctx context.Context, host string) ([]string, error)
	LookupIP(ctx context.Context, network, host string) ([]net.IP, error)
	LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupCNAME(ctx context.Context, host string) (string, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

var (
	_ methods = (*net.Resolver)(nil)
	_ methods = (*resolver.Resolver)(nil)

	// What dnsbl asks of a resolver that can do more.
	_ interface {
		LookupEach(ctx context.Context, hosts []string, answer func(i int, addrs []netip.Addr, err error) bool)
	} = (*resolver.Resolver)(nil)
)

func Example() {
	srv, err := dnszone.New(`
		$ORIGIN example.org.
		@                  300 IN TXT "v=spf1 -all"
		@                  300 IN MX  10 mail
		2.0.0.127.bl       300 IN A   127.0.0.2`)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()

	r, err := resolver.New(resolver.Config{
		Servers: []resolver.Server{{Addr: srv.Addr()}}, // a local unbound, say; without it those of /etc/resolv.conf
		Cache:   resolver.Cache{Stale: time.Hour},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()

	// All that is looked up for one message draws on one budget.
	budget := &resolver.Budget{Queries: 100, Time: 20 * time.Second}
	ctx := resolver.WithCheck(resolver.WithBudget(context.Background(), budget), "spf")
	texts, err := r.LookupTXT(ctx, "example.org")
	fmt.Println(texts, err)

	_, err = r.LookupMX(ctx, "none.example.org")
	fmt.Println(errors.Is(err, resolver.ErrNoName), errors.Is(err, resolver.ErrTimeout))

	mx, err := r.Lookup(ctx, "example.org", dns.TypeMX)
	fmt.Println(mx.MX()[0].Host, mx.TTL, mx.Authentic, err)

	// A check of DNS lists, over one socket.
	lists := []string{"2.0.0.127.bl.example.org", "2.0.0.127.other.example.org"}
	r.LookupEach(resolver.WithCheck(ctx, "dnsbl"), lists, func(i int, addrs []netip.Addr, err error) bool {
		if err == nil {
			fmt.Println(lists[i], addrs)
		}
		return true
	})
	for _, s := range budget.Spent() {
		fmt.Println(s.Check, s.Queries)
	}
	// Output:
	// [v=spf1 -all] <nil>
	// true false
	// mail.example.org. 5m0s false <nil>
	// 2.0.0.127.bl.example.org [127.0.0.2]
	// dnsbl 2
	// spf 3
}
