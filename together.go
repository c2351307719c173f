package smtpguard

import (
	"context"
	"time"
)

// Together asks checks side by side. A Disconnect wins, at once, and the
// context of the others ends; else the first in order that objects, when all
// have answered, for any of them might still disconnect. Where none objects,
// their words are put together: Quarantine when one says so, the widest Accept,
// the sum of scores.
//
// A hook that goes on after its context has ended is not waited for. Edits of
// the message count in the order of the checks.
func Together(checks ...Check) Check { return combine("together", together, checks) }

func together(ctx context.Context, e *env, cs []Check, sc *scene) Verdict {
	var asked []*Check
	var names []string
	for i := range cs {
		if c := &cs[i]; e.asks(c, sc.stage) {
			asked, names = append(asked, c), append(names, c.Name)
		}
	}
	if len(asked) == 1 {
		return judge(ctx, e, asked[0], sc)
	}
	hookCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(errOver)
	type arrival struct {
		answer
		i int
	}
	arrivals := make(chan arrival, len(asked)) // room for those that nobody awaits
	branches := make([]*branch, len(asked))
	start := time.Now()
	for i, c := range asked {
		b := sc.branch()
		branches[i] = b
		go func() {
			a := arrival{answer{err: errExited}, i}
			defer func() { arrivals <- a }()
			a.answer = e.ask(hookCtx, c, &b.scene)
		}()
	}

	verdicts := make([]Verdict, len(asked))
	here := make([]bool, len(asked))
	take := func(a arrival) (final bool) {
		here[a.i] = true
		verdicts[a.i] = e.settle(ctx, asked[a.i], sc, a.answer)
		return verdicts[a.i].Action == Disconnect
	}
	ended := ctx.Done()
	for range asked {
		var a arrival
		select {
		case a = <-arrivals:
		case <-ended:
			select {
			case a = <-arrivals: // what is there counts
			default:
				for i := range asked {
					if !here[i] {
						verdicts[i] = e.settle(ctx, asked[i], sc, answer{err: ctx.Err(), took: time.Since(start)})
					}
				}
				return conclude(sc, names, verdicts, branches, here)
			}
		}
		if take(a) {
			return verdicts[a.i]
		}
	}
	return conclude(sc, names, verdicts, branches, here)
}

// conclude decides over verdicts; here says whose hooks have returned.
func conclude(sc *scene, names []string, verdicts []Verdict, branches []*branch, here []bool) Verdict {
	if v, ok := decisive(verdicts); ok {
		return v
	}
	for i, b := range branches {
		if here[i] {
			sc.join(b)
		}
	}
	return merged(names, verdicts)
}
