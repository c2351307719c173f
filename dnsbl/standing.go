package dnsbl

import (
	"fmt"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/dnslist"
)

// Standing is what is known of a zone's health.
type Standing int

const (
	Well      = Standing(dnslist.Well)      // nothing is known to be wrong
	Away      = Standing(dnslist.Away)      // it does not answer, or its servers fail
	Refuses   = Standing(dnslist.Refuses)   // its operator does not answer us
	Empty     = Standing(dnslist.Empty)     // it does not list what is always listed: it is dead
	World     = Standing(dnslist.World)     // it lists what is never listed
	Rewritten = Standing(dnslist.Rewritten) // it answers outside 127.0.0.0/8: it is parked, or somebody on the way answers for names that do not exist
)

var standingNames = [...]string{"well", "away", "refuses", "empty", "world", "rewritten"}

// String returns the standing in lower case.
func (s Standing) String() string {
	if s < 0 || int(s) >= len(standingNames) {
		return "invalid"
	}
	return standingNames[s]
}

// MarshalText makes a standing a word in JSON.
func (s Standing) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// told passes on that a zone was set aside, stands otherwise, or was taken back.
func (l *Lists) told(c dnslist.Change) {
	now := Standing(c.Now)
	ev := smtpguard.Event{Time: c.At, Check: l.cfg.Name, Kind: smtpguard.KindWarning,
		Reason: fmt.Sprintf("%s is set aside: %s", c.List.Name, clean(c.Why, maxText)),
		Facts:  map[string]string{"event": "aside", "zone": c.List.Name, "standing": now.String()}}
	if now == Well {
		ev.Kind, ev.Facts["event"] = smtpguard.KindNote, "back"
		ev.Reason = fmt.Sprintf("%s is taken back, after %v", c.List.Name, c.At.Sub(c.Since).Round(time.Second))
	}
	tell(l.cfg.Observe, ev)
}

// tell reports an event. A panic of who hears it is dropped: it is nobody's
// mail's fault.
func tell(observe func(smtpguard.Event), ev smtpguard.Event) {
	if observe == nil {
		return
	}
	defer func() { _ = recover() }()
	observe(ev)
}
