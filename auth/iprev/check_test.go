package iprev_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/miekg/dns"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/iprev"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// site is a server with checks, for clients that the PROXY protocol announces.
type site struct {
	t     *testing.T
	guard *smtpguard.Guard
	srv   *smtp.Server

	mu     sync.Mutex
	events []smtpguard.Event
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

func (s *site) play(addr, script string) {
	s.t.Helper()
	smtpguardtest.Play(s.t, smtpguardtest.Target{
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

// last is the last verdict of the check, as "action score reason", and its facts.
func (s *site) last() (string, map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	said, facts := "", map[string]string(nil)
	for _, ev := range s.events {
		if ev.Kind == smtpguard.KindVerdict && ev.Check == "iprev" && ev.Stage > smtpguard.StageConnect {
			said, facts = strings.TrimSpace(fmt.Sprintf("%v %g %s%s", ev.Action, ev.Score, ev.Reason, ev.Error)), ev.Facts
		}
	}
	return said, facts
}

func (s *site) NewSession(*smtp.Conn) (smtp.Session, error) { return session{}, nil }

type session struct{}

func (session) Reset()                               {}
func (session) Logout() error                        { return nil }
func (session) Mail(string, *smtp.MailOptions) error { return nil }
func (session) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (session) AuthMechanisms() []string             { return []string{sasl.Plain} }
func (session) Data(r io.Reader) error               { _, err := io.Copy(io.Discard, r); return err }

func (session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "ann" || password != "secret" {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

var neighbours = map[string]string{
	"PTR 5.6.7.8": "mail.good.test.", "A mail.good.test": "5.6.7.8", "A mail.good.com": "5.6.7.8",
	"PTR 5.6.7.9": "5-6-7-9.dyn.isp.com.", "A 5-6-7-9.dyn.isp.com": "5.6.7.9",
	"MX good.com": "10:mail.good.com.", "MX null.com": "0:.", "A bogon.com": "192.168.0.1", "MX slow.com": "servfail",
}

func TestTranscripts(t *testing.T) {
	for _, tt := range []struct {
		name, client string
		change       func(*iprev.Config)
		script       string
		said         string
	}{
		{"a good one", "5.6.7.8", nil, `
			S: 220
			C: HELO mail.good.com
			S: 250
			C: MAIL FROM:<a@good.com>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 250`, "continue 0"},
		{"a bounce", "5.6.7.8", nil, `
			S: 220
			C: HELO mail.good.com
			S: 250
			C: MAIL FROM:<>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 250`, "continue 0"},
		{"a dial-up line", "5.6.7.9", nil, `
			S: 220
			C: HELO 5-6-7-9.dyn.isp.com
			S: 250
			C: MAIL FROM:<a@good.com>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 250`, "continue 3.5 reverse-dynamic, hello-dynamic"},
		{"no name at all", "5.6.7.10", nil, `
			S: 220
			C: HELO localhost
			S: 250
			C: MAIL FROM:<a@good.com>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 250`, "continue 4 reverse-none, hello-unqualified"},
		{"a claim to be us", "5.6.7.8", nil, `
			S: 220
			C: HELO MX.example.org
			S: 250
			C: MAIL FROM:<a@good.com>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 550 5.7.1 Your EHLO name is ours
			C: HELO mail.good.com
			S: 250
			C: MAIL FROM:<a@good.com>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 250`, "continue 0"},
		{"a claim to be us, at EHLO", "5.6.7.8", func(c *iprev.Config) { c.Judge = smtpguard.StageHello }, `
			S: 220
			C: EHLO mx.example.org
			S: 550 5.7.1 Your EHLO name is ours`, "reject 0 hello-ours"},
		{"a null MX", "5.6.7.8", nil, `
			S: 220
			C: HELO mail.good.com
			S: 250
			C: MAIL FROM:<a@null.com>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 550 5.7.27 The sender's domain says that it takes no mail`, "reject 0 sender-null-mx"},
		{"a null MX, at MAIL", "5.6.7.8", func(c *iprev.Config) { c.Judge = smtpguard.StageMail }, `
			S: 220
			C: HELO mail.good.com
			S: 250
			C: MAIL FROM:<a@null.com>
			S: 550 5.7.27 *
			C: MAIL FROM:<a@good.com>
			S: 250`, "continue 0"},
		{"a null MX, where EHLO is judged at once", "5.6.7.8", func(c *iprev.Config) { c.Judge = smtpguard.StageHello }, `
			S: 220
			C: HELO mail.good.com
			S: 250
			C: MAIL FROM:<a@null.com>
			S: 550 5.7.27 *`, "reject 0 sender-null-mx"},
		{"a private mail server", "5.6.7.8", nil, `
			S: 220
			C: HELO mail.good.com
			S: 250
			C: MAIL FROM:<a@bogon.com>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 550 5.1.8 The mail servers of the sender's domain have no public addresses`, "reject 0 sender-bogon"},
		{"what cannot be found out", "5.6.7.8", nil, `
			S: 220
			C: HELO mail.good.com
			S: 250
			C: MAIL FROM:<a@slow.com>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 250`, "continue 0 sender-temporary"},
		{"other rules", "5.6.7.10", func(c *iprev.Config) {
			c.Rules = map[iprev.Finding]iprev.Rule{
				iprev.ReverseNone:     {Action: smtpguard.Reject, Score: 1},
				iprev.SenderTemporary: {Action: smtpguard.Defer, Reply: "Come back"},
				iprev.HelloUnknown:    {Action: smtpguard.Quarantine},
			}
		}, `
			S: 220
			C: HELO unknown.com
			S: 250
			C: MAIL FROM:<a@slow.com>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 550 5.7.25 Your address has no reverse DNS name`, "reject 1 reverse-none, hello-unknown, sender-temporary"},
		{"a rule that defers", "5.6.7.8", func(c *iprev.Config) {
			c.Rules = map[iprev.Finding]iprev.Rule{iprev.SenderTemporary: {Action: smtpguard.Defer, Reply: "Come back"}}
		}, `
			S: 220
			C: HELO mail.good.com
			S: 250
			C: MAIL FROM:<a@slow.com>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 451 4.1.8 Come back`, "defer 0 sender-temporary"},
		{"a rule that hangs up", "5.6.7.10", func(c *iprev.Config) {
			c.Rules = map[iprev.Finding]iprev.Rule{iprev.ReverseNone: {Action: smtpguard.Disconnect}}
		}, `
			S: 220
			C: HELO mail.good.com
			S: 250
			C: MAIL FROM:<>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 421 4.7.25 *
			S: EOF`, "disconnect 0 reverse-none, hello-mismatch"},
		{"a login", "5.6.7.10", nil, `
			HELLO
			AUTH
			C: MAIL FROM:<a@null.com>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 250`, "continue 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var change []func(*iprev.Config)
			if tt.change != nil {
				change = append(change, tt.change)
			}
			s := newSite(t, checker(t, neighbours, change...).Check())
			s.play(tt.client, tt.script)
			if said, facts := s.last(); said != tt.said {
				t.Errorf("said %q with %v, want %q", said, facts, tt.said)
			}
		})
	}
}

// What was found can be read by others.
func TestValues(t *testing.T) {
	for _, judge := range []smtpguard.Stage{smtpguard.StageHello, smtpguard.StageMail, smtpguard.StageRcpt} {
		c := checker(t, neighbours, func(c *iprev.Config) { c.Judge = judge })
		seen := 0
		after := smtpguard.Check{Name: "after", Rcpt: func(ctx context.Context, tx *smtpguard.Transaction, _ *smtpguard.Recipient) (smtpguard.Verdict, error) {
			seen++
			r, ok := c.ReverseOf(tx.Conn())
			if !ok || r.Status != iprev.Pass || r.Generic != iprev.Dynamic {
				t.Errorf("%+v %v", r, ok)
			}
			h, ok := c.HelloOf(tx)
			if !ok || h.Name != "mail.good.com" || len(h.Findings) != 1 {
				t.Errorf("%+v %v", h, ok)
			}
			s, ok := c.SenderOf(tx)
			if !ok || s.Finding != iprev.SenderNullMX || s.Domain != "null.com" {
				t.Errorf("%+v %v", s, ok)
			}
			names, err := c.Names(ctx, tx.Conn())
			if err != nil || len(names) != 1 || names[0] != "5-6-7-9.dyn.isp.com" {
				t.Errorf("%q %v", names, err)
			}
			return smtpguard.Verdict{}, nil
		}}
		newSite(t, smtpguard.Shadow(c.Check()), after).play("5.6.7.9", `
			S: 220
			C: HELO mail.good.com
			S: 250
			C: MAIL FROM:<a@null.com>
			S: 250
			C: RCPT TO:<user@example.org>
			S: 250`)
		if seen != 1 {
			t.Error("nobody looked")
		}
	}
}

// serve answers from records until the test ends, and returns a resolver that
// asks it alone.
func serve(t *testing.T, records ...string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all []dns.RR
	for _, r := range records {
		rr, err := dns.NewRR(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rr)
	}
	srv := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetRcode(q, dns.RcodeNameError)
		m.Authoritative = true
		for _, rr := range all {
			if strings.EqualFold(rr.Header().Name, q.Question[0].Name) {
				m.Rcode = dns.RcodeSuccess
				if rr.Header().Rrtype == q.Question[0].Qtype {
					m.Answer = append(m.Answer, rr)
				}
			}
		}
		_ = w.WriteMsg(m)
	})}
	go srv.ActivateAndServe()
	t.Cleanup(func() { srv.Shutdown() })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, conn.LocalAddr().String())
	}}
}

// The standard library's resolver has ways of its own with a null MX, with
// malformed names and with what does not exist.
func TestNetResolver(t *testing.T) {
	r := serve(t,
		"8.7.6.5.in-addr.arpa. 60 IN PTR mail.example.com.", "mail.example.com. 60 IN A 5.6.7.8",
		"9.7.6.5.in-addr.arpa. 60 IN PTR bad\\032name.example.com.",
		"7.7.6.5.in-addr.arpa. 60 IN TXT none",
		"null.com. 60 IN MX 0 .", "ok.com. 60 IN MX 10 mail.example.com.", "inside.com. 60 IN AAAA fd00::1",
		"text.com. 60 IN TXT none", "literal.com. 60 IN MX 10 1.2.3.4.",
	)
	c := checker(t, nil, func(c *iprev.Config) { c.Resolver = r })
	for addr, want := range map[string]iprev.Status{"5.6.7.8": iprev.Pass, "5.6.7.9": iprev.TempError, "5.6.7.7": iprev.PermError, "5.6.7.6": iprev.PermError} {
		if got := c.Reverse(t.Context(), netip.MustParseAddr(addr)); got.Status != want {
			t.Errorf("%s: %+v, want %s", addr, got, want)
		}
	}
	for domain, want := range map[string]iprev.Finding{
		"null.com": iprev.SenderNullMX, "ok.com": 0, "inside.com": iprev.SenderBogon, "text.com": iprev.SenderNoMail,
		"nowhere.com": iprev.SenderNoMail, "literal.com": iprev.SenderUnknown,
	} {
		if got := c.Sender(t.Context(), domain); got.Finding != want {
			t.Errorf("%s: %+v, want %v", domain, got, want)
		}
	}
}
