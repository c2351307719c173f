package dovecot

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/auth"
)

// Config says where Dovecot is. Socket is required; the zero value of another
// field means its default.
type Config struct {
	Socket  string // path of a unix_listener of Dovecot's service auth, not of its userdb or login
	Service string // that Dovecot believes it judges for, as in its protocol sections; "smtp"

	// Identity says what a user is good for, auth.File.Identity say. With nil, it
	// may send as its own address.
	Identity func(ctx context.Context, login string) (*auth.Identity, error)

	Timeout time.Duration // for a login, connecting included; 10 s, and more than auth_failure_delay
}

// Store is a store in Dovecot. It is safe for concurrent use.
type Store struct {
	cfg  Config
	turn chan *conn // the one connection, nil before the first; whoever has it may replace it
}

var _ auth.Store = (*Store)(nil)

// New makes a store of cfg, and connects to nobody. It reports everything that is
// wrong with cfg, by field.
func New(cfg Config) (*Store, error) {
	var errs []error
	if cfg.Socket == "" {
		errs = append(errs, errors.New("auth: dovecot: Config.Socket is empty"))
	}
	if cfg.Service == "" {
		cfg.Service = "smtp"
	}
	for i := 0; i < len(cfg.Service); i++ {
		if c := cfg.Service[i]; c <= ' ' || c >= 0x7f {
			errs = append(errs, fmt.Errorf("auth: dovecot: Config.Service %q is no name", cfg.Service))
			break
		}
	}
	if cfg.Timeout < 0 {
		errs = append(errs, errors.New("auth: dovecot: Config.Timeout must not be negative"))
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, turn: make(chan *conn, 1)}
	s.turn <- nil
	return s, nil
}

// Close ends the connection, and with it what is under way. Who logs in after
// that makes a new one.
func (s *Store) Close() error {
	c := <-s.turn
	if c != nil {
		c.end(errors.New("the store is closed"))
	}
	s.turn <- nil
	return nil
}

// maxPassword bounds a password in octets, as the hashes of package auth do: a
// longer line would make Dovecot hang up, on everybody.
const maxPassword = 1024

// Verify judges a password: see [auth.Store].
func (s *Store) Verify(ctx context.Context, login, password string) (*auth.Identity, error) {
	if login == "" || password == "" || len(login)+len(password) > maxPassword || strings.Contains(login+password, "\x00") {
		return nil, auth.ErrCredentials // PLAIN cannot say it
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	params := fmt.Sprintf("service=%s\tsecured\tno-penalty\tresp=%s", s.cfg.Service, base64.StdEncoding.EncodeToString([]byte("\x00"+login+"\x00"+password)))
	r, err := s.ask(ctx, params)
	if err != nil {
		return nil, fmt.Errorf("auth: dovecot: %w", err)
	}
	user, err := judge(&r)
	if err != nil {
		return nil, err
	}
	if user == "" {
		user = login
	}
	normal, err := auth.NormalLogin(user)
	if err != nil {
		return nil, fmt.Errorf("auth: dovecot: the user of %s has no normal form", login)
	}
	if s.cfg.Identity != nil {
		id, err := s.cfg.Identity(ctx, normal)
		if err != nil || id == nil || id.Login != "" {
			return id, err
		}
		named := *id
		named.Login = normal
		return &named, nil
	}
	return &auth.Identity{Login: normal}, nil
}

// ask asks over the connection that there is, and once more over a new one where
// it has ended meanwhile.
func (s *Store) ask(ctx context.Context, params string) (reply, error) {
	if err := ctx.Err(); err != nil {
		return reply{}, err
	}
	c, fresh, err := s.conn(ctx)
	if err != nil {
		return reply{}, err
	}
	r, err := c.ask(ctx, auth.Plain, params)
	if err == nil || fresh || ctx.Err() != nil {
		return r, err
	}
	if c, _, err = s.conn(ctx); err != nil {
		return reply{}, err
	}
	return c.ask(ctx, auth.Plain, params)
}

// conn is the connection, made anew where it has ended. One caller makes it; the
// others wait.
func (s *Store) conn(ctx context.Context) (c *conn, fresh bool, err error) {
	select {
	case c = <-s.turn:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	defer func() { s.turn <- c }()
	if c != nil && !c.over() {
		return c, false, nil
	}
	c, err = dial(ctx, s.cfg.Socket)
	return c, true, err
}

// judge says what a reply means, and whose the password is.
func judge(r *reply) (user string, err error) {
	has := func(name string) bool {
		_, has := r.param(name)
		return has
	}
	user, _ = r.param("user")
	code, _ := r.param("code")
	switch r.verb {
	case "OK":
		switch {
		case has("proxy"):
			return "", errors.New("auth: dovecot: another server is to judge the password (proxy)")
		case has("nologin"):
			return "", fmt.Errorf("%w: nologin", auth.ErrCredentials)
		}
		return user, nil
	case "FAIL":
		switch {
		case has("temp"), code == "temp_fail":
			return "", errors.New("auth: dovecot: temporary failure; its log says more")
		case has("user_disabled"), code == "user_disabled":
			return "", fmt.Errorf("%w: disabled", auth.ErrCredentials)
		case has("pass_expired"), code == "pass_expired":
			return "", fmt.Errorf("%w: password expired", auth.ErrCredentials)
		}
		return "", auth.ErrCredentials
	}
	return "", errors.New("auth: dovecot: it asks for more, which PLAIN does not have")
}
