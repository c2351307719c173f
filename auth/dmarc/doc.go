// Package dmarc answers: does the author domain of this message stand behind
// it, and what does its owner ask for where it does not? It evaluates DMARC
// (RFC 9989) from what SPF and DKIM found; RFC 7489 is a mode of it.
//
//	checker, err := dmarc.New(dmarc.Config{})
//	…
//	found := checker.Check(ctx, dmarc.Message{
//		Header: header, // as received
//		SPF:    dmarc.SPF{Domain: "bounce.example.org", Result: "pass"},
//		DKIM:   []dmarc.DKIM{{Domain: "example.org", Selector: "s1", Result: "pass"}},
//	})
//	if found.Result == dmarc.Fail && found.Disposition == dmarc.Reject {
//		…
//	}
//
// The author domain is that of the one From field with one address. Everything
// that two readers could take for different authors is a permerror and named as
// a [Defect]: DMARC is not defined for it (RFC 9989, sections 4.4 and 11.5), and
// letting it pass would let anybody speak for a domain.
//
// Policies and organizational domains are found by the tree walk (section
// 4.10), with at most eight queries a domain, side by side, each name asked
// once a message, and a budget for the message ([Config.Lookups]). With
// [PublicSuffix] they are found as RFC 7489 says; with [Config.Compare] both
// ways, and [Outcome.Differs] says what the other would change.
//
// A query that fails makes a temperror wherever its answer was needed, never a
// pass.
//
// [Lint] tells the owner of a record what is wrong with it, [Checker.Walk] which
// records are found for a domain.
package dmarc
