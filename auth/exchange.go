package auth

import (
	"context"
	"errors"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/smtpguard/smtpguard"
)

// exchange is one AUTH exchange, whatever its mechanism.
type exchange struct {
	a         *Auth
	conn      *smtpguard.Conn
	mechanism string
}

// context is for asking a store. It ends with the connection.
func (x *exchange) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(x.conn.Context(), x.a.cfg.Timeout)
}

// password judges a clear-text password, through cache and gate.
func (x *exchange) password(authzid, name, password string) error {
	login, err := NormalLogin(name)
	if err != nil || password == "" {
		return smtp.ErrAuthFailed // whoever may exist: no work to hide it
	}
	id, err := x.a.verify(x, login, password, authzid)
	if err != nil {
		return x.refused(login, err)
	}
	if id, err = x.judge(login, id, authzid); err != nil {
		return err
	}
	return x.accept(id)
}

// verify asks the cache, then the store. Who will be refused although the
// password is right waits as long as others do.
func (a *Auth) verify(x *exchange, login, password, authzid string) (*Identity, error) {
	var version uint64
	if v, ok := a.cfg.Store.(interface{ Version() uint64 }); ok {
		version = v.Version() // before the store is asked: what it says may be older, never newer
	}
	p := a.cache.proof(version, login, password)
	if id, ok := a.cache.get(p, time.Now()); ok && authzid == "" && id.refusal(x.conn, x.mechanism, time.Now()) == "" {
		return id, nil
	}
	ctx, cancel := x.context()
	defer cancel()
	leave, err := a.gate.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	id, err := a.cfg.Store.Verify(ctx, login, password)
	if err != nil {
		return nil, err
	}
	if id != nil {
		a.cache.put(p, id, time.Now())
	}
	return id, nil
}

// judge makes sure that who proved to be id may log in like this, and as authzid
// (RFC 4422, section 3.4.1), and returns it with its login. claimed is the login
// that the client named, "" where it named none.
func (x *exchange) judge(claimed string, id *Identity, authzid string) (*Identity, error) {
	if id == nil {
		return nil, x.refused(claimed, errors.New("auth: the store gave neither an identity nor an error"))
	}
	if id.Login == "" && claimed != "" {
		named := *id
		named.Login = claimed
		id = &named
	}
	login, err := NormalLogin(id.Login)
	if err != nil || login != id.Login {
		return nil, x.refused(claimed, errors.New("auth: the store gave an identity whose login is not in normal form"))
	}
	if authzid != "" {
		if other, err := NormalLogin(authzid); err != nil || other != login {
			return nil, x.refused(login, because("may not act for another"))
		}
	}
	if why := id.refusal(x.conn, x.mechanism, time.Now()); why != "" {
		return nil, x.refused(login, because(why))
	}
	return id, nil
}

// accept tells everybody who has logged in.
func (x *exchange) accept(id *Identity) error {
	identities.Set(x.conn, id)
	x.conn.SetLogin(id.Login)
	return nil
}

// because is a refusal whose reason is for the operator.
func because(why string) error { return &refusal{why} }

type refusal struct{ why string }

func (r *refusal) Error() string { return ErrCredentials.Error() + ": " + r.why }
func (r *refusal) Unwrap() error { return ErrCredentials }

// refused makes the reply of what went wrong: the same for all that is the
// client's fault, and another for what is ours, so that nobody counts that as a
// guess. Why it was, the operator hears.
func (x *exchange) refused(login string, err error) error {
	var known *smtp.SMTPError
	switch {
	case err == ErrCredentials:
		return smtp.ErrAuthFailed
	case errors.Is(err, ErrCredentials):
		x.note(smtpguard.KindNote, login, err.Error())
		return smtp.ErrAuthFailed
	case errors.As(err, &known):
		return known
	}
	x.note(smtpguard.KindWarning, login, "cannot judge a login: "+err.Error())
	return errAway
}

// errAway is the reply for who could not be judged.
var errAway = &smtp.SMTPError{Code: 454, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Temporary failure, try again later"}

// note tells the operator.
func (x *exchange) note(kind smtpguard.Kind, login, reason string) {
	if x.a.cfg.Observe == nil {
		return
	}
	x.a.cfg.Observe(smtpguard.Event{
		Time: time.Now(), Kind: kind, Stage: smtpguard.StageAuth,
		Conn: x.conn.ID(), Listener: x.conn.Listener(), Client: x.conn.Addr(), Hello: x.conn.Hello(),
		Mechanism: x.mechanism, Login: login, Reason: reason,
	})
}
