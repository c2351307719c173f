package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/arc"
	"github.com/smtpguard/smtpguard/auth/authres"
	"github.com/smtpguard/smtpguard/auth/dkim"
	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/spf"
	"github.com/smtpguard/smtpguard/internal/domain"
	"github.com/smtpguard/smtpguard/internal/mailsig"
)

// Resolver is what is asked of DNS. *[net.Resolver] is one; one that has a cache is
// better. Where it has the method AtHand of package resolver's, what it remembers
// takes neither goroutines nor timers.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// Config says what is looked at, and what follows. Only ID is required; the zero
// value of every other field means its default.
type Config struct {
	Name     string // of the check; "verify"
	ID       string // our authserv-id, a domain name: what our fields are signed with
	Resolver Resolver

	Policy Policy

	// Domains are recipients' domains with a policy of their own, "example.org" for
	// that one alone. A message to recipients whose policies differ comes in several
	// transactions over SMTP.
	Domains map[string]Policy

	// Forwarders are clients that are known to pass on others' mail, and so to break
	// SPF: what their mail fails does not count (trusted_forwarder).
	Forwarders []netip.Prefix

	// Sealers are domains whose ARC seals are believed, "*.example.org" for all
	// below one. Mail that fails DMARC is let through where one of them sealed last and
	// it passed with them: with the first that has judged it, of those after whom
	// nobody else sealed. Who is named here can write any sender's mail.
	Sealers []string

	// Gateways are hosts of our own that mail comes through: for them the client is
	// the one in the topmost Received field that names somebody else, as the last of
	// them has written it. Over LMTP there is no other way to know him. Where there
	// are any, who comes over a Unix socket is one too. A field that could be read in
	// two ways, for what the client said in EHLO, tells no client.
	Gateways []netip.Prefix

	ReceivedSPF bool // write a Received-SPF field too (RFC 7208, section 9.1)

	// Also and Keep are as in [authres.Config]: other names of ours, and others'
	// fields that stay.
	Also, Keep []string

	// Known reports clients whose mail is not looked at. Nil is those with a proven
	// login.
	Known func(*smtpguard.Conn) bool

	// Timeout bounds the lookups for one message once it has come in; what has not
	// been answered by then is temporary. 20 s.
	Timeout time.Duration

	// SPF, DKIM, ARC and DMARC are the parts. Their Resolver is the one above where
	// it is nil.
	SPF   spf.Config
	DKIM  dkim.Config
	ARC   arc.Config
	DMARC dmarc.Config
}

// Policy is what follows from what was found. The zero Policy does what authors'
// domains ask for, and lets through what cannot be found out now.
type Policy struct {
	// Monitor writes the fields and refuses nothing: the log tells what would have
	// been done.
	Monitor bool

	// Most is the strongest action that a DMARC policy may have; 0 means
	// Reject. With Quarantine nothing is refused for it.
	Most smtpguard.Action

	// Temporary is for mail of which it cannot be told now whether DMARC lets it
	// pass. Continue lets it through, unproven; Defer has the client try again.
	Temporary smtpguard.Action

	// SPFFail is for mail whose SPF is fail where no DMARC policy decides, and neither
	// Forwarders nor Sealers. Continue: DMARC, where there is one, knows better.
	SPFFail smtpguard.Action
}

// Verifier is a compiled Config. It is safe for concurrent use.
type Verifier struct {
	cfg     Config
	domains map[string]Policy
	spf     *spf.Checker
	dkim    *dkim.Verifier
	arc     *arc.Validator
	dmarc   *dmarc.Checker
	fields  *authres.Filter
	engine  *mailsig.Engine

	sender smtpguard.Key[spf.Outcome]
	result smtpguard.Key[Result]
}

// New compiles cfg. It reports everything that is wrong with it, and asks nothing.
func New(cfg Config) (*Verifier, error) {
	v := &Verifier{domains: make(map[string]Policy)}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("verify: Config."+format, args...)) }
	if cfg.Name == "" {
		cfg.Name = "verify"
	}
	if cfg.Resolver == nil {
		cfg.Resolver = net.DefaultResolver
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 20 * time.Second
	}
	if cfg.Timeout < 0 {
		bad("Timeout is %v: must not be negative", cfg.Timeout)
	}
	if cfg.Known == nil {
		cfg.Known = func(c *smtpguard.Conn) bool { _, ok := c.Login(); return ok }
	}
	if err := cfg.Policy.validate(); err != nil {
		bad("Policy.%w", err)
	}
	for name, p := range cfg.Domains {
		d, err := domain.Normal(name)
		if err != nil {
			bad("Domains[%q]: %w", name, err)
		}
		if err := p.validate(); err != nil {
			bad("Domains[%q].%w", name, err)
		}
		v.domains[d] = p
	}
	for name, list := range map[string][]netip.Prefix{"Forwarders": cfg.Forwarders, "Gateways": cfg.Gateways} {
		for i, p := range list {
			if !p.IsValid() || p.Bits() == 0 {
				bad("%s[%d] %v: is no network, or everybody", name, i, p)
			}
		}
	}
	for i, s := range cfg.Sealers {
		if !arc.ValidSealer(s) {
			bad("Sealers[%d] %q is no domain name", i, s)
		}
	}
	var err error
	part := func(what string, e error) {
		if e != nil {
			bad("%s: %w", what, e)
		}
	}
	v.fields, err = authres.New(authres.Config{ID: cfg.ID, Also: cfg.Also, Keep: cfg.Keep})
	part("ID", err)
	if cfg.SPF.Resolver == nil {
		cfg.SPF.Resolver = cfg.Resolver
	}
	if cfg.SPF.Receiver == "" {
		cfg.SPF.Receiver = cfg.ID
	}
	v.spf, err = spf.New(cfg.SPF)
	part("SPF", err)
	if cfg.DKIM.Resolver == nil {
		cfg.DKIM.Resolver = cfg.Resolver
	}
	v.dkim, err = dkim.New(cfg.DKIM)
	part("DKIM", err)
	if cfg.ARC.Resolver == nil {
		cfg.ARC.Resolver = cfg.Resolver
	}
	v.arc, err = arc.New(cfg.ARC)
	part("ARC", err)
	if cfg.DMARC.Resolver == nil {
		cfg.DMARC.Resolver = cfg.Resolver
	}
	v.dmarc, err = dmarc.New(cfg.DMARC)
	part("DMARC", err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	l := cfg.DKIM.Limits
	v.engine = mailsig.New(mailsig.Limits{
		HeaderBytes: l.HeaderBytes, HeaderFields: l.HeaderFields, FieldBytes: l.FieldBytes,
		SignedFields: l.SignedFields, Lookups: l.Lookups, KeyBits: l.KeyBits,
	}, &mailsig.Keys{Resolver: cfg.DKIM.Resolver, Timeout: cfg.Timeout, Entries: max(l.Keys, 1000)})
	v.cfg = cfg
	return v, nil
}

func (p *Policy) validate() error {
	for name, a := range map[string]smtpguard.Action{"Most": p.Most, "Temporary": p.Temporary, "SPFFail": p.SPFFail} {
		if a < smtpguard.Continue || a > smtpguard.Reject {
			return fmt.Errorf("%s is %v: neither Continue, Quarantine, Defer nor Reject", name, a)
		}
	}
	if p.Most == smtpguard.Defer {
		return fmt.Errorf("%s is Defer, which is no answer to what will not change", "Most")
	}
	return nil
}
