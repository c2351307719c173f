package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/internal/require"
	"github.com/smtpguard/smtpguard/tlsconf"
)

// certificate makes files of a certificate for localhost that signs itself.
func certificate(t *testing.T) tlsconf.Pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	pair := tlsconf.Pair{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for path, block := range map[string]*pem.Block{pair.Certificate: {Type: "CERTIFICATE", Bytes: cert}, pair.Key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return pair
}

// serve runs the program until the test ends.
func serve(t *testing.T, pair tlsconf.Pair) (password, implicit, startTLS string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- (&settings{pair: pair, startTLS: "127.0.0.1:0", implicit: "127.0.0.1:0"}).run(ctx, w)
		w.Close()
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	lines := bufio.NewReader(r)
	read := func(format string, v ...any) {
		t.Helper()
		if _, err := fmt.Fscanf(lines, format, v...); err != nil {
			t.Fatal(err)
		}
	}
	read("login demo, password %s\n", &password)
	read("listening on %s STARTTLS: false\n", &implicit)
	read("listening on %s STARTTLS: true\n", &startTLS)
	port := func(addr string) string {
		_, port, err := net.SplitHostPort(strings.TrimSuffix(addr, ","))
		if err != nil {
			t.Fatal(err)
		}
		return port
	}
	return password, port(implicit), port(startTLS)
}

func run(t *testing.T, stdin, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestCurl reads the mailbox with a client that will not do without TLS.
func TestCurl(t *testing.T) {
	curl := require.Program(t, "curl")
	pair := certificate(t)
	password, implicit, startTLS := serve(t, pair)
	args := []string{"--silent", "--show-error", "--noproxy", "*", "--ssl-reqd", "--cacert", pair.Certificate, "--user", login + ":" + password}
	for _, url := range []string{"imaps://localhost:" + implicit, "imap://localhost:" + startTLS} {
		out, err := run(t, "", curl, append(args, url+"/INBOX;MAILINDEX=1")...)
		if err != nil || !strings.Contains(out, "You came by TLS.") {
			t.Errorf("%s: %v\n%s", url, err, out)
		}
		out, err = run(t, "", curl, append(args, "--user", login+":wrong", url+"/INBOX;MAILINDEX=1")...)
		if err == nil || strings.Contains(out, "You came by TLS.") {
			t.Errorf("%s with a wrong password: %v\n%s", url, err, out)
		}
	}
	// Without TLS it gets nowhere, and hears so before it gives the password away.
	out, err := run(t, "", curl, "--silent", "--verbose", "--noproxy", "*", "--user", login+":"+password, "imap://localhost:"+startTLS+"/INBOX;MAILINDEX=1")
	if err == nil || strings.Contains(out, "You came by TLS.") || strings.Contains(out, password) || !strings.Contains(out, "LOGINDISABLED") {
		t.Errorf("in clear text: %v\n%s", err, out)
	}
}

// TestOpenSSL speaks both ways of beginning TLS by hand.
func TestOpenSSL(t *testing.T) {
	openssl := require.Program(t, "openssl")
	pair := certificate(t)
	password, implicit, startTLS := serve(t, pair)
	for _, args := range [][]string{{"-connect", "127.0.0.1:" + implicit}, {"-connect", "127.0.0.1:" + startTLS, "-starttls", "imap"}} {
		args = append([]string{"s_client", "-quiet", "-verify_return_error", "-CAfile", pair.Certificate, "-servername", "localhost"}, args...)
		out, err := run(t, "a LOGIN demo "+password+"\r\nb SELECT INBOX\r\nc LOGOUT\r\n", openssl, args...)
		if err != nil || !strings.Contains(out, "* 1 EXISTS") || !strings.Contains(out, "c OK") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

// TestClearText: there is no login before TLS, however it is tried.
func TestClearText(t *testing.T) {
	password, _, startTLS := serve(t, certificate(t))
	conn, err := net.Dial("tcp", "127.0.0.1:"+startTLS)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, "a CAPABILITY\r\nb LOGIN demo "+password+"\r\nc AUTHENTICATE PLAIN\r\nd LOGIN {4+}\r\ndemo \""+password+"\"\r\ne SELECT INBOX\r\nf LOGOUT\r\n")
	got, err := io.ReadAll(conn)
	const want = "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] Ready for STARTTLS\r\n" +
		"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na OK Done\r\n" +
		"b NO [PRIVACYREQUIRED] STARTTLS first\r\nc NO [PRIVACYREQUIRED] STARTTLS first\r\nd NO [PRIVACYREQUIRED] STARTTLS first\r\n" +
		"demo BAD Only CAPABILITY, NOOP, STARTTLS and LOGOUT before TLS\r\n" +
		"e BAD Only CAPABILITY, NOOP, STARTTLS and LOGOUT before TLS\r\n* BYE Closing connection\r\nf OK Done\r\n"
	if string(got) != want || err != nil {
		t.Errorf("got %v\n%s\nwant\n%s", err, got, want)
	}
}

func TestErrors(t *testing.T) {
	pair := certificate(t)
	for want, s := range map[string]settings{
		"FilesConfig.Pairs[0]": {},
		"is no Level":          {pair: pair, level: 9},
		"missing port":         {pair: pair, implicit: "localhost"},
	} {
		if err := s.run(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
