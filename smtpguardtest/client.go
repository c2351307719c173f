package smtpguardtest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"
)

// Client is a client of the server under test, as bad as a case wants it. It
// connects with its first step and keeps the dialogue.
type Client struct {
	server  *server
	ctx     context.Context
	token   string // marks this client's messages among all that were delivered
	conn    net.Conn
	r       *bufio.Reader
	hangup  bool
	keyword map[string]string // EHLO keywords of the last Hello and their parameters
	log     []string
}

var clients atomic.Int64

func newClient(ctx context.Context, s *server) *Client {
	return &Client{server: s, ctx: ctx, token: fmt.Sprintf("case-%d-%d", os.Getpid(), clients.Add(1))}
}

// A Reply is one reply of the server, its lines without CRLF.
type Reply struct {
	Code  int
	Lines []string
}

func (r Reply) String() string { return strings.Join(r.Lines, "\n") }

// Class is the reply code's first digit; 0 is no reply.
func (r Reply) Class() int { return r.Code / 100 }

// maxReplyLine is generous: RFC 5321, section 4.5.3.1.5 says 512 octets.
const maxReplyLine = 64 << 10

// Connect opens a connection, closing the one before it. It sends the PROXY
// header and does an implicit TLS handshake, and reads nothing.
func (c *Client) Connect() error {
	c.Close()
	ctx, cancel := context.WithTimeout(c.ctx, c.server.Timeout)
	defer cancel()
	conn, err := c.server.dial(ctx)
	if err != nil {
		return fmt.Errorf("smtpguardtest: connecting: %w", err)
	}
	if len(c.log) > 0 {
		c.note("CONNECT")
	}
	c.use(conn)
	if err := c.write(c.server.proxyHeader()); err != nil {
		return err
	}
	if c.server.ImplicitTLS {
		return c.Handshake()
	}
	return nil
}

func (c *Client) use(conn net.Conn) {
	c.conn, c.hangup = conn, false
	c.r = bufio.NewReaderSize(conn, maxReplyLine)
}

func (c *Client) connected() error {
	if c.conn != nil {
		return nil
	}
	return c.Connect()
}

// Handshake starts TLS on the open connection.
func (c *Client) Handshake() error {
	if c.server.TLS == nil {
		return errors.New("smtpguardtest: a TLS step needs Target.TLS")
	}
	cfg := c.server.TLS.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = "localhost"
	}
	c.note("TLS")
	conn := tls.Client(c.conn, cfg)
	conn.SetDeadline(time.Now().Add(c.server.Timeout))
	if err := conn.HandshakeContext(c.ctx); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	c.use(conn)
	return nil
}

// Send sends a line and its CRLF.
func (c *Client) Send(line string) error {
	if err := c.connected(); err != nil {
		return err
	}
	c.note(shown("C", c.hide(line)))
	return c.write(line + "\r\n")
}

// Write sends octets as they are, in one write.
func (c *Client) Write(octets string) error {
	if err := c.connected(); err != nil {
		return err
	}
	c.note("C! " + quote(c.hide(octets)))
	return c.write(octets)
}

// write takes a server that hung up for granted: the next Reply says so, after
// what it said last.
func (c *Client) write(octets string) error {
	c.conn.SetWriteDeadline(time.Now().Add(c.server.Timeout))
	_, err := io.WriteString(c.conn, octets)
	if err == nil || hungUp(err) {
		return nil
	}
	return fmt.Errorf("the server stopped reading: %w", err)
}

func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.ErrClosedPipe) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ENOTCONN)
}

// Reply reads one reply, all its lines; io.EOF means that the server hung up.
func (c *Client) Reply() (Reply, error) {
	var r Reply
	for {
		line, err := c.line()
		if err != nil {
			return r, err
		}
		code, more, err := parseReplyLine(line)
		if err != nil {
			return r, err
		}
		if r.Code != 0 && r.Code != code {
			return r, fmt.Errorf("one reply with two codes, %d and %d", r.Code, code)
		}
		r.Code = code
		r.Lines = append(r.Lines, line)
		if !more {
			return r, nil
		}
	}
}

func (c *Client) line() (string, error) {
	if err := c.connected(); err != nil {
		return "", err
	}
	c.conn.SetReadDeadline(time.Now().Add(c.server.Timeout))
	octets, err := c.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("a reply line of over %d octets", maxReplyLine)
	case err != nil && hungUp(err):
		if !c.hangup {
			c.note("S: EOF")
		}
		c.hangup = true
		return "", io.EOF
	case err != nil:
		return "", fmt.Errorf("no answer within %v: %w", c.server.Timeout, err)
	}
	line, ok := bytes.CutSuffix(octets, []byte("\r\n"))
	c.note(shown("S", string(line)))
	if !ok {
		return "", fmt.Errorf("the reply line %q does not end with CRLF", line)
	}
	return string(line), nil
}

// parseReplyLine reads a line of a reply: RFC 5321, section 4.2.
func parseReplyLine(line string) (code int, more bool, err error) {
	if len(line) == 3 {
		line += " "
	}
	if len(line) < 4 || line[0] < '2' || line[0] > '5' || line[1] < '0' || line[1] > '9' || line[2] < '0' || line[2] > '9' ||
		line[3] != ' ' && line[3] != '-' {
		return 0, false, fmt.Errorf("%.200q is not a line of a reply", line)
	}
	return int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0'), line[3] == '-', nil
}

// Rest reads replies until the server hangs up.
func (c *Client) Rest() ([]Reply, error) {
	var all []Reply
	for {
		r, err := c.Reply()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, r)
	}
}

// Cmd sends a line and reads the reply.
func (c *Client) Cmd(line string) (Reply, error) {
	if err := c.Send(line); err != nil {
		return Reply{}, err
	}
	return c.Reply()
}

// HalfClose ends what the client sends; it can still read.
func (c *Client) HalfClose() error {
	if err := c.connected(); err != nil {
		return err
	}
	c.note("HALFCLOSE")
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok {
		return Skip("a connection that cannot be half closed")
	}
	if err := half.CloseWrite(); err != nil && !hungUp(err) {
		return err
	}
	return nil
}

// Close closes the connection, if one is open.
func (c *Client) Close() {
	if c.conn == nil {
		return
	}
	c.conn.Close()
	c.conn = nil
}

// Offers reports whether the last EHLO reply had keyword, and its parameters.
func (c *Client) Offers(keyword string) (params string, ok bool) {
	params, ok = c.keyword[keyword]
	return params, ok
}

// Dialogue is what was said so far, as a transcript.
func (c *Client) Dialogue() string {
	if len(c.log) == 0 {
		return ""
	}
	return strings.Join(c.log, "\n") + "\n"
}

func (c *Client) note(line string) { c.log = append(c.log, line) }

// plain is the PLAIN message of the target's login (RFC 4616).
func (c *Client) plain() string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + c.server.User + "\x00" + c.server.Password))
}

// hide keeps the password out of the dialogue.
func (c *Client) hide(s string) string {
	if c.server.Password == "" {
		return s
	}
	return strings.ReplaceAll(s, c.plain(), "${plain}")
}

// shown writes a line for the dialogue, one with control characters quoted.
func shown(who, line string) string {
	if strings.IndexFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError }) >= 0 {
		return who + "! " + quote(line+"\r\n")
	}
	return who + ": " + line
}

// quote writes octets as a Go string, a long one abbreviated.
func quote(octets string) string {
	const most = 600
	if len(octets) <= most {
		return fmt.Sprintf("%q", octets)
	}
	return fmt.Sprintf("%q... (%d octets)", octets[:most], len(octets))
}
