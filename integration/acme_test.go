package integration

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/emersion/go-smtp"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
	"go.uber.org/zap"
	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/tlsconf"
)

// acmeNames are the names of the server that wants certificates.
var acmeNames = []string{"mx.example.org", "imap.example.org"}

// life is how long the certificates are good: ACME clients renew them when two
// thirds of it are over.
const life = 15 * time.Second

// authority is Pebble, an ACME server for tests, which asks at a port of
// loopback (TLS-ALPN-01) whether the names are ours.
type authority struct {
	directory string
	client    *http.Client   // that trusts its API
	api       *x509.CertPool // its API's certificate
	roots     *x509.CertPool // of the certificates that it issues
	close     func()
}

func newAuthority(t *testing.T, port int) *authority {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0") // who retries takes too long for certificates of seconds
	t.Setenv("PEBBLE_AUTHZREUSE", "0")
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	issuer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: uint64(life.Seconds())}})
	validator := va.New(quiet, 1, port, true, zone(t), store)
	front := wfe.New(quiet, store, validator, issuer, []string{"pebble.letsencrypt.org"}, true, false, 1, 1)
	api := httptest.NewUnstartedServer(front.Handler())
	api.Config.ErrorLog = quiet
	api.StartTLS()
	t.Cleanup(api.Close)
	a := &authority{
		directory: api.URL + wfe.DirectoryPath, client: api.Client(),
		api: x509.NewCertPool(), roots: x509.NewCertPool(), close: api.Close,
	}
	a.api.AddCert(api.Certificate())
	if !a.roots.AppendCertsFromPEM(issuer.GetRootCert(0).PEM()) {
		t.Fatal("no root")
	}
	return a
}

// zone answers for every name with the address of loopback. Pebble asks over TCP.
func zone(t *testing.T) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &dns.Server{Listener: ln, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)})
		}
		w.WriteMsg(m)
	})}
	go srv.ActivateAndServe()
	t.Cleanup(func() { srv.Shutdown() })
	return ln.Addr().String()
}

// site is a server of mail, and of the answers to ACME's questions, with
// certificates of source.
func site(t *testing.T, source tlsconf.Source, questions net.Listener, observe func(smtpguard.Event)) (addr string) {
	t.Helper()
	certs, err := tlsconf.NewManaged(tlsconf.ManagedConfig{Source: source, Names: acmeNames, Observe: observe})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(certs.Close)
	web, err := tlsconf.Server(tlsconf.Submission, tlsconf.ServerConfig{Protocol: tlsconf.HTTPS, Certificates: certs})
	if err != nil {
		t.Fatal(err)
	}
	httpsServer := &http.Server{Handler: http.NotFoundHandler(), ErrorLog: log.New(io.Discard, "", 0)}
	go httpsServer.Serve(tls.NewListener(questions, web))
	t.Cleanup(func() { httpsServer.Close() })

	guard, err := smtpguard.New(smtpguard.Config{})
	if err != nil {
		t.Fatal(err)
	}
	srv := smtp.NewServer(guard.Wrap(&mailbox{messages: make(chan message, 1)}))
	srv.Domain = acmeNames[0]
	srv.ErrorLog = log.New(io.Discard, "", 0)
	if srv.TLSConfig, err = tlsconf.Server(tlsconf.MX, tlsconf.ServerConfig{Certificates: certs}); err != nil {
		t.Fatal(err)
	}
	if err := smtpguard.Harden(srv); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	guarded, err := guard.Listen(srv, ln, smtpguard.ListenConfig{})
	if err != nil {
		t.Fatal(err)
	}
	go guarded.Serve()
	t.Cleanup(func() { srv.Close() })
	return ln.Addr().String()
}

// startTLS returns a client that has been through STARTTLS, and the server's
// certificate.
func startTLS(t *testing.T, addr string, cfg *tls.Config) (*smtp.Client, *x509.Certificate, error) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	c, err := smtp.NewClientStartTLS(conn, cfg)
	if err != nil {
		return nil, nil, err
	}
	if err := c.Noop(); err != nil { // before it, there was no handshake yet
		return nil, nil, err
	}
	state, _ := c.TLSConnectionState()
	return c, state.PeerCertificates[0], nil
}

// renews asserts that the server has a certificate for each of its names, one
// for who asks for none, and in time others, while connections go on.
func renews(t *testing.T, addr string, a *authority) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	var old *smtp.Client
	serials := make(map[string]string)
	for _, name := range acmeNames {
		for {
			c, cert, err := startTLS(t, addr, &tls.Config{ServerName: name, RootCAs: a.roots})
			if err == nil {
				old = c
				serials[name] = cert.SerialNumber.String()
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("no certificate for %s: %v", name, err)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	for _, asks := range []string{"", "alias.example.net"} { // many senders do
		_, cert, err := startTLS(t, addr, &tls.Config{ServerName: asks, InsecureSkipVerify: true})
		if err != nil || cert.VerifyHostname(acmeNames[0]) != nil {
			t.Errorf("a client that asks for %q: %v", asks, err)
		}
	}
	for _, name := range acmeNames {
		for {
			_, cert, err := startTLS(t, addr, &tls.Config{ServerName: name, RootCAs: a.roots})
			if err != nil {
				t.Fatalf("%s: %v", name, err) // there is no moment without one
			}
			if cert.SerialNumber.String() != serials[name] {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the certificate for %s was not renewed", name)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	if err := old.Noop(); err != nil {
		t.Errorf("the connection that began with the old certificate: %v", err)
	}
}

// questions listens where the CA will ask.
func questions(t *testing.T) (net.Listener, int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln, ln.Addr().(*net.TCPAddr).Port
}

func TestAutocert(t *testing.T) {
	ln, port := questions(t)
	a := newAuthority(t, port)
	manager := &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		Cache:      autocert.DirCache(filepath.Join(t.TempDir(), "acme")),
		HostPolicy: autocert.HostWhitelist(acmeNames...),
		Client:     &acme.Client{DirectoryURL: a.directory, HTTPClient: a.client},
	}
	renews(t, site(t, manager, ln, nil), a)
	a.close()
}

func TestCertmagic(t *testing.T) {
	ln, port := questions(t)
	a := newAuthority(t, port)
	var magic *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return magic, nil },
		RenewCheckInterval: time.Second,
		Logger:             zap.NewNop(),
	})
	t.Cleanup(cache.Stop)
	magic = certmagic.New(cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: t.TempDir()}, Logger: zap.NewNop(),
		OCSP: certmagic.OCSPConfig{DisableStapling: true},
	})
	magic.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(magic, certmagic.ACMEIssuer{
		CA: a.directory, TrustedRoots: a.api, Agreed: true, Email: "postmaster@example.org",
		DisableHTTPChallenge: true, AltTLSALPNPort: port, ListenHost: "127.0.0.1",
		Logger: zap.NewNop(),
	})}
	addr := site(t, magic, ln, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := magic.ManageSync(ctx, acmeNames); err != nil {
		t.Fatal(err)
	}
	renews(t, addr, a)
}

// TestNoCertificateIsReported: where the CA can not be had, the operator hears
// of each name.
func TestNoCertificateIsReported(t *testing.T) {
	ln, port := questions(t)
	a := newAuthority(t, port)
	a.close()
	events := make(chan smtpguard.Event, 10)
	site(t, &autocert.Manager{
		Prompt: autocert.AcceptTOS, HostPolicy: autocert.HostWhitelist(acmeNames...),
		Client: &acme.Client{DirectoryURL: a.directory, HTTPClient: a.client},
	}, ln, func(ev smtpguard.Event) { events <- ev })
	for _, name := range acmeNames {
		select {
		case ev := <-events:
			if ev.Kind != smtpguard.KindWarning || ev.Reason != "no certificate" || ev.Error == "" || ev.Facts["names"] != name {
				t.Errorf("%+v, want one of %s", ev, name)
			}
		case <-time.After(time.Minute):
			t.Fatal("no event")
		}
	}
}
