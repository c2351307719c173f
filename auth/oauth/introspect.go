package oauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/auth"
)

// IntrospectorConfig says whom to ask about tokens. URL, ClientID, ClientSecret
// and Policy are required; the zero value of another field means its default.
type IntrospectorConfig struct {
	URL                    string // of the issuer's introspection endpoint
	ClientID, ClientSecret string // who asks, by HTTP Basic (RFC 6749, section 2.3.1)
	Policy                 Policy // Issuer and Audiences are looked at where they are set

	Timeout time.Duration // for an answer; 5 s
	Cache   auth.Cache    // of tokens that are good, by a keyed hash: as long, a revoked one goes on

	Client   *http.Client // nil: one of its own; redirects are not followed
	Insecure bool         // lets URL be http://: whoever is between can read tokens and say that they are good
}

// Introspector asks an issuer about tokens. It is safe for concurrent use.
type Introspector struct {
	policy Policy
	cfg    IntrospectorConfig
	cache  *cache
}

var _ auth.Tokens = (*Introspector)(nil)

// NewIntrospector makes a judge of cfg, and asks nobody. It reports everything
// that is wrong with cfg, by field.
func NewIntrospector(cfg IntrospectorConfig) (*Introspector, error) {
	var errs []error
	bad := func(field, why string) {
		errs = append(errs, fmt.Errorf("auth: oauth: IntrospectorConfig.%s: %s", field, why))
	}
	if why := checkURL(cfg.URL, cfg.Insecure); why != "" {
		bad("URL", why)
	}
	if cfg.ClientID == "" {
		bad("ClientID", "is empty")
	}
	if cfg.ClientSecret == "" {
		bad("ClientSecret", "is empty")
	}
	i := &Introspector{policy: cfg.Policy}
	i.policy.validate(bad)
	if cfg.Timeout < 0 {
		bad("Timeout", "must not be negative")
	}
	if cfg.Cache.Entries < 0 {
		bad("Cache.Entries", "must not be negative")
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	cfg.Client, cfg.Timeout = client(cfg.Client), cmp.Or(cfg.Timeout, 5*time.Second)
	i.cfg, i.cache = cfg, newCache(cfg.Cache)
	return i, nil
}

// Bearer is what a client may know whose token is refused: see [auth.Tokens].
func (i *Introspector) Bearer() (scope, discovery string) { return i.policy.bearer() }

// VerifyToken judges a token: see [auth.Tokens].
func (i *Introspector) VerifyToken(ctx context.Context, token string) (*auth.Identity, error) {
	if token == "" || len(token) > maxToken {
		return nil, refuse("is empty or too long")
	}
	key := i.cache.key(token)
	if r, ok := i.cache.get(key, time.Now()); ok {
		return i.policy.identity(ctx, r.login, r.until)
	}
	c, err := i.ask(ctx, token)
	if err != nil {
		return nil, fmt.Errorf("auth: oauth: introspection: %w", err)
	}
	if !c.active {
		return nil, auth.ErrCredentials // also for what is no token at all (RFC 7662, section 2.2)
	}
	now := time.Now()
	login, until, err := i.policy.judge(c, false, now)
	if err != nil {
		return nil, err
	}
	i.cache.put(key, result{login, until}, now)
	return i.policy.identity(ctx, login, until)
}

// ask asks the issuer about a token.
func (i *Introspector) ask(ctx context.Context, token string) (*claims, error) {
	ctx, cancel := context.WithTimeout(ctx, i.cfg.Timeout)
	defer cancel()
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.cfg.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(i.cfg.ClientID), url.QueryEscape(i.cfg.ClientSecret))
	text, err := do(i.cfg.Client, req)
	if err != nil {
		return nil, err
	}
	return parseClaims(text)
}
