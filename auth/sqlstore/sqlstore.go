package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/smtpguard/smtpguard/auth"
)

// DB asks a database. It is an [sql.DB], which bounds its connections
// (SetMaxOpenConns), or what wraps one.
type DB interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

var _ DB = (*sql.DB)(nil)

// Config says which query finds an account. DB and Query are required; the zero
// value of another field means its default.
type Config struct {
	DB DB

	// Query returns the rows of one login, 64 at most. Its parameters are what Args
	// returns; with nil, the login in normal form alone.
	Query string
	Args  func(login string) []any

	Timeout time.Duration // for the query; 5 s

	// Hashes are one of each kind and cost that the table has, whatever the
	// password: what a login takes that nobody has. With nil, that is one
	// derivation of argon2id until the first accounts are seen, and what these need
	// from then on.
	Hashes []auth.Hash

	// Scram says what the SCRAM keys in the table are like, for auth.ScramSHA256
	// and auth.ScramSHA1: SCRAM is offered where Every is true, which only the
	// operator can know. Keys need not be described to be used for PLAIN.
	Scram map[string]auth.ScramTerms
}

// Store is a store in a database. It is safe for concurrent use.
type Store struct {
	cfg     Config
	checker auth.Checker
}

var _ auth.ScramStore = (*Store)(nil)

// New makes a store of cfg, and asks the database nothing. It reports everything
// that is wrong with cfg, by field.
func New(cfg Config) (*Store, error) {
	var errs []error
	bad := func(field, why string) {
		errs = append(errs, fmt.Errorf("auth: sqlstore: Config.%s: %s", field, why))
	}
	if cfg.DB == nil {
		bad("DB", "is nil")
	}
	if cfg.Query == "" {
		bad("Query", "is empty")
	}
	if cfg.Timeout < 0 {
		bad("Timeout", "must not be negative")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Args == nil {
		cfg.Args = func(login string) []any { return []any{login} }
	}
	cfg.Scram = maps.Clone(cfg.Scram)
	for mechanism, terms := range cfg.Scram {
		switch {
		case mechanism != auth.ScramSHA256 && mechanism != auth.ScramSHA1:
			bad("Scram", fmt.Sprintf("%q is neither %s nor %s", mechanism, auth.ScramSHA256, auth.ScramSHA1))
		case terms.Iterations < 0 || terms.SaltOctets < 0:
			bad("Scram", "Iterations and SaltOctets must not be negative")
		}
	}
	s := &Store{cfg: cfg}
	for i, h := range cfg.Hashes {
		if h.Kind() == "" {
			bad(fmt.Sprintf("Hashes[%d]", i), "is no hash")
			continue
		}
		if err := s.checker.Know(&auth.Account{Passwords: []auth.Password{{Forms: []auth.Hash{h}}}}); err != nil {
			bad(fmt.Sprintf("Hashes[%d]", i), err.Error())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// Derivations counts the keys derived so far to check passwords.
func (s *Store) Derivations() int64 { return s.checker.Derivations() }

// Verify judges a password: see [auth.Store].
func (s *Store) Verify(ctx context.Context, login, password string) (*auth.Identity, error) {
	if login == "" || password == "" {
		return nil, auth.ErrCredentials
	}
	a, err := s.account(ctx, login)
	if err != nil {
		return nil, err
	}
	if a != nil {
		if err := s.checker.Know(a); err != nil {
			return nil, fmt.Errorf("auth: sqlstore: %s: %w", login, err)
		}
	}
	return s.checker.Check(ctx, a, password)
}

// Scram returns SCRAM keys: see [auth.ScramStore].
func (s *Store) Scram(ctx context.Context, login, mechanism string) ([]auth.ScramKey, error) {
	a, err := s.account(ctx, login)
	if a == nil || err != nil {
		return nil, err
	}
	return a.Scram(mechanism), nil
}

// ScramTerms are those of Config.Scram.
func (s *Store) ScramTerms(mechanism string) auth.ScramTerms { return s.cfg.Scram[mechanism] }

// Identity returns the account of a login that was proven by something else than
// a password: a certificate, a token, a directory. Its error is
// [auth.ErrCredentials] when there is none, or wraps it when it is disabled.
func (s *Store) Identity(ctx context.Context, login string) (*auth.Identity, error) {
	login, err := auth.NormalLogin(login)
	if err != nil {
		return nil, auth.ErrCredentials
	}
	switch a, err := s.account(ctx, login); {
	case err != nil:
		return nil, err
	case a == nil:
		return nil, auth.ErrCredentials
	case a.Disabled:
		return nil, fmt.Errorf("%w: disabled", auth.ErrCredentials)
	default:
		return a.Identity, nil
	}
}

// account finds the account of login, nil for none.
func (s *Store) account(ctx context.Context, login string) (*auth.Account, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	rows, err := s.cfg.DB.QueryContext(ctx, s.cfg.Query, s.cfg.Args(login)...)
	if err != nil {
		return nil, fmt.Errorf("auth: sqlstore: %w", err)
	}
	defer rows.Close()
	all, err := read(rows, login)
	if err != nil {
		return nil, fmt.Errorf("auth: sqlstore: %w", err)
	}
	if len(all) == 0 {
		return nil, nil
	}
	return auth.NewAccount(login, all...)
}
