package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/internal/require"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// beyond are the cases that go-smtp breaks inside TLS, where nobody but it sees
// a line: SECURITY.md lists them.
var beyond = []string{
	"protocol/command-ends-at-LF", // a bare LF ends a command
	"size/command-line",           // of a line too long it runs the part it has read, and closes the connection
}

// kitTarget starts a server for the attack kit.
func kitTarget(t *testing.T) (*running, smtpguardtest.Target) {
	r := start(t, "wait: 20ms", fmt.Sprintf(`
auth: {passwords: %q}
limits:
  message-octets: 131072
  command-timeout: 250ms
  body-timeout: 250ms
  lifetime: 3s
  slow: 0s
`, passwords(t, "demo", "password")))
	return r, smtpguardtest.Target{
		Recipient: "kit@example.org",
		Foreign:   "victim@example.com",
		TLS:       r.tls(),
		Delivered: func() []smtpguardtest.Message { return delivered(t, r.data("mail")) },
		Silence:   250 * time.Millisecond,
		Dribble:   time.Second,
	}
}

// The sequences and dialogues of other projects find nothing either.
func TestVectors(t *testing.T) {
	cases, err := smtpguardtest.Vectors(os.DirFS(require.Suite(t, "smtp")))
	if err != nil {
		t.Fatal(err)
	}
	r, target := kitTarget(t)
	target.Addr = r.addr["inbound"]
	target.PreGreeting = 20 * time.Millisecond
	smtpguardtest.RunCases(t, target, cases)
}

// The attack kit finds nothing, on any of the listeners.
func TestKit(t *testing.T) {
	r, base := kitTarget(t)
	for _, tt := range []struct {
		listener string
		set      func(*smtpguardtest.Target)
	}{
		{"inbound", func(target *smtpguardtest.Target) { target.PreGreeting = 20 * time.Millisecond }},
		{"submission", func(target *smtpguardtest.Target) {
			target.Submission, target.User, target.Password = true, "demo", "password"
			target.Sender, target.Own = "demo@example.org", "demo@example.org"
		}},
		{"submissions", func(target *smtpguardtest.Target) {
			target.Submission, target.User, target.Password = true, "demo", "password"
			target.Sender, target.Own, target.ImplicitTLS = "demo@example.org", "demo@example.org", true
		}},
	} {
		t.Run(tt.listener, func(t *testing.T) {
			target := base
			target.Addr = r.addr[tt.listener]
			tt.set(&target)
			smtpguardtest.RunCases(t, target, slices.DeleteFunc(smtpguardtest.Suite(""), func(c smtpguardtest.Case) bool {
				return tt.listener != "inbound" && slices.Contains(beyond, c.Name)
			}))
		})
	}
}

// delivered are the messages in all Maildirs below dir.
func delivered(t *testing.T, dir string) []smtpguardtest.Message {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*", "*", "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var all []smtpguardtest.Message
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		from, rest, _ := strings.Cut(strings.TrimPrefix(string(b), "Return-Path: <"), ">\r\n")
		to, content, _ := strings.Cut(strings.TrimPrefix(rest, "Delivered-To: "), "\r\n")
		all = append(all, smtpguardtest.Message{From: from, To: []string{to}, Data: []byte(content)})
	}
	return all
}
