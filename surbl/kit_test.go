package surbl_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/smtpguardtest"
	"github.com/smtpguard/smtpguard/surbl"
)

// world is a resolver that knows a few names. Any other does not exist.
type world struct {
	mu    sync.Mutex
	a     map[string]string // name to addresses, or to "servfail", "panic", "hang"
	ns    map[string]string
	asked []string
}

func (w *world) set(name, answer string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.a[name] = answer
}

// questions are the names asked for so far that contain substr.
func (w *world) questions(substr string) (names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range w.asked {
		if strings.Contains(name, substr) {
			names = append(names, name)
		}
	}
	return names
}

func (w *world) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	name, rooted := strings.CutSuffix(host, ".")
	if !rooted || network != "ip4" {
		return nil, errors.New("asked for " + host + " " + network)
	}
	w.mu.Lock()
	w.asked = append(w.asked, name)
	answer := w.a[name]
	w.mu.Unlock()
	switch answer {
	case "":
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	case "servfail":
		return nil, &net.DNSError{Err: "server misbehaving asking for " + host, Name: host, IsTemporary: true}
	case "plain":
		return nil, errors.New("no way to " + strings.ToUpper(host))
	case "panic":
		panic("resolver")
	case "hang":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	var addrs []netip.Addr
	for a := range strings.FieldsSeq(answer) {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	return addrs, nil
}

func (w *world) LookupNS(_ context.Context, name string) (servers []*net.NS, err error) {
	for host := range strings.FieldsSeq(w.ns[strings.TrimSuffix(name, ".")]) {
		servers = append(servers, &net.NS{Host: host})
	}
	return servers, nil
}

// eachWorld is a world that is asked for all names at once.
type eachWorld struct{ *world }

func (w eachWorld) LookupEach(ctx context.Context, hosts []string, answer func(int, []netip.Addr, error) bool) {
	for i, host := range hosts {
		addrs, err := w.LookupNetIP(ctx, "ip4", host)
		if !answer(i, addrs, err) {
			return
		}
	}
}

// both runs f with either kind of resolver.
func both(t *testing.T, f func(t *testing.T, kind func(*world) surbl.Resolver)) {
	t.Run("apart", func(t *testing.T) { f(t, func(w *world) surbl.Resolver { return w }) })
	t.Run("together", func(t *testing.T) { f(t, func(w *world) surbl.Resolver { return eachWorld{w} }) })
}

func newLists(t testing.TB, cfg surbl.Config) *surbl.Lists {
	t.Helper()
	l, err := surbl.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// site is a server with checks, and what it delivered.
type site struct {
	t     *testing.T
	guard *smtpguard.Guard
	srv   *smtp.Server

	mu        sync.Mutex
	events    []smtpguard.Event
	delivered int
}

func newSite(t *testing.T, checks ...smtpguard.Check) *site {
	t.Helper()
	s := &site{t: t}
	var err error
	s.guard, err = smtpguard.New(smtpguard.Config{Limits: smtpguard.Limits{Slow: -1}, Observe: s.observe}, checks...)
	if err != nil {
		t.Fatal(err)
	}
	s.srv = smtp.NewServer(s.guard.Wrap(s))
	s.srv.Domain = "mx.example.org"
	s.srv.ErrorLog = log.New(io.Discard, "", 0)
	if err := smtpguard.Harden(s.srv); err != nil {
		t.Fatal(err)
	}
	s.srv.AllowInsecureAuth = true // the tests are about other things
	t.Cleanup(func() { s.srv.Close() })
	return s
}

// play plays a transcript.
func (s *site) play(script string) {
	s.t.Helper()
	smtpguardtest.Play(s.t, smtpguardtest.Target{
		Serve: func(ln net.Listener) error {
			guarded, err := s.guard.Listen(s.srv, ln, smtpguard.ListenConfig{})
			if err != nil {
				return err
			}
			return guarded.Serve()
		},
		Recipient: "user@example.org",
		User:      "ann", Password: "secret",
	}, script)
}

// listen serves until the test ends, and returns where.
func (s *site) listen() string {
	s.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	guarded, err := s.guard.Listen(s.srv, ln, smtpguard.ListenConfig{})
	if err != nil {
		s.t.Fatal(err)
	}
	go guarded.Serve()
	return ln.Addr().String()
}

func (s *site) observe(ev smtpguard.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, ev)
}

// verdict is the check's last verdict that says something.
func (s *site) verdict(check string) (last smtpguard.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ev := range s.events {
		if ev.Kind == smtpguard.KindVerdict && ev.Check == check && (ev.Reason != "" || ev.Facts != nil || ev.Error != "") {
			last = ev
		}
	}
	return last
}

func (s *site) deliveries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.delivered
}

func (s *site) NewSession(*smtp.Conn) (smtp.Session, error) { return session{s}, nil }

type session struct{ *site }

func (session) Reset()                               {}
func (session) Logout() error                        { return nil }
func (session) Mail(string, *smtp.MailOptions) error { return nil }
func (session) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (session) AuthMechanisms() []string             { return []string{sasl.Plain} }

func (s session) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	s.mu.Lock()
	s.delivered++
	s.mu.Unlock()
	return err
}

func (session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "ann" || password != "secret" {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}
