package smtpguard

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/emersion/go-smtp"
)

// ListenConfig says how a listener vets connections. The zero value of a field
// means its default.
type ListenConfig struct {
	Name string // in events, to tell listeners apart

	// Wait is how long a client has to stay silent before the banner; one that
	// talks first is refused (RFC 5321, section 3.1). No wait, no test. Wait has to
	// be well under the five minutes that clients wait (section 4.5.3.2.1).
	Wait   time.Duration
	NoWait []netip.Prefix // clients that get the banner at once

	// What is allowed with nothing but an event, or with nothing at all where
	// the wire cannot see it, as under TLS.
	AllowEarlyTalk  bool
	AllowPipelining bool // after a command that must come last in its group (RFC 2920, section 3.1)
	AllowBareLF     bool // as the end of a command line (RFC 5321, section 2.3.8)

	// Proxy are the networks that are trusted to name the client in a PROXY
	// protocol header, and have to. By default there are none.
	Proxy []netip.Prefix

	TLS *tls.Config // implicit TLS (RFC 8314) when not nil

	HandshakeTimeout time.Duration // for a TLS handshake, or for a PROXY header; 30 s
	BodyTimeout      time.Duration // between reads of content; 3 min (RFC 5321, section 4.5.3.2.5)
	MinRate          int           // octets a second that content has to come at, after a grace of 3 min; 100
	Lifetime         time.Duration // of a connection; 1 h

	MaxPending int // connections being vetted at once; 10,000. More get a 421
	MaxConns   int // connections at once; 0 means no limit. More get a 421
}

// rateGrace is what a client may be behind MinRate. It is what one block of
// content may take (RFC 5321, section 4.5.3.2.5), so that no stall that the RFC
// allows for is cut short at the beginning.
const rateGrace = 3 * time.Minute

func (cfg ListenConfig) filled() ListenConfig {
	def := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	def(&cfg.HandshakeTimeout, 30*time.Second)
	def(&cfg.BodyTimeout, 3*time.Minute)
	def(&cfg.Lifetime, time.Hour)
	if cfg.MinRate == 0 {
		cfg.MinRate = 100
	}
	if cfg.MaxPending == 0 {
		cfg.MaxPending = 10_000
	}
	return cfg
}

// validate says what is wrong with a filled cfg, naming the field.
func (cfg *ListenConfig) validate() error {
	var errs []error
	bad := func(field string, v any, why string) {
		errs = append(errs, fmt.Errorf("smtpguard: ListenConfig.%s is %v: %s", field, v, why))
	}
	for _, f := range []struct {
		name string
		v    time.Duration
	}{
		{"Wait", cfg.Wait},
		{"HandshakeTimeout", cfg.HandshakeTimeout},
		{"BodyTimeout", cfg.BodyTimeout},
		{"Lifetime", cfg.Lifetime},
	} {
		if f.v < 0 {
			bad(f.name, f.v, "must not be negative")
		}
	}
	for _, f := range []struct {
		name string
		v    int
	}{
		{"MinRate", cfg.MinRate},
		{"MaxPending", cfg.MaxPending},
		{"MaxConns", cfg.MaxConns},
	} {
		if f.v < 0 {
			bad(f.name, f.v, "must not be negative")
		}
	}
	if cfg.Wait > 4*time.Minute {
		bad("Wait", cfg.Wait, "clients give up after 5m (RFC 5321, section 4.5.3.2.1)")
	}
	if cfg.Wait == 0 && len(cfg.NoWait) > 0 {
		bad("NoWait", cfg.NoWait, "makes exceptions from no Wait")
	}
	if cfg.Lifetime > 0 && cfg.Lifetime <= cfg.Wait {
		bad("Lifetime", cfg.Lifetime, "must be longer than Wait")
	}
	prefixes := func(field string, ps []netip.Prefix) {
		for _, p := range ps {
			if !p.IsValid() {
				bad(field, p, "is no network")
			}
		}
	}
	prefixes("NoWait", cfg.NoWait)
	prefixes("Proxy", cfg.Proxy)
	if c := cfg.TLS; c != nil && len(c.Certificates) == 0 && c.GetCertificate == nil && c.GetConfigForClient == nil {
		bad("TLS", "without a certificate", "no handshake could succeed")
	}
	return errors.Join(errs...)
}

// served says what in s a listener cannot be safe with.
func served(s *smtp.Server) error {
	var errs []error
	bad := func(field string, v any) {
		errs = append(errs, fmt.Errorf("smtpguard: smtp.Server.%s is %v: call Harden", field, v))
	}
	if s.ReadTimeout <= 0 { // go-smtp would not ask whether to read on
		bad("ReadTimeout", s.ReadTimeout)
	}
	if s.WriteTimeout <= 0 {
		bad("WriteTimeout", s.WriteTimeout)
	}
	if s.MaxLineLength < minLineLength || s.MaxLineLength > maxLineLength {
		bad("MaxLineLength", s.MaxLineLength)
	}
	return errors.Join(errs...)
}

// contains reports whether addr is in one of the networks. The zero Addr is in
// none.
func contains(ps []netip.Prefix, addr netip.Addr) bool {
	for _, p := range ps {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
