package verify_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/dkim"
	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/verify"
)

// world is DNS as a map of TXT records. What it does not have does not exist;
// "servfail" is a server that fails.
type world struct {
	mu    sync.Mutex
	txt   map[string]string
	asked map[string]int
}

func (w *world) LookupTXT(ctx context.Context, name string) ([]string, error) {
	name = strings.TrimSuffix(name, ".")
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked == nil {
		w.asked = make(map[string]int)
	}
	w.asked[name]++
	text := w.txt[name]
	if text == "never" {
		w.mu.Unlock()
		<-ctx.Done()
		w.mu.Lock()
		return nil, &net.DNSError{Err: "timeout", Name: name, IsTimeout: true, IsTemporary: true}
	}
	switch text {
	case "":
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case "servfail":
		return nil, &net.DNSError{Err: "server failed", Name: name, IsTemporary: true}
	default:
		return []string{text}, nil
	}
}

func notFound(name string) error {
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (w *world) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return nil, notFound(name)
}

func (w *world) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return nil, notFound(host)
}

func (w *world) LookupAddr(_ context.Context, addr string) ([]string, error) {
	return nil, notFound(addr)
}

// key is an Ed25519 key of domain, published in w.
func (w *world) key(t testing.TB, domain string) dkim.Key {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k := dkim.Key{Domain: domain, Selector: "s1", Private: crypto.Signer(private)}
	text, err := dkim.Record(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.txt["s1._domainkey."+domain] = text
	return k
}

// signed is message with a signature on top.
func signed(t testing.TB, message string, keys ...dkim.Key) string {
	t.Helper()
	s, err := dkim.NewSigner(dkim.SignConfig{})
	if err != nil {
		t.Fatal(err)
	}
	fields, err := s.Sign(t.Context(), strings.NewReader(message), keys...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(fields, "") + message
}

// site is a server with v on it, and what it took.
type site struct {
	t    testing.TB
	addr string
	v    *verify.Verifier

	mu      sync.Mutex
	got     []string
	junk    []bool
	results []verify.Result
	events  []smtpguard.Event
}

func newSite(t testing.TB, cfg verify.Config, more ...smtpguard.Check) *site {
	t.Helper()
	return newSiteWith(t, smtpguard.Config{}, cfg, more...)
}

func newSiteWith(t testing.TB, under smtpguard.Config, cfg verify.Config, more ...smtpguard.Check) *site {
	t.Helper()
	cfg.ID = "mx.example.org"
	v, err := verify.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, v: v}
	under.Observe = func(e smtpguard.Event) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, e)
	}
	guard, err := smtpguard.New(under, append(more, v.Check())...)
	if err != nil {
		t.Fatal(err)
	}
	srv := smtp.NewServer(guard.Wrap(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		conn, _ := smtpguard.FromConn(c)
		return &session{s, conn}, nil
	})))
	srv.Domain, srv.AllowInsecureAuth = "mx.example.org", false
	if err := smtpguard.Harden(srv); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	guarded, err := guard.Listen(srv, ln, smtpguard.ListenConfig{})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = guarded.Serve() }() // ends with Close
	t.Cleanup(func() { guarded.Close() })
	s.addr = ln.Addr().String()
	return s
}

type session struct {
	s    *site
	conn *smtpguard.Conn
}

func (*session) Mail(string, *smtp.MailOptions) error { return nil }
func (*session) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (*session) Reset()                               {}
func (*session) Logout() error                        { return nil }
func (x *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	tx := x.conn.Transaction()
	found, _ := x.s.v.ResultOf(tx)
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.got = append(x.s.got, string(b))
	x.s.junk = append(x.s.junk, len(tx.Quarantined()) > 0)
	x.s.results = append(x.s.results, found)
	return err
}

// send is a client's transaction.
func (s *site) send(from, message string, to ...string) error {
	s.t.Helper()
	c, err := smtp.Dial(s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	if err := c.Hello("mail.example.com"); err != nil {
		s.t.Fatal(err)
	}
	if len(to) == 0 {
		to = []string{"bob@example.org"}
	}
	return c.SendMail(from, to, strings.NewReader(message))
}

// taken is the last message, and whether it is for the Junk folder.
func (s *site) taken() (message string, junk bool, r verify.Result) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.got) == 0 {
		s.t.Fatal("nothing was taken")
	}
	n := len(s.got) - 1
	return s.got[n], s.junk[n], s.results[n]
}

func code(err error) string {
	if e, ok := err.(*smtp.SMTPError); ok {
		return fmt.Sprintf("%d %d.%d.%d", e.Code, e.EnhancedCode[0], e.EnhancedCode[1], e.EnhancedCode[2])
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

const letter = "From: Ann <ann@example.com>\r\nTo: bob@example.org\r\nSubject: hello\r\nDate: Fri, 24 Jul 2026 10:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\nhello\r\n"

func TestCheck(t *testing.T) {
	w := &world{txt: map[string]string{
		"example.com":          "v=spf1 ip4:127.0.0.1 -all",
		"mail.example.com":     "v=spf1 -all",
		"other.example":        "v=spf1 -all",
		"_dmarc.example.com":   "v=DMARC1; p=reject",
		"_dmarc.soft.example":  "v=DMARC1; p=quarantine",
		"_dmarc.lost.example":  "servfail",
		"_dmarc.none.example":  "v=DMARC1; p=none",
		"broken.example":       "servfail",
		"_dmarc.other.example": "v=DMARC1; p=reject",
	}}
	good, foreign := w.key(t, "example.com"), w.key(t, "list.example")
	for _, tt := range []struct {
		name    string
		cfg     verify.Config
		from    string
		message string
		code    string // "" is taken
		junk    bool
		field   string // in the Authentication-Results field
	}{
		{"SPF aligned", verify.Config{}, "ann@example.com", letter, "", false, "spf=pass smtp.mailfrom=ann@example.com; dkim=none; dmarc=pass header.from=example.com policy.dmarc=reject"},
		{"DKIM aligned", verify.Config{}, "bounce@other.example", signed(t, letter, good), "", false, "dkim=pass header.d=example.com"},
		{"neither", verify.Config{}, "bounce@other.example", letter, "550 5.7.26", false, ""},
		{"DKIM of another", verify.Config{}, "bounce@other.example", signed(t, letter, foreign), "550 5.7.26", false, ""},
		{"changed on the way", verify.Config{}, "bounce@other.example", signed(t, letter, good) + "more\r\n", "550 5.7.26", false, ""},
		{"at most quarantine", verify.Config{Policy: verify.Policy{Most: smtpguard.Quarantine}}, "bounce@other.example", letter, "", true, "dmarc=fail"},
		{"monitored", verify.Config{Policy: verify.Policy{Monitor: true}}, "bounce@other.example", letter, "", false, "dmarc=fail"},
		{"forwarder", verify.Config{Forwarders: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}, "bounce@other.example", letter, "", false, "dmarc=fail"},
		{"quarantine", verify.Config{}, "x@other.example", strings.Replace(letter, "example.com", "soft.example", 1), "", true, "dmarc=fail"},
		{"none", verify.Config{}, "x@other.example", strings.Replace(letter, "example.com", "none.example", 1), "", false, "dmarc=fail"},
		{"temporary", verify.Config{}, "x@other.example", strings.Replace(letter, "example.com", "lost.example", 1), "", false, "dmarc=temperror"},
		{"temporary, deferred", verify.Config{Policy: verify.Policy{Temporary: smtpguard.Defer}}, "x@other.example", strings.Replace(letter, "example.com", "lost.example", 1), "451 4.4.3", false, ""},
		{"SPF fail, no DMARC", verify.Config{}, "x@other.example", strings.Replace(letter, "example.com", "free.example", 1), "", false, "spf=fail"},
		{"forwarder, SPF fail refused", verify.Config{Forwarders: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Policy: verify.Policy{SPFFail: smtpguard.Reject}},
			"x@other.example", letter, "", false, "dmarc=fail"},
		{"forwarder, SPF fail refused, no DMARC", verify.Config{Forwarders: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Policy: verify.Policy{SPFFail: smtpguard.Reject}},
			"x@other.example", strings.Replace(letter, "example.com", "free.example", 1), "", false, "spf=fail"},
		{"SPF fail refused", verify.Config{Policy: verify.Policy{SPFFail: smtpguard.Reject}}, "x@other.example", strings.Replace(letter, "example.com", "free.example", 1), "550 5.7.23", false, ""},
		{"SPF temporary", verify.Config{}, "x@broken.example", strings.Replace(letter, "example.com", "free.example", 1), "", false, "spf=temperror"},
		{"a forwarder's SPF", verify.Config{Policy: verify.Policy{SPFFail: smtpguard.Reject}, Forwarders: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}, "x@other.example", strings.Replace(letter, "example.com", "free.example", 1), "", false, "spf=fail"},
		{"a forwarder's SPF, with DMARC", verify.Config{Policy: verify.Policy{SPFFail: smtpguard.Reject}, Forwarders: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}, "x@other.example", letter, "", false, "dmarc=fail"},
		{"null reverse-path", verify.Config{}, "", strings.Replace(letter, "example.com", "free.example", 1), "", false, "spf=fail smtp.helo=mail.example.com"},
		{"two From fields", verify.Config{}, "ann@example.com", "From: ceo@bank.example\r\n" + letter, "550 5.7.1", false, ""},
		{"a huge header section", verify.Config{DKIM: dkim.Config{Limits: dkim.Limits{HeaderBytes: 5000}}}, "ann@example.com", "X-Long: " + strings.Repeat("a\r\n b", 1000) + "\r\n" + letter, "552 5.3.4", false, ""},
		{"no From field", verify.Config{}, "ann@example.com", "Subject: x\r\n\r\ny\r\n", "550 5.7.1", false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Resolver = w
			s := newSite(t, tt.cfg)
			err := s.send(tt.from, "Authentication-Results: mx.example.org; dmarc=pass header.from=forged.example\r\n"+tt.message)
			if got := code(err); got != tt.code {
				t.Fatalf("the client reads %v, want %q", err, tt.code)
			}
			if tt.code != "" {
				return
			}
			got, junk, r := s.taken()
			head, _, _ := strings.Cut(got, "\r\n\r\n")
			unfolded := strings.Join(strings.Fields(head), " ")
			if junk != tt.junk || !strings.Contains(unfolded, tt.field) || strings.Contains(got, "forged") || strings.Count(got, "Authentication-Results: mx.example.org") != 1 {
				t.Errorf("junk %t, header section\n%s", junk, head)
			}
			if r.DKIM == nil || r.ARC == nil || r.Client.String() != "127.0.0.1" {
				t.Errorf("result is %+v", r)
			}
			if author, ok := r.Author(); ok != strings.Contains(tt.field, "dmarc=pass") && ok != (tt.name == "DKIM aligned") {
				t.Errorf("author %q, %t", author, ok)
			}
		})
	}
}

// An allow list's word passes over the check, but not over forged fields.
func TestStrip(t *testing.T) {
	v, err := verify.New(verify.Config{ID: "mx.example.org", Resolver: new(world)})
	if err != nil {
		t.Fatal(err)
	}
	friend := smtpguard.Check{Name: "friend", Mail: func(context.Context, *smtpguard.Transaction) (smtpguard.Verdict, error) {
		return smtpguard.Verdict{Accept: smtpguard.ScopeTransaction}, nil
	}}
	s := newSite(t, verify.Config{Resolver: new(world)}, friend, v.Strip())
	if err := s.send("ann@example.com", "Authentication-Results: MX.Example.org; dmarc=pass\r\nAuthentication-Results: mx.example.org (x); spf=pass\r\n"+letter); err != nil {
		t.Fatal(err)
	}
	if got, _, r := s.taken(); strings.Contains(got, "pass") || r.DKIM != nil {
		t.Errorf("%+v\n%s", r, got)
	}
}

// An allow list that speaks at MAIL alone leaves the message to be judged.
func TestAllowedAtMail(t *testing.T) {
	w := &world{txt: map[string]string{"example.com": "v=spf1 ip4:127.0.0.1 -all", "_dmarc.example.com": "v=DMARC1; p=reject"}}
	friend := smtpguard.Check{Name: "friend", Mail: func(context.Context, *smtpguard.Transaction) (smtpguard.Verdict, error) {
		return smtpguard.Verdict{Accept: smtpguard.ScopeHook}, nil
	}}
	s := newSite(t, verify.Config{Resolver: w}, friend)
	if err := s.send("ann@example.com", letter); err != nil {
		t.Fatal(err)
	}
	if _, _, r := s.taken(); r.DMARC.Result != dmarc.Pass {
		t.Errorf("%+v", r.DMARC)
	}
}

// Where SPF does not come to an end, a message that it might have let pass is not
// refused for good.
func TestSPFThatNeverEnds(t *testing.T) {
	w := &world{txt: map[string]string{"example.com": "never", "_dmarc.example.com": "v=DMARC1; p=reject"}}
	s := newSite(t, verify.Config{Resolver: w, Timeout: 100 * time.Millisecond, Policy: verify.Policy{Temporary: smtpguard.Defer}})
	if err := s.send("ann@example.com", letter); code(err) != "451 4.4.3" {
		t.Errorf("the client reads %v", err)
	}
}

// Each name is asked for once a message.
func TestAskedOnce(t *testing.T) {
	w := &world{txt: map[string]string{"example.com": "v=spf1 ip4:127.0.0.1 -all", "_dmarc.example.com": "v=DMARC1; p=reject"}}
	s := newSite(t, verify.Config{Resolver: w})
	if err := s.send("ann@example.com", signed(t, letter, w.key(t, "example.com"))); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, n := range w.asked {
		if n != 1 {
			t.Errorf("%s was asked for %d times", name, n)
		}
	}
	if len(w.asked) < 3 {
		t.Errorf("only %v were asked for", w.asked)
	}
}

// Who monitors refuses nothing, and changes nothing but fields that claim to be ours.
func TestMonitorRefusesNothing(t *testing.T) {
	s := newSite(t, verify.Config{Resolver: new(world), DKIM: dkim.Config{Limits: dkim.Limits{HeaderBytes: 5000}}, Policy: verify.Policy{Monitor: true, Temporary: smtpguard.Defer, SPFFail: smtpguard.Reject}})
	huge := "X-Long: " + strings.Repeat("a\r\n b", 1000) + "\r\n" + letter
	if err := s.send("ann@example.com", "Authentication-Results: mx.example.org; dmarc=pass\r\n"+huge); err != nil {
		t.Fatal(err)
	}
	if got, junk, r := s.taken(); junk || !strings.HasSuffix(got, huge) || strings.Contains(got, "dmarc=pass") || r.DKIM != nil {
		t.Errorf("junk %t, %+v, %.500s", junk, r, got)
	}
	for _, message := range []string{"", "\r\n", "x\r\n", "From: a@example.com\r\nFrom: b@example.com\r\n\r\nx\r\n", letter} {
		if err := s.send("ann@example.com", message); err != nil {
			t.Errorf("%q: %v", message, err)
		}
		if got, junk, _ := s.taken(); junk || !strings.HasSuffix(got, message) {
			t.Errorf("%q: junk %t, %q", message, junk, got)
		}
	}
}

// Recipients whose policies differ do not share a transaction.
func TestDomains(t *testing.T) {
	w := &world{txt: map[string]string{"_dmarc.example.com": "v=DMARC1; p=reject"}}
	s := newSite(t, verify.Config{Resolver: w, Domains: map[string]verify.Policy{"lenient.example": {Monitor: true}}})
	if err := s.send("x@other.example", letter, "a@lenient.example"); err != nil {
		t.Errorf("monitored: %v", err)
	}
	if err := s.send("x@other.example", letter, "a@example.org"); code(err) != "550 5.7.26" {
		t.Errorf("not monitored: %v", err)
	}
	if err := s.send("x@other.example", letter, "a@lenient.example", "b@example.org"); code(err) != "452 4.5.3" {
		t.Errorf("both: %v", err)
	}
}

// Behind a gateway the client is whom its Received field names.
func TestGateway(t *testing.T) {
	w := &world{txt: map[string]string{"example.com": "v=spf1 ip4:192.0.2.7 ip6:2001:db8::7 -all", "_dmarc.example.com": "v=DMARC1; p=reject"}}
	s := newSite(t, verify.Config{Resolver: w, ReceivedSPF: true, Gateways: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}})
	inner := "Received: from edge.example.org (edge [10.0.0.2]) by hub.example.org; Fri, 24 Jul 2026 10:00:00 +0000\r\n"
	outer := func(addr string) string {
		return "Received: from mail.example.com (unknown [" + addr + "])\r\n\tby edge.example.org with ESMTP; Fri, 24 Jul 2026 10:00:00 +0000\r\n"
	}
	forged := "Received: from mail.example.com ([192.0.2.7]) by relay.evil.example; Fri, 24 Jul 2026 10:00:00 +0000\r\n"
	for _, tt := range []struct{ name, trace, code, client string }{
		{"through two of ours", inner + outer("192.0.2.7"), "", "192.0.2.7"},
		{"through one", outer("192.0.2.7"), "", "192.0.2.7"},
		{"from elsewhere, with a forged field", inner + outer("198.51.100.1") + forged, "550 5.7.26", ""},
		{"from elsewhere, a field of the sender's below that names the right client", outer("198.51.100.1") + outer("192.0.2.7"), "550 5.7.26", ""},
		{"from elsewhere, with a literal for a name", strings.Replace(outer("198.51.100.1"), "mail.example.com", "[192.0.2.7]", 1), "550 5.7.26", ""},
		{"from elsewhere, with an address in a certificate", strings.Replace(outer("198.51.100.1"), "\tby", "\t(Client CN \"x 192.0.2.7 y\")\r\n\tby", 1), "550 5.7.26", ""},
		{"from elsewhere, with spaces in a name", strings.Replace(outer("198.51.100.1"), "mail.example.com", "x ([192.0.2.7]) by y", 1), "550 5.7.26", ""},
		{"over IPv6", outer("IPv6:2001:db8::7"), "", "2001:db8::7"},
		{"from elsewhere over IPv6", outer("IPv6:2001:db8::8"), "550 5.7.26", ""},
		{"no field", "", "550 5.7.26", ""},
		{"a field without an address", "Received: from here by there; Fri, 24 Jul 2026 10:00:00 +0000\r\n" + forged, "550 5.7.26", ""},
	} {
		if err := s.send("ann@example.com", tt.trace+letter); code(err) != tt.code {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if tt.code != "" {
			continue
		}
		got, _, r := s.taken()
		if r.Client.String() != tt.client || r.DMARC.Result != dmarc.Pass || !strings.Contains(got, "Received-SPF: pass") {
			t.Errorf("%s: %+v\n%s", tt.name, r, got)
		}
	}
}

func TestNew(t *testing.T) {
	_, err := verify.New(verify.Config{
		ID: "not a name", Sealers: []string{"a b"}, Forwarders: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")},
		Policy: verify.Policy{Most: smtpguard.Defer, Temporary: smtpguard.Disconnect}, DKIM: dkim.Config{KeyBits: 512}, Timeout: -1,
	})
	if err == nil {
		t.Fatal("anything goes")
	}
	for _, want := range []string{"Config.ID", "Sealers[0]", "Forwarders[0]", "Config.Policy.", "Config.DKIM", "Timeout"} {
		if !bytes.Contains([]byte(err.Error()), []byte(want)) {
			t.Errorf("nothing on %s: %v", want, err)
		}
	}
}

// fragile is a resolver that panics.
type fragile struct{ *world }

func (fragile) LookupTXT(context.Context, string) ([]string, error) { panic("no resolver") }

// A resolver that panics is one that fails: nothing passes, nothing is lost, and the
// process lives.
func TestResolverPanics(t *testing.T) {
	w := &world{txt: map[string]string{}}
	message := signed(t, letter, w.key(t, "example.com"))
	cfg := verify.Config{Resolver: fragile{w}, Policy: verify.Policy{Temporary: smtpguard.Defer}}
	s := newSite(t, cfg)
	if err := s.send("ann@example.com", message); code(err) != "451 4.4.3" {
		t.Errorf("the client reads %v", err)
	}
	r, err := s.v.Verify(t.Context(), verify.Envelope{Client: netip.MustParseAddr("192.0.2.1"), Hello: "mail.example.com", From: "ann@example.com"}, strings.NewReader(message))
	if err != nil || r.SPF.Result != "temperror" || r.DKIM.Result() != dkim.TempError || r.DMARC.Result != dmarc.TempError {
		t.Errorf("%+v, %v", r, err)
	}
}
