package smtpguard

import (
	"context"
	"math"
	"testing"
)

// points is a check that scores by stage; at RCPT by recipient, where one is
// named.
func points(name string, conn map[Stage]float64, rcpt map[string]float64) Check {
	c := every(name, Verdict{})
	say := func(s Stage) (Verdict, error) { return Verdict{Score: conn[s]}, nil }
	c.Connect = func(context.Context, *Conn) (Verdict, error) { return say(StageConnect) }
	c.Hello = func(context.Context, *Conn) (Verdict, error) { return say(StageHello) }
	c.Auth = func(context.Context, *Conn, *AuthAttempt) (Verdict, error) { return say(StageAuth) }
	c.Mail = func(context.Context, *Transaction) (Verdict, error) { return say(StageMail) }
	c.Rcpt = func(_ context.Context, _ *Transaction, r *Recipient) (Verdict, error) {
		return Verdict{Score: rcpt[r.Addr]}, nil
	}
	c.Data = func(context.Context, *Transaction, *Message) (Verdict, error) { return say(StageData) }
	return c
}

func TestScoreAddsUpConnectionAndTransaction(t *testing.T) {
	c := Score(ScoreLimits{Quarantine: 4, Defer: 6, Reject: 8},
		points("list", map[Stage]float64{StageConnect: 3, StageHello: 0.7}, nil),
		points("name", map[Stage]float64{StageHello: 0.3, StageMail: 2}, map[string]float64{"trap@example.org": 3}))
	s := newVisit(t)
	want(t, s.connect(c), Continue)
	want(t, s.hello(c), Continue)
	want(t, s.hello(c), Continue)
	want(t, s.mail(c), Continue) // 6 already, but not before RCPT
	got := s.rcpt(c, "b@example.org")
	want(t, got, Defer)
	if got.Reason != "score 6 reaches 6 (list 3.7, name 2.3)" {
		t.Error(got.Reason)
	}
	got = s.rcpt(c, "trap@example.org")
	want(t, got, Reject)
	if got.Reason != "score 9 reaches 8 (list 3.7, name 5.3)" {
		t.Error(got.Reason)
	}
	want(t, s.rcpt(c, "b@example.org"), Reject) // the highest of the recipients counts

	want(t, s.mail(c), Continue) // the next transaction has the connection's sum and its own
	want(t, s.rcpt(c, "b@example.org"), Defer)
}

func TestScoreDoesNotAddUpWhatIsRepeated(t *testing.T) {
	c := Score(ScoreLimits{Stage: StageHello, Reject: 5}, points("a", map[Stage]float64{StageHello: 2, StageAuth: 1}, map[string]float64{"b@example.org": 1.5}))
	s := newVisit(t)
	for range 5 {
		want(t, s.hello(c), Continue)
		want(t, s.auth(c, ""), Continue)
		want(t, s.auth(c, "demo"), Continue)
	}
	want(t, s.mail(c), Continue)
	for range 5 {
		want(t, s.rcpt(c, "b@example.org"), Continue)
	}
	want(t, s.mail(c), Continue)
	want(t, s.data(Score(ScoreLimits{Reject: 5}, points("a", map[Stage]float64{StageData: 5}, nil))), Reject) // it would act
}

func TestScoreOfARepeatedEHLOReplacesTheFirst(t *testing.T) {
	bad := true
	c := Score(ScoreLimits{Reject: 5}, at(StageHello, "name", func(context.Context, *Conn) (Verdict, error) {
		if bad {
			return Verdict{Score: 5}, nil
		}
		return Verdict{}, nil
	}))
	s := newVisit(t)
	s.hello(c)
	s.mail(c)
	want(t, s.rcpt(c, "b@example.org"), Reject)
	bad = false
	s.hello(c)
	want(t, s.rcpt(c, "b@example.org"), Continue)
}

func TestScoreOfAnAuthExchangeIsItsHighest(t *testing.T) {
	byLogin := map[string]float64{"": 5, "demo": 0}
	c := Score(ScoreLimits{Stage: StageAuth, Reject: 5}, Check{Name: "a", Auth: func(_ context.Context, _ *Conn, a *AuthAttempt) (Verdict, error) {
		return Verdict{Score: byLogin[a.Claimed]}, nil
	}})
	s := newVisit(t)
	want(t, s.auth(c, ""), Reject)
	want(t, s.auth(c, "demo"), Reject)
	byLogin[""] = 1
	want(t, s.auth(c, ""), Continue)
	byLogin[""] = 7
	s.auth(c, "")
	want(t, s.mail(c), Reject)
}

func TestScoreActsWhereNoChildHasAHook(t *testing.T) {
	c := Score(ScoreLimits{Reject: 5}, at(StageConnect, "list", func(context.Context, *Conn) (Verdict, error) { return Verdict{Score: 5}, nil }))
	s := newVisit(t)
	want(t, s.connect(c), Continue)
	want(t, s.mail(c), Continue)
	want(t, s.rcpt(c, "b@example.org"), Reject)
}

func TestScoreAndAccept(t *testing.T) {
	scores := every("scores", Verdict{Score: 9})
	list := every("list", Verdict{Accept: ScopeHook})
	for _, tt := range []struct {
		name   string
		c      Check
		asked  int // scores, of a Rcpt call
		action Action
		accept Scope
	}{
		{"after", Score(ScoreLimits{Reject: 5}, scores, list), 1, Continue, ScopeHook},
		{"before", Score(ScoreLimits{Reject: 5}, list, scores), 0, Continue, ScopeHook},
		{"always", Score(ScoreLimits{Reject: 5}, list, always(scores)), 1, Reject, ScopeHook},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newVisit(t)
			s.tx = s.conn.open("", nil)
			got := s.rcpt(tt.c, "b@example.org")
			if got.Action != tt.action || got.Accept != tt.accept {
				t.Errorf("%+v", got)
			}
			asked := 0
			for _, ev := range s.events {
				if ev.Check == "scores" {
					asked++
				}
			}
			if asked != tt.asked {
				t.Errorf("asked %d times, want %d", asked, tt.asked)
			}
		})
	}
	t.Run("an earlier Accept leaves only what is marked", func(t *testing.T) {
		c := Score(ScoreLimits{Reject: 10}, scores, always(every("limit", Verdict{Score: 3})))
		s := newVisit(t)
		s.connect(c)
		s.env.accepted = true
		s.mail(c)
		want(t, s.rcpt(c, "b@example.org"), Continue) // 3 at each of three stages
		s.env.accepted = false
		want(t, s.rcpt(c, "b@example.org"), Reject)
	})
}

func TestScorePassesObjectionsAtOnce(t *testing.T) {
	c := Score(ScoreLimits{Reject: 5}, every("a", says(Defer, "a")), every("b", says(Disconnect, "b")))
	s := newVisit(t)
	want(t, s.connect(c), Defer)
	s.wantHeard("score/a defer", "score defer")
}

func TestScoreOfScores(t *testing.T) {
	// What the inner one makes of a stage counts once.
	inner := Score(ScoreLimits{}, points("a", map[Stage]float64{StageConnect: 2}, nil), points("b", map[Stage]float64{StageHello: 1}, nil))
	c := Score(ScoreLimits{Quarantine: 3, Reject: 3.5}, inner)
	s := newVisit(t)
	s.connect(c)
	s.hello(c)
	s.mail(c)
	got := s.rcpt(c, "b@example.org")
	want(t, got, Quarantine)
	if got.Reason != "score 3 reaches 3 (score 3)" {
		t.Error(got.Reason)
	}
}

func TestScoreMustBeFinite(t *testing.T) {
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for f, action := range map[Failure]Action{FailDefer: Defer, FailOpen: Continue} {
			s := newVisit(t)
			want(t, s.connect(Score(ScoreLimits{Reject: 5}, onError(f, every("a", Verdict{Score: x})))), action)
			if s.events[0].Error == "" {
				t.Errorf("%v is no failure", x)
			}
		}
	}
}

func TestScoreRounds(t *testing.T) {
	c := Score(ScoreLimits{Stage: StageConnect, Reject: 0.8}, every("a", Verdict{Score: 0.7}), every("b", Verdict{Score: 0.1}))
	got := newVisit(t).connect(c)
	want(t, got, Reject)
	if got.Reason != "score 0.8 reaches 0.8 (a 0.7, b 0.1)" {
		t.Error(got.Reason)
	}
}
