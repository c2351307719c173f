package dkim

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/smtpguard/smtpguard/internal/mailsig"
)

// Record returns the text of the TXT record that publishes a key (RFC 6376,
// section 3.6.1; RFC 8463, section 4).
func Record(public crypto.PublicKey) (string, error) {
	alg, err := mailsig.AlgorithmOf(public)
	if err != nil {
		return "", fmt.Errorf("dkim: %w", err)
	}
	data := []byte(nil)
	if key, ok := public.(ed25519.PublicKey); ok {
		data = key
	} else if data, err = x509.MarshalPKIXPublicKey(public); err != nil {
		return "", fmt.Errorf("dkim: %w", err)
	}
	return "v=DKIM1; k=" + alg.KeyType() + "; p=" + base64.StdEncoding.EncodeToString(data), nil
}

// Name is where the key's record has to be, without a dot at the end.
func (k Key) Name() string { return k.Selector + "._domainkey." + k.Domain }

// String is Name: a key that is printed does not show what is private.
func (k Key) String() string { return k.Name() }

// ZoneRecord returns the record as a line of a zone file (RFC 1035, section 5),
// its text in strings of 255 octets at most.
func (k Key) ZoneRecord() (string, error) {
	p, err := k.prepare()
	if err != nil {
		return "", err
	}
	text, err := Record(k.Private.Public())
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(p.Name() + ". IN TXT (")
	for text != "" {
		n := min(len(text), 255)
		b.WriteString(` "` + text[:n] + `"`)
		text = text[n:]
	}
	return b.String() + " )", nil
}

var (
	// ErrUnpublished is of a key that DNS does not have.
	ErrUnpublished = errors.New("dkim: the key is not published")

	// ErrOtherKey is of a name at which DNS has another key, or one that is no good
	// for mail.
	ErrOtherKey = errors.New("dkim: another key is published")
)

// CheckRecord asks DNS whether receivers can verify what k signs. An error that is
// neither [ErrUnpublished] nor [ErrOtherKey] means that DNS could not be asked.
func CheckRecord(ctx context.Context, r Resolver, k Key) error {
	p, err := k.prepare()
	if err != nil {
		return err
	}
	texts, err := r.LookupTXT(ctx, p.Name())
	if err != nil {
		var dns *net.DNSError
		if errors.As(err, &dns) && dns.IsNotFound {
			return ErrUnpublished
		}
		return fmt.Errorf("dkim: key %q of %q: %w", k.Selector, k.Domain, err)
	}
	if len(texts) == 0 {
		return ErrUnpublished
	}
	if len(texts) > 1 {
		// Whoever verifies may take any (RFC 6376, section 3.6.2.2).
		return fmt.Errorf("%w: there are %d records", ErrOtherKey, len(texts))
	}
	record, err := mailsig.ParseRecord(texts[0])
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrOtherKey, err)
	case record.Revoked:
		return fmt.Errorf("%w: it is revoked", ErrOtherKey)
	case !record.Mail() || !record.Allows(mailsig.SHA256):
		return fmt.Errorf("%w: s= or h= rules mail with SHA-256 out", ErrOtherKey)
	case record.Type != p.alg.KeyType() || !equal(record.Public, k.Private.Public()):
		return ErrOtherKey
	case record.Strict && p.Identity != "" && !strings.HasSuffix(p.Identity, "@"+p.Domain):
		return fmt.Errorf("%w: t=s rules out Identity", ErrOtherKey)
	}
	return nil
}

func equal(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}
