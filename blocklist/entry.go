package blocklist

import "time"

// Kind is what an entry is about, and what a lookup asks.
type Kind uint8

const (
	Addr        Kind = iota + 1 // an address or prefix: "192.0.2.0/24", "2001:db8::1"
	Domain                      // a domain: "example.org" itself, "*.example.org" what is below it, ".example.org" both
	Hello                       // an EHLO name, written like a domain, or an address literal
	Mailbox                     // a mail address: "ann@example.org", "@example.org", "ann@"
	Fingerprint                 // of a TLS client certificate: 64 hexadecimal digits of its SHA-256
)

// Word is what a list says of who is on it.
type Word uint8

const (
	None  Word = iota // nothing: not listed
	Block             // refuse
	Allow             // let in; before Block when both are as specific
)

// Entry is one line of a list.
type Entry struct {
	Kind    Kind
	Value   string // in the form that its Kind has; normal form once it is in a list
	Word    Word
	Reason  string    // for the operator; never sent
	Source  string    // which list, file, or who added it
	Added   time.Time // zero when not known
	Expires time.Time // zero: never
}
