package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/tlsconf"
)

// BenchmarkTLS tells how many handshakes a second a tlsconf.Listener takes, with
// a certificate of files, beside crypto/tls alone with the same configuration.
// The client's half of the handshake, in the same process, is part of both.
func BenchmarkTLS(b *testing.B) {
	pair := certificate(b)
	files, err := tlsconf.NewFiles(tlsconf.FilesConfig{Pairs: []tlsconf.Pair{pair}})
	if err != nil {
		b.Fatal(err)
	}
	defer files.Close()
	loaded, err := tls.LoadX509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		b.Fatal(err)
	}
	for _, level := range []tlsconf.Level{tlsconf.MX, tlsconf.Submission, tlsconf.Strict} {
		cfg, err := tlsconf.Server(level, tlsconf.ServerConfig{Certificates: files})
		if err != nil {
			b.Fatal(err)
		}
		b.Run("handshake-"+level.String()+"/smtpguard", func(b *testing.B) {
			ln := make(memory)
			l, err := tlsconf.NewListener(ln, tlsconf.ListenerConfig{TLS: cfg})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go welcome(c)
				}
			}()
			shakeHands(b, ln)
		})
		b.Run("handshake-"+level.String()+"/limit", func(b *testing.B) {
			bare := cfg.Clone()
			bare.GetCertificate, bare.Certificates = nil, []tls.Certificate{loaded}
			ln := make(memory)
			l := tls.NewListener(ln, bare)
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go welcome(c)
				}
			}()
			shakeHands(b, ln)
		})
	}
}

// welcome writes an octet, after the handshake where there was none yet.
func welcome(c net.Conn) {
	c.Write([]byte("x"))
	c.Close()
}

// shakeHands connects to ln again and again, one after another, and ends it.
func shakeHands(b *testing.B, ln memory) {
	defer close(ln)
	client := &tls.Config{InsecureSkipVerify: true}
	octet := make([]byte, 1)
	once := func() {
		c, s := net.Pipe()
		ln <- end{s}
		if _, err := io.ReadFull(tls.Client(c, client), octet); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
	for range 100 { // whoever comes first pays for the heap
		once()
	}
	_, cpu := measure(func() {
		for b.Loop() {
			once()
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handshakes/s")
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/op") // which others on the machine disturb less
}

// certificate makes files of a certificate.
func certificate(b *testing.B) tlsconf.Pair {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example.org"}, NotBefore: time.Now(), NotAfter: time.Now().Add(90 * 24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		b.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	pair := tlsconf.Pair{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	for path, block := range map[string]*pem.Block{pair.Certificate: {Type: "CERTIFICATE", Bytes: cert}, pair.Key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return pair
}
