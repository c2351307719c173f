package tlsconf

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smtpguard/smtpguard"
)

// put writes files of a certificate that is good from a time on, and for a time.
func put(t *testing.T, p Pair, from, life time.Duration) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{"mx.example.org"},
		NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(from + life),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{p.Certificate: {Type: "CERTIFICATE", Bytes: cert}, p.Key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// reminded runs f with Files of one pair that time goes by for. Events of files
// are left out: they come from a world with a clock of its own.
func reminded(t *testing.T, from, life time.Duration, f func(files *Files, pair Pair, wait func(d time.Duration, want ...string))) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		pair := Pair{filepath.Join(dir, "mx.pem"), filepath.Join(dir, "mx.key")}
		put(t, pair, from, life)
		var mu sync.Mutex
		var got []string
		files, err := open(FilesConfig{Pairs: []Pair{pair}, Observe: func(ev smtpguard.Event) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, ev.Reason)
			if (ev.Kind == smtpguard.KindWarning) == (ev.Reason == "certificate taken over") || ev.Facts["names"] != "mx.example.org" ||
				!strings.HasPrefix(ev.Facts["certificate"], "sha256:") {
				t.Errorf("%+v", ev)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer close(files.stop)
		go files.remind()
		f(files, pair, func(d time.Duration, want ...string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
			got = nil
		})
	})
}

const day = 24 * time.Hour

// TestEnds: a certificate near its end is reported once a day, and past it.
func TestEnds(t *testing.T) {
	reminded(t, 0, 90*day, func(files *Files, pair Pair, wait func(time.Duration, ...string)) {
		wait(76*day + time.Minute)
		wait(time.Hour, "certificate expires in 13 days")
		wait(2*day, "certificate expires in 12 days", "certificate expires in 11 days")
		wait(10*day, "certificate expires in 10 days", "certificate expires in 9 days", "certificate expires in 8 days", "certificate expires in 7 days",
			"certificate expires in 6 days", "certificate expires in 5 days", "certificate expires in 4 days", "certificate expires in 3 days",
			"certificate expires in 2 days", "certificate expires in 1 day")
		wait(day, "certificate expires in 23 hours")
		wait(2*day, "certificate expired 1 hour ago", "certificate expired 1 day ago")

		put(t, pair, 0, 10*day)
		if err := files.Reload(); err != nil {
			t.Error(err)
		}
		wait(8*day, "certificate taken over")
		wait(time.Hour, "certificate expires in 1 day") // a fifth of its life
	})
	reminded(t, -2*time.Hour, time.Hour, func(_ *Files, _ Pair, wait func(time.Duration, ...string)) {
		wait(0, "certificate expired 1 hour ago") // which does not keep the server from starting
	})
}

// TestBecomesValid: a certificate that was put there too early is taken over when
// its time has come.
func TestBecomesValid(t *testing.T) {
	reminded(t, 0, 90*day, func(files *Files, pair Pair, wait func(time.Duration, ...string)) {
		put(t, pair, 90*time.Minute, 90*day)
		if err := files.Reload(); err == nil || !strings.Contains(err.Error(), "which is not now") {
			t.Error(err)
		}
		wait(80*time.Minute, "certificate not taken over, the one before stays")
		wait(time.Hour, "certificate taken over")
	})
}
