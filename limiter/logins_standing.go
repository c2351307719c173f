package limiter

import (
	"context"
	"net/netip"
	"time"
)

// Standing is how one counter of failed logins stands.
type Standing struct {
	Counter Counter
	Locked  bool          // no attempt is judged
	Left    int           // attempts that may fail before it is
	Retry   time.Duration // until an attempt is judged; 0 when one is now
	Strikes int           // lockouts that are not forgiven yet
}

// standing is how what a counts stands.
func standing(c Counter, a *Ask, st State, strikes int) Standing {
	n := cost(&a.Limit, strikes)
	s := Standing{Counter: c, Left: st.Left / n, Strikes: strikes}
	if a.Limit.N > 0 {
		s.Retry = max(st.Full-time.Duration(a.Limit.window())+a.Limit.Cost(n), 0)
	}
	s.Locked = s.Retry > 0
	return s
}

// Look tells an operator how a login and a client stand: all counters that they
// name. One of them may be left out, as "" or the zero Addr. home reports whether
// the login was proven from the client's network.
func (l *Logins) Look(ctx context.Context, addr netip.Addr, login string) (all []Standing, home bool, err error) {
	w := l.who(addr, login)
	counters := l.named(addr, login)
	at := l.atHome(w)
	at.N = 0
	asks := []Ask{at}
	for _, c := range counters {
		ask := l.ask(c, w)
		strike := l.strike(ask)
		ask.N, strike.N = 0, 0
		asks = append(asks, ask, strike)
	}
	states, err := take(ctx, l.store, asks)
	if err != nil {
		return nil, false, err
	}
	for i, c := range counters {
		all = append(all, standing(c, &asks[1+2*i], states[1+2*i], l.strikes.N-states[2+2*i].Left))
	}
	return all, login != "" && addr.IsValid() && !states[0].OK, nil
}

// Unlock forgives all failures and lockouts of the counters that login and addr
// name. One of them may be left out: Unlock of a login without an address ends
// its lockout everywhere but on networks that failed on it too often themselves.
func (l *Logins) Unlock(ctx context.Context, addr netip.Addr, login string) error {
	w := l.who(addr, login)
	var asks []Ask
	for _, c := range l.named(addr, login) {
		ask := l.ask(c, w)
		asks = append(asks, l.all(ask), l.all(l.strike(ask)))
	}
	_, err := take(ctx, l.store, asks)
	return err
}

// named are the counters that addr and login name.
func (l *Logins) named(addr netip.Addr, login string) (cs []Counter) {
	if login != "" {
		cs = append(cs, LoginFailures)
	}
	if addr.IsValid() {
		cs = append(cs, ClientFailures, UnnamedFailures)
		if login != "" {
			cs = append(cs, PairFailures, HomeFailures)
		}
	}
	return cs
}
