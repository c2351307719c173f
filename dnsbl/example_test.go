package dnsbl_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/dnsbl"
)

// lists is a resolver with a handful of names, in place of net.DefaultResolver.
type lists map[string]netip.Addr

func (l lists) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a, ok := l[host]; ok {
		return []netip.Addr{a}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (l lists) LookupTXT(_ context.Context, name string) ([]string, error) {
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func Example() {
	resolver := lists{
		"8.7.6.5.zen.spamhaus.org.":     netip.MustParseAddr("127.0.0.4"),
		"8.7.6.5.bl.spamcop.net.":       netip.MustParseAddr("127.0.0.2"),
		"9.7.6.5.zen.spamhaus.org.":     netip.MustParseAddr("127.255.255.254"),
		"bad.example.dbl.spamhaus.org.": netip.MustParseAddr("127.0.1.4"),
	}
	zen := dnsbl.SpamhausZEN()
	zen.Name = "ZEN"
	for i := range zen.Codes { // score with it, and have the sum decide
		zen.Codes[i].Action, zen.Codes[i].Weight = smtpguard.Continue, 5
	}
	l, err := dnsbl.New(dnsbl.Config{
		Resolver: resolver,
		Zones:    []dnsbl.Zone{zen, dnsbl.SpamCop(), dnsbl.SpamhausDBL()},
		Limits:   dnsbl.Limits{Reject: 7},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	for _, res := range []dnsbl.Result{
		l.Addr(ctx, netip.MustParseAddr("5.6.7.8")),
		l.Addr(ctx, netip.MustParseAddr("5.6.7.9")),
		l.Domain(ctx, "bad.example"),
	} {
		fmt.Println(res.Action, res.Score)
		for _, li := range res.Listings {
			fmt.Println(" ", li.String())
		}
		for _, f := range res.Failures {
			fmt.Println("  no answer from", f.Zone+":", f.Err)
		}
	}
	// Output:
	// reject 8
	//   5.6.7.8 is listed by ZEN (XBL, compromised host)
	//   5.6.7.8 is listed by bl.spamcop.net (reported for spam)
	// continue 0
	//   no answer from ZEN: answers 127.255.255.254: asked through a public resolver, or one whose owner cannot be told
	// reject 0
	//   bad.example is listed by dbl.spamhaus.org (phishing domain)
}
