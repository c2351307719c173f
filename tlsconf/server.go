package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// Source gives a server its certificates. [Files] and [Managed] are sources,
// and so are an *autocert.Manager and a *certmagic.Config, which want a Managed
// around them.
type Source interface {
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// ServerConfig is what a server has of its own. Only Certificates is required.
type ServerConfig struct {
	Protocol     Protocol
	Certificates Source

	// ClientCAs sign the certificates of clients. With them a client is asked for
	// one: at Submission one that is given must be good, at Strict there must be
	// one. At MX it is not looked at in the handshake, for senders give whatever
	// they have: [Identities] verifies it afterwards.
	ClientCAs *x509.CertPool

	// AnyClientCert asks for a certificate of whoever signed it, to know the client
	// by its fingerprint. At Strict there must be one. ClientCAs then only tell
	// the client which to choose.
	AnyClientCert bool
}

// Server returns a server's configuration. The caller may edit it.
func Server(level Level, cfg ServerConfig) (*tls.Config, error) {
	c, err := level.config()
	if !cfg.Protocol.valid() {
		err = errors.Join(err, fmt.Errorf("tlsconf: ServerConfig.Protocol is %d, which is no Protocol", int(cfg.Protocol)))
	}
	if cfg.Certificates == nil {
		err = errors.Join(err, errors.New("tlsconf: ServerConfig.Certificates is nil: no handshake could succeed"))
	}
	if err != nil {
		return nil, err
	}
	c.GetCertificate = cfg.Certificates.GetCertificate
	c.NextProtos = cfg.Protocol.alpn()
	c.ClientCAs = cfg.ClientCAs
	c.ClientAuth = clientAuth(level, cfg.ClientCAs != nil, cfg.AnyClientCert)
	return c, nil
}

func clientAuth(level Level, cas, any bool) tls.ClientAuthType {
	switch {
	case !cas && !any:
		return tls.NoClientCert
	case level == Strict && any:
		return tls.RequireAnyClientCert
	case level == Strict:
		return tls.RequireAndVerifyClientCert
	case level == MX || any:
		return tls.RequestClientCert
	}
	return tls.VerifyClientCertIfGiven
}

// ClientConfig is what a client has of its own. The server's certificate is
// verified for ServerName, which is required, unless Unverified says otherwise.
type ClientConfig struct {
	Protocol   Protocol
	ServerName string
	RootCAs    *x509.CertPool // nil means the system's

	// Certificate is the client's own, where the server asks for one:
	// [Files.GetClientCertificate], say.
	Certificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)

	// Unverified takes any certificate, and is for the level MX alone: where the
	// alternative is clear text, a certificate of nobody is better than none
	// (RFC 7435). Who knows the server's policy (DANE, MTA-STS) verifies.
	Unverified bool
}

// Client returns a client's configuration. The caller may edit it.
func Client(level Level, cfg ClientConfig) (*tls.Config, error) {
	c, err := level.config()
	if !cfg.Protocol.valid() {
		err = errors.Join(err, fmt.Errorf("tlsconf: ClientConfig.Protocol is %d, which is no Protocol", int(cfg.Protocol)))
	}
	if cfg.ServerName == "" && !cfg.Unverified {
		err = errors.Join(err, errors.New("tlsconf: ClientConfig.ServerName is empty: nobody's certificate would fit it"))
	}
	if cfg.Unverified && level != MX {
		err = errors.Join(err, fmt.Errorf("tlsconf: ClientConfig.Unverified is set at level %v: it is for MX alone", level))
	}
	if err != nil {
		return nil, err
	}
	c.ServerName, c.RootCAs = cfg.ServerName, cfg.RootCAs
	c.InsecureSkipVerify = cfg.Unverified
	c.GetClientCertificate = cfg.Certificate
	if cfg.Protocol == IMAP || cfg.Protocol == POP3 {
		c.NextProtos = cfg.Protocol.alpn() // net/http offers its own, and SMTP has none that is registered
	}
	return c, nil
}
