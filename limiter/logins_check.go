package limiter

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
)

// exchange is what one AUTH exchange was charged.
type exchange struct {
	mu       sync.Mutex
	attempts []*Attempt
	over     bool
}

// Check returns l as a check. Attempts over a limit are refused before anybody
// looks at their proof, all with the same reply: 454 4.7.0, or 421 4.7.0 with a
// hang-up. An exchange that the client gives up counts as failed when it named a
// login. Put the check behind all others that have a word at AUTH: what they
// refuse with 5yz or 4.7.0 counts as failed too.
func (l *Logins) Check() smtpguard.Check {
	return smtpguard.Check{
		Name:     "logins",
		OnError:  l.cfg.OnError,
		Always:   true,
		Auth:     l.auth,
		AuthDone: l.authDone,
	}
}

// namesLogin reports whether a mechanism cannot be carried out without naming a
// login. Attempts of others count as unnamed from the start, for a login may never
// come.
func namesLogin(mechanism string) bool {
	switch mechanism {
	case "PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2":
		return true
	}
	return strings.HasPrefix(mechanism, "SCRAM-")
}

func (l *Logins) auth(ctx context.Context, conn *smtpguard.Conn, a *smtpguard.AuthAttempt) (smtpguard.Verdict, error) {
	x := l.exchanges.Update(conn, func(x *exchange) *exchange {
		if x == nil || a.Claimed == "" || x.ended() {
			x = new(exchange)
		}
		return x
	})
	if a.Claimed == "" && namesLogin(a.Mechanism) || l.cfg.Exempt.fits(conn, nil, nil) {
		return smtpguard.Verdict{}, nil
	}
	attempt, err := l.Begin(ctx, conn.Addr(), a.Claimed)
	if err != nil {
		return smtpguard.Verdict{}, err
	}
	if st, refused := attempt.Refused(); refused {
		for _, earlier := range x.end() { // unnamed as yet, and not to be judged either
			if err := earlier.Abandoned(ctx); err != nil {
				return smtpguard.Verdict{}, err
			}
		}
		return l.refusal(attempt, st), nil
	}
	if !x.add(attempt) { // nobody waits for this hook any more
		ctx, cancel := lasting(ctx)
		defer cancel()
		return smtpguard.Verdict{}, attempt.Abandoned(ctx)
	}
	return smtpguard.Verdict{}, nil
}

// refusal is the same for everybody who is refused.
func (l *Logins) refusal(a *Attempt, st Standing) smtpguard.Verdict {
	v := smtpguard.Verdict{
		Action: smtpguard.Defer,
		Reply:  reply(454, 4, 7, 0, "Too many failed logins, try again later"),
		Reason: "too many failed logins, counted by " + string(st.Counter) + ", room in " + rough(st.Retry),
		Facts:  map[string]string{"counter": string(st.Counter), "client": network(a.who.client), "retry": rough(st.Retry)},
	}
	if l.cfg.Disconnect {
		v.Action = smtpguard.Disconnect
		v.Reply = reply(421, 4, 7, 0, v.Reply.Message)
	}
	return v
}

func (l *Logins) authDone(ctx context.Context, conn *smtpguard.Conn, a *smtpguard.AuthAttempt) {
	x, _ := l.exchanges.Get(conn)
	if x == nil {
		return
	}
	for _, attempt := range x.end() {
		var err error
		var judged *smtp.SMTPError // what the client gave up was not
		switch {
		case a.Err == nil:
			err = attempt.Succeeded(ctx)
		case (a.Claimed != "" || errors.As(a.Err, &judged)) && l.cfg.Failed(a.Err):
			err = attempt.Failed(ctx)
		default:
			err = attempt.Abandoned(ctx)
		}
		if err != nil && l.cfg.Report != nil {
			l.cfg.Report(err)
		}
	}
}

func (x *exchange) ended() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.over
}

func (x *exchange) add(a *Attempt) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return false
	}
	x.attempts = append(x.attempts, a)
	return true
}

func (x *exchange) end() []*Attempt {
	x.mu.Lock()
	defer x.mu.Unlock()
	attempts := x.attempts
	x.attempts, x.over = nil, true
	return attempts
}
