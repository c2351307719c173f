package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/domain"
)

// ManagedConfig says what a source that obtains certificates by itself is to be
// asked for.
type ManagedConfig struct {
	// Source is an *autocert.Manager, a *certmagic.Config or the like.
	Source Source

	// Names are what the server is called; at least one, the first for clients that
	// ask for none or for another.
	Names []string

	// Warn and Observe are as in [FilesConfig]. A name for which there is no
	// certificate is reported too.
	Warn    time.Duration
	Observe func(smtpguard.Event)
}

// Managed makes a source that obtains certificates by itself fit for mail. Such a
// source answers only to the names it knows, while many senders ask for no name,
// or for an alias; and it begins its work with the first client, who does not
// wait that long. A Managed asks for all names at once, and then every hour.
// All methods are safe for concurrent use.
type Managed struct {
	cfg   ManagedConfig
	names []string // in normal form
	stop  chan struct{}
	once  sync.Once
	said  []reminder // by name
}

// NewManaged begins to ask for certificates, and watches them until Close.
func NewManaged(cfg ManagedConfig) (*Managed, error) {
	m := &Managed{cfg: cfg, stop: make(chan struct{}), said: make([]reminder, len(cfg.Names))}
	var errs []error
	if cfg.Source == nil {
		errs = append(errs, errors.New("tlsconf: ManagedConfig.Source is nil"))
	}
	if len(cfg.Names) == 0 {
		errs = append(errs, errors.New("tlsconf: ManagedConfig.Names is empty"))
	}
	for i, name := range cfg.Names {
		normal, err := domain.Normal(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("tlsconf: ManagedConfig.Names[%d] %q: %w", i, name, err))
		}
		m.names = append(m.names, normal)
	}
	if cfg.Warn < 0 {
		errs = append(errs, fmt.Errorf("tlsconf: ManagedConfig.Warn is %v: must not be negative", cfg.Warn))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	go m.watch()
	return m, nil
}

// Close ends the watching. What the source does of its own accord goes on.
func (m *Managed) Close() { m.once.Do(func() { close(m.stop) }) }

func (m *Managed) watch() {
	look := time.NewTicker(lookEach)
	defer look.Stop()
	for {
		for i := range m.names {
			m.look(i, time.Now())
		}
		select {
		case <-m.stop:
			return
		case <-look.C:
		}
	}
}

// look asks for the certificate of one name, which may take minutes, and reports
// it where it is not well.
func (m *Managed) look(i int, now time.Time) {
	ev := event(smtpguard.KindWarning, "", map[string]string{"names": m.names[i]})
	what := ""
	leaf, err := m.leaf(m.names[i])
	if err != nil {
		ev.Reason, ev.Error = "no certificate", err.Error()
		what = ev.Error
	} else if ev.Reason = ending(leaf, m.cfg.Warn, now); ev.Reason != "" {
		ev.Facts, what = facts(leaf), leaf.SerialNumber.String()
	}
	if m.said[i].due(what, now) && m.cfg.Observe != nil {
		m.cfg.Observe(ev)
	}
}

// leaf asks as a client of today would.
func (m *Managed) leaf(name string) (*x509.Certificate, error) {
	cert, err := m.cfg.Source.GetCertificate(&tls.ClientHelloInfo{
		ServerName:        name,
		CipherSuites:      []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		SupportedCurves:   []tls.CurveID{tls.X25519, tls.CurveP256},
		SupportedPoints:   []uint8{0}, // uncompressed (RFC 8422, section 5.1.2)
		SignatureSchemes:  []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256},
		SupportedVersions: []uint16{tls.VersionTLS13, tls.VersionTLS12},
	})
	switch {
	case err != nil:
		return nil, err
	case cert == nil || len(cert.Certificate) == 0:
		return nil, errors.New("the source has neither a certificate nor an error")
	case cert.Leaf != nil:
		return cert.Leaf, nil
	}
	return x509.ParseCertificate(cert.Certificate[0])
}

// GetCertificate is for [ServerConfig.Certificates].
func (m *Managed) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if slices.Equal(hello.SupportedProtos, []string{acmeProtocol}) || slices.Contains(m.names, strings.ToLower(hello.ServerName)) {
		return m.cfg.Source.GetCertificate(hello)
	}
	ours := *hello
	ours.ServerName = m.names[0]
	return m.cfg.Source.GetCertificate(&ours)
}
