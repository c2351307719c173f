package smtpguardtest

import (
	"fmt"
	"strings"
	"time"
)

// bdatRounds is how often a message follows an aborted one: what an answer
// meant for the first does to the second is a matter of timing.
const bdatRounds = 5

// bdatPause is a while in which the first message's end can overtake the second.
const bdatPause = 10 * time.Millisecond

func bdatCases() []Case {
	return []Case{
		{
			Name: "smuggling/bdat-rset",
			Rule: "RSET between chunks drops that message, and the next message has a result of its own",
			RFC:  "RFC 3030, section 2; RFC 5321, section 4.1.1.5",
			Run:  afterReset,
		},
		{
			Name: "smuggling/bdat-refused",
			Rule: "the chunk of a refused BDAT is discarded, not run",
			RFC:  "RFC 3030, section 2",
			Run: func(c *Client) error {
				if err := c.Ready(); err != nil {
					return err
				}
				if _, ok := c.Offers("CHUNKING"); !ok {
					return Skip("the server does not offer CHUNKING")
				}
				chunk := strings.Repeat("NOOP\r\n", 3)
				return c.Play(fmt.Sprintf("C! %q\nS: 4xx|5xx\nC: QUIT\nS: 221|421|EOF", fmt.Sprintf("BDAT %d LAST\r\n%s", len(chunk), chunk)))
			},
		},
		{
			Name: "smuggling/bdat-data",
			Rule: "DATA is refused once a transaction has used BDAT",
			RFC:  "RFC 3030, section 2",
			Run: func(c *Client) error {
				if err := c.chunking(); err != nil {
					return err
				}
				return c.Play("C! \"BDAT 6\\r\\nfirst \"\nS: 250\nC: DATA\nS: 5xx|421|EOF")
			},
		},
		{
			Name: "smuggling/bdat-size",
			Rule: "a BDAT whose count is no number is refused",
			RFC:  "RFC 3030, section 2",
			Run: func(c *Client) error {
				for _, size := range []string{"", "-1", "+6", "0x6", "6 FIRST", "99999999999999999999"} {
					if err := c.Connect(); err != nil {
						return err
					}
					if err := c.chunking(); err != nil {
						return err
					}
					if err := c.ask(strings.TrimSpace("BDAT "+size), "5xx|421|EOF"); err != nil {
						return err
					}
				}
				return nil
			},
		},
	}
}

// afterReset sends a message behind another that RSET cut off, and looks at what
// is said of it and at what is delivered.
func afterReset(c *Client) error {
	if err := c.chunking(); err != nil {
		return err
	}
	for range bdatRounds {
		dropped := c.Content("dropped")
		begin, end := c.Content("whole "), "message\r\n"
		if err := c.Write(fmt.Sprintf("BDAT %d\r\n%s", len(dropped), dropped)); err != nil {
			return err
		}
		if err := c.Play("S: 250\nC: RSET\nS: 250\nC: MAIL FROM:<${sender}>\nS: 250\nC: RCPT TO:<${rcpt}>\nS: 250"); err != nil {
			return err
		}
		if err := c.Write(fmt.Sprintf("BDAT %d\r\n%s", len(begin), begin)); err != nil {
			return err
		}
		if err := c.expect("250"); err != nil {
			return err
		}
		time.Sleep(bdatPause)
		if err := c.Write(fmt.Sprintf("BDAT %d LAST\r\n%s", len(end), end)); err != nil {
			return err
		}
		if err := c.Play("S: 250\nC: MAIL FROM:<${sender}>\nS: 250\nC: RCPT TO:<${rcpt}>\nS: 250"); err != nil {
			return err
		}
	}
	if c.server.Target.Delivered == nil {
		return nil
	}
	got := c.Delivered()
	for _, m := range got {
		if strings.Contains(string(m.Data), "dropped") {
			return fmt.Errorf("a message that RSET dropped was delivered: %s", quote(string(m.Data)))
		}
	}
	if len(got) != bdatRounds {
		return fmt.Errorf("%d messages were accepted, %d were delivered", bdatRounds, len(got))
	}
	return nil
}
