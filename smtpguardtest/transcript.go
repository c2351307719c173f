package smtpguardtest

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Mismatch is the point where a server left a transcript.
type Mismatch struct {
	Line      int    // of the transcript, from 1
	Want, Got string // the transcript's line, and what came instead
	Dialogue  string // all of it so far
}

func (m *Mismatch) Error() string {
	return fmt.Sprintf("transcript line %d wants %q, got %q; the dialogue so far:\n%s", m.Line, m.Want, m.Got, indent(m.Dialogue))
}

func indent(s string) string {
	return "\t" + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n\t")
}

// A step is one line of a transcript.
type step struct {
	line int
	verb string // "C:", "C!", "S:" or one that word knows
	arg  string
}

func (s step) String() string {
	if s.arg == "" {
		return s.verb
	}
	return s.verb + " " + s.arg
}

// word returns what a step does that is not a line sent or received; nil if
// there is no such step.
func word(verb string) func(c *Client, arg string) error {
	switch verb {
	case "CONNECT":
		return func(c *Client, _ string) error { return c.Connect() }
	case "HELLO":
		return func(c *Client, _ string) error { return c.Hello() }
	case "READY":
		return func(c *Client, _ string) error { return c.Ready() }
	case "STARTTLS":
		return func(c *Client, _ string) error { return c.StartTLS() }
	case "TLS":
		return func(c *Client, _ string) error { return c.Handshake() }
	case "AUTH":
		return func(c *Client, _ string) error { return c.Login() }
	case "CLOSE":
		return func(c *Client, _ string) error { c.note("CLOSE"); c.Close(); return nil }
	case "HALFCLOSE":
		return func(c *Client, _ string) error { return c.HalfClose() }
	case "WAIT":
		return (*Client).wait
	}
	return nil
}

// wait sleeps, no longer than the reply timeout.
func (c *Client) wait(arg string) error {
	d, err := time.ParseDuration(arg)
	if err != nil || d > c.server.Timeout {
		return fmt.Errorf("smtpguardtest: WAIT %s: a duration up to Target.Timeout is needed", arg)
	}
	if err := c.connected(); err != nil {
		return err
	}
	c.note("WAIT " + arg)
	select {
	case <-time.After(d):
		return nil
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

func parseTranscript(script string) ([]step, error) {
	var steps []step
	for i, line := range strings.Split(script, "\n") {
		line = strings.TrimRight(strings.TrimLeft(line, " \t"), "\r")
		if strings.TrimSpace(line) == "" || line[0] == '#' {
			continue
		}
		s := step{line: i + 1}
		s.verb, s.arg, _ = strings.Cut(line, " ")
		switch {
		case s.verb == "C:", word(s.verb) != nil:
		case s.verb == "S:":
			s.arg = strings.TrimSpace(s.arg)
			if _, err := matcher(s.arg); err != nil {
				return nil, fmt.Errorf("smtpguardtest: transcript line %d: %w", s.line, err)
			}
		case s.verb == "C!":
			if _, err := unquote(s.arg); err != nil {
				return nil, fmt.Errorf("smtpguardtest: transcript line %d: %w", s.line, err)
			}
		default:
			return nil, fmt.Errorf("smtpguardtest: transcript line %d: no step is called %q", s.line, s.verb)
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// unquote joins Go strings, each of which may be repeated: "a\r\n" * 3 "b".
func unquote(s string) (string, error) {
	var out strings.Builder
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		quoted, err := strconv.QuotedPrefix(s)
		if err != nil {
			return "", fmt.Errorf("a C! step needs Go strings, not %s", s)
		}
		text, err := strconv.Unquote(quoted)
		if err != nil {
			return "", fmt.Errorf("a C! step cannot read %s: %w", quoted, err)
		}
		s = strings.TrimSpace(s[len(quoted):])
		n := 1
		if rest, ok := strings.CutPrefix(s, "*"); ok {
			rest = strings.TrimLeft(rest, " ")
			end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
			if end < 0 {
				end = len(rest)
			}
			if n, err = strconv.Atoi(rest[:end]); err != nil || n*len(text) > 1<<28 {
				return "", fmt.Errorf("a C! step needs a small number after *, not %s", rest)
			}
			s = rest[end:]
		}
		out.WriteString(strings.Repeat(text, n))
	}
	return out.String(), nil
}

var (
	wholeReply = regexp.MustCompile(`^(([2-5x][0-9x]{2}|EOF)(\|([2-5x][0-9x]{2}|EOF))*( \*\*)?)?$`)
	replyLine  = regexp.MustCompile(`^[2-5x][0-9x]{2}[ -]`)
)

// matcher reads the pattern of an S: step. A whole pattern stands for a reply,
// any other for one line of it.
func matcher(pattern string) (whole bool, err error) {
	switch {
	case wholeReply.MatchString(pattern):
		return true, nil
	case replyLine.MatchString(pattern):
		return false, nil
	}
	return false, fmt.Errorf("an S: step needs a reply code, codes and EOF with | between, or a line of a reply, not %q", pattern)
}

// matchWhole matches a reply's code, or "EOF".
func matchWhole(pattern, got string) bool {
	pattern = strings.TrimSuffix(pattern, " **")
	for alt := range strings.SplitSeq(pattern, "|") {
		if pattern == "" || alt == got || len(alt) == len(got) && alt != "EOF" && got != "EOF" && matchLine(alt, got) {
			return true
		}
	}
	return false
}

// matchLine matches a line with * for any text and x in the code for any digit.
func matchLine(pattern, got string) bool {
	expr := "^" + strings.ReplaceAll(pattern[:3], "x", "[0-9]") +
		strings.ReplaceAll(regexp.QuoteMeta(pattern[3:]), `\*`, ".*") + "$"
	return regexp.MustCompile(expr).MatchString(got)
}

// Play plays a transcript on this connection, or on a new one if none is open.
// What the server did otherwise is a *Mismatch.
func (c *Client) Play(script string) error {
	steps, err := parseTranscript(script)
	if err != nil {
		return err
	}
	for _, s := range steps {
		if err := c.step(s); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) step(s step) error {
	switch s.verb {
	case "C:":
		return c.Send(c.variables().Replace(s.arg))
	case "C!":
		octets, err := unquote(s.arg)
		if err != nil {
			return err
		}
		return c.Write(c.variables().Replace(octets))
	case "S:":
		got, err := c.receive(s.arg)
		if err != nil {
			return err
		}
		if got != "" {
			return &Mismatch{Line: s.line, Want: s.String(), Got: got, Dialogue: c.Dialogue()}
		}
		return nil
	}
	err := word(s.verb)(c, s.arg)
	if _, skip := err.(Skip); err != nil && !skip {
		return fmt.Errorf("transcript line %d, %s: %w", s.line, s, err)
	}
	return err
}

// receive reads what a pattern stands for. It returns what came instead, or
// nothing.
func (c *Client) receive(pattern string) (got string, err error) {
	whole, err := matcher(pattern)
	if err != nil {
		return "", err
	}
	if !whole {
		line, err := c.line()
		if err != nil {
			return err.Error(), nil
		}
		if !matchLine(c.variables().Replace(pattern), line) {
			return line, nil
		}
		return "", nil
	}
	r, err := c.Reply()
	code := strconv.Itoa(r.Code)
	switch {
	case err == io.EOF:
		code = "EOF"
	case err != nil:
		return err.Error(), nil
	}
	if matchWhole(pattern, code) {
		return "", nil
	}
	if err == io.EOF {
		return "EOF", nil
	}
	return r.String(), nil
}

// Play plays a transcript on a new connection to target. A mismatch fails the
// test; see the package comment for the language.
func Play(t testing.TB, target Target, script string) {
	t.Helper()
	c := open(t, target)
	if err := c.Play(script); err != nil {
		t.Error(err)
	}
}

func open(t testing.TB, target Target) *Client {
	t.Helper()
	s, err := start(target)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(context.Background(), s)
	t.Cleanup(func() { c.Close(); s.stop() })
	return c
}
