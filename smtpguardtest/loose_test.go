package smtpguardtest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
)

// loose is a server that breaks every rule of the kit: it takes anything for
// anything, for ever.
type loose struct {
	conn net.Conn
	r    *bufio.Reader
	tls  *tls.Config
	box  *mailbox
	from string
	to   []string
}

func serveLoose(box *mailbox, cfg *tls.Config) func(net.Listener) error {
	return serveConns(func(conn net.Conn) {
		(&loose{conn: conn, r: bufio.NewReader(conn), tls: cfg, box: box}).run()
	})
}

func (l *loose) say(line string) { fmt.Fprint(l.conn, line+"\r\n") }

func (l *loose) run() {
	l.say("220 loose.example ESMTP")
	for {
		line, err := l.line()
		if err != nil {
			return
		}
		verb, arg, _ := strings.Cut(line, " ")
		switch verb {
		case "EHLO":
			l.say("250-loose.example\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-STARTTLS\r\n250-SIZE 1000\r\n250 AUTH " + saslMechanisms)
		case "MAIL":
			l.from, l.to = strings.Trim(strings.TrimPrefix(arg, "FROM:"), "<>"), nil
			l.say("250 ok")
		case "RCPT":
			to := strings.Trim(strings.TrimPrefix(arg, "TO:"), "<>")
			if strings.Contains(to, "foreign.example") {
				to = "victim@foreign.example" // % and ! and all
			}
			l.to = append(l.to, to)
			l.say("250 ok")
		case "DATA":
			l.say("354 go on")
			l.data()
		case "BDAT":
			l.say("250 what is a chunk?")
			l.data()
		case "AUTH":
			mech, initial, given := strings.Cut(arg, " ")
			reply := (&saslServer{lax: true, conn: l.conn, line: l.line, say: func(format string, args ...any) {
				l.say(fmt.Sprintf(format, args...))
			}}).login(mech, initial, given)
			if reply[:3] == "421" {
				return
			}
			if reply[:3] == "501" {
				reply = "235 ok"
			}
			l.say(reply)
		case "STARTTLS":
			l.startTLS()
		case "QUIT":
			l.say("221 bye")
			if l.r.Buffered() == 0 {
				return
			}
		default:
			l.say("250 ok")
		}
	}
}

// line ends at CR, LF or CRLF.
func (l *loose) line() (string, error) {
	var line []byte
	for {
		octet, err := l.r.ReadByte()
		if err != nil {
			return "", err
		}
		if octet == '\n' {
			return string(line), nil
		}
		if octet == '\r' {
			if next, err := l.r.Peek(1); err == nil && next[0] == '\n' {
				l.r.ReadByte()
			}
			return string(line), nil
		}
		line = append(line, octet)
	}
}

// data ends at any dot that is alone, or where the client goes away.
func (l *loose) data() {
	var data []byte
	for {
		octet, err := l.r.ReadByte()
		if err != nil {
			break
		}
		data = append(data, octet)
		if n := len(data); n > 2 && data[n-2] == '.' && bytes.IndexByte([]byte("\r\n\x00"), data[n-3]) >= 0 && bytes.IndexByte([]byte("\r\n\x00"), octet) >= 0 {
			break
		}
	}
	if octet, err := l.r.Peek(1); err == nil && octet[0] == '\n' {
		l.r.ReadByte()
	}
	l.box.add(Message{From: l.from, To: l.to, Data: data})
	l.say("250 ok")
}

// startTLS keeps what was sent in clear text, and carries on after a failure.
func (l *loose) startTLS() {
	l.say("220 go on")
	early := make([]byte, l.r.Buffered())
	io.ReadFull(l.r, early)
	conn := tls.Server(l.conn, l.tls)
	if conn.Handshake() != nil {
		return
	}
	l.conn = conn
	l.r = bufio.NewReader(io.MultiReader(bytes.NewReader(early), conn))
}

// serveDeaf is a server that takes nothing, and does not hang up either.
func serveDeaf(ln net.Listener) error {
	return serveConns(func(conn net.Conn) {
		fmt.Fprint(conn, "220 deaf.example ESMTP\r\n")
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			reply := "550 no"
			if strings.HasPrefix(lines.Text(), "EHLO") {
				reply = "250-deaf.example\r\n250 CHUNKING"
			}
			fmt.Fprint(conn, reply+"\r\n")
		}
	})(ln)
}
