package smtpguardtest

import (
	"fmt"
	"strings"
)

// A spoof is mail of a client with a login. In its texts OWN is the address that
// the login may send as, OTHER one at the same DOMAIN, VICTIM a third party's.
type spoof struct {
	name   string
	from   string // reverse-path
	header string // lines, ended by \n
	honest bool   // has to be accepted
}

var spoofs = []spoof{
	{name: "own", from: "OWN", header: "From: <OWN>\n", honest: true},
	{name: "own-with-name", from: "OWN", header: "From: Somebody <OWN>\n", honest: true},
	{name: "own-with-null-reverse-path", header: "From: <OWN>\n", honest: true}, // receipts: RFC 8098, section 2.1

	{name: "envelope", from: "OTHER", header: "From: <OWN>\n"},
	{name: "envelope-elsewhere", from: "VICTIM", header: "From: <OWN>\n"},
	{name: "envelope-and-from", from: "OTHER", header: "From: <OTHER>\n"},
	{name: "from", from: "OWN", header: "From: <OTHER>\n"},
	{name: "from-elsewhere", from: "OWN", header: "From: <VICTIM>\n"},
	{name: "from-bare", from: "OWN", header: "From: OTHER\n"},
	{name: "from-folded", from: "OWN", header: "From:\n OTHER\n"},
	{name: "from-with-null-reverse-path", header: "From: <OTHER>\n"},
	{name: "from-missing", from: "OWN", header: "X-From: <OWN>\n"},
	{name: "from-empty", from: "OWN", header: "From: <>\n"},
	{name: "from-with-own-sender", from: "OWN", header: "From: <OTHER>\nSender: <OWN>\n"},
	{name: "two-from", from: "OWN", header: "From: <OWN>\nFrom: <VICTIM>\n"},
	{name: "two-from-own-last", from: "OWN", header: "From: <VICTIM>\nFrom: <OWN>\n"},
	{name: "two-from-in-other-case", from: "OWN", header: "From: <OWN>\nfROM: <VICTIM>\n"},
	{name: "two-from-one-with-space", from: "OWN", header: "From: <OWN>\nFrom : <VICTIM>\n"},
	{name: "two-addresses", from: "OWN", header: "From: <OWN>, <VICTIM>\n"},
	{name: "two-addresses-own-last", from: "OWN", header: "From: <VICTIM>, <OWN>\n"},
	{name: "two-addresses-without-comma", from: "OWN", header: "From: <VICTIM> <OWN>\n"},
	{name: "group", from: "OWN", header: "From: VICTIM: OWN;\n"},
	{name: "route", from: "OWN", header: "From: <@bank.example:OWN>\n"},
	{name: "comment", from: "OWN", header: "From: VICTIM (<OWN>)\n"},
	{name: "comment-first", from: "OWN", header: "From: (<OWN>) VICTIM\n"},
	{name: "quoted-local-part", from: "OWN", header: "From: \"VICTIM\"@DOMAIN\n"},
	{name: "name-bare", from: "OWN", header: "From: VICTIM <OWN>\n"},
	{name: "name-quoted", from: "OWN", header: "From: \"VICTIM\" <OWN>\n"},
	{name: "name-in-brackets", from: "OWN", header: "From: \"The CEO <VICTIM>\" <OWN>\n"},
	{name: "name-encoded", from: "OWN", header: "From: =?utf-8?q?ceo=40bank=2Eexample?= <OWN>\n"},
	{name: "name-encoded-in-quotes", from: "OWN", header: "From: \"=?utf-8?b?Y2VvQGJhbmsuZXhhbXBsZQ==?=\" <OWN>\n"},
	{name: "name-in-two-words", from: "OWN", header: "From: =?utf-8?q?ceo=40bank?= =?utf-8?q?=2Eexample?= <OWN>\n"},
	{name: "sender", from: "OWN", header: "From: <OWN>\nSender: <OTHER>\n"},
	{name: "two-sender", from: "OWN", header: "From: <OWN>\nSender: <OWN>\nSender: <VICTIM>\n"},
	{name: "sender-of-two", from: "OWN", header: "From: <OWN>\nSender: <OWN>, <VICTIM>\n"},
	{name: "resent-from", from: "OWN", header: "From: <OWN>\nResent-From: <OTHER>\n"},
	{name: "resent-sender", from: "OWN", header: "From: <OWN>\nResent-From: <OWN>\nResent-Sender: <OTHER>\n"},
	{name: "resent-from-below", from: "OWN", header: "From: <OWN>\nResent-From: <OWN>\nResent-To: <OTHER>\nResent-From: <VICTIM>\n"},
}

func spoofingCases() []Case {
	var cases []Case
	for _, s := range spoofs {
		rule := "nobody sends in another's name"
		if s.honest {
			rule = "everybody may send in his own name"
		}
		cases = append(cases, Case{
			Name: "spoofing/" + s.name, Needs: NeedLogin | NeedOwn,
			Rule: rule, RFC: "RFC 6409, sections 6.1 and 8.1; RFC 5322, sections 3.6.2 and 3.6.6",
			Run: s.run,
		})
	}
	return cases
}

func (s spoof) run(c *Client) error {
	if err := c.Secure(); err != nil {
		return err
	}
	if err := c.Login(); err != nil {
		return err
	}
	own := c.server.Own
	domain := own[strings.LastIndexByte(own, '@')+1:]
	text := strings.NewReplacer("OWN", own, "OTHER", "somebody.else@"+domain, "VICTIM", "ceo@bank.example", "DOMAIN", domain)
	from := text.Replace("<" + s.from + ">")
	var r Reply
	var err error
	for _, line := range []string{"MAIL FROM:" + from, "RCPT TO:<" + c.server.Recipient + ">", "DATA"} {
		if r, err = c.Cmd(line); err != nil {
			return s.refused(err)
		}
		if r.Class() > 3 {
			return s.judge(r)
		}
	}
	header := strings.ReplaceAll(text.Replace(s.header), "\n", "\r\n")
	if err := c.Write(header + "To: <" + c.server.Recipient + ">\r\nSubject: test\r\nX-Case: " + c.token + "\r\n\r\nhello\r\n.\r\n"); err != nil {
		return err
	}
	if r, err = c.Reply(); err != nil {
		return s.refused(err)
	}
	return s.judge(r)
}

// refused takes a hang-up for a refusal.
func (s spoof) refused(err error) error {
	if !s.honest {
		return ignoreEOF(err)
	}
	return err
}

func (s spoof) judge(r Reply) error {
	switch ok := r.Class() == 2; {
	case s.honest && !ok:
		return fmt.Errorf("the mail was refused: %q", r)
	case !s.honest && ok:
		return fmt.Errorf("the mail was accepted: %q", r)
	}
	return nil
}
