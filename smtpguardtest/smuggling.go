package smtpguardtest

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// The parts of a false end of data: what may stand before and after its dot.
// All but CRLF on both sides are text, or not allowed at all.
var (
	beforeDot = []string{"\r", "\n", "\r\n", "\r\r", "\n\r", "\r\n\x00", "\x00"}
	afterDot  = []string{"\r", "\n", "\r\n", "\r\r\n", "\n\r", "\x00\r\n", "\x00"}
)

const endOfData = "\r\n.\r\n"

// endings are all false ends of data.
func endings() []string {
	var all []string
	for _, before := range beforeDot {
		for _, after := range afterDot {
			if seq := before + "." + after; seq != endOfData {
				all = append(all, seq)
			}
		}
	}
	return all
}

// octetNames writes line ends in words, the dot as itself.
var octetNames = strings.NewReplacer("\r\n", "-CRLF-", "\r", "-CR-", "\n", "-LF-", "\x00", "-NUL-", ".", "-.-")

func sequenceName(seq string) string {
	name := strings.Trim(strings.ReplaceAll(octetNames.Replace(seq), "--", "+"), "-")
	return strings.NewReplacer("+.+", ".", "-.-", ".").Replace(name)
}

func smugglingCases() []Case {
	var cases []Case
	for _, seq := range endings() {
		cases = append(cases, EndOfData(sequenceName(seq), seq)...)
	}
	cases = append(cases, bdatHolds(sequenceName(endOfData), endOfData))
	for _, octets := range []struct{ name, text string }{
		{"CR", "a\rb"}, {"LF", "a\nb"}, {"NUL", "a\x00b"}, {"CR-at-end", "a\r\r\n"}, {"LF-LF", "a\n\nb"},
	} {
		cases = append(cases, passedOn("data/"+octets.name, "DATA", octets.text), passedOn("bdat/"+octets.name, "BDAT", octets.text))
	}
	return append(append(cases, abortCases()...), bdatCases()...)
}

// EndOfData returns the cases that hide a second transaction behind octets
// that a server must not take for the end of data.
func EndOfData(name, octets string) []Case {
	return []Case{
		{
			Name: "smuggling/data/" + name,
			Rule: "only CRLF.CRLF ends DATA, and nothing before it is a command",
			RFC:  "RFC 5321, sections 2.3.8 and 4.1.1.4",
			Run: func(c *Client) error {
				if err := c.Envelope(); err != nil {
					return err
				}
				if err := c.ask("DATA", "354"); err != nil {
					return err
				}
				if err := c.Write(c.Content("first"+octets+c.hidden()) + endOfData + "QUIT\r\n"); err != nil {
					return err
				}
				return c.oneMessage()
			},
		},
		bdatHolds(name, octets),
		passedOn("data/"+name, "DATA", "first"+octets+"second"),
		passedOn("bdat/"+name, "BDAT", "first"+octets+"second"),
	}
}

func bdatHolds(name, octets string) Case {
	return Case{
		Name: "smuggling/bdat/" + name,
		Rule: "a BDAT chunk ends after its count of octets, and none of them is a command",
		RFC:  "RFC 3030, section 2",
		Run: func(c *Client) error {
			if err := c.chunking(); err != nil {
				return err
			}
			content := c.Content("first" + octets + c.hidden() + "\r\n")
			if err := c.Write(fmt.Sprintf("BDAT %d LAST\r\n%sQUIT\r\n", len(content), content)); err != nil {
				return err
			}
			return c.oneMessage()
		},
	}
}

// chunking is Envelope on a server that offers BDAT.
func (c *Client) chunking() error {
	if err := c.Envelope(); err != nil {
		return err
	}
	if _, ok := c.Offers("CHUNKING"); !ok {
		return Skip("the server does not offer CHUNKING")
	}
	return nil
}

// hidden is a transaction in the midst of a message.
func (c *Client) hidden() string {
	return c.variables().Replace("MAIL FROM:<${sender}>\r\nRCPT TO:<${rcpt}>\r\nDATA\r\n") + c.Content("hidden")
}

// oneMessage reads all that a server says to one message and QUIT. It may refuse
// the message or take it, but do nothing else.
func (c *Client) oneMessage() error {
	replies, err := c.Rest()
	if err != nil {
		return err
	}
	if len(replies) == 0 {
		return c.undelivered(0, 0)
	}
	first, rest := replies[0], replies[1:]
	if first.Class() == 3 {
		return fmt.Errorf("the message was answered %q", first)
	}
	for _, r := range rest {
		if r.Code != 221 && r.Code != 421 {
			return fmt.Errorf("after the message's reply the server ran what followed: %q", r)
		}
	}
	if first.Class() != 2 {
		return c.undelivered(0, 0)
	}
	if c.server.Target.Delivered == nil {
		return nil
	}
	got := c.Delivered()
	if len(got) != 1 {
		return fmt.Errorf("%d messages were delivered; one was sent and accepted", len(got))
	}
	if m := got[0]; m.From != c.server.Sender || len(m.To) != 1 || m.To[0] != c.server.Recipient {
		return fmt.Errorf("the message was delivered from <%s> to %q", m.From, m.To)
	}
	return nil
}

// passedOn sends octets that the next hop might take for an end of data.
func passedOn(name, verb, text string) Case {
	return Case{
		Name:  "smuggling/passed-on/" + name,
		Rule:  "bare CR, bare LF and NUL are refused or mended, never passed on",
		RFC:   "RFC 5321, section 2.3.8; RFC 5322, section 2.3",
		Needs: NeedDelivered | NeedStrict,
		Run: func(c *Client) error {
			begin := c.Envelope
			if verb == "BDAT" {
				begin = c.chunking
			}
			if err := begin(); err != nil {
				return err
			}
			if err := c.message(verb, c.Content(text)); err != nil {
				return err
			}
			r, err := c.Reply()
			if err != nil && !hungUp(err) {
				return err
			}
			if r.Class() != 2 {
				return c.undelivered(0, 0)
			}
			for _, m := range c.Delivered() {
				if bad := bare(m.Data); bad != "" {
					return fmt.Errorf("%s was passed on: %s", bad, quote(string(m.Data)))
				}
			}
			return nil
		},
	}
}

// message sends a message whole, by DATA or by BDAT, and leaves its reply unread.
func (c *Client) message(verb, content string) error {
	if verb == "BDAT" {
		content += "\r\n"
		return c.Write(fmt.Sprintf("BDAT %d LAST\r\n%s", len(content), content))
	}
	if err := c.ask("DATA", "354"); err != nil {
		return err
	}
	return c.Write(content + endOfData)
}

// bare names an octet that has no business in a message, if there is one.
func bare(data []byte) string {
	rest := bytes.ReplaceAll(data, []byte("\r\n"), nil)
	switch {
	case bytes.IndexByte(data, 0) >= 0:
		return "NUL"
	// Octets that were apart before CRLFs were taken out are still bare.
	case bytes.IndexByte(rest, '\r') >= 0:
		return "a bare CR"
	case bytes.IndexByte(rest, '\n') >= 0:
		return "a bare LF"
	}
	return ""
}

// abortCases are about a message or a session that ends before its time.
func abortCases() []Case {
	var cases []Case
	for _, verb := range []string{"DATA", "BDAT"} {
		begin, first := (*Client).Envelope, func(c *Client) error {
			if err := c.ask("DATA", "354"); err != nil {
				return err
			}
			return c.Write(c.Content("cut "))
		}
		if verb == "BDAT" {
			begin, first = (*Client).chunking, func(c *Client) error {
				return c.Write("BDAT 100000 LAST\r\n" + c.Content("cut "))
			}
		}
		cases = append(cases,
			Case{
				Name:  "smuggling/timeout/" + strings.ToLower(verb),
				Rule:  "after a body's timeout the rest of the body is never run as commands",
				RFC:   "RFC 5321, sections 4.1.1.4 and 4.5.3.2.7",
				Needs: NeedSilence,
				Run: func(c *Client) error {
					if err := begin(c); err != nil {
						return err
					}
					if err := first(c); err != nil {
						return err
					}
					time.Sleep(c.server.Silence + c.server.Silence/2)
					if err := c.Write("\r\n" + c.hidden() + endOfData + "QUIT\r\n"); err != nil {
						return err
					}
					if verb == "BDAT" {
						// A server that still waits for its chunk gets no more of it.
						if err := c.HalfClose(); err != nil {
							return err
						}
					}
					return c.cutShort()
				},
			},
			Case{
				Name: "smuggling/half-close/" + strings.ToLower(verb),
				Rule: "a message cut short is never accepted",
				RFC:  "RFC 5321, section 4.1.1.4; RFC 3030, section 2",
				Run: func(c *Client) error {
					if err := begin(c); err != nil {
						return err
					}
					if err := first(c); err != nil {
						return err
					}
					if err := c.HalfClose(); err != nil {
						return err
					}
					return c.cutShort()
				},
			})
	}
	return append(cases, Case{
		Name: "smuggling/long-line",
		Rule: "after a line that is too long the rest of the body is never run as commands",
		RFC:  "RFC 5321, sections 4.1.1.4 and 4.5.3.1.6",
		Run: func(c *Client) error {
			if err := c.Envelope(); err != nil {
				return err
			}
			if err := c.ask("DATA", "354"); err != nil {
				return err
			}
			line := strings.Repeat("x", 100_000)
			if err := c.Write(c.Content(line+"\r\n"+c.hidden()) + endOfData + "QUIT\r\n"); err != nil {
				return err
			}
			return c.cutShort()
		},
	}, Case{
		Name: "smuggling/quit",
		Rule: "nothing runs after QUIT",
		RFC:  "RFC 5321, section 4.1.1.10",
		Run: func(c *Client) error {
			if err := c.Ready(); err != nil {
				return err
			}
			ehlo := "EHLO client.example\r\n"
			if c.server.LMTP {
				ehlo = "LHLO client.example\r\n"
			}
			if err := c.Write("QUIT\r\n" + ehlo + c.hidden() + endOfData); err != nil {
				return err
			}
			replies, err := c.Rest()
			if err != nil {
				return err
			}
			if len(replies) > 1 {
				return fmt.Errorf("after QUIT the server said %q", replies[1])
			}
			return c.undelivered(0, settle)
		},
	})
}

// cutShort reads what a server says to a message that it must not accept: no
// success but QUIT's, no delivery.
func (c *Client) cutShort() error {
	replies, err := c.Rest()
	if err != nil {
		return err
	}
	for _, r := range replies {
		if r.Class() < 4 && r.Code != 221 {
			return fmt.Errorf("a message not to be accepted was followed by %q", r)
		}
	}
	return c.undelivered(0, settle)
}
