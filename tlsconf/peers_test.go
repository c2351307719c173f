package tlsconf_test

import (
	"context"
	"crypto/tls"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/internal/require"
	"github.com/smtpguard/smtpguard/internal/sslscan"
	"github.com/smtpguard/smtpguard/tlsconf"
)

// permissive takes what no level does: the control of the tests here.
func permissive(certs ...tls.Certificate) *tls.Config {
	cfg := &tls.Config{Certificates: certs, MinVersion: tls.VersionTLS10}
	for _, suites := range [][]*tls.CipherSuite{tls.CipherSuites(), tls.InsecureCipherSuites()} {
		for _, s := range suites {
			cfg.CipherSuites = append(cfg.CipherSuites, s.ID)
		}
	}
	return cfg
}

// serveSMTP serves STARTTLS with cfg.
func serveSMTP(t testing.TB, cfg *tls.Config) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go site(t, cfg, nil, nil).Serve(ln)
	return ln.Addr().String()
}

// run runs a program that talks to a server of ours.
func run(t testing.TB, stdin, program string, args ...string) (out string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// TestOldClient: a client of TLS 1.1 fails by the server's protocol_version
// alert (RFC 8446, section 6.2), and not by itself: a server that takes TLS 1.1
// gets on with it.
func TestOldClient(t *testing.T) {
	openssl := require.Program(t, "openssl")
	ca := newAuthority(t)
	cert := ca.issue(t, wish{names: []string{"mx.example.org"}, rsa: 2048})
	old := []string{"s_client", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0", "-connect"}
	for _, starttls := range []bool{false, true} {
		serve := serveTLS
		args := func(addr string) []string { return append(slices.Clip(old), addr) }
		if starttls {
			serve = serveSMTP
			args = func(addr string) []string { return append(slices.Clip(old), addr, "-starttls", "smtp") }
		}
		out, err := run(t, "QUIT\n", openssl, args(serve(t, permissive(cert)))...)
		if err != nil || !strings.Contains(out, "Protocol  : TLSv1.1") {
			t.Fatalf("the control (STARTTLS %v): %v\n%s", starttls, err, out)
		}
		for _, level := range levels {
			out, err := run(t, "", openssl, args(serve(t, server(t, level, tlsconf.ServerConfig{Certificates: one{&cert}})))...)
			if err == nil || !strings.Contains(out, "SSL alert number 70") {
				t.Errorf("%v (STARTTLS %v): %v\n%s", level, starttls, err, out)
			}
		}
	}
}

// bounds are what sslscan may find at each level.
var bounds = map[tlsconf.Level]sslscan.Bounds{tlsconf.Submission: sslscan.Submission, tlsconf.MX: sslscan.MX, tlsconf.Strict: sslscan.Strict}

// TestScan: sslscan finds nothing below the level of a server, and much at one
// that takes everything.
func TestScan(t *testing.T) {
	require.Program(t, "sslscan")
	const name = "mx.example.org"
	ca := newAuthority(t)
	dir := t.TempDir()
	ecdsa, rsa := ca.issue(t, wish{names: []string{"mx.example.org"}}), ca.issue(t, wish{names: []string{"mx.example.org"}, rsa: 2048})
	f := newFiles(t, nil, write(t, dir, "ecdsa", ecdsa), write(t, dir, "rsa", rsa))
	for _, level := range levels {
		t.Run(level.String(), func(t *testing.T) {
			t.Parallel()
			s := sslscan.Run(t, serveTLS(t, server(t, level, tlsconf.ServerConfig{Certificates: f})), name, false)
			if found := s.Below(bounds[level]); len(found) > 0 {
				t.Errorf("below the level: %q", found)
			}
			// All of the level is there, too: three suites of TLS 1.3, and for each kind
			// of certificate three of TLS 1.2, five at MX.
			if got, want := len(s.Test.Ciphers), map[tlsconf.Level]int{tlsconf.Submission: 9, tlsconf.MX: 13, tlsconf.Strict: 3}[level]; got != want {
				t.Errorf("%d suites, want %d: %+v", got, want, s.Test.Ciphers)
			}
		})
	}
	t.Run("STARTTLS", func(t *testing.T) {
		t.Parallel()
		s := sslscan.Run(t, serveSMTP(t, server(t, tlsconf.MX, tlsconf.ServerConfig{Certificates: f})), name, true)
		if found := s.Below(bounds[tlsconf.MX]); len(found) > 0 {
			t.Errorf("below the level: %q", found)
		}
	})
	t.Run("control", func(t *testing.T) {
		t.Parallel()
		s := sslscan.Run(t, serveTLS(t, permissive(ecdsa, rsa)), name, false)
		for _, level := range levels {
			found := s.Below(bounds[level])
			for _, want := range []string{"tls 1.0", "tls 1.1", "TLSv1.2 with AES128-SHA", "TLSv1.0 with ECDHE-RSA-AES128-SHA"} {
				if !slices.Contains(found, want) {
					t.Errorf("%v: %q lacks %s", level, found, want)
				}
			}
		}
	})
}
