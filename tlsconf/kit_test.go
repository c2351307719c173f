package tlsconf_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/tlsconf"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pool *x509.CertPool
}

var serial = struct {
	sync.Mutex
	n int64
}{n: 1}

func nextSerial() *big.Int {
	serial.Lock()
	defer serial.Unlock()
	serial.n++
	return big.NewInt(serial.n)
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	number := nextSerial()
	template := &x509.Certificate{
		SerialNumber: number, Subject: pkix.Name{CommonName: "Test CA " + number.String()},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(10 * 365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

// wish is a certificate to be issued.
type wish struct {
	names  []string
	rsa    int           // bits; 0 is ECDSA
	life   time.Duration // 0 is 90 days, from an hour ago
	from   time.Duration // from now; 0 is an hour ago
	change func(*x509.Certificate)
}

func (a *authority) issue(t testing.TB, w wish) tls.Certificate {
	t.Helper()
	var key crypto.Signer
	var err error
	if w.rsa != 0 {
		key, err = rsa.GenerateKey(rand.Reader, w.rsa)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	if w.life == 0 {
		w.life = 90 * 24 * time.Hour
	}
	if w.from == 0 {
		w.from = -time.Hour
	}
	template := &x509.Certificate{
		SerialNumber: nextSerial(), DNSNames: w.names,
		NotBefore: time.Now().Add(w.from), NotAfter: time.Now().Add(w.from + w.life),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if w.change != nil {
		w.change(template)
	}
	signer, signerKey := a.cert, a.key
	if w.change != nil && template.Issuer.CommonName == "self" {
		signer, signerKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, key.Public(), signerKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// write makes files of cert in dir, and returns their names.
func write(t testing.TB, dir, name string, cert tls.Certificate) tlsconf.Pair {
	t.Helper()
	p := tlsconf.Pair{Certificate: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}
	writeTo(t, p, cert)
	return p
}

func writeTo(t testing.TB, p tlsconf.Pair, cert tls.Certificate) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		path, kind string
		der        []byte
		mode       os.FileMode
	}{{p.Certificate, "CERTIFICATE", cert.Certificate[0], 0o644}, {p.Key, "PRIVATE KEY", key, 0o600}} {
		text := pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der})
		if err := os.WriteFile(f.path+".new", text, f.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(f.path+".new", f.path); err != nil {
			t.Fatal(err)
		}
	}
}

// one is a source of one certificate.
type one struct{ *tls.Certificate }

func (o one) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return o.Certificate, nil
}

// server is Server, which must succeed.
func server(t testing.TB, level tlsconf.Level, cfg tlsconf.ServerConfig) *tls.Config {
	t.Helper()
	c, err := tlsconf.Server(level, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// shake has client and server shake hands, and returns both sides' states. Each
// has read an octet of the other.
func shake(server, client *tls.Config) (s, c tls.ConnectionState, err error) {
	cc, sc := pipe()
	defer cc.Close()
	defer sc.Close()
	st, ct := tls.Server(sc, server), tls.Client(cc, client)
	served := make(chan error, 1)
	go func() {
		err := st.Handshake()
		if err == nil {
			_, err = io.ReadFull(st, make([]byte, 1))
		}
		if err == nil {
			_, err = st.Write([]byte("x"))
		}
		if err != nil {
			sc.Close()
		}
		served <- err
	}()
	err = ct.Handshake()
	if err == nil {
		_, err = ct.Write([]byte("x"))
	}
	if err == nil {
		_, err = io.ReadFull(ct, make([]byte, 1)) // with it come the session's tickets
	}
	if err != nil {
		cc.Close()
	}
	if serr := <-served; err == nil {
		err = serr
	}
	return st.ConnectionState(), ct.ConnectionState(), err
}

// pipe is a connection in memory whose writes wait for nobody.
func pipe() (a, b net.Conn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer ln.Close()
	if a, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		panic(err)
	}
	if b, err = ln.Accept(); err != nil {
		panic(err)
	}
	for _, c := range []net.Conn{a, b} {
		c.SetDeadline(time.Now().Add(20 * time.Second))
	}
	return a, b
}

// events collects what is observed.
type events struct {
	mu  sync.Mutex
	all []smtpguard.Event
}

func (e *events) observe(ev smtpguard.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

// take returns and forgets what was observed.
func (e *events) take() []smtpguard.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.all
	e.all = nil
	return all
}

// reasons are those of the events.
func (e *events) reasons() (rs []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.all {
		rs = append(rs, ev.Reason)
	}
	return rs
}

func (e *events) has(reason string) bool { return slices.Contains(e.reasons(), reason) }

// waitFor waits until ok, which something in the background brings about.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited for %s in vain", what)
}

// serveTLS answers every client on a port of loopback with TLS and one line.
func serveTLS(t testing.TB, cfg *tls.Config) (addr string) {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(20 * time.Second))
				if c.(*tls.Conn).HandshakeContext(context.Background()) == nil {
					io.WriteString(c, "served\r\n")
					io.Copy(io.Discard, c)
				}
			}()
		}
	}()
	return ln.Addr().String()
}
