package smtpguardtest

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxSizeTried bounds what a case sends to get over a server's limit.
const maxSizeTried = 64 << 20

func sizeCases() []Case {
	cases := []Case{
		{
			Name: "size/advertised",
			Rule: "a server has a maximum message size, and says so", RFC: "RFC 1870, sections 3 and 6; RFC 5321, section 4.5.3.1.7",
			Run: func(c *Client) error { _, err := c.size(); return err },
		}, {
			Name: "size/declared",
			Rule: "MAIL with a SIZE over the maximum is refused", RFC: "RFC 1870, section 6.1",
			Run: func(c *Client) error {
				size, err := c.size()
				if err != nil {
					return Skip("no maximum message size is advertised")
				}
				return c.ask(fmt.Sprintf("MAIL FROM:<%s> SIZE=%d", c.server.Sender, size+1), refused)
			},
		}, {
			Name: "size/declared-absurd",
			Rule: "a SIZE that fits no number is refused", RFC: "RFC 1870, section 6.1",
			Run: script("READY\nC: MAIL FROM:<${sender}> SIZE=99999999999999999999\nS: " + refused),
		}, {
			Name: "size/message",
			Rule: "a message over the maximum is refused, and no part of it runs", RFC: "RFC 1870, section 6.3",
			Run: func(c *Client) error { return c.oversize("DATA") },
		}, {
			Name: "size/message-bdat",
			Rule: "a message over the maximum is refused, and no part of it runs", RFC: "RFC 1870, section 6.3; RFC 3030, section 2",
			Run: func(c *Client) error { return c.oversize("BDAT") },
		}, {
			Name: "size/recipients",
			Rule: "the number of recipients has a limit", RFC: "RFC 5321, sections 4.5.3.1.8 and 4.5.3.1.10",
			Run: manyRecipients,
		}, {
			Name: "size/hundred-recipients",
			Rule: "a hundred recipients are buffered", RFC: "RFC 5321, section 4.5.3.1.8",
			Run: func(c *Client) error {
				if err := c.Envelope(); err != nil {
					return err
				}
				for range 99 {
					if err := c.Play("C: RCPT TO:<${rcpt}>\nS: 250"); err != nil {
						return err
					}
				}
				return nil
			},
		},
	}
	for _, line := range []struct {
		name, octets, rfc string
		needs             Need
	}{
		{"command-line", `"NOOP " "x" * 100000 "\r\n"`, "4.5.3.1.4 and 4.5.3.1.9", 0},
		{"endless-line", `"x" * 2000000 "\r\n"`, "4.5.3.1.4 and 4.5.3.1.9", 0},
		{"reverse-path", `"MAIL FROM:<" "x" * 1000 "@client.example>\r\n"`, "4.5.3.1.3", 0},
		{"reverse-path-domain", `"MAIL FROM:<x@" "a." * 500 "example>\r\n"`, "4.5.3.1.2 and 4.5.3.1.3", 0},
	} {
		cases = append(cases, Case{
			Name: "size/" + line.name, Rule: "what is far too long is refused", RFC: "RFC 5321, section " + line.rfc,
			Needs: line.needs,
			Run:   script("READY\nC! " + line.octets + "\nS: " + refused),
		})
	}
	cases = append(cases, Case{
		Name: "size/ehlo-name", Rule: "what is far too long is refused", RFC: "RFC 5321, section 4.5.3.1.2",
		Needs: NeedSMTP,
		Run:   script("S: 220\nC! \"EHLO \" \"a.\" * 1000 \"example\\r\\n\"\nS: " + refused),
	}, Case{
		Name: "size/forward-path", Rule: "what is far too long is refused", RFC: "RFC 5321, section 4.5.3.1.3",
		Run: script("READY\nC: MAIL FROM:<${sender}>\nS: 250\nC! \"RCPT TO:<\" \"x\" * 1000 \"@${domain}>\\r\\n\"\nS: " + refused),
	})
	for _, m := range []struct {
		name, rule, rfc string
		header, body    func() string
	}{
		{name: "header-field", rule: "a header field of 1 MiB is refused", rfc: "RFC 5322, section 2.1.1",
			header: func() string { return "X-Long: x\r\n" + strings.Repeat(" "+strings.Repeat("x", 69)+"\r\n", 1<<20/72) }},
		{name: "header-section", rule: "a header section of 4 MiB is refused", rfc: "RFC 5321, section 7.8",
			header: func() string { return strings.Repeat("X-Many: "+strings.Repeat("x", 900)+"\r\n", 4<<20/910) }},
		{name: "header-fields", rule: "a header section of 20,000 fields is refused", rfc: "RFC 5321, section 7.8",
			header: func() string { return strings.Repeat("X: y\r\n", 20000) }},
		{name: "header-line", rule: "a header line of 100,000 octets is refused", rfc: "RFC 5322, section 2.1.1",
			header: func() string { return "X-Long: " + strings.Repeat("x", 100000) + "\r\n" }},
		{name: "body-line", rule: "a body line of 100,000 octets is refused", rfc: "RFC 5321, section 4.5.3.1.6",
			body: func() string { return strings.Repeat("x", 100000) }},
		{name: "received-loop", rule: "a message that was received 101 times is refused", rfc: "RFC 5321, section 6.3",
			header: func() string {
				return strings.Repeat("Received: from a.example by b.example; Mon, 1 Jan 2024 00:00:00 +0000\r\n", 101)
			}},
	} {
		for _, verb := range []string{"DATA", "BDAT"} {
			name := "size/" + m.name
			if verb == "BDAT" {
				name += "-bdat"
			}
			cases = append(cases, Case{Name: name, Rule: m.rule, RFC: m.rfc, Run: func(c *Client) error {
				begin, content := c.Envelope, c.Content("text")
				if verb == "BDAT" {
					begin = c.chunking
				}
				if m.header != nil {
					content = m.header() + content
				}
				if m.body != nil {
					content += "\r\n" + m.body()
				}
				if err := begin(); err != nil {
					return err
				}
				if err := c.message(verb, content); err != nil {
					return err
				}
				return c.expect(refused)
			}})
		}
	}
	return cases
}

// size opens a session and returns the maximum message size it states.
func (c *Client) size() (int64, error) {
	if err := c.Ready(); err != nil {
		return 0, err
	}
	params, ok := c.Offers("SIZE")
	if !ok {
		return 0, errors.New("SIZE is not offered")
	}
	size, err := strconv.ParseInt(params, 10, 64)
	if err != nil || size <= 0 {
		return 0, fmt.Errorf("SIZE is offered without a maximum: %q", params)
	}
	return size, nil
}

// oversize sends more than the maximum, commands among it.
func (c *Client) oversize(verb string) error {
	size, err := c.size()
	if err != nil {
		return Skip("no maximum message size is advertised")
	}
	if size > maxSizeTried {
		return Skip(fmt.Sprintf("a maximum of %d octets is too large to try", size))
	}
	if _, ok := c.Offers("CHUNKING"); !ok && verb == "BDAT" {
		return Skip("the server does not offer CHUNKING")
	}
	if err := c.Play("C: MAIL FROM:<${sender}>\nS: 250\nC: RCPT TO:<${rcpt}>\nS: 250"); err != nil {
		return err
	}
	const line = 72
	content := c.Content(strings.Repeat(strings.Repeat("x", line-2)+"\r\n", int(size/line)+1) + "\n.\n" + c.hidden())
	if err := c.message(verb, content); err != nil {
		return err
	}
	if err := c.Send("QUIT"); err != nil {
		return err
	}
	replies, err := c.Rest()
	if err != nil {
		return err
	}
	for i, r := range replies {
		if r.Class() < 4 && r.Code != 221 || i > 0 && r.Code != 221 && r.Code != 421 {
			return fmt.Errorf("a message over the maximum was followed by %q", r)
		}
	}
	return c.undelivered(0, 0)
}

// manyRecipients asks for recipients until one is refused.
func manyRecipients(c *Client) error {
	if err := c.Envelope(); err != nil {
		return err
	}
	start := len(c.log)
	at := strings.LastIndexByte(c.server.Recipient, '@')
	for n := range c.server.Limits.Recipients + 1 {
		r, err := c.Cmd("RCPT TO:<" + c.server.Recipient[:at] + "@" + c.server.domain() + ">")
		if err == io.EOF || err == nil && r.Class() != 2 {
			return nil
		}
		if err != nil {
			return err
		}
		if len(c.log) > start+20 {
			c.log = append(c.log[:start+4], fmt.Sprintf("# ... %d times", n))
		}
	}
	return fmt.Errorf("over %d recipients were accepted", c.server.Limits.Recipients)
}
