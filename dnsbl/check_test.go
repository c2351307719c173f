package dnsbl_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/dnsbl"
)

// neighbourhood is what the transcripts look up: 5.6.7.8 is on list a,
// 5.6.7.9 on the light list b, 5.6.7.10 on the allow list w and on a.
func neighbourhood() *world {
	return &world{
		a: map[string]string{
			"8.7.6.5.a.example":  "127.0.0.2",
			"9.7.6.5.b.example":  "127.0.0.2",
			"10.7.6.5.a.example": "127.0.0.2",
			"10.7.6.5.w.example": "127.0.9.3",
			"11.7.6.5.a.example": "127.255.255.254",
			"11.7.6.5.b.example": "servfail",

			"bad.example.d.example":      "127.0.1.2",
			"bad-helo.example.d.example": "127.0.1.2",
			"bad-rdns.example.d.example": "127.0.1.2",
			"light.example.d.example":    "127.0.1.9",
		},
		txt: map[string]string{"8.7.6.5.a.example": "spam\r\nseen  at \x1b[31mtrap"},
	}
}

func neighbours() []dnsbl.Zone {
	a := zone("a", dnsbl.Code{Answer: "127.0.0.2", Means: "spam source", Action: smtpguard.Reject})
	a.Text = true
	b := zone("b", dnsbl.Code{Answer: "127.0.0.2", Weight: 3})
	w := zone("w", dnsbl.Code{Answer: "127.0.2-20.3", Weight: -5, Accept: smtpguard.ScopeTransaction})
	d := dnsbl.Zone{Domain: "d.example", Lists: dnsbl.Domains, Codes: []dnsbl.Code{
		{Answer: "127.0.1.2", Means: "bad domain", Action: smtpguard.Reject}, {Answer: "127.0.1.9", Weight: 2},
	}}
	return []dnsbl.Zone{a, b, w, d}
}

func TestTranscripts(t *testing.T) {
	for _, tt := range []struct {
		name, client string
		judge        smtpguard.Stage
		script       string
		reason       string // of the last verdict
	}{
		{"listed, at RCPT", "5.6.7.8", 0, `
			HELLO
			C: MAIL FROM:<a@good.example>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 550 5.7.1 Client address [5.6.7.8] is listed by a.example: spam source
			C: RCPT TO:<postmaster@example.org>
			S: 550 5.7.1 Client address *`,
			"client 5.6.7.8 is listed by a.example (spam source); a.example says: spam seen at ?[31mtrap"},
		{"listed, at MAIL", "5.6.7.8", smtpguard.StageMail, `
			HELLO
			C: MAIL FROM:<a@good.example>
			S: 550 5.7.1 Client address [5.6.7.8] is listed by a.example: spam source`, "*"},
		{"listed, at EHLO", "5.6.7.8", smtpguard.StageHello, `
			S: 220
			C: EHLO good.example
			S: 550 5.7.1 Client address [5.6.7.8] is listed by a.example: spam source`, "*"},
		{"listed, at connect", "5.6.7.8", smtpguard.StageConnect, `
			S: 554 5.7.1 Client address [5.6.7.8] is listed by a.example: spam source
			S: EOF`, "*"},
		{"listed, at the end of the content", "5.6.7.8", smtpguard.StageData, `
			HELLO
			C: MAIL FROM:<a@good.example>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 250
			C: DATA
			S: 354
			C: Subject: hi
			C:
			C: .
			S: 550 5.7.1 Client address [5.6.7.8] *`, "*"},
		{"a friend", "5.6.7.10", 0, `
			HELLO
			C: MAIL FROM:<a@bad.example>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 250`,
			"*client 5.6.7.10 is listed by w.example*"},
		{"a private address", "10.0.0.1", 0, `
			HELLO
			C: MAIL FROM:<a@good.example>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 250`, ""},
		{"failures are no listings", "5.6.7.11", smtpguard.StageMail, `
			HELLO
			C: MAIL FROM:<a@good.example>
			S: 250`, ""},
		{"a sender", "5.6.7.1", 0, `
			HELLO
			C: MAIL FROM:<"x@y"@BAD.example>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 550 5.7.1 Sender domain bad.example is listed by d.example: bad domain
			C: RSET
			S: 250
			C: MAIL FROM:<>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 250
			C: RSET
			S: 250
			C: MAIL FROM:<a@[5.6.7.8]>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 250`, "sender *"},
		{"an EHLO name", "5.6.7.1", 0, `
			S: 220
			C: HELO bad-helo.example
			S: 250
			C: MAIL FROM:<a@good.example>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 550 5.7.1 EHLO name bad-helo.example is listed by d.example: bad domain
			C: HELO good.example
			S: 250
			C: MAIL FROM:<a@good.example>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 250`, "hello *"},
		{"an EHLO name, at EHLO", "5.6.7.1", smtpguard.StageHello, `
			S: 220
			C: HELO bad-helo.example
			S: 550 5.7.1 EHLO name bad-helo.example is listed by d.example: bad domain`, "hello *"},
		{"an EHLO name, where clients are judged at connect", "5.6.7.1", smtpguard.StageConnect, `
			S: 220
			C: HELO bad-helo.example
			S: 550 5.7.1 EHLO name bad-helo.example is listed by d.example: bad domain`, "hello *"},
		{"a login", "5.6.7.8", 0, `
			HELLO
			AUTH
			C: MAIL FROM:<a@bad.example>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 250`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLists(t, dnsbl.Config{Resolver: neighbourhood(), Zones: neighbours(), Judge: tt.judge})
			s := newSite(t, l.Check())
			s.play(tt.client, tt.script)
			var last string
			for _, ev := range s.verdicts("dnsbl") {
				if ev.Error != "" {
					t.Errorf("failed: %s", ev.Error)
				}
				if ev.Reason != "" {
					last = ev.Reason
				}
			}
			if !like(tt.reason, last) {
				t.Errorf("reason %q, want %q", last, tt.reason)
			}
		})
	}
}

// Sums reach over the stages of a session, and each weight counts once.
func TestSumsOverStages(t *testing.T) {
	for _, judge := range []smtpguard.Stage{smtpguard.StageConnect, smtpguard.StageHello, smtpguard.StageMail, smtpguard.StageRcpt} {
		t.Run(judge.String(), func(t *testing.T) {
			l := newLists(t, dnsbl.Config{Resolver: neighbourhood(), Zones: neighbours(), Judge: judge, Limits: dnsbl.Limits{Reject: 5}})
			s := newSite(t, smtpguard.Score(smtpguard.ScoreLimits{Reject: 5.1}, l.Check()))
			end := "S: 550 5.7.1 Sender domain light.example is listed by d.example"
			if judge >= smtpguard.StageMail { // all is judged together: the heavier one is named
				end = "S: 550 5.7.1 Client address [5.6.7.9] is listed by b.example"
			}
			if judge == smtpguard.StageRcpt {
				end = "S: 250\nC: RCPT TO:<user@example.org>\n" + end
			}
			s.play("5.6.7.9", "HELLO\nC: MAIL FROM:<a@light.example>\n"+end)
			var sum float64
			for _, ev := range s.verdicts("dnsbl") {
				sum += ev.Score
			}
			if sum != 5 {
				t.Errorf("scored %g, want 5: %+v", sum, s.verdicts("dnsbl"))
			}
		})
	}
}

const content = `
	HELLO
	C: MAIL FROM:<a@good.example>
	S: 250
	C: RCPT TO:<user@example.org>
	S: 250
	C: DATA
	S: 354
	%s
	C:
	C: text
	C: .
	S: %s`

func TestContent(t *testing.T) {
	zones := neighbours()
	zones[0].At = []dnsbl.Position{dnsbl.Received}
	zones[3].At = []dnsbl.Position{dnsbl.Author}
	for _, tt := range []struct{ name, header, reply string }{
		{"neither", "C: From: a@good.example\nC: Received: from x (x [5.6.7.1]) by y", "250"},
		{"author", "C: From: Ann <ann@good.example>, bob@BAD.example", "550 5.7.1 Author domain bad.example is listed by d.example: bad domain"},
		{"second From field", "C: From: a@good.example\nC: From: a@bad.example", "550 5.7.1 Author domain *"},
		{"a From field that two read differently", "C: From: <a@bad.example> b@good.example", "250"},
		{"hop", "C: Received: from x by y\nC: Received: from z (z [5.6.7.8])\nC:  by x", "550 5.7.1 Address [5.6.7.8] in a Received field *"},
		{"hop too far down", strings.Repeat("C: Received: from x by y\n", 3) + "C: Received: from z (z [5.6.7.8]) by x", "250"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLists(t, dnsbl.Config{Resolver: neighbourhood(), Zones: zones, Hops: 3})
			newSite(t, l.Check()).play("5.6.7.1", fmt.Sprintf(content, tt.header, tt.reply))
		})
	}
}

func TestReverseNames(t *testing.T) {
	zones := neighbours()
	zones[3].At = []dnsbl.Position{dnsbl.ReverseName}
	cfg := dnsbl.Config{Resolver: neighbourhood(), Zones: zones}
	cfg.ReverseNames = func(_ context.Context, conn *smtpguard.Conn) ([]string, error) {
		if conn.Addr() == netip.MustParseAddr("5.6.7.1") {
			return []string{"good.example.", "bad-rdns.example."}, nil
		}
		return []string{"bad-rdns.example."}, errors.New("lookup: server misbehaving")
	}
	s := newSite(t, newLists(t, cfg).Check())
	s.play("5.6.7.1", `
		HELLO
		C: MAIL FROM:<a@bad.example>
		S: 250
		C: RCPT TO:<user@example.org>
		S: 550 5.7.1 Reverse name bad-rdns.example is listed by d.example: bad domain`)
	s = newSite(t, newLists(t, cfg).Check())
	s.play("5.6.7.2", `
		HELLO
		C: MAIL FROM:<a@bad.example>
		S: 250
		C: RCPT TO:<user@example.org>
		S: 250`)
	if v := s.verdicts("dnsbl"); len(v) != 1 || !strings.Contains(fmt.Sprint(v[0].Facts), "server misbehaving") {
		t.Errorf("%+v", v)
	}
}

// Some zones want known clients too; the others' listings then do not count.
func TestKnownClients(t *testing.T) {
	zones := neighbours()
	zones[1].Known = true
	w := neighbourhood()
	w.set("8.7.6.5.b.example", "127.0.0.2")
	l := newLists(t, dnsbl.Config{Resolver: w, Zones: zones, Limits: dnsbl.Limits{Reject: 3}})
	newSite(t, l.Check()).play("5.6.7.8", `
		HELLO
		C: MAIL FROM:<a@good.example>
		S: 250
		C: RCPT TO:<user@example.org>
		S: 550 5.7.1 Client address [5.6.7.8] is listed by a.example: spam source
		C: RSET
		S: 250
		AUTH
		C: MAIL FROM:<a@bad.example>
		S: 250
		C: RCPT TO:<user@example.org>
		S: 550 5.7.1 Client address [5.6.7.8] is listed by b.example`)

	w = neighbourhood()
	l = newLists(t, dnsbl.Config{Resolver: w, Zones: neighbours(), Known: func(c *smtpguard.Conn) bool { return true }})
	newSite(t, l.Check()).play("5.6.7.8", `
		HELLO
		C: MAIL FROM:<a@bad.example>
		S: 250
		C: RCPT TO:<user@example.org>
		S: 250`)
	if n := w.questions(""); n != 0 {
		t.Errorf("asked %d questions about a client that is known", n)
	}
}

func TestActions(t *testing.T) {
	for _, tt := range []struct {
		action smtpguard.Action
		judge  smtpguard.Stage
		script string
	}{
		{smtpguard.Defer, smtpguard.StageConnect, "S: 421 4.7.1 Client address *\nS: EOF"},
		{smtpguard.Defer, smtpguard.StageMail, "HELLO\nC: MAIL FROM:<>\nS: 451 4.7.1 Client address *\nC: NOOP\nS: 250"},
		{smtpguard.Disconnect, smtpguard.StageConnect, "S: 421 4.7.1 Client address *\nS: EOF"},
		{smtpguard.Disconnect, smtpguard.StageMail, "HELLO\nC: MAIL FROM:<>\nS: 421 4.7.1 Client address *\nS: EOF"},
		{smtpguard.Quarantine, smtpguard.StageMail, "HELLO\nC: MAIL FROM:<>\nS: 250"},
	} {
		t.Run(fmt.Sprintf("%v at %v", tt.action, tt.judge), func(t *testing.T) {
			z := zone("a")
			z.Action = tt.action
			s := newSite(t, newLists(t, dnsbl.Config{Resolver: neighbourhood(), Zones: []dnsbl.Zone{z}, Judge: tt.judge}).Check())
			s.play("5.6.7.8", tt.script)
			if v := s.verdicts("dnsbl"); len(v) != 1 || v[0].Action != tt.action {
				t.Errorf("%+v", v)
			}
		})
	}
}

// The list's own words are fetched only where somebody reads them.
func TestTextIsFetchedWhenUsed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*dnsbl.Zone)
		want   int
	}{
		{"nobody", func(z *dnsbl.Zone) { z.Text = false }, 0},
		{"the log", func(z *dnsbl.Zone) {}, 1},
		{"the reply", func(z *dnsbl.Zone) { z.Text, z.Reply = false, "{text}" }, 1},
		{"no listing that decides", func(z *dnsbl.Zone) { z.Codes[0].Action, z.Codes[0].Weight = 0, 1 }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := neighbourhood()
			zones := neighbours()
			tt.change(&zones[0])
			l := newLists(t, dnsbl.Config{Resolver: w, Zones: zones, Judge: smtpguard.StageMail})
			newSite(t, l.Check()).play("5.6.7.8", "HELLO\nC: MAIL FROM:<>\nS: 250|550")
			if got := w.questions("TXT"); got != tt.want {
				t.Errorf("fetched %d times, want %d", got, tt.want)
			}
		})
	}
}

// A client whose lists do not answer is not held up beyond the deadline, and
// not refused.
func TestStalledServer(t *testing.T) {
	w := neighbourhood()
	w.set("8.7.6.5.a.example", "hang")
	for _, judge := range []smtpguard.Stage{smtpguard.StageConnect, smtpguard.StageRcpt} {
		l := newLists(t, dnsbl.Config{Resolver: w, Zones: neighbours(), Judge: judge, Timeout: 200 * time.Millisecond})
		s := newSite(t, l.Check())
		s.play("5.6.7.8", `
			HELLO
			C: MAIL FROM:<a@good.example>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 250`)
		if v := s.verdicts("dnsbl"); len(v) != 1 || !strings.Contains(v[0].Facts["a.example"], "failed") {
			t.Errorf("%v: %+v", judge, v)
		}
	}
}

func TestResults(t *testing.T) {
	l := newLists(t, dnsbl.Config{Resolver: neighbourhood(), Zones: neighbours()})
	var found []string
	after := smtpguard.Check{Name: "after", Rcpt: func(_ context.Context, tx *smtpguard.Transaction, _ *smtpguard.Recipient) (smtpguard.Verdict, error) {
		for _, res := range l.Results(tx.Conn(), tx) {
			for i := range res.Listings {
				found = append(found, res.Listings[i].String())
			}
		}
		return smtpguard.Verdict{}, nil
	}}
	newSite(t, smtpguard.Shadow(l.Check()), after).play("5.6.7.8", `
		HELLO
		C: MAIL FROM:<a@light.example>
		S: 250
		C: RCPT TO:<user@example.org>
		S: 250`)
	if got := strings.Join(found, "; "); got != "client 5.6.7.8 is listed by a.example (spam source); sender light.example is listed by d.example" {
		t.Error(got)
	}
}
