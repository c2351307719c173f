package auth

import (
	"io"
	"slices"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/smtpguard/smtpguard"
)

// Wrap is the middleware: it returns a backend that has AUTH, in front of next.
// AUTH that next has of its own is hidden. It belongs inside a guard,
//
//	guard.Wrap(a.Wrap(next))
//
// so that the guard's checks hear of every attempt. Without a guard around it, it
// refuses to begin a session.
func (a *Auth) Wrap(next smtp.Backend) smtp.Backend { return &backend{a, next} }

type backend struct {
	*Auth
	next smtp.Backend
}

// errUnguarded is for clients of a server that was wired wrongly.
var errUnguarded = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 5}, Message: "Server misconfigured: AUTH without a guard"}

// NewSession begins a session: at the first EHLO, and again after STARTTLS.
func (b *backend) NewSession(c *smtp.Conn) (smtp.Session, error) {
	conn, ok := smtpguard.FromConn(c)
	if !ok {
		return nil, errUnguarded
	}
	identities.Set(conn, nil)
	next, err := b.next.NewSession(c)
	if err != nil || next == nil {
		return nil, err
	}
	return &session{Session: next, a: b.Auth, conn: conn}, nil
}

// Unwrap returns the backend behind.
func (b *backend) Unwrap() smtp.Backend { return b.next }

// session has AUTH, whatever the session behind it has.
type session struct {
	smtp.Session
	a    *Auth
	conn *smtpguard.Conn
}

var (
	_ smtp.AuthSession = (*session)(nil)
	_ smtp.LMTPSession = (*session)(nil)
)

// AuthMechanisms are those that the client may use now, the strongest first.
func (s *session) AuthMechanisms() []string { return s.a.offered(s.conn) }

// Auth begins an exchange.
func (s *session) Auth(mechanism string) (sasl.Server, error) {
	offered := s.a.offered(s.conn)
	if !slices.Contains(offered, mechanism) {
		return nil, smtp.ErrAuthUnknownMechanism
	}
	return s.a.server(s.conn, mechanism, offered), nil
}

// LMTPData hands on to a session that has it, else Data speaks for all.
func (s *session) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	if next, ok := s.Session.(smtp.LMTPSession); ok {
		return next.LMTPData(r, status)
	}
	return s.Session.Data(r)
}

// Unwrap returns the session behind.
func (s *session) Unwrap() smtp.Session { return s.Session }
