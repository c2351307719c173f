package blocklist

import "time"

// Kind is what an entry is about, and what a lookup asks.
type Kind uint8

const (
	Addr        Kind = iota + 1 // an address or prefix: "192.0.2.0/24", "2001:db8::1"
	Domain                      // a domain: "example.org" itself, "*.example.org" what is below it at any depth, ".example.org" both
	Hello                       // an EHLO name, written like a domain, or an address literal
	Mailbox                     // a mail address: "ann@example.org", "@example.org", "ann@"
	Fingerprint                 // of a TLS client certificate: 64 hexadecimal digits of its SHA-256
)

// Word is what a list says of who is on it. Of entries that fit a query the
// most specific counts; of those as specific, Allow goes before Except, and
// Except before Block.
type Word uint8

const (
	None  Word = iota // nothing: not listed
	Block             // refuse
	Allow             // let in

	// Except takes what it fits out of the wider entries of the same list: it is
	// as if not listed. It is no word of its own, and says nothing to other
	// lists: the "!" of rbldnsd, the DUNNO of Postfix. A [Set] knows it.
	Except
)

// order is which word goes first among entries as specific: the higher one.
func (w Word) order() int {
	switch w {
	case Block:
		return 1
	case Except:
		return 2
	case Allow:
		return 3
	}
	return 0
}

// Entry is one line of a list.
type Entry struct {
	Kind    Kind
	Value   string // in the form that its Kind has; normal form once it is in a list
	Word    Word
	Reason  string    // for the operator; never sent
	Source  string    // which list, file, or who added it
	Added   time.Time // zero when not known
	Expires time.Time // from then on it fits nothing; zero: never
}
