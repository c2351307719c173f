// Package surbl answers: does a message link to what is listed?
//
//	lists, err := surbl.New(surbl.Config{
//		Resolver: net.DefaultResolver,
//		Zones:    []surbl.Zone{surbl.SURBL(), surbl.URIBL(), surbl.SpamhausDBL()},
//	})
//	go lists.Run(ctx) // tests the zones on a schedule
//	guard, err := smtpguard.New(smtpguard.Config{}, lists.Check(), lists.Outbound())
//
// What a message links to is there without lists, a network or a server, from
// [Extract], an [Extractor] with bounds of one's own, and [Lists.Message]:
//
//	links, err := surbl.Extract(message.Open())
//	for _, u := range links.URIs {
//		log.Print(u.Domain, " ", u.Kind, " ", u.Hidden)
//	}
//
// Lists are of registered domains, of hosts and of addresses, and of hashes: of
// mail addresses, URLs, the addresses of cryptocurrencies ([Wallet]) and files. What
// of these no list asks for is not looked for.
//
// Extraction reads all text of a message, attached messages, HTML and calendars
// included, as mail clients show it and browsers follow it; Rich Text and
// Outlook's winmail.dat too. URIs come with their host in one normal form, the
// domain that was registered, and the tricks by which they are hidden from
// readers and filters.
//
// What costs more is off until somebody wants it: documents (package surbl/pdf)
// and QR codes in pictures (package surbl/qr) are read by Extraction.Decoders,
// and where shorteners lead to is asked by Config.Follow (package surbl/follow),
// without which nothing is ever fetched.
//
// No answer of a list is believed that its codes do not name: everything else is
// an error of the zone, never a listing, and a zone that is dead, that blocks us
// or that lists the world is set aside until it is well again. The lists are
// other people's, and have terms of use: none is asked by default.
//
// It follows RFC 3986 and, where browsers do more than that, the URL and HTML
// standards of WHATWG; RFC 2045 to 2049 for MIME; UTS #46 and #39 for
// internationalized names; RFC 5782 for lists; and the Public Suffix List.
package surbl
