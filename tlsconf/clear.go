package tlsconf

import "strings"

const (
	maxClearLine = 1024 // octets of a command line before TLS
	maxBad       = 10   // commands refused before TLS, and then no more
	maxTag       = 64   // octets of an IMAP tag
)

// dialogue is what a protocol says before TLS.
type dialogue struct {
	greeting string
	ok       string // how the greeting of a server begins that takes the client
	answer   func(line string) answer
}

// answer is the one to a command.
type answer struct {
	reply string
	next  next
	bad   bool // it was refused
	login bool // it was one, which may have given a password away
}

// next is what comes after an answer.
type next int

const (
	goOn next = iota
	begin
	hangUp
)

func (p Protocol) clear() dialogue {
	if p == POP3 {
		return dialogue{"+OK Ready for STLS\r\n", "+OK", answerPOP3}
	}
	return dialogue{"* OK [CAPABILITY " + imapCapability + "] Ready for STARTTLS\r\n", "* OK", answerIMAP}
}

// imapCapability is all there is before TLS (RFC 9051, section 7.2.2, and RFC
// 2595, section 3.2): the client has to ask anew afterwards.
const imapCapability = "IMAP4rev1 STARTTLS LOGINDISABLED"

// answerIMAP answers a client of IMAP in clear text (RFC 9051, section 6.1
// and 6.2). A literal that a refused command announces is never asked for; where
// a client sends it all the same, its octets are lines that are no commands.
func answerIMAP(line string) answer {
	tag, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
	if !isTag(tag) {
		return answer{reply: "* BAD No tag\r\n", bad: true}
	}
	command, args, _ := strings.Cut(rest, " ")
	command = strings.ToUpper(command)
	switch command {
	case "LOGIN", "AUTHENTICATE": // RFC 5530, section 3
		return answer{reply: tag + " NO [PRIVACYREQUIRED] STARTTLS first\r\n", bad: true, login: true}
	}
	if args != "" {
		return answer{reply: tag + " BAD Only CAPABILITY, NOOP, STARTTLS and LOGOUT before TLS\r\n", bad: true}
	}
	switch command {
	case "CAPABILITY":
		return answer{reply: "* CAPABILITY " + imapCapability + "\r\n" + tag + " OK Done\r\n"}
	case "NOOP":
		return answer{reply: tag + " OK Done\r\n"}
	case "STARTTLS":
		return answer{reply: tag + " OK Begin TLS now\r\n", next: begin}
	case "LOGOUT":
		return answer{reply: "* BYE Closing connection\r\n" + tag + " OK Done\r\n", next: hangUp}
	}
	return answer{reply: tag + " BAD Only CAPABILITY, NOOP, STARTTLS and LOGOUT before TLS\r\n", bad: true}
}

// isTag reports whether s is the tag of a command (RFC 9051, section 9).
func isTag(s string) bool {
	if s == "" || len(s) > maxTag {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c > '~' || strings.IndexByte(`(){%*"\+`, c) >= 0 {
			return false
		}
	}
	return true
}

// answerPOP3 answers a client of POP3 in clear text (RFC 1939, section 4; RFC
// 2595, section 4; RFC 2449, section 5).
func answerPOP3(line string) answer {
	command, args, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
	command = strings.ToUpper(command)
	switch command {
	case "USER", "PASS", "APOP", "AUTH":
		return answer{reply: "-ERR STLS first\r\n", bad: true, login: true}
	}
	if args != "" {
		return answer{reply: "-ERR Only CAPA, STLS and QUIT before TLS\r\n", bad: true}
	}
	switch command {
	case "CAPA":
		return answer{reply: "+OK Capabilities\r\nSTLS\r\n.\r\n"}
	case "STLS":
		return answer{reply: "+OK Begin TLS now\r\n", next: begin}
	case "QUIT":
		return answer{reply: "+OK Closing connection\r\n", next: hangUp}
	}
	return answer{reply: "-ERR Only CAPA, STLS and QUIT before TLS\r\n", bad: true}
}
