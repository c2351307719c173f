package smtpguard

import (
	"context"
	"testing"

	"github.com/emersion/go-smtp"
)

// script is a check whose words can be changed as the session goes on.
type script map[Stage]Verdict

func (s script) check(name string) Check {
	return Check{
		Name:    name,
		Connect: func(context.Context, *Conn) (Verdict, error) { return s[StageConnect], nil },
		Hello:   func(context.Context, *Conn) (Verdict, error) { return s[StageHello], nil },
		Auth:    func(context.Context, *Conn, *AuthAttempt) (Verdict, error) { return s[StageAuth], nil },
		Mail:    func(context.Context, *Transaction) (Verdict, error) { return s[StageMail], nil },
		Rcpt:    func(context.Context, *Transaction, *Recipient) (Verdict, error) { return s[StageRcpt], nil },
		Data:    func(context.Context, *Transaction, *Message) (Verdict, error) { return s[StageData], nil },
	}
}

func TestLateHoldsUntilItsStage(t *testing.T) {
	for _, action := range []Action{Defer, Reject, Disconnect} {
		for from := StageConnect; from <= StageData; from++ {
			for until := StageConnect; until <= StageData; until++ {
				t.Run(action.String()+" from "+from.String()+" until "+until.String(), func(t *testing.T) {
					reply := &smtp.SMTPError{Code: 550, Message: "own"}
					c := Late(until, script{from: {Action: action, Reason: "x", Reply: reply, Facts: map[string]string{"zone": "z"}}}.check("leaf"))
					s := newVisit(t)
					got := [...]Verdict{{}, s.connect(c), s.hello(c), s.auth(c, ""), s.mail(c), {}, {}}
					got[StageRcpt] = s.rcpt(c, "b@example.org")
					if got[StageRcpt].Action.objects() {
						want(t, s.rcpt(c, "c@example.org"), action) // every recipient
					}
					got[StageData] = s.data(c)
					for stage := StageConnect; stage <= StageData; stage++ {
						held := from < until && (stage == until || until == StageAuth && stage == StageMail)
						spoken := from >= until && stage == from
						if from == StageRcpt && until == StageData && action != Disconnect {
							held = false
							if m := s.tx.rcpts[0].Mark; m.Action != action || m.Reply != reply {
								t.Errorf("recipient is marked %+v", m)
							}
						}
						switch v := got[stage]; {
						case held && (v.Action != action || v.Reason != "at "+from.String()+": x" || v.Reply != reply || v.Facts["zone"] != "z"):
							t.Errorf("%v: %+v, want what was held", stage, v)
						case spoken && (v.Action != action || v.Reason != "x"):
							t.Errorf("%v: %+v, want what is said", stage, v)
						case !held && !spoken && v.Action != Continue:
							t.Errorf("%v: %+v, want nothing", stage, v)
						}
					}
				})
			}
		}
	}
}

func TestLateForgetsAndReplaces(t *testing.T) {
	said := script{StageConnect: {}, StageHello: says(Reject, "name"), StageMail: says(Defer, "path")}
	c := Late(StageRcpt, said.check("leaf"))
	s := newVisit(t)
	s.connect(c)
	want(t, s.hello(c), Continue)
	s.mail(c)
	got := s.rcpt(c, "b@example.org")
	if want(t, got, Reject); got.Reason != "at hello: name" {
		t.Error(got.Reason) // the first held
	}
	said[StageHello] = Verdict{} // EHLO under another name
	want(t, s.hello(c), Continue)
	got = s.rcpt(c, "b@example.org")
	if want(t, got, Defer); got.Reason != "at mail: path" {
		t.Error(got.Reason)
	}
	said[StageMail] = Verdict{} // the next transaction
	s.mail(c)
	want(t, s.rcpt(c, "b@example.org"), Continue)
	said[StageHello] = says(Defer, "again")
	s.hello(c)
	want(t, s.rcpt(c, "b@example.org"), Defer)
	s.hello(c)
	s.mail(c)
	want(t, s.rcpt(c, "b@example.org"), Defer) // a new transaction keeps what is the connection's
}

func TestLateHoldsWhatAnAuthExchangeGotUntilTheNext(t *testing.T) {
	said := script{StageAuth: says(Reject, "locked")}
	c := Late(StageRcpt, said.check("leaf"))
	s := newVisit(t)
	want(t, s.auth(c, ""), Continue)
	said[StageAuth] = Verdict{}
	want(t, s.auth(c, "demo"), Continue) // the same exchange, now with a login
	s.mail(c)
	want(t, s.rcpt(c, "b@example.org"), Reject)
	s.auth(c, "")
	s.auth(c, "demo")
	s.mail(c)
	want(t, s.rcpt(c, "b@example.org"), Continue)
}

func TestLateADisconnectGoesFirst(t *testing.T) {
	s := newVisit(t)
	c := Late(StageMail, script{StageConnect: says(Defer, "a"), StageHello: says(Disconnect, "b")}.check("leaf"))
	s.connect(c)
	s.hello(c)
	want(t, s.mail(c), Disconnect)

	c = Late(StageMail, script{StageConnect: says(Defer, "a"), StageMail: says(Disconnect, "now")}.check("leaf"))
	s.connect(c)
	want(t, s.mail(c), Disconnect)
	c = Late(StageMail, script{StageConnect: says(Defer, "a"), StageMail: says(Reject, "now")}.check("leaf"))
	s.connect(c)
	want(t, s.mail(c), Defer)
}

func TestLateAndAccept(t *testing.T) {
	said := script{StageConnect: says(Reject, "listed")}.check("leaf")
	for name, tt := range map[string]struct {
		c    Check
		want Action
	}{
		"an Accept passes over what is held":   {Late(StageRcpt, said), Continue},
		"but not over what is marked Always":   {Late(StageRcpt, always(said)), Reject},
		"nor where one of several is (nested)": {Late(StageRcpt, Together(said, always(every("limit", Verdict{})))), Reject},
	} {
		t.Run(name, func(t *testing.T) {
			s := newVisit(t)
			s.connect(tt.c)
			s.mail(tt.c)
			s.env.accepted = true // of this hook call alone
			want(t, s.rcpt(tt.c, "postmaster@example.org"), tt.want)
			s.env.accepted = false
			want(t, s.rcpt(tt.c, "b@example.org"), Reject)
		})
	}
}

func TestLateLetsTheWeakThroughAtOnce(t *testing.T) {
	s := newVisit(t)
	c := Late(StageData, every("leaf", Verdict{Action: Quarantine, Accept: ScopeConnection, Score: 2}))
	if got := s.connect(c); got.Action != Quarantine || got.Accept != ScopeConnection || got.Score != 2 {
		t.Errorf("%+v", got)
	}
}

func TestLateMarksOnlyWhomItHeld(t *testing.T) {
	c := Late(StageData, Check{Name: "leaf", Rcpt: func(_ context.Context, _ *Transaction, r *Recipient) (Verdict, error) {
		if r.Addr == "trap@example.org" {
			return says(Reject, "trap"), nil
		}
		return Verdict{}, nil
	}})
	for name, tt := range map[string]struct {
		c    Check
		mark Action
	}{"late": {c, Reject}, "in shadow": {Shadow(c), Continue}, "in together": {Together(c, every("fine", Verdict{})), Reject}} {
		t.Run(name, func(t *testing.T) {
			s := newVisit(t)
			s.mail(tt.c)
			s.rcpt(tt.c, "b@example.org")
			s.rcpt(tt.c, "trap@example.org")
			want(t, s.data(tt.c), Continue)
			if a, b := s.tx.rcpts[0].Mark.Action, s.tx.rcpts[1].Mark.Action; a != Continue || b != tt.mark {
				t.Errorf("marks %v and %v", a, b)
			}
		})
	}
}
