package smtpguardtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A Case is one attack, or one rule, as a value: run by [Run], listed by
// [Suite], or written by a user and run by [RunCases].
type Case struct {
	Name  string // "smuggling/data/LF.CRLF"
	Rule  string // what a server must do
	RFC   string // where that is written
	Needs Need
	// Run is given a client that is not yet connected. It returns nil if the
	// server kept the rule, a Skip if it cannot be asked, else what it did.
	Run func(*Client) error
}

// Need is what a case needs to be told in the Target.
type Need uint

const (
	NeedTLS         Need = 1 << iota // Target.TLS
	NeedStartTLS                     // Target.TLS, and not ImplicitTLS
	NeedLogin                        // User and Password
	NeedForeign                      // Foreign
	NeedDelivered                    // Delivered
	NeedStrict                       // not AllowBare
	NeedPreGreeting                  // PreGreeting
	NeedSilence                      // Silence
	NeedDribble                      // Dribble
	NeedSMTP                         // not LMTP
	NeedPublic                       // not Submission
	NeedPlain                        // the first octets in clear text: not ImplicitTLS
	NeedOwn                          // Own
)

// missing names what target lacks for a case, or nothing.
func (n Need) missing(s *Target) string {
	for _, need := range []struct {
		bit  Need
		have bool
		name string
	}{
		{NeedTLS, s.TLS != nil, "Target.TLS"},
		{NeedStartTLS, s.TLS != nil && !s.ImplicitTLS, "Target.TLS, and a server with STARTTLS"},
		{NeedLogin, s.User != "" && s.Password != "", "Target.User and Target.Password"},
		{NeedForeign, strings.Contains(s.Foreign, "@"), "Target.Foreign"},
		{NeedDelivered, s.Delivered != nil, "Target.Delivered"},
		{NeedStrict, !s.AllowBare, "a server without Target.AllowBare"},
		{NeedPreGreeting, s.PreGreeting > 0, "Target.PreGreeting"},
		{NeedSilence, s.Silence > 0, "Target.Silence"},
		{NeedDribble, s.Dribble > 0, "Target.Dribble"},
		{NeedSMTP, !s.LMTP, "a server that speaks SMTP, not LMTP"},
		{NeedPublic, !s.Submission, "a server that takes mail without a login"},
		{NeedPlain, !s.ImplicitTLS, "a server without implicit TLS"},
		{NeedOwn, strings.Contains(s.Own, "@"), "Target.Own"},
	} {
		if n&need.bit != 0 && !need.have {
			return need.name
		}
	}
	return ""
}

// Skip says why a case does not apply to a server.
type Skip string

func (s Skip) Error() string { return "not applicable: " + string(s) }

// A Finding is a rule that a server broke.
type Finding struct {
	Case     Case
	Err      error
	Dialogue string
}

func (f Finding) String() string {
	what := f.Err.Error()
	var mismatch *Mismatch
	if errors.As(f.Err, &mismatch) {
		what = fmt.Sprintf("wanted %s, got %q", mismatch.Want, mismatch.Got)
	}
	return fmt.Sprintf("rule: %s (%s)\nthe server broke it: %s\ndialogue:\n%s", f.Case.Rule, f.Case.RFC, what, indent(f.Dialogue))
}

// run runs one case on a connection of its own.
func (s *server) run(ctx context.Context, k Case) (f *Finding, skip string) {
	if missing := k.Needs.missing(&s.Target); missing != "" {
		return nil, "needs " + missing
	}
	c := newClient(ctx, s)
	defer c.Close()
	err := k.Run(c)
	var why Skip
	switch {
	case err == nil:
		return nil, ""
	case errors.As(err, &why):
		return nil, string(why)
	}
	return &Finding{Case: k, Err: err, Dialogue: c.Dialogue()}, ""
}

// suites are the suites in the order they run.
func suites() []struct {
	name  string
	cases []Case
} {
	return []struct {
		name  string
		cases []Case
	}{
		{"protocol", protocolCases()},
		{"smuggling", smugglingCases()},
		{"relay", relayCases()},
		{"flood", floodCases()},
		{"slow", slowCases()},
		{"starttls", startTLSCases()},
		{"size", sizeCases()},
		{"auth", slices.Concat(authCases(), guessCases(), scramCases())},
		{"spoofing", spoofingCases()},
	}
}

// Suites names the suites.
func Suites() []string {
	var names []string
	for _, s := range suites() {
		names = append(names, s.name)
	}
	return names
}

// Suite returns the cases of a suite; of all suites for "". An unknown name has
// no cases.
func Suite(name string) []Case {
	var all []Case
	for _, s := range suites() {
		if name == "" || s.name == name {
			all = append(all, s.cases...)
		}
	}
	return all
}

// Check runs every case that target enables, and returns the rules it broke.
// The error is one of the target itself, or of ctx.
func Check(ctx context.Context, target Target) ([]Finding, error) {
	return CheckCases(ctx, target, Suite(""))
}

// CheckCases is Check with cases of the caller's choice.
func CheckCases(ctx context.Context, target Target, cases []Case) ([]Finding, error) {
	s, err := start(target)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	var findings []Finding
	for _, k := range cases {
		f, _ := s.run(ctx, k)
		if err := ctx.Err(); err != nil {
			return findings, err
		}
		if f != nil {
			findings = append(findings, *f)
		}
	}
	return findings, nil
}

// Run runs every case that target enables, each as a subtest. A case that it
// does not enable is skipped, and says what it needs.
func Run(t *testing.T, target Target) { t.Helper(); RunCases(t, target, Suite("")) }

// RunCases is Run with cases of the caller's choice.
func RunCases(t *testing.T, target Target, cases []Case) {
	t.Helper()
	s, err := start(target)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	for _, k := range cases {
		t.Run(k.Name, func(t *testing.T) {
			f, skip := s.run(t.Context(), k)
			if skip != "" {
				t.Skip(skip)
			}
			if f != nil {
				t.Error(f)
			}
		})
	}
}

// Protocol runs the suite on command order, syntax, pipelining and early talk.
func Protocol(t *testing.T, target Target) { t.Helper(); RunCases(t, target, Suite("protocol")) }

// Smuggling runs the suite on where messages end and what may not run after.
func Smuggling(t *testing.T, target Target) { t.Helper(); RunCases(t, target, Suite("smuggling")) }

// OpenRelay runs the suite on mail to elsewhere without a login.
func OpenRelay(t *testing.T, target Target) { t.Helper(); RunCases(t, target, Suite("relay")) }

// Flood runs the suite on clients that get nowhere, fast.
func Flood(t *testing.T, target Target) { t.Helper(); RunCases(t, target, Suite("flood")) }

// SlowClients runs the suite on clients that get nowhere, slowly.
func SlowClients(t *testing.T, target Target) { t.Helper(); RunCases(t, target, Suite("slow")) }

// StartTLS runs the suite on STARTTLS.
func StartTLS(t *testing.T, target Target) { t.Helper(); RunCases(t, target, Suite("starttls")) }

// Sizes runs the suite on what is too long, too large or too many.
func Sizes(t *testing.T, target Target) { t.Helper(); RunCases(t, target, Suite("size")) }

// AuthAbuse runs the suite on AUTH.
func AuthAbuse(t *testing.T, target Target) { t.Helper(); RunCases(t, target, Suite("auth")) }

// Spoofing runs the suite on mail in another's name, by a client with a login.
func Spoofing(t *testing.T, target Target) { t.Helper(); RunCases(t, target, Suite("spoofing")) }

// script is the Run of a case that is a transcript.
func script(text string) func(*Client) error {
	return func(c *Client) error { return c.Play(text) }
}
