package smtpguardtest

import (
	"fmt"
	"strings"
)

// mustNot fails for a login that was accepted.
func mustNot(o scramOutcome, err error) error {
	if err != nil {
		return ignoreEOF(err)
	}
	if o.reply.Class() == 2 {
		return fmt.Errorf("the login was accepted: %q", o.reply)
	}
	return nil
}

func scramCases() []Case {
	const needs = NeedLogin
	right := func(c *Client) scramLogin {
		return scramLogin{mechanism: "SCRAM-SHA-256", user: c.server.User, password: c.server.Password}
	}
	const plus = "SCRAM-SHA-256-PLUS"
	var cases []Case
	add := func(name, offered string, needs Need, rule, rfc string, run func(*Client) error) {
		cases = append(cases, Case{Name: "auth/scram/" + name, Needs: needs, Rule: rule, RFC: rfc, Run: func(c *Client) error {
			if err := c.mechanism(offered); err != nil {
				return err
			}
			return run(c)
		}})
	}
	add("login", "SCRAM-SHA-256", needs, "the right proof is accepted, and the server gives its own", "RFC 5802, section 3; RFC 7677", func(c *Client) error {
		return accepted(c.scram(right(c)))
	})
	add("plus", plus, needs|NeedTLS, "the right proof, bound to the channel, is accepted", "RFC 5802, section 6; RFC 9266", func(c *Client) error {
		l, err := c.bound(right(c))
		if err != nil {
			return err
		}
		return accepted(c.scram(l))
	})
	add("wrong-password", "SCRAM-SHA-256", needs, "a wrong proof is refused", "RFC 5802, section 3", func(c *Client) error {
		l := right(c)
		l.password += "x"
		return mustNot(c.scram(l))
	})
	add("no-proof", "SCRAM-SHA-256", needs, "a proof cannot be left out", "RFC 5802, section 7", func(c *Client) error {
		l := right(c)
		l.final = "c=biws,r=x,p="
		return mustNot(c.scram(l))
	})
	add("authzid", "SCRAM-SHA-256", needs, "nobody acts for another", "RFC 5802, section 5.1; RFC 4422, section 3.4.1", func(c *Client) error {
		l := right(c)
		l.header = "n,a=somebody-else,"
		return mustNot(c.scram(l))
	})
	add("replay", "SCRAM-SHA-256", needs, "a proof is good for one exchange", "RFC 5802, section 5.1", func(c *Client) error {
		o, err := c.scram(right(c))
		if err := accepted(o, err); err != nil {
			return err
		}
		if err := c.Connect(); err != nil {
			return err
		}
		if err := c.Secure(); err != nil {
			return err
		}
		l := right(c)
		l.final = o.final
		return mustNot(c.scram(l))
	})
	add("downgrade", plus, needs|NeedTLS, "a client that can bind to the channel, and did not see that the server can, is refused", "RFC 5802, section 6", func(c *Client) error {
		l := right(c)
		l.header = "y,,"
		return mustNot(c.scram(l))
	})
	add("other-channel", plus, needs|NeedTLS, "a proof that is bound to another channel is refused", "RFC 5802, section 6", func(c *Client) error {
		l, err := c.bound(right(c))
		if err != nil {
			return err
		}
		l.data = make([]byte, len(l.data))
		return mustNot(c.scram(l))
	})
	add("no-channel", plus, needs|NeedTLS, "a -PLUS mechanism is bound to the channel", "RFC 5802, section 6", func(c *Client) error {
		l := right(c)
		l.mechanism = plus
		return mustNot(c.scram(l))
	})
	add("unknown-binding", plus, needs|NeedTLS, "a type of channel binding that is not known is refused", "RFC 5802, section 6", func(c *Client) error {
		l := right(c)
		l.mechanism, l.header = plus, "p=x-no-such,,"
		return mustNot(c.scram(l))
	})
	add("binding-without-plus", "SCRAM-SHA-256", needs|NeedTLS, "what is bound to the channel belongs to a -PLUS mechanism", "RFC 5802, section 6", func(c *Client) error {
		l, err := c.bound(right(c))
		if err != nil {
			return err
		}
		l.mechanism = "SCRAM-SHA-256"
		return mustNot(c.scram(l))
	})
	add("unknown-login", "SCRAM-SHA-256", needs, "a login that does not exist is told a salt, always the same, as others are", "RFC 5802, section 9", unknownScram)
	return cases
}

// accepted fails for a login that was not.
func accepted(o scramOutcome, err error) error {
	if err == nil && o.reply.Code != 235 {
		err = fmt.Errorf("the login was answered %q", o.reply)
	}
	return err
}

// unknownScram compares what logins are told that exist and that do not.
func unknownScram(c *Client) error {
	terms := func(user string) (string, error) {
		if err := c.Connect(); err != nil {
			return "", err
		}
		if err := c.Secure(); err != nil {
			return "", err
		}
		before := c.worked()
		o, err := c.scram(scramLogin{mechanism: "SCRAM-SHA-256", user: user, password: "wrong"})
		if err != nil {
			return "", err
		}
		if o.reply.Class() == 2 {
			return "", fmt.Errorf("a wrong password was accepted: %q", o.reply)
		}
		_, rest, _ := strings.Cut(o.first, ",")
		return fmt.Sprintf("%s and in the end %s, for %d of work", rest, o.reply, c.worked()-before), nil
	}
	var said [4]string
	for i, user := range []string{c.server.User, nobody(c, "a"), nobody(c, "a"), nobody(c, "b")} {
		var err error
		if said[i], err = terms(user); err != nil {
			return err
		}
	}
	// Salts differ; all else has to be the same.
	shape := func(s string) string {
		if _, rest, ok := strings.Cut(s, ","); ok {
			return fmt.Sprint(len(s), rest)
		}
		return s
	}
	switch {
	case shape(said[1]) != shape(said[0]):
		return fmt.Errorf("a login that exists is told %q, one that does not %q", said[0], said[1])
	case said[1] != said[2]:
		return fmt.Errorf("a login that does not exist is told %q, and then %q", said[1], said[2])
	case said[1] == said[3]:
		return fmt.Errorf("two logins that do not exist are told the same, %q", said[1])
	}
	return nil
}

// nobody is a login that does not exist, written as the target's is.
func nobody(c *Client, which string) string { return "no-such-" + which + "-" + c.server.User }
