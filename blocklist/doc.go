// Package blocklist answers: is it on my own list?
//
//	drop, err := blocklist.NewList(blocklist.ListConfig{
//		Name:  "drop",
//		File:  "/var/lib/mail/drop.json", // where the copy is kept
//		Fetch: blocklist.Fetch{URL: "https://www.spamhaus.org/drop/drop_v4.json"},
//		Parse: blocklist.ParseConfig{Format: blocklist.FormatDROP},
//	})
//	ours, err := blocklist.NewList(blocklist.ListConfig{File: "/etc/mail/blocklist"})
//	check, err := blocklist.NewCheck(blocklist.CheckConfig{List: blocklist.Lists{ours, drop}})
//	guard, err := smtpguard.New(smtpguard.Config{}, check)
//
// An [Entry] is about an address or prefix, a domain, an EHLO name, a mail
// address or the fingerprint of a client's certificate. It says Block or Allow,
// why, and until when. Of the entries that fit, the most specific counts,
// whichever list it is on, and Allow goes before Block where both are as
// specific: so a partner's one address is let in out of a network that is not.
//
// There are three kinds of lists, and each is a [Source]:
//
//   - a [Set] never changes: it is built of entries, or of files in one of many
//     formats ([Parse]), is small and fast, and holds millions;
//   - a [List] is a set that follows a file, or an address on the web, and takes
//     another version in without a pause;
//   - a [Dynamic] is changed by people and programs at run time, entry by entry,
//     and kept in a [Store].
//
// [Lists] asks several. [NewCheck] makes a check of a source, which is asked at
// each stage of a session. [Traps] are addresses nobody uses, and block for a
// while who sends to them.
//
// # Normal form
//
// Entries and queries are compared in normal form. IPv4-mapped addresses are
// IPv4, and zones of IPv6 addresses do not count. Domains are compared by their
// A-labels in lower case (RFC 5890), so that either spelling of an
// internationalized one fits the other; and so are EHLO names, where an address
// literal is its address (RFC 5321, section 4.1.3), with or without brackets.
// The case of a local part counts for nothing here, although RFC 5321 (section
// 2.4) leaves it to the receiving host: else "Ann" would get past a list that
// has "ann". What is after a "+" can be left out of the comparison
// ([Builder], ListConfig.Delimiters). A fingerprint is the SHA-256 of a certificate.
//
// Who can write to a file or serves a list says who is let in, should the list
// say Allow; what it takes back with "!" or DUNNO is only an [Except]. Files are
// read within bounds, whatever they say.
package blocklist
