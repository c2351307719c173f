package dnsbl_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/dnsbl"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// world is a resolver that knows a few names. Any other does not exist.
type world struct {
	mu    sync.Mutex
	a     map[string]string // name to addresses, or to "timeout", "servfail", "panic", "hang"
	txt   map[string]string
	asked []string
}

func (w *world) set(name, answer string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.a[name] = answer
}

func (w *world) questions(substr string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range w.asked {
		if strings.Contains(name, substr) {
			n++
		}
	}
	return n
}

// find is the answer for name, which may stand for all names below "*.".
func (w *world) find(name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, name)
	if a, ok := w.a[name]; ok {
		return a
	}
	for rest := name; rest != ""; {
		_, rest, _ = strings.Cut(rest, ".")
		if a, ok := w.a["*."+rest]; ok {
			return a
		}
	}
	return ""
}

func (w *world) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if network != "ip4" {
		return nil, errors.New("asked for " + network)
	}
	name, rooted := strings.CutSuffix(host, ".")
	if !rooted {
		return nil, errors.New("name without its last dot: " + host)
	}
	switch answer := w.find(name); answer {
	case "":
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	case "timeout":
		return nil, &net.DNSError{Err: "i/o timeout asking for " + host, Name: host, IsTimeout: true}
	case "servfail":
		return nil, &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
	case "plain":
		return nil, errors.New("no way to " + strings.ToUpper(host))
	case "panic":
		panic("resolver")
	case "hang":
		<-ctx.Done()
		if ctx.Err() == context.DeadlineExceeded {
			return nil, &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true, UnwrapErr: ctx.Err()}
		}
		return nil, &net.DNSError{Err: "operation was canceled", Name: host, UnwrapErr: ctx.Err()}
	default:
		var addrs []netip.Addr
		for a := range strings.FieldsSeq(answer) {
			addrs = append(addrs, netip.MustParseAddr(a))
		}
		return addrs, nil
	}
}

func (w *world) LookupTXT(_ context.Context, name string) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, "TXT "+name)
	if t, ok := w.txt[strings.TrimSuffix(name, ".")]; ok {
		return []string{t}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// eachWorld is a world that is asked for all names at once.
type eachWorld struct{ *world }

func (w eachWorld) LookupEach(ctx context.Context, hosts []string, answer func(int, []netip.Addr, error) bool) {
	var hang []int
	for i, host := range hosts {
		w.mu.Lock()
		hangs := w.a[strings.TrimSuffix(host, ".")] == "hang"
		w.mu.Unlock()
		if hangs {
			hang = append(hang, i)
			continue
		}
		if addrs, err := w.LookupNetIP(ctx, "ip4", host); !answer(i, addrs, err) {
			return
		}
	}
	for n, i := range hang {
		_, err := w.LookupNetIP(ctx, "ip4", hosts[i])
		if n > 0 || !answer(i, nil, err) { // one tells, the others are left out
			return
		}
	}
}

// both runs a test with a resolver of either kind.
func both(t *testing.T, f func(t *testing.T, kind func(*world) dnsbl.Resolver)) {
	t.Run("apart", func(t *testing.T) { f(t, func(w *world) dnsbl.Resolver { return w }) })
	t.Run("together", func(t *testing.T) { f(t, func(w *world) dnsbl.Resolver { return eachWorld{w} }) })
}

// zone is a list of addresses called a, b or whatever.
func zone(name string, codes ...dnsbl.Code) dnsbl.Zone {
	return dnsbl.Zone{Domain: name + ".example", Lists: dnsbl.IPv4 | dnsbl.IPv6, Codes: codes}
}

func newLists(t testing.TB, cfg dnsbl.Config) *dnsbl.Lists {
	t.Helper()
	l, err := dnsbl.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// site is a server with checks, for clients that the PROXY protocol announces.
type site struct {
	t     testing.TB
	guard *smtpguard.Guard
	srv   *smtp.Server

	mu     sync.Mutex
	events []smtpguard.Event
}

func newSite(t testing.TB, checks ...smtpguard.Check) *site {
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

// play plays a transcript from addr.
func (s *site) play(addr, script string) {
	s.t.Helper()
	t, ok := s.t.(*testing.T)
	if !ok {
		s.t.Fatal("only tests play")
	}
	smtpguardtest.Play(t, smtpguardtest.Target{
		Serve: func(ln net.Listener) error {
			guarded, err := s.guard.Listen(s.srv, ln, smtpguard.ListenConfig{Proxy: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
			if err != nil {
				return err
			}
			return guarded.Serve()
		},
		ClientAddr: netip.AddrPortFrom(netip.MustParseAddr(addr), 2525),
		Recipient:  "user@example.org",
		User:       "ann", Password: "secret",
	}, script)
}

func (s *site) observe(ev smtpguard.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, ev)
}

// all are the events so far.
func (s *site) all() []smtpguard.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// verdicts are the check's verdicts so far that say something.
func (s *site) verdicts(check string) (out []smtpguard.Event) {
	for _, ev := range s.all() {
		if ev.Kind == smtpguard.KindVerdict && ev.Check == check && (ev.Reason != "" || ev.Facts != nil || ev.Error != "") {
			out = append(out, ev)
		}
	}
	return out
}

func (s *site) NewSession(*smtp.Conn) (smtp.Session, error) { return session{}, nil }

type session struct{}

func (session) Reset()                               {}
func (session) Logout() error                        { return nil }
func (session) Mail(string, *smtp.MailOptions) error { return nil }
func (session) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (session) AuthMechanisms() []string             { return []string{sasl.Plain} }

func (session) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
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
