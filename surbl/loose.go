package surbl

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"path"
	"strings"

	"github.com/emersion/go-message"
)

// contentType is the type of an entity and its parameters, read out of fields
// with comments, quotes and repetitions that the grammar of RFC 2045 does not
// have, too; good says that it was none of those. Of a parameter that is there
// twice the first counts, or the last.
func contentType(h *message.Header, last bool) (kind string, params map[string]string, good bool) {
	kind, params, err := h.ContentType()
	field := h.Get("Content-Type")
	if err != nil {
		kind, params, err = mime.ParseMediaType(uncommented(field))
	} else {
		good = true
	}
	if err != nil {
		kind, params = looseType(uncommented(field), last)
	}
	if !strings.Contains(kind, "/") { // RFC 2045, section 5.2
		switch {
		case strings.Contains(kind, "html"):
			kind = "text/html"
		case !strings.HasPrefix(kind, "multipart"):
			kind = "text/plain"
		}
	}
	return kind, params, good
}

func looseType(field string, last bool) (kind string, params map[string]string) {
	params = make(map[string]string)
	for i, item := range splitUnquoted(field) {
		if i == 0 {
			kind, _, _ = strings.Cut(strings.ToLower(strings.Trim(item, " \t\"'")), " ")
			continue
		}
		name, value, ok := strings.Cut(item, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if _, again := params[name]; ok && (!again || last) && len(params) < maxParams {
			params[name] = strings.Trim(value, " \t\"")
		}
	}
	return kind, params
}

// uncommented leaves out comments (RFC 5322, section 3.2.2), not those within
// quotes.
func uncommented(s string) string {
	if !strings.Contains(s, "(") {
		return s
	}
	var out strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' && depth == 0:
			quoted = !quoted
			out.WriteByte(c)
		case c == '(' && !quoted:
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth == 0:
			out.WriteByte(c)
		}
	}
	return out.String()
}

// splitUnquoted splits at semicolons that are not within quotes.
func splitUnquoted(s string) (items []string) {
	quoted, from := false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ';' && !quoted:
			items = append(items, s[from:i])
			from = i + 1
		}
	}
	return append(items, s[from:])
}

// attachedMessage reports whether a part is a message, by its type or its name.
func attachedMessage(kind, name string) bool {
	switch kind {
	case "message/rfc822", "message/global", "message/news", "message/partial", "message/external-body":
		return true
	}
	switch strings.ToLower(path.Ext(name)) {
	case ".eml", ".mht", ".mhtml":
		return true
	}
	return false
}

// plainEncoding reports whether a transfer encoding changes nothing.
func plainEncoding(encoding string) bool {
	switch encodingName(encoding) {
	case "base64", "quoted-printable", "uuencode":
		return false
	}
	return true
}

// encodingName is the transfer encoding that a field names, in quotes, with
// comments or by another name.
func encodingName(encoding string) string {
	name := strings.ToLower(strings.Trim(uncommented(encoding), " \t\r\n\"';.,"))
	switch name {
	case "x-uuencode", "x-uue", "uue":
		return "uuencode"
	case "b64", "base-64", "x-base64":
		return "base64"
	case "quotedprintable", "quoted_printable", "x-quoted-printable", "qp":
		return "quoted-printable"
	}
	return name
}

// usual reports whether a transfer encoding is written as go-message knows it.
func usual(encoding string) bool {
	switch strings.ToLower(encoding) {
	case "", "7bit", "8bit", "binary", "quoted-printable", "base64":
		return true
	}
	return false
}

// loose undoes a transfer encoding, and passes over what is wrong in it.
func loose(encoding string, r io.Reader) io.Reader {
	d := new(decoder)
	switch encodingName(encoding) {
	case "base64":
		d.line = new(base64Lines).decode
		r = io.MultiReader(r, strings.NewReader("=")) // what is left without it
	case "quoted-printable":
		d.line = new(quotedLines).decode
	case "uuencode":
		d.line = uudecoded
	default:
		return r
	}
	d.in = bufio.NewReader(r)
	return d
}

// decoder decodes what it reads by lines; line may do so in place.
type decoder struct {
	in   *bufio.Reader
	line func(line []byte) []byte
	rest []byte
	err  error
}

func (d *decoder) Read(p []byte) (int, error) {
	for len(d.rest) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		line, err := d.in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			d.err = err
		}
		d.rest = d.line(line)
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// base64Lines decodes base64 line by line, whatever else is in it.
type base64Lines struct {
	out  []byte
	bits uint32
	n    int // letters in bits
}

func (b *base64Lines) decode(line []byte) []byte {
	out := b.out[:0]
	defer func() { b.out = out }()
	for _, c := range line {
		v := value64(c)
		if c == '=' { // what comes next begins anew
			if b.n >= 2 {
				b.bits <<= 6 * (4 - b.n)
				out = append(out, byte(b.bits>>16), byte(b.bits>>8))[:len(out)+b.n-1]
			}
			b.bits, b.n = 0, 0
			continue
		}
		if v > 63 {
			continue
		}
		b.bits = b.bits<<6 | uint32(v)
		if b.n++; b.n == 4 {
			out = append(out, byte(b.bits>>16), byte(b.bits>>8), byte(b.bits))
			b.bits, b.n = 0, 0
		}
	}
	return out
}

// quotedLines decodes quoted-printable line by line; what is not encoded stays.
type quotedLines struct {
	out  []byte
	held []byte // the beginning of an octet that a piece of a line ends with
}

func (q *quotedLines) decode(line []byte) []byte {
	line = append(append(q.out[:0], q.held...), line...)
	q.out, q.held = line[:0], q.held[:0]
	if text, whole := bytes.CutSuffix(line, []byte("\n")); whole {
		out, soft := softened(bytes.TrimSuffix(text, []byte("\r")))
		if !soft {
			out = append(out, '\n')
		}
		return out
	}
	if i := bytes.LastIndexByte(line, '='); i >= 0 && i >= len(line)-2 {
		q.held = append(q.held, line[i:]...)
		line = line[:i]
	}
	out, _ := softened(line)
	return out
}

// value64 is the value of a letter of base64, 255 for others.
func value64(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z':
		return c - 'A'
	case c >= 'a' && c <= 'z':
		return c - 'a' + 26
	case c >= '0' && c <= '9':
		return c - '0' + 52
	case c == '+' || c == '-':
		return 62
	case c == '/' || c == '_':
		return 63
	}
	return 255
}

// beginsUU reports whether a line begins a file in uuencode.
func beginsUU(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("begin "))
	mode, name, named := bytes.Cut(rest, []byte(" "))
	return ok && named && len(name) > 0 && (len(mode) == 3 || len(mode) == 4) && len(bytes.Trim(mode, "01234567")) == 0
}

// holdsFile reports whether text has a line that begins a file in uuencode.
func holdsFile(text []byte) bool {
	for from := 0; ; {
		i := bytes.Index(text[from:], []byte("begin "))
		if i < 0 {
			return false
		}
		if i += from; i == 0 || text[i-1] == '\n' {
			line, _, _ := bytes.Cut(text[i:min(len(text), i+200)], []byte("\n"))
			if beginsUU(bytes.TrimRight(line, "\r")) {
				return true
			}
		}
		from = i + 6
	}
}

// uuencoded reports whether a line is of as many letters as it says.
func uuencoded(line []byte) bool {
	if len(line) < 2 || line[0] <= ' ' || line[0] > '`' {
		return false
	}
	letters := (int(line[0]-' ')&63 + 2) / 3 * 4
	return len(line)-1 >= letters-3 && len(line)-1 <= letters+1
}

// uudecoded decodes one line of uuencode; its first and last lines are nothing.
func uudecoded(line []byte) []byte {
	line = bytes.TrimRight(line, "\r\n")
	if len(line) < 2 || line[0] < ' ' || line[0] > '`' || bytes.HasPrefix(line, []byte("begin ")) || string(line) == "end" {
		return nil
	}
	n := int(line[0]-' ') & 63
	out := make([]byte, 0, 48)
	for i := 1; i < len(line) && len(out) < n; i += 4 {
		var v [4]byte
		for j := range v {
			if i+j < len(line) {
				v[j] = (line[i+j] - ' ') & 63
			}
		}
		out = append(out, v[0]<<2|v[1]>>4, v[1]<<4|v[2]>>2, v[2]<<6|v[3])
	}
	return out[:min(n, len(out))]
}
