package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/internal/require"
)

// GNU SASL logs in by every mechanism that is offered, bound to its channel where
// there is one to bind to, and by none that is not.
func TestGSASL(t *testing.T) {
	gsasl := require.Program(t, "gsasl")
	r := start(t, "", "")
	_, port, err := net.SplitHostPort(r.addr["submission"])
	if err != nil {
		t.Fatal(err)
	}
	for mechanism, offered := range map[string]bool{
		auth.Plain: true, auth.ScramSHA256: true, auth.ScramSHA256Plus: true, auth.Login: false, auth.ScramSHA1: false,
	} {
		for password, right := range map[string]bool{r.password(): true, "guess": false} {
			args := []string{"--smtp", "--client", "--connect", net.JoinHostPort("localhost", port), "--x509-ca-file=" + r.data("certificate.pem"), "--verbose",
				"--mechanism=" + mechanism, "--authentication-id=demo", "--password=" + password}
			if !strings.HasSuffix(mechanism, "-PLUS") {
				args = append(args, "--no-cb")
			}
			out, err := command(t, gsasl, args...)
			if (err == nil) != (offered && right) {
				t.Errorf("%s, password right: %t: %v\n%s", mechanism, right, err, out)
			}
		}
	}
}

// A Postfix whose relayhost wants a login has one, and sends what is its own.
func TestPostfixLogsIn(t *testing.T) {
	require.Program(t, "postfix")
	if os.Getuid() != 0 {
		t.Skip("a Postfix instance of its own needs root")
	}
	r := start(t, "", "")
	at, err := net.ResolveTCPAddr("tcp", r.addr["submission"])
	if err != nil {
		t.Fatal(err)
	}
	p := startPostfix(t, r.addr["submission"],
		"smtp_tls_security_level = secure",
		"smtp_tls_secure_cert_match = mail.example.org",
		"smtp_tls_CAfile = "+readable(t, r.data("certificate.pem")),
		"smtp_sasl_auth_enable = yes",
		"smtp_sasl_security_options = noanonymous",
		"smtp_sasl_password_maps = inline:{{["+at.IP.String()+"]:"+strings.TrimPrefix(r.addr["submission"], at.IP.String()+":")+"=demo:"+r.password()+"}}")
	if err := send(p.addr, "demo@example.org", "ann@example.org", "From: demo@example.org\r\nSubject: mine\r\n\r\nx\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := send(p.addr, "ann@example.org", "ann@example.org", "From: ann@example.org\r\nSubject: another's\r\n\r\nx\r\n"); err != nil {
		t.Fatal(err)
	}
	r.until("one message is there", func() bool { return len(r.mail("example.org/ann")) > 0 || t.Failed() })
	r.until("the other is refused", func() bool {
		return strings.Contains(p.log(), "553 5.7.1") && strings.Contains(p.log(), "status=bounced")
	})
	got := r.mail("example.org/ann")
	if len(got) != 1 || !strings.Contains(got[0], "Subject: mine") || !strings.Contains(got[0], "with ESMTPSA") {
		t.Errorf("ann has %q", got)
	}
}

// readable copies a file to where users of other programs may read it.
func readable(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "smtpguard-readable-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, filepath.Base(file))
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
