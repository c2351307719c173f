// Package peer says what a TLS handshake agreed on, and by which names the
// other side may be known.
package peer

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"strings"
)

// Channel is what a handshake agreed on, in registered names.
type Channel struct {
	Version string // "TLS 1.3"
	Suite   string // as in the TLS Cipher Suites registry
	Group   string // as in the TLS Supported Groups registry; "" for none
	Client  string // the fingerprint of the client's certificate; "" for none
	Subject string // of that certificate, where it was verified (RFC 2253)
}

// ChannelOf reads state, that of a server's side.
func ChannelOf(state *tls.ConnectionState) *Channel {
	c := &Channel{
		Version: tls.VersionName(state.Version),
		Suite:   tls.CipherSuiteName(state.CipherSuite),
		Group:   Group(state.CurveID),
	}
	if len(state.PeerCertificates) > 0 {
		leaf := state.PeerCertificates[0]
		c.Client = Fingerprint(leaf)
		if len(state.VerifiedChains) > 0 {
			c.Subject = leaf.Subject.String()
		}
	}
	return c
}

// String is c on one line. The subject is the client's own text: it comes last.
func (c *Channel) String() string {
	words := []string{c.Version, c.Suite}
	if c.Group != "" {
		words = append(words, c.Group)
	}
	if c.Client != "" {
		words = append(words, "client", c.Client)
	}
	if c.Subject != "" {
		words = append(words, c.Subject)
	}
	return strings.Join(words, " ")
}

// Group is the registered name of a key exchange, "" for none.
func Group(id tls.CurveID) string {
	switch id {
	case 0:
		return ""
	case tls.X25519:
		return "x25519"
	case tls.CurveP256:
		return "secp256r1"
	case tls.CurveP384:
		return "secp384r1"
	case tls.CurveP521:
		return "secp521r1"
	}
	return id.String() // the hybrid ones are named as in the registry
}

// Fingerprint is the name of a certificate by its SHA-256, "sha256:2cf24d…".
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}
