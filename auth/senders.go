package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/domain"
)

// SendersConfig says how the addresses that a login may send as are told. The
// zero value of a field means its default.
type SendersConfig struct {
	// Domain makes an address of a login that is none: ann is ann@Domain. With "",
	// such a login may send only as what its Senders name.
	Domain string

	// Delimiters are the characters behind which a local part may have a detail:
	// who may send as ann@example.org may send as ann+lists@example.org. The default
	// is "+".
	Delimiters string
	NoDetail   bool // there are no details

	// Alias reports whether id may send as addr, where Senders do not say so
	// already: for tables of aliases. addr has its domain in normal form and its
	// local part unquoted. An error defers the mail. It may be nil.
	Alias func(ctx context.Context, id *Identity, addr string) (bool, error)
}

// Senders judges who may send as whom. It is safe for concurrent use.
type Senders struct{ cfg SendersConfig }

// NewSenders compiles cfg. It reports everything that is wrong with it, by field.
func NewSenders(cfg SendersConfig) (*Senders, error) {
	var errs []error
	if cfg.Domain != "" {
		name, err := domain.Normal(cfg.Domain)
		if err != nil {
			errs = append(errs, fmt.Errorf("auth: SendersConfig.Domain %q: %w", cfg.Domain, err))
		}
		cfg.Domain = name
	}
	switch {
	case cfg.NoDetail && cfg.Delimiters != "":
		errs = append(errs, errors.New("auth: SendersConfig.NoDetail is set, and so are Delimiters"))
	case cfg.NoDetail:
	case cfg.Delimiters == "":
		cfg.Delimiters = "+"
	case strings.Trim(cfg.Delimiters, "+-=_#/&~") != "":
		errs = append(errs, fmt.Errorf("auth: SendersConfig.Delimiters %q are not all among +-=_#/&~", cfg.Delimiters))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Senders{cfg}, nil
}

// Allows reports whether id may send as addr, an address whose local part has no
// quotes. It knows no null reverse-path.
func (s *Senders) Allows(ctx context.Context, id *Identity, addr string) (bool, error) {
	m, err := splitMailbox(addr)
	if err != nil {
		return false, nil
	}
	return s.allows(ctx, id, m)
}

func (s *Senders) allows(ctx context.Context, id *Identity, m mailbox) (bool, error) {
	for ; id != nil; id = id.Within {
		if len(id.Senders) == 0 && id.Within != nil {
			continue
		}
		if s.named(id, m) {
			continue
		}
		if s.cfg.Alias == nil {
			return false, nil
		}
		if ok, err := s.cfg.Alias(ctx, id, m.local+"@"+m.domain); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// named reports whether id's own entries name m.
func (s *Senders) named(id *Identity, m mailbox) bool {
	entries := id.Senders
	if len(entries) == 0 {
		if strings.Contains(id.Login, "*") { // who chose it chose no wildcard
			return false
		}
		entries = []string{id.Login}
		if !strings.Contains(id.Login, "@") {
			entries[0] += "@" + s.cfg.Domain
		}
	}
	for _, e := range entries {
		if p, err := parseSender(e); err == nil && p.fits(m, s.cfg.Delimiters) {
			return true
		}
	}
	return false
}

// Check returns s as a check of mail from who has logged in; mail without a login
// is not its matter ([Required]). No allow list passes over it. A login that
// somebody else than this package proved may send as its own address.
//
// The reverse-path has to be one that the identity may send as, or the null one,
// which receipts have (RFC 8098, section 2.1): else 553 5.7.1. In the header
// section there has to be one From field, at most one Sender, and every address
// in them, and in Resent-From and Resent-Sender, has to be one that the identity
// may send as: else 550 5.7.1. So is a field that two readers could read in two
// ways, and a display name that shows another address.
func (s *Senders) Check() smtpguard.Check {
	return smtpguard.Check{
		Name:   "senders",
		Always: true,
		Mail: func(ctx context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
			id := who(tx.Conn())
			if id == nil {
				return smtpguard.Verdict{}, nil
			}
			for i := id; i != nil; i = i.Within {
				if i.over(time.Now()) {
					return refuse(550, "Your login has expired", "the login ended while the session lasted"), nil
				}
			}
			if tx.From() == "" {
				return smtpguard.Verdict{}, nil
			}
			ok, err := s.Allows(ctx, id, tx.From())
			if err != nil || ok {
				return smtpguard.Verdict{}, err
			}
			return refuse(553, "Sender address is not yours", fmt.Sprintf("%s may not send as %.300q", id.Login, tx.From())), nil
		},
		Data: func(ctx context.Context, tx *smtpguard.Transaction, m *smtpguard.Message) (smtpguard.Verdict, error) {
			id := who(tx.Conn())
			if id == nil {
				return smtpguard.Verdict{}, nil
			}
			return s.header(ctx, id, m.Header())
		},
	}
}

// who is logged in, nil for nobody.
func who(conn *smtpguard.Conn) *Identity {
	if id, ok := IdentityOf(conn); ok {
		return id
	}
	if login, ok := conn.Login(); ok {
		return &Identity{Login: login}
	}
	return nil
}

func refuse(code int, text, reason string) smtpguard.Verdict {
	return smtpguard.Verdict{Action: smtpguard.Reject, Reply: reply(code, 1, text), Reason: reason}
}
