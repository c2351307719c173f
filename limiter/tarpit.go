package limiter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/smtpguard/smtpguard"
)

// TarpitConfig bounds how long replies are held back. The zero value of a field
// means its default.
type TarpitConfig struct {
	MaxDelay time.Duration // of one reply; 10 s. Half the time that the hook has left is a bound too
	MaxTotal time.Duration // of one connection; 2 min
	MaxConns int           // held back at one time; 100. Beyond it there is no delay

	// Overload, if not nil, is asked first: while it is not Calm nobody is held
	// back, and those who are are let go. A held reply costs a goroutine and a
	// connection.
	Overload *Overload
}

// Tarpit holds back replies to clients over a soft limit. It is safe for
// concurrent use.
type Tarpit struct {
	cfg  TarpitConfig
	used smtpguard.Key[time.Duration] // of MaxTotal, on the connection

	mu   sync.Mutex
	held int
}

// NewTarpit compiles cfg. It reports everything that is wrong with it, by field.
func NewTarpit(cfg TarpitConfig) (*Tarpit, error) {
	var errs []error
	def := func(field string, v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
		if *v < 0 {
			errs = append(errs, fmt.Errorf("limiter: TarpitConfig.%s: must not be negative", field))
		}
	}
	def("MaxDelay", &cfg.MaxDelay, 10*time.Second)
	def("MaxTotal", &cfg.MaxTotal, 2*time.Minute)
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 100
	}
	if cfg.MaxConns < 0 {
		errs = append(errs, errors.New("limiter: TarpitConfig.MaxConns: must not be negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Tarpit{cfg: cfg}, nil
}

// Delay waits for d, or for as much of it as the bounds allow, and returns how
// long it waited. It ends with ctx.
func (t *Tarpit) Delay(ctx context.Context, conn *smtpguard.Conn, d time.Duration) time.Duration {
	d = min(d, t.cfg.MaxDelay)
	if end, ok := ctx.Deadline(); ok { // what comes after in the same stage needs time too
		d = min(d, time.Until(end)/2)
	}
	if d <= 0 || !t.enter() {
		return 0
	}
	defer t.leave()
	t.used.Update(conn, func(used time.Duration) time.Duration {
		d = min(d, t.cfg.MaxTotal-used)
		return used + d
	})
	var pressed <-chan struct{} // nil is never
	if o := t.cfg.Overload; o != nil {
		pressed = o.pressed()
	}
	start := time.Now()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-pressed:
	default:
		select {
		case <-timer.C:
		case <-pressed:
		case <-ctx.Done():
		}
	}
	return time.Since(start)
}

// Held is how many replies are being held back.
func (t *Tarpit) Held() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.held
}

func (t *Tarpit) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held >= t.cfg.MaxConns {
		return false
	}
	t.held++
	return true
}

func (t *Tarpit) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held--
}
