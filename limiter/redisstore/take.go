package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/smtpguard/smtpguard/limiter"
)

var errTimeout = errors.New("no answer in time")

// Take decides about all asks as one, in one round trip; the package comment
// says what a cluster makes of that, and what becomes of asks that the server
// does not decide. It returns within Config.Timeout; when ctx ends before, with
// its error, and what was under way may be spent. Ask.Overflow is for the buckets
// of [Local] alone: what there is room for is otherwise the server's matter.
func (s *Store) Take(ctx context.Context, asks []limiter.Ask) ([]limiter.State, error) {
	if len(asks) > limiter.MaxAsks {
		return nil, fmt.Errorf("limiter: %d asks are more than %d", len(asks), limiter.MaxAsks)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("limiter: redisstore: %w", err)
	}
	states := make([]limiter.State, len(asks))
	wires := make([]wire, 0, len(asks))
	places := make([]int, 0, len(asks))
	for i := range asks {
		a := &asks[i]
		if err := a.Validate(); err != nil {
			return nil, fmt.Errorf("limiter: ask %d: %w", i, err)
		}
		if a.Limit.N == 0 {
			states[i] = a.Look(0, 0)
			continue
		}
		wires = append(wires, s.encode(a))
		places = append(places, i)
	}
	if len(wires) == 0 {
		return states, nil
	}
	parts := s.split(wires, places)
	for _, p := range parts {
		switch lead := p.lane.do(p.call, false); {
		case lead && len(parts) == 1:
			p.lane.lead(ctx, p.call)
		case lead:
			go p.lane.lead(s.ctx, p.call)
		}
	}
	if err := s.wait(ctx, parts); err != nil {
		return nil, fmt.Errorf("limiter: redisstore: %w", err)
	}
	t := take{s, asks, states}
	if err := t.settle(parts); err != nil {
		return nil, err
	}
	return states, nil
}

// part are asks of a Take that are decided together: all of them, on a cluster
// those of one key.
type part struct {
	places []int // in the Take
	call   *call
	lane   *lane
	err    error // why the server has not decided
}

// split makes parts of wires, which belong to the asks at places.
func (s *Store) split(wires []wire, places []int) []*part {
	if s.lanes.cluster == nil {
		return []*part{{places: places, call: newCall(wires), lane: s.lanes.first}}
	}
	var parts []*part
	byKey := make(map[string]*part)
	for i := range wires {
		key := slotKey(wires[i].key)
		p := byKey[key]
		if p == nil {
			p = &part{call: newCall(nil), lane: s.lanes.of(key)}
			byKey[key] = p
			parts = append(parts, p)
		}
		p.places = append(p.places, places[i])
		p.call.asks = append(p.call.asks, wires[i])
	}
	return parts
}

// wait returns when all parts are done or given up. An error is that of ctx.
func (s *Store) wait(ctx context.Context, parts []*part) error {
	var timer *time.Timer
	for i, p := range parts {
		select {
		case <-p.call.done:
			p.err = p.call.err
			continue
		default:
		}
		if timer == nil {
			timer = time.NewTimer(s.cfg.Timeout)
			defer timer.Stop()
		}
		select {
		case <-p.call.done:
			p.err = p.call.err
		case <-timer.C:
			timer.Reset(0) // no time for the next part
			p.err = errTimeout
			p.lane.drop(p.call)
		case <-ctx.Done():
			for _, p := range parts[i:] {
				p.call.state.CompareAndSwap(queued, dropped)
			}
			return ctx.Err()
		}
	}
	for _, p := range parts {
		if p.err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// take is a Take whose parts are done or given up.
type take struct {
	store  *Store
	asks   []limiter.Ask
	states []limiter.State
}

// settle has the states of all asks: those the server decided, and together, as
// Config.Away says, the rest. Where some are refused, or not decided at all,
// other parts give back what they have spent.
func (t take) settle(parts []*part) error {
	refused := false
	var spent []*part
	add := func(p *part) {
		if t.refused(p) {
			refused = true
		} else {
			spent = append(spent, p)
		}
	}
	rest := &part{}
	for _, p := range parts {
		if p.err != nil {
			rest.places, rest.err = append(rest.places, p.places...), p.err
			continue
		}
		t.read(p)
		add(p)
	}
	var err error
	if rest.err != nil {
		if err = t.without(rest); err == nil {
			add(rest)
		}
	}
	if refused || err != nil {
		for _, p := range spent {
			t.giveBack(p)
		}
	}
	return err
}

// read has the states of a part that the server decided.
func (t take) read(p *part) {
	for i, place := range p.places {
		t.states[place] = decode(&t.asks[place], &p.call.asks[i], p.call.reply[i])
	}
}

// refused reports whether an ask of p has kept others from being spent.
func (t take) refused(p *part) bool {
	for _, i := range p.places {
		if !t.states[i].OK && !t.asks[i].Force {
			return true
		}
	}
	return false
}

// giveBack undoes what a part has spent, without waiting for the server: later
// calls of this store find it done.
func (t take) giveBack(p *part) {
	var undo []wire
	for i, place := range p.places {
		a := &t.asks[place]
		if a.Force || a.N == 0 {
			continue
		}
		back := limiter.Ask{Key: a.Key, Limit: a.Limit, N: -a.N, Force: a.N < 0, Debt: a.Debt, Overflow: a.Overflow}
		st := &t.states[place]
		if p.call == nil {
			t.store.undoLocally(&back, st)
			continue
		}
		w := &p.call.asks[i]
		full := int64(st.Full) / microsecond
		if a.N > 0 {
			full = max(full-w.cost, 0)
		} else {
			full = min(full+w.cost, w.window+w.debt)
		}
		*st = stand(a, w, full, st.OK)
		undo = append(undo, t.store.encode(&back))
	}
	if undo == nil {
		return
	}
	lane := t.store.lanes.of(undo[0].key) // where the next ask for it goes
	if c := newCall(undo); lane.do(c, true) {
		go lane.lead(t.store.ctx, c)
	}
}
