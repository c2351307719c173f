package verify_test

import (
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/verify"
)

// deliverOver plays an LMTP session over a Unix socket with a server of cfg, and returns
// what it says to each recipient.
func deliverOver(t *testing.T, cfg verify.Config, from, message string, to ...string) []string {
	t.Helper()
	cfg.ID = "mx.example.org"
	v, err := verify.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	guard, err := smtpguard.New(smtpguard.Config{}, v.Check())
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, v: v}
	srv := smtp.NewServer(guard.Wrap(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		conn, _ := smtpguard.FromConn(c)
		return &session{s, conn}, nil
	})))
	srv.Domain, srv.LMTP = "mx.example.org", true
	if err := smtpguard.Harden(srv); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "lmtp")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = srv.Serve(ln) }() // ends with Close
	defer srv.Close()
	nc, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	c := smtp.NewClientLMTP(nc)
	defer c.Close()
	if err := c.Hello("hub.example.org"); err != nil {
		t.Fatal(err)
	}
	if err := c.Mail(from, nil); err != nil {
		t.Fatal(err)
	}
	for _, rcpt := range to {
		if err := c.Rcpt(rcpt, nil); err != nil {
			t.Fatal(err)
		}
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(message)); err != nil {
		t.Fatal(err)
	}
	_, err = w.CloseWithLMTPResponse()
	refused, _ := errors.AsType[smtp.LMTPDataError](err)
	said := make([]string, len(to))
	for i, rcpt := range to {
		if e := refused[rcpt]; e != nil {
			said[i] = code(e)
		}
	}
	return said
}

// Over LMTP each recipient has what his domain asks for, and the client is the one that
// the gateway in front names: over a Unix socket it has no address of its own.
func TestLMTP(t *testing.T) {
	w := &world{txt: map[string]string{"example.com": "v=spf1 ip4:192.0.2.7 -all", "_dmarc.example.com": "v=DMARC1; p=reject"}}
	by := "\r\n\tby hub.example.org (Postfix) with ESMTP id 1; Fri, 24 Jul 2026 10:00:00 +0000\r\n"
	cfg := verify.Config{Resolver: w, Gateways: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Domains: map[string]verify.Policy{"lenient.example": {Monitor: true}}}
	alone := cfg
	alone.Gateways = nil
	for _, tt := range []struct {
		name   string
		cfg    verify.Config
		client string
		want   []string
	}{
		{"from where it may come", cfg, "192.0.2.7", []string{"", ""}},
		{"from elsewhere", cfg, "198.51.100.1", []string{"", "550 5.7.26"}},
		{"without gateways", alone, "192.0.2.7", []string{"", "550 5.7.26"}},
	} {
		got := deliverOver(t, tt.cfg, "ann@example.com", "Received: from mail.example.com (unknown ["+tt.client+"])"+by+letter, "a@lenient.example", "b@example.org")
		if len(got) != 2 || got[0] != tt.want[0] || got[1] != tt.want[1] {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
