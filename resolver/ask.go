package resolver

import (
	"context"
	"errors"
	"slices"
	"time"
)

// find answers one question about name.
func (r *Resolver) find(ctx context.Context, name string, typ uint16) (found, question, error) {
	n, err := normal(name)
	if err != nil {
		return found{}, question{}, nameError(name, err)
	}
	q := question{n, typ}
	if f, ok := r.cached(q); ok {
		return f, q, dnsError(name, f.answer)
	}
	f, own := r.miss(ctx, q)
	if own != nil {
		return f, q, ownError(name, own)
	}
	return f, q, dnsError(name, f.answer)
}

// miss asks q alone. It is apart from find so that only who asks pays for what
// the closure shares.
func (r *Resolver) miss(ctx context.Context, q question) (f found, own error) {
	r.ask(ctx, []question{q}, func(_ int, got found, err error) bool {
		f, own = got, err
		return true
	})
	return f, own
}

// cached returns what is remembered of q, and has it fetched anew when it is
// due.
func (r *Resolver) cached(q question) (found, bool) {
	f, ok, refresh := r.cache.get(q, r.now())
	if refresh {
		r.refresh(q)
	}
	return f, ok
}

// ask answers qs, each once and in any order, until each returns false. Where
// the caller's context or budget ended first, each gets that error. What another
// caller asks at the moment is not asked again: its answer is awaited.
func (r *Resolver) ask(ctx context.Context, qs []question, each func(i int, f found, own error) bool) {
	if a, ok := ctx.Value(atHandKey{}).(*atHand); ok {
		a.remembered(r, qs, each)
		return
	}
	var few [4]int
	pending := few[:0]
	for i := range qs {
		pending = append(pending, i)
	}
	for len(pending) > 0 {
		var jobs []job
		var room []flight
		var waits []*flight // of others, for what stays in pending
		followed := pending[:0]
		stopped := false
		for _, i := range pending {
			if stopped {
				break
			}
			f, ok, mine, other := r.enter(qs[i], &room, len(pending))
			switch {
			case ok:
				stopped = !each(i, f, nil)
			case other != nil:
				followed = append(followed, i)
				waits = append(waits, other)
			default:
				if jobs == nil {
					jobs = make([]job, 0, len(pending))
				}
				jobs = append(jobs, job{question: qs[i], at: i, flight: mine})
			}
		}
		if len(jobs) > 0 {
			stopped = r.lead(ctx, jobs, stopped, each)
		}
		if stopped {
			return
		}
		if len(followed) == 0 {
			return
		}
		if pending, stopped = r.follow(ctx, qs, followed, waits, each); stopped {
			return
		}
	}
}

// follow awaits what others have asked for: flights has those of qs at places.
// It returns the places of those that came to nothing, and whether each said
// stop.
func (r *Resolver) follow(ctx context.Context, qs []question, places []int, flights []*flight, each func(i int, f found, own error) bool) (again []int, stopped bool) {
	account, until := open(ctx)
	defer account.close()
	var over <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		over = timer.C
	}
	var spent error
	for k, i := range places {
		err := spent
		if err == nil {
			select {
			case <-flights[k].done:
			case <-ctx.Done():
				err = ctx.Err()
			case <-over:
				spent = account.late()
				err = spent
			}
		}
		switch {
		case err != nil:
			f, own := r.instead(qs[i], err)
			stopped = !each(i, f, own)
		case flights[k].lost:
			again = append(again, i)
		default:
			r.counts.shared.Add(1)
			stopped = !each(i, flights[k].found, nil)
		}
		if stopped {
			return nil, true
		}
	}
	return again, false
}

// enter returns what is remembered of q, or the flight of somebody else who asks
// already, or one that is now under way, and that the caller must land: the
// first in room, which is made for so many when it is first needed.
func (r *Resolver) enter(q question, room *[]flight, many int) (f found, ok bool, mine, other *flight) {
	now := r.now()
	s := r.cache.shard(q)
	s.mu.Lock()
	f, ok, refresh := s.get(r.cache, q, now)
	if !ok {
		if other = s.flights[q]; other == nil {
			if len(*room) == 0 {
				*room = make([]flight, many)
			}
			mine, *room = &(*room)[0], (*room)[1:]
			s.flights[q] = mine
		} else if other.done == nil {
			other.done = make(chan struct{})
		}
	}
	s.mu.Unlock()
	if refresh {
		r.refresh(q)
	}
	return f, ok, mine, other
}

// lead asks the jobs and lands their flights. It reports whether each said stop.
func (r *Resolver) lead(ctx context.Context, jobs []job, stopped bool, each func(i int, f found, own error) bool) bool {
	defer func() { // also when each panics
		for i := range jobs {
			r.land(&jobs[i], nil, false)
		}
	}()
	if stopped {
		return true
	}
	e := exchange{r: r, ctx: ctx, jobs: jobs, answered: func(j *job, a answer, hasTTL bool) bool {
		return each(j.at, r.land(j, &a, hasTTL), nil)
	}}
	if err := ctx.Err(); err == nil {
		e.run()
	} else {
		for i := range jobs {
			jobs[i].err = err
		}
	}
	if e.stopped {
		return true
	}
	for i := range jobs {
		j := &jobs[i]
		if j.err == nil {
			continue
		}
		r.land(j, nil, false)
		if f, own := r.instead(j.question, j.err); !each(j.at, f, own) {
			return true
		}
	}
	return false
}

// land ends j's flight, once: with an answer, or without one, so that somebody
// else must ask. It returns what to say.
func (r *Resolver) land(j *job, a *answer, hasTTL bool) found {
	fl := j.flight
	if fl == nil {
		return found{}
	}
	j.flight = nil
	now := r.now()
	s := r.cache.shard(j.question)
	s.mu.Lock()
	defer s.mu.Unlock()
	if a != nil {
		fl.found = s.put(r.cache, j.question, found{answer: *a}, hasTTL, now)
	}
	fl.lost = a == nil
	delete(s.flights, j.question)
	if fl.done != nil {
		close(fl.done)
	}
	return fl.found
}

// instead returns a stale answer where time is over, or err where there is none.
func (r *Resolver) instead(q question, err error) (found, error) {
	if errors.Is(err, context.Canceled) {
		return found{}, err
	}
	s := r.cache.shard(q)
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.stalled(r.cache, q, r.now()); ok {
		return f, nil
	}
	return found{}, err
}

// refresh fetches q anew in the background, if there is room.
func (r *Resolver) refresh(q question) {
	b := &r.refreshes
	b.Lock()
	defer b.Unlock()
	if b.closed || b.room == 0 {
		return
	}
	s := r.cache.shard(q)
	s.mu.Lock()
	fl := new(flight)
	_, busy := s.flights[q]
	if !busy {
		s.flights[q] = fl
	}
	s.mu.Unlock()
	if busy {
		return
	}
	b.room--
	r.counts.refreshes.Add(1)
	b.all.Go(func() {
		jobs := []job{{question: q, flight: fl}}
		r.lead(r.background, slices.Clip(jobs), false, func(int, found, error) bool { return true })
		b.Lock()
		defer b.Unlock()
		b.room++
	})
}
