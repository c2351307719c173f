package spf

import (
	"fmt"
	"net/netip"
	"strings"
)

// Result is what a check came to. Its zero value is no result at all.
type Result string

const (
	None      Result = "none"      // no domain, or one without a policy (RFC 7208, section 2.6.1)
	Neutral   Result = "neutral"   // the policy says nothing of the client (section 2.6.2)
	Pass      Result = "pass"      // the client may send for the domain (section 2.6.3)
	Fail      Result = "fail"      // it may not (section 2.6.4)
	SoftFail  Result = "softfail"  // it probably may not (section 2.6.5)
	TempError Result = "temperror" // DNS did not answer; a later try may do better (section 2.6.6)
	PermError Result = "permerror" // the policy cannot be evaluated (section 2.6.7)
)

// Identity is what of a session was checked, in the word of the Received-SPF
// field (section 9.1).
type Identity string

const (
	MailFrom Identity = "mailfrom" // section 2.4
	Helo     Identity = "helo"     // section 2.3
)

// Outcome is a result and how it was reached. Mechanism, Explanation, Trace and
// what the client said are words of others: quote them before they are shown.
type Outcome struct {
	Result   Result
	Identity Identity
	Client   netip.Addr // IPv4-mapped addresses as IPv4
	Helo     string     // as the client said it
	Sender   string     // local part and domain checked, "postmaster" for a missing local part
	Domain   string     // the domain checked: A-labels in lower case, or as given if it is none

	// Mechanism is the directive of the domain's own record, or of one it
	// redirects to, that decided, as written: "-all". It is "" if none did.
	Mechanism string
	Where     string // the domain in whose record Mechanism stood

	Lookups int // terms that asked DNS (section 4.6.4: at most ten)
	Voids   int // those of them that found nothing (at most two)

	// Explanation is what the domain says of a fail (section 6.2), in printable
	// ASCII and at most 450 octets, "" if it says nothing. It is what its owner
	// chose: show it as quoted from Where, or not at all.
	Explanation string

	Trace []Step

	// Err says why the result is none, temperror or permerror; else it is nil.
	Err error
}

// Step is one thing that was looked at: a record found, or one of its terms.
// Terms of a single address or network that did not match are left out, so that
// the lookup limits bound a trace.
type Step struct {
	Domain string // whose record it is
	Term   string // as written; the whole record for a record
	Note   Note
}

// Note is what came of a step.
type Note string

const (
	Found   Note = "record"   // a policy, with its text
	Match   Note = "match"    // the term decided
	NoMatch Note = "no match" // it did not
	Void    Note = "void"     // DNS has no such name or no such data
	Broken  Note = "error"    // DNS did not answer, or the term cannot be evaluated
	Follow  Note = "follow"   // the record of an include or a redirect comes next
)

// String returns the step on one line, in printable ASCII and clipped.
func (s Step) String() string {
	return fmt.Sprintf("%s: %+q: %s", clip(s.Domain), clip(s.Term), s.Note)
}

// clip shortens text for messages.
func clip(text string) string {
	const most = 200
	if len(text) <= most {
		return text
	}
	return text[:most] + "..."
}

// split divides an address at its last '@': whatever stands before it, a quoted
// '@' included, is the local part.
func split(addr string) (local, name string) {
	i := strings.LastIndexByte(addr, '@')
	if i < 0 {
		return "", addr
	}
	return addr[:i], addr[i+1:]
}
