package smtpguard

import "testing"

func yes(*Conn, *Transaction, *Recipient) bool { return true }

func TestWhenAsksAgainAtEachStage(t *testing.T) {
	var seen []string
	toB := func(c *Conn, tx *Transaction, r *Recipient) bool {
		switch {
		case c == nil:
			t.Error("no connection")
		case tx == nil && r == nil:
			seen = append(seen, "conn")
		case r == nil:
			seen = append(seen, "tx")
		default:
			seen = append(seen, r.Addr)
		}
		return r != nil && r.Addr == "b@example.org"
	}
	c := When(toB, every("leaf", says(Reject, "x")))
	s := newVisit(t)
	for _, got := range []Verdict{s.connect(c), s.hello(c), s.auth(c, ""), s.mail(c), s.rcpt(c, "c@example.org")} {
		want(t, got, Continue)
	}
	want(t, s.rcpt(c, "b@example.org"), Reject)
	want(t, s.data(c), Continue)
	if len(seen) != 7 || seen[0] != "conn" || seen[3] != "tx" || seen[5] != "b@example.org" || seen[6] != "tx" {
		t.Errorf("predicate saw %q", seen)
	}
	s.wantHeard("when/leaf reject", "when reject")
}

func TestWhenPredicatePanicIsTheChildsFailure(t *testing.T) {
	nilTx := func(_ *Conn, tx *Transaction, _ *Recipient) bool { return tx.From() == "" }
	for f, action := range map[Failure]Action{FailDefer: Defer, FailOpen: Continue, FailRefuse: Reject} {
		s := newVisit(t)
		want(t, s.connect(When(nilTx, onError(f, every("leaf", Verdict{})))), action)
		if ev := s.events[0]; ev.Check != "leaf" || ev.Parent != "when" || ev.Stack == "" {
			t.Errorf("%v reported as %+v", f, ev)
		}
	}
}
