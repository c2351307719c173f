package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/internal/require"
)

// swaks plays one session and returns it, with the exit code.
func (r *running) swaks(args ...string) (string, int) {
	r.t.Helper()
	out, err := command(r.t, require.Program(r.t, "swaks"), append([]string{"--helo", "client.example", "--timeout", "20"}, args...)...)
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		r.t.Fatal(err)
	}
	code := 0
	if err != nil {
		code = err.(*exec.ExitError).ExitCode()
	}
	return out, code
}

func TestSwaks(t *testing.T) {
	require.Program(t, "swaks")
	r := start(t, "", "")
	in, sub, subs := r.addr["inbound"], r.addr["submission"], r.addr["submissions"]
	verified := []string{"--tls-verify", "--tls-sni", "mail.example.org", "--tls-ca-path", r.data("certificate.pem")}
	login := []string{"-a", "PLAIN", "-au", "demo", "-ap", r.password()}
	for _, tt := range []struct {
		name    string
		args    []string
		want    string // in the dialogue
		mailbox string // gets the message
	}{
		{"plain", []string{"-s", in, "-f", "a@client.example", "-t", "plain@example.org"}, "250 2.0.0 OK", "example.org/plain"},
		{"STARTTLS inbound", append([]string{"-s", in, "-tls", "-f", "a@client.example", "-t", "tls@example.org"}, verified...), "250 2.0.0 OK", "example.org/tls"},
		{"null reverse-path", []string{"-s", in, "-f", "<>", "-t", "bounce@example.org"}, "250 2.0.0 OK", "example.org/bounce"},
		{"detail", []string{"-s", in, "-f", "a@client.example", "-t", "Detail+x@EXAMPLE.org"}, "250 2.0.0 OK", "example.org/detail"},
		{"traversal", []string{"-s", in, "-f", "a@client.example", "-t", `"../../up"@example.org`}, "250 2.0.0 OK", "example.org/%2e.%2f..%2fup"},
		{"STARTTLS and AUTH", append(append([]string{"-s", sub, "-tls", "-f", "demo@example.org", "-t", "sub@example.org"}, verified...), login...), "250 2.0.0 OK", "example.org/sub"},
		{"implicit TLS", append(append([]string{"-s", subs, "--tls-on-connect", "-f", "demo+x@example.org", "-t", "subs@example.org"}, verified...), login...), "250 2.0.0 OK", "example.org/subs"},

		{"relay inbound", []string{"-s", in, "-f", "a@client.example", "-t", "b@example.com"}, "550 5.7.1 Relaying refused", ""},
		{"relay inbound in our name", []string{"-s", in, "-f", "demo@example.org", "-t", "b@example.com"}, "550 5.7.1 Relaying refused", ""},
		{"relay by demo without a route", append([]string{"-s", subs, "--tls-on-connect", "-f", "demo@example.org", "-t", "b@example.com"}, login...), "550 5.7.1 Relaying refused", ""},
		{"another's name", append([]string{"-s", subs, "--tls-on-connect", "-f", "ann@example.org", "-t", "no@example.org"}, login...), "553 5.7.1", ""},
		{"no login", []string{"-s", subs, "--tls-on-connect", "-f", "demo@example.org", "-t", "no@example.org"}, "530 5.7.0 Authentication required", ""},
		{"no TLS", []string{"-s", sub, "-f", "demo@example.org", "-t", "no@example.org"}, "530 5.7.0", ""},
		{"wrong password", []string{"-s", subs, "--tls-on-connect", "-a", "PLAIN", "-au", "demo", "-ap", "guess", "-f", "demo@example.org", "-t", "no@example.org"}, "535 5.7.8", ""},
		{"other mechanism", []string{"-s", subs, "--tls-on-connect", "-a", "CRAM-MD5", "-au", "demo", "-ap", "x", "-f", "demo@example.org", "-t", "no@example.org"}, "Auth not attempted", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, code := r.swaks(tt.args...)
			if !strings.Contains(out, tt.want) || (code == 0) != (tt.mailbox != "") {
				t.Fatalf("exit code %d, wanted %q:\n%s", code, tt.want, out)
			}
			if tt.mailbox == "" {
				return
			}
			got := r.mail(tt.mailbox)
			if len(got) != 1 || !strings.Contains(got[0], "This is a test mailing") || !strings.HasPrefix(got[0], "Return-Path: <") || !strings.Contains(got[0], "\r\nDelivered-To: ") {
				t.Errorf("%s has %q", tt.mailbox, got)
			}
		})
	}
	if got := r.mail("example.org/no"); len(got) != 0 {
		t.Errorf("refused mail was delivered: %q", got)
	}
}

// AUTH is offered where it can be used, and nowhere else.
func TestAuthOffered(t *testing.T) {
	require.Program(t, "swaks")
	r := start(t, "", "")
	for _, tt := range []struct {
		name, address string
		args          []string
		offered       bool
	}{
		{"inbound", r.addr["inbound"], nil, false},
		{"inbound under TLS", r.addr["inbound"], []string{"-tls"}, false},
		{"submission in clear text", r.addr["submission"], nil, false},
		{"submission under TLS", r.addr["submission"], []string{"-tls"}, true},
		{"implicit TLS", r.addr["submissions"], []string{"--tls-on-connect"}, true},
	} {
		out, code := r.swaks(append([]string{"-s", tt.address, "-q", "HELO"}, tt.args...)...)
		if code != 0 || strings.Contains(out, "AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN") != tt.offered || strings.Contains(out, "AUTH") != tt.offered {
			t.Errorf("%s: AUTH offered should be %t; exit code %d\n%s", tt.name, tt.offered, code, out)
		}
	}
}
