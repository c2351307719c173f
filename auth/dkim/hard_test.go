package dkim

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// hard returns messages that are signed differently where a rule is read
// differently: every one that is named, and n that are made of such pieces.
func hard(n int) map[string]string {
	const header = "From: Ann <ann@example.org>\r\nTo: bob@example.com\r\nSubject: hard\r\nDate: Fri, 24 Jul 2026 10:00:00 +0000\r\n"
	all := map[string]string{
		"no body":           header,
		"empty body":        header + "\r\n",
		"one line end":      header + "\r\n\r\n",
		"blank tail":        header + "\r\ntext\r\n\r\n\r\n\r\n",
		"no final CRLF":     header + "\r\ntext",
		"no CRLF, blank":    header + "\r\ntext \t",
		"blanks at the end": header + "\r\ntext \t\r\n \r\n\t\r\n",
		"only blanks":       header + "\r\n \r\n\t \r\n",
		"tabs":              header + "\r\n\ta\tb \t c\t\r\n",
		"8 bit":             header + "\r\n\xc3\xa4\xf6  \xff\x80\r\n",
		"8 bit header":      header + "X: \xc3\xa4  \xf6\r\n\r\ntext\r\n",
		"long folds":        header + "References:" + strings.Repeat("\r\n <"+strings.Repeat("x", 60)+"@example.org>", 50) + "\r\n\r\ntext\r\n",
		"blank folds":       header + "Keywords: a\r\n \r\n\tb \r\n\t c\r\n\r\ntext\r\n",
		"empty fields":      header + "Cc:\r\nReply-To: \r\nSender:\r\n ann@example.org\r\n\r\ntext\r\n",
		"repeated fields":   header + "Comments: a\r\nResent-To: b@example.com\r\nresent-to: c@example.com\r\nRESENT-TO: d@example.com\r\n\r\ntext\r\n",
		"space at colon":    header + "Message-ID \t: <1@example.org>\r\n\r\ntext\r\n",
		"dots":              header + "\r\n.\r\n..\r\n.a\r\n",
		"long line":         header + "\r\n" + strings.Repeat("long  line ", 2000) + "\r\n",
		"signed before":     "DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=x; h=from; bh=YQ==; b=YQ==\r\n" + header + "\r\ntext\r\n",
	}
	r := rand.New(rand.NewPCG(1, 2))
	fields := []string{"From: Ann <ann@example.org>", "To: b@example.com", "Subject: s", "X-Y: z", "Received: r", "Comments: c", "List-Id: <l.example.org>"}
	values := []string{"", " ", "\t", "a", "  b ", "\r\n c", "\r\n \t d", "\xc3\xa4", ";", ":", "=", "\""}
	pieces := []string{"a", "bc ", " ", "  ", "\t", "\r\n", "\r\n\r\n", " \r\n", "\t\r\n", ".", "\xc3\xa4", strings.Repeat("word ", 30)}
	for i := range n {
		var b strings.Builder
		from := r.IntN(4)
		for j := range 4 {
			f := fields[1+r.IntN(len(fields)-1)]
			if j == from {
				f = fields[0]
			}
			b.WriteString(f)
			if j != from {
				for range r.IntN(5) {
					b.WriteString(values[r.IntN(len(values))])
				}
			}
			b.WriteString("\r\n")
		}
		b.WriteString("\r\n")
		for range r.IntN(40) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		b.WriteString("\r\n") // as every message has that came by SMTP
		all[fmt.Sprintf("made %03d", i)] = b.String()
	}
	return all
}
