package tlsconf

import (
	"strings"
	"testing"
)

func TestClearAnswers(t *testing.T) {
	const (
		only     = " BAD Only CAPABILITY, NOOP, STARTTLS and LOGOUT before TLS\r\n"
		onlyPOP3 = "-ERR Only CAPA, STLS and QUIT before TLS\r\n"
	)
	for _, tt := range []struct {
		protocol Protocol
		line     string
		want     answer
	}{
		{IMAP, "a CAPABILITY\r\n", answer{reply: "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na OK Done\r\n"}},
		{IMAP, "a1 capability\n", answer{reply: "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na1 OK Done\r\n"}},
		{IMAP, "a NOOP\r\n", answer{reply: "a OK Done\r\n"}},
		{IMAP, "a STARTTLS\r\n", answer{reply: "a OK Begin TLS now\r\n", next: begin}},
		{IMAP, "a STARTTLS now\r\n", answer{reply: "a" + only, bad: true}},
		{IMAP, "a LOGOUT\r\n", answer{reply: "* BYE Closing connection\r\na OK Done\r\n", next: hangUp}},
		{IMAP, "a LOGIN ann secret\r\n", answer{reply: "a NO [PRIVACYREQUIRED] STARTTLS first\r\n", bad: true, login: true}},
		{IMAP, "a LOGIN {3}\r\n", answer{reply: "a NO [PRIVACYREQUIRED] STARTTLS first\r\n", bad: true, login: true}},
		{IMAP, "a authenticate PLAIN\r\n", answer{reply: "a NO [PRIVACYREQUIRED] STARTTLS first\r\n", bad: true, login: true}},
		{IMAP, "a SELECT INBOX\r\n", answer{reply: "a" + only, bad: true}},
		{IMAP, "a\r\n", answer{reply: "a" + only, bad: true}},
		{IMAP, "\r\n", answer{reply: "* BAD No tag\r\n", bad: true}},
		{IMAP, "* LOGIN\r\n", answer{reply: "* BAD No tag\r\n", bad: true}},
		{IMAP, "a+b NOOP\r\n", answer{reply: "* BAD No tag\r\n", bad: true}},
		{IMAP, "a\r* OK\rb NOOP\r\n", answer{reply: "* BAD No tag\r\n", bad: true}},
		{IMAP, strings.Repeat("a", 65) + " NOOP\r\n", answer{reply: "* BAD No tag\r\n", bad: true}},
		{POP3, "CAPA\r\n", answer{reply: "+OK Capabilities\r\nSTLS\r\n.\r\n"}},
		{POP3, "stls\r\n", answer{reply: "+OK Begin TLS now\r\n", next: begin}},
		{POP3, "QUIT\r\n", answer{reply: "+OK Closing connection\r\n", next: hangUp}},
		{POP3, "USER ann\r\n", answer{reply: "-ERR STLS first\r\n", bad: true, login: true}},
		{POP3, "PASS secret\r\n", answer{reply: "-ERR STLS first\r\n", bad: true, login: true}},
		{POP3, "APOP ann c4c9334bac560ecc979e58001b3e22fb\r\n", answer{reply: "-ERR STLS first\r\n", bad: true, login: true}},
		{POP3, "auth PLAIN AGFubgBzZWNyZXQ=\r\n", answer{reply: "-ERR STLS first\r\n", bad: true, login: true}},
		{POP3, "STAT\r\n", answer{reply: onlyPOP3, bad: true}},
		{POP3, "STLS now\r\n", answer{reply: onlyPOP3, bad: true}},
		{POP3, "\r\n", answer{reply: onlyPOP3, bad: true}},
	} {
		if got := tt.protocol.clear().answer(tt.line); got != tt.want {
			t.Errorf("%v %q: %+v, want %+v", tt.protocol, tt.line, got, tt.want)
		}
	}
}

// FuzzClear: whatever the client says, it hears whole lines that begin as they
// should, and TLS begins by its one command alone.
func FuzzClear(f *testing.F) {
	for _, s := range []string{"a STARTTLS\r\n", "STLS\r\n", "a LOGIN {3+}\r\n", "* x\r\n", "a\x00b NOOP\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		for _, p := range []Protocol{IMAP, POP3} {
			a := p.clear().answer(line)
			if !strings.HasSuffix(a.reply, "\r\n") || len(a.reply) > 200 {
				t.Errorf("%v %q: %q", p, line, a.reply)
			}
			for l := range strings.SplitSeq(strings.TrimSuffix(a.reply, "\r\n"), "\r\n") {
				if strings.ContainsAny(l, "\r\n\x00") || l == "" {
					t.Errorf("%v %q: %q", p, line, a.reply)
				}
			}
			if command := strings.ToUpper(line); a.next == begin && !strings.Contains(command, "STLS") && !strings.Contains(command, "STARTTLS") {
				t.Errorf("%v %q begins TLS", p, line)
			}
			if a.next == begin && (a.bad || a.login) {
				t.Errorf("%v %q: %+v", p, line, a)
			}
		}
	})
}
