package oauth

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/auth/storetest"
)

// wrongClaims are of tokens that are refused, for what they say.
func wrongClaims() map[string]map[string]any {
	now := time.Now().Unix()
	return map[string]map[string]any{
		"ended":                 but("exp", now-31),
		"not begun":             but("nbf", now+60),
		"of the future":         but("iat", now+60),
		"another issuer":        but("iss", "https://id.example.org/"),
		"no issuer":             but("iss", nil),
		"another audience":      but("aud", []string{"other"}),
		"part of audience":      but("aud", "mail.example.org other"),
		"no audience":           but("aud", nil),
		"another client":        but("azp", "game"),
		"two clients":           but("client_id", "game"),
		"no client":             but("azp", nil, "client_id", nil),
		"no scope":              but("scope", nil),
		"another scope":         but("scope", "smtps smtp2 SMTP openid"),
		"bound":                 but("cnf", map[string]string{"jkt": "x"}),
		"DPoP":                  but("token_type", "DPoP"),
		"no login":              but("email", nil),
		"login of controls":     but("email", "ann@example.org\r\n"),
		"login of numbers":      but("email", 4711),
		"login of two":          but("email", []string{"ann@example.org", "bob@example.org"}),
		"not verified":          but("email_verified", false),
		"not verified, as text": but("email_verified", "false"),
		"verified, perhaps":     but("email_verified", 1),
		"end as text":           but("exp", "2099"),
		"end below 0":           but("exp", -1),
		"end beyond":            but("exp", 1e300),
		"audience of what":      but("aud", map[string]string{"mail.example.org": "x"}),
	}
}

func TestJWT(t *testing.T) {
	i := newIssuer(t)
	ec, es384, ed, rs := key(t, "ES256"), key(t, "ES384"), key(t, "EdDSA"), key(t, "RS256").(*rsa.PrivateKey)
	i.publish("ec", ec)
	i.publish("es384", es384)
	i.publish("ed", ed)
	i.publish("rs", rs)
	i.with(func() {
		i.keys = append(i.keys,
			jose.JSONWebKey{Key: key(t, "ES256").Public(), KeyID: "enc", Use: "enc"},
			jose.JSONWebKey{Key: []byte("a secret of 32 octets, or some more"), KeyID: "hmac", Use: "sig"},
			jose.JSONWebKey{Key: rs.Public(), KeyID: "pss", Algorithm: "PS256"},
		)
	})
	j := i.jwt(JWTConfig{})
	good := sign(t, ec, "ES256", "ec", usual(), nil)
	foreign := key(t, "ES256")
	public, err := x509.MarshalPKIXPublicKey(rs.Public())
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	claims, err := json.Marshal(usual())
	if err != nil {
		t.Fatal(err)
	}
	eve, err := json.Marshal(but("email", "eve@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	_, signature, _ := strings.Cut(good[strings.IndexByte(good, '.')+1:], ".")
	bad := map[string]string{
		"alg none":               b64([]byte(`{"alg":"none"}`)) + "." + b64(claims) + ".",
		"alg none, signed":       b64([]byte(`{"alg":"none","kid":"ec"}`)) + "." + b64(claims) + "." + signature,
		"alg None":               b64([]byte(`{"alg":"None","kid":"ec"}`)) + "." + b64(claims) + "." + signature,
		"no alg":                 b64([]byte(`{"kid":"ec"}`)) + "." + b64(claims) + "." + signature,
		"other claims":           b64([]byte(`{"alg":"ES256","kid":"ec"}`)) + "." + b64(eve) + "." + signature,
		"empty signature":        b64([]byte(`{"alg":"ES256","kid":"ec"}`)) + "." + b64(claims) + ".",
		"zero signature":         b64([]byte(`{"alg":"ES256","kid":"ec"}`)) + "." + b64(claims) + "." + b64(make([]byte, 64)), // CVE-2022-21449
		"HMAC by a public key":   sign(t, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), "HS256", "rs", usual(), nil),
		"HMAC":                   sign(t, []byte("a secret of 32 octets, or some more"), "HS256", "hmac", usual(), nil),
		"an algorithm not taken": sign(t, es384, "ES384", "es384", usual(), nil),
		"a key for another":      sign(t, rs, "RS256", "pss", usual(), nil),
		"a foreign key":          sign(t, foreign, "ES256", "ec", usual(), nil),
		"an unknown key id":      sign(t, ec, "ES256", "unknown", usual(), nil),
		"a key of its own":       sign(t, foreign, "ES256", "", usual(), map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: foreign.Public()}}),
		"a key from elsewhere":   sign(t, foreign, "ES256", "", usual(), map[jose.HeaderKey]any{"jku": i.URL + "/jwks"}),
		"a key id as a path":     sign(t, foreign, "ES256", "../../etc/passwd", usual(), nil),
		"another type":           sign(t, ec, "ES256", "ec", usual(), map[jose.HeaderKey]any{"typ": "logout+jwt"}),
		"a type that is none":    sign(t, ec, "ES256", "ec", usual(), map[jose.HeaderKey]any{"typ": 1}),
		"critical":               b64([]byte(`{"alg":"ES256","kid":"ec","crit":["exp"],"exp":1}`)) + "." + b64(claims) + "." + signature,
		"no end":                 sign(t, ec, "ES256", "ec", but("exp", nil), nil),
		"no claims":              sign(t, ec, "ES256", "ec", "hello", nil),
		"a list":                 sign(t, ec, "ES256", "ec", "[]", nil),
		"two objects":            sign(t, ec, "ES256", "ec", string(claims)+"{}", nil),
		"a claim twice":          sign(t, ec, "ES256", "ec", `{"email":"eve@example.org",`+string(claims[1:]), nil),
		"JSON serialization":     `{"payload":"` + b64(claims) + `","signatures":[]}`,
		"five parts":             good + ".a.b",
	}
	for name, c := range wrongClaims() {
		bad[name] = sign(t, ec, "ES256", "ec", c, nil)
	}
	storetest.RunTokens(t, storetest.TokensConfig{
		Tokens: j, Good: good, Login: "ann@example.org", Bad: bad,
		Away: func(*testing.T) func() {
			i.with(func() { i.status = http.StatusServiceUnavailable })
			j.keys.mu.Lock()
			j.keys.seen, j.keys.tried = time.Time{}, time.Time{}
			j.keys.mu.Unlock()
			return func() { i.with(func() { i.status = 0 }) }
		},
	})
	for name, token := range map[string]string{
		"EdDSA":              sign(t, ed, "EdDSA", "ed", usual(), nil),
		"RS256":              sign(t, rs, "RS256", "rs", usual(), nil),
		"without a key id":   sign(t, ed, "EdDSA", "", usual(), nil),
		"access token":       sign(t, ec, "ES256", "ec", usual(), map[jose.HeaderKey]any{"typ": "application/AT+JWT"}),
		"within the leeway":  sign(t, ec, "ES256", "ec", but("exp", time.Now().Unix()-10, "nbf", time.Now().Unix()+10), nil),
		"one audience":       sign(t, ec, "ES256", "ec", but("aud", "mail.example.org"), nil),
		"scopes as a list":   sign(t, ec, "ES256", "ec", but("scope", []string{"a", "smtp"}), nil),
		"scp":                sign(t, ec, "ES256", "ec", but("scope", nil, "scp", "a smtp"), nil),
		"one client":         sign(t, ec, "ES256", "ec", but("client_id", nil), nil),
		"a part of a second": sign(t, ec, "ES256", "ec", but("exp", float64(time.Now().Unix())+100.5), nil),
		"verified, as text":  sign(t, ec, "ES256", "ec", but("email_verified", "true"), nil),
	} {
		id, err := j.VerifyToken(t.Context(), token)
		if err != nil || id.Login != "ann@example.org" || id.Until.IsZero() {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
}

func TestIntrospection(t *testing.T) {
	i := newIssuer(t)
	bad := map[string]string{"inactive": "inactive-token", "unknown": "unknown-token"}
	i.with(func() {
		i.active["good-token"] = but("active", true)
		i.active["inactive-token"] = but("active", false)
		i.active["strange-token"] = but("active", "true")
		i.active["endless-token"] = but("active", true, "exp", nil)
		bad["strange"] = "strange-token"
		for name, c := range wrongClaims() {
			token := strings.ReplaceAll(name, " ", "-") + "-token"
			c["active"] = true
			if !strings.HasPrefix(name, "end ") && name != "audience of what" { // which cannot be read, and defer
				i.active[token], bad[name] = c, token
			}
		}
	})
	in := i.introspector(IntrospectorConfig{})
	storetest.RunTokens(t, storetest.TokensConfig{
		Tokens: in, Good: "good-token", Login: "ann@example.org", Bad: bad,
		Away: func(*testing.T) func() {
			in.cache.mu.Lock()
			clear(in.cache.entries)
			in.cache.mu.Unlock()
			i.with(func() { i.status = http.StatusBadGateway })
			return func() { i.with(func() { i.status = 0 }) }
		},
	})
	if id, err := in.VerifyToken(t.Context(), "endless-token"); err != nil || !id.Until.IsZero() {
		t.Errorf("an active token without an end: %+v, %v", id, err)
	}
	asked := i.asked["introspect"]
	for range 5 {
		if _, err := in.VerifyToken(t.Context(), "good-token"); err != nil {
			t.Error(err)
		}
	}
	if i.asked["introspect"] != asked {
		t.Error("what was good a moment ago is asked again")
	}
	if len(in.cache.entries) > 2 {
		t.Errorf("%d tokens are remembered, and 2 were good", len(in.cache.entries))
	}
}

// What an issuer answers may be no judgement: then nobody is judged.
func TestBadAnswers(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"not JSON": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) },
		"empty":    func(w http.ResponseWriter, _ *http.Request) {},
		"long": func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte(`{"active":true,"x":"` + strings.Repeat("x", maxBody) + `"}`))
		},
		"two answers":  func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"active":false}{"active":true}`)) },
		"active twice": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"active":false,"active":true}`)) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"our secret wrong": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"no content":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"no keys":          func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"error":"x"`)) },
		"an end as text":   func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"active":true,"exp":"soon"}`)) },
	} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t)
			i.Config.Handler = answer
			id, err := i.introspector(IntrospectorConfig{}).VerifyToken(t.Context(), "good-token")
			if id != nil || err == nil || errors.Is(err, auth.ErrCredentials) || strings.Contains(err.Error(), "good-token") || strings.Contains(err.Error(), "cret") {
				t.Errorf("introspection: %+v, %v", id, err)
			}
			token := sign(t, key(t, "ES256"), "ES256", "x", usual(), nil)
			id, err = i.jwt(JWTConfig{}).VerifyToken(t.Context(), token)
			if id != nil || err == nil || errors.Is(err, auth.ErrCredentials) {
				t.Errorf("keys: %+v, %v", id, err)
			}
		})
	}
}

func TestIdentityOf(t *testing.T) {
	i := newIssuer(t)
	ec := key(t, "ES256")
	i.publish("ec", ec)
	end := time.Now().Add(time.Minute).Truncate(time.Second)
	for name, tt := range map[string]struct {
		id    *auth.Identity
		err   error
		until time.Time
	}{
		"the token ends first":   {id: &auth.Identity{Login: "ann@example.org", Senders: []string{"*@example.org"}}, until: end.Add(30 * time.Second)},
		"the account ends first": {id: &auth.Identity{Until: end.Add(-time.Second)}, until: end.Add(-time.Second)},
		"no account":             {err: auth.ErrCredentials},
	} {
		p := policy()
		asked := ""
		p.Identity = func(_ context.Context, login string) (*auth.Identity, error) {
			asked = login
			return tt.id, tt.err
		}
		id, err := i.jwt(JWTConfig{Policy: p}).VerifyToken(t.Context(), sign(t, ec, "ES256", "ec", but("exp", end.Unix()), nil))
		if asked != "ann@example.org" || !errors.Is(err, tt.err) || err == nil && (!id.Until.Equal(tt.until) || id.Login != "ann@example.org" || tt.id.Until.Equal(tt.until) != (name == "the account ends first")) {
			t.Errorf("%s: %+v, %v, asked for %q", name, id, err, asked)
		}
	}
}

func TestNewNamesTheField(t *testing.T) {
	for _, tt := range []struct {
		want  string
		spoil func(*JWTConfig)
	}{
		{"JWKS", func(c *JWTConfig) { c.JWKS = "" }},
		{"JWKS", func(c *JWTConfig) { c.JWKS = "http://id.example.org/jwks" }},
		{"JWKS", func(c *JWTConfig) { c.JWKS = "https://a:b@id.example.org/jwks" }},
		{"Policy.Issuer", func(c *JWTConfig) { c.Policy.Issuer = "" }},
		{"Policy.Audiences", func(c *JWTConfig) { c.Policy.Audiences = nil }},
		{"Policy.Scopes", func(c *JWTConfig) { c.Policy.Scopes = nil }},
		{"Policy.Scopes[1]", func(c *JWTConfig) { c.Policy.Scopes = []string{"smtp", "a b"} }},
		{"Policy.Login", func(c *JWTConfig) { c.Policy.Login = "" }},
		{"Policy.Leeway", func(c *JWTConfig) { c.Policy.Leeway = time.Hour }},
		{"Policy.Discovery", func(c *JWTConfig) { c.Policy.Discovery = "id.example.org" }},
		{"Algorithms", func(c *JWTConfig) { c.Algorithms = []string{} }},
		{"Algorithms[1]", func(c *JWTConfig) { c.Algorithms = []string{"RS256", "HS256"} }},
		{"Algorithms[0]", func(c *JWTConfig) { c.Algorithms = []string{"none"} }},
		{"Refresh", func(c *JWTConfig) { c.Again = -1 }},
	} {
		cfg := JWTConfig{JWKS: "https://id.example.org/jwks", Policy: policy()}
		tt.spoil(&cfg)
		if j, err := NewJWT(cfg); j != nil || err == nil || !strings.HasPrefix(err.Error(), "auth: oauth: JWTConfig."+tt.want) {
			t.Errorf("%s: %v, %v", tt.want, j, err)
		}
	}
	for _, tt := range []struct {
		want  string
		spoil func(*IntrospectorConfig)
	}{
		{"URL", func(c *IntrospectorConfig) { c.URL = "http://id.example.org" }},
		{"ClientID", func(c *IntrospectorConfig) { c.ClientID = "" }},
		{"ClientSecret", func(c *IntrospectorConfig) { c.ClientSecret = "" }},
		{"Policy.Login", func(c *IntrospectorConfig) { c.Policy.Login = "" }},
		{"Timeout", func(c *IntrospectorConfig) { c.Timeout = -1 }},
		{"Cache.Entries", func(c *IntrospectorConfig) { c.Cache.Entries = -1 }},
	} {
		cfg := IntrospectorConfig{URL: "https://id.example.org/introspect", ClientID: "a", ClientSecret: "b", Policy: policy()}
		tt.spoil(&cfg)
		if in, err := NewIntrospector(cfg); in != nil || err == nil || !strings.HasPrefix(err.Error(), "auth: oauth: IntrospectorConfig."+tt.want) {
			t.Errorf("%s: %v, %v", tt.want, in, err)
		}
	}
}

func TestParseKeys(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: &small.PublicKey, KeyID: "small"},
		{Key: private, KeyID: "private"},
		{Key: []byte("secret"), KeyID: "secret"},
		{Key: private.Public(), KeyID: "enc", Use: "enc"},
		{Key: private.Public(), KeyID: "good"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(set), `{"keys":[`, `{"keys":[{"kty":"new","kid":"new"},17,`, 1)
	keys, err := parseKeys([]byte(text))
	if err != nil || len(keys) != 1 || keys[0].KeyID != "good" {
		t.Errorf("got %+v, %v", keys, err)
	}
	if keys, err := parseKeys([]byte(`{"keys":[` + strings.Repeat("1,", 100) + "1]}")); err == nil {
		t.Errorf("101 keys: %v", keys)
	}
	if keys, err := parseKeys([]byte(`{"keys":[]}`)); err != nil || len(keys) != 0 {
		t.Errorf("no keys: %v, %v", keys, err)
	}
}

func FuzzClaims(f *testing.F) {
	for _, c := range []map[string]any{usual(), but("aud", "x", "exp", 1.5), but("scope", []string{"a b"}, "scp", nil)} {
		text, err := json.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Add([]byte(`{"exp":1e400}`))
	p := policy()
	p.validate(func(field, why string) { f.Fatal(field, why) })
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseClaims(text)
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q is no JSON, and is read", text)
		}
		login, until, err := p.judge(c, true, time.Now())
		if err == nil && (login == "" || until.IsZero() || c.iss != p.Issuer) {
			t.Errorf("%q is %q until %v", text, login, until)
		}
		if normal, err := auth.NormalLogin(login); login != "" && (err != nil || normal != login) {
			t.Errorf("%q is %q", text, login)
		}
	})
}

func FuzzKeys(f *testing.F) {
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: key(f, "ES256").Public(), KeyID: "a", Use: "sig"}, {Key: key(f, "EdDSA").Public(), KeyID: "b"}, {Key: key(f, "RS256").Public(), KeyID: "c"},
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(set)
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AA"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseKeys(text)
		if err != nil && keys != nil || len(keys) > maxKeys {
			t.Errorf("%d keys, %v", len(keys), err)
		}
		for _, k := range keys {
			if !k.IsPublic() || k.Use == "enc" {
				t.Errorf("%+v", k)
			}
		}
	})
}
