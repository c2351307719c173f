package redisstore

import "time"

// Event is something an operator should know of the server.
type Event struct {
	Time time.Time
	Kind Kind
	Node string        // of a cluster, the master's address; "" before its nodes are known, and otherwise
	Err  error         // of KindFailed and KindAway
	Away time.Duration // of KindBack: how long the server was away
}

// Kind tells events apart.
type Kind string

const (
	KindFailed Kind = "failed" // a round trip failed: its asks were answered as Config.Away says
	KindBusy   Kind = "busy"   // more asks than the server decides in time: some are answered as Config.Away says
	KindAway   Kind = "away"   // all asks are, from now on
	KindBack   Kind = "back"   // the server decides again
)

func (s *Store) observe(ev Event) {
	if s.cfg.Observe == nil || s.ctx.Err() != nil { // closed: its failures are no news
		return
	}
	defer func() { _ = recover() }() // as Config.Observe says
	ev.Time = time.Now()
	s.cfg.Observe(ev)
}
