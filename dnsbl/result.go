package dnsbl

import (
	"errors"
	"net/netip"

	"github.com/smtpguard/smtpguard"
)

// Result is what the zones say of what was looked up. The zero Result is that
// nothing is listed.
type Result struct {
	Listings []Listing // in the order of Config.Zones
	Failures []Failure // zones that did not answer, or not to be believed; those set aside are not here

	Action smtpguard.Action // what the listings do together
	Accept smtpguard.Scope  // an allow list's word; Action is then Continue
	Score  float64          // the sum of weights

	// Early says that the outcome was clear, and that zones were not waited for.
	Early bool
}

// Listing is one zone's word on one address or domain.
type Listing struct {
	Zone     string // its Name
	Position Position
	Subject  string       // the address or domain that is listed
	Answers  []netip.Addr // the A records
	Codes    []Code       // that the answers have

	zone *zone
}

// Failure is a zone that could not be asked, or whose answer is no answer.
type Failure struct {
	Zone    string
	Subject string
	Err     error // a *net.DNSError, an error of the context, ErrBusy, or why the answer is not believed
}

// ErrBusy is the failure of a zone that was not asked because Config.Pending
// questions were under way.
var ErrBusy = errors.New("dnsbl: too many questions under way")

// String is the listing in words: "client 192.0.2.1 is listed by
// zen.spamhaus.org (policy block list)".
func (l *Listing) String() string {
	s := l.Subject + " is listed by " + l.Zone
	if l.Position != 0 { // in a session
		s = l.Position.String() + " " + s
	}
	if means := l.means(); means != "" {
		s += " (" + means + ")"
	}
	return s
}

// means is what the listing's codes mean, in words.
func (l *Listing) means() (s string) {
	for i := range l.Codes {
		m := l.Codes[i].Means
		if m == "" {
			continue
		}
		if s != "" {
			s += ", "
		}
		s += m
	}
	return s
}

// addr is the subject where it is an address.
func (l *Listing) addr() (netip.Addr, bool) {
	addr, err := netip.ParseAddr(l.Subject)
	return addr, err == nil
}
