package smtpguard

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var errTest = errors.New("test")

func TestTimeout(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name   string
		c      Check
		want   Action
		after  time.Duration
		events []string
	}{
		{"in time", Timeout(2*s, after("a", s, says(Reject, "x"), nil)), Reject, s, []string{"timeout/a reject", "timeout reject"}},
		{"heeds its context", Timeout(s, after("a", 9*s, Verdict{}, nil)), Defer, s, []string{"timeout/a defer failed", "timeout defer"}},
		{"deaf", Timeout(s, deaf("a", 9*s, func() {})), Defer, s, []string{"timeout/a defer failed", "timeout defer"}},
		{"deaf and open", Timeout(s, onError(FailOpen, deaf("a", 9*s, func() {}))), Continue, s, []string{"timeout/a continue failed"}},
		{"deaf and refusing", Timeout(s, onError(FailRefuse, deaf("a", 9*s, func() {}))), Reject, s, []string{"timeout/a reject failed", "timeout reject"}},
		{"panics later", Timeout(s, deaf("a", 9*s, func() { panic("late") })), Defer, s, []string{"timeout/a defer failed", "timeout defer"}},
		{"the inner one is first", Timeout(3*s, Timeout(s, onError(FailOpen, deaf("a", 9*s, func() {})))), Continue, s, []string{"timeout/timeout/a continue failed"}},
		{"the outer one is first", Timeout(s, Timeout(3*s, onError(FailOpen, deaf("a", 9*s, func() {})))), Continue, s, []string{"timeout/timeout continue failed"}},
		{"around together", Timeout(s, Together(after("a", 0, Verdict{}, nil), deaf("b", 9*s, func() {}))), Defer, s, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v, start := newVisit(t), time.Now()
				got := v.connect(tt.c)
				want(t, got, tt.want)
				if took := time.Since(start); took != tt.after {
					t.Errorf("answered after %v, want %v", took, tt.after)
				}
				time.Sleep(time.Minute)
				if tt.events != nil {
					v.wantHeard(tt.events...)
					if ev := v.events[0]; strings.Contains(tt.events[0], "failed") && ev.Error != context.DeadlineExceeded.Error() {
						t.Errorf("error is %q", ev.Error)
					}
				}
			})
		})
	}
}
