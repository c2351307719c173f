package auth_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/internal/require"
)

// site is a lab for programs of others.
type site struct {
	*lab
	used       chan string // mechanisms that somebody logged in by
	host, port string
	ca         string // file
}

func newSite(t *testing.T) *site {
	s := &site{used: make(chan string, 100)}
	seen := smtpguard.Check{Name: "seen", AuthDone: func(_ context.Context, _ *smtpguard.Conn, a *smtpguard.AuthAttempt) {
		if a.Err == nil {
			s.used <- a.Mechanism
		}
	}}
	senders, err := auth.NewSenders(auth.SendersConfig{})
	if err != nil {
		t.Fatal(err)
	}
	s.lab = newLab(t, auth.Config{Store: fullStore(t), Tokens: bothTokens, Mechanisms: allMechanisms[1:]}, seen, auth.Required(), senders.Check())
	s.host, s.port, _ = net.SplitHostPort(s.start(t))
	s.host = "localhost"
	s.ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(s.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

const mailText = "From: Ann <ann@example.org>\nTo: bob@example.org\nSubject: test\n\nhello\n"

// run runs a program in a minute and returns what it said.
func run(t *testing.T, stdin, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, require.Program(t, name), args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Real clients log in and send, and with a wrong password do not.
func TestPeers(t *testing.T) {
	s := newSite(t)
	python := `
import smtplib, ssl, sys
c = smtplib.SMTP(sys.argv[1], int(sys.argv[2]), timeout=30)
c.starttls(context=ssl.create_default_context(cafile=sys.argv[3]))
c.ehlo()
c.user, c.password = "ann@example.org", sys.argv[4]
c.auth(sys.argv[5], getattr(c, sys.argv[6]))
c.sendmail("ann@example.org", ["bob@example.org"], sys.stdin.read())
c.quit()`
	for _, tt := range []struct {
		program   string
		mechanism string
		run       func(t *testing.T, password string) (string, error)
	}{
		{"swaks", auth.Plain, func(t *testing.T, password string) (string, error) {
			return s.swaks(t, "PLAIN", password)
		}},
		{"swaks", auth.Login, func(t *testing.T, password string) (string, error) {
			return s.swaks(t, "LOGIN", password)
		}},
		{"curl", auth.Plain, func(t *testing.T, password string) (string, error) {
			return s.curl(t, "--user", "ann@example.org:"+password, "--login-options", "AUTH=PLAIN")
		}},
		{"curl", auth.Login, func(t *testing.T, password string) (string, error) {
			return s.curl(t, "--user", "ann@example.org:"+password, "--login-options", "AUTH=LOGIN")
		}},
		{"curl", auth.OAuthBearer, func(t *testing.T, password string) (string, error) {
			return s.curl(t, "--user", "ann@example.org", "--oauth2-bearer", token(password), "--login-options", "AUTH=OAUTHBEARER")
		}},
		{"msmtp", auth.Plain, func(t *testing.T, password string) (string, error) { return s.msmtp(t, "plain", password) }},
		{"msmtp", auth.ScramSHA256, func(t *testing.T, password string) (string, error) { return s.msmtp(t, "scram-sha-256", password) }},
		{"msmtp", auth.ScramSHA1, func(t *testing.T, password string) (string, error) { return s.msmtp(t, "scram-sha-1", password) }},
		{"msmtp", auth.XOAuth2, func(t *testing.T, password string) (string, error) {
			return s.msmtp(t, "xoauth2", token(password))
		}},
		{"python3", auth.Plain, func(t *testing.T, password string) (string, error) {
			return run(t, mailText, "python3", "-c", python, s.host, s.port, s.ca, password, "PLAIN", "auth_plain")
		}},
		{"python3", auth.Login, func(t *testing.T, password string) (string, error) {
			return run(t, mailText, "python3", "-c", python, s.host, s.port, s.ca, password, "LOGIN", "auth_login")
		}},
	} {
		t.Run(tt.program+"/"+tt.mechanism, func(t *testing.T) {
			require.Program(t, tt.program)
			if out, err := tt.run(t, "wrong"); err == nil {
				t.Errorf("a wrong password is right:\n%s", out)
			}
			if out, err := tt.run(t, "secret"); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if got := <-s.used; got != tt.mechanism {
				t.Errorf("logged in by %s", got)
			}
			by := s.box.senders()
			if by[len(by)-1] != "ann@example.org/" || len(s.used) != 0 {
				t.Errorf("mail of %q", by)
			}
		})
	}
}

func token(password string) string {
	if password == "secret" {
		return "good-token"
	}
	return "bad-token"
}

func (s *site) swaks(t *testing.T, mechanism, password string) (string, error) {
	return run(t, "", "swaks", "--server", s.host, "--port", s.port, "--timeout", "30", "-tls", "--tls-verify", "--tls-ca-path", s.ca, "--tls-sni", "localhost",
		"-a", mechanism, "-au", "ann@example.org", "-ap", password, "-f", "ann@example.org", "-t", "bob@example.org", "--data", strings.ReplaceAll(mailText, "\n", `\n`))
}

func (s *site) curl(t *testing.T, args ...string) (string, error) {
	return run(t, strings.ReplaceAll(mailText, "\n", "\r\n"), "curl", append([]string{"--silent", "--show-error", "--verbose", "--ssl-reqd", "--cacert", s.ca, "--max-time", "30",
		"--url", "smtp://" + net.JoinHostPort(s.host, s.port) + "/client.example", "--mail-from", "ann@example.org", "--mail-rcpt", "bob@example.org", "--upload-file", "-"}, args...)...)
}

func (s *site) msmtp(t *testing.T, mechanism, password string) (string, error) {
	return run(t, mailText, "msmtp", "--file=", "--host="+s.host, "--port="+s.port, "--timeout=30", "--tls=on", "--tls-trust-file="+s.ca, "--domain=client.example",
		"--auth="+mechanism, "--user=ann@example.org", fmt.Sprintf("--passwordeval=echo %s", password), "--from=ann@example.org", "--debug", "--", "bob@example.org")
}

// GNU SASL binds its login to the TLS channel.
func TestGSASL(t *testing.T) {
	require.Program(t, "gsasl")
	s := newSite(t)
	for _, mechanism := range []string{auth.Plain, auth.Login, auth.ScramSHA1, auth.ScramSHA256, auth.ScramSHA1Plus, auth.ScramSHA256Plus} {
		t.Run(mechanism, func(t *testing.T) {
			try := func(password string) (string, error) {
				args := []string{"--smtp", "--client", "--connect", net.JoinHostPort("localhost", s.port), "--x509-ca-file=" + s.ca, "--verbose",
					"--mechanism=" + mechanism, "--authentication-id=ann@example.org", "--password=" + password}
				if !strings.HasSuffix(mechanism, "-PLUS") {
					args = append(args, "--no-cb") // or it would say that it cannot see what is offered
				}
				return run(t, "", "gsasl", args...)
			}
			if out, err := try("wrong"); err == nil {
				t.Errorf("a wrong password is right:\n%s", out)
			}
			if out, err := try("secret"); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if got := <-s.used; got != mechanism {
				t.Errorf("logged in by %s", got)
			}
		})
	}
}
