package smtpguard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
)

// ScoreLimits say what a sum of scores does, once it reaches a limit. 0 means
// never. The zero ScoreLimits only counts.
type ScoreLimits struct {
	Stage Stage // the earliest stage at which a limit acts; 0 means StageRcpt

	Quarantine, Defer, Reject float64 // the strongest that is reached acts
}

// Score asks checks in order and adds up their [Verdict.Score]: the
// connection's sum (Connect, Hello, Auth) and the transaction's. A repeated
// EHLO or AUTH replaces what the check scored there before; of the recipients
// of a transaction the highest score counts. An objection passes through at
// once. After a check's Accept, only the scores of checks marked Always act.
//
// A score that is not finite is a failure of its check.
func Score(limits ScoreLimits, checks ...Check) Check {
	if limits.Stage == 0 {
		limits.Stage = StageRcpt
	}
	c := combine("score", (&score{limits: limits}).ask, checks, dueAt(limits.Stage)...)
	if limits.Stage < StageConnect || limits.Stage > StageData {
		c.err = errors.Join(c.err, fmt.Errorf("smtpguard: ScoreLimits.Stage is %d, which is no Stage", int(limits.Stage)))
	}
	for _, l := range []struct {
		name string
		v    float64
	}{{"Quarantine", limits.Quarantine}, {"Defer", limits.Defer}, {"Reject", limits.Reject}} {
		if !(l.v >= 0) || math.IsInf(l.v, 0) {
			c.err = errors.Join(c.err, fmt.Errorf("smtpguard: ScoreLimits.%s is %v: must be 0 or more, and finite", l.name, l.v))
		}
	}
	return c
}

type score struct {
	limits ScoreLimits
	key    Key[map[scored]float64] // on both the connection and the transaction; never changed in place
}

// scored is what a score belongs to.
type scored struct {
	child int
	stage Stage
}

func (s *score) ask(ctx context.Context, e *env, cs []Check, sc *scene) Verdict {
	here := *e
	var names []string
	var said []Verdict
	for i := range cs {
		c := &cs[i]
		if !here.asks(c, sc.stage) {
			continue
		}
		a := here.ask(ctx, c, sc)
		if a.err == nil && (math.IsNaN(a.v.Score) || math.IsInf(a.v.Score, 0)) {
			a.err = fmt.Errorf("smtpguard: score is %v", a.v.Score)
		}
		v := here.settle(ctx, c, sc, a)
		if v.Action.objects() {
			return v
		}
		s.keep(sc, i, v.Score)
		if v.Accept != NoScope {
			here.accepted = true
		}
		names, said = append(names, c.Name), append(said, v)
	}
	v := merged(names, said)
	if sc.stage < s.limits.Stage {
		return v
	}
	sum, parts := s.sum(sc, func(i int) bool { return cs[i].Always || !here.accepted }, cs)
	action, limit := s.limits.reached(sum)
	if action > v.Action {
		v.Action, v.by = action, ""
		reason := "score " + number(sum) + " reaches " + number(limit) + " (" + strings.Join(parts, ", ") + ")"
		if v.Reason != "" {
			reason += "; " + v.Reason
		}
		v.Reason = reason
	}
	return v
}

// keep notes what a child scored.
func (s *score) keep(sc *scene, child int, points float64) {
	k := scored{child, sc.stage}
	s.key.Update(sc.holder(), func(all map[scored]float64) map[scored]float64 {
		next := maps.Clone(all)
		if next == nil {
			next = make(map[scored]float64)
		}
		if old, ok := all[k]; ok && !sc.anew() {
			points = max(points, old)
		}
		next[k] = points
		return next
	})
}

// sum adds up what the children that count have scored, and lists them.
func (s *score) sum(sc *scene, counts func(child int) bool, cs []Check) (sum float64, parts []string) {
	conn, _ := s.key.Get(sc.conn)
	var tx map[scored]float64
	if sc.tx != nil {
		tx, _ = s.key.Get(sc.tx)
	}
	for i := range cs {
		if !counts(i) {
			continue
		}
		points := 0.0
		for stage := StageConnect; stage <= StageData; stage++ {
			k := scored{i, stage}
			points += conn[k] + tx[k]
		}
		if points != 0 {
			sum += points
			parts = append(parts, cs[i].Name+" "+number(points))
		}
	}
	return round(sum), parts
}

// reached is what sum does, and by which limit.
func (l *ScoreLimits) reached(sum float64) (Action, float64) {
	switch {
	case l.Reject != 0 && sum >= l.Reject:
		return Reject, l.Reject
	case l.Defer != 0 && sum >= l.Defer:
		return Defer, l.Defer
	case l.Quarantine != 0 && sum >= l.Quarantine:
		return Quarantine, l.Quarantine
	}
	return Continue, 0
}

// round takes off what binary fractions add: 0.7 and 0.1 shall reach 0.8.
func round(x float64) float64 {
	if math.Abs(x) > 1e9 {
		return x
	}
	return math.Round(x*1e6) / 1e6
}

func number(x float64) string { return strconv.FormatFloat(round(x), 'f', -1, 64) }
