package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard/internal/require"
	"github.com/smtpguard/smtpguard/internal/sslscan"
)

// sslscan finds nothing below the level of any listener. With
// SMTPGUARD_ARTIFACTS its output is kept in that folder.
func TestScan(t *testing.T) {
	require.Program(t, "sslscan")
	r := start(t, "", "")
	for _, tt := range []struct {
		listener string
		starttls bool
		bounds   sslscan.Bounds
	}{
		{"inbound", true, sslscan.MX},
		{"submission", true, sslscan.Submission},
		{"submissions", false, sslscan.Submission},
	} {
		s := sslscan.Run(t, r.addr[tt.listener], "mail.example.org", tt.starttls)
		if found := s.Below(tt.bounds); len(found) > 0 {
			t.Errorf("%s is below its level: %q", tt.listener, found)
		}
		if dir := os.Getenv("SMTPGUARD_ARTIFACTS"); dir != "" {
			if err := os.WriteFile(filepath.Join(dir, "sslscan-"+tt.listener+".xml"), []byte(s.Output), 0o644); err != nil {
				t.Error(err)
			}
		}
	}
}

// clientCertificate makes a certificate for a client, by a CA in a file of its
// own.
func clientCertificate(t *testing.T, name string) (cert tls.Certificate, ca string) {
	t.Helper()
	var keys [2]*ecdsa.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, &keys[0].PublicKey, keys[0])
	if err != nil {
		t.Fatal(err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, &keys[1].PublicKey, keys[0])
	if err != nil {
		t.Fatal(err)
	}
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: keys[1]}, ca
}

// A client's certificate is its login: by EXTERNAL where mail is submitted, by
// itself where servers come in.
func TestClientCertificates(t *testing.T) {
	named, ca := clientCertificate(t, "host.client.example")
	printed, _ := clientCertificate(t, "demo.client.example")
	stranger, _ := clientCertificate(t, "host.client.example") // of another CA
	sum := sha256.Sum256(printed.Certificate[0])
	out := startNext(t)
	r := start(t, "", fmt.Sprintf(`
route: {address: %q, tls: none}
relay: [{name: hosts, logins: [host, demo], to: ["*"]}]
auth:
  authorities: %q
  certificates:
    - {name: "dns:host.client.example", login: host}
    - {name: "sha256:%s", login: demo}
    - {name: "dns:demo.client.example", login: nobody}
`, out.addr, ca, hex.EncodeToString(sum[:])))
	with := func(cert tls.Certificate) *tls.Config {
		tc := r.tls()
		tc.Certificates = []tls.Certificate{cert}
		return tc
	}

	// By EXTERNAL demo logs in, whose account there is; host has none.
	for _, tt := range []struct {
		who  string
		cert tls.Certificate
		ok   bool
	}{{"demo", printed, true}, {"host", named, false}} {
		c, err := smtp.DialTLS(r.addr["submissions"], with(tt.cert))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if !c.SupportsAuth("EXTERNAL") {
			t.Fatalf("%s is not offered EXTERNAL", tt.who)
		}
		if err := c.Auth(sasl.NewExternalClient("")); (err == nil) != tt.ok {
			t.Errorf("%s: EXTERNAL: %v", tt.who, err)
		}
		if !tt.ok {
			continue
		}
		if err := c.SendMail("demo@example.org", []string{"b@example.com"}, strings.NewReader("From: demo@example.org\r\n\r\nx\r\n")); err != nil {
			t.Error(err)
		}
	}
	if c, err := smtp.DialTLS(r.addr["submissions"], r.tls()); err != nil {
		t.Error(err)
	} else {
		defer c.Close()
		if c.SupportsAuth("EXTERNAL") {
			t.Error("EXTERNAL is offered to a client without a certificate")
		}
	}

	for _, tt := range []struct {
		who  string
		cert tls.Certificate
		code int
	}{
		{"host", named, 0},
		{"demo", printed, 550}, // an account has to log in, and sends in its own name
		{"a stranger", stranger, 550},
	} {
		c, err := smtp.DialStartTLS(r.addr["inbound"], with(tt.cert))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		err = c.SendMail("a@client.example", []string{"c@example.com"}, strings.NewReader("x\r\n"))
		if code(err) != tt.code || err != nil && tt.code == 0 {
			t.Errorf("%s relays: %v", tt.who, err)
		}
	}
	if got := out.mail(); len(got) != 2 {
		t.Errorf("next host has %q", got)
	}
}

// Mail that asks for TLS gets it all the way, or is refused; so does mail that
// we want it for.
func TestRequireTLS(t *testing.T) {
	certPEM, keyPEM, err := selfSigned("localhost", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	trust := filepath.Join(t.TempDir(), "trust.pem")
	if err := os.WriteFile(trust, certPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", trust) // the server trusts its next hosts by it
	safe, plain := startNextTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}}), startNext(t)
	r := start(t, "", fmt.Sprintf(`
relayed:
  - {domain: safe.example, route: {address: %q}}
  - {domain: plain.example, route: {address: %q, tls: none}}
tls: {require: {to: [ward@example.org]}}
`, safe.addr, plain.addr))
	for _, tt := range []struct {
		name, to string
		starttls bool
		asked    bool
		code     int
	}{
		{"asked for, to us", "ann@example.org", true, true, 0},
		{"asked for, safe route", "b@safe.example", true, true, 0},
		{"asked for, plain route", "b@plain.example", true, true, 550},
		{"not asked for", "b@plain.example", true, false, 0},
		{"wanted by us", "ward@example.org", false, false, 530},
		{"wanted by us, and there", "ward@example.org", true, false, 0},
	} {
		dial := smtp.Dial
		if tt.starttls {
			dial = func(addr string) (*smtp.Client, error) { return smtp.DialStartTLS(addr, r.tls()) }
		}
		c, err := dial(r.addr["inbound"])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		err = c.Mail("a@client.example", &smtp.MailOptions{RequireTLS: tt.asked})
		if err == nil {
			err = c.Rcpt(tt.to, nil)
		}
		if err == nil {
			var w interface {
				Write([]byte) (int, error)
				Close() error
			}
			if w, err = c.Data(); err == nil {
				if _, err = w.Write([]byte("x\r\n")); err == nil {
					err = w.Close()
				}
			}
		}
		if code(err) != tt.code || err != nil && tt.code == 0 {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if got := safe.mail(); len(got) != 1 || !strings.HasPrefix(got[0], "a@client.example REQUIRETLS b@safe.example\n") {
		t.Errorf("the safe host has %q", got)
	}
	if got := plain.mail(); len(got) != 1 {
		t.Errorf("the plain host has %q", got)
	}
}
