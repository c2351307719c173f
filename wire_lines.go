package smtpguard

import (
	"bytes"
	"strconv"
	"strings"
)

// cmdLines follows the command lines in what a client sends in clear text. It
// changes nothing but a bare postmaster. What is content it tells from what
// go-smtp does: it sets a read deadline before each command line, and for DATA
// it reads on after a reply without one. A BDAT line says itself how much
// follows. Content that the session reads directly never comes here. When a client
// pipelines behind the end of other DATA content, nothing is looked at until
// content ends together with its segment. The same goes for what a client
// pipelines behind AUTH.
type cmdLines struct {
	host            string // completes a bare postmaster; "" leaves it
	allowPipelining bool
	allowBareLF     bool

	state    cmdState
	started  bool    // the first line has been seen
	behind   bool    // more octets than those looked at have come
	response bool    // the next line answers a 334
	tail     [5]byte // the last octets so far
	content  bool    // they were content of DATA
	atData   bool    // they are a DATA line, whole
	chunk    uint64  // octets of a BDAT chunk still to come
	line     []byte  // beginning of a line that comes in pieces
}

type cmdState uint8

const (
	cmdStart cmdState = iota // a command line begins
	cmdPart                  // one has begun
	cmdChunk                 // octets of a BDAT chunk
	cmdBlind                 // content, and what follows it in its segment; the same of AUTH
)

// The wire's own refusals. A 521 may be followed by a close (RFC 7504). For
// pipelining a permanent code, since the client would do the same again, and
// X.5.1 because a command came out of its turn (RFC 3463, section 3.6).
const (
	refuseBareLF     = "521 5.5.2 Lines must end with CRLF"
	refusePipelining = "554 5.5.1 Improper command pipelining"
	refuseHTTP       = "554 5.5.1 This is no web server"
	refuseEarly      = "554 5.5.1 Client talked before the greeting"
)

// next looks at the segment p, which must not be empty. wanted says that
// go-smtp has asked for a command line after its last reply. It returns what to
// send instead of running anything of the segment, or the segment as it is to
// be read: p itself, unless a postmaster was completed.
func (l *cmdLines) next(p []byte, wanted bool) (out []byte, refusal string) {
	l.atData = false
	switch {
	case !wanted && l.state == cmdStart:
		l.state = cmdBlind
	case wanted && l.state == cmdBlind && l.content && string(l.tail[:]) == "\r\n.\r\n":
		l.state = cmdStart
	}
	l.content = !wanted
	n := copy(l.tail[:], l.tail[min(len(p), len(l.tail)):])
	copy(l.tail[n:], p[max(len(p)-len(l.tail), 0):])
	pos, copied := 0, 0
	for pos < len(p) && l.state != cmdBlind {
		rest := p[pos:]
		if l.state == cmdChunk {
			n := int(min(l.chunk, uint64(len(rest))))
			pos += n
			if l.chunk -= uint64(n); l.chunk == 0 {
				l.state = cmdStart
			}
			continue
		}
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			l.line = append(l.line, rest...)
			l.state = cmdPart
			break
		}
		line, end := rest[:i+1], pos+i+1
		if l.state == cmdPart {
			line, l.line = append(l.line, line...), nil
		}
		l.state = cmdStart
		tail, refusal := l.command(line, end < len(p) || l.behind)
		if refusal != "" {
			return nil, refusal
		}
		if tail > 0 && tail <= end-pos {
			out = append(out, p[copied:end-tail]...)
			out = append(append(out, '@'), l.host...)
			copied = end - tail
		}
		pos = end
	}
	if out == nil {
		return p, ""
	}
	return append(out, p[copied:]...), ""
}

// command judges one line, its end included; more says that octets that follow it
// have come too. tail, if not 0, is how many octets before the line's end
// "@host" is missing.
func (l *cmdLines) command(line []byte, more bool) (tail int, refusal string) {
	first := !l.started
	l.started = true
	text := bytes.TrimRight(line, "\r\n") // as go-smtp does
	if len(line) < 2 || line[len(line)-2] != '\r' {
		if !l.allowBareLF {
			return 0, refuseBareLF
		}
	}
	if l.response {
		l.response = false
		if more && !l.allowPipelining {
			return 0, refusePipelining
		}
		return 0, ""
	}
	if first && isHTTP(text) {
		return 0, refuseHTTP
	}
	if len(text) < 4 {
		return 0, ""
	}
	alone := false // must come last in a group: the client has to see the reply first
	switch text[0] | 0x20 {
	case 'e', 'h', 'l':
		alone = isVerb(text, "EHLO") || isVerb(text, "HELO") || isVerb(text, "LHLO") // RFC 2920, section 3.1
	case 'a':
		if isVerb(text, "AUTH") {
			alone = !oneStep(text)
			if more {
				l.state = cmdBlind // what follows may be responses
			}
		}
	case 's':
		alone = hasPrefixFold(text, "STARTTLS") // RFC 3207; go-smtp looks at the prefix only
	case 'd':
		if alone = isVerb(text, "DATA"); alone && more { // RFC 2920, section 3.1
			l.state = cmdBlind
		} else {
			l.atData = alone
		}
	case 'b':
		if n := chunkSize(text); n > 0 {
			l.chunk, l.state = n, cmdChunk
		}
	case 'r':
		if l.host != "" {
			if at := barePostmaster(text); at > 0 {
				tail = len(line) - at
			}
		}
	}
	if alone && more && !l.allowPipelining {
		return 0, refusePipelining
	}
	return tail, ""
}

// isVerb reports whether go-smtp takes text for the four-letter command verb.
func isVerb(text []byte, verb string) bool {
	return hasPrefixFold(text, verb) && (len(text) == 4 || text[4] == ' ')
}

// oneStep reports whether the exchange that an AUTH line begins ends with it:
// more commands may follow at once (RFC 4954, section 4).
func oneStep(text []byte) bool {
	args := bytes.Fields(text[len("AUTH"):])
	return len(args) > 1 && oneStepMechanism(string(args[0]))
}

// oneStepMechanism reports whether a mechanism is over when it has an initial
// response. go-smtp compares in upper case.
func oneStepMechanism(name string) bool {
	return strings.EqualFold(name, "PLAIN") || strings.EqualFold(name, "EXTERNAL")
}

// hasPrefixFold compares ASCII letters without regard to case; prefix is in
// upper case.
func hasPrefixFold(s []byte, prefix string) bool {
	if len(s) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := s[i]
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}

// chunkSize is how many octets go-smtp reads after a BDAT line: none when it
// refuses the line's syntax.
func chunkSize(text []byte) uint64 {
	if !isVerb(text, "BDAT") || len(text) < 6 {
		return 0
	}
	args := bytes.Fields(text[5:])
	switch {
	case len(args) == 0, len(args) > 2:
		return 0
	case len(args) == 2 && !bytes.EqualFold(args[1], []byte("LAST")):
		return 0
	}
	n, err := strconv.ParseUint(string(args[0]), 10, 32)
	if err != nil {
		return 0
	}
	return n
}

// barePostmaster returns where in text the '>' of a RCPT TO:<postmaster> is, 0
// when text is something else.
func barePostmaster(text []byte) int {
	const name = "<POSTMASTER>"
	if !isVerb(text, "RCPT") || len(text) < 6 {
		return 0
	}
	rest := bytes.TrimLeft(text[5:], " ")
	if !hasPrefixFold(rest, "TO:") {
		return 0
	}
	rest = bytes.TrimLeft(rest[3:], " ")
	if !hasPrefixFold(rest, name) || len(rest) > len(name) && rest[len(name)] != ' ' {
		return 0
	}
	return len(text) - len(rest) + len(name) - 1
}

// isHTTP reports whether a browser, or someone who steers one, sent the first
// line.
func isHTTP(text []byte) bool {
	for _, method := range [...]string{"GET ", "POST ", "PUT ", "HEAD ", "OPTIONS ", "CONNECT "} {
		if bytes.HasPrefix(text, []byte(method)) {
			return true
		}
	}
	return false
}
