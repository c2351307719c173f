package oauth

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/auth"
)

// Both judges tell clients what they need.
func TestBearer(t *testing.T) {
	i := newIssuer(t)
	p := policy()
	p.Scopes, p.Discovery = []string{"openid", "smtp"}, "https://id.example.org/.well-known/openid-configuration"
	for _, judge := range []interface {
		Bearer() (scope, discovery string)
	}{i.jwt(JWTConfig{Policy: p}), i.introspector(IntrospectorConfig{Policy: p})} {
		if scope, discovery := judge.Bearer(); scope != "openid smtp" || discovery != p.Discovery {
			t.Errorf("%T says %q, %q", judge, scope, discovery)
		}
	}
}

// Which claim is the login, and what may be in it.
func TestLoginClaim(t *testing.T) {
	for _, tt := range []struct {
		claim string
		value any
		login string // "": refused
	}{
		{"email", "Ann@Example.org", "ann@example.org"},
		{"preferred_username", "Ann", "ann"},
		{"sub", "4711", "4711"},
		{"sub", "AbC", ""},
		{"sub", "", ""},
		{"username", nil, ""},
		{"username", true, ""},
		{"username", "a\x00b", ""},
	} {
		text, err := json.Marshal(but(tt.claim, tt.value))
		if err != nil {
			t.Fatal(err)
		}
		c, err := parseClaims(text)
		if err != nil {
			t.Fatal(err)
		}
		p := policy()
		p.Login = tt.claim
		p.validate(func(field, why string) { t.Error(field, why) })
		login, _, err := p.judge(c, true, time.Now())
		if login != tt.login || (err == nil) != (tt.login != "") || err != nil && !errors.Is(err, auth.ErrCredentials) {
			t.Errorf("%s %v is %q, %v", tt.claim, tt.value, login, err)
		}
	}
}
