package smtpguard

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"
)

// after is a Connect check that says v, or fails with err, once d has passed,
// or at once when its context ends.
func after(name string, d time.Duration, v Verdict, err error) Check {
	return at(StageConnect, name, func(ctx context.Context, _ *Conn) (Verdict, error) {
		select {
		case <-time.After(d):
			return v, err
		case <-ctx.Done():
			return Verdict{}, ctx.Err()
		}
	})
}

// deaf is a Connect check that ignores its context for d.
func deaf(name string, d time.Duration, then func()) Check {
	return at(StageConnect, name, func(context.Context, *Conn) (Verdict, error) {
		time.Sleep(d)
		then()
		return says(Reject, "too late"), nil
	})
}

func TestTogetherDecides(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name   string
		checks []Check
		want   Verdict
		after  time.Duration
	}{
		{"all fine", []Check{after("a", s, Verdict{}, nil), after("b", 2*s, Verdict{}, nil)}, Verdict{}, 2 * s},
		{"the first in order, not in time", []Check{after("a", 3*s, says(Defer, "a"), nil), after("b", s, says(Reject, "b"), nil)}, says(Defer, "a"), 3 * s},
		{"the second, where the first is fine", []Check{after("a", s, Verdict{}, nil), after("b", 2*s, says(Reject, "b"), nil)}, says(Reject, "b"), 2 * s},
		{"a late Disconnect still wins", []Check{after("a", s, says(Reject, "a"), nil), after("b", 2*s, says(Disconnect, "b"), nil)}, says(Disconnect, "b"), 2 * s},
		{"a Disconnect waits for nobody", []Check{after("a", 9*s, says(Reject, "a"), nil), after("b", s, says(Disconnect, "b"), nil)}, says(Disconnect, "b"), s},
		{"not even for the deaf", []Check{deaf("a", 9*s, func() { panic("late") }), after("b", s, says(Disconnect, "b"), nil)}, says(Disconnect, "b"), s},
		{"a failure is what its check says", []Check{onError(FailOpen, after("a", s, Verdict{}, errTest)), onError(FailRefuse, after("b", s, Verdict{}, errTest))},
			Verdict{Action: Reject, Reason: "check failed: test", Reply: failed(FailRefuse, StageConnect)}, s},
		{"words are put together", []Check{
			after("a", s, Verdict{Action: Quarantine, Reason: "odd", Score: 1}, nil),
			after("b", 2*s, Verdict{Accept: ScopeTransaction, Score: 2.5}, nil),
			after("c", s, Verdict{Accept: ScopeHook, Reason: "known"}, nil),
		}, Verdict{Action: Quarantine, Accept: ScopeTransaction, Score: 3.5, Reason: "a: odd; c: known"}, 2 * s},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v, start := newVisit(t), time.Now()
				got := v.connect(Together(tt.checks...))
				if got.Action != tt.want.Action || got.Accept != tt.want.Accept || got.Score != tt.want.Score || got.Reason != tt.want.Reason {
					t.Errorf("%+v, want %+v", got, tt.want)
				}
				if tt.want.Reply != nil && *got.Reply != *tt.want.Reply {
					t.Errorf("reply %v, want %v", got.Reply, tt.want.Reply)
				}
				if took := time.Since(start); took != tt.after {
					t.Errorf("decided after %v, want %v", took, tt.after)
				}
				events := len(v.heard())
				time.Sleep(time.Minute) // the deaf return
				if n := len(v.heard()); n != events {
					t.Errorf("%d events after the decision: %q", n-events, v.heard()[events:])
				}
			})
		})
	}
}

func TestTogetherCancelsLosersWithTheirChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended []string
		loser := func(name string) Check {
			return at(StageConnect, name, func(ctx context.Context, _ *Conn) (Verdict, error) {
				<-ctx.Done()
				ended = append(ended, name)
				return Verdict{}, ctx.Err()
			})
		}
		v := newVisit(t)
		want(t, v.connect(Together(Timeout(time.Hour, When(yes, loser("a"))), after("b", 1, says(Disconnect, "b"), nil))), Disconnect)
		synctest.Wait()
		if !slices.Equal(ended, []string{"a"}) {
			t.Errorf("ended: %q", ended)
		}
	})
}

func TestTogetherHearsNoMoreOfLosers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVisit(t)
		loser := Score(ScoreLimits{}, after("a", time.Hour, Verdict{}, nil))
		want(t, v.connect(Together(loser, after("b", 1, says(Disconnect, "b"), nil))), Disconnect)
		synctest.Wait()
		v.wantHeard("together/b disconnect", "together disconnect")
	})
}

func TestEditsAfterTheHookReturnedAreErrors(t *testing.T) {
	var kept *Message
	v := newVisit(t)
	c := Timeout(time.Minute, Check{Name: "a", Data: func(_ context.Context, _ *Transaction, m *Message) (Verdict, error) {
		kept = m
		return Verdict{}, nil
	}})
	v.mail(c)
	v.data(c)
	if err := kept.Prepend("X-Late: 1"); err == nil {
		t.Error("an edit that cannot count was taken")
	}
}

func TestTogetherEndsWithItsContext(t *testing.T) {
	for f, action := range map[Failure]Action{FailOpen: Quarantine, FailDefer: Defer, FailRefuse: Reject} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			v := newVisit(t)
			c := Together(after("a", 0, says(Quarantine, "a"), nil), onError(f, deaf("b", time.Hour, func() {})))
			want(t, judge(ctx, v.env, &c, &scene{stage: StageConnect, conn: v.conn}), action)
			time.Sleep(2 * time.Hour)
		})
	}
}

func TestTogetherSurvivesAHookThatEndsItsGoroutine(t *testing.T) {
	exits := at(StageConnect, "exits", func(context.Context, *Conn) (Verdict, error) { runtime.Goexit(); return Verdict{}, nil })
	want(t, newVisit(t).connect(Together(exits, every("b", Verdict{}))), Defer)
	want(t, newVisit(t).connect(Timeout(time.Minute, exits)), Defer)
}

// policy is a Rcpt check that writes to the recipient.
func policy(name, p string, mark Action) Check {
	return Check{Name: name, Rcpt: func(_ context.Context, _ *Transaction, r *Recipient) (Verdict, error) {
		if p != "" {
			r.Policy = p
		}
		r.Mark = Verdict{Action: mark}
		return Verdict{}, nil
	}}
}

func TestWhatHooksDoToARecipient(t *testing.T) {
	for _, tt := range []struct {
		name   string
		c      Check
		policy string
		mark   Action
	}{
		{"together", Together(policy("a", "strict", Continue), policy("b", "", Quarantine), policy("c", "", Continue)), "strict", Quarantine},
		{"timeout", Timeout(time.Minute, policy("a", "strict", Reject)), "strict", Reject},
		{"shadow", Shadow(policy("a", "strict", Reject)), "", Continue},
		{"nested", Timeout(time.Minute, Together(Shadow(policy("a", "lax", Reject)), policy("b", "strict", Defer))), "strict", Defer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newVisit(t)
			s.mail(tt.c)
			want(t, s.rcpt(tt.c, "b@example.org"), Continue)
			if r := s.tx.rcpts[0]; r.Policy != tt.policy || r.Mark.Action != tt.mark {
				t.Errorf("policy %q mark %v, want %q and %v", r.Policy, r.Mark.Action, tt.policy, tt.mark)
			}
		})
	}
}

// prepends is a Data check that adds a field, d after it was asked.
func prepends(name string, d time.Duration) Check {
	return Check{Name: name, Data: func(_ context.Context, _ *Transaction, m *Message) (Verdict, error) {
		time.Sleep(d)
		return Verdict{}, m.Prepend("X-" + name + ": 1")
	}}
}

func TestEditsCountInOrderAndInTime(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name string
		c    Check
		want []string
	}{
		{"in the order of the checks", Together(prepends("a", 3*s), prepends("b", s), prepends("c", 2*s)), []string{"X-a: 1\r\n", "X-b: 1\r\n", "X-c: 1\r\n"}},
		{"shadow", Together(prepends("a", s), Shadow(prepends("b", s))), []string{"X-a: 1\r\n"}},
		{"in time", Timeout(2*s, prepends("a", s)), []string{"X-a: 1\r\n"}},
		{"too late", Timeout(2*s, onError(FailOpen, prepends("a", 3*s))), nil},
		{"nested", Timeout(9*s, Together(prepends("a", s), Timeout(s, onError(FailOpen, prepends("b", 2*s))), Score(ScoreLimits{}, prepends("c", 0)))),
			[]string{"X-a: 1\r\n", "X-c: 1\r\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newVisit(t)
				v.mail(tt.c)
				want(t, v.data(tt.c), Continue)
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := v.tx.message.edits.fields; !slices.Equal(got, tt.want) {
					t.Errorf("fields %q, want %q", got, tt.want)
				}
			})
		})
	}
}

func TestShadowedDataHookCannotMarkRecipients(t *testing.T) {
	marks := Check{Name: "marks", Data: func(_ context.Context, tx *Transaction, _ *Message) (Verdict, error) {
		for _, r := range tx.Recipients() {
			r.Mark, r.Policy = Verdict{Action: Reject, Reply: &smtp.SMTPError{Code: 550}}, "changed"
		}
		return Verdict{}, nil
	}}
	s := newVisit(t)
	s.mail(marks)
	s.rcpt(marks, "b@example.org")
	s.tx.rcpts[0].Mark = says(Quarantine, "before")
	s.data(Shadow(marks))
	if r := s.tx.rcpts[0]; r.Mark.Action != Quarantine || r.Mark.Reason != "before" || r.Policy != "" {
		t.Errorf("recipient is %+v", r)
	}
}
