// Package integration holds the tests that need what nobody who imports the
// library should see: other modules, and other mail programs.
package integration

import (
	"bytes"
	"context"
	"io"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/internal/require"
)

// mailbox keeps the messages it is given.
type mailbox struct{ messages chan message }

type message struct {
	from    string
	to      []string
	content []byte
}

func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{box: m}, nil }

type session struct {
	box *mailbox
	message
}

func (s *session) Reset()        { s.message = message{} }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.content = b
	s.box.messages <- s.message
	return nil
}

// TestSwaksDelivers sends a message that has lines of dots through a guard
// without checks, from a module other than the library's own.
func TestSwaksDelivers(t *testing.T) {
	swaks := require.Program(t, "swaks")
	guard, err := smtpguard.New(smtpguard.Config{})
	if err != nil {
		t.Fatal(err)
	}
	box := &mailbox{messages: make(chan message, 1)}
	srv := smtp.NewServer(guard.Wrap(box))
	srv.Domain = "mx.example.org"
	srv.ReadTimeout, srv.WriteTimeout = 10*time.Second, 10*time.Second
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(ln)
	defer srv.Close()

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, swaks, "--server", ln.Addr().String(),
		"--ehlo", "client.example.net", "--from", "a@example.net", "--to", "b@example.org,c@example.org",
		"--data", `Subject: dots\n\n.\n..\n.end\n`).CombinedOutput()
	if err != nil {
		t.Fatalf("swaks: %v\n%s", err, out)
	}
	if len(box.messages) != 1 {
		t.Fatalf("swaks got its 250, and the backend %d messages\n%s", len(box.messages), out)
	}
	m := <-box.messages
	if m.from != "a@example.net" || len(m.to) != 2 || m.to[0] != "b@example.org" || m.to[1] != "c@example.org" {
		t.Errorf("envelope from %q to %q", m.from, m.to)
	}
	// swaks ends the content with an empty line of its own.
	if want := "Subject: dots\r\n\r\n.\r\n..\r\n.end\r\n"; !bytes.Contains(m.content, []byte(want)) {
		t.Errorf("content %q, want in it %q", m.content, want)
	}
}
