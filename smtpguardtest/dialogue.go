package smtpguardtest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A dialogue is a .cmy file: what is sent and expected on one connection after
// another. Of a reply only the code counts: a success by all of it, a refusal
// as a refusal.
type dialogue struct {
	steps []step // verbs: ">" send, "<" expect, "tcp", "tls", "close"
	tls   bool
}

// What chasquid's tests call its user, and the login they prove.
const (
	chasquidDomain = "testserver"
	chasquidUser   = "user@testserver"
	chasquidLogin  = "dXNlckB0ZXN0c2VydmVyAHVzZXJAdGVzdHNlcnZlcgBzZWNyZXRwYXNzd29yZA=="
)

// chasquidStrict are refusals that no RFC asks for: taking the mail is right, too.
var chasquidStrict = []string{
	"554 5.6.0 Error parsing message",                                 // a header line without a colon
	"501 5.1.8 Malformed sender domain (IDNA conversion failed)",      // what a reverse-path's domain looks like in DNS is no syntax
	"501 5.1.2 Malformed destination domain (IDNA conversion failed)", // the same
}

func parseDialogue(text string) (*dialogue, error) {
	d := &dialogue{}
	// No RFC has a space after the colon, or a path without brackets.
	spell := strings.NewReplacer(
		"RCPT TO: "+chasquidUser, "RCPT TO:<${rcpt}>",
		"MAIL FROM: <>", "MAIL FROM:<>",
		"@"+chasquidDomain, "@${domain}",
		chasquidLogin, "${plain}",
	)
	for i, line := range strings.Split(text, "\n") {
		if line = strings.TrimRight(line, "\r"); line == "" || line[0] == '#' {
			continue
		}
		s := step{line: i + 1}
		rest, ok := strings.CutPrefix(line, "c ")
		verb, arg, _ := strings.Cut(rest, " ")
		switch {
		case !ok:
			return nil, fmt.Errorf("line %d: %q is of no client", s.line, line)
		case verb == "tcp_connect":
			s.verb = "tcp"
		case verb == "tls_connect":
			s.verb, d.tls = "tls", true
		case verb == "close":
			s.verb = "close"
		case verb == "->":
			s.verb, s.arg = ">", spell.Replace(arg)+"\r\n"
		case verb == "~>":
			octets, err := pythonString(arg)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", s.line, err)
			}
			s.verb, s.arg = ">", octets
		case verb == "<-" || verb == "<~" || verb == "<...":
			s.verb, s.arg = "<", arg
		default:
			return nil, fmt.Errorf("line %d: no step is called %q", s.line, verb)
		}
		d.steps = append(d.steps, s)
	}
	return d, nil
}

var pythonTerm = regexp.MustCompile(`^\s*'([^']*)'(?:\s*\*\s*([0-9]+))?\s*(?:\+|$)`)

// pythonString reads a sum of strings: 'xxx\r\n' * 3 + '.'.
func pythonString(s string) (string, error) {
	var out strings.Builder
	for s != "" {
		m := pythonTerm.FindStringSubmatch(s)
		if m == nil {
			return "", fmt.Errorf("%q is no sum of strings", s)
		}
		text, err := strconv.Unquote(`"` + m[1] + `"`)
		if err != nil {
			return "", fmt.Errorf("the string '%s': %w", m[1], err)
		}
		n := 1
		if m[2] != "" {
			if n, err = strconv.Atoi(m[2]); err != nil {
				return "", err
			}
		}
		out.WriteString(strings.Repeat(text, n))
		s = s[len(m[0]):]
	}
	return out.String(), nil
}

func (d *dialogue) run(c *Client) error {
	gone := false    // the server hung up, which ends this connection's part
	greeted := false // the banner was read before STARTTLS
	for _, s := range d.steps {
		switch s.verb {
		case "tcp", "tls":
			gone, greeted = false, false
			if err := c.Connect(); err != nil {
				return err
			}
			if s.verb == "tls" && !c.server.ImplicitTLS {
				if err := c.Play("HELLO\nC: STARTTLS\nS: 220\nTLS"); err != nil {
					return err
				}
				greeted = true
			}
		case "close":
			c.Close()
		case ">":
			octets := c.variables().Replace(s.arg)
			if gone {
				continue
			}
			line, ok := strings.CutSuffix(octets, "\r\n")
			if ok && !strings.ContainsAny(line, "\r\n") {
				if err := c.Send(line); err != nil {
					return err
				}
			} else if err := c.Write(octets); err != nil {
				return err
			}
		case "<":
			if greeted && s.arg == "220" {
				greeted = false
				continue
			}
			if gone {
				continue
			}
			pattern := dialoguePattern(s.arg, c.server.AllowBare)
			got, err := c.receive(pattern)
			if err != nil {
				return err
			}
			if got != "" {
				return &Mismatch{Line: s.line, Want: s.arg, Got: got, Dialogue: c.Dialogue()}
			}
			gone = c.hangup
		}
	}
	return nil
}

func dialoguePattern(arg string, bare bool) string {
	switch {
	case arg[0] == '2' || arg[0] == '3':
		return arg[:3]
	case strings.HasPrefix(arg, "503 5.5.1 You are already"):
		return "503|421|EOF"
	case bare && strings.HasSuffix(arg, "invalid line ending"):
		return "250|" + refused
	}
	for _, strict := range chasquidStrict {
		if strings.HasPrefix(strict, arg) || strings.HasPrefix(arg, strict) {
			return "250|" + refused
		}
	}
	return refused
}
