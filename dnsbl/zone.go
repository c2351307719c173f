package dnsbl

import (
	"github.com/smtpguard/smtpguard"
)

// Zone is one DNS list. The zero value of a field means its default.
type Zone struct {
	// Name is what replies, logs and counters call the list; Domain. Give one
	// that is not Domain where Domain holds a secret.
	Name string

	// Domain is what names are asked under: "zen.spamhaus.org".
	Domain string

	// Key is what a paid list wants between the address and Domain. It never
	// reaches replies, logs or counters.
	Key Key

	Lists Kind // what is listed; required

	// Codes are the answers that count, 64 at most. Empty means 127.0.0.2 alone,
	// with Action, or Reject without one.
	Codes []Code

	// Refusals are answers by which the operator says that it does not answer,
	// besides those that are in every list: 127.255.255.0/24, and, where no code
	// names just them, 127.0.0.1, 127.0.0.255 and 127.0.1.255.
	Refusals []Refusal

	// At is what of a session is looked up: Client for a list of addresses, Hello
	// and Sender for one of domains.
	At []Position

	Action smtpguard.Action // of codes that have none of their own, nor a Weight or an Accept
	Reply  string           // of codes that have none of their own: see Code.Reply

	// Text has the list's own words (TXT records) fetched for the log, once a
	// listing decides. Replies that use them do so in any case.
	Text bool

	// Known has clients that are known (Config.Known) looked up too.
	Known bool

	// TestListed is an address or domain that is always listed, TestUnlisted one
	// that never is. The defaults are those of RFC 5782, section 5; "-" is for a list
	// that has none.
	TestListed, TestUnlisted string
}

// Code is one meaning of answers.
type Code struct {
	// Answer says which: "127.0.0.2"; a range "127.0.0.4-7" in any octet; "127.0.*.3";
	// or bits of the last octet that must all be set, "127.0.0.&8".
	Answer string
	Means  string // in words: "policy block list"

	Weight float64          // into Verdict.Score and the sum for Config.Limits; negative for a list of friends
	Action smtpguard.Action // what a listing does, whatever the sum
	Accept smtpguard.Scope  // an allow list's word, before which no listing counts

	// Reply is what the client reads where the listing decides. {subject} is what is
	// listed, {zone} the list's Name, {means} is Means, {text} the list's own
	// words, cleaned. "" means Zone.Reply, and failing that a text of ours.
	Reply string
}

// Refusal is an answer that is an error, with its meaning in words.
type Refusal struct {
	Answer string // as in Code, without bits
	Means  string
}

// Kind is what a zone lists: one or several of these.
type Kind uint8

const (
	IPv4 Kind = 1 << iota
	IPv6
	Domains
)

// Position is what of a session is looked up.
type Position uint8

const (
	Client      Position = iota + 1 // the client's address
	Hello                           // the EHLO name
	ReverseName                     // the names that Config.ReverseNames has for the client
	Sender                          // the domain of the reverse-path
	Author                          // the domains of the From fields
	Received                        // the addresses in the Received fields, Config.Hops of them
)

var positionNames = [...]string{"", "client", "hello", "reverse name", "sender", "author", "received"}

// String returns the position's name in lower case.
func (p Position) String() string {
	if p < Client || int(p) >= len(positionNames) {
		return "invalid"
	}
	return positionNames[p]
}

// addresses reports whether addresses are looked up at p, and not domains.
func (p Position) addresses() bool { return p == Client || p == Received }

// Key is a paid key. It is written as "***", so that it does not get into logs.
type Key string

// String returns "***", or "" for no key.
func (k Key) String() string {
	if k == "" {
		return ""
	}
	return "***"
}

// GoString is String, for %#v.
func (k Key) GoString() string { return `"` + k.String() + `"` }

// MarshalText is String, for encodings.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
