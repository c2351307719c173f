package smtpguard_test

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// TestRepeatedEHLO: go-smtp has answered it before anybody is asked; the
// verdict on it is heard at the next MAIL or AUTH, and as long as it stands.
func TestRepeatedEHLO(t *testing.T) {
	var judged []string
	names := smtpguard.Check{Name: "names", Hello: func(_ context.Context, c *smtpguard.Conn) (smtpguard.Verdict, error) {
		judged = append(judged, c.Hello())
		if c.Hello() == "bad.example" {
			return reject, nil
		}
		return smtpguard.Verdict{}, nil
	}}
	l, _ := wrapped(t, bare(func(l *lab) { l.backend.auth, l.AllowInsecureAuth = true, true }), smtpguard.Config{}, names)
	smtpguardtest.Play(t, l.target(), `
		S: 220
		C: EHLO good.example
		S: 250 **
		C: EHLO bad.example
		S: 250 **
		C: AUTH PLAIN `+plain("demo", "secret")+`
		S: 550 5.7.1 *
		C: MAIL FROM:<a@client.example>
		S: 550 5.7.1 *
		C: EHLO good.example
		S: 250 **
		C: MAIL FROM:<a@client.example>
		S: 250
		C: RSET
		S: 250
		C: MAIL FROM:<a@client.example>
		S: 250`)
	if want := []string{"good.example", "bad.example", "bad.example", "good.example"}; !slices.Equal(judged, want) {
		t.Errorf("judged %q, want %q", judged, want)
	}
}

// TestUnwrap: a backend's own session is to be found behind ours.
func TestUnwrap(t *testing.T) {
	var ours, own smtp.Session
	look := smtpguard.Check{Name: "look", Mail: func(_ context.Context, tx *smtpguard.Transaction) (smtpguard.Verdict, error) {
		ours = tx.Conn().SMTP().Session()
		own = smtpguard.Unwrap(ours)
		return smtpguard.Verdict{}, nil
	}}
	l, _ := wrapped(t, bare(), smtpguard.Config{}, look)
	smtpguardtest.Play(t, l.target(), "HELLO\nC: MAIL FROM:<a@client.example>\nS: 250")
	if _, ok := own.(*memorySession); !ok {
		t.Errorf("Unwrap gave %T, want the backend's session", own)
	}
	if smtpguard.Unwrap(own) != own {
		t.Error("Unwrap changed a session that is none of a guard's")
	}
}

// TestWithoutListener: one event says what goes unwatched.
func TestWithoutListener(t *testing.T) {
	l, _ := wrapped(t, bare(), smtpguard.Config{})
	smtpguardtest.Play(t, l.target(), wholeMessage)
	smtpguardtest.Play(t, l.target(), wholeMessage)
	if n := len(l.events.of(smtpguard.KindWarning)); n != 1 {
		t.Errorf("%d warnings, want one for all connections", n)
	}
	g := guarded(t, bare(), smtpguard.Config{}, smtpguard.ListenConfig{})
	smtpguardtest.Play(t, g.target(), wholeMessage)
	if n := len(g.events.of(smtpguard.KindWarning)); n != 0 {
		t.Errorf("%d warnings with a Listener, want none", n)
	}
}

// TestOctetRules: what is done about bare line ends may depend on the client.
func TestOctetRules(t *testing.T) {
	cfg := smtpguard.Config{OctetRules: []smtpguard.OctetRule{
		{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Policy: smtpguard.OctetsNormalize},
		{Logins: []string{"demo"}, Policy: smtpguard.OctetsAllow},
	}}
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	const content = "C: MAIL FROM:<a@client.example>\nS: 250\nC: RCPT TO:<b@example.org>\nS: 250\nC: DATA\nS: 354\n" + `C! "Subject: x\r\n\r\na\nb\r\n.\r\n"` + "\n"
	for _, tt := range []struct {
		client, login, want string
		body                string
	}{
		{client: "198.51.100.1", want: "554 5.6.0 *"},
		{client: "2001:db8::1", want: "554 5.6.0 *"},
		{client: "192.0.2.7", want: "250", body: "a\r\nb\r\n"},
		{client: "198.51.100.1", login: "AUTH PLAIN " + plain("demo", "secret"), want: "250", body: "a\nb\r\n"},
	} {
		l := guarded(t, bare(func(l *lab) { l.backend.auth, l.AllowInsecureAuth = true, true }), cfg, smtpguard.ListenConfig{Proxy: loopback})
		target := l.target()
		target.ClientAddr = netip.AddrPortFrom(netip.MustParseAddr(tt.client), 40000)
		script := "HELLO\n"
		if tt.login != "" {
			script += "C: " + tt.login + "\nS: 235\n"
		}
		smtpguardtest.Play(t, target, script+content+"S: "+tt.want)
		mails := l.backend.mails()
		if tt.body == "" {
			if len(mails) != 0 {
				t.Errorf("%s: delivered", tt.client)
			}
			continue
		}
		if len(mails) != 1 || !strings.HasSuffix(mails[0].body, "\r\n\r\n"+tt.body) || !strings.Contains(mails[0].body, tt.client) {
			t.Errorf("%s: got %q, want %q at the end and the client in the Received field", tt.client, mails, tt.body)
		}
	}
}

// TestSlowDown: at half of the budget replies begin to take their time.
func TestSlowDown(t *testing.T) {
	const slow = 100 * time.Millisecond
	l := bare()
	g, err := smtpguard.New(smtpguard.Config{Limits: smtpguard.Limits{Errors: 4, Slow: slow}})
	if err != nil {
		t.Fatal(err)
	}
	l.Backend = g.Wrap(l.Backend)
	const begun, refused = "HELLO\nC: MAIL FROM:<a@client.example>\nS: 250\n", "C: RCPT TO:<reject@example.org>\nS: 550\n"
	start := time.Now()
	smtpguardtest.Play(t, l.target(), begun+refused+refused+refused)
	if took := time.Since(start); took < slow {
		t.Errorf("three of four refusals took %v, want %v at least", took, slow)
	}
}

// TestLineLimitAfterBDAT: go-smtp once left its line limit off after a chunk.
func TestLineLimitAfterBDAT(t *testing.T) {
	script := hello + envelope + `C! "BDAT 3\r\nx\r\n"` + "\nS: 250\n" + `C! "x" * 1000000` + "\nS: 500|EOF"
	smtpguardtest.Play(t, bare().target(), script)
	smtpguardtest.Play(t, guarded(t, bare(), smtpguard.Config{}, smtpguard.ListenConfig{}).target(), script)
}

// TestServerShutdown: go-smtp's Shutdown waits for idle clients for ever, and
// after it Close does nothing. The Listener drains, whoever closes it.
func TestServerShutdown(t *testing.T) {
	for _, tt := range []struct {
		name string
		lab  func() *lab
		want string
	}{
		{"bare", func() *lab { return bare() }, "C: NOOP\nS: 250"},
		{"guarded", func() *lab { return guarded(t, bare(), smtpguard.Config{}, smtpguard.ListenConfig{}) }, "S: 421 4.3.2 *\nS: EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := tt.lab()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			go l.serve(ln)
			l.backend.greeted = func() {
				ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
				go func() {
					defer cancel()
					time.Sleep(50 * time.Millisecond) // the reply to EHLO is on its way
					_ = l.Shutdown(ctx)
					_ = l.Close()
				}()
			}
			smtpguardtest.Play(t, smtpguardtest.Target{Addr: ln.Addr().String(), Recipient: "b@example.org"}, hello+"WAIT 500ms\n"+tt.want)
		})
	}
}

// TestCloseComesLast: also where a listener is shut down by force, and the
// connection is gone before go-smtp knows.
func TestCloseComesLast(t *testing.T) {
	w := &watcher{}
	l, g := wrapped(t, bare(), smtpguard.Config{}, smtpguard.Check{
		Name:  "order",
		Done:  func(context.Context, *smtpguard.Transaction, smtpguard.Outcome) { w.add("done") },
		Close: func(*smtpguard.Conn) { w.add("close") },
	})
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gl, err := g.Listen(l.Server, tcp, smtpguard.ListenConfig{})
	if err != nil {
		t.Fatal(err)
	}
	go gl.Serve()
	client, err := smtp.Dial(tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Mail("a@client.example", nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := gl.Shutdown(ctx); err != context.Canceled {
		t.Errorf("Shutdown by force returned %v", err)
	}
	waitFor(t, func() bool { return w.has("close") && w.has("done") })
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := strings.Join(w.log, " "); got != "done close" {
		t.Errorf("hooks ran as %q, want done before close", got)
	}
}

// TestContact: a refusal may say whom to ask.
func TestContact(t *testing.T) {
	l, _ := wrapped(t, bare(), smtpguard.Config{Contact: "see https://example.org/mail"}, at("no", reject, nil, smtpguard.StageMail))
	smtpguardtest.Play(t, l.target(), until("550 5.7.1 Refused by policy; see https://example.org/mail", "220", "250 **"))
	l, _ = wrapped(t, bare(), smtpguard.Config{Contact: "see https://example.org/mail"})
	smtpguardtest.Play(t, l.target(), hello+envelope+"C: DATA\nS: 354\n"+`C! "a\nb\r\n.\r\n"`+"\nS: 554 5.6.0 Bare LF in message; see https://example.org/mail")
}
