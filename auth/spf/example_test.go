package spf_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	blitiri "blitiri.com.ar/go/spf"

	"github.com/smtpguard/smtpguard/auth/spf"
)

// exampleZone stands for DNS.
func exampleZone() zone {
	return parseZone(new(testing.T), `
example.org TXT v=spf1 mx include:_spf.example.net -all exp=why.example.org
example.org MX 10 mail.example.org
mail.example.org A 192.0.2.25
_spf.example.net TXT v=spf1 ip4:198.51.100.0/24 -all
why.example.org TXT %{i} does not send for %{d}
old.example TXT v=spf1 ptr include:gone.example +all
`)
}

func Example() {
	checker, err := spf.New(spf.Config{Resolver: exampleZone(), Receiver: "mx.example.com"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, client := range []string{"198.51.100.7", "203.0.113.9"} {
		found := checker.MailFrom(context.Background(), netip.MustParseAddr(client), "mail.example.org", "ann@example.org")
		fmt.Printf("%s by %q, %d lookups, says %q\n", found.Result, found.Mechanism, found.Lookups, found.Explanation)
		for _, step := range found.Trace {
			fmt.Println("  ", step)
		}
		fmt.Print(strings.ReplaceAll(found.Received("mx.example.com").Field(), "\r\n", "\n"))
	}
	// Output:
	// pass by "include:_spf.example.net", 2 lookups, says ""
	//    example.org: "v=spf1 mx include:_spf.example.net -all exp=why.example.org": record
	//    example.org: "mx": no match
	//    example.org: "include:_spf.example.net": follow
	//    _spf.example.net: "v=spf1 ip4:198.51.100.0/24 -all": record
	//    _spf.example.net: "ip4:198.51.100.0/24": match
	//    example.org: "include:_spf.example.net": match
	// Received-SPF: pass
	// 	(domain of example.org designates 198.51.100.7 as permitted sender)
	// 	client-ip=198.51.100.7;
	// 	envelope-from="ann@example.org";
	// 	helo=mail.example.org;
	// 	identity=mailfrom;
	// 	receiver=mx.example.com;
	// 	mechanism="include:_spf.example.net"
	// fail by "-all", 2 lookups, says "203.0.113.9 does not send for example.org"
	//    example.org: "v=spf1 mx include:_spf.example.net -all exp=why.example.org": record
	//    example.org: "mx": no match
	//    example.org: "include:_spf.example.net": follow
	//    _spf.example.net: "v=spf1 ip4:198.51.100.0/24 -all": record
	//    _spf.example.net: "-all": match
	//    example.org: "include:_spf.example.net": no match
	//    example.org: "-all": match
	// Received-SPF: fail
	// 	(domain of example.org does not designate 203.0.113.9 as permitted sender)
	// 	client-ip=203.0.113.9;
	// 	envelope-from="ann@example.org";
	// 	helo=mail.example.org;
	// 	identity=mailfrom;
	// 	receiver=mx.example.com;
	// 	mechanism=-all
}

func ExampleChecker_Lint() {
	checker, err := spf.New(spf.Config{Resolver: exampleZone()})
	if err != nil {
		fmt.Println(err)
		return
	}
	report := checker.Lint(context.Background(), "old.example")
	for _, finding := range report.Findings {
		fmt.Println(finding)
	}
	fmt.Println(report.Lookups, "lookups")
	// Output:
	// old.example: "ptr": ptr: should not be published: it is slow, and many receivers skip it
	// old.example: "include:gone.example": dead end: gone.example has no policy
	// old.example: "+all": anybody passes: lets every client pass
	// 2 lookups
}

// Evaluator is what a caller needs of this package: *spf.Checker is one.
type Evaluator interface {
	MailFrom(ctx context.Context, addr netip.Addr, helo, reversePath string) spf.Outcome
}

var _ Evaluator = (*spf.Checker)(nil)

// Blitiri is an Evaluator that has blitiri.com.ar/go/spf evaluate.
type Blitiri struct{ Resolver blitiri.DNSResolver }

func (b Blitiri) MailFrom(ctx context.Context, addr netip.Addr, helo, reversePath string) spf.Outcome {
	sender := reversePath
	if sender == "" {
		sender = "postmaster@" + helo // RFC 7208, section 2.4
	}
	result, err := blitiri.CheckHostWithSender(net.IP(addr.AsSlice()), helo, sender,
		blitiri.WithContext(ctx), blitiri.WithResolver(b.Resolver))
	found := spf.Outcome{
		Result: spf.Result(result), Identity: spf.MailFrom, Client: addr, Helo: helo,
		Sender: sender, Domain: sender[strings.LastIndexByte(sender, '@')+1:],
	}
	switch found.Result {
	case spf.None, spf.TempError, spf.PermError:
		found.Err = err // of other results it says what matched
	}
	return found
}

// How to have another package evaluate: what the two share is the method.
func Example_otherEvaluator() {
	ours, err := spf.New(spf.Config{Resolver: exampleZone()})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, evaluator := range []Evaluator{ours, Blitiri{exampleZone()}} {
		found := evaluator.MailFrom(context.Background(), netip.MustParseAddr("192.0.2.25"), "mail.example.org", "ann@example.org")
		fmt.Printf("%s %s %q\n", found.Result, found.Domain, found.Mechanism)
	}
	// Output:
	// pass example.org "mx"
	// pass example.org ""
}
