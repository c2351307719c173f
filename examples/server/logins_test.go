package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard/auth"
	"github.com/smtpguard/smtpguard/tlsconf"
)

func TestPasswords(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "passwords")
	quiet := slog.New(slog.DiscardHandler)
	var out strings.Builder
	first, err := openPasswords(new(Config), dir, &out, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	m := regexp.MustCompile(`^login demo: password (\S{20,}) \(`).FindStringSubmatch(out.String())
	if m == nil {
		t.Fatalf("printed is %q", out.String())
	}
	password := m[1]
	kept, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(kept), password) || !strings.HasPrefix(string(kept), "demo:$argon2id$") {
		t.Errorf("kept is %q, %v", kept, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
	if !first.ScramTerms(auth.ScramSHA256).Every {
		t.Error("no SCRAM for the login that was made")
	}

	out.Reset()
	later, err := openPasswords(new(Config), dir, &out, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer later.Close()
	if out.String() != "passwords: "+file+"\n" {
		t.Errorf("later printed is %q", out.String())
	}
	if _, err := later.Verify(t.Context(), "demo", password); err != nil {
		t.Error(err)
	}
	if _, err := later.Verify(t.Context(), "demo", "guess"); !errors.Is(err, auth.ErrCredentials) {
		t.Errorf("a guess: %v", err)
	}

	for text, want := range map[string]string{"# x\ndemo\n": ":2: ", "demo:secret\n": ":1: "} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openPasswords(new(Config), dir, io.Discard, quiet); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A session ends with the login that it has, at the next message.
func TestLoginRemoved(t *testing.T) {
	file := passwords(t, "demo", "right")
	r := start(t, "", fmt.Sprintf("auth: {passwords: %q}\n", file))
	g, err := guessing("127.0.0.1", r.addr["submissions"], r.tls())
	if err != nil {
		t.Fatal(err)
	}
	defer g.nc.Close()
	if code, err := g.login("demo", "right"); code != 235 {
		t.Fatal(code, err)
	}
	said := func(line string, want int) {
		t.Helper()
		if code, err := g.say(line); code != want {
			t.Errorf("%s reads %d (%v), not %d", line, code, err, want)
		}
	}
	replace := func(text string) {
		t.Helper()
		before := strings.Count(r.log.String(), "password file taken over")
		if err := writeFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r.until("the new password file", func() bool { return strings.Count(r.log.String(), "password file taken over") > before })
	}
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	replace("ann:*\n" + string(kept)) // nothing of demo
	said("MAIL FROM:<demo@example.org>", 250)
	said("RSET", 250)
	replace("ann:*\n")
	said("MAIL FROM:<demo@example.org>", 421)
	if code := loginFrom("127.0.0.1", r.addr["submissions"], r.tls(), "demo", "right"); code != 535 {
		t.Errorf("a login that is gone reads %d", code)
	}
}

func TestSecret(t *testing.T) {
	dir := t.TempDir()
	first, err := secret(dir)
	if err != nil || len(first) != 32 {
		t.Fatalf("%x, %v", first, err)
	}
	again, err := secret(dir)
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("the secret is not kept: %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, "secret")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
}

func TestCertificate(t *testing.T) {
	dir := t.TempDir()
	cfg := &Config{Hostname: "mail.example.org"}
	get := func(wantMade bool) tls.Certificate {
		t.Helper()
		files, made, err := pairs(cfg, dir)
		if err != nil || made.IsZero() == wantMade || len(files) != 1 {
			t.Fatalf("%v, made until %v, %v", files, made, err)
		}
		cert, err := tls.LoadX509KeyPair(files[0].Certificate, files[0].Key)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	first := get(true)
	if again := get(false); !again.Leaf.Equal(first.Leaf) {
		t.Error("the certificate was not kept")
	}
	if info, err := os.Stat(filepath.Join(dir, "key.pem")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key's mode is %v, %v", info.Mode(), err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(first.Leaf)
	for _, name := range []string{"mail.example.org", "localhost", "127.0.0.1", "::1"} {
		if _, err := first.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Error(err)
		}
	}
	cfg.Hostname = "mx.example.net"
	if second := get(true); second.Leaf.Equal(first.Leaf) {
		t.Error("the certificate does not follow the name")
	}
	// One that is about to expire, and one whose key is another's.
	certPEM, keyPEM, err := selfSigned(cfg.Hostname, time.Now().Add(-certificateLife+renewBefore/2))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("certificate.pem", certPEM)
	write("key.pem", keyPEM)
	get(true)
	write("key.pem", keyPEM)
	get(true)
	get(false)
	// What the configuration names is never made.
	named := Pair{filepath.Join(dir, "none.pem"), filepath.Join(dir, "none.key")}
	cfg.TLS.Certificates = []Pair{named}
	if files, made, err := pairs(cfg, dir); err != nil || !made.IsZero() || len(files) != 1 || files[0] != tlsconf.Pair(named) {
		t.Errorf("%v, made until %v, %v", files, made, err)
	}
	if _, err := os.Stat(named.Certificate); err == nil {
		t.Error("a certificate out of nothing")
	}
}

func TestQuoted(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"postmaster":               "postmaster",
		"ann@example.org":          "ann@example.org",
		"a.b+c@example.org":        "a.b+c@example.org",
		"grün@example.org":         "grün@example.org",
		"a b@example.org":          `"a b"@example.org`,
		"a> SIZE=1@example.org":    `"a> SIZE=1"@example.org`,
		`a"b\c@example.org`:        `"a\"b\\c"@example.org`,
		"x@evil.example@y.example": `"x@evil.example"@y.example`,
		".a@example.org":           `".a"@example.org`,
		"a..b@example.org":         `"a..b"@example.org`,
		"a.@example.org":           `"a."@example.org`,
		"@example.org":             `""@example.org`,
	} {
		if got := quoted(in); got != want {
			t.Errorf("quoted(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestReplyOf(t *testing.T) {
	theirs := func(code int, ec ...int) error {
		e := &smtp.SMTPError{Code: code, Message: "secret\r\ninternals"}
		if len(ec) == 3 {
			e.EnhancedCode = smtp.EnhancedCode{ec[0], ec[1], ec[2]}
		}
		return e
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{theirs(550, 5, 1, 1), "550 5.1.1"},
		{theirs(552, 5, 3, 4), "552 5.3.4"},
		{theirs(503, 5, 5, 1), "554 5.5.1"},
		{theirs(550), "550 5.0.0"},
		{theirs(550, 2, 0, 0), "550 5.0.0"},
		{theirs(451, 4, 7, 1), "451 4.7.1"},
		{theirs(421, 4, 3, 2), "451 4.3.2"},
		{theirs(250, 2, 0, 0), "451 4.0.0"},
		{errors.New("connection refused"), "451 4.4.1"},
	} {
		r := replyOf(tt.err)
		ec := r.EnhancedCode
		if got := fmt.Sprintf("%d %d.%d.%d", r.Code, ec[0], ec[1], ec[2]); got != tt.want || strings.Contains(r.Message, "secret") {
			t.Errorf("%v becomes %s %s, want %s", tt.err, got, r.Message, tt.want)
		}
	}
}

// The log says for whose sake nobody is offered SCRAM.
func TestScramMissed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwords")
	if err := writePasswords(path, "demo", "right"); err != nil {
		t.Fatal(err)
	}
	said := func() string {
		var out strings.Builder
		file, err := openPasswords(&Config{Auth: Auth{Passwords: path}}, "", io.Discard, slog.New(slog.NewTextHandler(&out, nil)))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		return out.String()
	}
	if got := said(); got != "" {
		t.Errorf("where nothing lacks keys: %s", got)
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := auth.NewHash(auth.Argon2id, "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := writeFile(path, append(kept, "ann:"+hash.String()+"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := said(); !strings.Contains(got, "level=WARN") || !strings.Contains(got, "login=ann") {
		t.Errorf("where one does: %q", got)
	}
}
