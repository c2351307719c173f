package peer

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net/url"
	"strings"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// Names are those by which the client of a TLS connection may be known; none
// without a certificate.
//
//	sha256:2cf24d…                        its certificate's fingerprint, in hex
//	dns:host.example.org                  a DNS name in its subject alternative names,
//	email:ann@example.org                 a mailbox there,
//	uri:spiffe://example.org/mailer       a URI there,
//	subject:CN=mailer,O=Example           its subject (RFC 2253)
//
// The handshake proves that the client has the key, so the fingerprint holds
// for self-signed certificates too. The others are only those of a certificate
// that was verified.
func Names(state *tls.ConnectionState) []string {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	return namesOf(state.PeerCertificates[0], len(state.VerifiedChains) > 0)
}

// NamesIn is Names where pool says who signs clients' certificates, for a
// handshake that asked for one and did not verify it.
func NamesIn(state *tls.ConnectionState, pool *x509.CertPool) []string {
	certs := state.PeerCertificates
	if len(certs) == 0 {
		return nil
	}
	verified := len(state.VerifiedChains) > 0
	if !verified && pool != nil {
		between := x509.NewCertPool()
		for _, c := range certs[1:] {
			between.AddCert(c)
		}
		_, err := certs[0].Verify(x509.VerifyOptions{
			Roots: pool, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		verified = err == nil
	}
	return namesOf(certs[0], verified)
}

func namesOf(cert *x509.Certificate, verified bool) []string {
	names := []string{Fingerprint(cert)}
	if !verified {
		return names
	}
	add := func(name string) {
		if name, err := Normal(name); err == nil { // what is no name is nobody's
			names = append(names, name)
		}
	}
	for _, s := range cert.DNSNames {
		add("dns:" + s)
	}
	for _, s := range cert.EmailAddresses {
		add("email:" + s)
	}
	for _, u := range cert.URIs {
		add("uri:" + u.String())
	}
	add("subject:" + cert.Subject.String())
	return names
}

// Normal returns the normal form of a name, in which two spellings of it are
// equal as strings.
func Normal(name string) (string, error) {
	kind, value, _ := strings.Cut(name, ":")
	var err error
	switch kind {
	case "sha256":
		value = strings.ToLower(strings.ReplaceAll(value, ":", ""))
		if b, err := hex.DecodeString(value); err != nil || len(b) != sha256.Size {
			return "", errors.New("is not 64 hexadecimal digits, with or without colons")
		}
	case "dns":
		value, err = domain.Normal(value)
	case "email":
		at := strings.LastIndexByte(value, '@')
		if at < 1 {
			return "", errors.New("is no mailbox")
		}
		var host string
		host, err = domain.Normal(value[at+1:])
		value = value[:at+1] + host
	case "uri":
		var u *url.URL
		if u, err = url.Parse(value); err == nil {
			if value = u.String(); u.Scheme == "" {
				err = errors.New("is no absolute URI")
			}
		}
	case "subject":
		if value == "" {
			err = errors.New("is empty")
		}
	default:
		err = errors.New("must begin with one of sha256: dns: email: uri: subject: and go on")
	}
	return kind + ":" + value, err
}
