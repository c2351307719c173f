package surbl

import (
	"bytes"
)

// What an octet may be in a tag.
const (
	nameEnd  = 1 << iota // of an attribute
	valueEnd             // of one without quotes
	between              // attributes
	authorityEnd
)

var marks = [256]uint8{
	' ': nameEnd | valueEnd | between, '\t': nameEnd | valueEnd | between, '\n': nameEnd | valueEnd | between,
	'\r': nameEnd | valueEnd | between, '\f': nameEnd | valueEnd | between,
	'/': nameEnd | between | authorityEnd, '>': nameEnd | valueEnd, '=': nameEnd,
	'\\': authorityEnd, '?': authorityEnd, '#': authorityEnd,
}

// attributes reads the attributes of the tag at hand from i on, until it ends
// or b does.
func (r *reader) attributes(b []byte, i int, last bool) int {
	for {
		for i < len(b) && marks[b[i]]&between != 0 {
			i++
		}
		if i == len(b) {
			return i
		}
		if b[i] == '>' {
			r.endTag()
			return i + 1
		}
		begin := i
		for i++; i < len(b) && marks[b[i]]&nameEnd == 0; {
			i++
		}
		name := b[begin:i]
		for i < len(b) && space(b[i]) {
			i++
		}
		if i == len(b) {
			return r.short(b, begin, last)
		}
		if b[i] != '=' {
			r.attribute(name, nil, begin)
			continue
		}
		for i++; i < len(b) && space(b[i]); {
			i++
		}
		if i == len(b) {
			return r.short(b, begin, last)
		}
		from, to := i, 0
		switch quote := b[i]; quote {
		case '"', '\'':
			from++
			if to = bytes.IndexByte(b[from:], quote); to < 0 && !last {
				return begin
			}
			within := b[from:]
			if to >= 0 {
				within = within[:to]
			}
			if end := r.tagIn(within); end >= 0 {
				r.attribute(name, b[from:from+len(within)], begin)
				r.endTag()
				return from + end
			}
			if to >= 0 {
				to += from
				i = to + 1
			} else {
				to, i, r.quote = len(b), len(b), quote
			}
		default:
			for to = i; to < len(b) && marks[b[to]]&valueEnd == 0; {
				to++
			}
			if to == len(b) {
				if !last {
					return begin
				}
				r.quote = ' '
			}
			i = to
		}
		r.attribute(name, b[from:to], begin)
		if r.quote != 0 {
			return i
		}
	}
}

// short is for a name that b cuts off: more is needed, or there is none.
func (r *reader) short(b []byte, begin int, last bool) int {
	if last {
		return len(b)
	}
	return begin
}

// attribute takes one attribute, the value of which is still as written.
func (r *reader) attribute(name, value []byte, at int) {
	if r.visit != nil {
		r.visit(r.tag, name, value)
	}
	if r.closing || len(name) < 2 || len(name) > maxName || len(value) < 4 {
		return
	}
	var room [maxName]byte
	lower := appendLower(room[:0], name)
	switch string(lower) {
	case "href", "xlink:href":
		kind := Link
		switch string(r.tag) {
		case "link", "image", "use":
			kind = Resource
		case "base":
			kind = Base
		}
		i := r.link(value, kind, at)
		if string(r.tag) == "a" && i >= 0 {
			r.anchor, r.anchorAt = i, len(r.text)
			r.c.pinned = i
		}
	case "action", "formaction":
		r.link(value, Form, at)
	case "src", "background", "poster", "lowsrc", "dynsrc", "data", "ping", "cite", "longdesc", "codebase", "icon", "manifest":
		r.link(value, Resource, at)
	case "srcset", "imagesrcset":
		for range maxParams {
			var one []byte
			value = bytes.TrimLeft(value, " \t\r\n\f,")
			end := bytes.IndexAny(value, " \t\r\n\f")
			if end < 0 {
				end = len(value)
			}
			one, value = value[:end], value[end:]
			whole := bytes.HasSuffix(one, []byte(","))
			if one = bytes.TrimRight(one, ","); len(one) > 0 {
				r.link(one, Resource, at)
			}
			if whole {
				continue
			}
			// What follows up to the comma is a width or a density.
			comma := bytes.IndexByte(value, ',')
			if comma < 0 {
				break
			}
			value = value[comma+1:]
		}
	case "to", "from", "by", "values":
		switch string(r.tag) {
		case "animate", "set": // of the href around it
			for one := range bytes.SplitSeq(value, []byte(";")) {
				r.link(one, Link, at)
			}
		}
	case "value":
		if string(r.tag) == "param" {
			r.link(value, Resource, at)
		}
	case "style":
		if bytes.IndexByte(value, '(') >= 0 || bytes.IndexByte(value, '&') >= 0 {
			r.css(r.decode(value), int64(at))
		}
	case "http-equiv":
		r.refresh = hasPrefixFold(bytes.TrimSpace(r.decode(value)), "refresh")
	case "content":
		if string(r.tag) == "meta" {
			r.content = append(r.content[:0], r.decode(value)...)
		}
	case "srcdoc":
		document := append(r.decode(value), '\n')
		r.within(document, at)
		r.show(decodeReferences(nil, document), r.pos+int64(at))
	default:
		if lower[0] == 'o' && lower[1] == 'n' {
			r.script(r.decode(value), at) // onclick and the like
		}
	}
}

// decode undoes character references, in room that the next value needs.
func (r *reader) decode(value []byte) []byte {
	value = value[:min(len(value), 2*maxText)]
	if bytes.IndexByte(value, '&') < 0 {
		return value
	}
	r.val = decodeReferences(r.val[:0], value)
	return r.val
}

// refreshTo takes the target of "5; url=http://host/".
func (r *reader) refreshTo(content []byte) {
	for i := range content {
		if hasPrefixFold(content[i:], "url") {
			rest := bytes.TrimLeft(content[i+3:], " \t\r\n")
			if rest, ok := bytes.CutPrefix(rest, []byte("=")); ok {
				r.follow(bytes.Trim(rest, "'\" \t\r\n"), Refresh, 0)
				return
			}
		}
	}
	if i := bytes.IndexAny(content, ";,"); i >= 0 { // browsers want no "url="
		r.follow(bytes.Trim(content[i+1:], "'\" \t\r\n"), Refresh, 0)
	}
}

// link takes the reference in an attribute (WHATWG URL, section 4.4). It
// returns the place of the URI, -1 for none that names a host.
func (r *reader) link(value []byte, kind Kind, at int) int {
	return r.follow(r.decode(value), kind, at)
}

// follow is link for a reference without character references.
func (r *reader) follow(value []byte, kind Kind, at int) int {
	value = trimControls(value)
	if len(value) < 4 || value[0] == '#' || value[0] == '?' {
		return -1
	}
	p := pieces{kind: kind, off: r.pos + int64(at)}
	if broken(value) { // browsers take them out
		value = bytes.Map(func(c rune) rune {
			if c == '\t' || c == '\r' || c == '\n' {
				return -1
			}
			return c
		}, value)
	}
	i := 0
	if letter(value[0]) {
		for i = 1; i < len(value) && (isLabel(value[i]) && value[i] != '_' || value[i] == '+' || value[i] == '.'); {
			i++
		}
	}
	switch {
	case i > 0 && i < len(value) && value[i] == ':' && !portAt(value, i):
		p.scheme = value[:i]
		i++
	case value[0] == '/' || value[0] == '\\':
		if value[1] != '/' && value[1] != '\\' {
			return -1
		}
		i = 0
	default:
		return r.relative(value, &p)
	}
	slashes := i
	for i < len(value) && (value[i] == '/' || value[i] == '\\') {
		if value[i] == '\\' {
			p.hidden |= Backslash
		}
		i++
	}
	slashes = i - slashes
	switch lowerString(p.scheme) {
	case "http", "https", "ftp", "ws", "wss", "":
		if slashes != 2 {
			p.hidden |= Backslash
		}
	case "mailto":
		r.mailTo(value[i:], at)
		return -1
	case "data":
		r.data(value[i:], at)
		return -1
	case "javascript", "vbscript", "view-source":
		r.script(value[i:], at)
		return -1
	default:
		if r.c.x.cfg.Wallets { // "bitcoin:", "ethereum:"
			r.c.base = p.off
			r.c.wallets(value)
		}
		if slashes < 2 || string(p.scheme) == "file" {
			return -1
		}
	}
	return r.c.reference(value, i, &p)
}

// broken reports whether there are tabs or line ends in b.
func broken(b []byte) bool {
	for _, c := range b {
		if c < ' ' && (c == '\t' || c == '\r' || c == '\n') {
			return true
		}
	}
	return false
}

// portAt reports whether the colon at i of "host:80/" is that of a port.
func portAt(b []byte, i int) bool {
	return bytes.IndexByte(b[:i], '.') > 0 && i+1 < len(b) && b[i+1] >= '0' && b[i+1] <= '9'
}

// relative takes a reference without scheme that mail clients follow all the
// same: "www.host.example/path".
func (r *reader) relative(value []byte, p *pieces) int {
	end := hostEnd(value, 0, true)
	if end == 0 || end < len(value) && bytes.IndexByte([]byte("/?#:\\"), value[end]) < 0 || bytes.IndexByte(value[:end], '.') <= 0 {
		if at := bytes.IndexByte(value, '@'); at > 0 && end <= at {
			r.c.base = p.off
			r.c.text(value)
		}
		return -1
	}
	if !plausible(r.c.lookup(value[:end])) {
		return -1
	}
	return r.c.reference(value, 0, p)
}

// reference adds the URI whose authority begins at i of value. It returns its
// place, -1 for none.
func (c *collector) reference(value []byte, i int, p *pieces) int {
	end := i
	for end < len(value) && marks[value[end]]&authorityEnd == 0 {
		end++
	}
	if at := bytes.LastIndexByte(value[i:end], '@'); at >= 0 {
		p.hidden |= UserInfo
		i += at + 1
	}
	to := end
	if i < end && value[i] == '[' {
		if n := bytes.IndexByte(value[i:end], ']'); n > 0 {
			to = i + n + 1
		}
	} else if n := bytes.IndexByte(value[i:end], ':'); n >= 0 {
		to = i + n
	}
	if to < end && value[to] == ':' {
		n := to + 1
		for n < end && n < to+7 && value[n] >= '0' && value[n] <= '9' {
			n++
		}
		p.port = value[to+1 : n]
	}
	p.host = value[i:to]
	if len(p.host) > 0 && c.lookup(p.host) == nil {
		p.host = value[i:hostEnd(value[:to], i, true)]
	}
	p.path = value[end:]
	if len(value) > maxText {
		value = value[:maxText]
		p.path = value[min(end, maxText):]
	}
	p.text = value
	return c.add(p, 0)
}

// mailTo takes the addresses of a mailto URI (RFC 6068).
func (r *reader) mailTo(value []byte, at int) {
	decoded, _ := percent(value[:min(len(value), maxText)])
	if i := bytes.IndexByte(decoded, '?'); i >= 0 {
		decoded[i] = ' '
		for j := range decoded[i:] {
			if c := decoded[i+j]; c == '=' || c == '&' {
				decoded[i+j] = ' '
			}
		}
	}
	c := r.c
	kind, base := c.kind, c.base
	c.kind, c.base = 0, r.pos+int64(at)
	c.scan(decoded, 0)
	c.kind, c.base = kind, base
}

// script takes what has a scheme in a script or in data.
func (r *reader) script(value []byte, at int) {
	decoded, _ := percent(value[:min(len(value), 2*maxText)])
	r.c.script(decoded, r.pos+int64(at))
}

// script takes what has a scheme in a script, and strings that begin with two
// slashes.
func (c *collector) script(b []byte, at int64) {
	if bytes.IndexByte(b, '\\') >= 0 {
		b = unescapeScript(b)
	}
	kind, strict, base := c.kind, c.strict, c.base
	c.kind, c.strict, c.base = Script, true, at
	c.text(b)
	for i := 0; ; {
		n := bytes.Index(b[i:], []byte("//"))
		if n < 0 {
			break
		}
		if i += n + 2; i < 3 || b[i-3] != '"' && b[i-3] != '\'' && b[i-3] != '`' {
			continue
		}
		if end := hostEnd(b, i, true); plausible(c.lookup(b[i:end])) {
			c.authority(b, i-2, i, &pieces{kind: Script})
		}
	}
	c.kind, c.strict, c.base = kind, strict, base
}

// unescapeScript undoes "\x68", "\u0068" and "\/" (ECMAScript, section 12.9.4).
func unescapeScript(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' || i+1 == len(b) {
			out = append(out, b[i])
			continue
		}
		i++
		length := 0
		switch b[i] {
		case 'x':
			length = 2
		case 'u':
			length = 4
		case '/':
			out = append(out, '/')
			continue
		}
		n, j := rune(0), i+1
		for j < min(len(b), i+1+length) && unhex(b[j]) < 16 {
			n = n<<4 | rune(unhex(b[j]))
			j++
		}
		if length == 0 || j != i+1+length {
			out = append(out, '\\', b[i])
			continue
		}
		out = append(out, string(n)...)
		i = j - 1
	}
	return out
}

// data takes what is in a document that a reference holds whole (RFC 2397), as
// far as there is room for it. What browsers show as a picture, or play, holds
// nothing.
func (r *reader) data(value []byte, at int) {
	kind, content, _ := bytes.Cut(value, []byte(","))
	if kind = bytes.ToLower(kind); !bytes.HasPrefix(kind, []byte("image/svg")) {
		for _, media := range []string{"image/", "font/", "audio/", "video/", "application/font", "application/x-font"} {
			if bytes.HasPrefix(kind, []byte(media)) {
				return
			}
		}
	}
	content, _ = percent(content)
	if bytes.HasSuffix(bytes.TrimSpace(kind), []byte("base64")) {
		lines := new(base64Lines)
		content = append(bytes.Clone(lines.decode(content)), lines.decode([]byte("="))...)
	}
	r.script(content, at)
	r.within(content, at)
}

// css takes url(), @import and image-set() of a style.
func (r *reader) css(b []byte, at int64) {
	if bytes.IndexByte(b, '\\') >= 0 {
		b = unescapeCSS(b)
	}
	set := false
	for i := 0; i < len(b); {
		var rest []byte
		switch c := b[i]; {
		case c|0x20 == 'u' && hasPrefixFold(b[i:], "url("):
			rest, _, _ = bytes.Cut(b[i+4:], []byte(")"))
			i += 4
			set = false
		case c == '@' && hasPrefixFold(b[i:], "@import"):
			i += 7
			rest = uncommentedCSS(b[i:min(len(b), i+2*maxText)])
			if len(rest) > 0 && (rest[0] == '"' || rest[0] == '\'') { // else its url( comes next
				rest, _, _ = bytes.Cut(rest[1:], rest[:1])
				r.follow(rest, Style, int(at)+i)
			}
			continue
		case c|0x20 == 'i' && hasPrefixFold(b[i:], "image-set("):
			i += 10
			set = true
			continue
		case set && (c == '"' || c == '\''):
			rest, _, _ = bytes.Cut(b[i+1:], b[i:i+1])
			i++
		default:
			set = set && c != ';' && c != '}'
			i++
			continue
		}
		begin := i
		i += len(rest)
		rest = bytes.Trim(rest, " \t\r\n\f\"'")
		if len(rest) > 0 && len(rest) <= 2*maxText {
			r.follow(rest, Style, int(at)+begin)
		}
	}
}

// uncommentedCSS leaves out white space and comments at the beginning of b.
func uncommentedCSS(b []byte) []byte {
	for {
		b = bytes.TrimLeft(b, " \t\r\n\f")
		rest, ok := bytes.CutPrefix(b, []byte("/*"))
		if !ok {
			return b
		}
		_, b, _ = bytes.Cut(rest, []byte("*/"))
	}
}

// unescapeCSS undoes "\68 ttp" (CSS Syntax, section 4.3.7).
func unescapeCSS(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' || i+1 == len(b) {
			out = append(out, b[i])
			continue
		}
		n, j := rune(0), i+1
		for j < len(b) && j < i+7 && unhex(b[j]) < 16 {
			n = n<<4 | rune(unhex(b[j]))
			j++
		}
		if j == i+1 {
			continue // the character itself follows
		}
		out = append(out, string(n)...)
		if j < len(b) && space(b[j]) {
			j++
		}
		i = j - 1
	}
	return out
}

// trimControls takes white space and controls off both ends, as browsers do.
func trimControls(b []byte) []byte {
	for len(b) > 0 && b[0] <= ' ' {
		b = b[1:]
	}
	for len(b) > 0 && b[len(b)-1] <= ' ' {
		b = b[:len(b)-1]
	}
	return b
}
