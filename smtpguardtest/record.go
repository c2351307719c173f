package smtpguardtest

import (
	"io"
	"strconv"
	"strings"
	"testing"
)

// Record plays a transcript's client on a new connection and returns the whole
// dialogue as text, so that two servers can be compared octet for octet.
//
// In a script with S: steps, each of them reads one whole reply, whatever its
// pattern. In a script without any, a reply is read first and after each step
// that a server answers, which leaves out the lines of a message and a BDAT
// command before its chunk. At the end the client closes its half, and what the
// server still says, up to its hanging up, belongs to the dialogue.
func Record(t testing.TB, target Target, script string) string {
	t.Helper()
	steps, err := parseTranscript(script)
	if err != nil {
		t.Fatal(err)
	}
	c := open(t, target)
	// Closed here, so that the server is done with the session when Record
	// returns.
	defer c.Close()
	if err := c.record(steps); err != nil {
		t.Errorf("%v; the dialogue so far:\n%s", err, indent(c.Dialogue()))
	}
	return c.Dialogue()
}

func (c *Client) record(steps []step) error {
	auto := true
	for _, s := range steps {
		auto = auto && s.verb != "S:"
	}
	var reader autoReader
	for _, s := range steps {
		if auto && !reader.greeted && s.verb != "CONNECT" && s.verb != "HELLO" && s.verb != "READY" {
			if _, err := c.Reply(); err != nil && err != io.EOF {
				return err
			}
		}
		reader.greeted = true
		if s.verb == "S:" {
			if _, err := c.Reply(); err != nil && err != io.EOF {
				return err
			}
			continue
		}
		if err := c.step(s); err != nil {
			return err
		}
		if !auto || !reader.answers(s) {
			continue
		}
		r, err := c.Reply()
		if err != nil && err != io.EOF {
			return err
		}
		reader.data = r.Code == 354
	}
	if c.conn == nil || c.hangup {
		return nil
	}
	if err := c.HalfClose(); err != nil {
		if _, ok := err.(Skip); ok {
			return nil
		}
		return err
	}
	_, err := c.Rest()
	return err
}

// autoReader knows which of a client's steps a server answers.
type autoReader struct {
	greeted bool
	data    bool // between a 354 and the end of data
	chunk   bool // between BDAT and its chunk
}

func (a *autoReader) answers(s step) bool {
	switch s.verb {
	case "CONNECT":
		return true
	case "C:", "C!":
	default:
		return false
	}
	switch {
	case a.chunk:
		a.chunk = false
	case a.data:
		octets := s.arg
		if s.verb == "C!" {
			octets, _ = unquote(s.arg)
		}
		a.data = !(s.verb == "C:" && octets == ".") && octets != ".\r\n" && !strings.HasSuffix(octets, "\r\n.\r\n")
		return !a.data
	case s.verb == "C:":
		f := strings.Fields(s.arg)
		if len(f) > 1 && strings.EqualFold(f[0], "BDAT") {
			n, err := strconv.Atoi(f[1])
			a.chunk = err == nil && n > 0
		}
	}
	return !a.chunk
}
