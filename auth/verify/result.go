package verify

import (
	"net/netip"
	"strings"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/arc"
	"github.com/smtpguard/smtpguard/auth/dkim"
	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/spf"
)

// Result is what was found out about a message. Those who have one do not write
// to it. What its parts say is in part the sender's own word: see there.
type Result struct {
	Client netip.Addr // who brought it to us, or to our gateway
	SPF    spf.Outcome
	DKIM   *dkim.Report
	ARC    *arc.Chain
	DMARC  dmarc.Outcome

	passedOn bool // by who may break SPF: a forwarder, or a sealer with whom it passed
}

// ResultOf returns what was found out about the message of tx; ok is false before
// the end of its content, and for mail that was not looked at.
func (v *Verifier) ResultOf(tx *smtpguard.Transaction) (Result, bool) { return v.result.Get(tx) }

// Author returns the domain that stands behind the message, proven by DMARC: the
// author domain.
func (r *Result) Author() (domain string, ok bool) {
	return r.DMARC.AuthorDomain, r.DMARC.Result == dmarc.Pass
}

// String is the result on one line, as in an Authentication-Results field.
func (r *Result) String() string {
	parts := []string{"spf=" + string(r.SPF.Result)}
	for i := range r.DKIM.Signatures {
		s := &r.DKIM.Signatures[i]
		parts = append(parts, "dkim="+string(s.Result))
		if s.Domain != "" {
			parts[len(parts)-1] += " (" + s.Domain + ")"
		}
	}
	if r.ARC.Status != arc.None {
		parts = append(parts, "arc="+string(r.ARC.Status))
	}
	return strings.Join(append(parts, "dmarc="+string(r.DMARC.Result)), ", ")
}
