package dmarc

// Policy is what a domain owner asks to be done with mail that fails, and what
// is then done: the weaker first.
type Policy string

const (
	NoPolicy   Policy = "none"       // no preference (RFC 9989, section 4.7, "p")
	Quarantine Policy = "quarantine" // suspicious
	Reject     Policy = "reject"     // not of this domain
)

// rank orders policies, the absent one first.
func (p Policy) rank() int {
	switch p {
	case NoPolicy:
		return 1
	case Quarantine:
		return 2
	case Reject:
		return 3
	}
	return 0
}

// below returns the policy one level weaker (section 4.7, "t").
func (p Policy) below() Policy {
	if p == Reject {
		return Quarantine
	}
	return NoPolicy
}

// weaker returns the weaker of two policies.
func weaker(a, b Policy) Policy {
	if b.rank() < a.rank() {
		return b
	}
	return a
}

// Mode is how an identifier has to agree with the author domain.
type Mode string

const (
	Relaxed Mode = "r" // the same organizational domain (section 3.2.10.1)
	Strict  Mode = "s" // the same domain (section 3.2.10.2)
)

// Suffix is what a record says of its domain being a public suffix, its psd tag.
type Suffix string

const (
	SuffixYes     Suffix = "y" // organizations register below it
	SuffixNo      Suffix = "n" // it is the organizational domain of all below it
	SuffixUnknown Suffix = "u" // the tree walk tells
)

// Record is a DMARC policy record, with the defaults of what it lacks (RFC 9989,
// section 4.7).
type Record struct {
	Text string `json:"text"` // as published

	// Policy applies to the domain itself, and below it unless one of the other
	// two does. It is "" where the record lacks it, or where one of the three is
	// not valid, and there is no address for reports either: then DMARC is not
	// applied (section 4.10.1).
	Policy      Policy `json:"p,omitempty"`
	Subdomain   Policy `json:"sp,omitempty"` // "" means absent
	NonExistent Policy `json:"np,omitempty"` // "" means absent

	DKIM    Mode   `json:"adkim"`
	SPF     Mode   `json:"aspf"`
	Suffix  Suffix `json:"psd"`
	Testing bool   `json:"t"`

	Aggregate      []URI  `json:"rua,omitempty"`
	Failure        []URI  `json:"ruf,omitempty"`
	FailureOptions string `json:"fo"` // a list of 0, 1, d and s between colons

	Percent int `json:"pct"` // of failing mail that Policy is for, 0 to 100; RFC 7489 only

	invalid bool // p, sp or np is there, and not valid
}

// URI is where a domain owner wants reports sent.
type URI struct {
	Text    string `json:"uri"`               // without the size
	Address string `json:"address,omitempty"` // of a mailto URI, decoded; "" for other schemes
	Domain  string `json:"domain,omitempty"`  // of Address, in normal form

	// MaxOctets is the obsolete "!size" of RFC 7489, section 6.2; 0 means none.
	MaxOctets int64 `json:"max_octets,omitempty"`
}
