package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/tlsconf"
)

func TestRun(t *testing.T) {
	server := func(version uint16) (addr, roots string) {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.TLS = &tls.Config{MaxVersion: version}
		s.StartTLS()
		t.Cleanup(s.Close)
		roots = filepath.Join(t.TempDir(), "roots.pem")
		if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		return s.Listener.Addr().String(), roots
	}
	today, roots := server(tls.VersionTLS13)
	yesterday, yesterdays := server(tls.VersionTLS12)
	for _, tt := range []struct {
		name   string
		args   []string
		status int
		out    string
		errs   string
	}{
		{"good", []string{"-protocol", "https", "-level", "strict", "-roots", roots, today}, 0, "nothing below the level strict", ""},
		{"below", []string{"-protocol", "https", "-level", "strict", "-roots", yesterdays, yesterday}, 1, "below the level strict: TLS 1.2 is older than TLS 1.3", ""},
		{"unknown CA", []string{today}, 1, "below the level submission: certificate: ", ""},
		{"no server", []string{"127.0.0.1:1"}, 2, "", "tlsconf: dial"},
		{"no address", nil, 2, "", "missing port"},
		{"no level", []string{"-level", "old", today}, 2, "", "none of the levels"},
		{"no roots", []string{"-roots", filepath.Join(t.TempDir(), "x"), today}, 2, "", "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			status := run(t.Context(), tt.args, &out, &errs)
			if status != tt.status || !strings.Contains(out.String(), tt.out) || !strings.Contains(errs.String(), tt.errs) {
				t.Errorf("status %d\n%s\n%s", status, &out, &errs)
			}
		})
	}
	var out, errs bytes.Buffer
	var f tlsconf.Finding
	if status := run(t.Context(), []string{"-json", "-roots", roots, "-name", "example.com", today}, &out, &errs); status != 0 {
		t.Fatalf("status %d\n%s\n%s", status, &out, &errs)
	}
	if err := json.Unmarshal(out.Bytes(), &f); err != nil || f.Version != "TLS 1.3" || f.ServerName != "example.com" || !f.Peer.Verified {
		t.Errorf("%v\n%s", err, &out)
	}
}
