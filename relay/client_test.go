package relay

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"slices"
	"testing"
	"time"
)

// issue makes a certificate, signed by parent or, without one, by itself.
func issue(t *testing.T, template x509.Certificate, parent *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	cert := tls.Certificate{PrivateKey: key}
	signer, signerKey := &template, any(key)
	if parent != nil {
		signer, signerKey = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, signer, &key.PublicKey, signerKey)
	if err != nil {
		t.Fatal(err)
	}
	cert.Certificate = [][]byte{der}
	if cert.Leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return cert
}

// handshake returns what a server knows of a client with certs.
func handshake(t *testing.T, server tls.Certificate, auth tls.ClientAuthType, ca *x509.Certificate, cert ...tls.Certificate) tls.ConnectionState {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	c, s := net.Pipe()
	defer c.Close()
	defer s.Close()
	deadline := time.Now().Add(30 * time.Second)
	c.SetDeadline(deadline)
	s.SetDeadline(deadline)
	client := tls.Client(c, &tls.Config{
		InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { // whoever the server trusts
			return &append(cert, tls.Certificate{})[0], nil
		},
	})
	go client.Handshake()
	conn := tls.Server(s, &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: auth, ClientCAs: pool, SessionTicketsDisabled: true})
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	return conn.ConnectionState()
}

func TestCertificateNames(t *testing.T) {
	ca := issue(t, x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, Subject: pkix.Name{CommonName: "CA"}}, nil)
	server := issue(t, x509.Certificate{DNSNames: []string{"mx.example.org"}}, nil)
	names := x509.Certificate{
		Subject:        pkix.Name{CommonName: "mailer", Organization: []string{"Example"}},
		ExtKeyUsage:    []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		DNSNames:       []string{"Mailer.example.org", "*.example.org"},
		EmailAddresses: []string{"Ann@Example.org"},
		URIs:           []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/mailer"}},
	}
	signed, self := issue(t, names, &ca), issue(t, names, nil)
	fingerprint := func(c tls.Certificate) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(c.Certificate[0])) }

	for _, tt := range []struct {
		name  string
		state tls.ConnectionState
		want  []string
	}{
		{"none", handshake(t, server, tls.VerifyClientCertIfGiven, ca.Leaf), nil},
		{"no TLS", tls.ConnectionState{}, nil},
		{"verified", handshake(t, server, tls.VerifyClientCertIfGiven, ca.Leaf, signed), []string{
			fingerprint(signed), "dns:mailer.example.org", "email:Ann@example.org", "uri:spiffe://example.org/mailer", "subject:CN=mailer,O=Example",
		}},
		// Anybody can write any name into a certificate nobody verified.
		{"self-signed", handshake(t, server, tls.RequestClientCert, ca.Leaf, self), []string{fingerprint(self)}},
		{"signed but not verified", handshake(t, server, tls.RequireAnyClientCert, ca.Leaf, signed), []string{fingerprint(signed)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := CertificateNames(tt.state); !slices.Equal(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}

	for _, entry := range CertificateNames(handshake(t, server, tls.VerifyClientCertIfGiven, ca.Leaf, signed)) {
		r := mustNew(t, Rules{Grants: []Grant{{Certificates: []string{entry}, To: []string{"*"}}}})
		for _, c := range []struct {
			state tls.ConnectionState
			kind  Kind
		}{
			{handshake(t, server, tls.VerifyClientCertIfGiven, ca.Leaf, signed), Outbound},
			{handshake(t, server, tls.RequestClientCert, ca.Leaf, self), Refused},
			{handshake(t, server, tls.VerifyClientCertIfGiven, ca.Leaf), Refused},
		} {
			if d := r.Decide(Client{Certificates: CertificateNames(c.state)}, "user@foreign.example"); d.Kind != c.kind {
				t.Errorf("%s: %v, want %v", entry, d.Kind, c.kind)
			}
		}
	}
}
