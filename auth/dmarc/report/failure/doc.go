// Package failure answers: shall the owner of a domain be told of this one
// message that failed, and what do other receivers tell of ours? It makes and
// reads the failure reports of DMARC (RFC 9991), which are authentication failure
// reports (RFC 6591) in the Abuse Reporting Format (RFC 5965).
//
// Nothing is reported unless somebody makes a Reporter. It takes each message
// when it was judged, and sends reports while it runs:
//
//	reporter, err := failure.New(failure.Config{From: "dmarc@example.net", Host: "mx.example.net"})
//	…
//	err = reporter.Add(failure.Message{Outcome: found, Header: header, Source: client, MailFrom: from})
//	…
//	err = reporter.Run(ctx, failure.Delivery{Checker: checker, Resolver: resolver, Send: send})
//
// A report tells strangers about mail that people were sent (RFC 9991, section
// 7), so it tells little: never the body, of the header what shows which way the
// message took and who signed it, no display names, and of addresses the domain
// alone. With [Config.Key] a local part becomes a keyed hash (RFC 6590).
//
// Whoever forges mail has reports made. So each kind of failure is reported once
// an hour, with how often it was seen; there is a bound for each policy domain,
// for each destination and for all; other organizations are asked whether they
// take reports; and nothing is told about reports, bounces and what else was sent
// by no person. Reports that wait are in memory: when the process ends they are
// lost, and none is sent twice.
//
// [Read] reads a report of others, bounded. All that it returns is the word of
// who wrote it.
package failure
