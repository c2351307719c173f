package limiter

import (
	"context"
	"fmt"
	"time"
)

// portion is one ask of several that go to the store.
type portion struct {
	held *holding // nil where nothing is
	out  int      // units at hand, taken out for it
	sent bool     // the store is asked for the rest
}

// pass has the store decide about what is not at hand.
func (l *Lease) pass(ctx context.Context, asks []Ask) ([]State, error) {
	parts, rest, asked := l.takeOut(asks)
	if parts == nil {
		return l.store.Take(ctx, asks)
	}
	defer l.calls.Done()
	var said []State
	var err error
	if len(rest) > 0 {
		said, err = l.store.Take(ctx, rest)
		if err == nil && len(said) != len(rest) {
			err = fmt.Errorf("limiter: a store has %d states for %d asks", len(said), len(rest))
		}
	}
	return l.bringBack(asks, parts, said, asked, err)
}

// takeOut takes out what is at hand of asks, and returns what is left to ask
// for, and in which turn. With nothing at hand, parts is nil; else l.calls counts
// one more.
func (l *Lease) takeOut(asks []Ask) (parts []portion, rest []Ask, asked uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(asks) > MaxAsks {
		return nil, nil, 0
	}
	known := false
	for i := range asks {
		known = known || l.held[leaseKey{asks[i].Key, asks[i].Limit}] != nil
	}
	if !known {
		return nil, nil, 0
	}
	l.calls.Add(1)
	l.turn++
	parts = make([]portion, len(asks))
	for i := range asks {
		a, p := asks[i], &parts[i]
		if p.held = l.held[leaseKey{a.Key, a.Limit}]; p.held != nil {
			p.held.lent++
			p.out = min(p.held.left, max(a.N, 0))
			p.held.left -= p.out
			if a.N >= 0 && (a.N > 0 || p.held.left > 0) && p.out == a.N {
				continue // all is at hand, or a unit, for a look
			}
			a.N -= p.out
		}
		p.sent = true
		rest = append(rest, a)
	}
	return parts, rest, l.turn
}

// bringBack makes states of what the store said, and takes back what is not
// spent after all.
func (l *Lease) bringBack(asks []Ask, parts []portion, said []State, asked uint64, err error) ([]State, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	spent := err == nil
	next := said
	for i := range parts {
		if p := &parts[i]; p.sent && err == nil {
			spent = spent && (next[0].OK || asks[i].Force)
			if p.held != nil {
				l.hear(p.held, &next[0], asked, now)
			}
			next = next[1:]
		}
	}
	for i := range parts {
		if p := &parts[i]; p.held != nil {
			p.held.lent--
			if !spent && (err != nil || !asks[i].Force) {
				p.held.left += p.out
			}
		}
	}
	if err != nil {
		return nil, err
	}
	states := make([]State, len(asks))
	for i := range parts {
		p, ok := &parts[i], true
		if p.sent {
			states[i], said = said[0], said[1:]
			if p.held == nil || p.held.left == 0 && p.out == 0 {
				continue
			}
			ok = states[i].OK
		}
		states[i] = p.held.stand(&asks[i], now, ok)
	}
	return states, nil
}

// sweep gives back what has not been asked for, until Close.
func (l *Lease) sweep() {
	t := time.NewTicker(l.cfg.Idle / 2)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			l.giveBack(func(h *holding, now int64) bool { return h.idle() && now-h.used >= int64(l.cfg.Idle) })
		case <-l.stop:
			return
		}
	}
}

// giveBack forgets the keys that fit, and returns to the store what was held of
// them. What it does not take stays spent.
func (l *Lease) giveBack(fits func(h *holding, now int64) bool) (err error) {
	var asks []Ask
	l.mu.Lock()
	now := l.now()
	for key, h := range l.held {
		if fits(h, now) {
			delete(l.held, key)
			if h.left > 0 {
				h.ask.N, h.ask.Force = -h.left, false
				asks = append(asks, h.ask)
			}
		}
	}
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), leaseTimeout)
	defer cancel()
	for len(asks) > 0 {
		n := min(len(asks), MaxAsks)
		if _, e := l.store.Take(ctx, asks[:n]); e != nil && err == nil {
			err = fmt.Errorf("limiter: giving back: %w", e)
		}
		asks = asks[n:]
	}
	return err
}

// Close gives back what is held, within some seconds. From then on all asks go
// to the store.
func (l *Lease) Close() error {
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.mu.Unlock()
	if closed || l.store == nil {
		return nil
	}
	close(l.stop)
	l.calls.Wait()
	return l.giveBack(func(*holding, int64) bool { return true })
}
