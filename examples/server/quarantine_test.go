package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/examples/server/internal/maildir"
	"github.com/smtpguard/smtpguard/relay"
)

// serveChecks serves the backend in this process, behind checks of the test's.
func serveChecks(t *testing.T, dir string, checks ...smtpguard.Check) string {
	t.Helper()
	cfg, err := load("")
	if err != nil {
		t.Fatal(err)
	}
	store, err := maildir.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := relay.New(cfg.rules())
	if err != nil {
		t.Fatal(err)
	}
	guard, err := smtpguard.New(smtpguard.Config{}, append([]smtpguard.Check{rules.Check(), ownReturnPath()}, checks...)...)
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{cfg: cfg, store: store, log: slog.New(slog.DiscardHandler)}
	srv := smtp.NewServer(guard.Wrap(b))
	srv.Domain = cfg.Hostname
	if err := smtpguard.Harden(srv); err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := guard.Listen(srv, tcp, smtpguard.ListenConfig{})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = ln.Serve() }() // ends with Shutdown
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = ln.Shutdown(ctx) // ctx's error
	})
	return ln.Addr().String()
}

func TestQuarantine(t *testing.T) {
	dir := t.TempDir()
	addr := serveChecks(t, dir, smtpguard.Check{
		Name: "suspicion",
		Rcpt: func(_ context.Context, _ *smtpguard.Transaction, rcpt *smtpguard.Recipient) (v smtpguard.Verdict, err error) {
			if strings.HasPrefix(rcpt.Addr, "wary") {
				v.Action = smtpguard.Quarantine
			}
			return v, nil
		},
		Data: func(_ context.Context, _ *smtpguard.Transaction, m *smtpguard.Message) (v smtpguard.Verdict, err error) {
			if m.Size() > 100 {
				v.Action = smtpguard.Quarantine
			}
			return v, nil
		},
	})
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	both := []string{"ann@example.org", "wary+x@example.org"}
	for _, content := range []string{"Return-Path: <forged>\r\nSubject: short\r\n\r\nx\r\n", "Subject: long\r\n\r\n" + strings.Repeat("x", 100) + "\r\n"} {
		if err := c.SendMail("a@client.example", both, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	for box, want := range map[string][]string{
		"ann": {"short"}, "ann/.Junk": {"long"}, "wary": nil, "wary/.Junk": {"short", "long"},
	} {
		got := strings.Join(readAll(t, filepath.Join(dir, "example.org", box, "new")), "")
		for _, subject := range []string{"short", "long"} {
			wanted := strings.Contains(strings.Join(want, " "), subject)
			if strings.Contains(got, "Subject: "+subject) != wanted {
				t.Errorf("%s has %q, want %q", box, got, want)
			}
		}
		if strings.Contains(got, "forged") || strings.Count(got, "Return-Path: <a@client.example>\r\n") != len(want) {
			t.Errorf("%s: Return-Path in %q", box, got)
		}
	}
}

// Every recipient gets a copy, one address gets one, and bare postmaster has
// a Maildir.
func TestRecipients(t *testing.T) {
	dir := t.TempDir()
	addr := serveChecks(t, dir)
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	to := []string{"ann@example.org", "Ann+list@example.org", "ann@EXAMPLE.org", "bob@example.org", "postmaster", "Postmaster@mail.example.org"}
	if err := c.SendMail("", to, strings.NewReader("x\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := c.SendMail("", []string{"ann@mail.example.org"}, strings.NewReader("x\r\n")); code(err) != 550 {
		t.Errorf("to the hostname: %v", err)
	}
	for box, want := range map[string][]string{
		"ann": {"ann@example.org", "Ann+list@example.org"}, "bob": {"bob@example.org"}, "postmaster": {"postmaster@mail.example.org", "Postmaster@mail.example.org"},
	} {
		got := readAll(t, filepath.Join(dir, "example.org", box, "new"))
		if len(got) != len(want) {
			t.Errorf("%s has %q", box, got)
		}
		for _, w := range want {
			if !strings.Contains(strings.Join(got, ""), "Return-Path: <>\r\nDelivered-To: "+w+"\r\n") {
				t.Errorf("%s has nothing for %s", box, w)
			}
		}
	}
}

// When one recipient's copy cannot be kept, nobody is told otherwise, and
// nobody has got it.
func TestDeliveryFails(t *testing.T) {
	dir := t.TempDir()
	addr := serveChecks(t, dir)
	if err := os.MkdirAll(filepath.Join(dir, "example.org"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "example.org", "blocked"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.SendMail("a@client.example", []string{"ann@example.org", "blocked@example.org"}, strings.NewReader("x\r\n"))
	if code(err) != 451 || strings.Contains(err.Error(), dir) {
		t.Errorf("error is %v", err)
	}
	if got := readAll(t, filepath.Join(dir, "example.org", "ann", "new")); len(got) != 0 {
		t.Errorf("ann has %q", got)
	}
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("smtpguard-test", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	addr := serveChecks(t, dir)
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	content := "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 2000)
	if err := c.SendMail("a@client.example", []string{"ann@example.org"}, strings.NewReader(content)); code(err) != 452 {
		t.Errorf("error is %v", err)
	}
	if err := c.SendMail("a@client.example", []string{"ann@example.org"}, strings.NewReader("x\r\n")); err != nil {
		t.Errorf("a small one after it: %v", err)
	}
}
