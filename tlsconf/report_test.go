package tlsconf_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/tlsconf"
)

func TestReport(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, wish{names: []string{"mx.example.org"}})
	old := ca.issue(t, wish{names: []string{"mx.example.org"}, rsa: 1024, life: 2 * time.Hour, from: -3 * time.Hour})
	for _, tt := range []struct {
		name     string
		cert     tls.Certificate
		client   *tls.Config
		problems map[tlsconf.Level][]string
	}{
		{"today's", cert, &tls.Config{}, nil},
		{"CBC", cert, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, map[tlsconf.Level][]string{
			tlsconf.Submission: {"the suite TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA is none of the level's"},
			tlsconf.Strict:     {"TLS 1.2 is older than TLS 1.3", "the suite TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA is none of the level's"},
		}},
		{"TLS 1.0", cert, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, map[tlsconf.Level][]string{
			tlsconf.MX:         {"TLS 1.0 is older than TLS 1.2"},
			tlsconf.Submission: {"TLS 1.0 is older than TLS 1.2", "the suite TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA is none of the level's"},
			tlsconf.Strict:     {"TLS 1.0 is older than TLS 1.3", "the suite TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA is none of the level's"},
		}},
		{"P-521", cert, &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP521}}, map[tlsconf.Level][]string{
			tlsconf.Submission: {"the group secp521r1 is none of the level's"},
			tlsconf.Strict:     {"the group secp521r1 is none of the level's"},
		}},
		{"an old certificate", old, &tls.Config{}, map[tlsconf.Level][]string{
			tlsconf.MX:         {"certificate expired 1 hour ago", "the certificate's key has 1024 bits, fewer than 2048"},
			tlsconf.Submission: {"certificate expired 1 hour ago", "the certificate's key has 1024 bits, fewer than 2048"},
			tlsconf.Strict:     {"certificate expired 1 hour ago", "the certificate's key has 1024 bits, fewer than 2048"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.client.InsecureSkipVerify, tt.client.ServerName = true, "mx.example.org"
			_, state, err := shake(&tls.Config{Certificates: []tls.Certificate{tt.cert}, MinVersion: tls.VersionTLS10}, tt.client)
			if err != nil {
				t.Fatal(err)
			}
			for _, level := range levels {
				f := tlsconf.Report(level, state)
				if !slices.Equal(f.Problems, tt.problems[level]) {
					t.Errorf("%v: %q, want %q", level, f.Problems, tt.problems[level])
				}
				words := f.String()
				if len(f.Problems) == 0 && !strings.Contains(words, "nothing below the level "+level.String()) {
					t.Error(words)
				}
				for _, p := range f.Problems {
					if !strings.Contains(words, p) {
						t.Errorf("%s\nlacks %s", words, p)
					}
				}
			}
		})
	}
	if f := tlsconf.Report(5, tls.ConnectionState{}); !slices.Equal(f.Problems, []string{"5 is no level"}) {
		t.Errorf("%q", f.Problems)
	}
}

// TestReportForms: the words and the JSON of one connection.
func TestReportForms(t *testing.T) {
	f := tlsconf.Finding{
		Level: tlsconf.MX, Version: "TLS 1.3", Suite: "TLS_AES_128_GCM_SHA256", Group: "X25519MLKEM768", PostQuantum: true,
		ALPN: "smtp", ServerName: "mx.example.org", Resumed: true,
		Peer: &tlsconf.Certificate{
			Subject: "CN=\x1b[31mmx", Names: []string{"mx.example.org"}, Issuer: "CN=CA", NotAfter: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC),
			Key: "ECDSA P-256", Fingerprint: "sha256:00", Verified: true,
		},
		Problems: []string{"too old"},
	}
	const words = `TLS 1.3 TLS_AES_128_GCM_SHA256 X25519MLKEM768
post-quantum: yes
server name: "mx.example.org"
ALPN: "smtp"
resumed
certificate: sha256:00, ECDSA P-256, until 2026-05-04T03:02:01Z, verified: yes
  for ["mx.example.org"], subject "CN=\x1b[31mmx"
  by "CN=CA"
below the level mx: too old
`
	if got := f.String(); got != words {
		t.Errorf("%s\nwant\n%s", got, words)
	}
	const text = `{"level":"mx","version":"TLS 1.3","suite":"TLS_AES_128_GCM_SHA256","group":"X25519MLKEM768","post_quantum":true,` +
		`"alpn":"smtp","server_name":"mx.example.org","resumed":true,"peer":{"subject":"CN=\u001b[31mmx","names":["mx.example.org"],` +
		`"issuer":"CN=CA","not_after":"2026-05-04T03:02:01Z","key":"ECDSA P-256","fingerprint":"sha256:00","verified":true},"problems":["too old"]}`
	if got, err := json.Marshal(f); string(got) != text || err != nil {
		t.Errorf("%s, %v\nwant\n%s", got, err, text)
	}
}

func TestReportAddress(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, wish{names: []string{"mx.example.org"}})
	config := func(level tlsconf.Level, p tlsconf.Protocol) *tls.Config {
		return server(t, level, tlsconf.ServerConfig{Protocol: p, Certificates: one{&cert}})
	}
	smtp := site(t, config(tlsconf.MX, tlsconf.SMTP), nil, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go smtp.Serve(ln)
	weak := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10})
	imap := receive(t, "* OK\r\n", tlsconf.ListenerConfig{Protocol: tlsconf.IMAP, TLS: config(tlsconf.Strict, tlsconf.IMAP), StartTLS: true}).addr
	pop3 := receive(t, "+OK\r\n", tlsconf.ListenerConfig{Protocol: tlsconf.POP3, TLS: config(tlsconf.Submission, tlsconf.POP3), StartTLS: true}).addr

	for _, tt := range []struct {
		name     string
		level    tlsconf.Level
		a        tlsconf.Address
		problems []string
	}{
		{"implicit", tlsconf.Strict, tlsconf.Address{Address: serveTLS(t, config(tlsconf.Strict, tlsconf.SMTP)), ServerName: "mx.example.org", RootCAs: ca.pool}, []string{}},
		{"SMTP", tlsconf.Submission, tlsconf.Address{Address: ln.Addr().String(), StartTLS: true, ServerName: "mx.example.org", RootCAs: ca.pool}, []string{}},
		{"IMAP", tlsconf.Strict, tlsconf.Address{Address: imap, Protocol: tlsconf.IMAP, StartTLS: true, ServerName: "mx.example.org", RootCAs: ca.pool}, []string{}},
		{"POP3", tlsconf.Submission, tlsconf.Address{Address: pop3, Protocol: tlsconf.POP3, StartTLS: true, ServerName: "mx.example.org", RootCAs: ca.pool}, []string{}},
		{"another name", tlsconf.Submission, tlsconf.Address{Address: pop3, Protocol: tlsconf.POP3, StartTLS: true, ServerName: "pop.example.org", RootCAs: ca.pool},
			[]string{"certificate: x509: certificate is valid for mx.example.org, not pop.example.org"}},
		{"an old server", tlsconf.MX, tlsconf.Address{Address: weak, ServerName: "mx.example.org", RootCAs: ca.pool}, []string{"TLS 1.0 is older than TLS 1.2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := tlsconf.ReportAddress(t.Context(), tt.level, tt.a)
			if err != nil || !slices.Equal(f.Problems, tt.problems) {
				t.Errorf("%v, %q, want %q", err, f.Problems, tt.problems)
			}
			if verified := f.Peer != nil && f.Peer.Verified; verified != (tt.name != "another name") {
				t.Errorf("verified: %v", verified)
			}
		})
	}

	for _, tt := range []struct {
		name     string
		protocol tlsconf.Protocol
		says     string
		want     string
	}{
		{"SMTP that is full", tlsconf.SMTP, "421 full\r\n", "before TLS: 421"},
		{"SMTP without STARTTLS", tlsconf.SMTP, "220 x\r\n250 x\r\n502 no\r\n", "before TLS: 502"},
		{"IMAP without STARTTLS", tlsconf.IMAP, "* OK x\r\na BAD no\r\n", `before TLS: refused: "a BAD no"`},
		{"IMAP that is full", tlsconf.IMAP, "* BYE x\r\n", `before TLS: refused: "* BYE x"`},
		{"POP3 without STLS", tlsconf.POP3, "+OK x\r\n-ERR no\r\n", `before TLS: refused: "-ERR no"`},
		{"endless", tlsconf.POP3, "+OK x" + strings.Repeat("x", 100<<10), "before TLS: EOF"},
		{"HTTPS", tlsconf.HTTPS, "", "https does not begin in clear text"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go func() {
				c, err := ln.Accept()
				if err == nil {
					defer c.Close()
					io.WriteString(c, tt.says)
					io.Copy(io.Discard, c)
				}
			}()
			if _, err := tlsconf.ReportAddress(t.Context(), tlsconf.MX, tlsconf.Address{Address: ln.Addr().String(), Protocol: tt.protocol, StartTLS: true}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, start := range []bool{true, false} {
		if _, err := tlsconf.ReportAddress(ctx, tlsconf.MX, tlsconf.Address{Address: silent.Addr().String(), StartTLS: start}); err == nil {
			t.Error("a report of a server that says nothing")
		}
	}
	if _, err := tlsconf.ReportAddress(t.Context(), tlsconf.MX, tlsconf.Address{Address: "mx.example.org"}); err == nil {
		t.Error("an address without a port")
	}
}
