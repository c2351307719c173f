package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/smtpguard/smtpguard/internal/mailsig"
)

// KeyType is a kind of key.
type KeyType string

const (
	RSA2048 KeyType = "rsa-2048" // what everybody can verify; its record fits into one UDP answer
	RSA3072 KeyType = "rsa-3072"
	RSA4096 KeyType = "rsa-4096" // the most that all must verify (RFC 8301, section 3.2)
	Ed25519 KeyType = "ed25519"  // small and fast, and not verified by all: sign with an RSA key too (RFC 8463)
)

// Generate returns a new private key.
func Generate(t KeyType) (crypto.Signer, error) {
	bits := 0
	switch t {
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case RSA2048:
		bits = 2048
	case RSA3072:
		bits = 3072
	case RSA4096:
		bits = 4096
	default:
		return nil, fmt.Errorf("dkim: %q is no type of keys", t)
	}
	return rsa.GenerateKey(rand.Reader, bits)
}

// MarshalKey returns a private key in PKCS #8 (RFC 5958), PEM around it.
func MarshalKey(key crypto.Signer) ([]byte, error) {
	if _, err := mailsig.AlgorithmOf(key.Public()); err != nil {
		return nil, fmt.Errorf("dkim: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("dkim: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

var errNoKey = errors.New("dkim: no RSA or Ed25519 private key in PEM")

// ParseKey reads a private key in PKCS #1 (RSA PRIVATE KEY) or PKCS #8 (PRIVATE
// KEY): the first that text has, in PEM. Errors say nothing of what is in text.
func ParseKey(text []byte) (crypto.Signer, error) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, errNoKey
		}
		text = rest
		var key any
		var err error
		switch block.Type {
		case "RSA PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, errors.New("dkim: the private key is encrypted")
			}
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("dkim: the private key is encrypted")
		default:
			continue
		}
		if err != nil {
			return nil, errNoKey
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, errNoKey
		}
		if _, err := mailsig.AlgorithmOf(signer.Public()); err != nil {
			return nil, fmt.Errorf("dkim: %w", err)
		}
		return signer, nil
	}
}
