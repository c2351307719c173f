// Package spf answers: may this client send mail for that domain? It evaluates
// the Sender Policy Framework (RFC 7208).
//
//	checker, err := spf.New(spf.Config{Receiver: "mx.example.net"})
//	…
//	found := checker.MailFrom(ctx, client, "mail.example.org", "ann@example.org")
//	if found.Result == spf.Fail {
//		log.Print(found.Mechanism, found.Trace)
//	}
//	field := found.Received("mx.example.net").Field()
//
// A record is parsed whole before it is evaluated, so that a syntax error is a
// permerror whatever stands before it (section 4.6). Parsed records are kept by
// their text: nothing of an answer outlives the resolver's own cache.
//
// The bounds of section 4.6.4 hold: ten terms that ask DNS, two of them without
// an answer, ten MX hosts and ten PTR names. The whole evaluation ends after
// twenty seconds (Config.Timeout), which makes a temperror.
//
// [Checker.Lint] tells the owner of a domain what is wrong with a record,
// without a client to judge.
//
// Local parts outside ASCII follow RFC 8616, section 4; domains are compared
// and asked for as A-labels.
package spf
