package blocklist

import "net/netip"

// Query is one question to a list.
type Query struct {
	Kind  Kind
	Addr  netip.Addr // for Kind Addr
	Value string     // else: a domain, EHLO name, mail address or fingerprint, as received
}

// Match is the most specific entry that fits a query.
type Match struct {
	Entry Entry
	Rank  int // how specific the entry is: more wins, whichever list it is on
}

// Source is what can be asked: a static set, a list from a file, the dynamic entries. It answers from
// memory, allocates nothing when nothing fits, and is safe for concurrent use.
type Source interface {
	Find(q Query) (m Match, ok bool)
}
