package blocklist_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/blocklist"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

func newCheck(t *testing.T, cfg blocklist.CheckConfig) smtpguard.Check {
	t.Helper()
	c, err := blocklist.NewCheck(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCheckConfig(t *testing.T) {
	list := set(t)
	for _, tt := range []struct {
		cfg   blocklist.CheckConfig
		field string
	}{
		{blocklist.CheckConfig{}, "List"},
		{blocklist.CheckConfig{List: list, Rules: map[blocklist.Subject]blocklist.Rule{}}, "Rules"},
		{blocklist.CheckConfig{List: list, Rules: map[blocklist.Subject]blocklist.Rule{9: {}}}, "Rules[invalid]"},
		{blocklist.CheckConfig{List: list, Rules: map[blocklist.Subject]blocklist.Rule{blocklist.SubjectHello: {Block: 9}}}, "Rules[hello].Block"},
		{blocklist.CheckConfig{List: list, Rules: map[blocklist.Subject]blocklist.Rule{blocklist.SubjectHello: {Allow: -1}}}, "Rules[hello].Allow"},
	} {
		if _, err := blocklist.NewCheck(tt.cfg); err == nil || !strings.Contains(err.Error(), "blocklist: CheckConfig."+tt.field+" ") {
			t.Errorf("error %v does not name %s", err, tt.field)
		}
	}
	rules := map[blocklist.Subject]blocklist.Rule{blocklist.SubjectRcpt: {}}
	c := newCheck(t, blocklist.CheckConfig{List: list, Rules: rules})
	if c.Name != "blocklist" || c.Always || c.Connect != nil || c.Hello != nil || c.Mail != nil || c.Rcpt == nil || rules[blocklist.SubjectRcpt].Block != 0 {
		t.Errorf("%+v, rules %v", c, rules)
	}
}

var listed = []string{
	"block addr 192.0.2.0/24", "allow addr 192.0.2.7", "block addr 2001:db8::/32",
	"block hello *.dyn.example", "allow hello good.dyn.example", "block hello 203.0.113.5",
	"block domain .spam.example", "allow domain news.spam.example",
	"block mailbox offers@", "block mailbox bad@example.com", "allow mailbox offers@shop.example", "block domain shop.example",
	"block domain twice.example", "allow mailbox @twice.example",
}

// later refuses RCPT, unless an allow list has spoken.
var later = smtpguard.Check{Name: "later", Rcpt: func(context.Context, *smtpguard.Transaction, *smtpguard.Recipient) (smtpguard.Verdict, error) {
	return smtpguard.Verdict{Action: smtpguard.Reject, Reason: "asked"}, nil
}}

func TestCheck(t *testing.T) {
	for _, tt := range []struct{ name, addr, script, reason string }{
		{"blocked address", "192.0.2.1", `
			S: 554 5.7.1 Your address is blocked here
			S: EOF`, "connect: client 192.0.2.1 is blocked by 192.0.2.0/24 of list"},
		{"blocked IPv6", "2001:db8:1::1", `
			S: 554 5.7.1 Your address is blocked here
			S: EOF`, "connect: client 2001:db8:1::1 is blocked by 2001:db8::/32 of list"},
		{"allowed address", "192.0.2.7", `
			S: 220
			C: EHLO host.dyn.example
			S: 250
			C: MAIL FROM:<bad@example.com>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 250`, "connect: client 192.0.2.7 is allowed by 192.0.2.7 of list"},
		{"EHLO names", "198.51.100.1", `
			S: 220
			C: EHLO host.DYN.example
			S: 550 5.7.1 Your EHLO name is blocked here
			C: EHLO [203.0.113.5]
			S: 550 5.7.1 *
			C: EHLO 203.0.113.5
			S: 550 5.7.1 *
			C: EHLO good.dyn.example
			S: 250
			C: MAIL FROM:<bad@example.com>
			S: 550 5.7.1 The sender is blocked here
			C: MAIL FROM:<>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 550 5.7.1 Refused by policy`, "hello: hello good.dyn.example is allowed by good.dyn.example of list"},
		{"reverse-paths", "198.51.100.1", `
			HELLO
			C: MAIL FROM:<x@spam.example>
			S: 550 5.7.1 The sender is blocked here
			C: MAIL FROM:<x@A.B.Spam.example>
			S: 550
			C: MAIL FROM:<"bad"@Example.COM>
			S: 550
			C: MAIL FROM:<Offers@example.net>
			S: 550
			C: MAIL FROM:<x@shop.example>
			S: 550
			C: MAIL FROM:<offers@shop.example>
			S: 250
			C: RSET
			S: 250
			C: MAIL FROM:<x@news.spam.example>
			S: 250
			C: RSET
			S: 250
			C: MAIL FROM:<x@twice.example>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 550 5.7.1 Refused by policy`, "mail: sender x@twice.example is allowed by @twice.example of list"},
		{"nobody", "198.51.100.1", `
			HELLO
			C: MAIL FROM:<ann@example.com>
			S: 250
			C: RCPT TO:<offers@spam.example>
			S: 550 5.7.1 Refused by policy`, "rcpt: asked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, newCheck(t, blocklist.CheckConfig{List: set(t, listed...)}), later)
			s.play(tt.addr, tt.script)
			if !strings.Contains(s.said(), tt.reason) {
				t.Errorf("reasons %q\nwant %q", s.said(), tt.reason)
			}
		})
	}
}

// Reasons name entry, list and cause; replies do not.
func TestCheckFacts(t *testing.T) {
	e := block("192.0.2.1")
	e.Reason = "brute force"
	d := dynamic(t, blocklist.DynamicConfig{})
	if err := d.Add(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	var got smtpguard.Event
	guard, err := smtpguard.New(smtpguard.Config{Contact: "see https://example.org/mail", Observe: func(ev smtpguard.Event) {
		if ev.Kind == smtpguard.KindVerdict {
			got = ev
		}
	}}, newCheck(t, blocklist.CheckConfig{Name: "own list", List: d}))
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	s.guard = guard
	s.srv.Backend = guard.Wrap(s)
	s.play("192.0.2.1", `
		S: 554 5.7.1 Your address is blocked here; see https://example.org/mail
		S: EOF`)
	s.srv.Close()
	if got.Check != "own list" || got.Reason != "client 192.0.2.1 is blocked by 192.0.2.1 of ann: brute force" ||
		fmt.Sprint(got.Facts) != "map[entry:192.0.2.1 list:own list source:ann subject:client word:block]" {
		t.Errorf("%q, %q, %v", got.Check, got.Reason, got.Facts)
	}
}

func TestCheckActions(t *testing.T) {
	list := set(t, listed...)
	for _, tt := range []struct {
		name, addr string
		rules      map[blocklist.Subject]blocklist.Rule
		script     string
	}{
		{"defer", "192.0.2.1", map[blocklist.Subject]blocklist.Rule{blocklist.SubjectClient: {Block: smtpguard.Defer}}, `
			S: 421 4.7.0 Try again later
			S: EOF`},
		{"disconnect", "198.51.100.1", map[blocklist.Subject]blocklist.Rule{blocklist.SubjectHello: {Block: smtpguard.Disconnect}}, `
			S: 220
			C: EHLO a.dyn.example
			S: 421 4.7.0 *
			S: EOF`},
		{"other subjects only", "192.0.2.1", map[blocklist.Subject]blocklist.Rule{blocklist.SubjectSender: {Block: smtpguard.Defer}}, `
			S: 220
			C: EHLO a.dyn.example
			S: 250
			C: MAIL FROM:<bad@example.com>
			S: 451 4.7.1 *`},
		{"forward-paths", "192.0.2.1", map[blocklist.Subject]blocklist.Rule{blocklist.SubjectRcpt: {}}, `
			HELLO
			C: MAIL FROM:<bad@example.com>
			S: 250
			C: RCPT TO:<bad@example.com>
			S: 550 5.7.1 No mail to this recipient from here
			C: RCPT TO:<x@a.spam.example>
			S: 550 5.7.1 *
			C: RCPT TO:<postmaster>
			S: 550 5.7.1 Refused by policy
			C: RCPT TO:<x@news.spam.example>
			S: 550 5.7.1 Refused by policy`},
		{"a sender that is believed", "198.51.100.1", map[blocklist.Subject]blocklist.Rule{blocklist.SubjectSender: {Allow: smtpguard.ScopeTransaction}}, `
			HELLO
			C: MAIL FROM:<x@twice.example>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 250
			C: RSET
			S: 250
			C: MAIL FROM:<x@example.com>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 550 5.7.1 Refused by policy`},
		{"an address that is not believed", "192.0.2.7", map[blocklist.Subject]blocklist.Rule{blocklist.SubjectClient: {}}, `
			HELLO
			C: MAIL FROM:<x@example.com>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 550 5.7.1 Refused by policy`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, newCheck(t, blocklist.CheckConfig{List: list, Rules: tt.rules}), later)
			s.play(tt.addr, tt.script)
		})
	}
	t.Run("quarantine", func(t *testing.T) {
		rules := blocklist.DefaultRules()
		rules[blocklist.SubjectClient] = blocklist.Rule{Block: smtpguard.Quarantine}
		rules[blocklist.SubjectHello] = blocklist.Rule{Block: smtpguard.Quarantine}
		s := newSite(t, newCheck(t, blocklist.CheckConfig{List: list, Rules: rules}))
		s.play("192.0.2.1", `
			S: 220
			C: EHLO a.dyn.example
			S: 250
			C: MAIL FROM:<bad@example.com>
			S: 550 5.7.1 The sender is blocked here
			C: MAIL FROM:<x@example.com>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 250
			C: DATA
			S: 354
			C: Subject: x
			C:
			C: x
			C: .
			S: 250`)
		if got := s.delivered(); len(got) != 1 || !strings.Contains(string(got[0].Data), "blocklist") {
			t.Errorf("delivered %s", got)
		}
	})
}

// What is listed while a client is connected counts from its next MAIL on.
func TestCheckListedMeanwhile(t *testing.T) {
	d := dynamic(t, blocklist.DynamicConfig{})
	s := newSite(t, newCheck(t, blocklist.CheckConfig{List: d}))
	s.rcpt = func(string) {
		if err := d.Add(t.Context(), block("192.0.2.1")); err != nil {
			t.Error(err)
		}
	}
	s.play("192.0.2.1", `
		HELLO
		C: MAIL FROM:<x@example.com>
		S: 250
		C: RCPT TO:<user@example.org>
		S: 250
		C: RSET
		S: 250
		C: MAIL FROM:<x@example.com>
		S: 554 5.7.1 Your address is blocked here
		STARTTLS
		AUTH
		C: MAIL FROM:<x@example.com>
		S: 250`)
}

func TestCheckCertificate(t *testing.T) {
	bad, good, other := certificate(t), certificate(t), certificate(t)
	print := func(c tls.Certificate) string { return fmt.Sprintf("%x", sha256.Sum256(c.Certificate[0])) }
	list := set(t, "block fingerprint "+print(bad), "allow fingerprint "+print(good), "block hello *.dyn.example")
	for _, tt := range []struct {
		name   string
		certs  []tls.Certificate
		script string
	}{
		{"blocked", []tls.Certificate{bad}, `
			C: EHLO client.example
			S: 550 5.7.1 Your TLS certificate is blocked here
			C: EHLO a.dyn.example
			S: 550 5.7.1 Your TLS certificate is blocked here`},
		{"allowed", []tls.Certificate{good}, `
			C: EHLO a.dyn.example
			S: 250
			C: MAIL FROM:<x@example.com>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 250`},
		{"another", []tls.Certificate{other}, `
			C: EHLO a.dyn.example
			S: 550 5.7.1 Your EHLO name is blocked here
			C: EHLO client.example
			S: 250
			C: MAIL FROM:<x@example.com>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 550`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, newCheck(t, blocklist.CheckConfig{List: list}), later)
			target := s.from("198.51.100.1", "mx")
			target.TLS.Certificates = tt.certs
			smtpguardtest.Play(t, target, `
				HELLO
				C: STARTTLS
				S: 220
				TLS`+tt.script)
		})
	}
}

// On a listener for people, an EHLO name counts once it is known that there is
// no login; an address counts at once.
func TestCheckSubmission(t *testing.T) {
	list := set(t, append(listed, "block addr 203.0.113.9")...)
	rules := blocklist.DefaultRules()
	rules[blocklist.SubjectRcpt] = blocklist.Rule{}
	for _, tt := range []struct {
		name, addr, script string
		logins             bool
	}{
		{"no login", "198.51.100.1", `
			S: 220
			C: EHLO a.dyn.example
			S: 250
			C: MAIL FROM:<x@example.com>
			S: 550 5.7.1 Your EHLO name is blocked here`, false},
		{"login", "198.51.100.1", `
			S: 220
			C: EHLO a.dyn.example
			S: 250
			C: STARTTLS
			S: 220
			TLS
			C: EHLO a.dyn.example
			S: 250
			AUTH
			C: MAIL FROM:<bad@example.com>
			S: 250
			C: RCPT TO:<x@spam.example>
			S: 250`, false},
		{"login that is judged", "198.51.100.1", `
			HELLO
			STARTTLS
			AUTH
			C: MAIL FROM:<bad@example.com>
			S: 550 5.7.1 The sender is blocked here
			C: MAIL FROM:<ann@example.org>
			S: 250
			C: RCPT TO:<x@spam.example>
			S: 550 5.7.1 No mail to this recipient from here
			C: RCPT TO:<x@example.com>
			S: 250`, true},
		{"address", "203.0.113.9", `
			S: 554
			S: EOF`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, newCheck(t, blocklist.CheckConfig{List: list, Rules: rules, Submission: []string{"submission"}, Logins: tt.logins}))
			smtpguardtest.Play(t, s.from(tt.addr, "submission"), tt.script)
		})
	}
}

// The word of another allow list passes over the check.
func TestCheckIsPassedOver(t *testing.T) {
	friend := smtpguard.Check{Name: "friend", Connect: func(context.Context, *smtpguard.Conn) (smtpguard.Verdict, error) {
		return smtpguard.Verdict{Accept: smtpguard.ScopeConnection}, nil
	}}
	s := newSite(t, friend, newCheck(t, blocklist.CheckConfig{List: set(t, listed...)}))
	s.play("192.0.2.1", `
		HELLO
		C: MAIL FROM:<bad@example.com>
		S: 250`)
}
