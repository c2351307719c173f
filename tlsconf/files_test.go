package tlsconf_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
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

// TestReload: what changes is taken over when it is whole, what is broken is
// not, and the operator hears of both once.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, dir, e := newAuthority(t), t.TempDir(), new(events)
		first, second := ca.issue(t, wish{names: []string{"mx.example.org"}}), ca.issue(t, wish{names: []string{"mx.example.org"}})
		pair := write(t, dir, "mx", first)
		f := newFiles(t, e, pair)
		want := func(what string, leaf *x509.Certificate, reasons ...string) {
			t.Helper()
			time.Sleep(11 * time.Second)
			synctest.Wait()
			if !serves(t, f, "mx.example.org").Equal(leaf) {
				t.Errorf("%s: another certificate", what)
			}
			if got := e.reasons(); !slices.Equal(got, reasons) {
				t.Errorf("%s: %q, want %q", what, got, reasons)
			}
			for _, ev := range e.take() {
				if (ev.Kind == smtpguard.KindWarning) != (ev.Error != "") || ev.Facts["names"] != "mx.example.org" {
					t.Errorf("%s: %+v", what, ev)
				}
			}
		}
		const taken, kept = "certificate taken over", "certificate not taken over, the one before stays"
		want("nothing", first.Leaf)

		writeTo(t, pair, second)
		want("another pair", second.Leaf, taken)
		now := time.Now()
		if err := os.Chtimes(pair.Certificate, now, now); err != nil {
			t.Fatal(err)
		}
		want("touched", second.Leaf)

		key, err := os.ReadFile(pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		third := ca.issue(t, wish{names: []string{"mx.example.org"}})
		thirdPair := write(t, dir, "third", third)
		move := func(from, to string) {
			t.Helper()
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
		}
		move(thirdPair.Certificate, pair.Certificate)
		want("a certificate without its key", second.Leaf, kept)
		want("and then nothing", second.Leaf)
		move(thirdPair.Key, pair.Key)
		want("its key", third.Leaf, taken)

		for what, damage := range map[string]func(){
			"no PEM":      func() { os.WriteFile(pair.Certificate, []byte("not yet"), 0o644) },
			"empty":       func() { os.WriteFile(pair.Key, nil, 0o600) },
			"gone":        func() { os.Remove(pair.Key) },
			"another key": func() { os.WriteFile(pair.Key, key, 0o600) },
			"open to all": func() { os.Chmod(pair.Key, 0o604) },
			"a directory": func() { os.Remove(pair.Key); os.Mkdir(pair.Key, 0o700) },
			"too long":    func() { os.Truncate(pair.Certificate, 2<<20) },
			"expired": func() {
				writeTo(t, pair, ca.issue(t, wish{names: []string{"x.example"}, from: -2 * time.Hour, life: time.Hour}))
			},
			"a weak key":   func() { writeTo(t, pair, ca.issue(t, wish{names: []string{"x.example"}, rsa: 1024})) },
			"not yet good": func() { writeTo(t, pair, ca.issue(t, wish{names: []string{"x.example"}, from: 48 * time.Hour})) },
		} {
			damage()
			want(what, third.Leaf, kept)
			os.RemoveAll(pair.Key)
			writeTo(t, pair, third)
			want(what+", repaired", third.Leaf)
		}
	})
}

// TestWriterIsWaitedFor: while files go on changing none is loaded.
func TestWriterIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, e := newAuthority(t), new(events)
		first, second := ca.issue(t, wish{names: []string{"mx.example.org"}}), ca.issue(t, wish{names: []string{"mx.example.org"}})
		pair, next := write(t, t.TempDir(), "mx", first), write(t, t.TempDir(), "mx", second)
		f := newFiles(t, e, pair)
		time.Sleep(2 * time.Second)
		os.Rename(next.Certificate, pair.Certificate)
		time.Sleep(5 * time.Second) // one look in between
		os.Rename(next.Key, pair.Key)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := e.reasons(); !slices.Equal(got, []string{"certificate taken over"}) || !serves(t, f, "").Equal(second.Leaf) {
			t.Errorf("%q", got)
		}
	})
}

// TestBecomesValid: a certificate that was put there too early is taken over when
// its time has come.
func TestBecomesValid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, e := newAuthority(t), new(events)
		first, second := ca.issue(t, wish{names: []string{"mx.example.org"}}), ca.issue(t, wish{names: []string{"mx.example.org"}, from: 90 * time.Minute})
		pair := write(t, t.TempDir(), "mx", first)
		f := newFiles(t, e, pair)
		writeTo(t, pair, second)
		time.Sleep(80 * time.Minute)
		if !serves(t, f, "").Equal(first.Leaf) {
			t.Error("too early")
		}
		time.Sleep(50 * time.Minute)
		synctest.Wait()
		if !serves(t, f, "").Equal(second.Leaf) {
			t.Errorf("not taken over: %q", e.reasons())
		}
	})
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

// TestEnds: a certificate near its end is reported once a day, and past it.
func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, e := newAuthority(t), new(events)
		const day = 24 * time.Hour
		pair := write(t, t.TempDir(), "mx", ca.issue(t, wish{names: []string{"mx.example.org"}, life: 10 * day})) // since an hour
		newFiles(t, e, pair)
		wait := func(d time.Duration, want ...string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if got := e.reasons(); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
			for _, ev := range e.take() {
				if (ev.Kind == smtpguard.KindWarning) != strings.Contains(ev.Reason, "expire") || ev.Facts["names"] != "mx.example.org" ||
					!strings.HasPrefix(ev.Facts["certificate"], "sha256:") {
					t.Errorf("%+v", ev)
				}
			}
		}
		wait(8*day - time.Hour + time.Minute) // a fifth of its life is left, and no look since
		wait(time.Hour, "certificate expires in 1 day")
		wait(day, "certificate expires in 23 hours")
		wait(day, "certificate expired 1 hour ago")
		wait(day, "certificate expired 1 day ago")
		writeTo(t, pair, ca.issue(t, wish{names: []string{"mx.example.org"}, life: 10 * day}))
		wait(day, "certificate taken over")
	})
	synctest.Test(t, func(t *testing.T) {
		ca, e := newAuthority(t), new(events)
		pair := write(t, t.TempDir(), "mx", ca.issue(t, wish{names: []string{"mx.example.org"}, from: -2 * time.Hour, life: time.Hour}))
		newFiles(t, e, pair) // an expired one does not keep the server from starting
		synctest.Wait()
		if got := e.reasons(); !slices.Equal(got, []string{"certificate expired 1 hour ago"}) {
			t.Errorf("%q", got)
		}
	})
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
