package oauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Bounds of a key set.
const (
	maxKeys       = 100
	maxCandidates = 4 // tried for a token
	minRSA        = 2048
	maxRSA        = 8192 // bits; what a check costs grows with them
)

// keys are those of an issuer, and when to ask for them again.
type keys struct {
	fetch   func(context.Context) ([]jose.JSONWebKey, error)
	refresh time.Duration // after which they are asked for, while the old ones serve
	again   time.Duration // between two requests, the first of which was answered
	stale   time.Duration // after which they serve no more

	mu      sync.Mutex
	set     []jose.JSONWebKey
	seen    time.Time     // when set was; zero: never
	tried   time.Time     // when the last request ended
	err     error         // how
	running chan struct{} // closed when the request under way has ended; nil: none is
}

// retry is the time between two requests, the first of which failed.
const retry = time.Second

// find returns the keys that a token may be signed with. None and no error means
// that the issuer has no such key; an error, that nobody can tell now.
func (k *keys) find(ctx context.Context, id, algorithm string) ([]jose.JSONWebKey, error) {
	found, wait, err := k.look(id, algorithm, time.Now())
	if wait == nil {
		return found, err
	}
	select {
	case <-wait:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if found = k.fitting(id, algorithm, time.Now()); len(found) == 0 {
		err = k.err
	}
	return found, err
}

// look is find without waiting: wait is closed once a request ends that may say
// more.
func (k *keys) look(id, algorithm string, now time.Time) (found []jose.JSONWebKey, wait <-chan struct{}, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	found = k.fitting(id, algorithm, now)
	if len(found) > 0 && now.Sub(k.seen) < k.refresh {
		return found, nil, nil
	}
	pause := k.again
	if k.err != nil {
		pause = retry
	}
	if k.running == nil && (k.tried.IsZero() || now.Sub(k.tried) >= pause) {
		k.running = make(chan struct{})
		go k.request()
	}
	switch {
	case len(found) > 0:
		return found, nil, nil
	case k.running != nil:
		return nil, k.running, nil
	}
	return nil, nil, k.err
}

// request asks for the keys, for whoever waits: none of them can end it.
func (k *keys) request() {
	set, err := k.fetch(context.Background())
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tried, k.err = time.Now(), err
	if err == nil {
		k.set, k.seen = set, k.tried
	}
	close(k.running)
	k.running = nil
}

// fitting are the keys that a token may be signed with. Callers hold k.mu.
func (k *keys) fitting(id, algorithm string, now time.Time) []jose.JSONWebKey {
	if k.seen.IsZero() || now.Sub(k.seen) >= k.stale {
		return nil
	}
	var all []jose.JSONWebKey
	for _, key := range k.set {
		if (id == "" || key.KeyID == id) && (key.Algorithm == "" || key.Algorithm == algorithm) && fits(key.Key, algorithm) && len(all) < maxCandidates {
			all = append(all, key)
		}
	}
	return all
}

// fits reports whether a key is of the kind that an algorithm takes (RFC 7518,
// section 3; RFC 8037).
func fits(key any, algorithm string) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return algorithm[:2] == "RS" || algorithm[:2] == "PS"
	case *ecdsa.PublicKey:
		curve := map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
		return curve[key.Curve.Params().Name] == algorithm
	case ed25519.PublicKey:
		return algorithm == string(jose.EdDSA)
	}
	return false
}

// parseKeys reads a JWK set (RFC 7517, section 5). Keys that are not public, not
// for signatures, weak, or that nobody here knows, are left out.
func parseKeys(text []byte) ([]jose.JSONWebKey, error) {
	var set struct{ Keys *[]json.RawMessage }
	if err := json.Unmarshal(text, &set); err != nil || set.Keys == nil {
		return nil, errors.New("no set of keys")
	}
	if len(*set.Keys) > maxKeys {
		return nil, fmt.Errorf("over %d keys", maxKeys)
	}
	var all []jose.JSONWebKey
	for _, one := range *set.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(one) != nil || key.Use != "" && key.Use != "sig" || !key.IsPublic() || !key.Valid() {
			continue
		}
		if r, ok := key.Key.(*rsa.PublicKey); ok && (r.N.BitLen() < minRSA || r.N.BitLen() > maxRSA || r.E < 3 || r.E > 1<<31-1) {
			continue
		}
		all = append(all, key)
	}
	return all, nil
}

// fetcher fetches a JWK set.
func fetcher(c *http.Client, address string, timeout time.Duration) func(context.Context) ([]jose.JSONWebKey, error) {
	return func(ctx context.Context) ([]jose.JSONWebKey, error) {
		text, err := get(ctx, c, address, timeout)
		if err != nil {
			return nil, fmt.Errorf("auth: oauth: keys: %w", err)
		}
		set, err := parseKeys(text)
		if err != nil {
			return nil, fmt.Errorf("auth: oauth: keys at %s: %w", address, err)
		}
		return set, nil
	}
}
