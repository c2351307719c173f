package smtpguardtest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// slowPoint is a point of a session at which a client can be silent or slow.
type slowPoint struct {
	name  string
	needs Need
	reach func(*Client) error
}

var slowPoints = []slowPoint{
	{"banner", 0, func(c *Client) error { return c.expect("220") }},
	{"ehlo", 0, (*Client).Hello},
	{"command", 0, func(c *Client) error {
		if err := c.Hello(); err != nil {
			return err
		}
		return c.Write("NOOP ")
	}},
	{"mail", 0, (*Client).Envelope},
	{"data", 0, func(c *Client) error {
		if err := c.Envelope(); err != nil {
			return err
		}
		if err := c.ask("DATA", "354"); err != nil {
			return err
		}
		return c.Write(c.Content("slow "))
	}},
	{"bdat", 0, func(c *Client) error {
		if err := c.chunking(); err != nil {
			return err
		}
		return c.Write("BDAT 100000 LAST\r\n" + c.Content("slow "))
	}},
	{"auth", NeedLogin, func(c *Client) error {
		if err := c.Secure(); err != nil {
			return err
		}
		return c.ask("AUTH PLAIN", "334")
	}},
	{"tls-handshake", NeedStartTLS, func(c *Client) error {
		if err := c.Hello(); err != nil {
			return err
		}
		return c.ask("STARTTLS", "220")
	}},
}

// slowCases are clients that get nowhere, slowly: each holds a connection that
// somebody else needs.
func slowCases() []Case {
	var cases []Case
	for _, p := range slowPoints {
		cases = append(cases, Case{
			Name: "slow/silent-" + p.name, Needs: p.needs | NeedSilence,
			Rule: "a silent client is hung up on after the server's timeout", RFC: "RFC 5321, section 4.5.3.2.7",
			Run: func(c *Client) error {
				if err := p.reach(c); err != nil {
					return err
				}
				return c.hangsUp(0, 4*c.server.Silence)
			},
		})
		if p.name == "banner" || p.name == "ehlo" || p.name == "mail" || p.name == "tls-handshake" {
			continue // to dribble there is to dribble a command, or no TLS
		}
		cases = append(cases, Case{
			Name: "slow/dribble-" + p.name, Needs: p.needs | NeedDribble,
			Rule: "a client that sends an octet now and then is hung up on, too", RFC: "RFC 5321, section 7.8",
			Run: func(c *Client) error {
				if err := p.reach(c); err != nil {
					return err
				}
				return c.hangsUp(c.server.Dribble/16, 2*c.server.Dribble)
			},
		})
	}
	return cases
}

// hangsUp waits until the server hangs up, at most for most and half a reply's
// timeout, and sends an octet every now and then unless every is 0.
func (c *Client) hangsUp(every, most time.Duration) error {
	most += c.server.Timeout / 2
	end := time.Now().Add(most)
	if every > 0 {
		c.note(fmt.Sprintf("C! \"x\" every %v", every))
	}
	for time.Now().Before(end) {
		next := end
		if every > 0 {
			if err := c.write("x"); err != nil {
				return err
			}
			next = time.Now().Add(every)
		}
		c.conn.SetReadDeadline(next)
		octets, err := c.r.ReadSlice('\n')
		if len(octets) > 0 {
			c.note("S: " + string(octets))
		}
		switch {
		case err == nil, errors.Is(err, os.ErrDeadlineExceeded):
		case hungUp(err):
			return nil
		case err == io.ErrNoProgress:
			return err
		}
	}
	return fmt.Errorf("the connection was still open after %v", most)
}
