package smtpguardtest

import (
	"fmt"
	"strings"
)

// A relayForm is a way to ask for mail to elsewhere. In its texts U is the
// foreign local part, F the foreign domain, L the domain delivered for.
type relayForm struct {
	name string
	from string // reverse-path; the target's Sender if empty
	rcpt string // all that follows RCPT TO:
}

// A form whose domain is L may be a local mailbox with an odd name: then it has
// to be delivered as one.
var relayForms = []relayForm{
	{name: "plain", rcpt: "<U@F>"},
	{name: "no-brackets", rcpt: "U@F"},
	{name: "space-before-path", rcpt: " <U@F>"},
	{name: "upper-case", rcpt: "<U@UPPER(F)>"},
	{name: "trailing-dot", rcpt: "<U@F.>"},
	{name: "quoted-local", rcpt: `<"U"@F>`},
	{name: "quoted-address", rcpt: `<"U@F">`},
	{name: "quoted-at-local", rcpt: `<"U@F"@L>`},
	{name: "escaped-at-local", rcpt: `<U\@F@L>`},
	{name: "two-at", rcpt: "<U@F@L>"},
	{name: "two-at-reversed", rcpt: "<U@L@F>"},
	{name: "percent", rcpt: "<U%F@L>"},
	{name: "percent-quoted", rcpt: `<"U%F"@L>`},
	{name: "percent-twice", rcpt: "<U%F%L@L>"},
	{name: "percent-no-domain", rcpt: "<U%F>"},
	{name: "percent-to-foreign", rcpt: "<U%L@F>"},
	{name: "percent-literal", rcpt: "<U%F@[127.0.0.1]>"},
	{name: "bang", rcpt: "<F!U@L>"},
	{name: "bang-no-domain", rcpt: "<F!U>"},
	{name: "bang-twice", rcpt: "<L!F!U>"},
	{name: "bang-to-foreign", rcpt: "<L!U@F>"},
	{name: "bang-and-percent", rcpt: "<F!U%F@L>"},
	{name: "bang-literal", rcpt: "<F!U@[127.0.0.1]>"},
	{name: "source-route", rcpt: "<@L:U@F>"},
	{name: "source-route-twice", rcpt: "<@L,@F:U@F>"},
	{name: "source-route-of-foreign", rcpt: "<@F:U@F>"},
	{name: "source-route-percent", rcpt: "<@L:U%F@L>"},
	{name: "literal", rcpt: "<U@[203.0.113.9]>"},
	{name: "literal-ipv6", rcpt: "<U@[IPv6:2001:db8::9]>"},
	{name: "bare-address", rcpt: "<U@203.0.113.9>"},
	{name: "suffix-of-local", rcpt: "<U@not-L>"},
	{name: "local-as-prefix", rcpt: "<U@L.F>"},
	{name: "colon", rcpt: "<U@F:L>"},
	{name: "comma", rcpt: "<U@L,U@F>"},
	{name: "NUL-in-domain", rcpt: "<U@F\x00.L>"},
	{name: "NUL-before-at", rcpt: "<U@F\x00@L>"},
	{name: "null-reverse-path", from: "<>", rcpt: "<U@F>"},
	{name: "local-reverse-path", from: "<postmaster@L>", rcpt: "<U@F>"},
	{name: "recipient-as-reverse-path", from: "<U@F>", rcpt: "<U@F>"},
	{name: "localhost-reverse-path", from: "<root@localhost>", rcpt: "<U@F>"},
	{name: "literal-reverse-path", from: "<root@[127.0.0.1]>", rcpt: "<U@F>"},
	{name: "percent-from-local", from: "<postmaster@L>", rcpt: "<U%F@L>"},
	{name: "percent-from-null", from: "<>", rcpt: "<U%F@L>"},
}

func relayCases() []Case {
	var cases []Case
	for _, f := range relayForms {
		cases = append(cases, Case{
			Name:  "relay/" + f.name,
			Rule:  "a client without a login reaches no mailbox elsewhere",
			RFC:   "RFC 5321, sections 3.6.2 and 7.8, appendix C; RFC 2505, section 2.1",
			Needs: NeedForeign | NeedPublic,
			Run:   f.run,
		})
	}
	return cases
}

func (f relayForm) run(c *Client) error {
	if err := c.Hello(); err != nil {
		return err
	}
	from := f.from
	if from == "" {
		from = "<" + c.server.Sender + ">"
	}
	rcpt := c.relayText(f.rcpt)
	r, err := c.Cmd("MAIL FROM:" + c.relayText(from))
	if err != nil || r.Code != 250 {
		// A reverse-path may be refused for itself.
		return ignoreEOF(err)
	}
	r, err = c.Cmd("RCPT TO:" + rcpt)
	if err != nil || r.Class() != 2 {
		return ignoreEOF(err)
	}
	local := strings.HasSuffix(strings.Trim(rcpt, " <>"), "@"+c.server.domain()) && !strings.Contains(rcpt, "\x00")
	if !local {
		return fmt.Errorf("RCPT TO:%q was accepted: %q", rcpt, r)
	}
	if c.server.Target.Delivered == nil {
		return Skip("whether this was taken for a local mailbox only Target.Delivered can tell")
	}
	if err := c.message("DATA", c.Content("relayed?")); err != nil {
		return err
	}
	if r, err = c.Reply(); err != nil || r.Class() != 2 {
		return ignoreEOF(err)
	}
	for _, m := range c.Delivered() {
		for _, to := range m.To {
			if err := localMailbox(to, c.server.domain()); err != nil {
				return fmt.Errorf("RCPT TO:%q was accepted and delivered to %q: %w", rcpt, to, err)
			}
		}
	}
	return nil
}

// localMailbox fails for an address that another reader may find elsewhere.
func localMailbox(addr, domain string) error {
	at := strings.LastIndexByte(addr, '@')
	if at < 0 || !strings.EqualFold(addr[at+1:], domain) {
		return fmt.Errorf("it is not at %s", domain)
	}
	local := addr[:at]
	quoted := len(local) > 1 && local[0] == '"' && local[len(local)-1] == '"'
	if !quoted && strings.ContainsAny(local, `@:,\`) {
		return fmt.Errorf("whoever splits it at its first @ sends it elsewhere")
	}
	return nil
}

func (c *Client) relayText(s string) string {
	at := strings.LastIndexByte(c.server.Foreign, '@')
	user, domain := c.server.Foreign[:at], c.server.Foreign[at+1:]
	return strings.NewReplacer("UPPER(F)", strings.ToUpper(domain), "U", user, "F", domain, "L", c.server.domain()).Replace(s)
}

// ignoreEOF takes a server's hanging up for a refusal.
func ignoreEOF(err error) error {
	if hungUp(err) {
		return nil
	}
	return err
}
