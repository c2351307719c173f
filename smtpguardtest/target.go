package smtpguardtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// Target is the server under test and what the kit may know of it. One of Addr,
// Server, Serve and Dial, and Recipient, are needed; every other field enables
// the cases that need it.
type Target struct {
	Addr   string                                      // of a running server, "127.0.0.1:2525"
	Server *smtp.Server                                // served on a loopback listener while the kit runs; never closed
	Serve  func(net.Listener) error                    // the same, for a server that is more than an *smtp.Server
	Dial   func(ctx context.Context) (net.Conn, error) // any other way to reach a server

	Recipient string // an address that is delivered here, sent by anybody
	Foreign   string // an address elsewhere that is relayed to only after a login
	Sender    string // a reverse-path that is accepted; "sender@client.example" if empty

	TLS         *tls.Config // the client's; nil leaves TLS untested
	ImplicitTLS bool        // TLS from the first octet (RFC 8314)
	LMTP        bool        // RFC 2033

	User, Password string // a login that is accepted with PLAIN
	Own            string // the one address that this login may send as
	Submission     bool   // mail is taken only after that login

	// Delivered returns every message the server has taken responsibility
	// for so far. It must be safe to call while the server runs.
	Delivered func() []Message

	// Work counts what checking passwords has cost so far, in keys derived, say. A
	// login that does not exist has to cost what any other does. While the kit runs,
	// nobody else may log in.
	Work func() int64

	// AllowBare says that this server passes on bare CR, bare LF and NUL on
	// purpose.
	AllowBare bool

	// ClientAddr, if valid, is announced in a PROXY protocol header, so
	// that tests seem to come from there.
	ClientAddr netip.AddrPort

	PreGreeting time.Duration // the server waits this long before its banner and refuses who talks first
	Silence     time.Duration // it hangs up on a client silent for so long: have it short, 200 ms
	Dribble     time.Duration // it hangs up on a client that sends an octet now and then for so long

	Limits Limits

	// Timeout bounds the wait for each reply; 0 means 5 seconds.
	Timeout time.Duration
}

// Limits are the bounds a server must keep. A field left zero means the bound
// named beside it, which no honest client comes near.
type Limits struct {
	Commands   int // answered without a message getting on; 200
	Failures   int // failed logins in a session; 20
	Recipients int // accepted in a transaction; 1,000
}

// Message is a message that a server accepted.
type Message struct {
	From string
	To   []string
	Data []byte // the content, lines ended as the server would pass them on
}

const defaultTimeout = 5 * time.Second

// server is a Target made reachable.
type server struct {
	Target
	dial func(context.Context) (net.Conn, error)
	stop func()
}

// start fills in defaults and serves a Target that is not yet served.
func start(target Target) (*server, error) {
	s := &server{Target: target, stop: func() {}}
	if !strings.Contains(s.Recipient, "@") {
		return nil, errors.New("smtpguardtest: Target.Recipient needs an address that the server delivers to")
	}
	if s.Submission && (s.User == "" || s.Password == "") {
		return nil, errors.New("smtpguardtest: Target.Submission needs User and Password")
	}
	if s.ImplicitTLS && s.TLS == nil {
		return nil, errors.New("smtpguardtest: Target.ImplicitTLS needs TLS")
	}
	if s.Sender == "" {
		s.Sender = "sender@client.example"
	}
	if s.Timeout <= 0 {
		s.Timeout = defaultTimeout
	}
	for field, def := range map[*int]int{&s.Limits.Commands: 200, &s.Limits.Failures: 20, &s.Limits.Recipients: 1000} {
		if *field <= 0 {
			*field = def
		}
	}

	serve := s.Serve
	switch {
	case s.Target.Dial != nil:
		s.dial = s.Target.Dial
		return s, nil
	case s.Addr != "":
		s.dial = dialer(s.Addr)
		return s, nil
	case serve == nil && s.Server != nil:
		serve = s.Server.Serve
		if s.ImplicitTLS {
			serve = func(ln net.Listener) error {
				return s.Server.Serve(tls.NewListener(ln, s.Server.TLSConfig))
			}
		}
	case serve == nil:
		return nil, errors.New("smtpguardtest: Target needs one of Addr, Server, Serve and Dial")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("smtpguardtest: %w", err)
	}
	s.dial = dialer(ln.Addr().String())
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Its error is that the listener is closed, which stop does.
		_ = serve(ln)
	}()
	s.stop = func() {
		ln.Close()
		select {
		case <-done:
		case <-time.After(s.Timeout):
		}
	}
	return s, nil
}

func dialer(addr string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
}

// domain is the domain the server delivers for.
func (s *server) domain() string {
	return s.Recipient[strings.LastIndexByte(s.Recipient, '@')+1:]
}

// proxyHeader announces ClientAddr: PROXY protocol, version 1.
func (s *server) proxyHeader() string {
	addr := s.ClientAddr.Addr().Unmap()
	switch {
	case !s.ClientAddr.IsValid():
		return ""
	case addr.Is4():
		return fmt.Sprintf("PROXY TCP4 %s 127.0.0.1 %d 25\r\n", addr, s.ClientAddr.Port())
	default:
		return fmt.Sprintf("PROXY TCP6 %s ::1 %d 25\r\n", addr, s.ClientAddr.Port())
	}
}
