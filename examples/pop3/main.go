// Command pop3 stands before a POP3 server and brings it TLS: the server sees
// only what came over it, and so no login that did not.
//
//	go run ./examples/pop3 -certificate pop.pem -key pop.key -server 127.0.0.1:110
//
// It listens on 127.0.0.1: 1995 for TLS at once (RFC 8314), and 1110 for STLS
// (RFC 2595). The way to the server is in clear text, and should not leave the
// machine.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/tlsconf"
)

func main() {
	var f front
	flag.StringVar(&f.pair.Certificate, "certificate", "", "`file` of the certificate, in PEM, with its chain")
	flag.StringVar(&f.pair.Key, "key", "", "`file` of its key")
	flag.TextVar(&f.level, "level", tlsconf.Submission, "of TLS: submission, mx or strict")
	flag.StringVar(&f.server, "server", "127.0.0.1:110", "`address` of the POP3 server")
	flag.StringVar(&f.startTLS, "stls", "127.0.0.1:1110", "`address` for clients that begin in clear text")
	flag.StringVar(&f.implicit, "tls", "127.0.0.1:1995", "`address` for clients that begin with TLS")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := f.run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type front struct {
	pair                       tlsconf.Pair
	level                      tlsconf.Level
	server, startTLS, implicit string // addresses
}

// run serves until ctx ends. It prints the addresses on out.
func (f *front) run(ctx context.Context, out io.Writer) error {
	observe := smtpguard.LogEvents(slog.Default())
	files, err := tlsconf.NewFiles(tlsconf.FilesConfig{Pairs: []tlsconf.Pair{f.pair}, Observe: observe})
	if err != nil {
		return err
	}
	defer files.Close()
	cfg, err := tlsconf.Server(f.level, tlsconf.ServerConfig{Protocol: tlsconf.POP3, Certificates: files})
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	for _, at := range []struct {
		name, address string
		startTLS      bool
	}{{"pop3s", f.implicit, false}, {"pop3", f.startTLS, true}} {
		ln, err := listen(at.name, at.address, at.startTLS, cfg, observe)
		if err != nil {
			return err
		}
		defer ln.Close()
		fmt.Fprintf(out, "listening on %v, STLS: %v\n", ln.Addr(), at.startTLS)
		go func() { failed <- f.serve(ctx, ln) }()
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
		Name: name, Protocol: tlsconf.POP3, TLS: cfg, StartTLS: startTLS, Observe: observe,
	})
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return guarded, nil
}

func (f *front) serve(ctx context.Context, ln net.Listener) error {
	for {
		client, err := ln.Accept()
		if err != nil {
			return err
		}
		go f.join(ctx, client)
	}
}

// join brings client and server together until one of them is through.
func (f *front) join(ctx context.Context, client net.Conn) {
	defer client.Close()
	server, err := (&net.Dialer{Timeout: 30 * time.Second}).DialContext(ctx, "tcp", f.server)
	if err != nil {
		slog.Error("no way to the server", "error", err)
		_, _ = io.WriteString(client, "-ERR [SYS/TEMP] Try again later\r\n") // RFC 3206
		return
	}
	defer server.Close()
	defer context.AfterFunc(ctx, func() { client.Close() })()
	go func() {
		defer server.Close()
		_, _ = io.Copy(server, patient{client})
	}()
	_, _ = io.Copy(client, patient{server}) // however it ends, it is over
}

// patient gives up on who is silent for longer than a client may be (RFC 1939,
// section 3).
type patient struct{ net.Conn }

func (c patient) Read(p []byte) (int, error) {
	c.SetReadDeadline(time.Now().Add(10 * time.Minute))
	return c.Conn.Read(p)
}
