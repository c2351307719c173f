package surbl

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What an octet may be in text.
const (
	label  = 1 << iota // of a host
	breaks             // no URI goes on beyond it
	local              // of the local part of a mail address, as people have them
	trails             // not part of a URI at its end
	opens
	closes
)

// classes says it of ASCII; octets beyond are decoded first.
var classes = func() (t [256]uint8) {
	for c := range 0x80 {
		if isLabel(byte(c)) {
			t[c] |= label | local
		}
		if c <= ' ' || c == 0x7f || bytes.IndexByte([]byte("<>\"`|"), byte(c)) >= 0 {
			t[c] |= breaks
		}
	}
	for set, as := range map[string]uint8{".+%&'~#!$*^": local, ".,:;'!?*@": trails, "([{": opens | trails, ")]}": closes} {
		for i := range len(set) {
			t[set[i]] |= as
		}
	}
	return t
}()

// text takes the URIs of text. What is cut off at either end of it must be
// white space.
func (c *collector) text(b []byte) {
	if c.x.cfg.Defanged && !c.strict {
		c.defanged(b)
		return
	}
	c.scan(b, 0)
}

// scan jumps from one character that every URI has to the next, and looks at
// what is around it. It reads each octet a bounded number of times.
func (c *collector) scan(b []byte, hidden Hidden) {
	done := 0 // what is before it belongs to a URI
	dots := 0 // what is before it is in no host
	for i := 0; ; {
		if i = nextStop(b, i); i+1 >= len(b) {
			return
		}
		end := 0
		switch next := b[i+1]; b[i] {
		case ':':
			if next == '/' || next == '\\' {
				end = c.scheme(b, done, i, hidden)
			}
		case '@':
			if i > done && !c.strict {
				end = c.mail(b, done, i, hidden)
			}
		case '.':
			if i > done && !c.strict && (classes[next]&label != 0 || next >= utf8.RuneSelf) {
				end = c.bare(b, max(done, dots), i, hidden)
				if end < 0 { // nothing there, so that its other dots need no look
					i, dots = -end, i+1
					continue
				}
			}
		}
		if end <= i {
			i++
			continue
		}
		i, done = end, end
	}
}

// nextStop is where the first '.', ':' or '@' from i on stands, len(b) for none:
// eight octets at a time, of which a borrow out of the lowest bits tells the
// first that is equal.
func nextStop(b []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
		v := binary.LittleEndian.Uint64(b[i:])
		dot, colon, at := v^('.'*ones), v^(':'*ones), v^('@'*ones)
		if hit := ((dot-ones)&^dot | (colon-ones)&^colon | (at-ones)&^at) & tops; hit != 0 {
			return i + bits.TrailingZeros64(hit)/8
		}
	}
	for i < len(b) && b[i] != '.' && b[i] != ':' && b[i] != '@' {
		i++
	}
	return i
}

// maxRun bounds a host as written: 253 octets in A-labels may be more in
// percent encoding.
const maxRun = 1024

// hostEnd is the end of the host that begins at i, and with dots the last octet
// of which is none. odd is for what only stands in a host behind a scheme:
// percent encoding, dots that are none in ASCII.
func hostEnd(b []byte, i int, odd bool) int {
	end, _ := hostSpan(b, i, odd)
	return end
}

// hostSpan is hostEnd, and how far was looked to know.
func hostSpan(b []byte, i int, odd bool) (end, seen int) {
	end = i
	for limit := min(len(b), i+maxRun); i < limit; {
		switch c := b[i]; {
		case classes[c]&label != 0:
			i++
			if c != '-' {
				end = i
			}
		case c == '.':
			if i+1 < len(b) && b[i+1] == '.' {
				return end, i
			}
			i++
		case odd && c == '%' && i+2 < len(b) && unhex(b[i+1]) < 16 && unhex(b[i+2]) < 16:
			i += 3
			end = i
		case c < utf8.RuneSelf:
			return end, i
		default:
			r, n := utf8.DecodeRune(b[i:])
			if !hostRune(r) && !(odd && dotRune(r)) {
				return end, i
			}
			i += n
			if !dotRune(r) && !invisible(r) || odd {
				end = i
			}
		}
	}
	return end, i
}

// hostBegin is the beginning of the host that ends before i.
func hostBegin(b []byte, floor, i int) int {
	floor = max(floor, i-maxRun)
	begin := i
	for i > floor {
		switch c := b[i-1]; {
		case classes[c]&label != 0:
			i--
			if c != '-' && c != '_' {
				begin = i
			}
		case c == '.':
			if i > floor+1 && b[i-2] == '.' {
				return begin
			}
			i--
		case c < utf8.RuneSelf:
			return begin
		default:
			r, n := utf8.DecodeLastRune(b[floor:i])
			if !hostRune(r) {
				return begin
			}
			i -= n
			if !invisible(r) {
				begin = i
			}
		}
	}
	return begin
}

func dotRune(r rune) bool { return r == 0x3002 || r == 0xff61 || r == 0xff0e }

// hostRune reports whether r stands in hosts as people write them: letters,
// symbols that some domains have, and what is not seen.
func hostRune(r rune) bool {
	return r != utf8.RuneError && r >= utf8.RuneSelf && (unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.So) || invisible(r))
}

// bare looks for a host without a scheme around the dot at i. It returns where
// the URI ends, or the negative of where to go on looking.
func (c *collector) bare(b []byte, floor, i int, hidden Hidden) int {
	begin := hostBegin(b, floor, i)
	if begin == i {
		return -(i + 1)
	}
	end, seen := hostSpan(b, i+1, false)
	if end == i+1 {
		return -max(end, seen)
	}
	if at := localEnd(b, end); at < len(b) && b[at] == '@' {
		return -at
	}
	ahead := -end
	if begin > 0 {
		switch p := b[begin-1]; p {
		case '/':
			if begin < 2 || b[begin-2] != '/' || c.refused(b[:begin-2]) {
				return ahead
			}
		case '\\', '@', '$', '#', '%', '_', '-':
			return ahead
		}
	}
	if end < len(b) && (b[end] == '_' || b[end] == '-') {
		return ahead
	}
	p := pieces{kind: Bare, hidden: hidden, off: c.offset(begin)}
	if hasPrefixFold(b[begin:end], "www.") {
		p.kind = Plain
	}
	n := c.lookup(b[begin:end])
	if whole := b[begin:end]; !plausible(n) || mixed(whole) {
		// Where a host stands in a text of letters that need no spaces between
		// words, what is in ASCII is the host.
		found := false
		for from := begin; from < end; {
			for from < end && b[from] >= utf8.RuneSelf {
				from++
			}
			to := from
			for to < end && b[to] < utf8.RuneSelf {
				to++
			}
			part := bytes.Trim(b[from:to], ".-_")
			if from == begin && to == end || bytes.IndexByte(part, '.') < 0 {
				from = to
				continue
			}
			if m := c.lookup(part); plausible(m) {
				found = true
				at := from + bytes.Index(b[from:to], part)
				q := p
				if at+len(part) == end {
					return c.rest(b, at, at+len(part), &q)
				}
				q.off, q.host, q.text = c.offset(at), part, part
				c.add(&q, 0)
			}
			from = to
		}
		if found {
			return end
		}
		if !plausible(n) {
			return ahead
		}
	}
	return c.rest(b, begin, end, &p)
}

// localEnd is where the local part of a mail address ends that may go on at i.
func localEnd(b []byte, i int) int {
	for limit := min(len(b), i+64); i < limit && classes[b[i]]&local != 0; {
		i++
	}
	return i
}

// refused reports whether what stands before "//" keeps a host behind it from
// being one: a scheme that is taken apart on purpose.
func (c *collector) refused(before []byte) bool {
	before, ok := bytes.CutSuffix(before, []byte(":"))
	if !ok {
		return len(before) > 0 && classes[before[len(before)-1]]&(label|trails) != 0
	}
	return len(before) >= 4 && (hasPrefixFold(before[len(before)-4:], "hxxp") || hasPrefixFold(before[len(before)-4:], "xxps"))
}

// plausible reports whether n is taken for a host without a scheme before it.
func plausible(n *named) bool {
	if n == nil {
		return false
	}
	if n.addr.IsValid() {
		return n.hidden&Number == 0 // else it is a version, a price, a date
	}
	return n.listed && strings.IndexByte(n.name, '.') > 0
}

// mixed reports whether a label has letters of ASCII beside letters of scripts
// that put no space between words.
func mixed(b []byte) bool {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r >= 0x0e00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai) {
			if i > 0 && classes[b[i-1]]&label != 0 || i+n < len(b) && classes[b[i+n]]&label != 0 {
				return true
			}
		}
		i += n
	}
	return false
}

// rest takes the URI that begins at begin, without scheme, and whose host ends
// at end.
func (c *collector) rest(b []byte, begin, end int, p *pieces) int {
	p.host = b[begin:end]
	return c.finishURI(b, begin, end, p)
}

// finishURI reads port and path behind the host that ends at i, and adds p. It
// returns where p ends, or where in it text may go on.
func (c *collector) finishURI(b []byte, begin, i int, p *pieces) int {
	if i+1 < len(b) && b[i] == ':' {
		to := i + 1
		for to < len(b) && to <= i+5 && b[to] >= '0' && b[to] <= '9' {
			to++
		}
		if to > i+1 && (to == len(b) || b[to] < '0' || b[to] > '9') {
			p.port = b[i+1 : to]
			i = to
		}
	}
	end, again := i, -1
	if i < len(b) && (b[i] == '/' || b[i] == '?' || b[i] == '#' || b[i] == '\\') {
		end, again = pathEnd(b, i)
		p.path = b[i:end]
	}
	p.text = b[begin:end]
	if len(p.text) > maxText {
		p.text = p.text[:maxText]
		p.path = p.text[min(i-begin, maxText):]
	}
	p.off = c.offset(begin)
	c.add(p, 0)
	if again > 0 {
		return again
	}
	return end
}

// pathEnd is the end of a path, query and fragment that begins at i: brackets
// that were not opened in it end it, and punctuation at its end belongs to the
// sentence around it. again is where letters beyond ASCII begin, which may as
// well be the text going on without a space.
func pathEnd(b []byte, i int) (end, again int) {
	again = -1
	begin := i
	var open [3]int
scan:
	for i < len(b) {
		c := b[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(b[i:])
			if unicode.IsSpace(r) || unicode.In(r, unicode.Pi, unicode.Pf, unicode.Ps, unicode.Pe) || r == 0xff5c ||
				r == utf8.RuneError && n == 1 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
				break
			}
			if again < 0 {
				again = i
			}
			i += n
			continue
		}
		switch k := classes[c]; {
		case k&breaks != 0:
			break scan
		case k&opens != 0:
			open[bracket(c)]++
		case k&closes != 0:
			if open[bracket(c)]--; open[bracket(c)] < 0 {
				break scan
			}
		}
		i++
	}
	for i > begin {
		if c := b[i-1]; c < utf8.RuneSelf {
			if classes[c]&trails == 0 {
				break
			}
			i--
			continue
		}
		r, n := utf8.DecodeLastRune(b[:i])
		if !unicode.Is(unicode.Po, r) && !invisible(r) {
			break
		}
		i -= n
	}
	if again >= i {
		again = -1
	}
	return i, again
}

// bracket numbers the three kinds of brackets.
func bracket(c byte) int {
	switch c {
	case '(', ')':
		return 0
	case '[', ']':
		return 1
	}
	return 2
}

// scheme looks for a URI with a scheme around the colon at i, which a slash or
// backslash follows. It returns where that ends, 0 for none.
func (c *collector) scheme(b []byte, floor, i int, hidden Hidden) int {
	begin := i
	for begin > max(floor, i-32) && (isLabel(b[begin-1]) && b[begin-1] != '_' || b[begin-1] == '+') {
		begin--
	}
	scheme := knownScheme(b[begin:i])
	if scheme == nil {
		return 0
	}
	begin = i - len(scheme)
	if begin > 0 && b[begin-1] == '%' {
		return 0
	}
	j, straight := i+1, true
	for j < len(b) && (b[j] == '/' || b[j] == '\\') {
		straight = straight && b[j] == '/'
		j++
	}
	if j-i-1 < 2 {
		return 0
	}
	p := pieces{kind: Plain, scheme: scheme, hidden: hidden}
	if !straight || j-i-1 != 2 {
		p.hidden |= Backslash
	}
	if c.kind != 0 {
		p.kind = c.kind
	}
	return c.authority(b, begin, j, &p)
}

// authority takes the URI whose authority begins at i (RFC 3986, section 3.2).
// It returns where that ends, 0 where there is no host.
func (c *collector) authority(b []byte, begin, i int, p *pieces) int {
	// The last "@" before a slash ends what only looks like the host.
	for j := i; j < min(len(b), i+maxText); j++ {
		k := b[j]
		if k == '/' || k == '\\' || k == '?' || k == '#' || classes[k]&(breaks|closes) != 0 && k != ']' || k == '(' || k == '{' {
			break
		}
		if k == '@' && j+1 < len(b) && (classes[b[j+1]]&label != 0 || b[j+1] == '[' || b[j+1] == '%' || b[j+1] >= utf8.RuneSelf) {
			if !schemeAt(b, j+1) {
				i = j + 1
				p.hidden |= UserInfo
			}
		}
	}
	if i < len(b) && b[i] == '[' {
		to := bytes.IndexByte(b[i:min(len(b), i+64)], ']')
		if to < 0 {
			return 0
		}
		end := i + to + 1
		p.host = b[i:end]
		if c.lookup(p.host) == nil {
			return 0
		}
		return c.finishURI(b, begin, end, p)
	}
	end := hostEnd(b, i, true)
	p.host = b[i:end]
	n := c.lookup(p.host)
	if n == nil || !n.listed && !n.addr.IsValid() {
		// Text may go on behind the host without a space.
		to := i
		for to < end && b[to] < utf8.RuneSelf {
			to++
		}
		for to > i && (b[to-1] == '.' || b[to-1] == '-') {
			to--
		}
		if to < end {
			if m := c.lookup(b[i:to]); m != nil && m.listed {
				p.host, n, end = b[i:to], m, to
			}
		}
	}
	if n == nil {
		return 0
	}
	return c.finishURI(b, begin, end, p)
}

// schemeAt reports whether "http://" or its like begins at i.
func schemeAt(b []byte, i int) bool {
	colon := bytes.IndexByte(b[i:min(len(b), i+12)], ':')
	return colon > 0 && i+colon+1 < len(b) && b[i+colon+1] == '/' && len(knownScheme(b[i:i+colon])) == colon
}

// mail looks for a mail address around the "@" at i. It returns where that
// ends, 0 for none.
func (c *collector) mail(b []byte, floor, i int, hidden Hidden) int {
	begin := i
	for floor = max(floor, i-64); begin > floor && (classes[b[begin-1]]&local != 0 || b[begin-1] >= utf8.RuneSelf); {
		if b[begin-1] < utf8.RuneSelf {
			begin--
			continue
		}
		r, n := utf8.DecodeLastRune(b[floor:begin])
		if !hostRune(r) {
			break
		}
		begin -= n
	}
	for begin < i && b[begin] != '_' && classes[b[begin]]&label == 0 && b[begin] < utf8.RuneSelf {
		begin++
	}
	if begin == i || b[i-1] == '.' {
		return 0
	}
	end := hostEnd(b, i+1, false)
	if end == i+1 || bytes.IndexByte(b[i+1:end], '.') < 0 {
		return 0
	}
	n := c.lookup(b[i+1 : end])
	if !plausible(n) || mixed(b[i+1:end]) {
		for end = i + 1; end < len(b) && (classes[b[end]]&label != 0 || b[end] == '.'); {
			end++
		}
		for end > i+1 && b[end-1] == '.' {
			end--
		}
		n = c.lookup(b[i+1 : end])
	}
	if !plausible(n) || n.addr.IsValid() {
		return 0
	}
	c.add(&pieces{text: b[begin:end], local: b[begin:i], host: b[i+1 : end], kind: Mail, hidden: hidden, off: c.offset(begin)}, 0)
	return end
}

// knownScheme returns the scheme at the end of b that is followed by a host,
// nil for none: "xhttp" has "http".
func knownScheme(b []byte) []byte {
	if len(b) < 2 {
		return nil
	}
	for _, s := range schemes {
		if len(b) == len(s) && hasPrefixFold(b, s) {
			return b
		}
	}
	for _, s := range schemes[:3] {
		if len(b) > len(s) && hasPrefixFold(b[len(b)-len(s):], s) {
			return b[len(b)-len(s):]
		}
	}
	return nil
}

// schemes are those with a host behind two slashes. The first three are known
// even where letters stand before them.
var schemes = [...]string{"https", "http", "ftp", "ftps", "sftp", "ws", "wss", "feed", "git", "gopher", "irc", "ircs", "ldap", "ldaps",
	"mms", "mysql", "news", "nfs", "nntp", "postgres", "postgresql", "rtmp", "rtsp", "smb", "ssh", "svn", "telnet", "webcal",
	"webdav", "zoommtg", "zoomus"}

// hasPrefixFold reports whether b begins with prefix, which is in lower case
// and ASCII.
func hasPrefixFold(b []byte, prefix string) bool {
	if len(b) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}
