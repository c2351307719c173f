// Package iprev answers: is the client's name its own, and can the reverse-path
// receive mail?
//
//	c, err := iprev.New(iprev.Config{
//		Resolver: net.DefaultResolver,
//		OurNames: []string{"mx.example.org", "example.org"},
//	})
//	guard, err := smtpguard.New(smtpguard.Config{}, c.Check())
//
// Three things are looked at: forward-confirmed reverse DNS of the client's
// address (RFC 8601, section 2.7.3), what it says of itself in EHLO (RFC 5321,
// sections 4.1.1.1 and 4.1.4), and whether the domain of the reverse-path takes
// mail at all (RFC 5321, section 5.1; RFC 7505). Each is a value by itself
// ([Checker.Reverse], [Checker.Hello], [Checker.Sender]), and leads to findings,
// of which [Config].Rules says what they do ([Checker.Verdict]): most only score,
// for honest servers have odd names.
//
// Nothing here proves who sent a message: that is what SPF, DKIM and DMARC are
// for.
package iprev
