package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/emersion/go-smtp"
)

// Gate bounds what strangers can make us work by guessing passwords. The zero
// value of a field means its default.
type Gate struct {
	Slots int           // passwords being judged at once; runtime.GOMAXPROCS
	Wait  time.Duration // for a slot, past which the client is deferred (454 4.3.2); 5 s, negative: not at all

	// Share is the part of its time that a slot may be in use, up to 1: after
	// each password it rests accordingly. The default of 0.3 leaves well over half
	// of the processors to mail. Where others do the work (LDAP, say), 1 is right,
	// and more Slots.
	Share float64
}

func (g Gate) filled() Gate {
	if g.Slots == 0 {
		g.Slots = runtime.GOMAXPROCS(0)
	}
	if g.Wait == 0 {
		g.Wait = 5 * time.Second
	}
	if g.Share == 0 {
		g.Share = 0.3
	}
	return g
}

func (g Gate) validate(bad func(field, why string)) {
	if g.Slots < 0 {
		bad("Gate.Slots", "must not be negative")
	}
	if g.Share < 0 || g.Share > 1 {
		bad("Gate.Share", fmt.Sprintf("is %v: must be from 0 to 1", g.Share))
	}
}

// gate is a Gate at work. Those who wait are let in one after another.
type gate struct {
	Gate
	slots chan struct{}
}

func newGate(g Gate) *gate {
	g = g.filled()
	return &gate{Gate: g, slots: make(chan struct{}, g.Slots)}
}

// errBusy is the reply for who has waited long enough.
var errBusy = &smtp.SMTPError{Code: 454, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "Too many logins at once, try again later"}

// enter waits for a slot. Whoever got one has to leave it.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	select {
	case g.slots <- struct{}{}:
	default:
		if g.Wait < 0 {
			return nil, errBusy
		}
		wait, cancel := context.WithTimeoutCause(ctx, g.Wait, errBusy)
		defer cancel()
		select {
		case g.slots <- struct{}{}:
		case <-wait.Done():
			if err := context.Cause(wait); !errors.Is(err, errBusy) {
				return nil, err
			}
			return nil, errBusy
		}
	}
	start := time.Now()
	return func() {
		rest := time.Duration(float64(time.Since(start)) * (1/g.Share - 1))
		if rest <= 0 {
			<-g.slots
			return
		}
		time.AfterFunc(rest, func() { <-g.slots })
	}, nil
}
