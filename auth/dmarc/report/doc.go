// Package report answers: what shall domain owners be told about mail in their
// name, and what do other receivers tell? It makes and reads the aggregate
// reports of DMARC (RFC 9990), as RFC 7489 had them too.
//
// To report, count what [dmarc.Checker] finds, and have it sent once a day:
//
//	collector, err := report.New(report.Config{
//		Reporter: report.Reporter{Organization: "Example", Email: "dmarc@example.net", Domain: "mx.example.net"},
//	})
//	…
//	err = collector.Add(ctx, report.Message{Outcome: found, Source: client, EnvelopeFrom: "example.org"})
//	…
//	err = collector.Run(ctx, report.Delivery{Checker: checker, Resolver: resolver, Send: send})
//
// [Collector.Due], [Destinations] and [Collector.Attachment] are the parts that
// Run is made of.
//
// A [Store] keeps the counts; [Memory] is one. A report has the same name and
// identifier whenever it is written, and goes to no address twice: not when the
// process is killed while it is sent, and not when an address is written in two
// ways. Who publishes destinations that do not answer holds up reports about
// itself alone.
//
// [Read] reads a report of others, plain or packed, and [ReadMail] one that came
// as mail. Both bound what they read, unpacked. Package failure has the reports of
// single messages.
package report
