package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/smtpguard/smtpguard/limiter"
)

// without decides about a part, as one, that the server has not decided.
func (t take) without(p *part) error {
	s := t.store
	switch s.cfg.Away {
	case Open:
		for _, i := range p.places {
			t.states[i] = t.asks[i].Look(0, 0)
		}
		return nil
	case Local:
		asks := make([]limiter.Ask, len(p.places))
		for i, place := range p.places {
			asks[i] = s.localAsk(t.asks[place])
		}
		states, err := s.local.Take(context.Background(), asks)
		if err != nil {
			return err
		}
		for i, place := range p.places {
			t.states[place] = states[i]
		}
		return nil
	}
	return fmt.Errorf("limiter: redisstore: %w: %w", ErrAway, p.err)
}

// undoLocally gives back what an ask has spent here. st is the ask's state, and
// becomes that after it.
func (s *Store) undoLocally(back *limiter.Ask, st *limiter.State) {
	if s.cfg.Away != Local {
		return
	}
	own := s.localAsk(*back)
	if after, err := s.local.TakeOne(&own); err == nil {
		st.Left, st.Full = after.Left, after.Full
	}
}

func (s *Store) localAsk(a limiter.Ask) limiter.Ask {
	a.Limit = share(a.Limit, s.cfg.Machines)
	return a
}

// share is what one of n machines may spend of l: as many units, but in n times
// the time, because a rate can be too low to be divided. Where that would be
// longer than limits may last it is the n-th part of the units, at least one.
func share(l limiter.Limit, n int) limiter.Limit {
	if n == 1 || l.N == 0 {
		return l
	}
	own := limiter.Limit{N: l.N, Per: l.Per, Burst: max(burst(l)/n, 1)}
	if l.Per <= limiter.MaxWindow/time.Duration(n) {
		own.Per = l.Per * time.Duration(n)
		if own.Validate() == nil {
			return own
		}
	}
	own.N, own.Per = max(l.N/n, 1), l.Per
	own.Burst = min(own.Burst, own.N)
	return own
}
