package iprev_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/smtpguard/smtpguard/auth/iprev"
)

// few is a resolver with a handful of records, in place of net.DefaultResolver.
type few struct{}

func (few) LookupAddr(_ context.Context, addr string) ([]string, error) {
	if addr == "5.6.7.8" {
		return []string{"5-6-7-8.dyn.isp.example."}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: addr, IsNotFound: true}
}

func (few) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if host == "5-6-7-8.dyn.isp.example." {
		return []netip.Addr{netip.MustParseAddr("5.6.7.8")}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (few) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return []*net.MX{{Host: "."}}, nil
}

func Example() {
	c, err := iprev.New(iprev.Config{Resolver: few{}, OurNames: []string{"mx.example.org"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, client := context.Background(), netip.MustParseAddr("5.6.7.8")

	r := c.Reverse(ctx, client)
	fmt.Println("reverse:", r.Status, r.Names, r.Findings())
	for _, name := range []string{"mx.example.org", "[192.0.2.1]", "localhost", "mail.example.com"} {
		fmt.Println("EHLO", name+":", c.Hello(ctx, name, client).Findings)
	}
	s := c.Sender(ctx, "example.com")
	fmt.Println("sender:", s.Finding)
	fmt.Println("score:", c.Verdict(r.Findings()...).Score, "reply:", c.Verdict(s.Finding).Reply.Message)
	// Output:
	// reverse: pass [5-6-7-8.dyn.isp.example] [reverse-dynamic]
	// EHLO mx.example.org: [hello-ours]
	// EHLO [192.0.2.1]: [hello-not-client]
	// EHLO localhost: [hello-unqualified]
	// EHLO mail.example.com: [hello-unknown]
	// sender: sender-null-mx
	// score: 2 reply: The sender's domain says that it takes no mail
}
