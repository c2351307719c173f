package redisstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/smtpguard/smtpguard/limiter"
)

// model decides as the script does, by limiter.Ask.Spend, at a time of the
// test's own.
type model map[string]int64 // the tat of each state key

func (m model) decide(s *Store, now time.Time, asks []limiter.Ask) (replies []int64) {
	states := make([]limiter.State, len(asks))
	spend := func(i int) {
		key := s.stateKey(asks[i].Key, asks[i].Limit)
		m[key], states[i] = asks[i].Spend(now.UnixNano(), m[key])
	}
	before := make(map[string]int64)
	refused := false
	for i, a := range asks {
		key := s.stateKey(a.Key, a.Limit)
		if _, ok := before[key]; !ok {
			before[key] = m[key]
		}
		spend(i)
		refused = refused || !states[i].OK && !a.Force
	}
	if refused {
		for key, tat := range before {
			m[key] = tat
		}
		for i, a := range asks {
			if a.Force {
				spend(i)
				continue
			}
			ok := states[i].OK
			a.N = 0 // which forgives what is deeper than Debt
			key := s.stateKey(a.Key, a.Limit)
			m[key], states[i] = a.Spend(now.UnixNano(), m[key])
			states[i].OK = ok
		}
	}
	for _, st := range states {
		reply := int64(st.Full) / microsecond * 2
		if st.OK {
			reply++
		}
		replies = append(replies, reply)
	}
	return replies
}

// The script, with a clock that the test sets, decides what limiter.Ask.Spend
// does: many asks in a decision, and many decisions in a run. Units cost whole
// minutes, so that rounding has no part in it and no key expires meanwhile.
func TestScript(t *testing.T) {
	srv := start(t)
	s := srv.store(Config{})
	client := srv.client()
	text := strings.Replace(script, "call('TIME')", "{table.remove(ARGV, 1), 0}", 1)
	if text == script {
		t.Fatal("the script does not ask for the time")
	}
	limits := []limiter.Limit{
		{N: 6, Per: time.Hour}, {N: 6, Per: time.Hour, Burst: 2}, {N: 1, Per: time.Hour, Burst: 5}, {N: 24, Per: 24 * time.Hour, Burst: 1}, {N: 60, Per: time.Hour, Burst: 7},
	}
	debts := []time.Duration{0, 0, 10 * time.Minute, 3 * time.Hour}
	r := rand.New(rand.NewPCG(1, 2))
	m := make(model)
	now := time.Now().Truncate(time.Second)
	for round := range 300 {
		now = now.Add(time.Duration(r.IntN(12)) * time.Minute)
		var calls []*call
		var want []int64
		var said []string
		for range 1 + r.IntN(3) {
			asks := make([]limiter.Ask, 1+r.IntN(5)/2)
			wires := make([]wire, len(asks))
			for i := range asks {
				asks[i] = limiter.Ask{
					Key: fmt.Sprint("key", r.IntN(3)), Limit: limits[r.IntN(len(limits))], N: r.IntN(6) - 2,
					Force: r.IntN(4) == 0, Debt: debts[r.IntN(len(debts))],
				}
				wires[i] = s.encode(&asks[i])
				said = append(said, fmt.Sprintf("%+v", asks[i]))
			}
			calls = append(calls, newCall(wires))
			want = append(want, m.decide(s, now, asks)...)
		}
		args := newCommand(context.Background(), "eval", text, calls).Args()
		args = slices.Insert(args, 3+args[2].(int), any(now.Unix()))
		cmd := redis.NewIntSliceCmd(context.Background(), args...)
		if err := client.Process(context.Background(), cmd); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(cmd.Val(), want) {
			t.Fatalf("round %d: got %v, want %v of\n%s", round, cmd.Val(), want, strings.Join(said, "\n"))
		}
	}
}

// What another script would answer decides nothing.
func TestStrangeReplies(t *testing.T) {
	srv := start(t)
	for _, text := range []string{
		"return {}", "return {1}", "return {1, 1, 1}", "return {-1, 1}", "return {1, 2^62}", "return {1, 1e300}", "return {1, 0/0 - 2^60}",
		"return 'x'", "return 7", "return false", "return redis.status_reply('OK')", "return redis.error_reply('NO')", "error('x')",
	} {
		var ev events
		s := srv.store(Config{Timeout: slow, Failures: 1, Away: Local, Machines: 5, Observe: ev.observe})
		s.script = srv.do("script", "load", text).(string)
		for range 2 {
			states, err := s.Take(context.Background(), []limiter.Ask{{Key: text, Limit: hourly(10), N: 1}, {Key: text + "x", Limit: hourly(10)}})
			if err != nil || len(states) != 2 || states[0].Left >= 2 || states[1].Left != 2 {
				t.Errorf("%s: got %+v, %v", text, states, err)
			}
		}
		if n := ev.count(KindAway); n != 1 {
			t.Errorf("%s: %d events of away", text, n)
		}
	}
}
