package smtpguardtest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	strictSize    = 128 << 10
	strictSilence = 500 * time.Millisecond
	strictDribble = time.Second
	strictWait    = 60 * time.Millisecond
)

// strict is a server that keeps every rule of the kit, for one mailbox and one
// login, and does nothing else.
type strict struct {
	conn     net.Conn
	r        *bufio.Reader
	tls      *tls.Config
	box      *mailbox
	secure   bool
	hello    bool
	login    bool
	from     *string
	to       []string
	chunks   []byte
	chunking bool
	commands int // since a message was accepted
	failures int
}

func serveStrict(box *mailbox, cfg *tls.Config) func(net.Listener) error {
	return serveConns(func(conn net.Conn) {
		(&strict{conn: conn, r: bufio.NewReaderSize(conn, 2048), tls: cfg, box: box}).run()
	})
}

func serveConns(handle func(net.Conn)) func(net.Listener) error {
	return func(ln net.Listener) error {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return err
			}
			go func() { defer conn.Close(); handle(conn) }()
		}
	}
}

func (s *strict) say(format string, args ...any) { fmt.Fprintf(s.conn, format+"\r\n", args...) }

func (s *strict) run() {
	s.conn.SetReadDeadline(time.Now().Add(strictWait))
	if _, err := s.r.Peek(1); err == nil {
		s.say("554 wait for the banner")
		return
	}
	s.r.Reset(s.conn) // forgets the timeout
	s.say("220 strict.example ESMTP")
	for {
		line, err := s.line()
		if err != nil {
			s.say("421 4.4.2 bye")
			return
		}
		if s.commands++; s.commands > 60 {
			s.say("421 4.7.0 enough")
			return
		}
		if !s.command(line) {
			return
		}
	}
}

func (s *strict) line() (string, error) {
	s.conn.SetReadDeadline(time.Now().Add(strictSilence))
	octets, err := s.r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	line, ok := strings.CutSuffix(string(octets), "\r\n")
	if !ok || strings.IndexFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
		return "", errors.New("not a line")
	}
	return line, nil
}

var (
	strictMail = regexp.MustCompile(`^MAIL FROM:<((?:[a-z]+@[a-z.]+)?)>(?: SIZE=([0-9]{1,9}))?$`)
	strictBdat = regexp.MustCompile(`^BDAT ([0-9]{1,9})( LAST)?$`)
	strictName = regexp.MustCompile(`^[a-z0-9.]{1,255}$`)
)

// command runs one command, and reports whether the session goes on.
func (s *strict) command(line string) bool {
	verb, arg, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO", "HELO":
		if s.r.Buffered() > 0 {
			s.say("421 5.5.0 wait for the reply")
			return false
		}
		if !strictName.MatchString(arg) || len(arg) > 255 {
			s.say("501 5.5.4 a name, please")
			return true
		}
		s.hello = true
		s.reset()
		s.say("250-strict.example\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-SIZE %d", strictSize)
		if s.secure {
			s.say("250 AUTH %s", saslMechanisms)
		} else {
			s.say("250 STARTTLS")
		}
	case "MAIL":
		m := strictMail.FindStringSubmatch(line)
		switch {
		case !s.hello || s.from != nil:
			s.say("503 5.5.1 not now")
		case m == nil || len(m[1]) > 254:
			s.say("501 5.1.7 no reverse-path")
		case s.login && m[1] != "" && m[1] != "sender@client.example":
			s.say("553 5.7.1 not yours")
		default:
			if size, _ := strconv.Atoi(m[2]); size > strictSize {
				s.say("552 5.3.4 too large")
				return true
			}
			s.from = &m[1]
			s.say("250 2.1.0 ok")
		}
	case "RCPT":
		switch {
		case s.from == nil:
			s.say("503 5.5.1 MAIL first")
		case arg != "TO:<rcpt@local.example>" && arg != "TO:<postmaster>":
			s.say("550 5.7.1 not here")
		case len(s.to) > 120:
			s.say("452 4.5.3 too many")
		default:
			s.commands--
			s.to = append(s.to, strings.Trim(arg[3:], "<>"))
			s.say("250 2.1.5 ok")
		}
	case "DATA":
		return s.data()
	case "BDAT":
		return s.bdat(line)
	case "RSET":
		s.reset()
		s.say("250 2.0.0 ok")
	case "NOOP":
		s.say("250 2.0.0 ok")
	case "VRFY":
		s.say("252 2.5.0 perhaps")
	case "STARTTLS":
		return s.startTLS()
	case "AUTH":
		return s.auth(arg)
	case "QUIT":
		s.say("221 2.0.0 bye")
		return false
	default:
		s.say("500 5.5.2 what?")
	}
	return true
}

func (s *strict) reset() { s.from, s.to, s.chunks, s.chunking = nil, nil, nil, false }

func (s *strict) data() bool {
	if len(s.to) == 0 || s.chunking {
		s.say("503 5.5.1 not now")
		return true
	}
	if s.r.Buffered() > 0 {
		s.say("421 5.5.0 wait for the reply")
		return false
	}
	s.say("354 go on")
	data, tail, end := []byte(nil), []byte("\r\n"), time.Now().Add(strictDribble)
	for !bytes.HasSuffix(tail, []byte("\r\n.\r\n")) {
		octet, err := s.octet(end)
		if err != nil {
			s.say("421 4.4.2 bye")
			return false
		}
		if tail = append(tail, octet); len(tail) > 5 {
			tail = tail[1:]
		}
		if len(data) <= strictSize+5 {
			data = append(data, octet)
		}
	}
	data = bytes.TrimSuffix(data, []byte(".\r\n"))
	s.accept(bytes.ReplaceAll(data, []byte("\r\n."), []byte("\r\n")))
	return true
}

func (s *strict) octet(end time.Time) (byte, error) {
	if s.r.Buffered() == 0 {
		next := time.Now().Add(strictSilence)
		if end.Before(next) {
			next = end
		}
		s.conn.SetReadDeadline(next)
	}
	return s.r.ReadByte()
}

func (s *strict) bdat(line string) bool {
	m := strictBdat.FindStringSubmatch(line)
	if m == nil {
		s.say("501 5.5.4 a count, please")
		return false // whose chunk would follow?
	}
	size, _ := strconv.Atoi(m[1])
	for end := time.Now().Add(strictDribble); size > 0; size-- {
		octet, err := s.octet(end)
		if err != nil {
			s.say("421 4.4.2 bye")
			return false
		}
		if len(s.chunks) <= strictSize {
			s.chunks = append(s.chunks, octet)
		}
	}
	switch {
	case len(s.to) == 0:
		s.chunks = nil
		s.say("503 5.5.1 RCPT first")
	case m[2] == "":
		s.chunking = true
		s.say("250 2.0.0 go on")
	default:
		s.accept(s.chunks)
	}
	return true
}

// accept judges a whole message.
func (s *strict) accept(data []byte) {
	defer s.reset()
	header, _, _ := bytes.Cut(data, []byte("\r\n\r\n"))
	longest := 0
	for line := range bytes.SplitSeq(data, []byte("\r\n")) {
		longest = max(longest, len(line))
	}
	switch {
	case len(data) > strictSize:
		s.say("552 5.3.4 too large")
	case bare(data) != "" || longest > 998 || len(header) > strictSize/2 || bytes.Count(header, []byte("\r\n")) > 1000:
		s.say("554 5.6.0 no message")
	case bytes.Count(header, []byte("Received:")) > 50:
		s.say("554 5.4.6 a loop")
	case s.login && !s.own(header):
		s.say("550 5.7.1 not yours")
	default:
		s.commands = 0
		s.box.add(Message{From: *s.from, To: s.to, Data: data})
		s.say("250 2.0.0 ok")
	}
}

func (s *strict) startTLS() bool {
	if s.secure {
		s.say("503 5.5.1 again?")
		return true
	}
	if s.r.Buffered() > 0 {
		s.say("421 5.5.0 wait for the reply")
		return false
	}
	s.say("220 2.0.0 go on")
	conn := tls.Server(s.conn, s.tls)
	conn.SetDeadline(time.Now().Add(strictSilence))
	if conn.Handshake() != nil {
		return false
	}
	conn.SetDeadline(time.Time{})
	s.conn, s.secure, s.hello = conn, true, false
	s.r.Reset(conn)
	s.reset()
	return true
}

func (s *strict) auth(arg string) bool {
	mech, initial, given := strings.Cut(arg, " ")
	switch {
	case !s.hello || s.login || s.from != nil:
		s.say("503 5.5.1 not now")
		return true
	case !s.secure:
		s.say("538 5.7.11 TLS first")
		return true
	case !slices.Contains(strings.Fields(saslMechanisms), mech):
		s.say("504 5.5.4 one that is listed")
		return true
	}
	reply := (&saslServer{conn: s.conn, say: s.say, line: s.line}).login(mech, initial, given)
	switch {
	case reply[:3] == "235":
		s.login = true
	case reply[:3] == "421":
		s.say("%s", reply)
		return false
	case reply[:3] == "535":
		if s.failures++; s.failures > 2 {
			s.say("421 4.7.0 enough")
			return false
		}
	}
	s.say("%s", reply)
	return true
}

// own reports whether a message is in the login's own name: its author fields say
// so in one of a few ways, and no other says anything.
func (s *strict) own(header []byte) bool {
	const own = "sender@client.example"
	authors := 0
	for line := range bytes.SplitSeq(bytes.ReplaceAll(header, []byte("\r\n "), []byte(" ")), []byte("\r\n")) {
		name, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "from":
			authors++
		case "sender", "resent-from", "resent-sender":
		default:
			continue
		}
		if value != "<"+own+">" && value != "Somebody <"+own+">" {
			return false
		}
	}
	return authors == 1
}
