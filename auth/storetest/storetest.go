// Package storetest answers: is this an auth.Store, or auth.Tokens?
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Config{Store: store, Login: "ann@example.org", Password: "correct horse"})
//	}
//
// It asks the store itself, and lets clients log in to an SMTP server that has
// it.
package storetest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/auth"
)

// Config is the store to test. Store, Login and Password are required.
type Config struct {
	Store           auth.Store
	Login, Password string // of somebody who may log in; the login in normal form

	// Refused are others who may not, whatever the reason: a disabled account
	// with its right password, say. Passwords that are wrong and logins that do not
	// exist are tried anyway.
	Refused []Proof

	// Away takes away what the store asks, and returns what brings it back. With nil
	// that is not tested.
	Away func(t *testing.T) (back func())
}

// Proof is a login and a password.
type Proof struct{ Login, Password string }

// env is what a case has.
type env struct {
	*testing.T
	Config
}

// Run tests the store of cfg, each case in a subtest of its own.
func Run(t *testing.T, cfg Config) {
	for _, c := range []struct {
		name string
		run  func(*env)
	}{
		{"right", right},
		{"wrong", wrong},
		{"logins that mean something", hostileLogins},
		{"passwords that mean something", hostilePasswords},
		{"empty", empty},
		{"at once", atOnce},
		{"context", contextEnds},
		{"SMTP", sessions},
		{"away", away},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(&env{t, cfg}) })
	}
}

// verify asks the store, for at most half a minute.
func (e *env) verify(login, password string) (*auth.Identity, error) {
	ctx, cancel := context.WithTimeout(e.Context(), 30*time.Second)
	defer cancel()
	return e.Store.Verify(ctx, login, password)
}

// admitted makes sure that a proof is.
func (e *env) admitted(login, password string) {
	e.Helper()
	id, err := e.verify(login, password)
	switch {
	case err != nil:
		e.Errorf("%s is refused: %v", login, err)
	case id == nil:
		e.Errorf("%s has neither an identity nor an error", login)
	case id.Login != "":
		if normal, err := auth.NormalLogin(id.Login); err != nil || normal != id.Login {
			e.Errorf("%s is %q, which is not in normal form", login, id.Login)
		}
	}
}

// refused makes sure that a proof is, and that it is the client's fault.
func (e *env) refused(login, password string) {
	e.Helper()
	id, err := e.verify(login, password)
	if id != nil || !errors.Is(err, auth.ErrCredentials) {
		e.Errorf("%q with %.20q: got %+v, %v, want ErrCredentials", login, password, id, err)
	}
	e.silent(err, password)
}

// allRefused makes sure that each of all is. Some are asked at once, for a store
// may take its time to refuse.
func (e *env) allRefused(all []Proof) {
	turns := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for _, p := range all {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			e.refused(p.Login, p.Password)
		})
	}
	wg.Wait()
}

// silent makes sure that an error has no password in it.
func (e *env) silent(err error, password string) {
	e.Helper()
	if err != nil && len(password) > 3 && strings.Contains(err.Error(), password) {
		e.Errorf("the error has the password in it: %v", err)
	}
}

const nobody = "nobody-is-called-this@example.org"

// proofs are all that is to be refused.
func (e *env) proofs() []Proof {
	return append([]Proof{
		{e.Login, e.Password + "x"},
		{e.Login, e.Password[:len(e.Password)-1] + "\x7f"},
		{nobody, e.Password},
		{nobody, "guess"},
	}, e.Refused...)
}

func right(e *env) {
	for range 3 {
		e.admitted(e.Login, e.Password)
	}
}

func wrong(e *env) {
	e.allRefused(e.proofs())
	e.admitted(e.Login, e.Password)
}

// hostileLogins are right only for a store that takes them for a part of what it
// asks, or compares loosely.
func hostileLogins(e *env) {
	name, domain, _ := strings.Cut(e.Login, "@")
	var all []Proof
	for _, login := range []string{
		"*", "?", "%", "_", "*@" + domain, name[:1] + "*", e.Login + "*", "%" + domain, strings.Repeat("_", len(e.Login)),
		"*)(uid=*))(|(uid=*", e.Login + ")(cn=*", e.Login + `\2a`, e.Login + "\\", e.Login + `\00`,
		e.Login + ",dc=example,dc=org", e.Login + "+cn=" + name, "#" + e.Login, `"` + e.Login + `"`, "uid=" + e.Login,
		"' or '1'='1", e.Login + "' --", e.Login + "; drop table users", e.Login + "/*",
		e.Login + " ", " " + e.Login, strings.Replace(e.Login, "@", " @", 1), e.Login + "@" + domain, "@" + e.Login, e.Login + ":", e.Login + "=",
		name + "@other.example", "á" + e.Login[1:], strings.Repeat("x", 320), nobody + strings.Repeat("*", 100),
	} {
		if normal, err := auth.NormalLogin(login); err == nil && normal == login && login != e.Login {
			all = append(all, Proof{login, e.Password})
		}
	}
	e.allRefused(all)
	e.admitted(e.Login, e.Password)
}

// hostilePasswords break what a line, a field or a string ends with.
func hostilePasswords(e *env) {
	var all []Proof
	for _, password := range []string{
		e.Password + " ", " " + e.Password, e.Password + "\n", e.Password + "\tresp=", "\r\nAUTH\t1", "\x01", "\x7f", "\xff\xfe\xfd", "*", "!", "' or '1'='1",
		e.Password + strings.Repeat("x", 100), strings.Repeat("x", 1024), strings.Repeat("y", 12_000), strings.Repeat("\t", 3000), strings.Repeat("é", 2000),
	} {
		all = append(all, Proof{e.Login, password})
	}
	e.allRefused(all)
	e.admitted(e.Login, e.Password)
}

// empty passwords and logins never reach a store of [auth.Auth]. One that admits
// them is a trap for others: to LDAP, an empty password is a login by nobody
// that succeeds (RFC 4513, section 5.1.2).
func empty(e *env) {
	for _, p := range []Proof{{e.Login, ""}, {"", e.Password}, {"", ""}, {nobody, ""}} {
		if id, err := e.verify(p.Login, p.Password); err == nil {
			e.Errorf("%q with %q is %+v", p.Login, p.Password, id)
		}
	}
	e.admitted(e.Login, e.Password)
}

// atOnce makes sure that nobody gets another's answer.
func atOnce(e *env) {
	proofs := e.proofs()
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			for j := range 4 {
				if (i+j)%2 == 0 {
					e.admitted(e.Login, e.Password)
				} else {
					p := proofs[(i+j)%len(proofs)]
					e.refused(p.Login, p.Password)
				}
			}
		})
	}
	wg.Wait()
}

// contextEnds makes sure that who is not waited for is not judged.
func contextEnds(e *env) {
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	for _, p := range []Proof{{e.Login, e.Password}, {e.Login, e.Password + "x"}, {nobody, "guess"}} {
		id, err := e.Store.Verify(ctx, p.Login, p.Password)
		if id != nil || err == nil || errors.Is(err, auth.ErrCredentials) {
			e.Errorf("%s in a context that is over: %+v, %v", p.Login, id, err)
		}
		e.silent(err, p.Password)
	}
	e.admitted(e.Login, e.Password)
}

// away makes sure that nobody is judged without what the store asks, and that it
// finds it again by itself.
func away(e *env) {
	if e.Away == nil {
		e.Skip("Config.Away is nil")
	}
	e.admitted(e.Login, e.Password)
	back := e.Away(e.T)
	for _, p := range append([]Proof{{e.Login, e.Password}}, e.proofs()...) {
		id, err := e.verify(p.Login, p.Password)
		if id != nil || err == nil || errors.Is(err, auth.ErrCredentials) {
			e.Errorf("%s without what the store asks: %+v, %v", p.Login, id, err)
		}
		e.silent(err, p.Password)
	}
	s := serve(e.T, auth.Config{Store: e.Store})
	for _, p := range []Proof{{e.Login, e.Password}, {nobody, "guess"}} {
		if got := s.plain(p); got.Code != 454 {
			e.Errorf("%s gets %d %s, want 454", p.Login, got.Code, got.Message)
		}
	}
	s.silent(e.Password)
	back()
	awaited(e.T, func() error {
		_, err := e.verify(e.Login, e.Password)
		return err
	})
	e.admitted(e.Login, e.Password)
	e.refused(nobody, "guess")
}

// awaited waits until f has no error, for half a minute.
func awaited(t *testing.T, f func() error) {
	t.Helper()
	begin := time.Now()
	for err := f(); err != nil; err = f() {
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("it is back, and not used: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// sessions lets clients log in and send.
func sessions(e *env) {
	s := serve(e.T, auth.Config{Store: e.Store})
	if got := s.plain(Proof{e.Login, e.Password}); got.Code != 235 {
		e.Errorf("%s gets %d %s, want 235", e.Login, got.Code, got.Message)
	}
	if by := s.senders(); len(by) != 1 || by[0] != e.Login {
		e.Errorf("mail of %q, want one of %s", by, e.Login)
	}
	first := s.plain(Proof{nobody, "guess"})
	for _, p := range e.proofs() {
		if got := s.plain(p); got != first || got.Code != 535 {
			e.Errorf("%s with a password that is refused gets %d %s, and nobody %d %s", p.Login, got.Code, got.Message, first.Code, first.Message)
		}
	}
	if len(s.senders()) != 1 {
		e.Error("mail of somebody who was refused")
	}
	for _, p := range append(e.proofs(), Proof{e.Login, e.Password}) {
		s.silent(p.Password)
	}
}
