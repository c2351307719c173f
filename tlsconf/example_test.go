package tlsconf_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/emersion/go-smtp"
	"golang.org/x/crypto/acme/autocert"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/tlsconf"
)

// An MX with a certificate of files, which takes mail for one ward over TLS only.
func Example() {
	pair, remove := selfSigned("mx.example.org")
	defer remove()
	files, err := tlsconf.NewFiles(tlsconf.FilesConfig{
		Pairs:   []tlsconf.Pair{pair},
		Observe: smtpguard.LogEvents(slog.Default()),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer files.Close()
	cfg, err := tlsconf.Server(tlsconf.MX, tlsconf.ServerConfig{Certificates: files})
	if err != nil {
		log.Fatal(err)
	}
	must, err := tlsconf.RequireTLS(tlsconf.Requirement{To: []string{"ward@hospital.example"}})
	if err != nil {
		log.Fatal(err)
	}
	guard, err := smtpguard.New(smtpguard.Config{}, must)
	if err != nil {
		log.Fatal(err)
	}
	server := smtp.NewServer(guard.Wrap(discard{}))
	server.Domain, server.TLSConfig = "mx.example.org", cfg
	fmt.Println(smtpguard.Harden(server), len(cfg.CipherSuites), "suites of TLS 1.2")
	// Output: <nil> 10 suites of TLS 1.2
}

// Certificates by ACME: the server's names, and where clients that ask for no
// name, as many senders do, get one all the same.
func ExampleNewManaged() {
	acme := &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		Cache:      autocert.DirCache("/var/lib/smtpguard/acme"),
		HostPolicy: autocert.HostWhitelist("mx.example.org", "imap.example.org"),
	}
	certs, err := tlsconf.NewManaged(tlsconf.ManagedConfig{Source: acme, Names: []string{"mx.example.org", "imap.example.org"}})
	if err != nil {
		log.Fatal(err)
	}
	defer certs.Close()
	// The CA asks at port 80 (acme.HTTPHandler) or 443 (Protocol: HTTPS).
	_, err = tlsconf.Server(tlsconf.Submission, tlsconf.ServerConfig{Certificates: certs})
	if err != nil {
		log.Fatal(err)
	}
}

// selfSigned makes files of a certificate.
func selfSigned(name string) (pair tlsconf.Pair, remove func()) {
	dir, err := os.MkdirTemp("", "tlsconf")
	if err != nil {
		log.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now(), NotAfter: time.Now().Add(365 * 24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		log.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		log.Fatal(err)
	}
	pair = tlsconf.Pair{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for path, block := range map[string]*pem.Block{pair.Certificate: {Type: "CERTIFICATE", Bytes: cert}, pair.Key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			log.Fatal(err)
		}
	}
	return pair, func() { os.RemoveAll(dir) }
}
