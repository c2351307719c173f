package smtpguard_test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/internal/require"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// TestReadme builds the README's program, runs it, and sees it do what the
// README says.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, program, ok := strings.Cut(string(text), "```go\n")
	program, _, closed := strings.Cut(program, "```")
	if !ok || !closed {
		t.Fatal("README.md has no Go program")
	}
	if n := strings.Count(program, "\n"); n >= 40 {
		t.Errorf("the program has %d lines, want fewer than 40", n)
	}
	addr := require.Addr(t).String()
	const port = "127.0.0.1:2525"
	if !strings.Contains(program, port) {
		t.Fatalf("the program does not listen on %s", port)
	}
	dir := t.TempDir()
	src, bin := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	if err := os.WriteFile(src, []byte(strings.ReplaceAll(program, port, addr)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", bin, src).CombinedOutput(); err != nil {
		t.Fatalf("the program does not build: %v\n%s", err, out)
	}
	var printed bytes.Buffer
	cmd := exec.Command(bin)
	cmd.Stdout, cmd.Stderr = &printed, &printed
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	smtpguardtest.Play(t, smtpguardtest.Target{Addr: addr, Recipient: "b@example.org"}, `
		HELLO
		C: MAIL FROM:<a@client.example>
		S: 250
		C: RCPT TO:<someone@elsewhere.example>
		S: 550 5.7.1 *
		C: RCPT TO:<b@example.org>
		S: 250
		C: DATA
		S: 354
		C: Subject: seen
		C:
		C: x
		C: .
		S: 250
		C: QUIT
		S: 221`)
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	cmd.Wait()
	if !strings.Contains(printed.String(), "Subject: seen") {
		t.Errorf("the program printed %q, want the message", printed.String())
	}
}
