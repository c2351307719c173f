package mailsig

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
)

// maxRecord bounds the text of a key record: RSA keys of 16,384 bits have 2,800
// octets.
const maxRecord = 8 << 10

// Record is a key record (RFC 6376, section 3.6.1).
type Record struct {
	Type    string           // k=, "rsa" by default
	Public  crypto.PublicKey // nil for a key that was revoked, or of a type that is not known
	Bits    int              // of Public
	Revoked bool             // p= is empty
	Testing bool             // t=y
	Strict  bool             // t=s: the domains of i= and d= must be the same
	Notes   string           // n=, as published

	hashes string // h=, "" for all
	mail   bool   // s= has email or *
}

// Allows reports whether h= has the hash algorithm.
func (r *Record) Allows(h Hash) bool { return r.hashes == "" || has(r.hashes, h.String()) }

// Mail reports whether the key is for mail.
func (r *Record) Mail() bool { return r.mail }

// ParseRecord reads a key record. A g= tag is ignored, as it has been since RFC
// 6376.
func ParseRecord(text string) (*Record, error) {
	if len(text) > maxRecord {
		return nil, fmt.Errorf("over %d octets", maxRecord)
	}
	var room [12]Tag
	tags, err := ParseTags(text, room[:0])
	if err != nil {
		return nil, err
	}
	r := &Record{Type: "rsa", mail: true}
	for i, t := range tags {
		switch t.Name {
		case "v":
			if i > 0 || t.Value != "DKIM1" {
				return nil, errors.New("v= is not DKIM1, or not the first tag")
			}
		case "k":
			r.Type = t.Value
		case "h":
			if r.hashes = t.Value; t.Value == "" {
				return nil, errors.New("h= is empty")
			}
		case "n":
			r.Notes = t.Value
		case "s":
			r.mail = has(t.Value, "*") || has(t.Value, "email")
		case "t":
			r.Testing, r.Strict = has(t.Value, "y"), has(t.Value, "s")
		}
	}
	p, ok := tags.Get("p")
	if !ok {
		return nil, errors.New("no p= tag")
	}
	if p.Value == "" {
		r.Revoked = true
		return r, nil
	}
	der, err := decode(p.Value)
	if err != nil {
		return nil, errors.New("p= is not base64")
	}
	return r, r.key(der)
}

// key reads p=.
func (r *Record) key(der []byte) error {
	switch r.Type {
	case "rsa":
		// The RFC says RSAPublicKey (RFC 8017), its example has a
		// SubjectPublicKeyInfo, and so has the world (errata 3017).
		public, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			public, err = x509.ParsePKCS1PublicKey(der)
		}
		key, ok := public.(*rsa.PublicKey)
		if err != nil || !ok {
			return errors.New("p= is not an RSA key")
		}
		r.Public, r.Bits = key, key.N.BitLen()
	case "ed25519":
		if len(der) != ed25519.PublicKeySize { // RFC 8463, section 4.2
			return errors.New("p= is not an Ed25519 key")
		}
		r.Public, r.Bits = ed25519.PublicKey(der), 256
	}
	return nil
}
