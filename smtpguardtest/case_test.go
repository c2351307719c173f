package smtpguardtest

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
)

// A submission service, which asks for a login before any mail.
func TestSubmission(t *testing.T) {
	t.Parallel()
	serverTLS, clientTLS := certificate(t)
	target := fakeTarget(t, func(box *mailbox) func(net.Listener) error { return serveStrict(box, serverTLS) })
	target.TLS, target.Submission = clientTLS, true
	RunCases(t, target, slices.Concat(Suite("auth"), Suite("spoofing"), Suite("starttls"), Suite("protocol")))
}

func TestNeeds(t *testing.T) {
	all := Target{
		TLS: bareTarget(t).TLS, User: "user", Password: "password", Foreign: "a@b.example",
		Own: "user@b.example", Delivered: func() []Message { return nil }, PreGreeting: 1, Silence: 1, Dribble: 1,
	}
	for _, tt := range []struct {
		need   Need
		lack   func(*Target)
		reason string
	}{
		{NeedTLS, func(x *Target) { x.TLS = nil }, "Target.TLS"},
		{NeedStartTLS, func(x *Target) { x.ImplicitTLS = true }, "Target.TLS, and a server with STARTTLS"},
		{NeedLogin, func(x *Target) { x.Password = "" }, "Target.User and Target.Password"},
		{NeedForeign, func(x *Target) { x.Foreign = "" }, "Target.Foreign"},
		{NeedDelivered, func(x *Target) { x.Delivered = nil }, "Target.Delivered"},
		{NeedStrict, func(x *Target) { x.AllowBare = true }, "a server without Target.AllowBare"},
		{NeedPreGreeting, func(x *Target) { x.PreGreeting = 0 }, "Target.PreGreeting"},
		{NeedSilence, func(x *Target) { x.Silence = 0 }, "Target.Silence"},
		{NeedDribble, func(x *Target) { x.Dribble = 0 }, "Target.Dribble"},
		{NeedSMTP, func(x *Target) { x.LMTP = true }, "a server that speaks SMTP, not LMTP"},
		{NeedPublic, func(x *Target) { x.Submission = true }, "a server that takes mail without a login"},
		{NeedOwn, func(x *Target) { x.Own = "" }, "Target.Own"},
		{NeedPlain, func(x *Target) { x.ImplicitTLS = true }, "a server without implicit TLS"},
	} {
		if got := tt.need.missing(&all); got != "" {
			t.Errorf("need %d: %q is missing of a whole target", tt.need, got)
		}
		lacking := all
		tt.lack(&lacking)
		if got := tt.need.missing(&lacking); got != tt.reason {
			t.Errorf("need %d: %q is missing, want %q", tt.need, got, tt.reason)
		}
	}
}

func TestCheckOutcomes(t *testing.T) {
	broken := errors.New("broken")
	cases := []Case{
		{Name: "kept", Run: func(*Client) error { return nil }},
		{Name: "broken", Run: func(c *Client) error { c.Hello(); return broken }},
		{Name: "not asked", Run: func(*Client) error { return Skip("no reason") }},
		{Name: "needs", Needs: NeedDribble, Run: func(*Client) error { return broken }},
	}
	findings, err := CheckCases(context.Background(), bareTarget(t), cases)
	if err != nil || len(findings) != 1 || findings[0].Case.Name != "broken" || findings[0].Err != broken || findings[0].Dialogue == "" {
		t.Errorf("findings %v, error %v", findings, err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	cases[0].Run = func(*Client) error { cancel(); return nil }
	if findings, err := CheckCases(ctx, bareTarget(t), cases); err != context.Canceled || len(findings) != 0 {
		t.Errorf("after the end of ctx: findings %v, error %v", findings, err)
	}
}

// A server that works more, or less, for logins that exist is told apart.
func TestUnequalWork(t *testing.T) {
	serverTLS, clientTLS := certificate(t)
	target := fakeTarget(t, func(box *mailbox) func(net.Listener) error { return serveStrict(box, serverTLS) })
	target.TLS = clientTLS
	asked := int64(0)
	for name, tt := range map[string]struct {
		work  func() int64
		found bool
	}{
		"equal":   {func() int64 { asked++; return asked }, false},
		"unequal": {func() int64 { asked++; return asked * asked }, true},
	} {
		target.Work = tt.work
		cases := slices.DeleteFunc(Suite("auth"), func(c Case) bool { return !strings.Contains(c.Name, "unknown-login") })
		findings, err := CheckCases(t.Context(), target, cases)
		if err != nil || len(cases) != 3 {
			t.Fatalf("%d cases, %v", len(cases), err)
		}
		if want := len(cases); tt.found && len(findings) != want || !tt.found && len(findings) != 0 {
			t.Errorf("%s: %v", name, findings)
		}
	}
}
