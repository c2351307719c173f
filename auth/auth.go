package auth

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/smtpguard/smtpguard"
)

// Config says who may log in, how and where. One of Store, Tokens and External,
// and Listeners, are needed; the zero value of every other field is safe.
type Config struct {
	Store    Store        // for mechanisms with a password
	Tokens   Tokens       // for OAUTHBEARER and XOAUTH2
	External ExternalFunc // for EXTERNAL, offered to clients that showed a certificate

	// Mechanisms that may be offered, where what they need is there. Nil means
	// all but LOGIN, SCRAM-SHA-1 and SCRAM-SHA-1-PLUS, which are for old clients.
	// What is not offered is refused (504).
	Mechanisms []string

	// Listeners are the names of those where AUTH is offered (ListenConfig.Name);
	// "" is where there is no Listener, "*" everywhere. AUTH is of no use where
	// mail comes in from other servers.
	Listeners []string

	// Insecure offers AUTH without TLS too, behind a proxy that speaks it, say.
	// smtp.Server.AllowInsecureAuth has to be set as well.
	Insecure bool

	// ScramAnyway offers SCRAM although not every password of every enabled login
	// has keys for it. A client that can do SCRAM then fails where they are
	// missing, for it tries nothing else.
	ScramAnyway bool

	// Certificates are those of our own that the client of a connection may have
	// been shown, for channel binding by tls-server-end-point. With nil, clients
	// bind by tls-exporter alone. See [ServerCertificates].
	Certificates func(tls.ConnectionState) []*x509.Certificate

	// Secret makes the salts that logins without SCRAM keys are told, 16 octets or
	// more. Who can compare salts from before and after a start without it being the same
	// learns which logins exist. Nil means a random one.
	Secret []byte

	Gate    Gate          // for passwords
	Cache   Cache         // of passwords
	Timeout time.Duration // for a Store, Tokens or External, waiting at the gate included; 30 s

	// Observe gets what the guard cannot know: why a login was refused although the
	// proof was right, why one could not be judged, and signs of a downgrade of
	// channel binding. It is called as smtpguard.Config.Observe is, which will do.
	Observe func(smtpguard.Event)
}

// Auth logs clients in. It is safe for concurrent use.
type Auth struct {
	cfg        Config
	mechanisms []string
	secret     []byte
	gate       *gate
	tokens     *gate
	cache      *cache
}

// tokenSlots bounds the tokens being judged at once: that mostly waits for
// somebody else.
const tokenSlots = 64

// New makes an Auth of cfg. It reports everything that is wrong with it, by
// field.
func New(cfg Config) (*Auth, error) {
	var errs []error
	bad := func(field, why string) {
		errs = append(errs, fmt.Errorf("auth: Config.%s: %s", field, why))
	}
	if cfg.Store == nil && cfg.Tokens == nil && cfg.External == nil {
		bad("Store", "is nil, and so are Tokens and External: nobody could log in")
	}
	if len(cfg.Listeners) == 0 {
		bad("Listeners", `is empty: AUTH would be offered nowhere; say "*" for everywhere`)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Timeout < 0 {
		bad("Timeout", "must not be negative")
	}
	if cfg.Secret != nil && len(cfg.Secret) < 16 {
		bad("Secret", "has fewer than 16 octets")
	}
	if cfg.Cache.Entries < 0 {
		bad("Cache.Entries", "must not be negative")
	}
	cfg.Gate.filled().validate(bad)
	a := &Auth{cfg: cfg, mechanisms: slices.Clone(cfg.Mechanisms), secret: slices.Clone(cfg.Secret)}
	a.cfg.Listeners = slices.Clone(cfg.Listeners)
	if cfg.Mechanisms == nil {
		a.mechanisms = usual
	} else if len(cfg.Mechanisms) == 0 {
		bad("Mechanisms", "is empty, but not nil: nobody could log in")
	}
	for i, m := range cfg.Mechanisms {
		if why := a.lacks(m); why != "" {
			bad(fmt.Sprintf("Mechanisms[%d]", i), fmt.Sprintf("%q %s", m, why))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if a.secret == nil {
		a.secret = make([]byte, 32)
		rand.Read(a.secret)
	}
	a.gate = newGate(cfg.Gate)
	a.tokens = newGate(Gate{Slots: tokenSlots, Wait: cfg.Gate.Wait, Share: 1})
	a.cache = newCache(cfg.Cache)
	return a, nil
}

// lacks says why a mechanism that was asked for could never be offered, "" when
// it could.
func (a *Auth) lacks(mechanism string) string {
	switch mechanism {
	case External:
		if a.cfg.External == nil {
			return "needs Config.External"
		}
	case OAuthBearer, XOAuth2:
		if a.cfg.Tokens == nil {
			return "needs Config.Tokens"
		}
	case Plain, Login:
		if a.cfg.Store == nil {
			return "needs Config.Store"
		}
	case ScramSHA256, ScramSHA256Plus, ScramSHA1, ScramSHA1Plus:
		if _, ok := a.cfg.Store.(ScramStore); !ok {
			return "needs a Config.Store that is a ScramStore"
		}
	default:
		return "is no mechanism that is known"
	}
	return ""
}
