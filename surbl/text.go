package surbl

import (
	"bytes"
	"encoding/binary"
	"math/bits"
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
	if c.x.cfg.Wallets {
		c.wallets(b)
	}
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
		case '\\': // \\host\share
			if begin < 2 || b[begin-2] != '\\' || begin > 2 && (classes[b[begin-3]]&label != 0 || b[begin-3] == '.' || b[begin-3] == '\\') {
				return ahead
			}
		case '@', '$', '#', '%', '_', '-':
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
	if !plausible(n) || mixed(b[begin:end]) {
		if to := c.embedded(b, begin, end, &p); to > 0 {
			return to
		}
	}
	if !plausible(n) {
		return ahead
	}
	p.host = b[begin:end]
	return c.finishURI(b, begin, end, &p)
}

// embedded takes the hosts in ASCII that stand in a text of letters that need no
// spaces between words. It returns where the last one ends that a path may
// follow, or the text; 0 for none.
func (c *collector) embedded(b []byte, begin, end int, p *pieces) (done int) {
	for from := begin; from < end; {
		for from < end && b[from] >= utf8.RuneSelf {
			from++
		}
		to := from
		for to < end && b[to] < utf8.RuneSelf {
			to++
		}
		if from == begin && to == end {
			return 0 // all of it is
		}
		part := bytes.Trim(b[from:to], ".-_")
		if bytes.IndexByte(part, '.') > 0 && plausible(c.lookup(part)) {
			at := from + bytes.Index(b[from:to], part)
			q := *p
			q.host = part
			if at+len(part) == end {
				return c.finishURI(b, at, end, &q)
			}
			q.off, q.text = c.offset(at), part
			c.add(&q, 0)
			done = end
		}
		from = to
	}
	return done
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
	return n.listed && !n.suffix
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
