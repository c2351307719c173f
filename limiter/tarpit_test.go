package limiter_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/limiter"
)

func tarpit(t testing.TB, cfg limiter.TarpitConfig) *limiter.Tarpit {
	t.Helper()
	p, err := limiter.NewTarpit(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// slow is a soft limit of one message in 8 seconds.
func slow(t testing.TB, p *limiter.Tarpit) smtpguard.Check {
	return rates(t, memory(t), limiter.RatesConfig{Tarpit: p, Rules: []limiter.Rule{
		{Name: "pace", By: []limiter.By{limiter.ByClient}, Limits: []limiter.Limit{{N: 1, Per: 8 * time.Second}}, Effect: limiter.Slow, Keep: true},
	}})
}

// took is how long f does.
func took(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

func TestTarpit(t *testing.T) {
	const next = reset + byA + ok
	for _, tt := range []struct {
		name   string
		cfg    limiter.TarpitConfig
		script string
		want   time.Duration
	}{
		{"within the limit", limiter.TarpitConfig{}, begun, 0},
		{"until there would be room", limiter.TarpitConfig{}, begun + next, 8 * time.Second},
		{"at most so long a reply", limiter.TarpitConfig{MaxDelay: 3 * time.Second}, begun + next + next, 6 * time.Second},
		{"at most so long a connection", limiter.TarpitConfig{MaxDelay: time.Second, MaxTotal: 5 * time.Second}, begun + strings.Repeat(next, 7), 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := tarpit(t, tt.cfg)
				l := bubble(t, slow(t, p))
				if got := took(func() { l.play(t, "192.0.2.1", tt.script) }); got != tt.want {
					t.Errorf("took %v, want %v", got, tt.want)
				}
				if p.Held() != 0 {
					t.Errorf("%d held", p.Held())
				}
			})
		})
	}
}

func TestTarpitBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := tarpit(t, limiter.TarpitConfig{MaxDelay: time.Hour, MaxTotal: 2 * time.Hour, MaxConns: 2})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
		defer cancel()
		conn := new(smtpguard.Conn)
		if got := p.Delay(ctx, conn, time.Hour); got != 15*time.Minute {
			t.Errorf("waited %v, want half the time that was left", got)
		}

		// It ends with its context.
		gone, end := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, end)
		if got := p.Delay(gone, new(smtpguard.Conn), time.Hour); got != time.Minute {
			t.Errorf("waited %v after the connection had gone", got)
		}

		// When as many are held as may be, no more are.
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { p.Delay(t.Context(), new(smtpguard.Conn), time.Minute) })
		}
		synctest.Wait()
		if got := p.Delay(t.Context(), new(smtpguard.Conn), time.Minute); got != 0 || p.Held() != 2 {
			t.Errorf("waited %v as one of %d", got, p.Held())
		}
		wg.Wait()
	})
}

// The process has better things to do under load.
func TestTarpitUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := overload(t, limiter.OverloadConfig{Conns: limiter.Marks{Busy: 2, Full: 10}, Friends: everybody})
		p := tarpit(t, limiter.TarpitConfig{Overload: o})
		l := bubble(t, o.Check(), slow(t, p))
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { l.play(t, "192.0.2.1", begun+reset+byA+ok) })
		time.Sleep(3 * time.Second)
		if p.Held() != 1 {
			t.Fatalf("%d held", p.Held())
		}
		l.play(t, "192.0.2.2", begun+reset+byA+ok) // brings the load, and is not held
		wg.Wait()
		if got := time.Since(start); got != 3*time.Second {
			t.Errorf("held for %v, want 3s", got)
		}
	})
}

func TestTarpitConfig(t *testing.T) {
	for _, tt := range []struct {
		cfg  limiter.TarpitConfig
		want string
	}{
		{limiter.TarpitConfig{}, ""},
		{limiter.TarpitConfig{MaxDelay: -1}, "limiter: TarpitConfig.MaxDelay: must not be negative"},
		{limiter.TarpitConfig{MaxTotal: -1}, "limiter: TarpitConfig.MaxTotal: must not be negative"},
		{limiter.TarpitConfig{MaxConns: -1}, "limiter: TarpitConfig.MaxConns: must not be negative"},
	} {
		_, err := limiter.NewTarpit(tt.cfg)
		wants(t, err, tt.want)
	}
}
