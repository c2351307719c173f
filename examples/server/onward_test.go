package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// next is a next host that answers as recipients and content ask it to.
type next struct {
	addr string
	mu   sync.Mutex
	got  []string // envelopes and contents
}

func startNext(t *testing.T) *next { return startNextTLS(t, nil) }

// startNextTLS is a next host that has STARTTLS and REQUIRETLS, where tc is not
// nil.
func startNextTLS(t *testing.T, tc *tls.Config) *next {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &next{addr: ln.Addr().String()}
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &nextSession{next: n}, nil }))
	srv.Domain = "next.example"
	srv.TLSConfig, srv.EnableREQUIRETLS = tc, tc != nil
	go func() { _ = srv.Serve(ln) }() // ends with Close
	t.Cleanup(func() { srv.Close() })
	return n
}

func (n *next) mail() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.got...)
}

type nextSession struct {
	*next
	from string
	to   []string
}

func (s *nextSession) Mail(from string, opts *smtp.MailOptions) error {
	s.from, s.to = from, nil
	if opts.RequireTLS {
		s.from += " REQUIRETLS"
	}
	return nil
}

func (s *nextSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "unknown") {
		return reply(550, 5, 1, 1, "secret: no such user")
	}
	if strings.HasPrefix(to, "later") {
		return reply(421, 4, 3, 2, "secret: down")
	}
	s.to = append(s.to, to)
	return nil
}

func (s *nextSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if strings.Contains(string(b), "X-Spam") {
		return reply(554, 5, 7, 1, "secret: spam")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, s.from+" "+strings.Join(s.to, ",")+"\n"+string(b))
	return nil
}

func (s *nextSession) Reset()        {}
func (s *nextSession) Logout() error { return nil }

// demo is a client that is logged in.
func (r *running) demo() *smtp.Client {
	r.t.Helper()
	c, err := smtp.DialTLS(r.addr["submissions"], r.tls())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	c.CommandTimeout, c.SubmissionTimeout = patience, patience
	if err := c.Auth(sasl.NewPlainClient("", "demo", r.password())); err != nil {
		r.t.Fatal(err)
	}
	return c
}

func TestOnward(t *testing.T) {
	out, relayed := startNext(t), startNext(t)
	r := start(t, "", fmt.Sprintf(`
route: {address: %q, tls: none}
relayed: [{domain: example.net, route: {address: %q, tls: none}}]
`, out.addr, relayed.addr))
	c := r.demo()
	send := func(content string, to ...string) error {
		err := c.SendMail("demo@example.org", to, strings.NewReader("From: demo@example.org\r\n"+content))
		if err != nil {
			if err := c.Reset(); err != nil {
				t.Fatal(err)
			}
		}
		return err
	}

	// One message to elsewhere and to ourselves.
	if err := send("Subject: x\r\n\r\n.dot\r\n", "b@example.com", "ann@example.org", "c@example.com"); err != nil {
		t.Fatal(err)
	}
	got := out.mail()
	if len(got) != 1 || !strings.HasPrefix(got[0], "demo@example.org b@example.com,c@example.com\nReceived: ") || !strings.HasSuffix(got[0], "\r\n\r\n.dot\r\n") {
		t.Errorf("next host has %q", got)
	}
	if got := r.mail("example.org/ann"); len(got) != 1 || !strings.HasSuffix(got[0], "\r\n\r\n.dot\r\n") {
		t.Errorf("ann has %q", got)
	}

	// The next host's word is ours, without its text.
	for _, tt := range []struct {
		content, to string
		code        int
	}{
		{"x\r\n", "unknown@example.com", 550},
		{"x\r\n", "later@example.com", 451},
		{"X-Spam: y\r\n\r\nx\r\n", "b@example.com", 554},
	} {
		err := send(tt.content, "refused@example.org", tt.to)
		if code(err) != tt.code || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", tt.to, err)
		}
	}
	if got := r.mail("example.org/refused"); len(got) != 0 {
		t.Errorf("what was refused was delivered: %q", got)
	}
	if n := len(out.mail()); n != 1 {
		t.Errorf("next host has %d messages", n)
	}

	// A local part that needs quotes gets them, and smuggles no parameter in.
	if err := send("x\r\n", `"b> NOTIFY=NEVER"@example.com`); err != nil {
		t.Error(err)
	}
	if got := out.mail(); len(got) != 2 || !strings.Contains(got[1], " b> NOTIFY=NEVER@example.com\n") {
		t.Errorf("next host has %q", got[len(got)-1])
	}

	// Anybody may send to a relayed domain; it has its own route, and two routes
	// are two transactions.
	in, err := smtp.Dial(r.addr["inbound"])
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := in.SendMail("a@client.example", []string{"d@example.net"}, strings.NewReader("x\r\n")); err != nil {
		t.Error(err)
	}
	if got := relayed.mail(); len(got) != 1 || !strings.HasPrefix(got[0], "a@client.example d@example.net\n") {
		t.Errorf("relayed are %q", got)
	}
	if err := send("x\r\n", "b@example.com", "d@example.net"); code(err) != 452 {
		t.Errorf("two routes: %v", err)
	}
	if err := in.SendMail("a@client.example", []string{"b@example.com"}, strings.NewReader("x\r\n")); code(err) != 550 {
		t.Errorf("without a login: %v", err)
	}
}

// No route is open, and one that wants TLS gets no clear text.
func TestOnwardAway(t *testing.T) {
	plain := startNext(t)
	for name, route := range map[string]string{
		"nobody there": fmt.Sprintf("{address: %q, tls: none}", freeAddr(t)),
		"no STARTTLS":  fmt.Sprintf("{address: %q}", plain.addr),
		"no TLS":       fmt.Sprintf("{address: %q, tls: implicit}", plain.addr),
	} {
		r := start(t, "", "route: "+route+"\n")
		c := r.demo()
		if err := c.Mail("demo@example.org", nil); err != nil {
			t.Fatal(err)
		}
		if err := c.Rcpt("b@example.com", nil); code(err) != 451 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := plain.mail(); len(got) != 0 {
		t.Errorf("next host has %q", got)
	}
}

// A next host that offers REQUIRETLS in clear text, or somebody between us who
// does, gets no mail that wants TLS (RFC 8689, section 4.2.1).
func TestRequireTLSInClearText(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	said := make(chan string, 10)
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		fmt.Fprint(nc, "220 next.example\r\n")
		for lines := bufio.NewScanner(nc); lines.Scan(); {
			said <- lines.Text()
			if strings.HasPrefix(lines.Text(), "EHLO") {
				fmt.Fprint(nc, "250-next.example\r\n250-8BITMIME\r\n250 REQUIRETLS\r\n")
			} else {
				fmt.Fprint(nc, "250 2.0.0 OK\r\n")
			}
		}
		close(said)
	}()
	r := start(t, "", fmt.Sprintf("relayed: [{domain: example.net, route: {address: %q, tls: none}}]\n", ln.Addr()))
	c, err := smtp.DialStartTLS(r.addr["inbound"], r.tls())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Mail("a@client.example", &smtp.MailOptions{RequireTLS: true}); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt("b@example.net", nil); code(err) != 550 {
		t.Errorf("the recipient: %v", err)
	}
	if err := c.Quit(); err != nil {
		t.Error(err)
	}
	for line := range said {
		if strings.HasPrefix(line, "MAIL") {
			t.Errorf("the next host was told %q", line)
		}
	}
}
