package dnsbl

import (
	"math"

	"github.com/smtpguard/smtpguard"
)

// reach is how far codes go: what a zone that has not answered may yet say.
type reach struct {
	action    smtpguard.Action
	accept    smtpguard.Scope
	low, high float64 // sums of the weights below and above 0
}

func (r *reach) add(c *Code) {
	r.action, r.accept = max(r.action, c.Action), max(r.accept, c.Accept)
	r.low += min(c.Weight, 0)
	r.high += max(c.Weight, 0)
}

// tally is what listings say together.
type tally struct {
	action  smtpguard.Action // of codes alone
	accept  smtpguard.Scope
	score   float64
	decider decider // whose reply the client reads
}

// decider is a listing and the code of it that counts most.
type decider struct {
	listing *Listing
	code    *Code
}

// add takes a listing in.
func (t *tally) add(l *Listing) {
	for i := range l.Codes {
		c := &l.Codes[i]
		t.score += c.Weight
		t.accept = max(t.accept, c.Accept)
		switch d := t.decider.code; {
		case d == nil, c.Action > d.Action, c.Action == d.Action && c.Weight > d.Weight:
			t.decider = decider{l, c}
		}
		t.action = max(t.action, c.Action)
	}
}

// outcome is the action that is due, prior being what was scored before. An
// allow list's word comes before every listing.
func (t *tally) outcome(limits *Limits, prior float64) smtpguard.Action {
	if t.accept != smtpguard.NoScope {
		return smtpguard.Continue
	}
	return max(t.action, limits.reached(t.score+prior))
}

// settled reports whether nothing that the pending zones may say changes the
// outcome, where that ends the matter: an objection, or an allow list's word.
// Anything else needs the whole score.
func (t *tally) settled(limits *Limits, prior float64, pending *reach) bool {
	if t.accept != smtpguard.NoScope {
		return t.accept >= pending.accept
	}
	if pending.accept != smtpguard.NoScope {
		return false
	}
	least := max(t.action, limits.reached(t.score+prior+pending.low))
	most := max(t.action, pending.action, limits.reached(t.score+prior+pending.high))
	return least == most && least >= smtpguard.Defer
}

// reached is what a sum does.
func (l *Limits) reached(sum float64) smtpguard.Action {
	sum = rounded(sum)
	switch {
	case l.Reject != 0 && sum >= l.Reject:
		return smtpguard.Reject
	case l.Defer != 0 && sum >= l.Defer:
		return smtpguard.Defer
	case l.Quarantine != 0 && sum >= l.Quarantine:
		return smtpguard.Quarantine
	}
	return smtpguard.Continue
}

// rounded takes off what binary fractions add: 0.7 and 0.1 shall reach 0.8.
func rounded(x float64) float64 {
	if math.Abs(x) > 1e9 {
		return x
	}
	return math.Round(x*1e6) / 1e6
}
