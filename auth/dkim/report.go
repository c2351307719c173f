package dkim

import "time"

// Result is what is to be said of a signature (RFC 8601, section 2.7.1). The zero
// Result is no pass.
type Result string

const (
	None      Result = "none"      // not signed; only of [Report.Result]
	Pass      Result = "pass"      // verified, and acceptable
	Fail      Result = "fail"      // a hash or the signature did not verify
	Policy    Result = "policy"    // not acceptable, whether it verifies or not
	Neutral   Result = "neutral"   // not to be understood: syntax, unknown algorithms
	TempError Result = "temperror" // the key could not be fetched now
	PermError Result = "permerror" // it can not be verified, and will not be later
)

// Canonicalization is a form in which a message is hashed (RFC 6376, section
// 3.4).
type Canonicalization string

const (
	Relaxed Canonicalization = "relaxed" // white space may change on the way
	Simple  Canonicalization = "simple"
)

// Report is what the signatures of a message say.
type Report struct {
	Signatures []Signature // from the top of the header section down
	Skipped    int         // signatures over Limits.Signatures, which were not looked at

	// Repeated are the fields that occur more than once although none may (RFC
	// 5322, section 3.6; RFC 2045, section 3): what is shown may be another one
	// than what was signed.
	Repeated []string
}

// Result is the best of all signatures: [Pass] if one passes, else [TempError] if
// one might, else what the topmost says, [None] if there is none.
func (r *Report) Result() Result {
	best := None
	for i := range r.Signatures {
		switch s := &r.Signatures[i]; {
		case s.Result == Pass:
			return Pass
		case best == None || s.Result == TempError:
			best = s.Result
		}
	}
	return best
}

// Signature is what one signature says. Of what could not be read the fields are
// zero. All text but Reason is the sender's: it must be quoted wherever it goes.
type Signature struct {
	Result Result
	Reason string // why it is not a pass, in words that are ours
	Err    error  // of the resolver, when it has failed; for logs

	Domain    string // d=, who signed (SDID), in lower case with A-labels
	Identity  string // i=, on whose behalf (AUID); "@" and Domain where there is none
	Selector  string // s=
	Algorithm string // a=
	KeyBits   int    // 0 when the key was not fetched
	Testing   bool   // the key says that the domain is testing (t=y)

	Header, Body Canonicalization

	Signed []string // h=, as written

	// Unsigned are the names of fields of which one at least is not signed; nil
	// when it did not come to that.
	Unsigned []string

	Time    time.Time // t=, zero when there is none
	Expires time.Time // x=, zero when there is none

	Partial bool  // there is an l= tag
	Length  int64 // l=, octets of the canonical body
	Beyond  int64 // octets of the canonical body behind Length, which anybody may have written

	// B is the beginning of b=, long enough to tell the signatures of the message
	// apart: header.b (RFC 6008).
	B string
}
