package tlsconf

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/domain"
	"github.com/smtpguard/smtpguard/internal/peer"
)

// IdentitiesConfig says whose certificate is whose. The zero IdentitiesConfig
// knows nobody.
type IdentitiesConfig struct {
	// Logins are the logins of certificates, by one of their names:
	//
	//	sha256:2cf24d…                    the fingerprint, in hex, with or without colons
	//	dns:host.example.org              a DNS name in the subject alternative names,
	//	email:ann@example.org             a mailbox there,
	//	uri:spiffe://example.org/mailer   a URI there,
	//	subject:CN=mailer,O=Example       the subject (RFC 2253)
	//
	// All but the fingerprint want a certificate that was verified. A fingerprint
	// holds for whatever certificate it is of, self-signed and expired ones too.
	Logins map[string]string

	// Mailboxes are domains in which the mailbox that a verified certificate
	// names is the login itself, as it stands there, its domain in lower case.
	Mailboxes []string

	// CAs sign clients' certificates, where the handshake itself did not verify
	// them ([ServerConfig.ClientCAs] says when). With nil, they are not verified.
	CAs *x509.CertPool
}

// Identities knows clients by their certificates. The zero Identities knows
// nobody. It is safe for concurrent use.
type Identities struct {
	logins    map[string]string
	mailboxes map[string]bool
	cas       *x509.CertPool
}

// NewIdentities reports every entry that is wrong.
func NewIdentities(cfg IdentitiesConfig) (*Identities, error) {
	ids := &Identities{logins: make(map[string]string), mailboxes: make(map[string]bool), cas: cfg.CAs}
	var errs []error
	for name, login := range cfg.Logins {
		normal, err := peer.Normal(name)
		if before, ok := ids.logins[normal]; err == nil && ok && before != login {
			err = errors.New("is there already, for another login")
		}
		if login == "" {
			err = errors.Join(err, errors.New("has no login"))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("tlsconf: IdentitiesConfig.Logins[%q]: %w", name, err))
		}
		ids.logins[normal] = login
	}
	for i, name := range cfg.Mailboxes {
		normal, err := domain.Normal(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("tlsconf: IdentitiesConfig.Mailboxes[%d] %q: %w", i, name, err))
		}
		ids.mailboxes[normal] = true
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return ids, nil
}

// Login returns who the client of a TLS connection is. ok is false for a client
// without a certificate, one that is nobody's, and one whose names are those of
// several logins. It has the shape that SASL EXTERNAL wants (RFC 4422,
// appendix A).
func (ids *Identities) Login(state tls.ConnectionState) (login string, ok bool) {
	for _, name := range peer.NamesIn(&state, ids.cas) {
		found := ids.of(name)
		switch {
		case found == "":
		case login != "" && login != found:
			return "", false
		default:
			login = found
		}
	}
	return login, login != ""
}

// of is whose name it is, "" for nobody's.
func (ids *Identities) of(name string) string {
	if login := ids.logins[name]; login != "" {
		return login
	}
	if mailbox, ok := strings.CutPrefix(name, "email:"); ok && ids.mailboxes[mailbox[strings.LastIndexByte(mailbox, '@')+1:]] {
		return mailbox
	}
	return ""
}

// Check logs clients in by their certificates, at EHLO and without AUTH: what
// the grants of package relay say of logins then holds for them. A client that
// is nobody's goes on without a login, and may still use AUTH. The login stands
// under [smtpguard.Shadow] too, which holds back verdicts alone.
func (ids *Identities) Check() smtpguard.Check {
	return smtpguard.Check{
		Name:   "clientcert",
		Always: true,
		Hello: func(_ context.Context, c *smtpguard.Conn) (smtpguard.Verdict, error) {
			state, ok := c.TLS()
			if !ok {
				return smtpguard.Verdict{}, nil
			}
			login, ok := ids.Login(state)
			if _, already := c.Login(); !ok || already {
				return smtpguard.Verdict{}, nil
			}
			c.SetLogin(login)
			return smtpguard.Verdict{Reason: "login " + login, Facts: map[string]string{"certificate": peer.Fingerprint(state.PeerCertificates[0])}}, nil
		},
	}
}
