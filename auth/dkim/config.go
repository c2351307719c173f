package dkim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/smtpguard/smtpguard/internal/mailsig"
)

// Resolver finds keys. *[net.Resolver] is one: an error that is a [net.DNSError]
// with IsNotFound means that there is none, any other that it may be asked again.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

var _ Resolver = (*net.Resolver)(nil)

// Config says how signatures are judged. The zero Config is what the RFCs ask
// for.
type Config struct {
	Resolver Resolver      // nil means [net.DefaultResolver]
	Timeout  time.Duration // of all lookups for a message; 10 seconds

	// KeyBits is the least an RSA key must have; 1024 (RFC 8301, section 3.2).
	KeyBits int

	// Partial accepts signatures whose l= leaves the end of the body unsigned.
	// Anybody can append to such a message (RFC 6376, section 8.2).
	Partial bool

	// Skew is by how much clocks may differ, for t= and x=; 5 minutes, negative:
	// not at all.
	Skew time.Duration

	Limits Limits
}

// Limits bound what a message may ask for. The zero value of a field means its
// default.
type Limits struct {
	Signatures   int // that are looked at, from the top; 10
	HeaderBytes  int // of the header section; 1 MiB
	HeaderFields int // of the header section; 4000
	FieldBytes   int // of a DKIM-Signature field; 16 KiB
	SignedFields int // entries of an h= tag; 256
	Lookups      int // of keys at once; 8
	KeyBits      int // of an RSA key; 4096, which RFC 8301, section 3.2, asks for
	Keys         int // parsed keys that are remembered; 1000
}

// Verifier checks signatures. It is safe for concurrent use.
type Verifier struct {
	cfg    Config
	engine *mailsig.Engine

	// legacy lets pass what was signed before RFC 4871 and RFC 8301, so that tests
	// can judge all else by the corpora of that time.
	legacy bool
}

// New returns a Verifier. It reports every field of cfg that is wrong.
func New(cfg Config) (*Verifier, error) {
	var errs []error
	l := &cfg.Limits
	for _, f := range [...]struct {
		name     string
		value    *int
		fallback int
	}{
		{"KeyBits", &cfg.KeyBits, 1024},
		{"Limits.Signatures", &l.Signatures, 10},
		{"Limits.HeaderBytes", &l.HeaderBytes, 1 << 20},
		{"Limits.HeaderFields", &l.HeaderFields, 4000},
		{"Limits.FieldBytes", &l.FieldBytes, 16 << 10},
		{"Limits.SignedFields", &l.SignedFields, 256},
		{"Limits.Lookups", &l.Lookups, 8},
		{"Limits.KeyBits", &l.KeyBits, 4096},
		{"Limits.Keys", &l.Keys, 1000},
	} {
		if *f.value == 0 {
			*f.value = f.fallback
		}
		if *f.value < 0 {
			errs = append(errs, fmt.Errorf("dkim: %s is %d: must not be negative", f.name, *f.value))
		}
	}
	if cfg.KeyBits < 1024 {
		errs = append(errs, fmt.Errorf("dkim: KeyBits is %d: keys under 1024 bits are no proof (RFC 8301, section 3.2)", cfg.KeyBits))
	}
	if cfg.KeyBits > l.KeyBits {
		errs = append(errs, errors.New("dkim: KeyBits is over Limits.KeyBits"))
	}
	if cfg.Timeout < 0 {
		errs = append(errs, fmt.Errorf("dkim: Timeout is %v: must not be negative", cfg.Timeout))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Skew == 0 {
		cfg.Skew = 5 * time.Minute
	}
	cfg.Skew = max(cfg.Skew, 0)
	if cfg.Resolver == nil {
		cfg.Resolver = net.DefaultResolver
	}
	keys := &mailsig.Keys{Resolver: cfg.Resolver, Timeout: cfg.Timeout, Entries: l.Keys}
	return &Verifier{cfg: cfg, engine: mailsig.New(mailsig.Limits{
		HeaderBytes: l.HeaderBytes, HeaderFields: l.HeaderFields, FieldBytes: l.FieldBytes,
		SignedFields: l.SignedFields, Lookups: l.Lookups, KeyBits: l.KeyBits,
	}, keys)}, nil
}
