package tlsconf_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/tlsconf"
)

// newFiles is NewFiles, which must succeed, until the end of the test.
func newFiles(t testing.TB, e *events, pairs ...tlsconf.Pair) *tlsconf.Files {
	t.Helper()
	cfg := tlsconf.FilesConfig{Pairs: pairs}
	if e != nil {
		cfg.Observe = e.observe
	}
	f, err := tlsconf.NewFiles(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// serves is the certificate that a client who asks for name gets.
func serves(t testing.TB, f *tlsconf.Files, name string) *x509.Certificate {
	t.Helper()
	cert, err := f.GetCertificate(&tls.ClientHelloInfo{
		ServerName: name, SupportedVersions: []uint16{tls.VersionTLS13}, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
	})
	if err != nil {
		t.Fatal(err)
	}
	return cert.Leaf
}

// TestReload: what is whole is taken over, what is broken is not, and the
// operator hears of both once.
func TestReload(t *testing.T) {
	ca, dir, e := newAuthority(t), t.TempDir(), new(events)
	first, second := ca.issue(t, wish{names: []string{"mx.example.org"}}), ca.issue(t, wish{names: []string{"mx.example.org"}})
	pair := write(t, dir, "mx", first)
	f, err := tlsconf.OpenFiles(tlsconf.FilesConfig{Pairs: []tlsconf.Pair{pair}, Observe: e.observe})
	if err != nil {
		t.Fatal(err)
	}
	want := func(what string, leaf *x509.Certificate, reasons ...string) {
		t.Helper()
		err := f.Reload()
		if !serves(t, f, "mx.example.org").Equal(leaf) {
			t.Errorf("%s: another certificate", what)
		}
		got := e.take()
		if len(got) != len(reasons) {
			t.Errorf("%s: %+v, want %q", what, got, reasons)
		}
		for i, ev := range got {
			if ev.Reason != reasons[i] || (ev.Kind == smtpguard.KindWarning) != (ev.Error != "") || (err != nil) != (ev.Error != "") || ev.Facts["names"] != "mx.example.org" {
				t.Errorf("%s: %v, %+v", what, err, ev)
			}
		}
	}
	const taken, kept = "certificate taken over", "certificate not taken over, the one before stays"
	want("nothing", first.Leaf)
	writeTo(t, pair, second)
	want("another pair", second.Leaf, taken)
	want("and then nothing", second.Leaf)

	key, err := os.ReadFile(pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	third := ca.issue(t, wish{names: []string{"mx.example.org"}})
	next := write(t, dir, "next", third)
	os.Rename(next.Certificate, pair.Certificate)
	want("a certificate without its key", second.Leaf, kept)
	want("the same, again", second.Leaf) // it has been said
	os.Rename(next.Key, pair.Key)
	want("its key", third.Leaf, taken)

	for _, tt := range []struct {
		what   string
		damage func()
	}{
		{"no PEM", func() { os.WriteFile(pair.Certificate, []byte("not yet"), 0o644) }},
		{"empty", func() { os.WriteFile(pair.Key, nil, 0o600) }},
		{"gone", func() { os.Remove(pair.Key) }},
		{"another key", func() { os.WriteFile(pair.Key, key, 0o600) }},
		{"open to all", func() { os.Chmod(pair.Key, 0o604) }},
		{"a directory", func() { os.Remove(pair.Key); os.Mkdir(pair.Key, 0o700) }},
		{"too long", func() { os.Truncate(pair.Certificate, 2<<20) }},
		{"expired", func() { writeTo(t, pair, ca.issue(t, wish{from: -2 * time.Hour, life: time.Hour})) }},
		{"not yet good", func() { writeTo(t, pair, ca.issue(t, wish{from: 48 * time.Hour})) }},
		{"a weak key", func() { writeTo(t, pair, ca.issue(t, wish{rsa: 1024})) }},
	} {
		tt.damage()
		want(tt.what, third.Leaf, kept)
		os.RemoveAll(pair.Key)
		writeTo(t, pair, third)
		want(tt.what+", repaired", third.Leaf)
	}
}

// TestChangesAreSeen: also through links, as ACME clients lay them, and when a
// key comes some time after its certificate.
func TestChangesAreSeen(t *testing.T) {
	ca, dir, e := newAuthority(t), t.TempDir(), new(events)
	first, second, third := ca.issue(t, wish{}), ca.issue(t, wish{}), ca.issue(t, wish{})
	one, two := write(t, dir, "1", first), write(t, dir, "2", second)
	pair := tlsconf.Pair{Certificate: filepath.Join(dir, "live.pem"), Key: filepath.Join(dir, "live.key")}
	link := func(to tlsconf.Pair) {
		t.Helper()
		for name, target := range map[string]string{pair.Certificate: to.Certificate, pair.Key: to.Key} {
			if err := os.Symlink(target, name+".new"); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(name+".new", name); err != nil {
				t.Fatal(err)
			}
		}
	}
	link(one)
	f := newFiles(t, e, pair)
	link(two)
	waitFor(t, "the second certificate", func() bool { return serves(t, f, "").Equal(second.Leaf) })

	three := write(t, t.TempDir(), "3", third)
	os.Rename(three.Certificate, pair.Certificate)
	time.Sleep(200 * time.Millisecond)
	os.Rename(three.Key, pair.Key)
	waitFor(t, "the third certificate", func() bool { return serves(t, f, "").Equal(third.Leaf) })
	if !e.has("certificate taken over") {
		t.Errorf("%q", e.reasons())
	}
}

// TestConnectionsStay: a connection outlives the certificate it began with, and
// the next one has the new.
func TestConnectionsStay(t *testing.T) {
	ca := newAuthority(t)
	first, second := ca.issue(t, wish{names: []string{"mx.example.org"}}), ca.issue(t, wish{names: []string{"mx.example.org"}})
	pair := write(t, t.TempDir(), "mx", first)
	f := newFiles(t, nil, pair)
	addr := serveTLS(t, server(t, tlsconf.MX, tlsconf.ServerConfig{Certificates: f}))
	dial := func() *tls.Conn {
		t.Helper()
		c, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: ca.pool, ServerName: "mx.example.org"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	old := dial()
	writeTo(t, pair, second)
	if err := f.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := dial().ConnectionState().PeerCertificates[0]; !got.Equal(second.Leaf) {
		t.Error("the new connection has the old certificate")
	}
	buf := make([]byte, 8)
	if n, err := old.Read(buf); err != nil || string(buf[:n]) != "served\r\n" {
		t.Errorf("the old connection: %q, %v", buf[:n], err)
	}
	os.Remove(pair.Key)
	if err := f.Reload(); err == nil || !strings.Contains(err.Error(), "tlsconf: Pairs[0]: open "+pair.Key) {
		t.Errorf("Reload: %v", err)
	}
	if got := dial().ConnectionState().PeerCertificates[0]; !got.Equal(second.Leaf) {
		t.Error("another certificate")
	}
}

// TestNamesAndKinds: the certificate is that of the name, or else the first, and
// of a kind that the client can verify.
func TestNamesAndKinds(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	certs := map[string]tls.Certificate{
		"mx":     ca.issue(t, wish{names: []string{"mx.example.org", "example.org"}}),
		"mx-rsa": ca.issue(t, wish{names: []string{"mx.example.org"}, rsa: 2048}),
		"wild":   ca.issue(t, wish{names: []string{"*.example.net"}}),
		"imap":   ca.issue(t, wish{names: []string{"IMAP.example.net"}}),
	}
	var pairs []tlsconf.Pair
	for _, name := range []string{"mx", "mx-rsa", "wild", "imap"} {
		pairs = append(pairs, write(t, dir, name, certs[name]))
	}
	f := newFiles(t, nil, pairs...)
	cfg := server(t, tlsconf.MX, tlsconf.ServerConfig{Certificates: f})
	rsa := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	for _, tt := range []struct {
		asks   string
		suites []uint16 // of TLS 1.2
		want   string
	}{
		{"mx.example.org", nil, "mx"},
		{"example.org", nil, "mx"},
		{"mx.example.org", rsa, "mx-rsa"},
		{"imap.example.net", nil, "imap"},
		{"pop.example.net", nil, "wild"},
		{"a.pop.example.net", nil, "mx"}, // a star is one label
		{"example.net", nil, "mx"},
		{"", nil, "mx"},
		{"", rsa, "mx-rsa"},
		{"alias.example", nil, "mx"},
		{"imap.example.net", rsa, "mx-rsa"}, // better a wrong name than no TLS
	} {
		client := &tls.Config{InsecureSkipVerify: true, ServerName: tt.asks}
		if tt.suites != nil {
			client.MaxVersion, client.CipherSuites = tls.VersionTLS12, tt.suites
		}
		_, state, err := shake(cfg, client)
		if err != nil {
			t.Errorf("%q: %v", tt.asks, err)
			continue
		}
		if !state.PeerCertificates[0].Equal(certs[tt.want].Leaf) {
			t.Errorf("%q, suites %v: the certificate of %v, want that of %s", tt.asks, tt.suites, state.PeerCertificates[0].DNSNames, tt.want)
		}
	}
}

func TestClientFiles(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	cert, mine := ca.issue(t, wish{names: []string{"mx.example.org"}}), ca.issue(t, wish{names: []string{"client.example"}})
	f := newFiles(t, nil, write(t, t.TempDir(), "client", mine))
	for _, tt := range []struct {
		cas   *x509.CertPool
		given bool
	}{{ca.pool, true}, {other.pool, false}} {
		client, err := tlsconf.Client(tlsconf.Submission, tlsconf.ClientConfig{ServerName: "mx.example.org", RootCAs: ca.pool, Certificate: f.GetClientCertificate})
		if err != nil {
			t.Fatal(err)
		}
		state, _, err := shake(server(t, tlsconf.Submission, tlsconf.ServerConfig{Certificates: one{&cert}, ClientCAs: tt.cas}), client)
		if err != nil || (len(state.PeerCertificates) == 1) != tt.given {
			t.Errorf("given %d, %v, want %v", len(state.PeerCertificates), err, tt.given)
		}
	}
}

func TestFilesErrors(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	good := write(t, dir, "good", ca.issue(t, wish{names: []string{"a.example"}}))
	other := write(t, dir, "other", ca.issue(t, wish{names: []string{"b.example"}}))
	weak := write(t, dir, "weak", ca.issue(t, wish{names: []string{"c.example"}, rsa: 1024}))
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: true, 0o440: true, 0o644: false, 0o604: false, 0o602: false, 0o601: false, 0o660: false} {
		if err := os.Chmod(good.Key, mode); err != nil {
			t.Fatal(err)
		}
		f, err := tlsconf.NewFiles(tlsconf.FilesConfig{Pairs: []tlsconf.Pair{good}})
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "others may read or write this key") {
			t.Errorf("mode %#o: %v", mode, err)
		}
		if err == nil {
			f.Close()
		}
	}
	os.Chmod(good.Key, 0o600)
	link := tlsconf.Pair{Certificate: filepath.Join(dir, "link.pem"), Key: filepath.Join(dir, "link.key")}
	os.Symlink(good.Certificate, link.Certificate)
	os.Symlink(good.Key, link.Key)
	newFiles(t, nil, link)
	for _, tt := range []struct {
		cfg  tlsconf.FilesConfig
		want string
	}{
		{tlsconf.FilesConfig{}, "tlsconf: FilesConfig.Pairs is empty"},
		{tlsconf.FilesConfig{Pairs: []tlsconf.Pair{good}, Warn: -1}, "tlsconf: FilesConfig.Warn is -1ns"},
		{tlsconf.FilesConfig{Pairs: []tlsconf.Pair{good, {good.Certificate, other.Key}}}, "tlsconf: FilesConfig.Pairs[1]: "},
		{tlsconf.FilesConfig{Pairs: []tlsconf.Pair{{good.Certificate, dir}}}, "is no regular file"},
		{tlsconf.FilesConfig{Pairs: []tlsconf.Pair{weak}}, "a key of 1024 bits"},
	} {
		if _, err := tlsconf.NewFiles(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
}
