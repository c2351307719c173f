package limiter_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smtpguard/smtpguard/limiter"
)

func overload(t testing.TB, cfg limiter.OverloadConfig) *limiter.Overload {
	t.Helper()
	o, err := limiter.NewOverload(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

var everybody = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}

const tooBusy = "S: 421 4.3.2 Too busy, try again later\nS: EOF"

// changes collects what Changed is told.
type changes struct {
	mu  sync.Mutex
	all []string
}

func (c *changes) add(ch limiter.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, fmt.Sprintf("%v to %v at %d", ch.From, ch.To, ch.Conns))
}

func (c *changes) list() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.all)
}

// Newcomers are turned away the more the fuller it is, those that sent mail
// before come in, and levels are left below their marks only.
func TestOverloadConns(t *testing.T) {
	var told changes
	o := overload(t, limiter.OverloadConfig{Conns: limiter.Marks{Busy: 4, Full: 8}, Recover: 0.5, Changed: told.add})
	l := serve(t, o.Check())
	l.play(t, "192.0.2.1", "HELLO"+sends("good", "250")+"C: QUIT\nS: 221\nS: EOF")
	l.play(t, "203.0.113.1", "HELLO"+sends("REFUSE", "554")+"C: QUIT\nS: 221\nS: EOF")
	in, out := 0, 0
	for i := range 20 {
		if reply := greeting(t, l, fmt.Sprintf("198.51.100.%d", i)); reply == "220" {
			in++
		} else {
			out++
		}
	}
	if o.Level() != limiter.Full || in != 8 || out != 12 {
		t.Errorf("%v after %d let in and %d refused, want full after 8 and 12", o.Level(), in, out)
	}
	l.play(t, "203.0.113.1", tooBusy) // what it sent was refused
	l.play(t, "192.0.2.1", "S: 220\nC: QUIT\nS: 221\nS: EOF")
	l.play(t, "192.0.2.1", "S: 220\nC: QUIT\nS: 221\nS: EOF")
	want := []string{"calm to busy at 4", "busy to full at 8"}
	if got := told.list(); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// greeting is the code of the first reply to a client that stays.
func greeting(t *testing.T, l *lab, client string) string {
	t.Helper()
	before := len(l.verdicts("overload"))
	l.play(t, client, "S: 220|421")
	if len(l.verdicts("overload")) > before {
		return "421"
	}
	return "220"
}

// Clients have less time while there is too much to do, those that are there
// already too, and all of it again afterwards.
func TestOverloadPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told changes
		o := overload(t, limiter.OverloadConfig{
			Conns: limiter.Marks{Busy: 3, Full: 100}, Recover: 0.67, Friends: everybody, BusyPatience: 20 * time.Second, Changed: told.add,
		})
		l := bubble(t, o.Check())
		var clients sync.WaitGroup
		stays := func(client string) {
			clients.Go(func() { l.play(t, client, "HELLO\nS: 421 4.4.2 *\nS: EOF") })
			synctest.Wait()
		}
		stays("192.0.2.1")
		time.Sleep(time.Minute) // is patient as yet
		stays("192.0.2.2")
		stays("192.0.2.3")
		if o.Level() != limiter.Busy {
			t.Fatalf("%v with three", o.Level())
		}
		if got := took(clients.Wait).Round(time.Second); got != 20*time.Second {
			t.Errorf("hung up on after %v, want 20s", got)
		}
		if want := []string{"calm to busy at 3", "busy to calm at 2"}; !slices.Equal(told.list(), want) {
			t.Errorf("told %q, want %q", told.list(), want)
		}
		stays("192.0.2.4")
		if got := took(clients.Wait).Round(time.Second); got != 5*time.Minute {
			t.Errorf("hung up on after %v, want the server's own 5m", got)
		}
	})
}

// The level falls although nobody comes or goes.
func TestOverloadRecovers(t *testing.T) {
	var told changes
	here := int64(runtime.NumGoroutine())
	o := overload(t, limiter.OverloadConfig{
		Goroutines: limiter.Marks{Busy: here + 300, Full: here + 500}, Every: 10 * time.Millisecond, Changed: told.add,
	})
	l := serve(t, o.Check())
	l.play(t, "192.0.2.1", "HELLO")
	stop := make(chan struct{})
	for range 600 {
		go func() { <-stop }()
	}
	time.Sleep(20 * time.Millisecond)
	l.play(t, "192.0.2.2", tooBusy)
	if o.Level() != limiter.Full {
		t.Errorf("%v with 600 goroutines", o.Level())
	}
	close(stop)
	eventually(t, func() bool { return o.Level() == limiter.Calm }, "calm")
	l.play(t, "192.0.2.2", "HELLO")
	if got := told.list(); len(got) < 2 || got[0] != "calm to full at 1" {
		t.Errorf("told %q", got)
	}
}

func TestOverloadRace(t *testing.T) {
	o := overload(t, limiter.OverloadConfig{Conns: limiter.Marks{Busy: 3, Full: 6}, Every: time.Millisecond, Changed: func(limiter.Change) { panic("operator") }})
	l := serve(t, o.Check())
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for range 5 {
				l.play(t, fmt.Sprintf("192.0.2.%d", i), "S: 220|421\nCLOSE")
			}
		})
	}
	wg.Wait()
	eventually(t, func() bool { return o.Level() == limiter.Calm }, "calm")
}

func TestOverloadConfig(t *testing.T) {
	for _, tt := range []struct {
		cfg  limiter.OverloadConfig
		want string
	}{
		{limiter.OverloadConfig{}, ""},
		{limiter.OverloadConfig{Conns: limiter.Marks{Busy: -1, Full: -1}}, ""},
		{limiter.OverloadConfig{Conns: limiter.Marks{Busy: 10}}, "limiter: OverloadConfig.Conns: Busy must be positive and Full not less than it, or both negative"},
		{limiter.OverloadConfig{Memory: limiter.Marks{Full: 10}}, "limiter: OverloadConfig.Memory: Busy must be positive and Full not less than it, or both negative"},
		{limiter.OverloadConfig{Recover: 1.5}, "limiter: OverloadConfig.Recover: must be more than 0 and not more than 1"},
		{limiter.OverloadConfig{Every: -1}, "limiter: OverloadConfig.Every: must not be negative"},
		{limiter.OverloadConfig{FullPatience: time.Hour}, "limiter: OverloadConfig.FullPatience: must not be more than BusyPatience"},
		{limiter.OverloadConfig{MaxGood: -1}, "limiter: OverloadConfig.MaxGood: must not be negative"},
		{limiter.OverloadConfig{Bits: limiter.Bits{V4: 99}}, "limiter: OverloadConfig.Bits.V4: must be between 0 and 32"},
		{limiter.OverloadConfig{Friends: make([]netip.Prefix, 1)}, "limiter: OverloadConfig.Friends: the one at 0 is no network"},
	} {
		_, err := limiter.NewOverload(tt.cfg)
		wants(t, err, tt.want)
	}
}
