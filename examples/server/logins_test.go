package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"golang.org/x/crypto/bcrypt"
)

func TestLogins(t *testing.T) {
	dir := t.TempDir()
	hash, err := bcrypt.GenerateFromPassword([]byte("given"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &Config{Users: []User{{Name: "demo"}, {Name: "ann", Hash: string(hash)}}}
	var out strings.Builder
	if _, err := newLogins(cfg, dir, make(gate, 1), &out); err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`^login demo: password (\S{20,}) \(`).FindStringSubmatch(out.String())
	if m == nil {
		t.Fatalf("printed is %q", out.String())
	}
	password := m[1]
	file := filepath.Join(dir, "passwords")
	kept, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(kept), password) || !strings.HasPrefix(string(kept), "demo:$2") || strings.Contains(string(kept), "ann") {
		t.Errorf("kept is %q, %v", kept, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}

	out.Reset()
	l, err := newLogins(cfg, dir, make(gate, 1), &out) // a later start
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), password) || !strings.Contains(out.String(), file) {
		t.Errorf("later printed is %q", out.String())
	}
	for _, tt := range []struct {
		name, password string
		want           error
	}{
		{"demo", password, nil},
		{"ann", "given", nil},
		{"demo", "given", smtp.ErrAuthFailed},
		{"demo", "", smtp.ErrAuthFailed},
		{"demo", password + strings.Repeat("x", maxPassword), smtp.ErrAuthFailed},
		{"nobody", password, smtp.ErrAuthFailed},
		{"", "", smtp.ErrAuthFailed},
	} {
		if err := l.check(context.Background(), tt.name, tt.password); err != tt.want {
			t.Errorf("check(%q, %q) = %v", tt.name, tt.password, err)
		}
	}

	l.gate <- struct{}{} // somebody is being checked
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var busy *smtp.SMTPError
	if err := l.check(ctx, "demo", password); !errors.As(err, &busy) || busy.Code != 454 {
		t.Errorf("with the gate shut: %v", err)
	}
}

func TestBadPasswordFile(t *testing.T) {
	for text, want := range map[string]string{"# x\ndemo\n": ":2: not name:hash", "demo:secret\n": "login demo has no bcrypt hash"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "passwords"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := newLogins(&Config{Users: []User{{Name: "demo"}}}, dir, make(gate, 1), new(strings.Builder))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestCertificate(t *testing.T) {
	dir := t.TempDir()
	cfg := &Config{Hostname: "mail.example.org"}
	get := func(wantMade bool) tls.Certificate {
		t.Helper()
		cert, made, err := certificate(cfg, dir)
		if err != nil || made != wantMade {
			t.Fatalf("made is %t, %v", made, err)
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
	cfg.TLS.Certificate, cfg.TLS.Key = filepath.Join(dir, "none.pem"), filepath.Join(dir, "none.pem")
	if _, _, err := certificate(cfg, dir); err == nil {
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

func TestOwns(t *testing.T) {
	cfg := &Config{
		Domains: []string{"example.org", "example.net"},
		Users:   []User{{Name: "demo"}, {Name: "ann", Addresses: []string{"Ann.B@example.com"}}},
	}
	for _, tt := range []struct {
		login, addr string
		want        bool
	}{
		{"demo", "demo@example.org", true},
		{"demo", "Demo+list@EXAMPLE.net", true},
		{"demo", "ann@example.org", false},
		{"demo", "demo@example.com", false},
		{"demo", "demo@x@example.org", false},
		{"demo", "demo", false},
		{"ann", "ann.b@example.com", true},
		{"ann", "ann@example.org", false},
		{"other", "other@example.org", false},
		{"", "@example.org", false},
	} {
		if got := cfg.owns(tt.login, tt.addr); got != tt.want {
			t.Errorf("owns(%q, %q) = %t", tt.login, tt.addr, got)
		}
	}
}
