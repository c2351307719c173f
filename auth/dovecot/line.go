package dovecot

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// reply is what Dovecot says of one request.
type reply struct {
	verb   string // OK, FAIL or CONT
	id     uint32
	params []string // unescaped: "name" or "name=value"
}

// parseLine reads a line: a verb and its parameters, with tabs between.
func parseLine(line string) (verb string, params []string) {
	f := strings.Split(line, "\t")
	for i := range f {
		f[i] = unescape(f[i])
	}
	return f[0], f[1:]
}

var unescaper = strings.NewReplacer("\x010", "\x00", "\x011", "\x01", "\x01t", "\t", "\x01r", "\r", "\x01n", "\n")

// unescape undoes how Dovecot writes what would end a parameter.
func unescape(s string) string {
	if strings.IndexByte(s, 1) < 0 {
		return s
	}
	return unescaper.Replace(s)
}

// parseReply reads a line that answers a request; ok is false for other lines,
// which a client passes over.
func parseReply(line string) (r reply, ok bool, err error) {
	verb, params := parseLine(line)
	switch verb {
	case "OK", "FAIL", "CONT":
	default:
		return r, false, nil
	}
	if len(params) == 0 {
		return r, false, errors.New("a reply without a number")
	}
	id, err := strconv.ParseUint(params[0], 10, 32)
	if err != nil {
		return r, false, errors.New("a reply whose number is none")
	}
	return reply{verb, uint32(id), params[1:]}, true, nil
}

// param is the value of a parameter; has is true for one without a value too.
func (r *reply) param(name string) (value string, has bool) {
	for _, p := range r.params {
		if key, value, _ := strings.Cut(p, "="); key == name {
			return value, true
		}
	}
	return "", false
}

// Versions of the protocol: another major one is another protocol.
const (
	major = 1
	minor = 2
)

// handshake is what the server says of itself before the first request.
type handshake struct {
	version, plain bool
}

// line reads a line of it; done is true for the last.
func (h *handshake) line(line string) (done bool, err error) {
	verb, params := parseLine(line)
	switch {
	case verb == "VERSION":
		if len(params) < 2 || params[0] != strconv.Itoa(major) {
			return false, fmt.Errorf("another version of the protocol than %d: %.40q", major, line)
		}
		h.version = true
	case !h.version:
		return false, errors.New("no Dovecot: it does not begin with a VERSION")
	case verb == "MECH":
		h.plain = h.plain || len(params) > 0 && params[0] == "PLAIN"
	case verb == "DONE":
		if !h.plain {
			return false, errors.New("PLAIN is missing in auth_mechanisms")
		}
		return true, nil
	}
	return false, nil
}
