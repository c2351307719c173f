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
		bare := cfg.Clone()
		bare.GetCertificate, bare.Certificates = nil, []tls.Certificate{loaded}
		guarded := func(ln net.Listener) (net.Listener, error) {
			return tlsconf.NewListener(ln, tlsconf.ListenerConfig{TLS: cfg})
		}
		limit := func(ln net.Listener) (net.Listener, error) { return tls.NewListener(ln, bare), nil }
		name := "handshake-" + level.String()
		for who, listen := range map[string]func(net.Listener) (net.Listener, error){"smtpguard": guarded, "limit": limit} {
			b.Run(name+"/"+who, func(b *testing.B) {
				shake := handshaker(b, listen)
				_, cpu := measure(func() {
					for b.Loop() {
						shake()
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handshakes/s")
				b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/op") // which others on the machine disturb less
			})
		}
		// Short turns, side by side, say more than long runs one after another.
		b.Run(name+"-turns/smtpguard", func(b *testing.B) {
			ours, theirs := handshaker(b, guarded), handshaker(b, limit)
			var clocks, cpus []float64
			turn := func(shake func()) (time.Duration, time.Duration) {
				return measure(func() {
					for range 20 {
						shake()
					}
				})
			}
			for b.Loop() {
				clock, cpu := turn(ours)
				bareClock, bareCPU := turn(theirs)
				clocks = append(clocks, bareClock.Seconds()/clock.Seconds())
				cpus = append(cpus, cpu.Seconds()/max(bareCPU.Seconds(), 1e-9))
			}
			b.ReportMetric(median(clocks), "x/limit") // handshakes a second
			b.ReportMetric(median(cpus), "cpu/limit")
		})
	}
}

// handshaker serves with what listen makes, until b ends. What it returns connects
// once.
func handshaker(b *testing.B, listen func(net.Listener) (net.Listener, error)) (shake func()) {
	b.Helper()
	ln := make(memory)
	l, err := listen(ln)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { close(ln); l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go welcome(c)
		}
	}()
	client := &tls.Config{InsecureSkipVerify: true}
	octet := make([]byte, 1)
	shake = func() {
		c, s := net.Pipe()
		ln <- end{s}
		if _, err := io.ReadFull(tls.Client(c, client), octet); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
	for range 100 { // whoever comes first pays for the heap
		shake()
	}
	return shake
}

// welcome writes an octet, after the handshake where there was none yet.
func welcome(c net.Conn) {
	c.Write([]byte("x"))
	c.Close()
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
