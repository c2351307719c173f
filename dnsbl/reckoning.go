package dnsbl

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/smtpguard/smtpguard/internal/dnslist"
)

// reckoning puts the answers of one stage together.
type reckoning struct {
	lists    *Lists
	q        *questions
	start    time.Time
	prior    float64
	hurry    bool // return once the outcome is clear
	clear    bool // it is, and not all have answered
	got      int
	heard    [maxQuestions/64 + 1]uint64 // questions that are answered, a bit each
	listings []numbered
	failures []numberedFailure
	tally    tally
}

// numbered is a listing with the place of its question.
type numbered struct {
	i int
	Listing
}

type numberedFailure struct {
	i int
	Failure
}

// take takes an answer.
func (r *reckoning) take(a *answer) {
	qu := &r.q.list[a.i]
	z := qu.zone
	r.got++
	r.heard[a.i/64] |= 1 << (a.i % 64)
	z.state.latency.add(a.took)
	switch {
	case a.err != nil:
		r.fail(a.i, a.err)
	case a.set != 0:
		r.list(a)
		fallthrough
	default:
		r.lists.asker.Judge(&z.list, nil)
	}
	r.clear = r.hurry && len(r.listings) > 0 && r.got < len(r.q.list) && r.settled()
}

// list notes a listing.
func (r *reckoning) list(a *answer) {
	qu := &r.q.list[a.i]
	z := qu.zone
	z.state.listed.Add(1)
	s := &r.q.subjects[qu.subject]
	listing := Listing{Zone: z.Name, Position: s.position, Subject: s.String(), Answers: slices.Clone(a.addrs), zone: z}
	listing.Codes = z.coded(a.set)
	if r.listings == nil {
		r.listings = make([]numbered, 0, 4)
	}
	r.listings = append(r.listings, numbered{a.i, listing})
	r.tally.add(&r.listings[len(r.listings)-1].Listing)
}

// coded are the codes in set.
func (z *zone) coded(set dnslist.Set) (codes []Code) {
	for i := range z.Codes {
		switch {
		case !set.Has(i):
		case codes == nil:
			codes = z.Codes[i : i+1 : i+1] // shared, and copied should there be more
		default:
			codes = append(codes, z.Codes[i])
		}
	}
	return codes
}

// settled reports whether the zones that have not answered can change anything.
func (r *reckoning) settled() bool {
	var open reach
	for i := range r.q.list {
		if r.has(i) {
			continue
		}
		z := &r.q.list[i].zone.reach
		open.action, open.accept = max(open.action, z.action), max(open.accept, z.accept)
		open.low, open.high = open.low+z.low, open.high+z.high
	}
	return r.tally.settled(&r.lists.cfg.Limits, r.prior, &open)
}

// fail notes that a zone failed.
func (r *reckoning) fail(i int, err error) {
	qu := &r.q.list[i]
	z := qu.zone
	r.failures = append(r.failures, numberedFailure{i, Failure{z.Name, r.q.subjects[qu.subject].String(), err}})
	if !errors.Is(err, context.Canceled) { // which is the client's doing, not the zone's
		z.state.errors.Add(1)
	}
	r.lists.asker.Judge(&z.list, err)
}

// abandon has what is not answered fail.
func (r *reckoning) abandon(err error) {
	for i := range r.q.list {
		if !r.has(i) {
			r.fail(i, err)
		}
	}
}

// has reports whether the question i is answered.
func (r *reckoning) has(i int) bool { return r.heard[i/64]&(1<<(i%64)) != 0 }

// finish makes the result, in the order of the questions, whichever answer came
// first.
func (r *reckoning) finish() (res Result) {
	if !r.clear {
		r.lists.stats.compare(r)
	}
	res.Early = r.clear
	if len(r.failures) > 0 {
		slices.SortFunc(r.failures, func(a, b numberedFailure) int { return a.i - b.i })
		res.Failures = make([]Failure, len(r.failures))
		for i := range r.failures {
			res.Failures[i] = r.failures[i].Failure
		}
	}
	if len(r.listings) == 0 {
		return res
	}
	slices.SortFunc(r.listings, func(a, b numbered) int { return a.i - b.i })
	res.Listings = make([]Listing, len(r.listings))
	for i := range r.listings {
		res.Listings[i] = r.listings[i].Listing
	}
	t := res.tally(nil)
	res.Action, res.Accept, res.Score = t.outcome(&r.lists.cfg.Limits, 0), t.accept, rounded(t.score)
	return res
}

// tally adds up the listings that count, all with nil.
func (res *Result) tally(counts func(*Listing) bool) (t tally) {
	for i := range res.Listings {
		if counts == nil || counts(&res.Listings[i]) {
			t.add(&res.Listings[i])
		}
	}
	return t
}
