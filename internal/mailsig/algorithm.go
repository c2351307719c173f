package mailsig

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"hash"
)

// Hash is a hash algorithm.
type Hash uint8

const (
	SHA256 Hash = iota
	SHA1        // not to be trusted (RFC 8301, section 3.1)
)

func (h Hash) new() hash.Hash {
	if h == SHA1 {
		return sha1.New()
	}
	return sha256.New()
}

func (h Hash) String() string {
	if h == SHA1 {
		return "sha1"
	}
	return "sha256"
}

func (h Hash) id() crypto.Hash {
	if h == SHA1 {
		return crypto.SHA1
	}
	return crypto.SHA256
}

// Algorithm is a signature algorithm, an a= tag. The zero Algorithm is none that
// is known.
type Algorithm uint8

const (
	RSASHA256     Algorithm = iota + 1 // RFC 6376, section 3.3.2
	Ed25519SHA256                      // RFC 8463
	RSASHA1                            // not to be trusted (RFC 8301, section 3.1)
)

func (a Algorithm) String() string {
	switch a {
	case RSASHA256:
		return "rsa-sha256"
	case Ed25519SHA256:
		return "ed25519-sha256"
	case RSASHA1:
		return "rsa-sha1"
	}
	return ""
}

// Hash is the hash algorithm of a.
func (a Algorithm) Hash() Hash {
	if a == RSASHA1 {
		return SHA1
	}
	return SHA256
}

// KeyType is the k= tag of keys for a.
func (a Algorithm) KeyType() string {
	if a == Ed25519SHA256 {
		return "ed25519"
	}
	return "rsa"
}

// ParseAlgorithm reads an a= tag.
func ParseAlgorithm(s string) Algorithm {
	for _, a := range [...]Algorithm{RSASHA256, Ed25519SHA256, RSASHA1} {
		if s == a.String() {
			return a
		}
	}
	return 0
}

var errSignature = errors.New("signature did not verify")

// Verify checks a signature over a digest with a public key of a's type.
func (a Algorithm) Verify(public crypto.PublicKey, digest, signature []byte) error {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if a != Ed25519SHA256 && rsa.VerifyPKCS1v15(key, a.Hash().id(), digest, signature) == nil {
			return nil
		}
	case ed25519.PublicKey:
		if a == Ed25519SHA256 && ed25519.Verify(key, digest, signature) {
			return nil
		}
	}
	return errSignature
}
