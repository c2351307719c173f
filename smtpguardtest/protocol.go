package smtpguardtest

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// refused is what a server may say to what it must not do.
const refused = "4xx|5xx|EOF"

func protocolCases() []Case {
	cases := []Case{
		{
			Name: "protocol/nested-mail",
			Rule: "MAIL in a transaction is answered 503", RFC: "RFC 5321, section 4.1.4",
			Run: script("READY\nC: MAIL FROM:<${sender}>\nS: 250\nC: MAIL FROM:<${sender}>\nS: 503|421|EOF"),
		}, {
			Name: "protocol/nested-mail-with-recipients",
			Rule: "MAIL in a transaction is answered 503", RFC: "RFC 5321, section 4.1.4",
			Run: script("READY\nC: MAIL FROM:<${sender}>\nS: 250\nC: RCPT TO:<${rcpt}>\nS: 250\nC: MAIL FROM:<${sender}>\nS: 503|421|EOF"),
		}, {
			Name: "protocol/mail-before-ehlo",
			Rule: "mail needs EHLO first", RFC: "RFC 5321, section 4.1.4",
			Run: script("S: 220\nC: MAIL FROM:<${sender}>\nS: " + refused),
		}, {
			Name: "protocol/rcpt-before-mail",
			Rule: "RCPT outside a transaction is refused", RFC: "RFC 5321, section 3.3",
			Run: script("READY\nC: RCPT TO:<${rcpt}>\nS: " + refused),
		}, {
			Name: "protocol/data-before-mail",
			Rule: "DATA without a recipient is refused", RFC: "RFC 5321, section 3.3",
			Run: script("READY\nC: DATA\nS: " + refused),
		}, {
			Name: "protocol/data-before-rcpt",
			Rule: "DATA without a recipient is refused", RFC: "RFC 5321, section 3.3",
			Run: script("READY\nC: MAIL FROM:<${sender}>\nS: 250\nC: DATA\nS: " + refused),
		}, {
			Name: "protocol/data-after-rset",
			Rule: "RSET forgets the transaction", RFC: "RFC 5321, section 4.1.1.5",
			Run: script("READY\nC: MAIL FROM:<${sender}>\nS: 250\nC: RCPT TO:<${rcpt}>\nS: 250\nC: RSET\nS: 250\nC: DATA\nS: " + refused),
		}, {
			Name: "protocol/data-after-ehlo",
			Rule: "EHLO forgets the transaction", RFC: "RFC 5321, section 4.1.4",
			Run: func(c *Client) error {
				if err := c.Envelope(); err != nil {
					return err
				}
				if err := c.Ehlo(); err != nil {
					return err
				}
				return c.ask("DATA", refused)
			},
		}, {
			Name: "protocol/ehlo-empty", Needs: NeedSMTP,
			Rule: "EHLO needs a name", RFC: "RFC 5321, section 4.1.1.1",
			Run: script("S: 220\nC: EHLO\nS: " + refused),
		}, {
			Name: "protocol/helo", Needs: NeedSMTP | NeedPublic,
			Rule: "HELO is understood", RFC: "RFC 5321, section 4.1.1.1",
			Run: script("S: 220\nC: HELO client.example\nS: 250\nC: QUIT\nS: 221\nS: EOF"),
		}, {
			Name: "protocol/postmaster", Needs: NeedSMTP | NeedPublic | NeedPlain,
			Rule: "postmaster is accepted without a domain", RFC: "RFC 5321, section 4.5.1",
			Run: script("HELLO\nC: MAIL FROM:<${sender}>\nS: 250\nC: RCPT TO:<postmaster>\nS: 250"),
		}, {
			Name: "protocol/quit",
			Rule: "QUIT is answered 221 and ends the session", RFC: "RFC 5321, section 4.1.1.10",
			Run: script("HELLO\nC: QUIT\nS: 221\nS: EOF"),
		}, {
			Name: "protocol/command-ends-at-LF",
			Rule: "only CRLF ends a command", RFC: "RFC 5321, section 2.3.8",
			Run: script("HELLO\nC! \"NOOP\\nNOOP\\r\\n\"\nS: " + refused),
		}, {
			Name: "protocol/command-ends-at-CR",
			Rule: "only CRLF ends a command", RFC: "RFC 5321, section 2.3.8",
			Run: script("HELLO\nC! \"RSET\\rNOOP\\r\\n\"\nS: " + refused),
		},
	}
	for _, name := range []struct{ name, octets string }{
		{"NUL", "a\x00b.example"}, {"ESC", "a\x1b[31mb.example"}, {"DEL", "a\x7fb.example"}, {"CR", "a\rb.example"},
	} {
		cases = append(cases, Case{
			Name: "protocol/ehlo-" + name.name, Needs: NeedSMTP,
			Rule: "a name with control characters is refused", RFC: "RFC 5321, section 4.1.1.1",
			Run: script(fmt.Sprintf("S: 220\nC! %q\nS: %s", "EHLO "+name.octets+"\r\n", refused)),
		})
	}
	cases = append(cases, addressCases()...)
	cases = append(cases, pipeliningCases()...)
	return append(cases, honestCases()...)
}

// addressCases are about octets that no address may hold.
func addressCases() []Case {
	var cases []Case
	for _, verb := range []struct{ name, before, domain string }{
		{"mail", "READY\nC! \"MAIL FROM:<", "client.example"},
		{"rcpt", "READY\nC: MAIL FROM:<${sender}>\nS: 250\nC! \"RCPT TO:<", "${domain}"},
	} {
		for _, char := range []struct{ name, octet string }{{"NUL", `\x00`}, {"ESC", `\x1b`}, {"DEL", `\x7f`}, {"CR", `\r`}, {"LF", `\n`}} {
			for _, at := range []struct{ name, addr string }{
				{"local", "a" + char.octet + "b@" + verb.domain},
				{"quoted", `\"a` + char.octet + `b\"@` + verb.domain},
				{"domain", "ab@" + verb.domain + char.octet},
			} {
				cases = append(cases, Case{
					Name: "protocol/" + verb.name + "-" + char.name + "-" + at.name,
					Rule: "an address with control characters is refused", RFC: "RFC 5321, section 4.1.2",
					Run: script(verb.before + at.addr + ">\\r\\n\"\nS: " + refused),
				})
			}
		}
		for _, at := range []struct{ name, addr string }{{"local", "jörg@" + verb.domain}, {"domain", "jorg@ö." + verb.domain}, {"not-UTF-8", `j\xf6rg@` + verb.domain}} {
			cases = append(cases, Case{
				Name: "protocol/" + verb.name + "-non-ASCII-" + at.name,
				Rule: "an address that is not ASCII is refused where MAIL did not say SMTPUTF8", RFC: "RFC 6531, section 3.2",
				Run: script(verb.before + at.addr + ">\\r\\n\"\nS: " + refused),
			})
		}
	}
	return cases
}

// pipeliningCases are about clients that do not wait where they must.
func pipeliningCases() []Case {
	var cases []Case
	for _, wire := range []struct {
		name  string
		needs Need
		start func(*Client) error
	}{
		{"", 0, func(c *Client) error { return c.expect("220") }},
		{"-under-tls", NeedStartTLS | NeedPublic, func(c *Client) error {
			if err := c.Hello(); err != nil {
				return err
			}
			return c.Play("C: STARTTLS\nS: 220\nTLS")
		}},
	} {
		cases = append(cases, Case{
			Name: "protocol/pipelined-ehlo" + wire.name, Needs: wire.needs | NeedSMTP | NeedPublic,
			Rule: "what is sent behind EHLO in one group is refused", RFC: "RFC 2920, section 3.1",
			Run: func(c *Client) error {
				if err := wire.start(c); err != nil {
					return err
				}
				if err := c.Write("EHLO client.example\r\nMAIL FROM:<" + c.server.Sender + ">\r\n"); err != nil {
					return err
				}
				r, err := c.Reply()
				if err != nil || r.Class() != 2 {
					return ignoreEOF(err)
				}
				return c.expect(refused)
			},
		}, Case{
			Name: "protocol/pipelined-data" + wire.name, Needs: wire.needs | NeedPublic,
			Rule: "a message sent behind DATA before its 354 is refused", RFC: "RFC 2920, section 3.1",
			Run: func(c *Client) error {
				if err := wire.start(c); err != nil {
					return err
				}
				if err := c.Ehlo(); err != nil {
					return err
				}
				if err := c.Play("C: MAIL FROM:<${sender}>\nS: 250\nC: RCPT TO:<${rcpt}>\nS: 250"); err != nil {
					return err
				}
				if err := c.Write("DATA\r\n" + c.Content("unasked") + endOfData); err != nil {
					return err
				}
				r, err := c.Reply()
				if err == nil && r.Code == 354 {
					r, err = c.Reply()
				}
				if err == nil && r.Class() == 2 {
					return fmt.Errorf("the message was answered %q", r)
				}
				return ignoreEOF(err)
			},
		})
	}
	for _, wait := range []struct {
		name  string
		share time.Duration
	}{{"at-once", 0}, {"midway", 2}} {
		cases = append(cases, Case{
			Name: "protocol/early-talk-" + wait.name, Needs: NeedPreGreeting | NeedPlain,
			Rule: "a client that talks before the banner is refused", RFC: "RFC 5321, section 3.1",
			Run: func(c *Client) error {
				if err := c.Connect(); err != nil {
					return err
				}
				if wait.share > 0 {
					time.Sleep(c.server.PreGreeting / wait.share)
				}
				return c.Play("C: EHLO client.example\nS: " + refused)
			},
		})
	}
	return cases
}

// honestCases are mail as it should be: a server that refuses all passes every
// other case.
func honestCases() []Case {
	const rule = "honest mail is accepted, and its body delivered as it was sent"
	var cases []Case
	for _, m := range []struct{ name, body, wire string }{
		{"text", "Hello.", "Hello."},
		{"dots", ".\r\n..\r\n.x\r\nx.\r\n", "..\r\n...\r\n..x\r\nx.\r\n"},
		{"empty-lines", "\r\n\r\nx\r\n\r\n", "\r\n\r\nx\r\n\r\n"},
		{"longest-line", strings.Repeat("x", 998), strings.Repeat("x", 998)},
		{"8-bit", "Gr\xc3\xbc\xc3\x9fe\xff", "Gr\xc3\xbc\xc3\x9fe\xff"},
		{"many-lines", strings.Repeat("a line of text\r\n", 5000), strings.Repeat("a line of text\r\n", 5000)},
	} {
		for _, verb := range []string{"DATA", "BDAT"} {
			cases = append(cases, Case{
				Name: "protocol/honest-" + strings.ToLower(verb) + "-" + m.name,
				Rule: rule, RFC: "RFC 5321, sections 4.5.2 and 4.5.3.1; RFC 3030, section 2",
				Run: func(c *Client) error {
					begin, wire := c.Envelope, m.wire
					if verb == "BDAT" {
						begin, wire = c.chunking, m.body
					}
					if err := begin(); err != nil {
						return err
					}
					if err := c.message(verb, c.Content(wire)); err != nil {
						return err
					}
					if err := c.Play("S: 250\nC: QUIT\nS: 221\nS: EOF"); err != nil {
						return err
					}
					return c.arrived(m.body + "\r\n")
				},
			})
		}
	}
	return append(cases, Case{
		Name: "protocol/honest-pipelining",
		Rule: rule, RFC: "RFC 2920, section 3.1",
		Run: func(c *Client) error {
			if err := c.Ready(); err != nil {
				return err
			}
			if _, ok := c.Offers("PIPELINING"); !ok {
				return Skip("the server does not offer PIPELINING")
			}
			group := c.variables().Replace("MAIL FROM:<${sender}>\r\nRCPT TO:<${rcpt}>\r\nDATA\r\n")
			if err := c.Write("RSET\r\n" + group); err != nil {
				return err
			}
			if err := c.Play("S: 250\nS: 250\nS: 250\nS: 354"); err != nil {
				return err
			}
			if err := c.Write(c.Content("first") + endOfData + group); err != nil {
				return err
			}
			if err := c.Play("S: 250\nS: 250\nS: 250\nS: 354"); err != nil {
				return err
			}
			if err := c.Write(c.Content("first") + endOfData + "QUIT\r\n"); err != nil {
				return err
			}
			if err := c.Play("S: 250\nS: 221\nS: EOF"); err != nil {
				return err
			}
			return c.arrived("first\r\n", "first\r\n")
		},
	}, Case{
		Name: "protocol/honest-null-reverse-path", Needs: NeedPublic,
		Rule: "a message with a null reverse-path is accepted", RFC: "RFC 5321, sections 4.5.5 and 6.1",
		Run: script("HELLO\nC: MAIL FROM:<>\nS: 250\nC: RCPT TO:<${rcpt}>\nS: 250\nC: QUIT\nS: 221"),
	})
}

// arrived checks the bodies of all that was delivered of this client's mail.
func (c *Client) arrived(bodies ...string) error {
	if c.server.Target.Delivered == nil {
		return nil
	}
	got := c.Delivered()
	if len(got) != len(bodies) {
		return fmt.Errorf("%d messages were accepted, %d were delivered", len(bodies), len(got))
	}
	for i, want := range bodies {
		_, body, _ := bytes.Cut(got[i].Data, []byte("\r\n\r\n"))
		if string(body) != want {
			return fmt.Errorf("sent the body %s, delivered was %s", quote(want), quote(string(body)))
		}
	}
	return nil
}
