package smtpguardtest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

func authCases() []Case {
	const mustFail = "5xx|4xx|EOF"
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	cases := []Case{
		{
			Name: "auth/login", Needs: NeedLogin,
			Rule: "the right password is accepted", RFC: "RFC 4954, section 4",
			Run: func(c *Client) error {
				if err := c.Secure(); err != nil {
					return err
				}
				return c.Login()
			},
		}, {
			Name: "auth/again", Needs: NeedLogin,
			Rule: "AUTH after a login is answered 503", RFC: "RFC 4954, section 4",
			Run: func(c *Client) error {
				if err := c.Secure(); err != nil {
					return err
				}
				return c.Play("AUTH\nC: AUTH PLAIN ${plain}\nS: 503|421|EOF")
			},
		}, {
			Name: "auth/in-transaction", Needs: NeedLogin | NeedPublic,
			Rule: "AUTH in a transaction is answered 503", RFC: "RFC 4954, section 3",
			Run: func(c *Client) error {
				if err := c.Secure(); err != nil {
					return err
				}
				return c.Play("C: MAIL FROM:<${sender}>\nS: 250\nC: AUTH PLAIN ${plain}\nS: 503|421|EOF")
			},
		}, {
			Name: "auth/before-ehlo", Needs: NeedLogin,
			Rule: "AUTH needs EHLO first", RFC: "RFC 4954, section 4; RFC 5321, section 4.1.4",
			Run: script("S: 220\nC: AUTH PLAIN ${plain}\nS: " + refused),
		}, {
			Name: "auth/before-tls", Needs: NeedLogin | NeedStartTLS,
			Rule: "no password is taken, or asked for, in clear text", RFC: "RFC 4954, section 4; RFC 8314, section 3",
			Run: func(c *Client) error {
				if err := c.Hello(); err != nil {
					return err
				}
				if params, ok := c.Offers("AUTH"); ok && (strings.Contains(params, "PLAIN") || strings.Contains(params, "LOGIN")) {
					return fmt.Errorf("AUTH %s is offered in clear text", params)
				}
				return c.ask("AUTH PLAIN "+c.plain(), refused)
			},
		}, {
			Name: "auth/failures", Needs: NeedLogin,
			Rule: "a client that fails to log in again and again is cut off", RFC: "RFC 4954, section 9; RFC 5321, section 7.8",
			Run: func(c *Client) error {
				if err := c.Secure(); err != nil {
					return err
				}
				for n := range c.server.Limits.Failures {
					r, err := c.Cmd("AUTH PLAIN " + encode(fmt.Sprintf("\x00%s\x00wrong-%d", c.server.User, n)))
					if err == io.EOF || err == nil && r.Code == 421 {
						return nil
					}
					if err != nil {
						return err
					}
					if r.Class() == 2 {
						return fmt.Errorf("a wrong password was accepted: %q", r)
					}
				}
				return fmt.Errorf("%d logins failed, and the server still listens", c.server.Limits.Failures)
			},
		}, {
			Name: "auth/pipelined", Needs: NeedLogin,
			Rule: "a command sent behind a failing AUTH is not taken for its response, nor runs with a login", RFC: "RFC 4954, section 4",
			Run: func(c *Client) error {
				if err := c.Secure(); err != nil {
					return err
				}
				if err := c.Write("AUTH PLAIN\r\n" + encode("\x00"+c.server.User+"\x00wrong") + "\r\nAUTH PLAIN *\r\nQUIT\r\n"); err != nil {
					return err
				}
				replies, err := c.Rest()
				if err != nil {
					return err
				}
				for _, r := range replies {
					if r.Class() == 2 && r.Code != 221 {
						return fmt.Errorf("%q", r)
					}
				}
				return nil
			},
		}, {
			Name: "auth/unlisted",
			Rule: "a mechanism that EHLO does not list is answered 504", RFC: "RFC 4954, section 4",
			Run: unlistedMechanisms,
		},
	}
	for _, a := range []struct{ name, rule, script string }{
		{"wrong-password", "a wrong password is refused", `C: AUTH PLAIN ` + encode("\x00wrong\x00wrong") + "\nS: " + mustFail},
		{"empty-password", "an empty password is refused", `C! "AUTH PLAIN ` + "${plain:empty}" + `\r\n"` + "\nS: " + mustFail},
		{"not-base64", "what is not base64 is refused", "C: AUTH PLAIN !!!!\nS: " + mustFail},
		{"not-base64-response", "what is not base64 is refused", "C: AUTH PLAIN\nS: 334\nC: %%%%\nS: " + mustFail},
		{"cancel", "* cancels, and is answered 501", "C: AUTH PLAIN\nS: 334\nC: *\nS: 501|421|EOF"},
		{"usable-after-cancel", "after * a login is possible", "C: AUTH PLAIN\nS: 334\nC: *\nS: 501\nAUTH"},
		{"empty-initial-response", "an empty response proves nothing", "C: AUTH PLAIN =\nS: " + mustFail},
		{"empty-response", "an empty response proves nothing", "C: AUTH PLAIN\nS: 334\nC:\nS: " + mustFail},
		{"empty-responses", "an empty response proves nothing", "C: AUTH PLAIN\nS: 334\nC: =\nS: " + mustFail},
		{"no-fields", "a PLAIN message without NUL is refused", "C: AUTH PLAIN " + encode("user") + "\nS: " + mustFail},
		{"only-NULs", "a PLAIN message of NULs is refused", "C: AUTH PLAIN " + encode("\x00\x00") + "\nS: " + mustFail},
		{"no-mechanism", "AUTH needs a mechanism", "C: AUTH\nS: " + mustFail},
		{"unknown", "an unknown mechanism is answered 504", "C: AUTH X-NO-SUCH\nS: 504|421|EOF"},
		{"oversize-initial-response", "an oversize initial response is refused", `C! "AUTH PLAIN " "QUFB" * 25000 "\r\n"` + "\nS: " + mustFail},
		{"oversize-response", "an oversize response is refused", "C: AUTH PLAIN\nS: 334\n" + `C! "QUFB" * 25000 "\r\n"` + "\nS: " + mustFail},
	} {
		cases = append(cases, Case{
			Name: "auth/" + a.name, Needs: NeedLogin,
			Rule: a.rule, RFC: "RFC 4954, section 4; RFC 4616, section 2",
			Run: func(c *Client) error {
				if err := c.Secure(); err != nil {
					return err
				}
				return c.Play(strings.ReplaceAll(a.script, "${plain:empty}", encode("\x00"+c.server.User+"\x00")))
			},
		})
	}
	return cases
}

func unlistedMechanisms(c *Client) error {
	if err := c.Secure(); err != nil {
		return err
	}
	params, ok := c.Offers("AUTH")
	if !ok {
		return Skip("the server does not offer AUTH")
	}
	listed := strings.Fields(strings.ToUpper(params))
	var errs []error
	for _, name := range []string{"ANONYMOUS", "LOGIN", "PLAIN", "CRAM-MD5", "EXTERNAL", "XOAUTH2"} {
		if slices.Contains(listed, name) {
			continue
		}
		if err := c.Connect(); err != nil {
			return err
		}
		if err := c.Secure(); err != nil {
			return err
		}
		if err := c.ask("AUTH "+name, "504|421|EOF"); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
