package smtpguard

import (
	"context"
	"errors"
	"slices"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// errCancelled is how an exchange ends that the client gave up: "*", a response
// that is not base64, another command, a hang-up. None of these reaches the
// mechanism.
var errCancelled = errors.New("smtpguard: AUTH given up by the client")

// AuthMechanisms is what the backend offers.
func (s *session) AuthMechanisms() []string {
	if as, ok := s.next.(smtp.AuthSession); ok {
		return as.AuthMechanisms()
	}
	return nil
}

// Auth begins an exchange.
func (s *session) Auth(mech string) (sasl.Server, error) {
	as, ok := s.next.(smtp.AuthSession)
	if err := s.enter(); err != nil {
		return nil, err
	}
	if err := s.greeted(); err != nil {
		return nil, err
	}
	if s.outer && s.conn.Transaction() != nil {
		return nil, s.refuse(reply(503, smtp.EnhancedCode{5, 5, 1}, "AUTH not allowed during a mail transaction")) // RFC 4954, section 4
	}
	if !ok || !slices.Contains(as.AuthMechanisms(), mech) {
		return nil, s.refuse(smtp.ErrAuthUnknownMechanism)
	}
	attempt := &AuthAttempt{Mechanism: mech}
	s.conn.owe()
	defer s.leaveAttempt(attempt)
	if s.outer {
		s.conn.setAuth("", false)
	}
	if obj := s.ask(&scene{stage: StageAuth, conn: s.conn, auth: attempt}); obj != nil {
		s.authDone(attempt, obj.reply)
		return nil, s.refuse(obj.reply)
	}
	var server sasl.Server
	err := s.backend("Auth", func() (err error) { server, err = as.Auth(mech); return err }, authFailure)
	if err != nil {
		s.authDone(attempt, err)
		return nil, s.refuse(err)
	}
	return &exchange{session: s, attempt: attempt, next: server}, nil
}

// leaveAttempt leaves a to whoever comes next, unless it is over: to a response,
// or to what ends it. Deferred, also when a hook left by runtime.Goexit.
func (s *session) leaveAttempt(a *AuthAttempt) {
	if a.over {
		return
	}
	s.attempt.Store(a)
	if s.out.Load() { // Logout came first, and saw none
		s.endAttempt()
	}
}

// exchange is a mechanism under watch: the login that the client names is read
// on its way in.
type exchange struct {
	session *session
	attempt *AuthAttempt
	next    sasl.Server
	named   bool // the first response has been read
	asked   bool // the mechanism was
}

// Next hands on to the mechanism what the checks have nothing against.
func (x *exchange) Next(response []byte) (challenge []byte, done bool, err error) {
	s := x.session
	if s.conn.lost() { // half a response proves nothing
		return nil, false, errGone
	}
	if x.asked {
		if err := s.waited(); err != nil {
			return nil, false, err
		}
	}
	if x.asked || response == nil || !oneStepMechanism(x.attempt.Mechanism) {
		s.standAlone() // RFC 4954, section 4
	}
	x.asked = true
	if !s.attempt.CompareAndSwap(x.attempt, nil) {
		return nil, false, reply(503, smtp.EnhancedCode{5, 5, 1}, "No AUTH exchange under way")
	}
	defer s.leaveAttempt(x.attempt)
	if response != nil && !x.named {
		x.named = true
		if login, ok := claimed(x.attempt.Mechanism, response); ok {
			x.attempt.Claimed = login
			if obj := s.ask(&scene{stage: StageAuth, conn: s.conn, auth: x.attempt}); obj != nil {
				return nil, false, x.fail(obj.reply)
			}
		} else if x.attempt.Mechanism == "PLAIN" {
			// Without a login (RFC 4616, section 2, wants one) a backend might take
			// the other identity for it, and no limit would know whose it is.
			return nil, false, x.fail(reply(501, smtp.EnhancedCode{5, 5, 2}, "Malformed PLAIN response"))
		}
	}
	err = s.backend("SASL", func() (err error) { challenge, done, err = x.next.Next(response); return err }, authFailure)
	if err != nil {
		return nil, false, x.fail(err)
	}
	if !done {
		if x.attempt.Mechanism == "LOGIN" && asksLogin(challenge) {
			x.named = false // a mechanism that takes no initial response: what it judges comes now
		}
		return challenge, false, nil
	}
	if s.outer {
		if _, known := s.conn.Login(); !known {
			s.conn.setAuth(x.attempt.Claimed, true)
		}
		if w := s.conn.wire; w != nil {
			w.progress()
		}
	}
	if x.attempt.accepted {
		s.conn.accept(StageAuth)
	}
	s.authDone(x.attempt, nil)
	return challenge, true, nil
}

func (x *exchange) fail(err error) error {
	s := x.session
	if s.outer {
		s.conn.setAuth("", false)
	}
	s.authDone(x.attempt, err)
	return s.refuse(err)
}

// endAttempt ends an exchange that the client left.
func (s *session) endAttempt() {
	if a := s.attempt.Swap(nil); a != nil {
		if s.outer {
			s.conn.setAuth("", false)
		}
		s.authDone(a, errCancelled)
	}
}

// authDone tells how an exchange ended.
func (s *session) authDone(a *AuthAttempt, err error) {
	c, b := s.conn, s.b
	defer c.accounted()
	a.Err, a.over = err, true
	if !accounts(b.guards, func(c *Check) bool { return c.AuthDone != nil }) {
		return
	}
	ev := c.event(KindAuth)
	ev.Stage, ev.Mechanism, ev.Login = StageAuth, a.Mechanism, a.Claimed
	if err != nil {
		ev.Action, ev.Error = Reject, err.Error()
	} else if login, ok := c.Login(); ok {
		ev.Login = login
	}
	c.accounting.do(func() {
		c.each(b.guards, "AuthDone", func(ctx context.Context, check *Check) {
			if check.AuthDone != nil {
				check.AuthDone(ctx, c, a)
			}
		})
		b.guards[0].observe(ev)
	})
}

// setAuth says who is logged in.
func (c *Conn) setAuth(login string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.login, c.authed = login, ok
}
