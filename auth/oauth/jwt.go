package oauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/smtpguard/smtpguard/auth"
)

// JWTConfig says whose signed tokens are good. JWKS and Policy are required, and
// in it Issuer and Audiences; the zero value of another field means its default.
type JWTConfig struct {
	JWKS   string // URL of the issuer's keys: jwks_uri in its OpenID configuration
	Policy Policy

	// Algorithms of signatures (alg, RFC 7518, section 3.1; RFC 8037) that are
	// taken. Nil means RS256, ES256 and EdDSA. Those without a public key cannot
	// be.
	Algorithms []string

	Refresh time.Duration // after which keys are fetched again; 10 minutes
	Again   time.Duration // between two fetches for key ids that are unknown; 30 s
	Timeout time.Duration // for fetching; 5 s

	Client   *http.Client // nil: one of its own; redirects are not followed
	Insecure bool         // lets JWKS be http://: whoever is between can make tokens
}

// maxStale is how long keys serve while their issuer is away.
const maxStale = 24 * time.Hour

// publicKey are the algorithms that may be asked for.
var publicKey = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// JWT judges signed tokens. It is safe for concurrent use.
type JWT struct {
	policy     Policy
	algorithms []jose.SignatureAlgorithm
	keys       *keys
}

var _ auth.Tokens = (*JWT)(nil)

// NewJWT makes a judge of cfg, and asks the issuer nothing. It reports everything
// that is wrong with cfg, by field.
func NewJWT(cfg JWTConfig) (*JWT, error) {
	var errs []error
	bad := func(field, why string) {
		errs = append(errs, fmt.Errorf("auth: oauth: JWTConfig.%s: %s", field, why))
	}
	if why := checkURL(cfg.JWKS, cfg.Insecure); why != "" {
		bad("JWKS", why)
	}
	j := &JWT{policy: cfg.Policy}
	j.policy.validate(bad)
	if cfg.Policy.Issuer == "" {
		bad("Policy.Issuer", "is empty")
	}
	if len(cfg.Policy.Audiences) == 0 {
		bad("Policy.Audiences", "is empty: a token for anybody would do")
	}
	if cfg.Algorithms == nil {
		cfg.Algorithms = []string{"RS256", "ES256", "EdDSA"}
	} else if len(cfg.Algorithms) == 0 {
		bad("Algorithms", "is empty, but not nil: no token could be good")
	}
	for i, a := range cfg.Algorithms {
		if !slices.Contains(publicKey, a) {
			bad(fmt.Sprintf("Algorithms[%d]", i), fmt.Sprintf("%q is no algorithm with a public key", a))
		}
		j.algorithms = append(j.algorithms, jose.SignatureAlgorithm(a))
	}
	if cfg.Refresh < 0 || cfg.Again < 0 || cfg.Timeout < 0 {
		bad("Refresh, Again and Timeout", "must not be negative")
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	j.keys = &keys{
		fetch:   fetcher(client(cfg.Client), cfg.JWKS, cmp.Or(cfg.Timeout, 5*time.Second)),
		refresh: cmp.Or(cfg.Refresh, 10*time.Minute),
		again:   cmp.Or(cfg.Again, 30*time.Second),
		stale:   maxStale,
	}
	return j, nil
}

// Bearer is what a client may know whose token is refused: see [auth.Tokens].
func (j *JWT) Bearer() (scope, discovery string) { return j.policy.bearer() }

// maxToken bounds a token in octets, as package auth does.
const maxToken = 8192

// VerifyToken judges a token: see [auth.Tokens].
func (j *JWT) VerifyToken(ctx context.Context, token string) (*auth.Identity, error) {
	if len(token) > maxToken {
		return nil, refuse("is too long")
	}
	jws, err := jose.ParseSignedCompact(token, j.algorithms)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, refuse("is no JWT with a signature of an algorithm that is taken") // the library's error may have of it
	}
	header := jws.Signatures[0].Protected
	if !access(header) {
		return nil, refuse("is of another type")
	}
	found, err := j.keys.find(ctx, header.KeyID, header.Algorithm)
	if err != nil {
		return nil, err
	}
	payload, err := verify(jws, found)
	if err != nil {
		return nil, err
	}
	c, err := parseClaims(payload)
	if err != nil {
		return nil, refuse("has " + err.Error())
	}
	login, until, err := j.policy.judge(c, true, time.Now())
	if err != nil {
		return nil, err
	}
	return j.policy.identity(ctx, login, until)
}

// access reports whether a header's type is that of an access token, or says
// nothing (RFC 8725, section 3.11; RFC 9068, section 2.1), and asks for nothing
// else: b64, say, is not for JWTs (RFC 7797, section 7).
func access(h jose.Header) bool {
	for _, name := range []jose.HeaderKey{"crit", "b64", "cty"} {
		if _, has := h.ExtraHeaders[name]; has {
			return false
		}
	}
	switch typ := h.ExtraHeaders[jose.HeaderType].(type) {
	case nil:
		return true
	case string:
		switch strings.ToLower(strings.TrimPrefix(strings.ToLower(typ), "application/")) {
		case "at+jwt", "jwt":
			return true
		}
	}
	return false
}

// verify returns what is signed by one of the keys.
func verify(jws *jose.JSONWebSignature, found []jose.JSONWebKey) ([]byte, error) {
	if len(found) == 0 {
		return nil, refuse("is signed by a key that its issuer does not have")
	}
	for _, key := range found {
		if payload, err := jws.Verify(key.Key); err == nil {
			return payload, nil
		}
	}
	return nil, refuse("has a signature that is wrong")
}
