package dmarc

// Result is what DMARC says of a message (RFC 9989, section 9.2).
type Result string

const (
	None      Result = "none"      // no policy record for the author domain, or one without a policy
	Pass      Result = "pass"      // an authenticated identifier is aligned with it
	Fail      Result = "fail"      // none is
	TempError Result = "temperror" // an answer that was needed did not come; a later try may do better
	PermError Result = "permerror" // no clear author, or a record whose policy is not valid
)

// Message is what a check judges, and what was found out about it.
type Message struct {
	Header []byte // the header section as received, more does not hurt
	SPF    SPF
	DKIM   []DKIM // every signature
	ARC    ARC

	// Overrides are what the receiver knows of this message that lets it pass in
	// spite of a policy. They count only where it fails.
	Overrides []Override
}

// SPF is what the check of the "MAIL FROM" identity said. The zero SPF is that
// there was none.
type SPF struct {
	// Domain is the one that was checked, which for the null reverse-path is that
	// of EHLO (RFC 7208, section 2.4).
	Domain string
	Result string // as in RFC 8601, section 2.7.2: "pass", "temperror", …
}

// DKIM is what the verification of one signature said.
type DKIM struct {
	Domain   string // d=
	Selector string // s=
	Result   string // as in RFC 8601, section 2.7.1
}

// ARC is what the validation of the chain said (RFC 8617). The zero ARC is that
// there was none.
type ARC struct {
	Result   string `json:"result,omitempty"`   // "none", "pass" or "fail"
	Instance int    `json:"instance,omitempty"` // of the newest set
	Domain   string `json:"domain,omitempty"`   // d= of the newest seal
	Selector string `json:"selector,omitempty"`

	// Trusted is that the receiver believes all that sealed, and Passed that what
	// they recorded says dmarc=pass of the author domain. A message that fails is
	// then let through, as the receiver's own policy (section 7.2.1).
	Trusted bool `json:"trusted,omitempty"`
	Passed  bool `json:"passed,omitempty"`
}

// Outcome is what a check found: all that a reply, a field, a log or a report
// needs. Its JSON form is stable: names are not changed, only added.
type Outcome struct {
	Result Result `json:"result"`
	Reason string `json:"reason,omitempty"` // for the operator, on one line
	Defect Defect `json:"defect,omitempty"` // of From; "" means none

	// Disposition is what to do with the message, overrides counted. With a
	// temperror it is NoPolicy: what that means is up to the receiver (RFC 9989,
	// section 4.10.1).
	Disposition Policy     `json:"disposition"`
	Overrides   []Override `json:"overrides,omitempty"` // those that counted

	AuthorDomain         string `json:"author_domain,omitempty"`
	OrganizationalDomain string `json:"organizational_domain,omitempty"` // of the author; "" where not needed or not known

	PolicyDomain string    `json:"policy_domain,omitempty"` // where Record was found
	Record       *Record   `json:"record,omitempty"`        // shared: it must not be changed
	PolicyTag    string    `json:"policy_tag,omitempty"`    // the tag that Policy is of: p, sp or np
	Policy       Policy    `json:"policy,omitempty"`        // what the owner asks for, had the message failed; np only where it did
	Discovery    Discovery `json:"discovery"`

	SPF  *Identifier  `json:"spf,omitempty"`
	DKIM []Identifier `json:"dkim,omitempty"` // in the order of the message's
	ARC  *ARC         `json:"arc,omitempty"`

	Lookups int `json:"lookups"` // DNS queries, those for Other counted

	// Other is what the other discovery finds, with [Config.Compare], and Differs
	// the names of the fields in which it differs, as in JSON.
	Other   *Outcome `json:"other,omitempty"`
	Differs []string `json:"differs,omitempty"`
}

// Identifier is a domain that SPF or DKIM spoke of.
type Identifier struct {
	Domain   string `json:"domain"` // in normal form, or as given where it has none
	Selector string `json:"selector,omitempty"`
	Result   string `json:"result"`         // of SPF or DKIM
	Mode     Mode   `json:"mode,omitempty"` // of alignment, as the record asks; "" without one

	// Aligned is that Result is pass, and the domain in alignment with the author
	// domain.
	Aligned bool   `json:"aligned"`
	Reason  string `json:"reason,omitempty"` // why it is not

	// OrganizationalDomain is "" where it was not needed: where the domains are
	// the same, alignment is strict, or Result is not pass.
	OrganizationalDomain string `json:"organizational_domain,omitempty"`
}

// OverrideType is why a message is treated better than its policy asks (RFC
// 9990, section 3.1.6).
type OverrideType string

const (
	LocalPolicy      OverrideType = "local_policy"      // the receiver's own
	MailingList      OverrideType = "mailing_list"      // it came through one
	TrustedForwarder OverrideType = "trusted_forwarder" // it came through one that is known to break authentication
	PolicyTestMode   OverrideType = "policy_test_mode"  // t=y
	SampledOut       OverrideType = "sampled_out"       // pct=; RFC 7489 only
	OtherOverride    OverrideType = "other"
)

// Override is one reason to treat a message better than its policy asks.
type Override struct {
	Type        OverrideType `json:"type"`
	Comment     string       `json:"comment,omitempty"`
	Disposition Policy       `json:"disposition,omitempty"` // instead; "" means NoPolicy
}
