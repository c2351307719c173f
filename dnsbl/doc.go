// Package dnsbl answers: is a client, or a domain, on a public DNS list?
//
//	lists, err := dnsbl.New(dnsbl.Config{
//		Resolver: net.DefaultResolver,
//		Zones:    []dnsbl.Zone{dnsbl.SpamhausZEN(), dnsbl.PSBL(), dnsbl.DNSWL()},
//	})
//	go lists.Run(ctx) // tests the zones on a schedule
//	guard, err := smtpguard.New(smtpguard.Config{}, lists.Check())
//
// Clients' addresses are looked up as they connect, EHLO names, reverse-path
// domains and what is in the content as they come, in all zones side by side;
// they are judged at RCPT, where the log knows the envelope and a login is known
// ([Config].Judge moves that). [Lists.Addr] and [Lists.Domain] are the core and
// need no server.
//
// No answer is believed that a zone's codes do not name: everything else is an
// error of the zone, never a listing, and neither is a zone that is away. A zone
// that is dead, that blocks us or that lists the world is set aside until it is
// well again: see [Lists.Run] and [Health].
//
// The lists are other people's, and have terms of use: none is asked by default,
// and the presets tell theirs. Most refuse questions that come through a public
// resolver: ask through one of your own.
//
// It follows RFC 5782, and RFC 6471 in what to make of a list's health.
package dnsbl
