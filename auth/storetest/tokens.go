package storetest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/auth"
)

// TokensConfig is the judge of tokens to test. Tokens, Good and Login are
// required.
type TokensConfig struct {
	Tokens auth.Tokens
	Good   string // a token that is good for a minute or more
	Login  string // whose it is, in normal form

	// Bad are tokens that are refused, by what is bad of them.
	Bad map[string]string

	// Away takes away what the judge asks, and makes it forget what it knows. It
	// returns what brings that back. With nil that is not tested.
	Away func(t *testing.T) (back func())
}

// RunTokens tests the judge of cfg, each case in a subtest of its own.
func RunTokens(t *testing.T, cfg TokensConfig) {
	verify := func(ctx context.Context, token string) (*auth.Identity, error) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		return cfg.Tokens.VerifyToken(ctx, token)
	}
	good := func(t *testing.T) {
		t.Helper()
		if id, err := verify(t.Context(), cfg.Good); err != nil || id == nil || id.Login != cfg.Login {
			t.Errorf("a good token is %+v, %v", id, err)
		}
	}
	// unjudged makes sure that an outcome is no judgement.
	unjudged := func(t *testing.T, id *auth.Identity, err error, token string) {
		t.Helper()
		if id != nil || err == nil || errors.Is(err, auth.ErrCredentials) {
			t.Errorf("got %+v, %v, want an error that is not the client's", id, err)
		}
		if err != nil && strings.Contains(err.Error(), token) {
			t.Errorf("the error has the token in it: %v", err)
		}
	}
	bad := map[string]string{"a part": cfg.Good[:len(cfg.Good)-8], "more": cfg.Good + "AAAA", "nonsense": "nonsense-nonsense", "dots": "..", "long": strings.Repeat("a", 8192), "empty": ""}
	for name, token := range cfg.Bad {
		bad[name] = token
	}

	t.Run("good", func(t *testing.T) {
		for range 3 {
			good(t)
		}
	})
	t.Run("bad", func(t *testing.T) {
		for name, token := range bad {
			id, err := verify(t.Context(), token)
			if id != nil || !errors.Is(err, auth.ErrCredentials) {
				t.Errorf("%s: got %+v, %v, want ErrCredentials", name, id, err)
			}
			if err != nil && token != "" && strings.Contains(err.Error(), token) {
				t.Errorf("%s: the error has the token in it: %v", name, err)
			}
		}
		good(t)
	})
	t.Run("SMTP", func(t *testing.T) {
		s := serve(t, auth.Config{Tokens: cfg.Tokens})
		if got := s.bearer(cfg.Login, cfg.Good); got.Code != 235 {
			t.Errorf("a good token gets %d %s", got.Code, got.Message)
		}
		if by := s.senders(); len(by) != 1 || by[0] != cfg.Login {
			t.Errorf("mail of %q, want one of %s", by, cfg.Login)
		}
		if got := s.bearer("else-"+cfg.Login, cfg.Good); got.Code != 535 {
			t.Errorf("a token of somebody else gets %d %s", got.Code, got.Message)
		}
		for name, token := range bad {
			if got := s.bearer(cfg.Login, token); token != "" && got.Code != 535 {
				t.Errorf("%s: got %d %s", name, got.Code, got.Message)
			}
			s.silent(token)
		}
		s.silent(cfg.Good)
	})
	t.Run("away", func(t *testing.T) {
		if cfg.Away == nil {
			t.Skip("TokensConfig.Away is nil")
		}
		back := cfg.Away(t)
		id, err := verify(t.Context(), cfg.Good)
		unjudged(t, id, err, cfg.Good)
		s := serve(t, auth.Config{Tokens: cfg.Tokens})
		if got := s.bearer(cfg.Login, cfg.Good); got.Code != 454 {
			t.Errorf("a good token gets %d %s, want 454", got.Code, got.Message)
		}
		s.silent(cfg.Good)
		back()
		awaited(t, func() error {
			_, err := verify(t.Context(), cfg.Good)
			return err
		})
		good(t)
	})
}
