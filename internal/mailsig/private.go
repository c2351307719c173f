package mailsig

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// AlgorithmOf is the algorithm to sign with by the private key of public.
func AlgorithmOf(public crypto.PublicKey) (Algorithm, error) {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < 1024 {
			return 0, fmt.Errorf("an RSA key of %d bits is no proof (RFC 8301, section 3.2)", n)
		}
		return RSASHA256, nil
	case ed25519.PublicKey:
		return Ed25519SHA256, nil
	}
	return 0, fmt.Errorf("neither an RSA nor an Ed25519 key: %T", public)
}

// KeyNames returns the normal forms of a domain and a selector.
func KeyNames(host, selector string) (string, string, error) {
	d, err := domain.Normal(host)
	if err != nil || !strings.Contains(d, ".") {
		return "", "", errors.New("not a domain name")
	}
	const between = "._domainkey."
	name, err := domain.Normal(selector + between + d)
	if err != nil {
		return "", "", errors.New("not a selector")
	}
	return d, name[:len(name)-len(between)-len(d)], nil
}

// Sign makes a signature over a digest.
func (a Algorithm) Sign(private crypto.Signer, digest []byte) ([]byte, error) {
	opts := crypto.SignerOpts(crypto.SHA256)
	if a == Ed25519SHA256 {
		opts = crypto.Hash(0) // over the hash as a message: RFC 8463, section 3
	}
	return private.Sign(rand.Reader, digest, opts)
}
