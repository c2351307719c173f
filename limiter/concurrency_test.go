package limiter_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/limiter"
)

func concurrency(t testing.TB, cfg limiter.ConcurrencyConfig) *limiter.Concurrency {
	t.Helper()
	c, err := limiter.NewConcurrency(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const tooMany = "S: 421 4.7.0 Too many connections, try again later\nS: EOF"

func TestConcurrencyPerNetwork(t *testing.T) {
	c := concurrency(t, limiter.ConcurrencyConfig{
		Strangers: limiter.Room{Conns: 6, PerNetwork: []limiter.PerNetwork{
			{Network: limiter.Bits{}, Conns: 2},
			{Network: limiter.Bits{V4: 24, V6: 48}, Conns: 3},
		}},
		Own:         limiter.Room{Conns: 1},
		OwnNetworks: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
	})
	l := serve(t, c.Check())
	for _, step := range []struct{ client, script string }{
		{"192.0.2.1", "HELLO"},
		{"192.0.2.1", "HELLO"},
		{"192.0.2.1", tooMany},
		{"192.0.2.2", "HELLO"},
		{"192.0.2.3", tooMany}, // of its /24
		{"2001:db8::1", "HELLO"},
		{"2001:db8::2", "HELLO"},
		{"2001:db8::3", tooMany},           // of its /64
		{"2001:db8:0:1::1", "HELLO"},       // another /64
		{"2001:db8:0:2::1", tooMany},       // of its /48, and in total
		{"198.51.100.1", tooMany},          // in total
		{"203.0.113.1", "HELLO\nSTARTTLS"}, // room apart
		{"203.0.113.2", tooMany},
	} {
		l.play(t, step.client, step.script)
	}
	want := limiter.InUse{Conns: 6, OwnConns: 1, Networks: 6}
	if got := c.InUse(); got != want {
		t.Errorf("in use %+v, want %+v", got, want)
	}
	reasons := strings.Join(l.verdicts("concurrency"), "\n")
	for _, want := range []string{"2 connections from 192.0.2.1/32, which is the limit", "3 connections from 192.0.2.0/24", "6 connections in total"} {
		if !strings.Contains(reasons, want) {
			t.Errorf("no reason is %q:\n%s", want, reasons)
		}
	}
}

// What a connection had is there for the next one, however it ended.
func TestConcurrencyReleases(t *testing.T) {
	c := concurrency(t, limiter.ConcurrencyConfig{
		Strangers: limiter.Room{Conns: 1, Transactions: 1}, PerLogin: 1,
	})
	l := serve(t, c.Check())
	const begun = "HELLO\nAUTH\nC: MAIL FROM:<a@client.example>\nS: 250\n"
	for _, end := range []string{
		"C: QUIT\nS: 221\nS: EOF",
		"CLOSE",
		"C: RSET\nS: 250\nC: MAIL FROM:<a@client.example>\nS: 250\nCLOSE",
		"C: RCPT TO:<nobody@example.org>\nS: 550\nCLOSE",
		"C: RCPT TO:<user@example.org>\nS: 250\nC: DATA\nS: 354\nC: half of\nCLOSE",
		"C: RSET\nS: 250\nSTARTTLS\nC: MAIL FROM:<a@client.example>\nS: 250\nCLOSE",
		"C: RSET\nS: 250" + sends("whole", "250") + "C: MAIL FROM:<a@client.example>\nS: 250\nCLOSE",
	} {
		l.play(t, "192.0.2.1", begun+end)
		eventually(t, func() bool { return c.InUse() == limiter.InUse{} }, fmt.Sprintf("after %q nothing is in use: %+v", end, c.InUse()))
	}
}

func TestConcurrencyPerLogin(t *testing.T) {
	c := concurrency(t, limiter.ConcurrencyConfig{PerLogin: 2})
	l := serve(t, c.Check())
	const from = "C: MAIL FROM:<a@client.example>\n"
	l.play(t, "192.0.2.1", "HELLO\nAUTH\n"+from+"S: 250")
	l.play(t, "192.0.2.2", "HELLO\nAUTH")
	l.play(t, "192.0.2.3", "HELLO\nAUTH\n"+from+tooMany)
	// In any case it is the same login, and another is another.
	l.play(t, "192.0.2.4", "HELLO\nC: AUTH PLAIN "+plain("ANN", "secret")+"\nS: 235\n"+from+tooMany)
	l.play(t, "192.0.2.5", "HELLO\nC: AUTH PLAIN "+plain("bob", "secret")+"\nS: 235\n"+from+"S: 250")
	// A login that is not proven takes nothing.
	l.play(t, "192.0.2.6", "HELLO\nC: AUTH PLAIN "+plain("bob", "guess")+"\nS: 535")
	if u := c.InUse(); u.Logins != 2 {
		t.Errorf("%d logins counted, want 2", u.Logins)
	}
}

func TestConcurrencyTransactions(t *testing.T) {
	c := concurrency(t, limiter.ConcurrencyConfig{Strangers: limiter.Room{Transactions: 1}})
	l := serve(t, c.Check())
	const from = "C: MAIL FROM:<a@client.example>\n"
	l.play(t, "192.0.2.1", "HELLO\n"+from+"S: 250")
	l.play(t, "192.0.2.2", "HELLO\n"+from+"S: 451 4.3.2 Too many messages at once, try again later")
	if u := c.InUse(); u.Transactions != 1 {
		t.Errorf("%d transactions, want 1", u.Transactions)
	}
}

// A hook that comes after its connection has ended takes nothing.
func TestConcurrencyLateHook(t *testing.T) {
	c := concurrency(t, limiter.ConcurrencyConfig{})
	check := c.Check()
	conn := new(smtpguard.Conn)
	check.Close(conn)
	if _, err := check.Connect(context.Background(), conn); err != nil {
		t.Fatal(err)
	}
	if u := c.InUse(); u != (limiter.InUse{}) {
		t.Errorf("in use %+v after the end", u)
	}
	check.Close(conn) // a second time
}

func TestConcurrencyRace(t *testing.T) {
	c := concurrency(t, limiter.ConcurrencyConfig{Strangers: limiter.Room{Conns: 10, PerNetwork: []limiter.PerNetwork{{Conns: 5}}}})
	l := serve(t, c.Check())
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for range 5 {
				l.play(t, fmt.Sprintf("192.0.2.%d", i%4), "S: 220|421\nCLOSE")
			}
		})
	}
	wg.Wait()
	eventually(t, func() bool { return c.InUse() == limiter.InUse{} }, "nothing is in use")
}

func TestConcurrencyConfig(t *testing.T) {
	for _, tt := range []struct {
		cfg  limiter.ConcurrencyConfig
		want string
	}{
		{limiter.ConcurrencyConfig{}, ""},
		{limiter.ConcurrencyConfig{OwnNetworks: make([]netip.Prefix, 1)}, "limiter: ConcurrencyConfig.OwnNetworks: the one at 0 is no network"},
		{limiter.ConcurrencyConfig{Own: limiter.Room{PerNetwork: []limiter.PerNetwork{{Network: limiter.Bits{V4: 33}, Conns: 1}}}}, "limiter: ConcurrencyConfig.Own.PerNetwork[0].Network: V4: must be between 0 and 32"},
		{limiter.ConcurrencyConfig{Strangers: limiter.Room{PerNetwork: make([]limiter.PerNetwork, 1)}}, "limiter: ConcurrencyConfig.Strangers.PerNetwork[0].Conns: is 0, which has no default: negative means no limit"},
	} {
		_, err := limiter.NewConcurrency(tt.cfg)
		wants(t, err, tt.want)
	}
}

// wants compares an error's text; "" is none.
func wants(t *testing.T, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
	}
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
