package tlsconf

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
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
	ctx   context.Context
	stop  context.CancelFunc
	said  []reminder // by name
}

// NewManaged begins to ask for certificates, and watches them until Close.
func NewManaged(cfg ManagedConfig) (*Managed, error) {
	m := &Managed{cfg: cfg, said: make([]reminder, len(cfg.Names))}
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
	m.ctx, m.stop = context.WithCancel(context.Background())
	go m.watch()
	return m, nil
}

// Close ends the watching. What the source does of its own accord goes on.
func (m *Managed) Close() { m.stop() }

func (m *Managed) watch() {
	look := time.NewTicker(lookEach)
	defer look.Stop()
	for {
		for i := range m.names {
			m.look(i, time.Now())
		}
		select {
		case <-m.ctx.Done():
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
	if m.ctx.Err() != nil {
		return // whatever came of it was cut short
	}
	if m.said[i].due(what, now) && m.cfg.Observe != nil {
		m.cfg.Observe(ev)
	}
}

// leaf asks with the hello of a client of today, one that really is: sources
// look for more in it than its documentation promises.
func (m *Managed) leaf(name string) (*x509.Certificate, error) {
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	go tls.Client(client, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake() // it does not get far
	var cert *tls.Certificate
	err := errors.New("no answer")
	broken := shakeHands(m.ctx, tls.Server(server, &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err = m.cfg.Source.GetCertificate(hello)
		return nil, errSeen
	}}))
	switch {
	case !errors.Is(broken, errSeen):
		return nil, broken
	case err != nil:
		return nil, err
	case cert == nil || len(cert.Certificate) == 0:
		return nil, errors.New("the source has neither a certificate nor an error")
	case cert.Leaf != nil:
		return cert.Leaf, nil
	}
	return x509.ParseCertificate(cert.Certificate[0])
}

// errSeen ends a handshake that has told all it was to tell.
var errSeen = errors.New("seen")

// GetCertificate is for [ServerConfig.Certificates].
func (m *Managed) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if slices.Equal(hello.SupportedProtos, []string{acmeProtocol}) || slices.Contains(m.names, strings.ToLower(hello.ServerName)) {
		return m.cfg.Source.GetCertificate(hello)
	}
	ours := *hello
	ours.ServerName = m.names[0]
	return m.cfg.Source.GetCertificate(&ours)
}
