package limiter_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/limiter"
)

func rates(t testing.TB, store limiter.Store, cfg limiter.RatesConfig) smtpguard.Check {
	t.Helper()
	r, err := limiter.NewRates(store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r.Check()
}

// an is a limit of n in a time that no test lives to see.
func an(n int) []limiter.Limit { return []limiter.Limit{{N: n, Per: time.Hour}} }

const (
	byA     = "C: MAIL FROM:<a@client.example>\n"
	ok      = "S: 250\n"
	begun   = "HELLO\n" + byA + ok
	toUser  = "C: RCPT TO:<user@example.org>\n"
	toOther = "C: RCPT TO:<other@example.org>\n"
	unknown = "C: RCPT TO:<nobody@example.org>\nS: 550 5.1.1 *\n"
	reset   = "C: RSET\nS: 250\n"
)

// turn is what one client does; the clients of a test take turns.
type turn struct{ client, script string }

func TestRates(t *testing.T) {
	own := limiter.Clients{Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}
	client := []limiter.By{limiter.ByClient}
	for _, tt := range []struct {
		name  string
		rules []limiter.Rule
		turns []turn
	}{
		{"connections", []limiter.Rule{{Name: "a", Unit: limiter.Connections, By: client, Limits: an(2)}}, []turn{
			{"192.0.2.1", "HELLO\nC: EHLO again.example\n" + "S: 250 **\n" + byA + ok},
			{"192.0.2.1", "HELLO"},
			{"192.0.2.1", "S: 421 4.7.0 Too many connections, try again later\nS: EOF"},
			{"192.0.2.2", "HELLO"},
		}},
		{"connections by EHLO identity", []limiter.Rule{{Name: "a", Unit: limiter.Connections, By: []limiter.By{limiter.ByHello}, Limits: an(1)}}, []turn{
			{"192.0.2.1", "S: 220\nC: EHLO one.example\nS: 250 **"},
			{"192.0.2.2", "S: 220\nC: EHLO ONE.example\nS: 451 4.7.1 Too many connections, try again later\nC: EHLO two.example\nS: 250 **"},
		}},
		{"connections by login", []limiter.Rule{{Name: "a", Unit: limiter.Connections, By: []limiter.By{limiter.ByLogin}, Limits: an(1)}}, []turn{
			{"192.0.2.1", "HELLO\nAUTH\n" + byA + ok},
			{"192.0.2.1", "HELLO\n" + byA + ok},
			{"192.0.2.2", "HELLO\nAUTH\n" + byA + "S: 450 4.7.1 Too many connections, try again later"},
		}},
		{"a prefix", []limiter.Rule{{Name: "a", Unit: limiter.Connections, By: client, Bits: limiter.Bits{V4: 24, V6: 48}, Limits: an(1)}}, []turn{
			{"192.0.2.1", "HELLO"},
			{"192.0.2.2", "S: 421"},
			{"2001:db8::1", "HELLO"},
			{"2001:db8:0:ffff::1", "S: 421"},
			{"2001:db8:1::1", "HELLO"},
		}},
		{"handshakes", []limiter.Rule{{Name: "a", Unit: limiter.Handshakes, By: client, Limits: an(2), Effect: limiter.Disconnect}}, []turn{
			{"192.0.2.1", "HELLO\nSTARTTLS\n" + byA + ok + reset + byA + ok},
			{"192.0.2.1", "HELLO\nC: STARTTLS\nS: 220\nTLS\nC: EHLO client.example\nS: 421 4.7.0 Too many handshakes, try again later\nS: EOF"},
			{"192.0.2.1", "S: 421 4.7.0 Too many handshakes, try again later\nS: EOF"},
			{"192.0.2.2", begun},
		}},
		{"commands, junk ones too", []limiter.Rule{{Name: "a", Unit: limiter.Commands, By: client, Limits: an(5)}}, []turn{
			{"192.0.2.1", begun + "C: JUNK\nS: 500\nC: NOOP\nS: 250\n" + toUser + "S: 450 4.7.1 Too many commands, try again later"},
			{"192.0.2.1", "S: 421 4.7.0 *\nS: EOF"},
			{"192.0.2.2", "HELLO"},
		}},
		{"commands after the last hook", []limiter.Rule{{Name: "a", Unit: limiter.Commands, By: client, Limits: an(6)}}, []turn{
			{"192.0.2.1", "HELLO\nC: NOOP\nS: 250\nC: NOOP\nS: 250\nC: NOOP\nS: 250\nC: NOOP\nS: 250\nC: QUIT\nS: 221\nS: EOF"},
			{"192.0.2.1", "S: 421"},
		}},
		{"errors over connections", []limiter.Rule{{Name: "a", Unit: limiter.Errors, By: client, Limits: an(3), Effect: limiter.Reject}}, []turn{
			{"192.0.2.1", begun + unknown + unknown + "C: QUIT\nS: 221\nS: EOF"},
			{"192.0.2.1", begun + unknown + toUser + "S: 550 5.7.1 *\nC: QUIT\nS: 221\nS: EOF"},
			{"192.0.2.1", "S: 554 5.7.1 *\nS: EOF"},
			{"192.0.2.2", "HELLO"},
		}},
		{"unknown recipients", []limiter.Rule{{Name: "a", Unit: limiter.Unknown, By: client, Bits: limiter.Bits{V4: 24}, Limits: an(2), Effect: limiter.Disconnect}}, []turn{
			{"192.0.2.1", begun + toUser + ok + unknown + unknown + toOther + "S: 421 4.7.0 Too many unknown recipients, try again later\nS: EOF"},
			{"192.0.2.2", "S: 421 4.7.0 *\nS: EOF"},
			{"198.51.100.1", begun + unknown + "C: QUIT\nS: 221\nS: EOF"},
			{"198.51.100.2", begun + unknown + reset + byA + "S: 421"},
		}},
		{"messages, given back unless accepted", []limiter.Rule{{Name: "a", By: client, Limits: an(2)}}, []turn{
			{"192.0.2.1", begun + reset + byA + ok + reset + byA + ok + reset + sends("REFUSE", "554") + sends("REFUSE", "554") + sends("fine", "250") + sends("fine", "250") +
				byA + "S: 450 4.7.1 Too many messages, try again later\nCLOSE"},
			{"192.0.2.1", "HELLO\n" + byA + "S: 450"},
			{"192.0.2.2", begun},
		}},
		{"messages, kept", []limiter.Rule{{Name: "a", By: client, Limits: an(2), Keep: true}}, []turn{
			{"192.0.2.1", begun + reset + sends("REFUSE", "554") + byA + "S: 450"},
		}},
		{"several windows", []limiter.Rule{{Name: "a", By: client, Limits: []limiter.Limit{{N: 1000, Per: time.Minute}, {N: 2, Per: time.Hour}, {N: 100, Per: 24 * time.Hour}}}}, []turn{
			{"192.0.2.1", "HELLO" + sends("fine", "250") + sends("fine", "250") + byA + "S: 450"},
		}},
		{"messages by tenant and sender's domain", []limiter.Rule{{Name: "a", By: []limiter.By{limiter.ByTenant, limiter.ByFromDomain}, Limits: an(1)}}, []turn{
			{"192.0.2.1", "HELLO\nAUTH\n" + sends("fine", "250") + "C: MAIL FROM:<b@CLIENT.example>\nS: 450\nC: MAIL FROM:<b@other.example>\n" + ok},
			{"192.0.2.1", "HELLO\n" + sends("fine", "250") + sends("fine", "250")}, // is no tenant's
		}},
		{"the null reverse-path is no sender", []limiter.Rule{{Name: "a", By: []limiter.By{limiter.ByFrom}, Limits: an(1), Keep: true}}, []turn{
			{"192.0.2.1", "HELLO\nC: MAIL FROM:<>\n" + ok + reset + "C: MAIL FROM:<>\n" + ok + reset + byA + ok + reset + "C: MAIL FROM:<A@client.example>\nS: 450"},
		}},
		{"recipients", []limiter.Rule{{Name: "a", Unit: limiter.Recipients, By: client, Limits: an(3)}}, []turn{
			{"192.0.2.1", begun + toUser + ok + toUser + ok + unknown + toOther + "S: 450 4.7.1 Too many recipients, try again later\n" +
				"C: DATA\nS: 354\nC: x\nC: .\n" + ok +
				byA + ok + toUser + ok + toOther + "S: 450"}, // one was given back: who does not exist got nothing
		}},
		{"recipients by mailbox", []limiter.Rule{{Name: "a", Unit: limiter.Recipients, By: []limiter.By{limiter.ByTo}, Limits: an(1)}}, []turn{
			{"192.0.2.1", begun + toUser + ok + "C: RCPT TO:<USER@Example.ORG>\nS: 450\n" + toOther + ok},
			{"192.0.2.2", begun + toUser + "S: 450"},
		}},
		{"octets", []limiter.Rule{{Name: "a", Unit: limiter.Octets, By: client, Limits: an(200)}}, []turn{
			{"192.0.2.1", "HELLO" + sends(strings.Repeat("x", 150), "250") + sends(strings.Repeat("x", 150), "451 4.7.1 Too much data, try again later") +
				"C: MAIL FROM:<a@client.example> SIZE=150\nS: 450 4.7.1 Too much data, try again later\n" +
				"C: MAIL FROM:<a@client.example> SIZE=201\nS: 552 5.3.4 Message too big for what you may send\n" +
				"C: MAIL FROM:<a@client.example> SIZE=20\n" + ok},
			{"192.0.2.2", "HELLO" + sends(strings.Repeat("x", 250), "552 5.3.4 *") + sends(strings.Repeat("x", 150), "250")},
		}},
		{"exempt, only, and figures of their own", []limiter.Rule{
			{Name: "strangers", By: client, Limits: an(1), Keep: true, Exempt: limiter.Clients{Networks: own.Networks, Logins: []string{"ann"}, Match: friend}},
			{Name: "own", By: client, Limits: an(2), Keep: true, Only: own},
		}, []turn{
			{"192.0.2.1", begun + reset + byA + "S: 450"},
			{"203.0.113.1", begun + reset + byA + ok + reset + byA + "S: 450"},
			{"192.0.2.2", "HELLO\nAUTH\n" + byA + ok + reset + byA + ok + reset + byA + ok},
			{"192.0.2.3", "HELLO\nC: AUTH PLAIN " + plain("Ann", "secret") + "\nS: 235\n" + byA + ok + reset + byA + "S: 450"},
			{"192.0.2.99", begun + reset + byA + ok + reset + byA + ok},
		}},
		{"all together", []limiter.Rule{{Name: "a", Limits: an(1), Keep: true}}, []turn{
			{"192.0.2.1", begun},
			{"192.0.2.2", "HELLO\n" + byA + "S: 450"},
		}},
		{"the first rule over its limit", []limiter.Rule{
			{Name: "wide", Limits: an(5), Effect: limiter.Disconnect, Keep: true},
			{Name: "narrow", By: client, Limits: an(1), Effect: limiter.Reject, Keep: true, Reply: &smtp.SMTPError{Code: 553, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "Ask for more"}},
		}, []turn{
			{"192.0.2.1", begun + reset + byA + "S: 553 5.7.1 Ask for more\n" + byA + "S: 553"}, // which takes nothing of the other
			{"192.0.2.2", begun},
			{"192.0.2.3", begun},
			{"192.0.2.4", begun},
			{"192.0.2.5", begun},
			{"192.0.2.6", "HELLO\n" + byA + "S: 421 4.7.0 Too many messages, try again later\nS: EOF"},
		}},
		{"a soft limit refuses nothing", []limiter.Rule{{Name: "a", By: client, Limits: an(1), Effect: limiter.Note}}, []turn{
			{"192.0.2.1", "HELLO" + sends("fine", "250") + sends("fine", "250") + sends("fine", "250")},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := serve(t, rates(t, memory(t), limiter.RatesConfig{Rules: tt.rules, Tenant: tenant}))
			for _, turn := range tt.turns {
				l.play(t, turn.client, turn.script)
			}
		})
	}
}

func friend(conn *smtpguard.Conn, _ *smtpguard.Transaction, _ *smtpguard.Recipient) bool {
	return conn.Addr() == netip.MustParseAddr("192.0.2.99")
}

func tenant(conn *smtpguard.Conn, _ *smtpguard.Transaction) string {
	if login, ok := conn.Login(); ok {
		return "tenant of " + login
	}
	return ""
}

// What the client reads names nothing that the operator reads.
func TestRatesEvents(t *testing.T) {
	l := serve(t, rates(t, memory(t), limiter.RatesConfig{Rules: []limiter.Rule{
		{Name: "soft", By: []limiter.By{limiter.ByClient, limiter.ByFrom}, Limits: an(1), Effect: limiter.Note, Keep: true},
		{Name: "hourly", By: []limiter.By{limiter.ByClient}, Limits: an(2), Keep: true},
	}}))
	l.play(t, "192.0.2.1", begun+reset+byA+ok+reset+byA+"S: 450 4.7.1 Too many messages, try again later")
	reasons := l.verdicts("rates")
	if len(reasons) != 2 || !strings.HasPrefix(reasons[0], `rule "soft": 1 messages/1h0m0s used up, room in `) || !strings.HasPrefix(reasons[1], `rule "hourly": 2 messages/1h0m0s used up, room in `) {
		t.Errorf("reasons %q", reasons)
	}
	last := l.events[slices.IndexFunc(l.events, func(ev smtpguard.Event) bool { return strings.Contains(ev.Reason, "hourly") })]
	if last.Action != smtpguard.Defer || last.Facts["rule"] != "hourly" || last.Facts["key"] != "rates/hourly/client=192.0.2.1/32" || last.Facts["limit"] != "2 messages/1h0m0s" {
		t.Errorf("event %+v", last)
	}
}

func TestRatesStoreFails(t *testing.T) {
	rule := []limiter.Rule{{Name: "a", Unit: limiter.Recipients, Limits: an(1)}}
	for _, tt := range []struct {
		onError smtpguard.Failure
		script  string
	}{
		{smtpguard.FailDefer, begun + toUser + "S: 451 4.3.0 Temporary failure, try again later"},
		{smtpguard.FailOpen, begun + toUser + ok},
		{smtpguard.FailRefuse, begun + toUser + "S: 554 5.3.0 *"},
	} {
		serve(t, rates(t, broken{}, limiter.RatesConfig{Rules: rule, OnError: tt.onError})).play(t, "192.0.2.1", tt.script)
	}

	// What fails after the last reply is reported.
	failed := make(chan error, 1)
	l := serve(t, rates(t, broken{}, limiter.RatesConfig{
		Rules: []limiter.Rule{{Name: "a", Unit: limiter.Errors, Limits: an(1)}}, OnError: smtpguard.FailOpen,
		Report: func(err error) {
			select {
			case failed <- err:
			default:
			}
		},
	}))
	l.play(t, "192.0.2.1", begun+unknown+"CLOSE")
	select {
	case err := <-failed:
		wants(t, err, errBroken.Error())
	case <-time.After(5 * time.Second):
		t.Error("nothing was reported")
	}
}

// counting counts round trips.
type counting struct {
	limiter.Store
	takes, asks atomic.Int64
}

func (c *counting) Take(ctx context.Context, asks []limiter.Ask) ([]limiter.State, error) {
	c.takes.Add(1)
	c.asks.Add(int64(len(asks)))
	return c.Store.Take(ctx, asks)
}

// All rules of a stage are one round trip, and what is given back is one.
func TestRatesRoundTrips(t *testing.T) {
	store := &counting{Store: memory(t)}
	windows := []limiter.Limit{{N: 100, Per: time.Minute}, {N: 1000, Per: time.Hour}}
	l := serve(t, rates(t, store, limiter.RatesConfig{Rules: []limiter.Rule{
		{Name: "a", By: []limiter.By{limiter.ByClient}, Limits: windows},
		{Name: "b", By: []limiter.By{limiter.ByFrom}, Limits: windows},
		{Name: "c", Unit: limiter.Recipients, By: []limiter.By{limiter.ByClient}, Limits: windows},
	}}))
	l.play(t, "192.0.2.1", "HELLO"+sends("fine", "250"))
	if takes, asks := store.takes.Load(), store.asks.Load(); takes != 2 || asks != 6 {
		t.Errorf("%d round trips for %d asks, want 2 for 6", takes, asks)
	}
	l.play(t, "192.0.2.1", begun+strings.Repeat(toUser+ok, 5)+reset+byA+ok)
	if takes, asks := store.takes.Load(), store.asks.Load(); takes != 2+1+5+1+1 || asks != 6+4+10+6+4 {
		t.Errorf("%d round trips for %d asks, want 10 for 30", takes, asks)
	}
}

func TestRatesConfig(t *testing.T) {
	good := limiter.Rule{Name: "a", Limits: an(1)}
	rule := func(edit func(*limiter.Rule)) limiter.RatesConfig {
		r := good
		edit(&r)
		return limiter.RatesConfig{Rules: []limiter.Rule{r}}
	}
	for _, tt := range []struct {
		cfg  limiter.RatesConfig
		want string
	}{
		{limiter.RatesConfig{}, ""},
		{limiter.RatesConfig{Rules: []limiter.Rule{good}}, ""},
		{limiter.RatesConfig{Rules: []limiter.Rule{good, good}}, `limiter: RatesConfig.Rules[1] ("a"): Name: is another rule's too`},
		{limiter.RatesConfig{OnError: 7}, `limiter: RatesConfig.OnError: 7 is no Failure`},
		{rule(func(r *limiter.Rule) { r.Name = "a/b" }), `limiter: RatesConfig.Rules[0] ("a/b"): Name: must be 1 to 64 letters, digits, '-', '_' and '.'`},
		{rule(func(r *limiter.Rule) { r.Unit = 99 }), `limiter: RatesConfig.Rules[0] ("a"): Unit: 99 is no Unit`},
		{rule(func(r *limiter.Rule) { r.By = []limiter.By{"moon"} }), `limiter: RatesConfig.Rules[0] ("a"): By: "moon" is nothing to count by`},
		{rule(func(r *limiter.Rule) { r.By = []limiter.By{limiter.ByLogin, limiter.ByLogin} }), `limiter: RatesConfig.Rules[0] ("a"): By: has login twice`},
		{rule(func(r *limiter.Rule) { r.By = []limiter.By{limiter.ByTo} }), `limiter: RatesConfig.Rules[0] ("a"): By: to is of one recipient: count Recipients`},
		{rule(func(r *limiter.Rule) { r.Unit, r.By = limiter.Errors, []limiter.By{limiter.ByFrom} }), `limiter: RatesConfig.Rules[0] ("a"): By: from is of one message, which errors are not`},
		{rule(func(r *limiter.Rule) { r.By = []limiter.By{limiter.ByTenant} }), `limiter: RatesConfig.Rules[0] ("a"): By: names the tenant, and RatesConfig.Tenant is nil`},
		{rule(func(r *limiter.Rule) { r.Bits.V4 = 24 }), `limiter: RatesConfig.Rules[0] ("a"): Bits: are of no use without ByClient`},
		{rule(func(r *limiter.Rule) { r.By, r.Bits.V6 = []limiter.By{limiter.ByClient}, 129 }), `limiter: RatesConfig.Rules[0] ("a"): Bits.V6: must be between 0 and 128`},
		{rule(func(r *limiter.Rule) { r.Limits = nil }), `limiter: RatesConfig.Rules[0] ("a"): Limits: there is none`},
		{rule(func(r *limiter.Rule) { r.Limits = []limiter.Limit{{}} }), `limiter: RatesConfig.Rules[0] ("a"): Limits[0]: limits nothing`},
		{rule(func(r *limiter.Rule) { r.Limits = []limiter.Limit{{N: 1}} }), `limiter: RatesConfig.Rules[0] ("a"): Limits[0]: a Per that is not positive`},
		{rule(func(r *limiter.Rule) { r.Effect = 9 }), `limiter: RatesConfig.Rules[0] ("a"): Effect: 9 is no Effect`},
		{rule(func(r *limiter.Rule) { r.Effect = limiter.Slow }), `limiter: RatesConfig.Rules[0] ("a"): Effect: is Slow, and RatesConfig.Tarpit is nil`},
		{rule(func(r *limiter.Rule) { r.Reply = &smtp.SMTPError{Code: 550} }), `limiter: RatesConfig.Rules[0] ("a"): Reply: 550 is no reply for the Effect`},
		{rule(func(r *limiter.Rule) { r.Effect, r.Reply = limiter.Note, &smtp.SMTPError{Code: 450} }), `limiter: RatesConfig.Rules[0] ("a"): Reply: is never given: the Effect refuses nothing`},
		{rule(func(r *limiter.Rule) { r.Debt = -1 }), `limiter: RatesConfig.Rules[0] ("a"): Debt: must be between 0 and MaxWindow`},
		{rule(func(r *limiter.Rule) { r.Debt = 1 }), `limiter: RatesConfig.Rules[0] ("a"): Debt: what is asked for, as messages are, is refused over a hard limit and leaves no debt`},
		{rule(func(r *limiter.Rule) { r.Only.Logins = []string{""} }), `limiter: RatesConfig.Rules[0] ("a"): Only: one of Logins is empty`},
		{rule(func(r *limiter.Rule) { r.Exempt.Networks = make([]netip.Prefix, 1) }), `limiter: RatesConfig.Rules[0] ("a"): Exempt: in Networks the one at 0 is no network`},
		{rule(func(r *limiter.Rule) { r.Limits = slices.Repeat(r.Limits, 257) }), `limiter: RatesConfig.Rules: 257 limits, more than one Take can have (256)`},
	} {
		_, err := limiter.NewRates(memory(t), tt.cfg)
		wants(t, err, tt.want)
	}
	_, err := limiter.NewRates(nil, limiter.RatesConfig{})
	wants(t, err, "limiter: NewRates: store is nil")
}
