package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// issuer makes tokens, publishes its keys, and answers what it is asked.
type issuer struct {
	t testing.TB
	*httptest.Server

	mu     sync.Mutex
	keys   []jose.JSONWebKey // public
	active map[string]map[string]any
	status int // of all answers; 0: 200
	asked  map[string]int
}

func newIssuer(t testing.TB) *issuer {
	i := &issuer{t: t, active: make(map[string]map[string]any), asked: make(map[string]int)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		i.answer(w, "jwks", func() any { return jose.JSONWebKeySet{Keys: i.keys} })
	})
	mux.HandleFunc("POST /introspect", func(w http.ResponseWriter, r *http.Request) {
		if id, secret, ok := r.BasicAuth(); !ok || id != "mail%3Aserver" || secret != "s%2Bcret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		token := r.PostFormValue("token")
		i.answer(w, "introspect", func() any {
			if claims := i.active[token]; claims != nil {
				return claims
			}
			return map[string]any{"active": false}
		})
	})
	mux.HandleFunc("/elsewhere", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/jwks", http.StatusFound) })
	i.Server = httptest.NewTLSServer(mux)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) answer(w http.ResponseWriter, name string, what func() any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked[name]++
	if i.status != 0 {
		w.WriteHeader(i.status)
		fmt.Fprint(w, "a page about something else")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(what())
}

func (i *issuer) with(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

// usual are the claims of a token that is good.
func usual() map[string]any {
	now := time.Now().Unix()
	return map[string]any{
		"iss": "https://id.example.org", "aud": []string{"mail.example.org", "other"}, "sub": "4711", "email": "Ann@example.org", "email_verified": true,
		"scope": "openid smtp", "azp": "webmail", "client_id": "webmail", "iat": now, "nbf": now, "exp": now + 600,
	}
}

// but are the usual claims with others; nil takes one away.
func but(pairs ...any) map[string]any {
	c := usual()
	for j := 0; j < len(pairs); j += 2 {
		if pairs[j+1] == nil {
			delete(c, pairs[j].(string))
		} else {
			c[pairs[j].(string)] = pairs[j+1]
		}
	}
	return c
}

func policy() Policy {
	return Policy{Issuer: "https://id.example.org", Audiences: []string{"mail.example.org"}, Scopes: []string{"smtp"}, Parties: []string{"webmail"}, Login: "email"}
}

// key makes a key for an algorithm.
func key(t testing.TB, algorithm string) crypto.Signer {
	t.Helper()
	var k crypto.Signer
	var err error
	switch algorithm {
	case "ES256":
		k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		k, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "EdDSA":
		_, k, err = ed25519.GenerateKey(rand.Reader)
	default:
		k, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// publish adds a key to those that the issuer shows.
func (i *issuer) publish(id string, k crypto.Signer) {
	i.with(func() { i.keys = append(i.keys, jose.JSONWebKey{Key: k.Public(), KeyID: id, Use: "sig"}) })
}

// sign makes a token.
func sign(t testing.TB, k any, algorithm, id string, claims any, header map[jose.HeaderKey]any) string {
	t.Helper()
	options := &jose.SignerOptions{ExtraHeaders: maps.Clone(header)}
	if id != "" {
		k = jose.JSONWebKey{Key: k, KeyID: id}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: k}, options)
	if err != nil {
		t.Fatal(err)
	}
	text, ok := claims.(string)
	if !ok {
		b, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
	}
	jws, err := signer.Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (i *issuer) jwt(cfg JWTConfig) *JWT {
	i.t.Helper()
	if cfg.JWKS == "" {
		cfg.JWKS = i.URL + "/jwks"
	}
	cfg.Client = i.Client()
	if cfg.Policy.Login == "" {
		cfg.Policy = policy()
	}
	cfg.Timeout = 20 * time.Second
	j, err := NewJWT(cfg)
	if err != nil {
		i.t.Fatal(err)
	}
	return j
}

func (i *issuer) introspector(cfg IntrospectorConfig) *Introspector {
	i.t.Helper()
	cfg.URL, cfg.ClientID, cfg.ClientSecret, cfg.Client = i.URL+"/introspect", "mail:server", "s+cret", i.Client()
	if cfg.Policy.Login == "" {
		cfg.Policy = policy()
	}
	cfg.Timeout = 20 * time.Second
	in, err := NewIntrospector(cfg)
	if err != nil {
		i.t.Fatal(err)
	}
	return in
}
