package arc

import (
	"slices"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// Status is the chain validation status (RFC 8617, section 4.4). The zero Status
// is none that there is.
type Status string

const (
	None Status = "none" // there is no chain
	Pass Status = "pass" // it validates
	Fail Status = "fail" // it does not, and never will again
)

// Chain is what the ARC sets of a message say.
type Chain struct {
	Status Status
	Reason string // why it fails, in words that are ours
	Err    error  // of the resolver, when it has failed; for logs

	// Sets are those of a chain whose structure is right, from the first on; else
	// nil. What they say holds only where Status is Pass.
	Sets []Set

	// Oldest is the lowest instance whose message signature still validates, 0
	// where all do: header.oldest-pass. -1 where nobody looked.
	Oldest int
}

// Set is one ARC set. All text is the sealer's: it must be quoted wherever it goes.
type Set struct {
	Instance int
	Domain   string // who sealed: d= of the ARC-Seal, in lower case with A-labels
	Selector string
	Time     time.Time // t= of the seal; zero where there is none

	// Signer is d= of the ARC-Message-Signature, which may be another name of the
	// same host.
	Signer string

	// Results are the authentication results that the sealer found, as they stand
	// behind the instance: authserv-id and resinfo of RFC 8601, section 2.2.
	Results string
}

// Trusted returns the earliest set whose sealer, and every one that came after it,
// is among the domains trusted: what it found can be believed. ok is false where
// the chain does not validate, or its last sealer is not trusted. A domain stands
// for itself, "*.example.org" for all below it.
//
// Whoever is trusted could write any results it likes; whoever sealed before it
// is only as good as the trust in him.
func (c *Chain) Trusted(domains ...string) (s *Set, ok bool) {
	if c.Status != Pass {
		return nil, false
	}
	for i := len(c.Sets) - 1; i >= 0 && among(c.Sets[i].Domain, domains); i-- {
		s = &c.Sets[i]
	}
	return s, s != nil
}

// Sealers are the domains that sealed, from the first on.
func (c *Chain) Sealers() []string {
	var all []string
	for _, s := range c.Sets {
		all = append(all, s.Domain)
	}
	return all
}

// ValidSealer reports whether s can be one of the domains of Trusted.
func ValidSealer(s string) bool {
	_, err := domain.Normal(strings.TrimPrefix(s, "*."))
	return err == nil
}

func among(name string, domains []string) bool {
	return slices.ContainsFunc(domains, func(d string) bool {
		base, below := strings.CutPrefix(d, "*.")
		base, err := domain.Normal(base)
		if err != nil {
			return false
		}
		if below {
			return strings.HasSuffix(name, "."+base)
		}
		return name == base
	})
}
