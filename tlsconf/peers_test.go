package tlsconf_test

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/internal/require"
	"github.com/smtpguard/smtpguard/tlsconf"
)

// permissive takes what no level does: the control of the tests here.
func permissive(certs ...tls.Certificate) *tls.Config {
	cfg := &tls.Config{Certificates: certs, MinVersion: tls.VersionTLS10}
	for _, suites := range [][]*tls.CipherSuite{tls.CipherSuites(), tls.InsecureCipherSuites()} {
		for _, s := range suites {
			cfg.CipherSuites = append(cfg.CipherSuites, s.ID)
		}
	}
	return cfg
}

// serveSMTP serves STARTTLS with cfg.
func serveSMTP(t testing.TB, cfg *tls.Config) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go site(t, cfg, nil, nil).Serve(ln)
	return ln.Addr().String()
}

// gathered stands before addr and brings what the server writes at one go in one
// segment: sslscan reads a reply to EHLO only once, and go-smtp writes each line
// by itself.
func gathered(t testing.TB, addr string) (front string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	forward := func(client net.Conn) {
		defer client.Close()
		srv, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		defer srv.Close()
		go func() {
			defer srv.Close()
			io.Copy(srv, client)
		}()
		buf := make([]byte, 1<<16)
		for n := 0; ; {
			srv.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
			more, err := srv.Read(buf[n:])
			n += more
			quiet := errors.Is(err, os.ErrDeadlineExceeded)
			if n > 0 && (err != nil || n == len(buf)) {
				if _, err := client.Write(buf[:n]); err != nil {
					return
				}
				n = 0
			}
			if err != nil && !quiet {
				return
			}
		}
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go forward(c)
		}
	}()
	return ln.Addr().String()
}

// run runs a program that talks to a server of ours.
func run(t testing.TB, stdin, program string, args ...string) (out string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// TestOldClient: a client of TLS 1.1 fails by the server's protocol_version
// alert (RFC 8446, section 6.2), and not by itself: a server that takes TLS 1.1
// gets on with it.
func TestOldClient(t *testing.T) {
	openssl := require.Program(t, "openssl")
	ca := newAuthority(t)
	cert := ca.issue(t, wish{names: []string{"mx.example.org"}, rsa: 2048})
	old := []string{"s_client", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0", "-connect"}
	for _, starttls := range []bool{false, true} {
		serve := serveTLS
		args := func(addr string) []string { return append(slices.Clip(old), addr) }
		if starttls {
			serve = serveSMTP
			args = func(addr string) []string { return append(slices.Clip(old), addr, "-starttls", "smtp") }
		}
		out, err := run(t, "QUIT\n", openssl, args(serve(t, permissive(cert)))...)
		if err != nil || !strings.Contains(out, "Protocol  : TLSv1.1") {
			t.Fatalf("the control (STARTTLS %v): %v\n%s", starttls, err, out)
		}
		for _, level := range levels {
			out, err := run(t, "", openssl, args(serve(t, server(t, level, tlsconf.ServerConfig{Certificates: one{&cert}})))...)
			if err == nil || !strings.Contains(out, "SSL alert number 70") {
				t.Errorf("%v (STARTTLS %v): %v\n%s", level, starttls, err, out)
			}
		}
	}
}

// scan is what sslscan finds.
type scan struct {
	Test struct {
		Protocols []struct {
			Type    string `xml:"type,attr"`
			Version string `xml:"version,attr"`
			Enabled int    `xml:"enabled,attr"`
		} `xml:"protocol"`
		Compression struct {
			Supported int `xml:"supported,attr"`
		} `xml:"compression"`
		Renegotiation struct {
			Secure int `xml:"secure,attr"`
		} `xml:"renegotiation"`
		Heartbleed []struct {
			Vulnerable int `xml:"vulnerable,attr"`
		} `xml:"heartbleed"`
		Ciphers []struct {
			Version string `xml:"sslversion,attr"`
			Name    string `xml:"cipher,attr"`
			ID      string `xml:"id,attr"`
		} `xml:"cipher"`
		Groups []struct {
			Name string `xml:"name,attr"`
			ID   string `xml:"id,attr"`
		} `xml:"group"`
	} `xml:"ssltest"`
}

// below lists what in s is not of level.
func (s *scan) below(level tlsconf.Level) (found []string) {
	report := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	oldest, suites, groups := "1.2", []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256,
	}, []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384}
	switch level {
	case tlsconf.MX:
		suites = append(suites, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA)
		groups = append(groups, tls.CurveP521)
	case tlsconf.Strict:
		oldest, suites = "1.3", suites[6:]
	}
	for _, p := range s.Test.Protocols {
		if p.Enabled != 0 && (p.Type != "tls" || p.Version < oldest) {
			report("%s %s", p.Type, p.Version)
		}
	}
	for _, c := range s.Test.Ciphers {
		id, err := strconv.ParseUint(strings.TrimPrefix(c.ID, "0x"), 16, 16)
		if err != nil || !slices.Contains(suites, uint16(id)) || c.Version < "TLSv"+oldest {
			report("%s with %s", c.Version, c.Name)
		}
	}
	for _, g := range s.Test.Groups {
		id, err := strconv.ParseUint(strings.TrimPrefix(g.ID, "0x"), 16, 16)
		if err != nil || !slices.Contains(groups, tls.CurveID(id)) {
			report("group %s", g.Name)
		}
	}
	for _, h := range s.Test.Heartbleed {
		if h.Vulnerable != 0 {
			report("Heartbleed")
		}
	}
	if s.Test.Compression.Supported != 0 {
		report("compression")
	}
	return found
}

// TestScan: sslscan finds nothing below the level of a server, and much at one
// that takes everything.
func TestScan(t *testing.T) {
	sslscan := require.Program(t, "sslscan")
	ca := newAuthority(t)
	dir := t.TempDir()
	ecdsa, rsa := ca.issue(t, wish{names: []string{"mx.example.org"}}), ca.issue(t, wish{names: []string{"mx.example.org"}, rsa: 2048})
	f := newFiles(t, nil, write(t, dir, "ecdsa", ecdsa), write(t, dir, "rsa", rsa))
	scanned := func(t *testing.T, addr string, args ...string) *scan {
		t.Helper()
		out, err := run(t, "", sslscan, append(args, "--no-colour", "--xml=-", "--sni-name=mx.example.org", addr)...)
		var s scan
		if _, text, ok := strings.Cut(out, "<?xml"); err == nil && ok {
			err = xml.Unmarshal([]byte("<?xml"+text), &s)
		}
		if err != nil || len(s.Test.Ciphers) == 0 || len(s.Test.Protocols) == 0 {
			t.Fatalf("%v\n%s", err, out)
		}
		return &s
	}
	for _, level := range levels {
		t.Run(level.String(), func(t *testing.T) {
			t.Parallel()
			s := scanned(t, serveTLS(t, server(t, level, tlsconf.ServerConfig{Certificates: f})))
			if found := s.below(level); len(found) > 0 {
				t.Errorf("below the level: %q", found)
			}
			// All of the level is there, too: three suites of TLS 1.3, and for each kind
			// of certificate three of TLS 1.2, five at MX.
			if got, want := len(s.Test.Ciphers), map[tlsconf.Level]int{tlsconf.Submission: 9, tlsconf.MX: 13, tlsconf.Strict: 3}[level]; got != want {
				t.Errorf("%d suites, want %d: %+v", got, want, s.Test.Ciphers)
			}
		})
	}
	t.Run("STARTTLS", func(t *testing.T) {
		t.Parallel()
		s := scanned(t, gathered(t, serveSMTP(t, server(t, tlsconf.MX, tlsconf.ServerConfig{Certificates: f}))), "--starttls-smtp")
		if found := s.below(tlsconf.MX); len(found) > 0 {
			t.Errorf("below the level: %q", found)
		}
	})
	t.Run("control", func(t *testing.T) {
		t.Parallel()
		s := scanned(t, serveTLS(t, permissive(ecdsa, rsa)))
		for _, level := range levels {
			found := s.below(level)
			for _, want := range []string{"tls 1.0", "tls 1.1", "TLSv1.2 with AES128-SHA", "TLSv1.0 with ECDHE-RSA-AES128-SHA"} {
				if !slices.Contains(found, want) {
					t.Errorf("%v: %q lacks %s", level, found, want)
				}
			}
		}
	})
}
