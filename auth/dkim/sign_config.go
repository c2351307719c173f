package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/internal/domain"
	"github.com/smtpguard/smtpguard/internal/mailsig"
)

// Key is a private key and the names it is published under.
type Key struct {
	Domain   string        // d=: the domain that takes responsibility
	Selector string        // s=
	Private  crypto.Signer // of RSA or Ed25519; where it lives does not matter
	Identity string        // i=, in or below Domain, on whose behalf; "" for no such tag
}

// Oversign says which fields are signed once more than they occur, so that
// nobody can add one (RFC 6376, section 5.4).
type Oversign uint8

const (
	// OversignDefault seals what readers see, whether it is there or not: From,
	// Reply-To, To, Cc and Subject; and of all other fields that may occur once
	// those that are there. What is missing, such as Date, a relay may add.
	OversignDefault Oversign = iota
	OversignNone             // a second field of each kind can be added
	OversignAll              // all fields that may occur once: none can be added
)

// SignConfig says how a Signer signs. The zero SignConfig signs as most do:
// relaxed, with the fields of RFC 6376, section 5.4.1.
type SignConfig struct {
	Header Canonicalization // [Relaxed] when empty
	Body   Canonicalization // the same

	// Fields are the names of the fields to sign, every instance of them; nil means
	// [DefaultFields]. From always is.
	Fields   []string
	Oversign Oversign

	// Expire is for how long a signature is good (x=), in whole seconds; 0 means
	// for ever. Mail may be on its way for a week.
	Expire time.Duration

	HeaderBytes int // of the header section; 1 MiB
}

// DefaultFields returns the names of the fields that are signed: those of RFC
// 6376, section 5.4.1, without the fields of relays; those that say how the body is
// to be read (RFC 2045); and List-Unsubscribe-Post (RFC 8058, section 4).
func DefaultFields() []string { return append([]string(nil), defaultFields[:]...) }

var defaultFields = [...]string{
	"From", "Sender", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID", "In-Reply-To", "References",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-ID", "Content-Description",
	"Resent-Date", "Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc", "Resent-Message-ID",
	"List-Id", "List-Help", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Subscribe", "List-Post", "List-Owner", "List-Archive",
}

// Signer makes signatures. It is safe for concurrent use.
type Signer struct {
	cfg          SignConfig
	header, body mailsig.Canon
	fields       []string
	engine       *mailsig.Engine
}

// NewSigner returns a Signer. It reports every field of cfg that is wrong.
func NewSigner(cfg SignConfig) (*Signer, error) {
	s := &Signer{cfg: cfg, fields: cfg.Fields}
	var errs []error
	canon := func(name string, c Canonicalization) mailsig.Canon {
		switch c {
		case Simple:
			return mailsig.Simple
		case Relaxed, "":
		default:
			errs = append(errs, fmt.Errorf("dkim: SignConfig.%s is %q: neither relaxed nor simple", name, c))
		}
		return mailsig.Relaxed
	}
	s.header, s.body = canon("Header", cfg.Header), canon("Body", cfg.Body)
	if s.fields == nil {
		s.fields = defaultFields[:]
	}
	for i, name := range s.fields {
		if !mailsig.IsFieldName(name) {
			errs = append(errs, fmt.Errorf("dkim: SignConfig.Fields[%d] %q is no field name", i, name))
		}
		if strings.EqualFold(name, signatureField) {
			errs = append(errs, fmt.Errorf("dkim: SignConfig.Fields[%d]: signatures are not signed", i))
		}
	}
	if !has(s.fields, "From") {
		s.fields = append([]string{"From"}, s.fields...)
	}
	if cfg.Oversign > OversignAll {
		errs = append(errs, fmt.Errorf("dkim: SignConfig.Oversign is %d: not known", cfg.Oversign))
	}
	if cfg.Expire < 0 || cfg.Expire%time.Second != 0 {
		errs = append(errs, fmt.Errorf("dkim: SignConfig.Expire is %v: not a number of seconds", cfg.Expire))
	}
	if cfg.HeaderBytes < 0 {
		errs = append(errs, fmt.Errorf("dkim: SignConfig.HeaderBytes is %d: must not be negative", cfg.HeaderBytes))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.engine = mailsig.New(mailsig.Limits{HeaderBytes: cfg.HeaderBytes}, nil)
	return s, nil
}

// prepared is a Key in normal form.
type prepared struct {
	Key
	alg mailsig.Algorithm
}

// prepare checks a key.
func (k Key) prepare() (prepared, error) {
	p := prepared{Key: k}
	bad := func(format string, args ...any) (prepared, error) {
		return prepared{}, fmt.Errorf("dkim: key %q of %q: %w", k.Selector, k.Domain, fmt.Errorf(format, args...))
	}
	d, sel, err := names(k.Domain, k.Selector)
	if err != nil {
		return bad("%w", err)
	}
	p.Domain, p.Selector = d, sel
	if k.Private == nil {
		return bad("no private key")
	}
	if p.alg, err = algorithm(k.Private.Public()); err != nil {
		return bad("%w", err)
	}
	if k.Identity != "" {
		at := strings.LastIndexByte(k.Identity, '@')
		host, err := domain.Normal(k.Identity[at+1:])
		if at < 0 || err != nil || host != d && !strings.HasSuffix(host, "."+d) {
			return bad("Identity is not of the domain")
		}
		p.Identity = k.Identity[:at+1] + host
	}
	return p, nil
}

// algorithm is that of a public key.
func algorithm(public crypto.PublicKey) (mailsig.Algorithm, error) {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < 1024 {
			return 0, fmt.Errorf("an RSA key of %d bits is no proof (RFC 8301, section 3.2)", n)
		}
		return mailsig.RSASHA256, nil
	case ed25519.PublicKey:
		return mailsig.Ed25519SHA256, nil
	}
	return 0, fmt.Errorf("neither an RSA nor an Ed25519 key: %T", public)
}

// names returns the normal forms of a domain and a selector.
func names(host, selector string) (string, string, error) {
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
