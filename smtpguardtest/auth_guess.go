package smtpguardtest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
)

// guessCases are clients that look for logins, and mix mechanisms up.
func guessCases() []Case {
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	cases := []Case{
		{
			Name: "auth/unknown-login/PLAIN", Needs: NeedLogin,
			Rule: "a login that does not exist gets the reply that a wrong password gets", RFC: "RFC 4954, section 9; RFC 4616, section 4",
			Run: func(c *Client) error {
				return c.alike("PLAIN", func(user string) []string { return []string{"AUTH PLAIN " + encode("\x00"+user+"\x00wrong")} })
			},
		}, {
			Name: "auth/unknown-login/LOGIN", Needs: NeedLogin,
			Rule: "a login that does not exist is asked for its password as others are, and gets their reply", RFC: "RFC 4954, section 9",
			Run: func(c *Client) error {
				return c.alike("LOGIN", func(user string) []string { return []string{"AUTH LOGIN", encode(user), encode("wrong")} })
			},
		}, {
			Name: "auth/before-tls/challenges", Needs: NeedLogin | NeedStartTLS,
			Rule: "no mechanism begins in clear text", RFC: "RFC 4954, section 4; RFC 8314, section 3",
			Run: func(c *Client) error {
				var errs []error
				for _, line := range []string{"AUTH PLAIN", "AUTH LOGIN", "AUTH LOGIN " + encode(c.server.User), "AUTH SCRAM-SHA-256 " + encode("n,,n="+c.server.User+",r=nonce")} {
					if err := c.Connect(); err != nil {
						return err
					}
					if err := c.Hello(); err != nil {
						return err
					}
					errs = append(errs, c.ask(line, refused))
				}
				return errors.Join(errs...)
			},
		}, {
			Name: "auth/authzid", Needs: NeedLogin,
			Rule: "nobody acts for another", RFC: "RFC 4616, section 2; RFC 4422, section 3.4.1",
			Run: func(c *Client) error {
				if err := c.Secure(); err != nil {
					return err
				}
				return c.ask("AUTH PLAIN "+encode("somebody-else\x00"+c.server.User+"\x00"+c.server.Password), refused)
			},
		}, {
			Name: "auth/cancel-flood", Needs: NeedLogin,
			Rule: "a client that begins to log in and gives up, again and again, is cut off", RFC: "RFC 4954, section 4; RFC 5321, section 7.8",
			Run: func(c *Client) error {
				if err := c.Secure(); err != nil {
					return err
				}
				start := len(c.log)
				for n := range c.server.Limits.Commands {
					for _, line := range []string{"AUTH PLAIN", "*"} {
						r, err := c.Cmd(line)
						if err == io.EOF || err == nil && r.Code == 421 {
							return nil
						}
						if err != nil {
							return err
						}
					}
					if len(c.log) > start+20 {
						c.log = append(c.log[:start+4], fmt.Sprintf("# ... %d times", n))
					}
				}
				return fmt.Errorf("%d logins were given up, and the server still listens", c.server.Limits.Commands)
			},
		}, {
			Name: "auth/response-without-end", Needs: NeedLogin,
			Rule: "a response that does not end is cut off", RFC: "RFC 4954, section 4",
			Run: func(c *Client) error {
				if err := c.Secure(); err != nil {
					return err
				}
				if err := c.ask("AUTH PLAIN", "334"); err != nil {
					return err
				}
				if err := c.Play(`C! "QUFB" * 262144`); err != nil {
					return err
				}
				return c.expect(refused)
			},
		},
	}
	plain := func(c *Client) string { return encode("\x00" + c.server.User + "\x00" + c.server.Password) }
	for _, m := range []struct {
		name, offered string
		lines         func(*Client) []string
	}{
		{"PLAIN-in-LOGIN", "LOGIN", func(c *Client) []string { return []string{"AUTH LOGIN " + plain(c), plain(c)} }},
		{"LOGIN-in-PLAIN", "PLAIN", func(c *Client) []string {
			return []string{"AUTH PLAIN " + encode(c.server.User), encode(c.server.Password)}
		}},
		{"PLAIN-in-SCRAM", "SCRAM-SHA-256", func(c *Client) []string { return []string{"AUTH SCRAM-SHA-256 " + plain(c), plain(c)} }},
		{"SCRAM-in-PLAIN", "PLAIN", func(c *Client) []string {
			return []string{"AUTH PLAIN " + encode("n,,n="+c.server.User+",r=nonce")}
		}},
		{"AUTH-in-AUTH", "PLAIN", func(c *Client) []string { return []string{"AUTH PLAIN", "AUTH PLAIN " + plain(c)} }},
	} {
		cases = append(cases, Case{
			Name: "auth/confused/" + m.name, Needs: NeedLogin,
			Rule: "a message of one mechanism proves nothing to another", RFC: "RFC 4422, section 3",
			Run: func(c *Client) error {
				if err := c.mechanism(m.offered); err != nil {
					return err
				}
				replies, err := c.exchange(m.lines(c))
				if err != nil {
					return err
				}
				if last := replies[len(replies)-1]; last.Class() == 2 {
					return fmt.Errorf("the login was accepted: %q", last)
				}
				return nil
			},
		})
	}
	return cases
}

// exchange sends lines for as long as the server asks for more. A hang-up is the
// zero Reply.
func (c *Client) exchange(lines []string) ([]Reply, error) {
	var replies []Reply
	for _, line := range lines {
		r, err := c.Cmd(line)
		if err != nil && err != io.EOF {
			return nil, err
		}
		if replies = append(replies, r); r.Code != 334 {
			break
		}
	}
	return replies, nil
}

// alike plays an exchange with a wrong password for a login that exists, and for
// one that does not. The server has to say the same, step by step: what it does
// not ask of one of them is work that it does not do. And it has to do the same
// work.
func (c *Client) alike(mechanism string, lines func(user string) []string) error {
	if err := c.mechanism(mechanism); err != nil {
		return err
	}
	var said [2][]string
	var work [2]int64
	for i, user := range []string{c.server.User, nobody(c, "a")} {
		if err := c.Connect(); err != nil {
			return err
		}
		if err := c.Secure(); err != nil {
			return err
		}
		before := c.worked()
		replies, err := c.exchange(lines(user))
		if err != nil {
			return err
		}
		work[i] = c.worked() - before
		for _, r := range replies {
			said[i] = append(said[i], r.String())
		}
		if last := replies[len(replies)-1]; last.Class() == 2 {
			return fmt.Errorf("a wrong password was accepted: %q", last)
		}
	}
	if !slices.Equal(said[0], said[1]) {
		return fmt.Errorf("a login that exists is told %q, one that does not %q", said[0], said[1])
	}
	if work[0] != work[1] {
		return fmt.Errorf("a login that exists costs %d, one that does not %d", work[0], work[1])
	}
	return nil
}

// worked is what passwords have cost the server, 0 where the target does not say.
func (c *Client) worked() int64 {
	if c.server.Work == nil {
		return 0
	}
	return c.server.Work()
}
