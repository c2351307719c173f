package limiter_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/limiter"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// However sessions end, what is spent in the end is what was accepted.
func TestRatesExact(t *testing.T) {
	const much = 100_000
	limits := []limiter.Limit{{N: much, Per: limiter.MaxWindow}} // regains one in five minutes
	store := memory(t)
	var want struct{ messages, recipients, octets, unknown int }
	closed := 0
	var l *lab
	count := smtpguard.Check{
		Name: "count",
		Done: func(_ context.Context, tx *smtpguard.Transaction, o smtpguard.Outcome) {
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, r := range tx.Refused() {
				if r.Reply.Code == 550 {
					want.unknown++
				}
			}
			if o.Delivered {
				want.messages++
				want.recipients += len(tx.Recipients())
				want.octets += int(tx.Message().Size())
			}
		},
		Close: func(*smtpguard.Conn) {
			l.mu.Lock()
			defer l.mu.Unlock()
			closed++
		},
	}
	l = serve(t, rates(t, store, limiter.RatesConfig{Rules: []limiter.Rule{
		{Name: "messages", Limits: limits},
		{Name: "recipients", Unit: limiter.Recipients, Limits: limits},
		{Name: "octets", Unit: limiter.Octets, Limits: limits},
		{Name: "unknown", Unit: limiter.Unknown, Limits: limits},
		{Name: "errors", Unit: limiter.Errors, Limits: limits},
		{Name: "connections", Unit: limiter.Connections, Limits: limits},
		{Name: "some", Unit: limiter.Recipients, By: []limiter.By{limiter.ByTo}, Limits: []limiter.Limit{{N: 3, Per: limiter.MaxWindow}}, Keep: true},
	}}), count)
	content := func(text, reply string) string { return "C: DATA\nS: 354\nC: " + text + "\nC: .\nS: " + reply + "\n" }
	anyTo := func(i int) string { return fmt.Sprintf("C: RCPT TO:<user%d@example.org>\nS: 250|450\n", i) }
	const clients, sessions = 8, 10
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for range sessions {
				script := "HELLO\n"
				for range r.IntN(4) {
					script += byA + ok
					for range r.IntN(4) {
						script += []string{toUser + "S: 250|450\n", unknown, anyTo(r.IntN(5)), anyTo(100 + r.IntN(1000))}[r.IntN(4)]
					}
					script += []string{reset, "C: RCPT TO:<last@example.org>\nS: 250|450\n" + reset, content("fine", "250|502"), content("REFUSE", "554|502"), "C: EHLO again.example\nS: 250 **\n"}[r.IntN(5)]
				}
				script += []string{"CLOSE", "C: QUIT\nS: 221", "C: JUNK\nS: 500\nCLOSE"}[r.IntN(3)]
				smtpguardtest.Record(t, l.target(fmt.Sprintf("192.0.2.%d", i)), script)
			}
		})
	}
	wg.Wait()

	eventually(t, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return closed == clients*sessions
	}, "all connections closed")
	l.mu.Lock()
	defer l.mu.Unlock()
	if want.messages == 0 || want.unknown == 0 {
		t.Fatalf("nothing happened: %+v", want)
	}
	for name, n := range map[string]int{
		"messages": want.messages, "recipients": want.recipients, "octets": want.octets, "unknown": want.unknown, "connections": clients * sessions,
	} {
		spent := func() int {
			states, err := store.Take(context.Background(), []limiter.Ask{{Key: "rates/" + name + "/all", Limit: limits[0]}})
			if err != nil {
				t.Fatal(err)
			}
			return much - states[0].Left
		}
		eventually(t, func() bool { return spent() == n }, fmt.Sprintf("%s: %d spent, want %d", name, spent(), n))
	}
}
