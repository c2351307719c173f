package oauth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/smtpguard/smtpguard/auth/oauth"
)

func Example() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	issuer := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "2026"}}})
	}))
	defer issuer.Close()

	tokens, err := oauth.NewJWT(oauth.JWTConfig{
		JWKS:   issuer.URL + "/jwks",
		Client: issuer.Client(),
		Policy: oauth.Policy{Issuer: "https://id.example.org", Audiences: []string{"mail.example.org"}, Scopes: []string{"smtp"}, Login: "email"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "2026"}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, scope := range []string{"openid smtp", "openid"} {
		token, err := jwt.Signed(signer).Claims(map[string]any{
			"iss": "https://id.example.org", "aud": "mail.example.org", "exp": time.Now().Add(time.Hour).Unix(), "email": "Ann@example.org", "scope": scope,
		}).Serialize()
		if err != nil {
			fmt.Println(err)
			return
		}
		if id, err := tokens.VerifyToken(context.Background(), token); err != nil {
			fmt.Println(err)
		} else {
			fmt.Println(id.Login)
		}
	}
	// Output:
	// ann@example.org
	// auth: credentials refused: the token lacks a scope
}
