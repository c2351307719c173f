package smtpguardtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"
)

func startTLSCases() []Case {
	return []Case{
		{
			Name: "starttls/offered", Needs: NeedStartTLS,
			Rule: "STARTTLS is offered in clear text, and not again under TLS", RFC: "RFC 3207, section 4.2",
			Run: func(c *Client) error {
				if err := c.tls(); err != nil {
					return err
				}
				if _, ok := c.Offers("STARTTLS"); ok {
					return errors.New("STARTTLS is offered under TLS")
				}
				return nil
			},
		}, {
			Name: "starttls/twice", Needs: NeedStartTLS,
			Rule: "STARTTLS under TLS is refused", RFC: "RFC 3207, section 4.2",
			Run: func(c *Client) error {
				if err := c.tls(); err != nil {
					return err
				}
				return c.ask("STARTTLS", refused)
			},
		}, {
			Name: "starttls/injection", Needs: NeedStartTLS,
			Rule: "nothing sent in clear text runs under TLS", RFC: "RFC 3207, section 4.2; CVE-2011-0411",
			Run: injected,
		}, {
			Name: "starttls/failed-handshake", Needs: NeedStartTLS,
			Rule: "after a failed handshake the connection is closed, not carried on in clear text", RFC: "RFC 8446, section 6.2; RFC 3207, section 4.1",
			Run: failedHandshake,
		}, {
			Name: "starttls/transaction-forgotten", Needs: NeedStartTLS | NeedPublic,
			Rule: "STARTTLS forgets the transaction", RFC: "RFC 3207, section 4.2",
			Run: func(c *Client) error {
				if err := c.Envelope(); err != nil {
					return err
				}
				r, err := c.Cmd("STARTTLS")
				if err != nil || r.Code != 220 {
					return ignoreEOF(err)
				}
				if err := c.Handshake(); err != nil {
					return err
				}
				if err := c.Ehlo(); err != nil {
					return err
				}
				return c.ask("DATA", refused)
			},
		}, {
			Name: "starttls/ehlo-forgotten", Needs: NeedStartTLS,
			Rule: "STARTTLS forgets the client's EHLO", RFC: "RFC 3207, section 4.2",
			Run: script("HELLO\nC: STARTTLS\nS: 220\nTLS\nC: MAIL FROM:<${sender}>\nS: " + refused),
		},
	}
}

// tls is a session under TLS; a server that does not offer it breaks the rule.
func (c *Client) tls() error {
	if err := c.Hello(); err != nil {
		return err
	}
	if _, ok := c.Offers("STARTTLS"); !ok {
		return errors.New("STARTTLS is not offered")
	}
	return c.StartTLS()
}

// injected sends commands in the same segment as STARTTLS, and counts the
// replies under TLS.
func injected(c *Client) error {
	if err := c.Hello(); err != nil {
		return err
	}
	if err := c.Write("STARTTLS\r\nNOOP injected\r\nNOOP injected\r\n"); err != nil {
		return err
	}
	r, err := c.Reply()
	if err != nil || r.Code != 220 {
		return ignoreEOF(err)
	}
	if err := c.Handshake(); err != nil {
		// Not taking it for a TLS record is as good.
		return nil
	}
	if err := c.Write("EHLO client.example\r\n"); err != nil {
		return err
	}
	r, err = c.Reply()
	if err != nil {
		return ignoreEOF(err)
	}
	if len(r.Lines) < 2 && r.Code == 250 {
		return fmt.Errorf("the first reply under TLS is not EHLO's: %q", r)
	}
	if err := c.Write("QUIT\r\n"); err != nil {
		return err
	}
	rest, err := c.Rest()
	if err != nil {
		return err
	}
	if len(rest) > 1 || len(rest) == 1 && rest[0].Code != 221 && rest[0].Code != 421 {
		return fmt.Errorf("more replies under TLS than commands: %q", rest)
	}
	return nil
}

// clearText is a line of a reply; it may follow a TLS alert, which is binary.
var clearText = regexp.MustCompile(`[2-5][0-9]{2}[ -][ -~]*\r\n`)

// failedHandshake answers 220 with something that is no ClientHello. The server
// may send a TLS alert, no line in clear text.
func failedHandshake(c *Client) error {
	if err := c.Hello(); err != nil {
		return err
	}
	if err := c.ask("STARTTLS", "220"); err != nil {
		return err
	}
	if err := c.Write("EHLO client.example\r\nMAIL FROM:<" + c.server.Sender + ">\r\n"); err != nil {
		return err
	}
	c.conn.SetReadDeadline(time.Now().Add(c.server.Timeout))
	var got bytes.Buffer
	chunk := make([]byte, 4096)
	sent := false
	for {
		n, err := c.r.Read(chunk)
		got.Write(chunk[:n])
		if n > 0 && !sent {
			// The alert is here; does it listen?
			sent = true
			if err := c.write("NOOP\r\n"); err != nil {
				return err
			}
		}
		if at := clearText.FindIndex(got.Bytes()); at != nil {
			return fmt.Errorf("in clear text after the failed handshake: %s", quote(got.String()[at[0]:]))
		}
		if err == io.EOF || hungUp(err) {
			c.note("S: EOF")
			return nil
		}
		if err != nil {
			return fmt.Errorf("the connection stays open after the failed handshake: %w", err)
		}
	}
}
