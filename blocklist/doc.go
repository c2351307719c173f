// Package blocklist answers: is it on my own list?
//
//	own, err := blocklist.NewList(blocklist.ListConfig{Path: "/etc/mail/own.list"})
//	drop, err := blocklist.NewList(blocklist.ListConfig{
//		Path:  "/var/lib/mail/drop.json",
//		Parse: blocklist.ParseConfig{Format: blocklist.DROPJSON},
//		Fetch: &blocklist.FetchConfig{URL: "https://www.spamhaus.org/drop/drop_v4.json", Every: 12 * time.Hour},
//	})
//	store, err := boltstore.Open("/var/lib/mail/blocklist.db", boltstore.Config{})
//	dynamic, err := blocklist.NewDynamic(blocklist.DynamicConfig{Store: store, Protect: ourNetworks})
//	lists := blocklist.Lists{own, drop, dynamic}
//	check, err := blocklist.NewCheck(blocklist.CheckConfig{List: lists})
//	traps, err := blocklist.NewTraps(blocklist.TrapConfig{Traps: trapAddresses, Blocks: dynamic, Exempt: lists})
//	guard, err := smtpguard.New(smtpguard.Config{}, check, traps.Check())
//
// An [Entry] blocks or allows an address or prefix, a domain, an EHLO name, a
// mail address or a TLS client certificate, and has a reason, a source and an
// end. Of all lists the most specific entry counts, Allow before Block.
//
// A [Set] is a list that never changes, compact enough for millions of entries; a
// [List] is one from a file, in any of ten formats ([Parse]), or from a URL, that
// follows its changes without a pause. A [Dynamic] takes entries at run time, by
// hand ([Handler] is a small HTTP interface), from [Traps], from the limiter's
// lockouts, and keeps them and the record of who did what in a [Store]: package
// boltstore's file, or package redisstore's server, for several machines. [Lists]
// are several of these as one. Everything automatic is bounded: it blocks one
// client, for a time, and never whom a person allows.
//
// Prefixes follow RFC 4632 and RFC 4291, names RFC 5890 and UTS #46 (U-labels and
// A-labels are equal), mail addresses RFC 5321, with their local parts in lower
// case; replies RFC 5321, section 3.1 and 7.9.
package blocklist
