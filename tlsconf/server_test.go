package tlsconf_test

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/tlsconf"
)

func TestALPN(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, wish{names: []string{"mx.example.org"}})
	for _, tt := range []struct {
		protocol tlsconf.Protocol
		offers   []string
		want     string // negotiated; "-" for refused
	}{
		{tlsconf.SMTP, nil, ""},
		{tlsconf.SMTP, []string{"smtp"}, "smtp"},
		{tlsconf.SMTP, []string{"esmtp"}, "esmtp"},
		{tlsconf.SMTP, []string{"h2", "http/1.1"}, "-"}, // a browser that was sent here
		{tlsconf.IMAP, nil, ""},
		{tlsconf.IMAP, []string{"imap"}, "imap"},
		{tlsconf.IMAP, []string{"http/1.1"}, "-"},
		{tlsconf.POP3, []string{"pop3"}, "pop3"},
		{tlsconf.POP3, []string{"imap"}, "-"},
		{tlsconf.HTTPS, []string{"h2", "http/1.1"}, "h2"},
		{tlsconf.HTTPS, []string{"acme-tls/1"}, "acme-tls/1"},
		{tlsconf.HTTPS, []string{"smtp"}, "-"},
	} {
		cfg := server(t, tlsconf.MX, tlsconf.ServerConfig{Protocol: tt.protocol, Certificates: one{&cert}})
		state, _, err := shake(cfg, &tls.Config{RootCAs: ca.pool, ServerName: "mx.example.org", NextProtos: tt.offers})
		if tt.want == "-" {
			if err == nil || !strings.Contains(err.Error(), "no application protocol") {
				t.Errorf("%v, %q: %q, %v", tt.protocol, tt.offers, state.NegotiatedProtocol, err)
			}
		} else if err != nil || state.NegotiatedProtocol != tt.want {
			t.Errorf("%v, %q: %q, %v", tt.protocol, tt.offers, state.NegotiatedProtocol, err)
		}
	}
}

// TestClientCertificates: what each level does with none, one of ours and one of
// somebody else's.
func TestClientCertificates(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	cert := ca.issue(t, wish{names: []string{"mx.example.org"}})
	ours, theirs := ca.issue(t, wish{names: []string{"ours.example"}}), other.issue(t, wish{names: []string{"theirs.example"}})
	const none, signed, foreign = 0, 1, 2
	for _, tt := range []struct {
		name   string
		level  tlsconf.Level
		cas    *x509.CertPool
		any    bool
		in     [3]bool // gets in with none, ours, theirs
		seen   [3]bool // is known by it
		proven bool    // ours is verified
	}{
		{"MX", tlsconf.MX, nil, false, [3]bool{true, true, true}, [3]bool{}, false},
		{"MX, CAs", tlsconf.MX, ca.pool, false, [3]bool{true, true, true}, [3]bool{false, true, true}, false},
		{"MX, any", tlsconf.MX, nil, true, [3]bool{true, true, true}, [3]bool{false, true, true}, false},
		{"submission", tlsconf.Submission, nil, false, [3]bool{true, true, true}, [3]bool{}, false},
		{"submission, CAs", tlsconf.Submission, ca.pool, false, [3]bool{true, true, false}, [3]bool{false, true, false}, true},
		{"submission, any", tlsconf.Submission, nil, true, [3]bool{true, true, true}, [3]bool{false, true, true}, false},
		{"strict", tlsconf.Strict, nil, false, [3]bool{true, true, true}, [3]bool{}, false},
		{"strict, CAs", tlsconf.Strict, ca.pool, false, [3]bool{false, true, false}, [3]bool{false, true, false}, true},
		{"strict, any", tlsconf.Strict, nil, true, [3]bool{false, true, true}, [3]bool{false, true, true}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := server(t, tt.level, tlsconf.ServerConfig{Certificates: one{&cert}, ClientCAs: tt.cas, AnyClientCert: tt.any})
			for i, c := range []*tls.Certificate{none: {}, signed: &ours, foreign: &theirs} {
				state, _, err := shake(cfg, &tls.Config{
					RootCAs: ca.pool, ServerName: "mx.example.org",
					GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c, nil },
				})
				if (err == nil) != tt.in[i] {
					t.Errorf("%d: %v, want in: %v", i, err, tt.in[i])
				}
				if err != nil {
					continue
				}
				if got := len(state.PeerCertificates) > 0; got != tt.seen[i] {
					t.Errorf("%d: seen %v", i, got)
				}
				if got := len(state.VerifiedChains) > 0; got != (tt.proven && i == signed) {
					t.Errorf("%d: verified %v", i, got)
				}
			}
		})
	}
}

func TestClient(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	cert := ca.issue(t, wish{names: []string{"mx.example.org"}})
	permissive := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, NextProtos: []string{"imap"}}
	old := permissive.Clone()
	old.MaxVersion = tls.VersionTLS11
	cbc := permissive.Clone()
	cbc.MaxVersion, cbc.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
	for _, tt := range []struct {
		name   string
		level  tlsconf.Level
		client tlsconf.ClientConfig
		server *tls.Config
		ok     bool
	}{
		{"good", tlsconf.Submission, tlsconf.ClientConfig{ServerName: "mx.example.org", RootCAs: ca.pool}, permissive, true},
		{"strict", tlsconf.Strict, tlsconf.ClientConfig{ServerName: "mx.example.org", RootCAs: ca.pool}, permissive, true},
		{"another name", tlsconf.Submission, tlsconf.ClientConfig{ServerName: "mx.example.net", RootCAs: ca.pool}, permissive, false},
		{"another CA", tlsconf.MX, tlsconf.ClientConfig{ServerName: "mx.example.org", RootCAs: other.pool}, permissive, false},
		{"unverified", tlsconf.MX, tlsconf.ClientConfig{ServerName: "mx.example.net", Unverified: true}, permissive, true},
		{"an old server", tlsconf.MX, tlsconf.ClientConfig{Unverified: true}, old, false},
		{"CBC", tlsconf.MX, tlsconf.ClientConfig{ServerName: "mx.example.org", RootCAs: ca.pool}, cbc, true},
		{"CBC at submission", tlsconf.Submission, tlsconf.ClientConfig{ServerName: "mx.example.org", RootCAs: ca.pool}, cbc, false},
		{"IMAP", tlsconf.Submission, tlsconf.ClientConfig{Protocol: tlsconf.IMAP, ServerName: "mx.example.org", RootCAs: ca.pool}, permissive, true},
		{"POP3 at an IMAP server", tlsconf.Submission, tlsconf.ClientConfig{Protocol: tlsconf.POP3, ServerName: "mx.example.org", RootCAs: ca.pool}, permissive, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, err := tlsconf.Client(tt.level, tt.client)
			if err != nil {
				t.Fatal(err)
			}
			_, state, err := shake(tt.server, client)
			if (err == nil) != tt.ok {
				t.Fatalf("%v, want success: %v", err, tt.ok)
			}
			if tt.client.Protocol == tlsconf.IMAP && state.NegotiatedProtocol != "imap" {
				t.Errorf("ALPN %q", state.NegotiatedProtocol)
			}
		})
	}
}

func TestConfigErrors(t *testing.T) {
	for _, tt := range []struct {
		err  func() error
		want string
	}{
		{func() error { _, err := tlsconf.Server(0, tlsconf.ServerConfig{}); return err }, "tlsconf: ServerConfig.Certificates is nil"},
		{func() error { _, err := tlsconf.Server(3, tlsconf.ServerConfig{Certificates: one{}}); return err }, "tlsconf: 3 is no Level"},
		{func() error {
			_, err := tlsconf.Server(0, tlsconf.ServerConfig{Certificates: one{}, Protocol: -1})
			return err
		}, "tlsconf: ServerConfig.Protocol is -1"},
		{func() error { _, err := tlsconf.Client(0, tlsconf.ClientConfig{}); return err }, "tlsconf: ClientConfig.ServerName is empty"},
		{func() error { _, err := tlsconf.Client(0, tlsconf.ClientConfig{Unverified: true}); return err }, "tlsconf: ClientConfig.Unverified is set at level submission"},
		{func() error {
			_, err := tlsconf.Client(-1, tlsconf.ClientConfig{ServerName: "a", Protocol: 4})
			return err
		}, "tlsconf: -1 is no Level\ntlsconf: ClientConfig.Protocol is 4"},
	} {
		if err := tt.err(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
	// Nobody is handed the table itself.
	ca := newAuthority(t)
	cert := ca.issue(t, wish{names: []string{"mx.example.org"}})
	a, b := server(t, tlsconf.MX, tlsconf.ServerConfig{Certificates: one{&cert}}), server(t, tlsconf.MX, tlsconf.ServerConfig{Certificates: one{&cert}})
	a.CipherSuites[0], a.CurvePreferences[0] = 0, 0
	if slices.Contains(b.CipherSuites, 0) || slices.Contains(b.CurvePreferences, 0) {
		t.Error("configurations share their lists")
	}
}
