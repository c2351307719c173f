package auth

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
)

// decoded is base64 as it stands in an RFC.
func decoded(t *testing.T, s string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestParseOAuthBearer(t *testing.T) {
	const token = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
	for _, tt := range []struct{ msg, user, token string }{
		// RFC 7628, sections 4.1 and 4.3.
		{"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer " + token + "\x01\x01", "user@example.com", token},
		{decoded(t, "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"), "user@example.com", token},
		{"n,a=user@example.com,\x01host=server.example.com\x01port=587\x01auth=Bearer " + token + "\x01\x01", "user@example.com", token},
		{"y,,\x01auth=bearer " + token + "\x01\x01", "", token},
		{"n,a=a=2Cb,\x01auth=Bearer x\x01qs=a=b\x01\x01", "a,b", "x"},

		{"", "", ""},
		{"\x01", "", ""},
		{"n,,\x01\x01", "", ""}, // RFC 7628, section 4.3: asks what is wanted
		{"n,,\x01auth=\x01auth=\x01\x01", "", ""},
		{"n,,\x01auth=\x01auth=Bearer x\x01\x01", "", ""},
		{"n,,\x01auth=Bearer\x01\x01", "", ""},
		{"n,,\x01auth=Bearer \x01\x01", "", ""},
		{"n,,\x01auth=Basic eDp5\x01\x01", "", ""},
		{"n,,\x01auth=Bearer x\x01", "", ""},
		{"n,,\x01auth=Bearer x", "", ""},
		{"n,,auth=Bearer x\x01\x01", "", ""},
		{"n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01", "", ""},
		{"n,,\x01auth=Bearer x\x01user=bob\x01\x01", "", ""},
		{"n,,\x01auth=Bearer x\x01\x01\x01\x01", "", ""},
		{"n,,\x01auth=Bearer x y\x01\x01", "", ""},
		{"n,,\x01auth=Bearer x\x00\x01\x01", "", ""},
		{"n,,\x01auth=Bearer " + strings.Repeat("x", maxToken+1) + "\x01\x01", "", ""},
		{"n,bob,\x01auth=Bearer x\x01\x01", "", ""},
		{"p=tls-exporter,,\x01auth=Bearer x\x01\x01", "", ""},
		{"user=bob\x01auth=Bearer x\x01\x01", "", ""},
	} {
		user, token, ok := parseOAuthBearer([]byte(tt.msg))
		if ok != (tt.token != "") || ok && (user != tt.user || token != tt.token) {
			t.Errorf("%.80q is %q, %q, %t", tt.msg, user, token, ok)
		}
	}
}

// A client that has no token yet asks what it needs (RFC 7628, section 4.3).
func TestDiscovery(t *testing.T) {
	user, token, ok := parseOAuthBearer([]byte("n,a=user@example.com,\x01host=server.example.com\x01port=587\x01auth=\x01\x01"))
	if user != "user@example.com" || token != "" || !ok {
		t.Errorf("got %q, %q, %t", user, token, ok)
	}
	if _, _, ok := parseXOAuth2([]byte("user=bob\x01auth=\x01\x01")); ok {
		t.Error("XOAUTH2 has no such thing")
	}
	for _, tt := range []struct {
		tokens    Tokens
		mechanism string
		want      string
	}{
		{TokensFunc(nil), OAuthBearer, `{"status":"invalid_token","schemes":"bearer"}`},
		{TokensFunc(nil), XOAuth2, `{"status":"401","schemes":"bearer","scope":"mail"}`},
		{described{}, OAuthBearer, `{"status":"invalid_token","schemes":"bearer","scope":"openid smtp","openid-configuration":"https://id.example.org/x"}`},
		{described{}, XOAuth2, `{"status":"401","schemes":"bearer","scope":"openid smtp","openid-configuration":"https://id.example.org/x"}`},
	} {
		s := newBearer(&exchange{a: &Auth{cfg: Config{Tokens: tt.tokens}}, mechanism: tt.mechanism}, parseOAuthBearer)
		challenge, done, err := s.Next([]byte("n,,\x01auth=\x01\x01")) // and nothing is asked: there are no tokens here
		if string(challenge) != tt.want || done || err != nil {
			t.Errorf("%s gets %s, %t, %v, want %s", tt.mechanism, challenge, done, err, tt.want)
		}
		if _, done, err := s.Next([]byte{1}); done || err != smtp.ErrAuthFailed {
			t.Errorf("%s ends with %t, %v", tt.mechanism, done, err)
		}
	}
}

// described are tokens that say what they need.
type described struct{ TokensFunc }

func (described) Bearer() (scope, discovery string) { return "openid smtp", "https://id.example.org/x" }

func TestParseXOAuth2(t *testing.T) {
	for _, tt := range []struct{ msg, user, token string }{
		{"user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01", "someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"}, // from its documentation
		{"", "", ""},
		{"user=\x01auth=Bearer x\x01\x01", "", ""},
		{"auth=Bearer x\x01\x01", "", ""},
		{"user=bob\x01auth=Bearer x\x01", "", ""},
		{"user=bob\x01host=x\x01auth=Bearer x\x01\x01", "", ""},
		{"user=b\nob\x01auth=Bearer x\x01\x01", "", ""},
		{"n,a=bob,\x01auth=Bearer x\x01\x01", "", ""},
	} {
		user, token, ok := parseXOAuth2([]byte(tt.msg))
		if ok != (tt.token != "") || ok && (user != tt.user || token != tt.token) {
			t.Errorf("%q is %q, %q, %t", tt.msg, user, token, ok)
		}
	}
}

func FuzzBearer(f *testing.F) {
	f.Add([]byte("n,a=a=2Cb,\x01host=x\x01auth=Bearer x\x01\x01"))
	f.Add([]byte("user=bob\x01auth=Bearer x\x01\x01"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		for _, parse := range []func([]byte) (string, string, bool){parseOAuthBearer, parseXOAuth2} {
			if _, token, ok := parse(msg); ok && token != "" && !tokenText(token) {
				t.Errorf("%q has the token %q", msg, token)
			}
		}
	})
}
