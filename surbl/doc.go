// Package surbl answers: what does a message link to?
//
//	links, err := surbl.Extract(message.Open())
//	for _, u := range links.URIs {
//		log.Print(u.Domain, " ", u.Kind, " ", u.Hidden)
//	}
//
// [Extract] reads all text of a message, attached messages, HTML and calendars
// included, as mail clients show it and browsers follow it, and needs no
// network. URIs come with their host in one normal form, the domain that was
// registered, and the tricks by which they are hidden from readers and filters.
// An [Extractor] has bounds of your own and newer lists of suffixes.
//
// It follows RFC 3986 and, where browsers do more than that, the URL and HTML
// standards of WHATWG; RFC 2045 to 2049 for MIME; UTS #46 and #39 for
// internationalized names; and the Public Suffix List.
package surbl
