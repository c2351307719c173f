package oauth

import "testing"

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
