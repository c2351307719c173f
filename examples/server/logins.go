package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/emersion/go-smtp"
	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/tlsconf"
)

// firstLogin is made where there is nobody.
const firstLogin = "demo"

// openPasswords opens the password file that cfg names, or else the one in dir.
// That is made where there is none, with one login, whose password out is told,
// once.
func openPasswords(cfg *Config, dir string, out io.Writer, log *slog.Logger) (*auth.File, error) {
	path := cfg.Auth.Passwords
	if path == "" {
		path = filepath.Join(dir, "passwords")
		if b, err := os.ReadFile(path); errors.Is(err, fs.ErrNotExist) || err == nil && len(b) == 0 {
			password := rand.Text()
			if err := writePasswords(path, firstLogin, password); err != nil {
				return nil, err
			}
			fmt.Fprintf(out, "login %s: password %s (printed this once; its hash is in %s)\n", firstLogin, password, path)
		} else if err != nil {
			return nil, err
		}
	}
	var opened atomic.Pointer[auth.File]
	file, err := auth.OpenFile(auth.FileConfig{Path: path, Report: func(err error) {
		if err != nil {
			log.Error("password file not taken over: the old one stays in force", "error", err.Error())
			return
		}
		log.Info("password file taken over")
		if file := opened.Load(); file != nil {
			tellScram(file, log)
		}
	}})
	if err == nil {
		opened.Store(file)
		fmt.Fprintln(out, "passwords:", path)
		tellScram(file, log)
	}
	return file, err
}

// tellScram says for whose sake nobody is offered SCRAM.
func tellScram(file *auth.File, log *slog.Logger) {
	if login := file.ScramTerms(auth.ScramSHA256).Lacking; login != "" {
		log.Warn("SCRAM-SHA-256 is not offered: not every password has keys for it", "login", login)
	}
}

// writePasswords makes a password file of one login, with a hash for a password
// that the client sends, and keys for one that it does not.
func writePasswords(path, login, password string) error {
	var b strings.Builder
	for _, kind := range []auth.Kind{auth.Argon2id, auth.ScramKeysSHA256} {
		hash, err := auth.NewHash(kind, password)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s:%s\n", login, hash)
	}
	return writeFile(path, []byte(b.String()), 0o600)
}

// secret returns 32 random octets kept in dir.
func secret(dir string) ([]byte, error) {
	path := filepath.Join(dir, "secret")
	b, err := os.ReadFile(path)
	if err == nil && len(b) < 32 || errors.Is(err, fs.ErrNotExist) {
		b = make([]byte, 32)
		rand.Read(b)
		err = writeFile(path, b, 0o600)
	}
	return b, err
}

// logins is who may log in, and how it is found out.
type logins struct {
	file         *auth.File
	certificates *tlsconf.Identities
	auth         *auth.Auth // nil without a listener for submission
}

// newLogins builds what cfg says of logins on a password file; tc is what
// listeners for submission do TLS with.
func newLogins(cfg *Config, file *auth.File, secret []byte, tc *tls.Config, log *slog.Logger) (l logins, err error) {
	l.file = file
	cas, err := cfg.Auth.authorities()
	if err != nil {
		return l, err
	}
	names := make(map[string]string)
	for _, c := range cfg.Auth.Certificates {
		names[c.Name] = c.Login
	}
	l.certificates, err = tlsconf.NewIdentities(tlsconf.IdentitiesConfig{Logins: names, CAs: cas})
	if err != nil {
		return l, err
	}
	at := cfg.submissions()
	if len(at) == 0 {
		return l, nil
	}
	shown, err := auth.ServerCertificates(tc)
	if err != nil {
		return l, err
	}
	l.auth, err = auth.New(auth.Config{
		Store:        file,
		External:     l.external,
		Mechanisms:   cfg.Auth.Mechanisms,
		Listeners:    at,
		Certificates: shown,
		Secret:       secret,
		Observe:      smtpguard.LogEvents(log),
	})
	return l, err
}

// external is whose certificate a client has shown.
func (l *logins) external(ctx context.Context, state tls.ConnectionState) (*auth.Identity, error) {
	login, ok := l.certificates.Login(state)
	if !ok {
		return nil, auth.ErrCredentials
	}
	return l.file.Identity(ctx, login)
}

// hosts logs clients in by their certificates alone, at listeners that are not
// for submission. An account is not let in like that: where it may log in, until
// when, and what it may send as, is judged at submission.
func (l *logins) hosts() smtpguard.Check {
	check := l.certificates.Check()
	login := check.Hello
	check.Hello = func(ctx context.Context, c *smtpguard.Conn) (smtpguard.Verdict, error) {
		state, _ := c.TLS()
		if _, err := l.external(ctx, state); err != auth.ErrCredentials { // not for want of an account
			return smtpguard.Verdict{Reason: "the certificate is an account's, which logs in at submission"}, nil
		}
		return login(ctx, c)
	}
	return check
}

// standing hangs up on who has logged in to an account that has changed since,
// or is gone: what changes in the password file holds at once.
func (l *logins) standing() smtpguard.Check {
	return smtpguard.Check{
		Name:   "login-stands",
		Always: true,
		Mail: func(_ context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
			if id, ok := auth.IdentityOf(tx.Conn()); !ok || l.file.Stands(id) {
				return smtpguard.Verdict{}, nil
			}
			return smtpguard.Verdict{
				Action: smtpguard.Disconnect,
				Reply:  reply(421, 4, 7, 0, "Your account has changed, log in again"),
				Reason: "the account is not what it was at the login",
			}, nil
		},
	}
}

// wrap gives the backend of a listener AUTH, where it is for submission.
func (l *logins) wrap(k kind, next smtp.Backend) smtp.Backend {
	if k != submission {
		return next
	}
	return l.auth.Wrap(next)
}

// submissions are the listeners where logins are wanted.
func (cfg *Config) submissions() (names []string) {
	for _, l := range cfg.Listeners {
		if l.Kind == submission {
			names = append(names, l.Name)
		}
	}
	return names
}
