package smtpguardtest

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// Hello reads the banner and says EHLO (LHLO in LMTP).
func (c *Client) Hello() error {
	if err := c.expect("220"); err != nil {
		return err
	}
	return c.Ehlo()
}

// Ehlo says EHLO and remembers what the server offers.
func (c *Client) Ehlo() error {
	verb := "EHLO"
	if c.server.LMTP {
		verb = "LHLO"
	}
	r, err := c.Cmd(verb + " client.example")
	if err != nil {
		return err
	}
	if r.Code != 250 {
		return fmt.Errorf("%s was answered %q", verb, r)
	}
	c.keyword = map[string]string{}
	for _, line := range r.Lines[1:] {
		name, params, _ := strings.Cut(line[4:], " ")
		c.keyword[strings.ToUpper(name)] = params
	}
	return nil
}

// StartTLS starts TLS and says EHLO again.
func (c *Client) StartTLS() error {
	if err := c.ask("STARTTLS", "220"); err != nil {
		return err
	}
	if err := c.Handshake(); err != nil {
		return err
	}
	return c.Ehlo()
}

// Login proves the target's login.
func (c *Client) Login() error {
	return c.ask("AUTH PLAIN "+c.plain(), "235")
}

// Secure opens a session in which AUTH is allowed: under TLS where the server
// offers it.
func (c *Client) Secure() error {
	if err := c.Hello(); err != nil {
		return err
	}
	if _, ok := c.Offers("STARTTLS"); ok && c.server.TLS != nil {
		return c.StartTLS()
	}
	return nil
}

// Ready opens a session in which mail is accepted: with a login on a
// submission service.
func (c *Client) Ready() error {
	if !c.server.Submission {
		return c.Hello()
	}
	if err := c.Secure(); err != nil {
		return err
	}
	return c.Login()
}

// Envelope opens a session and a transaction with one recipient.
func (c *Client) Envelope() error {
	if err := c.Ready(); err != nil {
		return err
	}
	return c.Play("C: MAIL FROM:<${sender}>\nS: 250\nC: RCPT TO:<${rcpt}>\nS: 250")
}

// Content returns a small message that Delivered knows again.
func (c *Client) Content(body string) string {
	return "From: <" + c.server.Sender + ">\r\nTo: <" + c.server.Recipient + ">\r\nSubject: test\r\nX-Case: " + c.token + "\r\n\r\n" + body
}

// Delivered returns this client's messages among those delivered.
func (c *Client) Delivered() []Message {
	var mine []Message
	for _, m := range c.server.Delivered() {
		if bytes.Contains(m.Data, []byte(c.token)) {
			mine = append(mine, m)
		}
	}
	return mine
}

// settle is how long a delivery behind a session's back is looked for.
const settle = 200 * time.Millisecond

// undelivered fails if more than most messages of this client are delivered,
// now or until wait is over. It knows nothing without Target.Delivered.
func (c *Client) undelivered(most int, wait time.Duration) error {
	if c.server.Target.Delivered == nil {
		return nil
	}
	for end := time.Now().Add(wait); ; time.Sleep(settle / 20) {
		if got := c.Delivered(); len(got) > most {
			last := got[len(got)-1]
			return fmt.Errorf("%d messages were delivered, at most %d may be; the last from <%s> to %v: %s",
				len(got), most, last.From, last.To, quote(string(last.Data)))
		}
		if !time.Now().Before(end) {
			return nil
		}
	}
}

// ask sends a line and expects a reply.
func (c *Client) ask(line, pattern string) error {
	if err := c.Send(line); err != nil {
		return err
	}
	return c.expect(pattern)
}

// expect reads a reply and matches it.
func (c *Client) expect(pattern string) error { return c.Play("S: " + pattern) }

// variables are what transcripts may name.
func (c *Client) variables() *strings.Replacer {
	return strings.NewReplacer(
		"${sender}", c.server.Sender,
		"${rcpt}", c.server.Recipient,
		"${domain}", c.server.domain(),
		"${foreign}", c.server.Foreign,
		"${user}", c.server.User,
		"${plain}", c.plain(),
		"${case}", c.token,
	)
}
