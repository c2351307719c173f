package tlsconf_test

import (
	"crypto/tls"
	"encoding/json"
	"slices"
	"testing"

	"github.com/smtpguard/smtpguard/tlsconf"
)

var levels = []tlsconf.Level{tlsconf.Submission, tlsconf.MX, tlsconf.Strict}

// TestLevels has clients of old and new kinds try each level.
func TestLevels(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, wish{names: []string{"mx.example.org"}})
	old := ca.issue(t, wish{names: []string{"mx.example.org"}, rsa: 2048})
	for _, tt := range []struct {
		name   string
		client *tls.Config
		rsa    bool
		at     []tlsconf.Level // where it gets in
		suite  uint16
		group  tls.CurveID
	}{
		{"TLS 1.3", &tls.Config{MinVersion: tls.VersionTLS13}, false, levels, 0, tls.X25519MLKEM768},
		{"TLS 1.3 without hybrid groups", &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}}, false, levels, 0, tls.X25519},
		{"TLS 1.3 with P-384 alone", &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.CurveP384}}, false, levels, 0, tls.CurveP384},
		{"TLS 1.3 with P-521 alone", &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.CurveP521}}, false, []tlsconf.Level{tlsconf.MX}, 0, tls.CurveP521},
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, false, levels[:2], tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.X25519},
		{"TLS 1.2, RSA", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}}, true, levels[:2], tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, 0},
		{"TLS 1.2 with CBC alone", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA}}, true, []tlsconf.Level{tlsconf.MX}, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, 0},
		{"TLS 1.2 without forward secrecy", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}}, true, nil, 0, 0},
		{"3DES", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA}}, true, nil, 0, 0},
		{"RC4", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA}}, true, nil, 0, 0},
		{"TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false, nil, 0, 0},
		{"TLS 1.0", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, false, nil, 0, 0},
	} {
		for _, level := range levels {
			t.Run(tt.name+" at "+level.String(), func(t *testing.T) {
				source := one{&cert}
				if tt.rsa {
					source = one{&old}
				}
				client := tt.client.Clone()
				client.ServerName, client.RootCAs = "mx.example.org", ca.pool
				state, _, err := shake(server(t, level, tlsconf.ServerConfig{Certificates: source}), client)
				if want := slices.Contains(tt.at, level); want != (err == nil) {
					t.Fatalf("gets in: %v (%v), want %v", err == nil, err, want)
				}
				if err != nil {
					return
				}
				if tt.suite != 0 && state.CipherSuite != tt.suite {
					t.Errorf("suite %s", tls.CipherSuiteName(state.CipherSuite))
				}
				if tt.group != 0 && state.CurveID != tt.group {
					t.Errorf("group %v, want %v", state.CurveID, tt.group)
				}
				if f := tlsconf.Report(level, state); len(f.Problems) != 0 {
					t.Errorf("reported: %v", f)
				}
			})
		}
	}
}

// TestTickets: who comes again is spared the key exchange's signature, but at
// Strict has to prove anew who it is.
func TestTickets(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, wish{names: []string{"mx.example.org"}})
	for _, level := range levels {
		s := server(t, level, tlsconf.ServerConfig{Certificates: one{&cert}})
		client := &tls.Config{RootCAs: ca.pool, ServerName: "mx.example.org", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		for i := range 2 {
			state, _, err := shake(s, client)
			if want := i == 1 && level != tlsconf.Strict; err != nil || state.DidResume != want {
				t.Errorf("%v, connection %d: resumed %v, %v, want %v", level, i, state.DidResume, err, want)
			}
		}
	}
	// A ticket of one level is worth nothing at another.
	cache := tls.NewLRUClientSessionCache(1)
	for _, level := range []tlsconf.Level{tlsconf.MX, tlsconf.Submission} {
		state, _, err := shake(server(t, level, tlsconf.ServerConfig{Certificates: one{&cert}}),
			&tls.Config{RootCAs: ca.pool, ServerName: "mx.example.org", ClientSessionCache: cache})
		if err != nil || state.DidResume {
			t.Errorf("%v: resumed %v, %v", level, state.DidResume, err)
		}
	}
}

func TestLevelText(t *testing.T) {
	for _, l := range levels {
		text, err := json.Marshal(l)
		var back tlsconf.Level
		if err != nil || json.Unmarshal(text, &back) != nil || back != l {
			t.Errorf("%v: %s, %v", l, text, err)
		}
	}
	for _, p := range []tlsconf.Protocol{tlsconf.SMTP, tlsconf.IMAP, tlsconf.POP3, tlsconf.HTTPS} {
		text, err := json.Marshal(p)
		var back tlsconf.Protocol
		if err != nil || json.Unmarshal(text, &back) != nil || back != p {
			t.Errorf("%v: %s, %v", p, text, err)
		}
	}
	var p tlsconf.Protocol
	if err := p.UnmarshalText([]byte("nntp")); err == nil {
		t.Error("nntp is a protocol")
	}
	l := tlsconf.MX
	if err := l.UnmarshalText([]byte("old")); err == nil || l != tlsconf.MX {
		t.Errorf("%v, %v", l, err)
	}
	if got := tlsconf.Level(7).String() + tlsconf.Level(-1).String() + tlsconf.Protocol(9).String(); got != "invalidinvalidinvalid" {
		t.Error(got)
	}
	var zero tlsconf.Level
	if zero != tlsconf.Submission {
		t.Error("the zero Level is not Submission")
	}
}
