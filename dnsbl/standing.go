package dnsbl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/dnslist"
)

// Standing is what is known of a zone's health.
type Standing int

const (
	Well      Standing = iota // nothing is known to be wrong
	Away                      // it does not answer, or its servers fail
	Refuses                   // its operator does not answer us
	Empty                     // it does not list what is always listed: it is dead
	World                     // it lists what is never listed
	Rewritten                 // it answers outside 127.0.0.0/8: it is parked, or somebody on the way answers for names that do not exist
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

// standing is a zone's health and what it did so far.
type standing struct {
	until atomic.Int64  // Unix nanoseconds up to which the zone is set aside; 0: it is not
	fails atomic.Int64  // lookups that failed in a row
	doubt chan struct{} // has one when a test is due at once

	telling sync.Mutex // held while an event is told, so that they come in order

	mu    sync.Mutex
	now   Standing
	why   string
	since time.Time

	asked, listed, errors, busy, skipped, tests atomic.Uint64
	latency                                     latency
}

// isAside reports whether the zone is not to be asked. A zone whose time is over
// is asked again, although it is not taken back: where nobody runs tests, that is
// how it is found to be well.
func (s *standing) isAside() bool {
	until := s.until.Load()
	return until != 0 && time.Now().UnixNano() < until
}

// suspect has a test made soon.
func (s *standing) suspect() {
	select {
	case s.doubt <- struct{}{}:
	default:
	}
}

// worked is told of a lookup that the zone answered as it should. Of one that
// was under way when the zone was set aside it makes nothing.
func (l *Lists) worked(z *zone) {
	if z.state.fails.Load() != 0 {
		z.state.fails.Store(0)
	}
	if z.state.until.Load() == 0 || z.state.isAside() {
		return
	}
	z.state.mu.Lock()
	now := z.state.now
	z.state.mu.Unlock()
	if now == Away || now == Refuses { // of anything else an answer is no proof
		l.takeBack(z)
	}
}

// failed is told of a lookup that failed.
func (l *Lists) failed(z *zone, err error) {
	if a, ok := refused(err); ok {
		l.setAside(z, Refuses, a.Error(), l.cfg.Health.Retry)
		return
	}
	var answer *dnslist.AnswerError
	if errors.As(err, &answer) {
		z.state.suspect()
		return
	}
	if z.state.fails.Add(1) >= int64(l.cfg.Health.Errors) {
		l.setAside(z, Away, because(err), l.cfg.Health.Retry)
	}
}

// because is why a zone is away, in words that are the same for all names.
func because(err error) string {
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &dns) && dns.IsTimeout:
		return "no answer in time"
	case errors.As(err, &dns):
		return clean(dns.Err, maxText)
	}
	return clean(err.Error(), maxText)
}

// setAside has z not asked for the time d.
func (l *Lists) setAside(z *zone, now Standing, why string, d time.Duration) {
	l.stand(z, now, why, time.Now().Add(d).UnixNano())
}

// takeBack has z asked again.
func (l *Lists) takeBack(z *zone) { l.stand(z, Well, "", 0) }

// stand notes how z stands from now on, and tells of a change.
func (l *Lists) stand(z *zone, now Standing, why string, until int64) {
	s := &z.state
	s.telling.Lock()
	defer s.telling.Unlock()
	if now != Well {
		until = max(until, s.until.Load()) // a test may have said longer than a lookup does
	}
	s.until.Store(until)
	s.fails.Store(0)
	s.mu.Lock()
	was, since := s.now, s.since
	if was != now {
		s.now, s.why, s.since = now, why, time.Now()
	}
	ev := smtpguard.Event{Time: s.since, Check: l.cfg.Name}
	s.mu.Unlock()
	if was == now {
		return
	}
	ev.Facts = map[string]string{"event": "aside", "zone": z.Name, "standing": now.String()}
	if now == Well {
		ev.Kind, ev.Facts["event"] = smtpguard.KindNote, "back"
		ev.Reason = fmt.Sprintf("%s is taken back, after %v", z.Name, ev.Time.Sub(since).Round(time.Second))
	} else {
		ev.Kind = smtpguard.KindWarning
		ev.Reason = fmt.Sprintf("%s is set aside: %s", z.Name, why)
		s.suspect()
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
