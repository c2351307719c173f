package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
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
	"sync"
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

// maildrop is a POP3 server without TLS that has one message.
type maildrop struct {
	addr string

	mu    sync.Mutex
	heard []string
}

func (m *maildrop) lines() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.heard
}

func newMaildrop(t *testing.T) *maildrop {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	m := &maildrop{addr: ln.Addr().String()}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go m.serve(c)
		}
	}()
	return m
}

func (m *maildrop) serve(c net.Conn) {
	defer c.Close()
	say := func(line string) { io.WriteString(c, line+"\r\n") }
	say("+OK maildrop")
	user := ""
	for lines := bufio.NewScanner(c); lines.Scan(); {
		m.mu.Lock()
		m.heard = append(m.heard, lines.Text())
		m.mu.Unlock()
		command, args, _ := strings.Cut(lines.Text(), " ")
		switch strings.ToUpper(command) {
		case "CAPA":
			say("+OK\r\nUSER\r\n.")
		case "USER":
			user = args
			say("+OK")
		case "PASS":
			if user != "demo" || args != "secret" {
				say("-ERR no")
				return
			}
			say("+OK")
		case "RETR":
			say("+OK\r\nSubject: Welcome\r\n\r\nYou came by TLS.\r\n.")
		case "QUIT":
			say("+OK")
			return
		default:
			say("-ERR unknown")
		}
	}
}

// serve runs the program until the test ends.
func serve(t *testing.T, pair tlsconf.Pair, server string) (implicit, startTLS string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- (&front{pair: pair, server: server, startTLS: "127.0.0.1:0", implicit: "127.0.0.1:0"}).run(ctx, w)
		w.Close()
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	lines := bufio.NewReader(r)
	read := func(format string) string {
		t.Helper()
		var addr string
		if _, err := fmt.Fscanf(lines, format, &addr); err != nil {
			t.Fatal(err)
		}
		_, port, err := net.SplitHostPort(strings.TrimSuffix(addr, ","))
		if err != nil {
			t.Fatal(err)
		}
		return port
	}
	return read("listening on %s STLS: false\n"), read("listening on %s STLS: true\n")
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

// TestCurl reads the message with a client that will not do without TLS.
func TestCurl(t *testing.T) {
	curl := require.Program(t, "curl")
	pair, m := certificate(t), newMaildrop(t)
	implicit, startTLS := serve(t, pair, m.addr)
	args := []string{"--silent", "--show-error", "--noproxy", "*", "--ssl-reqd", "--cacert", pair.Certificate, "--user"}
	for _, url := range []string{"pop3s://localhost:" + implicit, "pop3://localhost:" + startTLS} {
		out, err := run(t, "", curl, append(args, "demo:secret", url+"/1")...)
		if err != nil || !strings.Contains(out, "You came by TLS.") {
			t.Errorf("%s: %v\n%s", url, err, out)
		}
		out, err = run(t, "", curl, append(args, "demo:wrong", url+"/1")...)
		if err == nil || strings.Contains(out, "You came by TLS.") {
			t.Errorf("%s with a wrong password: %v\n%s", url, err, out)
		}
	}
	before := len(m.lines())
	out, err := run(t, "", curl, "--silent", "--noproxy", "*", "--user", "demo:secret", "pop3://localhost:"+startTLS+"/1")
	if err == nil || strings.Contains(out, "You came by TLS.") || len(m.lines()) != before {
		t.Errorf("in clear text: %v\n%s\nthe server heard %q", err, out, m.lines()[before:])
	}
}

// TestOpenSSL speaks both ways of beginning TLS by hand.
func TestOpenSSL(t *testing.T) {
	openssl := require.Program(t, "openssl")
	pair, m := certificate(t), newMaildrop(t)
	implicit, startTLS := serve(t, pair, m.addr)
	for _, args := range [][]string{{"-connect", "127.0.0.1:" + implicit}, {"-connect", "127.0.0.1:" + startTLS, "-starttls", "pop3"}} {
		args = append([]string{"s_client", "-quiet", "-verify_return_error", "-CAfile", pair.Certificate, "-servername", "localhost"}, args...)
		out, err := run(t, "USER demo\r\nPASS secret\r\nRETR 1\r\nQUIT\r\n", openssl, args...)
		if err != nil || !strings.Contains(out, "You came by TLS.") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

// TestClearText: the server hears of no login that is tried before TLS.
func TestClearText(t *testing.T) {
	pair, m := certificate(t), newMaildrop(t)
	_, startTLS := serve(t, pair, m.addr)
	conn, err := net.Dial("tcp", "127.0.0.1:"+startTLS)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, "CAPA\r\nUSER demo\r\nPASS secret\r\nAUTH PLAIN AGRlbW8Ac2VjcmV0\r\nAPOP demo 0\r\nRETR 1\r\nQUIT\r\n")
	got, err := io.ReadAll(conn)
	const want = "+OK Ready for STLS\r\n+OK Capabilities\r\nSTLS\r\n.\r\n" +
		"-ERR STLS first\r\n-ERR STLS first\r\n-ERR STLS first\r\n-ERR STLS first\r\n" +
		"-ERR Only CAPA, STLS and QUIT before TLS\r\n+OK Closing connection\r\n"
	if string(got) != want || err != nil {
		t.Errorf("got %v\n%s\nwant\n%s", err, got, want)
	}
	if heard := m.lines(); len(heard) > 0 {
		t.Errorf("the server heard %q", heard)
	}
}

// TestServerAway: a client hears that there is no server.
func TestServerAway(t *testing.T) {
	implicit, _ := serve(t, certificate(t), require.Addr(t).String())
	conn, err := tls.Dial("tcp", "127.0.0.1:"+implicit, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if got, _ := io.ReadAll(conn); !strings.HasPrefix(string(got), "-ERR [SYS/TEMP] ") {
		t.Errorf("%q", got)
	}
}
