package storetest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/auth/storetest"
)

const password = "correct horse"

// cheap is a hash that costs little.
func cheap(t *testing.T) string {
	t.Helper()
	h, err := auth.ParseHash("$argon2id$v=19$m=8,t=1,p=1$c2FsdCBvZiBhbm4$AAAAAAAAAAAAAAAAAAAAAA")
	if err != nil {
		t.Fatal(err)
	}
	if h, err = h.Beside(password); err != nil {
		t.Fatal(err)
	}
	return h.String()
}

// store is a file that can be away.
type store struct {
	*auth.File
	gone atomic.Bool
}

func (s *store) Verify(ctx context.Context, login, password string) (*auth.Identity, error) {
	if s.gone.Load() {
		return nil, errors.New("away")
	}
	return s.File.Verify(ctx, login, password)
}

// config is that of a store as it has to be; verify may spoil it.
func config(t *testing.T, verify func(*store) auth.StoreFunc) storetest.Config {
	path := filepath.Join(t.TempDir(), "passwords")
	lines := "ann@example.org:" + cheap(t) + "\neve@example.org:" + cheap(t) + " disabled\n"
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := auth.OpenFile(auth.FileConfig{Path: path, Unwatched: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	s := &store{File: f}
	return storetest.Config{
		Store: verify(s), Login: "ann@example.org", Password: password,
		Refused: []storetest.Proof{{Login: "eve@example.org", Password: password}},
		Away: func(*testing.T) func() {
			s.gone.Store(true)
			return func() { s.gone.Store(false) }
		},
	}
}

func TestRun(t *testing.T) {
	storetest.Run(t, config(t, func(s *store) auth.StoreFunc { return s.Verify }))
}

// broken are stores with one fault each, and a case that has to find it.
var broken = []struct {
	name, found string
	spoil       func(s *store, ctx context.Context, login, password string) (*auth.Identity, error)
}{
	{"admits everybody", "wrong", func(s *store, ctx context.Context, login, _ string) (*auth.Identity, error) {
		return &auth.Identity{}, nil
	}},
	{"refuses everybody", "right", func(s *store, ctx context.Context, login, _ string) (*auth.Identity, error) {
		return nil, auth.ErrCredentials
	}},
	{"gives nothing", "right", func(s *store, ctx context.Context, login, _ string) (*auth.Identity, error) {
		return nil, nil
	}},
	{"a login not in normal form", "right", func(s *store, ctx context.Context, login, _ string) (*auth.Identity, error) {
		return &auth.Identity{Login: "Ann@example.org"}, nil
	}},
	{"defers who is unknown", "wrong", func(s *store, ctx context.Context, login, p string) (*auth.Identity, error) {
		id, err := s.Verify(ctx, login, p)
		if err != nil && login != "ann@example.org" {
			err = errors.New("no rows")
		}
		return id, err
	}},
	{"says the password", "SMTP", func(s *store, ctx context.Context, login, p string) (*auth.Identity, error) {
		id, err := s.Verify(ctx, login, p)
		if err != nil {
			err = fmt.Errorf("%w: %s", err, p)
		}
		return id, err
	}},
	{"compares loosely", "logins_that_mean_something", func(s *store, ctx context.Context, login, p string) (*auth.Identity, error) {
		return s.Verify(ctx, strings.TrimSpace(login), p)
	}},
	{"a pattern", "logins_that_mean_something", func(s *store, ctx context.Context, login, p string) (*auth.Identity, error) {
		if ok, err := filepath.Match(login, "ann@example.org"); ok && err == nil {
			login = "ann@example.org"
		}
		return s.Verify(ctx, login, p)
	}},
	{"a line", "passwords_that_mean_something", func(s *store, ctx context.Context, login, p string) (*auth.Identity, error) {
		p, _, _ = strings.Cut(p, "\n")
		return s.Verify(ctx, login, p)
	}},
	{"an empty password", "empty", func(s *store, ctx context.Context, login, p string) (*auth.Identity, error) {
		if p == "" {
			return &auth.Identity{}, nil
		}
		return s.Verify(ctx, login, p)
	}},
	{"another's answer", "at_once", func() func(s *store, ctx context.Context, login, p string) (*auth.Identity, error) {
		var running atomic.Int64
		return func(s *store, ctx context.Context, login, p string) (*auth.Identity, error) {
			if running.Add(1) > 1 {
				p = password
			}
			defer running.Add(-1)
			time.Sleep(5 * time.Millisecond) // others come meanwhile
			return s.Verify(ctx, login, p)
		}
	}()},
	{"no context", "context", func(s *store, _ context.Context, login, p string) (*auth.Identity, error) {
		return s.Verify(context.Background(), login, p)
	}},
	{"refuses when away", "away", func(s *store, ctx context.Context, login, p string) (*auth.Identity, error) {
		if s.gone.Load() {
			return nil, auth.ErrCredentials
		}
		return s.Verify(ctx, login, p)
	}},
}

// TestRunFindsFaults runs the suite over every broken store, in a process of its
// own because it has to fail.
func TestRunFindsFaults(t *testing.T) {
	const which = "STORETEST_BROKEN"
	if name := os.Getenv(which); name != "" {
		for _, b := range broken {
			if b.name == name {
				storetest.Run(t, config(t, func(s *store) auth.StoreFunc {
					return func(ctx context.Context, login, password string) (*auth.Identity, error) {
						return b.spoil(s, ctx, login, password)
					}
				}))
			}
		}
		return
	}
	for _, b := range broken {
		t.Run(b.name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestRunFindsFaults$/^"+b.found+"$")
			cmd.Env = append(os.Environ(), which+"="+b.name)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestRunFindsFaults/"+b.found) {
				t.Errorf("%s does not find it: %v\n%s", b.found, err, out)
			}
		})
	}
}

// judge knows one token.
type judge struct {
	gone  atomic.Bool
	spoil func(j *judge, token string) (*auth.Identity, error) // nil: not at all
}

const token = "a-good-token.of-ann"

func (j *judge) VerifyToken(_ context.Context, given string) (*auth.Identity, error) {
	switch {
	case j.spoil != nil:
		return j.spoil(j, given)
	case j.gone.Load():
		return nil, errors.New("away")
	case given == token:
		return &auth.Identity{Login: "ann@example.org"}, nil
	}
	return nil, auth.ErrCredentials
}

func tokensConfig(j *judge) storetest.TokensConfig {
	return storetest.TokensConfig{
		Tokens: j, Good: token, Login: "ann@example.org", Bad: map[string]string{"over": "an-old-token.of-ann"},
		Away: func(*testing.T) func() {
			j.gone.Store(true)
			return func() { j.gone.Store(false) }
		},
	}
}

func TestRunTokens(t *testing.T) { storetest.RunTokens(t, tokensConfig(&judge{})) }

func TestRunTokensFindsFaults(t *testing.T) {
	const which = "STORETEST_BROKEN_TOKENS"
	faults := map[string]struct {
		found string
		spoil func(j *judge, token string) (*auth.Identity, error)
	}{
		"admits everybody":  {"bad", func(*judge, string) (*auth.Identity, error) { return &auth.Identity{Login: "ann@example.org"}, nil }},
		"refuses everybody": {"good", func(*judge, string) (*auth.Identity, error) { return nil, auth.ErrCredentials }},
		"refuses when away": {"away", func(j *judge, s string) (*auth.Identity, error) {
			if s != token || j.gone.Load() {
				return nil, auth.ErrCredentials
			}
			return &auth.Identity{Login: "ann@example.org"}, nil
		}},
		"says the token": {"bad", func(_ *judge, s string) (*auth.Identity, error) {
			return nil, fmt.Errorf("%w: %s", auth.ErrCredentials, s)
		}},
	}
	if name := os.Getenv(which); name != "" {
		storetest.RunTokens(t, tokensConfig(&judge{spoil: faults[name].spoil}))
		return
	}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestRunTokensFindsFaults$/^"+f.found+"$")
			cmd.Env = append(os.Environ(), which+"="+name)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestRunTokensFindsFaults/"+f.found) {
				t.Errorf("%s does not find it: %v\n%s", f.found, err, out)
			}
		})
	}
}
