package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/tlsconf"
)

const (
	certificateLife = 2 * 365 * 24 * time.Hour
	renewBefore     = 30 * 24 * time.Hour
)

// pairs are the files of the certificates that cfg names, or else those of the
// self-signed one in dir. That is made, and made tells until when it is good,
// where there is none that will do: one for another hostname, or about to expire.
func pairs(cfg *Config, dir string) (files []tlsconf.Pair, made time.Time, err error) {
	for _, c := range cfg.TLS.Certificates {
		files = append(files, tlsconf.Pair{Certificate: c.Certificate, Key: c.Key})
	}
	if len(files) > 0 {
		return files, made, nil
	}
	own := tlsconf.Pair{Certificate: filepath.Join(dir, "certificate.pem"), Key: filepath.Join(dir, "key.pem")}
	files = []tlsconf.Pair{own}
	certPEM, err := os.ReadFile(own.Certificate)
	if err == nil {
		var keyPEM []byte
		if keyPEM, err = os.ReadFile(own.Key); err == nil {
			// A pair that does not fit together is one that a crash kept from being
			// written whole.
			cert, err := tls.X509KeyPair(certPEM, keyPEM)
			if err == nil && cert.Leaf.VerifyHostname(cfg.Hostname) == nil && time.Until(cert.Leaf.NotAfter) > renewBefore {
				return files, made, nil
			}
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, made, err
	}
	now := time.Now()
	certPEM, keyPEM, err := selfSigned(cfg.Hostname, now)
	if err != nil {
		return nil, made, err
	}
	return files, now.Add(certificateLife), errors.Join(writeFile(own.Key, keyPEM, 0o600), writeFile(own.Certificate, certPEM, 0o644))
}

// tlsConfig is what a listener does TLS with.
func (cfg *Config) tlsConfig(l *Listener, certificates tlsconf.Source) (*tls.Config, error) {
	cas, err := cfg.Auth.authorities()
	if err != nil {
		return nil, err
	}
	return tlsconf.Server(l.level(), tlsconf.ServerConfig{
		Certificates:  certificates,
		ClientCAs:     cas,
		AnyClientCert: slices.ContainsFunc(cfg.Auth.Certificates, func(c ClientCertificate) bool { return strings.HasPrefix(c.Name, "sha256:") }),
	})
}

// authorities are those that sign clients' certificates, nil for none.
func (a *Auth) authorities() (*x509.CertPool, error) {
	if a.Authorities == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(a.Authorities)
	if err != nil {
		return nil, fmt.Errorf("auth.authorities: %w", err)
	}
	cas := x509.NewCertPool()
	if !cas.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("auth.authorities: %s has no certificate", a.Authorities)
	}
	return cas, nil
}

// selfSigned makes a certificate for hostname and this machine, and its key.
func selfSigned(hostname string, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: hostname},
		DNSNames:              []string{hostname, "localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:             now.Add(-time.Hour), // clocks differ
		NotAfter:              now.Add(certificateLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return certPEM, keyPEM, nil
}

// writeFile writes a whole file, or leaves the old one as it is.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
