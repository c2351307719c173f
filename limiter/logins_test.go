package limiter_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/limiter"
)

func logins(t testing.TB, store limiter.Store, cfg limiter.LoginsConfig) *limiter.Logins {
	t.Helper()
	l, err := limiter.NewLogins(store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func auth(login, password, reply string) string {
	return "C: AUTH PLAIN " + plain(login, password) + "\nS: " + reply + "\n"
}

const locked = "454 4.7.0 Too many failed logins, try again later"

func per(n int, d time.Duration) limiter.Limit { return limiter.Limit{N: n, Per: d} }

func TestLogins(t *testing.T) {
	wrong, right := "guess", "secret"
	for _, tt := range []struct {
		name  string
		cfg   limiter.LoginsConfig
		turns []turn
	}{
		{"a pair", limiter.LoginsConfig{Pair: per(2, time.Hour)}, []turn{
			{"192.0.2.1", "HELLO\n" + auth("ann", wrong, "535") + auth("ann", wrong, "535") + auth("ann", right, locked) + auth("bob", right, "235")},
			{"192.0.2.1", "HELLO\n" + auth(" ANN", right, locked)},
			{"198.51.100.1", "HELLO\n" + auth("ann", right, "235")},
		}},
		{"success forgives", limiter.LoginsConfig{Pair: per(2, time.Hour)}, []turn{
			{"192.0.2.1", "HELLO\n" + auth("ann", wrong, "535") + auth("ann", right, "235")},
			{"192.0.2.1", "HELLO\n" + auth("ann", wrong, "535") + auth("ann", wrong, "535") + auth("ann", wrong, "535") + auth("ann", right, "235")}, // it is a home now
		}},
		{"a login, from everywhere but its home", limiter.LoginsConfig{Login: per(3, time.Hour)}, []turn{
			{"192.0.2.1", "HELLO\n" + auth("ann", right, "235")},
			{"198.51.100.1", "HELLO\n" + auth("ann", wrong, "535")},
			{"198.51.100.2", "HELLO\n" + auth("ann", wrong, "535")},
			{"203.0.113.1", "HELLO\n" + auth("ann", wrong, "535")},
			{"203.0.113.2", "HELLO\n" + auth("ann", right, locked)},
			{"192.0.2.1", "HELLO\n" + auth("ann", wrong, "535") + auth("ann", wrong, "535") + auth("ann", wrong, "535") + auth("ann", wrong, "535") + auth("ann", right, "235")},
			{"192.0.2.77", "HELLO\n" + auth("ann", right, "235")}, // an address beside
		}},
		{"a home has its room too", limiter.LoginsConfig{Home: per(2, time.Hour)}, []turn{
			{"192.0.2.1", "HELLO\n" + auth("ann", right, "235")},
			{"192.0.2.1", "HELLO\n" + auth("ann", wrong, "535") + auth("ann", wrong, "535") + auth("ann", right, locked)},
			{"192.0.2.2", "HELLO\n" + auth("ann", right, "235")},
		}},
		{"password stuffing", limiter.LoginsConfig{Client: per(3, time.Hour)}, []turn{
			{"192.0.2.1", "HELLO\n" + auth("home", right, "235")},
			{"192.0.2.1", "HELLO\n" + auth("a", wrong, "535") + auth("a", wrong, "535") + auth("a", wrong, "535") + // one login
				auth("b", wrong, "535") + auth("c", wrong, "535") + auth("d", right, locked) + auth("a", wrong, locked)},
			{"192.0.2.1", "HELLO\n" + auth("home", right, "235")},
			{"192.0.2.2", "HELLO\n" + auth("d", right, "235")},
		}},
		{"success does not forgive stuffing", limiter.LoginsConfig{Client: per(3, time.Hour)}, []turn{
			{"192.0.2.1", "HELLO\n" + auth("a", wrong, "535") + auth("b", wrong, "535")},
			{"192.0.2.1", "HELLO\n" + auth("c", right, "235")},
			{"192.0.2.1", "HELLO\n" + auth("d", wrong, "535") + auth("e", wrong, locked)},
		}},
		{"a network that many share", limiter.LoginsConfig{Client: per(1, time.Hour), Shared: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}}, []turn{
			{"192.0.2.1", "HELLO\n" + auth("a", wrong, "535") + auth("b", wrong, "535") + auth("c", wrong, "535")},
		}},
		{"a network that is exempt", limiter.LoginsConfig{Pair: per(1, time.Hour), Exempt: limiter.Clients{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}}}, []turn{
			{"192.0.2.1", "HELLO\n" + auth("a", wrong, "535") + auth("a", wrong, "535") + auth("a", wrong, "535")},
		}},
		{"given up with a login", limiter.LoginsConfig{Pair: per(2, time.Hour)}, []turn{
			{"192.0.2.1", "HELLO\nC: AUTH LOGIN YW5u\nS: 334\nC: *\nS: 501\n" + "C: AUTH LOGIN YW5u\nS: 334\nCLOSE\n"},
			{"192.0.2.1", "HELLO\n" + auth("ann", right, locked)},
		}},
		{"given up without one", limiter.LoginsConfig{Client: per(1, time.Hour)}, []turn{
			{"192.0.2.1", "HELLO\nC: AUTH LOGIN\nS: 334\nC: *\nS: 501\nC: AUTH LOGIN\nS: 334\nC: *\nS: 501\n" +
				"C: AUTH X-BARE\nS: 334\nC: *\nS: 501\nC: AUTH X-BARE\nS: 334\nC: *\nS: 501\n" + auth("ann", right, "235")},
		}},
		{"a mechanism that names no login", limiter.LoginsConfig{Client: per(2, time.Hour)}, []turn{
			{"192.0.2.1", "HELLO\nC: AUTH X-BARE Z3Vlc3M=\nS: 535\nC: AUTH X-BARE Z3Vlc3M=\nS: 535\nC: AUTH X-BARE Z3Vlc3M=\nS: " + locked + "\n" + auth("ann", right, "235")},
			{"192.0.2.2", "HELLO\nC: AUTH X-BARE c2VjcmV0\nS: 235"},
		}},
		{"an outage is no guess", limiter.LoginsConfig{Pair: per(1, time.Hour)}, []turn{
			{"192.0.2.1", "HELLO\n" + auth("ann", "outage", "454 4.3.0 *") + auth("ann", "outage", "454 4.3.0 *") + auth("ann", wrong, "535") + auth("ann", "outage", locked)},
		}},
		{"hanging up", limiter.LoginsConfig{Pair: per(1, time.Hour), Disconnect: true}, []turn{
			{"192.0.2.1", "HELLO\n" + auth("ann", wrong, "535") + auth("ann", right, "421 4.7.0 Too many failed logins, try again later") + "S: EOF"},
		}},
		{"a login of any length and spelling", limiter.LoginsConfig{Pair: per(1, time.Hour)}, []turn{
			{"192.0.2.1", "HELLO\n" + auth(strings.Repeat("x", 5000), wrong, "535") + auth(strings.Repeat("X", 5000), wrong, locked) + auth("a/b|c=d\x01", wrong, "535")},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := serve(t, logins(t, memory(t), tt.cfg).Check())
			for _, turn := range tt.turns {
				if !strings.HasSuffix(turn.script, "EOF") && !strings.HasSuffix(turn.script, "CLOSE\n") {
					turn.script += "\n" + byA + ok // comes after what AUTH leaves to do
				}
				l.play(t, turn.client, turn.script)
			}
		})
	}
}

func TestLoginsStoreFails(t *testing.T) {
	for onError, script := range map[smtpguard.Failure]string{
		smtpguard.FailDefer: auth("ann", "secret", "454 4.3.0 Temporary failure, try again later"),
		smtpguard.FailOpen:  auth("ann", "guess", "535") + auth("ann", "secret", "235"),
	} {
		serve(t, logins(t, broken{}, limiter.LoginsConfig{OnError: onError}).Check()).play(t, "192.0.2.1", "HELLO\n"+script)
	}
}

// fail is an attempt with a wrong password. It returns the standing that refused
// it, or nothing.
func fail(t testing.TB, l *limiter.Logins, addr, login string) limiter.Standing {
	t.Helper()
	a, err := l.Begin(t.Context(), netip.MustParseAddr(addr), login)
	if err != nil {
		t.Fatal(err)
	}
	st, refused := a.Refused()
	if !refused {
		if err := a.Failed(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

// Lockouts double, up to a bound, and are forgiven in time.
func TestLoginsBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []limiter.Lockout
		l := logins(t, memory(t), limiter.LoginsConfig{
			Pair:    per(3, 3*time.Minute),
			Backoff: limiter.Backoff{First: 10 * time.Minute, Max: time.Hour, Forget: 24 * time.Hour},
			Locked:  func(o limiter.Lockout) { told = append(told, o) },
		})
		const addr = "192.0.2.1"
		lockout := func() time.Duration {
			start := time.Now()
			for {
				st := fail(t, l, addr, "ann")
				if !st.Locked {
					return time.Since(start)
				}
				if st.Counter != limiter.PairFailures {
					t.Fatalf("locked by %s", st.Counter)
				}
				time.Sleep(st.Retry)
			}
		}
		for range 3 {
			if st := fail(t, l, addr, "ann"); st.Locked {
				t.Fatalf("locked before the free failures were used up: %+v", st)
			}
		}
		// A lockout is longer by what it takes to regain an attempt: up to the limit's Per.
		for i, want := range []time.Duration{10, 20, 40, 60, 60, 60} {
			want *= time.Minute
			if got := lockout(); got < want || got > want+3*time.Minute {
				t.Errorf("lockout %d took %v, want %v", i, got, want)
			}
		}
		for i, o := range told {
			if want := min(i+1, 4); o.Strike != want || o.Counter != limiter.PairFailures || o.Login != "ann" || o.Client != netip.MustParsePrefix("192.0.2.1/32") || o.For <= 0 {
				t.Errorf("lockout %d told as %+v", i, o)
			}
		}
		time.Sleep(25 * time.Hour)
		for range 3 {
			if st := fail(t, l, addr, "ann"); st.Locked {
				t.Fatalf("locked although all is forgiven: %+v", st)
			}
		}
		if got := lockout(); got > 13*time.Minute {
			t.Errorf("the first lockout after a day took %v", got)
		}
	})
}

// Attempts side by side find no more room than attempts in a row, and each of
// them ends once.
func TestLoginsReserve(t *testing.T) {
	l := logins(t, memory(t), limiter.LoginsConfig{Pair: per(5, time.Hour), Login: limiter.Limit{N: -1}, Client: limiter.Limit{N: -1}})
	addr, ctx := netip.MustParseAddr("192.0.2.1"), t.Context()
	var open []*limiter.Attempt
	for range 20 {
		a, err := l.Begin(ctx, addr, "ann")
		if err != nil {
			t.Fatal(err)
		}
		if _, refused := a.Refused(); !refused {
			open = append(open, a)
		}
	}
	if len(open) != 5 {
		t.Fatalf("%d attempts at once, want 5", len(open))
	}
	for range 3 {
		if err := open[0].Abandoned(ctx); err != nil {
			t.Fatal(err)
		}
		if err := open[0].Succeeded(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if st := fail(t, l, "192.0.2.1", "ann"); st.Locked {
		t.Errorf("an abandoned attempt was not given back: %+v", st)
	}
	if st := fail(t, l, "192.0.2.1", "ann"); !st.Locked {
		t.Error("an abandoned attempt was given back twice")
	}
}

func TestLoginsOperator(t *testing.T) {
	l := logins(t, memory(t), limiter.LoginsConfig{Pair: per(1, time.Hour), Login: per(2, time.Hour)})
	ctx, addr := t.Context(), netip.MustParseAddr("192.0.2.1")
	look := func(addr netip.Addr, login string) string {
		t.Helper()
		all, home, err := l.Look(ctx, addr, login)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, st := range all {
			fmt.Fprintf(&b, "%s %v %d %d; ", st.Counter, st.Locked, st.Left, st.Strikes)
		}
		return b.String() + fmt.Sprint(home)
	}
	fail(t, l, "192.0.2.1", "ann")
	fail(t, l, "192.0.2.2", "ann")
	for _, tt := range []struct {
		addr  netip.Addr
		login string
		want  string
	}{
		{addr, "ann", "login true 0 1; client false 19 0; unnamed false 20 0; pair true 0 1; home false 20 0; false"},
		{netip.Addr{}, "Ann", "login true 0 1; false"},
		{addr, "", "client false 19 0; unnamed false 20 0; false"},
		{netip.Addr{}, "", "false"},
	} {
		if got := look(tt.addr, tt.login); got != tt.want {
			t.Errorf("%v %q: %s\nwant %s", tt.addr, tt.login, got, tt.want)
		}
	}
	if err := l.Unlock(ctx, netip.Addr{}, "ANN"); err != nil {
		t.Fatal(err)
	}
	if got, want := look(addr, "ann"), "login false 2 0; client false 19 0; unnamed false 20 0; pair true 0 1; home false 20 0; false"; got != want {
		t.Errorf("unlocked: %s\nwant %s", got, want)
	}
	if err := l.Unlock(ctx, addr, "ann"); err != nil {
		t.Fatal(err)
	}
	a, err := l.Begin(ctx, addr, "ann")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Succeeded(ctx); err != nil {
		t.Fatal(err)
	}
	if got, want := look(addr, "ann"), "login false 2 0; client false 20 0; unnamed false 20 0; pair false 1 0; home false 20 0; true"; got != want {
		t.Errorf("at home: %s\nwant %s", got, want)
	}
}

// What is told of lockouts is bounded, and says how many were not.
func TestLoginsLockedRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []limiter.Lockout
		l := logins(t, memory(t), limiter.LoginsConfig{
			Pair: per(1, time.Hour), Login: limiter.Limit{N: -1}, Client: limiter.Limit{N: -1},
			Locked: func(o limiter.Lockout) { told = append(told, o) }, LockedRate: per(3, time.Minute),
		})
		for i := range 10 {
			fail(t, l, fmt.Sprintf("192.0.2.%d", i), "ann")
		}
		time.Sleep(time.Minute)
		fail(t, l, "198.51.100.1", "ann")
		if len(told) != 4 || told[3].Missed != 7 {
			t.Errorf("told of %d lockouts, %+v", len(told), told)
		}
	})
}

// TestBruteForce has 100 networks guess one password for 15 hours, some thousand
// times, one after the other and side by side, while the owner logs in from her
// own address throughout.
func TestBruteForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const networks, rounds = 100, 30 // one each half hour
		lk := logins(t, memory(t), limiter.LoginsConfig{})
		l := bubble(t, lk.Check())
		const owner = "192.0.2.7"
		l.play(t, owner, "HELLO\n"+auth("ann", "secret", "235")+"C: QUIT\nS: 221\nS: EOF")
		before := l.proofs.Load()
		for round := range rounds {
			var side sync.WaitGroup
			for i := range networks {
				guess := func() {
					l.play(t, fmt.Sprintf("198.18.%d.1", i), "HELLO\n"+auth("ann", "guess", "535|454")+"CLOSE")
				}
				if round%2 == 0 {
					side.Go(guess)
				} else {
					guess()
				}
			}
			side.Wait()
			// The right guess is not told from a wrong one: nobody judges it.
			l.play(t, "198.18.200.1", "HELLO\n"+auth("ann", "secret", locked)+"CLOSE")
			// She mistypes now and then.
			l.play(t, owner, "HELLO\n"+auth("ann", "typo", "535")+auth("Ann", "secret", "235")+"C: QUIT\nS: 221\nS: EOF")
			time.Sleep(30 * time.Minute)
		}
		// 50 are free, and with the lockout at its longest one an hour is.
		judged := l.proofs.Load() - before - 2*rounds
		t.Logf("%d guesses, %d judged", networks*rounds, judged)
		if judged < 50 || judged > 50+rounds {
			t.Errorf("%d guesses of %d were judged, want from 50 to %d", judged, networks*rounds, 50+rounds)
		}
		all, home, err := lk.Look(context.Background(), netip.MustParseAddr(owner), "ann")
		if err != nil || !home || !all[0].Locked {
			t.Errorf("at the end: home %v, %+v, %v", home, all, err)
		}
	})
}

func TestLoginsConfig(t *testing.T) {
	for _, tt := range []struct {
		cfg  limiter.LoginsConfig
		want string
	}{
		{limiter.LoginsConfig{}, ""},
		{limiter.LoginsConfig{Pair: limiter.Limit{N: 1}}, "limiter: LoginsConfig.Pair: a Per that is not positive"},
		{limiter.LoginsConfig{Login: limiter.Limit{N: 1, Per: time.Hour, Burst: -1}}, "limiter: LoginsConfig.Login: negative Burst"},
		{limiter.LoginsConfig{Bits: limiter.Bits{V4: -1}}, "limiter: LoginsConfig.Bits.V4: must be between 0 and 32"},
		{limiter.LoginsConfig{HomeBits: limiter.Bits{V6: 200}}, "limiter: LoginsConfig.HomeBits.V6: must be between 0 and 128"},
		{limiter.LoginsConfig{HomeFor: 1000 * 24 * time.Hour}, "limiter: LoginsConfig.HomeFor: must be between 0 and MaxWindow"},
		{limiter.LoginsConfig{Backoff: limiter.Backoff{First: 2 * time.Hour}}, "limiter: LoginsConfig.Backoff.Max: must not be less than First"},
		{limiter.LoginsConfig{Exempt: limiter.Clients{Logins: []string{"ann"}}}, "limiter: LoginsConfig.Exempt.Logins: fit nobody, for before AUTH there is no login"},
		{limiter.LoginsConfig{Shared: make([]netip.Prefix, 1)}, "limiter: LoginsConfig.Shared: the one at 0 is no network"},
		{limiter.LoginsConfig{OnError: -1}, "limiter: LoginsConfig.OnError: -1 is no Failure"},
	} {
		_, err := limiter.NewLogins(memory(t), tt.cfg)
		wants(t, err, tt.want)
	}
	_, err := limiter.NewLogins(nil, limiter.LoginsConfig{})
	wants(t, err, "limiter: NewLogins: store is nil")
}
