package dnslist

import (
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"time"
)

// Run tests every list, at once and then every Every, less or more a fifth,
// until ctx ends: what is always listed must be, and what never is must not,
// nor a name that nobody could know. A list that fails is set aside until it
// passes. Run returns ctx's error.
func (a *Asker) Run(ctx context.Context, lists []*List) error {
	var group sync.WaitGroup
	for _, l := range lists {
		if a.Every > 0 {
			group.Go(func() { a.watch(ctx, l) })
		}
	}
	group.Wait()
	<-ctx.Done()
	return ctx.Err()
}

func (a *Asker) watch(ctx context.Context, l *List) {
	retry := a.Retry
	for {
		wait := a.Every
		switch why := a.test(ctx, l); {
		case ctx.Err() != nil:
			return
		case why == "":
			retry = a.Retry
			a.takeBack(l)
		default:
			wait = min(retry, a.Every)
			retry = min(2*retry, a.Every)
			a.setAside(l, why, 2*wait+4*a.Timeout) // past the next test, whatever it takes
		}
		timer := time.NewTimer(wait - wait/5 + mathrand.N(2*wait/5+1))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// test returns why a list fails, "" for one that does not.
func (a *Asker) test(ctx context.Context, l *List) string {
	probe := &List{Name: l.Name, Suffix: l.Suffix, Secret: l.Secret, Codes: l.Codes} // asked whatever l stands
	questions := []Question{{probe, strings.ToLower(rand.Text())}}
	for _, name := range l.Unlisted {
		questions = append(questions, Question{probe, name})
	}
	unlisted := len(questions)
	if l.Listed != "" {
		questions = append(questions, Question{probe, l.Listed})
	}
	asker := &Asker{Resolver: a.Resolver, Timeout: a.Timeout, Pending: len(questions), Errors: len(questions) + 1, Retry: a.Retry}
	answers := asker.Ask(ctx, questions)
	for i, got := range answers {
		if got.Err != nil && len(got.Addrs) == 0 { // a lost packet is no reason to set a list aside
			answers[i] = (&Asker{Resolver: a.Resolver, Timeout: a.Timeout, Pending: 1, Errors: 2, Retry: a.Retry}).Ask(ctx,
				[]Question{{&List{Name: l.Name, Suffix: l.Suffix, Secret: l.Secret, Codes: l.Codes}, questions[i].Name}})[0]
		}
	}
	for i, got := range answers {
		answer, _ := got.Err.(*AnswerError)
		named := got.Err == nil || answer != nil && answer.Trouble == Unnamed
		switch {
		case !named:
			return got.Err.Error()
		case i < unlisted && len(got.Addrs) > 0:
			return "lists the world: " + questions[i].Name + " among it"
		case i >= unlisted && len(got.Addrs) == 0:
			return "does not list what is always listed: it is dead, or not answering us"
		}
	}
	return ""
}
