package arc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/smtpguard/smtpguard/internal/mailsig"
)

// Resolver finds keys. *[net.Resolver] is one.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

var _ Resolver = (*net.Resolver)(nil)

// Config says how chains are judged. The zero value of a field means its
// default.
type Config struct {
	Resolver Resolver      // [net.DefaultResolver]
	Timeout  time.Duration // of all lookups for a message; 10 seconds
	KeyBits  int           // the least an RSA key must have; 1024 (RFC 8301, section 3.2)

	// Skew is by how much clocks may differ, for x= of message signatures; 5
	// minutes, negative: not at all. What t= says is not judged.
	Skew time.Duration

	// Oldest has the message signatures of earlier sets looked at too, for
	// Chain.Oldest. It costs their keys, and changes no Status.
	Oldest bool

	Limits Limits
}

// Limits bound what a message may ask for. The zero value of a field means its
// default.
type Limits struct {
	Sets         int // 50, the most there may be (RFC 8617, section 4.2.1)
	HeaderBytes  int // of the header section; 1 MiB
	HeaderFields int // of the header section; 4000
	FieldBytes   int // of an ARC field; 16 KiB
	SignedFields int // entries of an h= tag; 256
	Lookups      int // of keys at once; 8
	KeyBits      int // of an RSA key; 4096
	Keys         int // parsed keys that are remembered; 1000
}

// maxSets is the most sets there may be.
const maxSets = 50

// Validator checks chains. It is safe for concurrent use.
type Validator struct {
	cfg    Config
	engine *mailsig.Engine
}

// New returns a Validator. It reports every field of cfg that is wrong.
func New(cfg Config) (*Validator, error) {
	var errs []error
	l := &cfg.Limits
	for _, f := range [...]struct {
		name     string
		value    *int
		fallback int
	}{
		{"KeyBits", &cfg.KeyBits, 1024},
		{"Limits.Sets", &l.Sets, maxSets},
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
			errs = append(errs, fmt.Errorf("arc: %s is %d: must not be negative", f.name, *f.value))
		}
	}
	if cfg.KeyBits < 1024 {
		errs = append(errs, fmt.Errorf("arc: KeyBits is %d: keys under 1024 bits are no proof (RFC 8301, section 3.2)", cfg.KeyBits))
	}
	if cfg.KeyBits > l.KeyBits {
		errs = append(errs, errors.New("arc: KeyBits is over Limits.KeyBits"))
	}
	if l.Sets > maxSets {
		errs = append(errs, fmt.Errorf("arc: Limits.Sets is %d: there may be %d (RFC 8617, section 4.2.1)", l.Sets, maxSets))
	}
	if cfg.Timeout < 0 {
		errs = append(errs, fmt.Errorf("arc: Timeout is %v: must not be negative", cfg.Timeout))
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
	return &Validator{cfg: cfg, engine: mailsig.New(mailsig.Limits{
		HeaderBytes: l.HeaderBytes, HeaderFields: l.HeaderFields, FieldBytes: l.FieldBytes,
		SignedFields: l.SignedFields, Lookups: l.Lookups, KeyBits: l.KeyBits,
	}, keys)}, nil
}
