// Command imap is an IMAP server of one mailbox in memory that lets nobody log
// in but over TLS.
//
//	go run ./examples/imap -certificate imap.pem -key imap.key
//
// It listens on 127.0.0.1: 1993 for TLS at once (RFC 8314), and 1143 for
// STARTTLS. The password of the login demo is printed at the start. Mailbox and
// password end with it.
package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/tlsconf"
)

// login is who has the mailbox.
const login = "demo"

func main() {
	var s settings
	flag.StringVar(&s.pair.Certificate, "certificate", "", "`file` of the certificate, in PEM, with its chain")
	flag.StringVar(&s.pair.Key, "key", "", "`file` of its key")
	flag.TextVar(&s.level, "level", tlsconf.Submission, "of TLS: submission, mx or strict")
	flag.StringVar(&s.startTLS, "starttls", "127.0.0.1:1143", "`address` for clients that begin in clear text")
	flag.StringVar(&s.implicit, "tls", "127.0.0.1:1993", "`address` for clients that begin with TLS")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := s.run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type settings struct {
	pair               tlsconf.Pair
	level              tlsconf.Level
	startTLS, implicit string // addresses
}

// run serves until ctx ends. It prints the password and the addresses on out.
func (s *settings) run(ctx context.Context, out io.Writer) error {
	observe := smtpguard.LogEvents(slog.Default())
	files, err := tlsconf.NewFiles(tlsconf.FilesConfig{Pairs: []tlsconf.Pair{s.pair}, Observe: observe})
	if err != nil {
		return err
	}
	defer files.Close()
	cfg, err := tlsconf.Server(s.level, tlsconf.ServerConfig{Protocol: tlsconf.IMAP, Certificates: files})
	if err != nil {
		return err
	}
	password := rand.Text()
	server, err := mailbox(password)
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }()
	fmt.Fprintf(out, "login %s, password %s\n", login, password)
	failed := make(chan error, 2)
	for _, at := range []struct {
		name, address string
		startTLS      bool
	}{{"imaps", s.implicit, false}, {"imap", s.startTLS, true}} {
		ln, err := listen(at.name, at.address, at.startTLS, cfg, observe)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "listening on %v, STARTTLS: %v\n", ln.Addr(), at.startTLS)
		go func() { failed <- server.Serve(ln) }()
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

func listen(name, address string, startTLS bool, cfg *tls.Config, observe func(smtpguard.Event)) (net.Listener, error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	guarded, err := tlsconf.NewListener(ln, tlsconf.ListenerConfig{
		Name: name, Protocol: tlsconf.IMAP, TLS: cfg, StartTLS: startTLS, Observe: observe,
	})
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return guarded, nil
}

// mailbox is an IMAP server with one user and a message of welcome.
func mailbox(password string) (*imapserver.Server, error) {
	user := imapmemserver.NewUser(login, password)
	if err := user.Create("INBOX", nil); err != nil {
		return nil, err
	}
	const welcome = "From: demo@example.org\r\nTo: demo@example.org\r\nSubject: Welcome\r\n\r\nYou came by TLS.\r\n"
	if _, err := user.Append("INBOX", literal{strings.NewReader(welcome)}, &imap.AppendOptions{Time: time.Now()}); err != nil {
		return nil, err
	}
	users := imapmemserver.New()
	users.AddUser(user)
	return imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return users.NewSession(), nil, nil
		},
		Caps:   imap.CapSet{imap.CapIMAP4rev1: {}},
		Logger: log.New(io.Discard, "", 0),
		// Its connections all have TLS; it cannot see that of those which began in
		// clear text.
		InsecureAuth: true,
	}), nil
}

// literal is a message to be stored.
type literal struct{ *strings.Reader }
