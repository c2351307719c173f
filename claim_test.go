package smtpguard

import "testing"

func TestClaimed(t *testing.T) {
	for _, tt := range []struct{ mechanism, first, want string }{
		{"PLAIN", "\x00ann\x00pw", "ann"},
		{"PLAIN", "boss\x00ann\x00pw", "ann"},
		{"PLAIN", "ann\x00pw", ""},
		{"PLAIN", "\x00ann\x00pw\x00more", ""},
		{"PLAIN", "\x00\x00pw", ""},
		{"LOGIN", "ann", "ann"},
		{"LOGIN", "", ""},
		{"LOGIN", "\x00ann\x00pw", ""}, // PLAIN's message
		{"EXTERNAL", "user=ann\x01auth=Bearer t\x01\x01", ""},
		{"CRAM-MD5", "ann b913a602c7eda7a495b4e6e7334d3890", "ann"},
		{"CRAM-MD5", "ann", ""},
		{"SCRAM-SHA-256", "n,,n=a=2Cn=3D,r=nonce", "a,n="},
		{"SCRAM-SHA-256-PLUS", "p=tls-exporter,a=boss,n=ann,r=nonce", "ann"},
		{"SCRAM-SHA-256", "n,,m=ext,r=x", ""},
		{"OAUTHBEARER", "n,a=ann@example.org,\x01auth=Bearer t\x01\x01", "ann@example.org"},
		{"OAUTHBEARER", "n,,\x01auth=Bearer t\x01\x01", ""},
		{"XOAUTH2", "user=ann\x01auth=Bearer t\x01\x01", "ann"},
		{"XOAUTH2", "user=annauth=Bearer t", ""}, // the token is no part of a login
		{"EXTERNAL", "ann", "ann"},
		{"EXTERNAL", "", ""},
		{"X-OTHER", "ann", ""},
	} {
		if got, ok := claimed(tt.mechanism, []byte(tt.first)); got != tt.want || ok != (tt.want != "") {
			t.Errorf("claimed(%s, %q) = %q, %v, want %q", tt.mechanism, tt.first, got, ok, tt.want)
		}
	}
}
