package auth

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	_ "crypto/sha256" // for crypto.Hash.New
	_ "crypto/sha512"
)

// bindable reports whether an exchange can be bound to the channel. Below TLS 1.3
// it is not offered: clients would bind by tls-unique there (RFC 5929, section
// 3), which Go does not always know and RFC 7627 found wanting.
func bindable(state *tls.ConnectionState) bool { return state.Version >= tls.VersionTLS13 }

// bindings returns what the data of a channel binding of the given type may be;
// none for a type that is not known.
func (a *Auth) bindings(kind string, state *tls.ConnectionState) ([][]byte, error) {
	switch kind {
	case "tls-exporter": // RFC 9266, section 4.2
		data, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
		if err != nil {
			return nil, fmt.Errorf("auth: channel binding: %w", err)
		}
		return [][]byte{data}, nil
	case "tls-server-end-point":
		if a.cfg.Certificates == nil {
			return nil, nil
		}
		var all [][]byte
		for _, cert := range a.cfg.Certificates(*state) {
			if data := endPoint(cert); data != nil {
				all = append(all, data)
			}
		}
		return all, nil
	}
	return nil, nil
}

// endPoint is the hash of a certificate (RFC 5929, section 4.1), nil where that
// is not defined.
func endPoint(cert *x509.Certificate) []byte {
	var h crypto.Hash
	switch cert.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.DSAWithSHA256, x509.ECDSAWithSHA256, x509.SHA256WithRSAPSS:
		h = crypto.SHA256
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		h = crypto.SHA384
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		h = crypto.SHA512
	default:
		return nil
	}
	sum := h.New()
	sum.Write(cert.Raw)
	return sum.Sum(nil)
}

// ServerCertificates is a [Config].Certificates for a server under cfg: the
// certificates in it, and those that its GetCertificate chooses for the name that
// the client asked for.
func ServerCertificates(cfg *tls.Config) (func(tls.ConnectionState) []*x509.Certificate, error) {
	if cfg == nil {
		return nil, errors.New("auth: ServerCertificates: no tls.Config")
	}
	var fixed []*x509.Certificate
	for i := range cfg.Certificates {
		cert, err := leaf(&cfg.Certificates[i])
		if err != nil {
			return nil, fmt.Errorf("auth: ServerCertificates: Certificates[%d]: %w", i, err)
		}
		fixed = append(fixed, cert)
	}
	return func(state tls.ConnectionState) []*x509.Certificate {
		all := fixed[:len(fixed):len(fixed)]
		if cfg.GetCertificate == nil {
			return all
		}
		for _, scheme := range []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256} {
			chosen, err := cfg.GetCertificate(&tls.ClientHelloInfo{
				ServerName: state.ServerName, CipherSuites: []uint16{state.CipherSuite}, SupportedVersions: []uint16{state.Version},
				SignatureSchemes: []tls.SignatureScheme{scheme}, SupportedCurves: []tls.CurveID{tls.CurveP256, tls.X25519},
			})
			if err != nil || chosen == nil {
				continue
			}
			if cert, err := leaf(chosen); err == nil {
				all = append(all, cert)
			}
		}
		return all
	}, nil
}

func leaf(c *tls.Certificate) (*x509.Certificate, error) {
	switch {
	case c.Leaf != nil:
		return c.Leaf, nil
	case len(c.Certificate) == 0:
		return nil, errors.New("is empty")
	}
	return x509.ParseCertificate(c.Certificate[0])
}
