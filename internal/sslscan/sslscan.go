// Package sslscan runs sslscan against a server of a test, and reads what it
// finds.
package sslscan

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
)

// Scan is what was found.
type Scan struct {
	Output string `xml:"-"` // sslscan's own

	Test struct {
		Protocols []struct {
			Type    string `xml:"type,attr"`
			Version string `xml:"version,attr"`
			Enabled int    `xml:"enabled,attr"`
		} `xml:"protocol"`
		Compression struct {
			Supported int `xml:"supported,attr"`
		} `xml:"compression"`
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

// Run scans the server at addr, which does TLS from the first octet or, with
// smtp, after STARTTLS. The test fails when there is nothing to read.
func Run(t testing.TB, addr, name string, smtp bool) *Scan {
	t.Helper()
	args := []string{"--no-colour", "--xml=-", "--sni-name=" + name}
	if smtp {
		args, addr = append(args, "--starttls-smtp"), gathered(t, addr)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, require.Program(t, "sslscan"), append(args, addr)...).CombinedOutput()
	s := &Scan{Output: string(out)}
	if _, text, ok := strings.Cut(s.Output, "<?xml"); err == nil && ok {
		err = xml.Unmarshal([]byte("<?xml"+text), s)
	}
	if err != nil || len(s.Test.Ciphers) == 0 || len(s.Test.Protocols) == 0 {
		t.Fatalf("sslscan: %v\n%s", err, out)
	}
	return s
}

// Bounds are what a server may have.
type Bounds struct {
	Oldest string // version, "1.2"
	Suites []uint16
	Groups []tls.CurveID
}

// Below lists what was found that is not within b.
func (s *Scan) Below(b Bounds) (found []string) {
	report := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	for _, p := range s.Test.Protocols {
		if p.Enabled != 0 && (p.Type != "tls" || p.Version < b.Oldest) {
			report("%s %s", p.Type, p.Version)
		}
	}
	for _, c := range s.Test.Ciphers {
		id, err := strconv.ParseUint(strings.TrimPrefix(c.ID, "0x"), 16, 16)
		if err != nil || !slices.Contains(b.Suites, uint16(id)) || c.Version < "TLSv"+b.Oldest {
			report("%s with %s", c.Version, c.Name)
		}
	}
	for _, g := range s.Test.Groups {
		id, err := strconv.ParseUint(strings.TrimPrefix(g.ID, "0x"), 16, 16)
		if err != nil || !slices.Contains(b.Groups, tls.CurveID(id)) {
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
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go forward(c, addr)
		}
	}()
	return ln.Addr().String()
}

func forward(client net.Conn, addr string) {
	defer client.Close()
	srv, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer srv.Close()
	go func() {
		defer srv.Close()
		_, _ = io.Copy(srv, client) // until either hangs up
	}()
	buf := make([]byte, 1<<16)
	for n := 0; ; {
		if srv.SetReadDeadline(time.Now().Add(5*time.Millisecond)) != nil {
			return
		}
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
