package tlsconf_test

import (
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/acme/autocert"

	"github.com/smtpguard/smtpguard/tlsconf"
)

var _ tlsconf.Source = (*autocert.Manager)(nil)

// broken is a source that panics.
type broken struct{}

func (broken) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) { panic("no conn") }

// picky is a source that answers to the names it knows, as ACME clients do.
type picky struct {
	mu    sync.Mutex
	certs map[string]*tls.Certificate
	asked []string
}

func (p *picky) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, strings.Join(append(hello.SupportedProtos, hello.ServerName), " "))
	if c := p.certs[hello.ServerName]; c != nil {
		return c, nil
	}
	return nil, errors.New("not mine: " + hello.ServerName)
}

func (p *picky) questions() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

func (p *picky) put(name string, c tls.Certificate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.certs[name] = &c
}

func TestManaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, e := newAuthority(t), new(events)
		p := &picky{certs: make(map[string]*tls.Certificate)}
		const hour = time.Hour
		p.put("mx.example.org", ca.issue(t, wish{names: []string{"mx.example.org"}, life: 10 * 24 * hour}))
		m, err := tlsconf.NewManaged(tlsconf.ManagedConfig{Source: p, Names: []string{"MX.example.org.", "imap.example.org"}, Observe: e.observe})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		wait := func(d time.Duration, want ...string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			var got []string
			for _, ev := range e.take() {
				got = append(got, strings.TrimSuffix(ev.Facts["names"]+": "+ev.Reason+" "+ev.Error, " "))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		}
		wait(time.Minute, "imap.example.org: no certificate not mine: imap.example.org")
		if want := []string{"mx.example.org", "imap.example.org"}; !slices.Equal(p.questions(), want) {
			t.Errorf("asked at the start: %q", p.questions())
		}
		wait(23 * hour)
		wait(hour, "imap.example.org: no certificate not mine: imap.example.org")
		leafless := ca.issue(t, wish{names: []string{"imap.example.org"}})
		leafless.Leaf = nil
		p.put("imap.example.org", leafless)
		wait(6*24*hour + 20*hour)
		wait(4*hour, "mx.example.org: certificate expires in 1 day")
		p.put("mx.example.org", ca.issue(t, wish{names: []string{"mx.example.org"}}))
		wait(48 * hour)
		m.Close()
		asked := len(p.questions())
		wait(48 * hour)
		if len(p.questions()) != asked {
			t.Error("asked after Close")
		}
	})
}

// TestManagedNames: clients that ask for no name, or for one that the source
// would not know, get the first.
func TestManagedNames(t *testing.T) {
	ca := newAuthority(t)
	p := &picky{certs: make(map[string]*tls.Certificate)}
	for _, name := range []string{"mx.example.org", "imap.example.org"} {
		p.put(name, ca.issue(t, wish{names: []string{name}}))
	}
	m, err := tlsconf.NewManaged(tlsconf.ManagedConfig{Source: p, Names: []string{"mx.example.org", "imap.example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	cfg := server(t, tlsconf.MX, tlsconf.ServerConfig{Protocol: tlsconf.HTTPS, Certificates: m})
	for asks, want := range map[string]string{
		"": "mx.example.org", "mx.example.org": "mx.example.org", "imap.example.org": "imap.example.org", "alias.example": "mx.example.org",
	} {
		_, state, err := shake(cfg, &tls.Config{InsecureSkipVerify: true, ServerName: asks})
		if err != nil || state.PeerCertificates[0].VerifyHostname(want) != nil {
			t.Errorf("%q: %v, want the certificate of %s", asks, err, want)
		}
	}
	// ACME's questions reach the source as they are.
	_, _, err = shake(cfg, &tls.Config{InsecureSkipVerify: true, ServerName: "new.example.org", NextProtos: []string{"acme-tls/1"}})
	if err == nil || !slices.Contains(p.questions(), "acme-tls/1 new.example.org") {
		t.Errorf("%v; asked %q", err, p.questions())
	}
}

func TestManagedErrors(t *testing.T) {
	for want, cfg := range map[string]tlsconf.ManagedConfig{
		"tlsconf: ManagedConfig.Source is nil":     {Names: []string{"a.example"}},
		"tlsconf: ManagedConfig.Names is empty":    {Source: one{}},
		"tlsconf: ManagedConfig.Names[1] \"a b\":": {Source: one{}, Names: []string{"a.example", "a b"}},
		"tlsconf: ManagedConfig.Warn is -1s":       {Source: one{}, Names: []string{"a.example"}, Warn: -time.Second},
	} {
		if _, err := tlsconf.NewManaged(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	// A source without an answer is one that fails.
	e := new(events)
	m, err := tlsconf.NewManaged(tlsconf.ManagedConfig{Source: one{}, Names: []string{"a.example"}, Observe: e.observe})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	waitFor(t, "the event", func() bool { return e.has("no certificate") })
	// One that panics does not end the process.
	e = new(events)
	m, err = tlsconf.NewManaged(tlsconf.ManagedConfig{Source: broken{}, Names: []string{"a.example"}, Observe: e.observe})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	waitFor(t, "the event", func() bool { return e.has("no certificate") })
	if ev := e.take()[0]; ev.Error != "panic: no conn" {
		t.Errorf("%+v", ev)
	}
}
