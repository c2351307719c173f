package smtpguardtest

import (
	"fmt"
	"io"
)

// floodCases are clients that get nowhere, fast: each command is cheap to send,
// and a server that answers for ever gives its time and its address book away.
func floodCases() []Case {
	var cases []Case
	for _, wire := range []struct {
		name  string
		needs Need
		open  func(*Client) error
	}{
		{"", 0, (*Client).Ready},
		{"tls/", NeedStartTLS, func(c *Client) error {
			if err := c.Secure(); err != nil || !c.server.Submission {
				return err
			}
			return c.Login()
		}},
	} {
		for _, f := range []struct {
			name, before, line string
			needs              Need
			may                int // class of a reply by which the server says that this is no flood
		}{
			{name: "NOOP", line: "NOOP"},
			{name: "RSET", line: "RSET"},
			{name: "VRFY", line: "VRFY ${rcpt}"},
			{name: "EXPN", line: "EXPN staff"},
			{name: "HELP", line: "HELP"},
			{name: "EHLO", line: "EHLO client.example", needs: NeedSMTP},
			{name: "unknown", line: "XYZZY"},
			{name: "empty", line: ""},
			{name: "bad-sequence", line: "DATA"},
			{name: "bad-syntax", line: "MAIL FROM:sender"},
			{name: "failed-rcpt", before: "C: MAIL FROM:<${sender}>\nS: 250", line: "RCPT TO:<${foreign}>", needs: NeedForeign | NeedPublic},
			{name: "transactions", line: "MAIL FROM:<${sender}>\r\nRSET"},
			{name: "empty-chunks", before: "C: MAIL FROM:<${sender}>\nS: 250\nC: RCPT TO:<${rcpt}>\nS: 250", line: "BDAT 0"},
		} {
			cases = append(cases, Case{
				Name: "flood/" + wire.name + f.name, Needs: wire.needs | f.needs,
				Rule: "a client whose commands lead to no message is cut off with 421", RFC: "RFC 5321, sections 4.3.2 and 7.8",
				Run: func(c *Client) error {
					if err := wire.open(c); err != nil {
						return err
					}
					if _, ok := c.Offers("CHUNKING"); !ok && f.name == "empty-chunks" {
						return Skip("the server does not offer CHUNKING")
					}
					if f.before != "" {
						if err := c.Play(f.before); err != nil {
							return err
						}
					}
					return c.flood(c.variables().Replace(f.line))
				},
			})
		}
	}
	return cases
}

// flood sends a line until the server has enough.
func (c *Client) flood(line string) error {
	start := len(c.log)
	for n := 1; n <= c.server.Limits.Commands; n++ {
		r, err := c.Cmd(line)
		if err == io.EOF || err == nil && r.Code == 421 {
			return nil
		}
		if err != nil {
			return err
		}
		// One round is enough to read.
		if len(c.log) > start+20 {
			c.log = append(c.log[:start+4], fmt.Sprintf("# ... %d times", n))
		}
	}
	return fmt.Errorf("%d commands %q were answered, and the server still listens", c.server.Limits.Commands, line)
}
