package tlsconf

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/smtpguard/smtpguard"
)

// ListenerConfig says how a [Listener] takes clients in. TLS is required. For
// SMTP there is [smtpguard.Guard.Listen].
type ListenerConfig struct {
	Name     string // in events, to tell listeners apart
	Protocol Protocol
	TLS      *tls.Config // from [Server]

	// StartTLS has clients begin in clear text, where they are told nothing but to
	// begin TLS: with STARTTLS (IMAP) or STLS (POP3). Without it they begin with the
	// handshake, which RFC 8314, section 3, prefers. It is for IMAP and POP3 alone.
	StartTLS bool

	// Timeout is how long a client may take until the end of the handshake. 0
	// means a minute.
	Timeout time.Duration

	// MaxPending bounds the clients that are not that far. More are hung up on. 0
	// means 1,000.
	MaxPending int

	// MaxPendingEach bounds those of them from one IPv4 address, or IPv6 /64: one
	// client cannot take all the room. 0 means a tenth of MaxPending, and at least
	// one. A proxy is one client too.
	MaxPendingEach int

	// Observe hears of handshakes that failed and of logins that were tried in clear
	// text (KindNote). It is called from several goroutines, and must not block.
	Observe func(smtpguard.Event)
}

// checked returns cfg with its defaults, and what is wrong with it.
func (cfg ListenerConfig) checked() (ListenerConfig, error) {
	var errs []error
	bad := func(field string, v any, why string) {
		errs = append(errs, fmt.Errorf("tlsconf: ListenerConfig.%s is %v: %s", field, v, why))
	}
	if !cfg.Protocol.valid() {
		bad("Protocol", int(cfg.Protocol), "is no Protocol")
	}
	if cfg.StartTLS && cfg.Protocol != IMAP && cfg.Protocol != POP3 {
		bad("StartTLS", true, fmt.Sprintf("%v does not begin here in clear text", cfg.Protocol))
	}
	if c := cfg.TLS; c == nil || len(c.Certificates) == 0 && c.GetCertificate == nil && c.GetConfigForClient == nil {
		bad("TLS", "without a certificate", "no handshake could succeed")
	}
	if cfg.Timeout < 0 {
		bad("Timeout", cfg.Timeout, "must not be negative")
	}
	if cfg.MaxPending < 0 {
		bad("MaxPending", cfg.MaxPending, "must not be negative")
	}
	if cfg.MaxPendingEach < 0 {
		bad("MaxPendingEach", cfg.MaxPendingEach, "must not be negative")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Minute
	}
	if cfg.MaxPending == 0 {
		cfg.MaxPending = 1000
	}
	if cfg.MaxPendingEach == 0 {
		cfg.MaxPendingEach = max(1, cfg.MaxPending/10)
	}
	return cfg, errors.Join(errs...)
}
