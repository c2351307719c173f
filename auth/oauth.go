package auth

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// failure is what a server says to a client whose token it refuses, before it
// refuses the exchange: nothing of the reason.
type failure struct {
	Status    string `json:"status"` // RFC 7628, section 3.2.2, as the two below
	Schemes   string `json:"schemes"`
	Scope     string `json:"scope,omitempty"`
	Discovery string `json:"openid-configuration,omitempty"`
}

// newBearer begins OAUTHBEARER or XOAUTH2.
func newBearer(x *exchange, parse func([]byte) (user, token string, ok bool)) *bearer {
	f := failure{Status: "invalid_token", Schemes: "bearer"}
	if x.mechanism == XOAuth2 {
		f.Status, f.Scope = "401", "mail"
	}
	if t, ok := x.a.cfg.Tokens.(interface {
		Bearer() (scope, discovery string)
	}); ok {
		f.Scope, f.Discovery = t.Bearer()
	}
	text, err := json.Marshal(f)
	if err != nil {
		text = []byte("{}") // never: it has but strings
	}
	return &bearer{exchange: x, parse: parse, fail: text}
}

// bearer is OAUTHBEARER or XOAUTH2.
type bearer struct {
	*exchange
	parse func(msg []byte) (user, token string, ok bool)
	fail  []byte
	step  int
	err   error // how it ends, once the client has answered to fail
}

// Next is sasl.Server.
func (s *bearer) Next(response []byte) (challenge []byte, done bool, err error) {
	if s.step == 0 && response == nil {
		return []byte{}, false, nil
	}
	s.step++
	switch s.step {
	case 1:
		user, token, ok := s.parse(response)
		if !ok {
			return nil, false, smtp.ErrAuthFailed
		}
		if err := s.token(user, token); err == smtp.ErrAuthFailed {
			s.err = err
			return s.fail, false, nil
		} else if err != nil {
			return nil, false, err
		}
		return nil, true, nil
	case 2:
		if s.err != nil {
			return nil, false, s.err // whatever the client answered: %x01, or nothing
		}
	}
	return nil, false, sasl.ErrUnexpectedClientResponse
}

// token judges a token and whose the client says it is, "" for nobody's. Without
// a token, the client only wants to know what it needs (RFC 7628, section 3.2.2).
func (s *bearer) token(user, token string) error {
	if token == "" {
		return smtp.ErrAuthFailed
	}
	claimed := ""
	if user != "" {
		var err error
		if claimed, err = NormalLogin(user); err != nil {
			return smtp.ErrAuthFailed
		}
	}
	ctx, cancel := s.context()
	defer cancel()
	leave, err := s.a.tokens.enter(ctx)
	if err != nil {
		return s.refused(claimed, err)
	}
	defer leave()
	id, err := s.a.cfg.Tokens.VerifyToken(ctx, token)
	if err != nil {
		return s.refused(claimed, err)
	}
	if id, err = s.judge("", id, claimed); err != nil {
		return err
	}
	return s.accept(id)
}

// maxToken bounds a bearer token in octets; what go-smtp reads is bounded
// before.
const maxToken = 8192

// parseOAuthBearer reads gs2-header kvsep *(key "=" value kvsep) kvsep (RFC 7628,
// section 3.1), kvsep being %x01. Channel binding is for other mechanisms.
func parseOAuthBearer(msg []byte) (user, token string, ok bool) {
	flag, rest, ok1 := strings.Cut(string(msg), ",")
	authzid, rest, ok2 := strings.Cut(rest, ",")
	if !ok1 || !ok2 || flag != "n" && flag != "y" {
		return "", "", false
	}
	if authzid != "" {
		var err error
		if user, err = saslName(authzid, "a="); err != nil {
			return "", "", false
		}
	}
	rest, ok = strings.CutPrefix(rest, "\x01")
	if !ok {
		return "", "", false
	}
	token, ok = bearerToken(rest, map[string]bool{"host": true, "port": true, "mthd": true, "path": true, "post": true, "qs": true})
	return user, token, ok
}

// parseXOAuth2 reads "user=" name %x01 "auth=Bearer " token %x01 %x01.
func parseXOAuth2(msg []byte) (user, token string, ok bool) {
	name, rest, ok := bytes.Cut(msg, []byte{1})
	user, named := strings.CutPrefix(string(name), "user=")
	if !ok || !named || user == "" || strings.ContainsFunc(user, func(r rune) bool { return r < ' ' }) {
		return "", "", false
	}
	token, ok = bearerToken(string(rest), nil)
	return user, token, ok
}

// bearerToken reads pairs, each with %x01 behind it, and one %x01 more. There has
// to be one "auth" with a bearer token (RFC 6750, section 2.1), and besides it
// there may be what others names; with them, it may be empty.
func bearerToken(s string, others map[string]bool) (token string, ok bool) {
	s, ok = strings.CutSuffix(s, "\x01\x01")
	if !ok {
		return "", false
	}
	seen := false
	for pair := range strings.SplitSeq(s, "\x01") {
		key, value, ok := strings.Cut(pair, "=")
		switch {
		case !ok:
			return "", false
		case key == "auth" && !seen:
			if seen = true; value == "" && others != nil {
				continue
			}
			scheme, rest, _ := strings.Cut(value, " ")
			if token = strings.TrimLeft(rest, " "); !strings.EqualFold(scheme, "Bearer") || !tokenText(token) {
				return "", false
			}
		case !others[key]:
			return "", false
		}
	}
	return token, seen
}

// tokenText reports whether s is a b64token.
func tokenText(s string) bool {
	if s == "" || len(s) > maxToken {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !strings.Contains(cbName+"_~+/=", s[i:i+1]) {
			return false
		}
	}
	return true
}
