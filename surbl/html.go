package surbl

import (
	"bytes"
	"strings"
)

// reader reads HTML for what it links to: tags, their attributes and the text
// between them as a browser shows it. It builds no tree, reads what browsers
// would repair as well as it can, and keeps to its buffers however large a
// document or one attribute of it is.
type reader struct {
	c   *collector
	pos int64 // of the octets at hand in the document

	text []byte // shown, not scanned yet
	gaps []gap  // where it comes from
	val  []byte // room for a decoded value

	tag     []byte // name of the tag at hand, in lower case
	closing bool
	state

	loose   bool // what is read may be text with mail addresses in angle brackets
	refresh bool // of a meta element
	content []byte

	doubtful bool    // browsers and others read what comes in different ways
	sub      *reader // reads tags within what holds none here
	tagsOnly bool    // is such a reader: all tags wherever they stand, and no text
	depth    int     // of documents in documents

	anchor   int // place of the URI of the link at hand, -1 for none
	anchorAt int // where its text begins

	visit func(tag, name, value []byte) // for tests: a tag with no name, then its attributes
}

// state is where in a document its reader is.
type state struct {
	inTag   bool
	comment bool
	quote   byte   // that ends a value too large for the window; ' ' for one without quotes
	raw     string // element at hand that holds no tags
}

// gap says that text from there on comes from elsewhere in the document.
type gap struct {
	text int
	src  int64
}

const (
	maxShown = 8 << 10 // octets of text that are scanned at a time
	maxGaps  = 256
	maxName  = 24 // of a tag or attribute, beyond which it is none we know
)

func newReader(c *collector, w *window) *reader {
	return &reader{c: c, text: w.text[:0], gaps: w.gaps[:0], anchor: -1}
}

// release gives its room back, unless it has grown by a document that came
// whole.
func (r *reader) release(w *window) {
	w.gaps = r.gaps[:0]
	if w.text = r.text[:0]; cap(w.text) > 4*maxShown {
		w.text = nil
	}
}

// all reads a whole document.
func (r *reader) all(b []byte) {
	r.feed(b, true)
	r.flush(true)
}

// feed reads b and returns how much of it is done with. The rest must be there
// again with more behind it; with last there is no more, or no room for it, and
// all of b is done with.
func (r *reader) feed(b []byte, last bool) (n int) {
	for n < len(b) {
		was, before := n, r.state
		switch {
		case r.comment:
			n = r.skipComment(b, n, last)
		case r.quote != 0:
			n = r.skipValue(b, n)
		case r.inTag:
			n = r.attributes(b, n, last)
		case r.raw != "":
			n = r.rawText(b, n, last)
		case b[n] == '<':
			n = r.open(b, n, last)
		default:
			n = r.shown(b, n, last)
		}
		if n == was && r.state == before {
			if !last {
				return n
			}
			n++ // nothing is made of it
		}
	}
	return n
}

// shown takes text up to the next tag.
func (r *reader) shown(b []byte, i int, last bool) int {
	end := bytes.IndexByte(b[i:], '<')
	if end < 0 {
		end = len(b)
		if !last {
			// A character reference may go on behind b.
			if amp := bytes.LastIndexByte(b[max(i, end-maxReference):], '&'); amp >= 0 {
				end = max(i, end-maxReference) + amp
			}
		}
	} else {
		end += i
	}
	for i < end {
		to := min(end, i+maxShown/2)
		if to < end { // not within a character reference
			if amp := bytes.LastIndexByte(b[to-maxReference:to], '&'); amp > 0 {
				to += amp - maxReference
			}
		}
		r.show(b[i:to], r.pos+int64(i))
		i = to
	}
	return end
}

func (r *reader) show(b []byte, src int64) {
	if r.tagsOnly {
		return
	}
	if len(r.text)+len(b) > maxShown || len(r.gaps) >= maxGaps {
		r.flush(false)
	}
	r.gaps = append(r.gaps, gap{len(r.text), src})
	if bytes.IndexByte(b, '&') < 0 {
		r.text = append(r.text, b...)
		return
	}
	r.text = decodeReferences(r.text, b)
}

// flush scans the text that was shown; not last, all but the word that may go
// on.
func (r *reader) flush(last bool) {
	end := len(r.text)
	if !last {
		for end > 0 && r.text[end-1] > ' ' && len(r.text)-end < maxText {
			end--
		}
		if end == 0 || len(r.text)-end == maxText {
			end = len(r.text)
		}
	}
	if r.anchor >= 0 && len(r.text) > r.anchorAt {
		r.endAnchor() // a link of kilobytes does not show a host
	}
	c := r.c
	kind := c.kind
	c.kind, c.gaps, c.base = 0, r.gaps, 0
	c.text(r.text[:end])
	c.kind, c.gaps = kind, nil
	rest := copy(r.text, r.text[end:])
	src := c.sourceOf(r.gaps, end)
	r.text, r.gaps = r.text[:rest], append(r.gaps[:0], gap{0, src})
}

// sourceOf is where what stands at i of shown text comes from.
func (c *collector) sourceOf(gaps []gap, i int) int64 {
	lo, hi := 0, len(gaps)
	for lo < hi {
		if m := (lo + hi) / 2; gaps[m].text <= i {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo == 0 {
		return int64(i)
	}
	return gaps[lo-1].src + int64(i-gaps[lo-1].text)
}

// offset is where what stands at i of the text at hand stands in the part.
func (c *collector) offset(i int) int64 {
	if len(c.gaps) > 0 {
		return c.sourceOf(c.gaps, i)
	}
	return c.base + int64(i)
}

// open reads what "<" at i begins.
func (r *reader) open(b []byte, i int, last bool) int {
	if len(b)-i < 8 && !last {
		return i
	}
	rest := b[i+1:]
	switch {
	case len(rest) > 0 && letter(rest[0]):
		return r.name(b, i, i+1, false, last)
	case len(rest) > 1 && rest[0] == '/' && letter(rest[1]):
		return r.name(b, i, i+2, true, last)
	case len(rest) > 0 && bytes.IndexByte([]byte("!?/"), rest[0]) >= 0 && (r.tagsOnly || r.doubtful):
		return i + 2
	case len(rest) >= 3 && string(rest[:3]) == "!--":
		if len(rest) >= 6 && rest[3] == '[' {
			// A conditional comment: some clients show what is in it.
			return r.declaration(b, i)
		}
		i += 4
		for _, short := range []string{">", "->"} {
			if bytes.HasPrefix(b[i:], []byte(short)) {
				return i + len(short)
			}
		}
		r.comment = true
		return i
	case len(rest) > 0 && (rest[0] == '!' || rest[0] == '?' || rest[0] == '/'):
		return r.declaration(b, i)
	}
	r.show(b[i:i+1], r.pos+int64(i))
	return i + 1
}

// declaration skips to the next ">".
func (r *reader) declaration(b []byte, i int) int {
	if end := bytes.IndexByte(b[i:], '>'); end >= 0 {
		return i + end + 1
	}
	r.quote = '>'
	return len(b)
}

func (r *reader) skipComment(b []byte, i int, last bool) int {
	for from := i; ; {
		end := bytes.Index(b[from:], []byte("--"))
		if end < 0 {
			break
		}
		end += from + 2
		if end < len(b) && b[end] == '>' {
			r.comment = false
			return end + 1
		}
		if end+1 < len(b) && b[end] == '!' && b[end+1] == '>' {
			r.comment = false
			return end + 2
		}
		from = end - 1
	}
	if last {
		return len(b)
	}
	return max(i, len(b)-3)
}

// skipValue skips the rest of a value too large for the window.
func (r *reader) skipValue(b []byte, i int) int {
	var end int
	if r.quote == ' ' {
		end = bytes.IndexAny(b[i:], " \t\r\n\f>")
	} else {
		end = bytes.IndexByte(b[i:], r.quote)
	}
	if stop := r.tagIn(b[i:]); stop >= 0 && (end < 0 || stop < end) {
		r.quote = 0
		r.endTag()
		return i + stop
	}
	if end < 0 {
		return len(b)
	}
	if r.quote == '"' || r.quote == '\'' || r.quote == '>' {
		end++
	}
	r.quote = 0
	return i + end
}

// name reads the name of a tag, from i on.
func (r *reader) name(b []byte, at, i int, closing, last bool) int {
	end := i
	for end < len(b) && (marks[b[end]]&nameEnd == 0 || b[end] == '=') {
		end++
	}
	if end == len(b) && !last {
		return at
	}
	if name := b[i:end]; !closing && (r.loose && bytes.IndexByte(name, '@') >= 0 || end+1 < len(b) && b[end-1] == ':' && b[end] == '/' && b[end+1] == '/') {
		r.show(b[at:i], r.pos+int64(at)) // no tag: "<http://host/>", as people write URIs in text
		return i
	}
	r.tag = appendLower(r.tag[:0], b[i:min(end, i+maxName)])
	r.inTag, r.closing = true, closing
	if r.visit != nil {
		r.visit(r.tag, nil, nil)
	}
	r.refresh, r.content = false, r.content[:0]
	if !inline(r.tag) {
		r.breakText()
	}
	if string(r.tag) == "a" {
		r.endAnchor()
	}
	return end
}

// breakText ends a word: elements that are not part of a line are between what
// is before and behind them.
func (r *reader) breakText() {
	if n := len(r.text); n > 0 && r.text[n-1] != '\n' {
		r.text = append(r.text, '\n')
	}
}

// inline reports whether an element stands in a word without ending it.
func inline(tag []byte) bool {
	switch string(tag) {
	case "b", "i", "u", "s", "em", "tt", "q", "strong", "span", "font", "small", "big", "sub", "sup", "code", "wbr", "strike",
		"abbr", "acronym", "mark", "bdo", "bdi", "ins", "del", "cite", "kbd", "var", "samp", "label", "nobr":
		return true
	}
	return false
}

// endTag is called at the ">" of a tag.
func (r *reader) endTag() {
	r.inTag = false
	if r.refresh && len(r.content) > 0 {
		r.refreshTo(r.content)
	}
	if r.closing || r.tagsOnly {
		return
	}
	r.doubtful = r.doubtful || ambiguous(r.tag)
	switch string(r.tag) {
	case "script":
		r.raw = "script"
	case "style":
		r.raw = "style"
	case "title":
		r.raw = "title"
	case "textarea":
		r.raw = "textarea"
	}
}

// ambiguous reports whether the content of an element is read in more than one
// way: it holds tags or none, by whether scripts run, and in SVG and MathML
// comments and elements are not what they are elsewhere. From there on all
// readings of a document are taken.
func ambiguous(tag []byte) bool {
	switch string(tag) {
	case "noscript", "xmp", "iframe", "noembed", "noframes", "plaintext", "svg", "math":
		return true
	}
	return false
}

// tagIn is where a tag may begin in b, which is a value for some, where that
// counts; -1 for nowhere.
func (r *reader) tagIn(b []byte) int {
	if !r.doubtful && !r.tagsOnly {
		return -1
	}
	for from := 0; ; from++ {
		i := bytes.IndexByte(b[from:], '<')
		if i < 0 {
			return -1
		}
		from += i
		if from+1 < len(b) && (letter(b[from+1]) || b[from+1] == '/') {
			return from
		}
	}
}

// rawText takes the content of an element that holds no tags. Where it does, as
// an element that was never closed, or in SVG, they count too.
func (r *reader) rawText(b []byte, i int, last bool) int {
	end := -1
	for from := i; from < len(b); {
		j := bytes.Index(b[from:], []byte("</"))
		if j < 0 {
			break
		}
		if from += j; hasPrefixFold(b[from+2:], r.raw) {
			if k := from + 2 + len(r.raw); k == len(b) || space(b[k]) || b[k] == '/' || b[k] == '>' {
				end = from
				break
			}
		}
		from += 2
	}
	to := end
	if end < 0 {
		to = len(b)
		if !last {
			// Not within a word, nor within the closing tag.
			for to = max(i, to-16); to > i && b[to-1] > ' ' && len(b)-to < maxText; to-- {
			}
			if to == i {
				return i
			}
		}
	}
	if bytes.IndexByte(b[i:to], '<') >= 0 || r.sub != nil && r.sub.state != (state{}) {
		if r.sub == nil {
			r.sub = &reader{c: r.c, tagsOnly: true, depth: r.depth, anchor: -1}
		}
		r.sub.pos = r.pos + int64(i)
		if used := r.sub.feed(b[i:to], end >= 0 || last); end < 0 {
			to = i + used
		}
	}
	switch r.raw {
	case "script":
		r.c.script(b[i:to], r.pos+int64(i))
	case "style":
		r.css(b[i:to], int64(i))
	default:
		r.show(b[i:to], r.pos+int64(i))
	}
	if end >= 0 {
		r.raw = ""
		if r.sub != nil {
			r.sub.state = state{}
		}
	}
	return to
}

// within reads the tags of a document that an attribute holds, a few deep.
func (r *reader) within(document []byte, at int) {
	if r.depth < maxInside && bytes.IndexByte(document, '<') >= 0 {
		inner := reader{c: r.c, pos: r.pos + int64(at), tagsOnly: true, depth: r.depth + 1, anchor: -1}
		inner.feed(document, true)
	}
}

// endAnchor compares the text of a link with where it leads.
func (r *reader) endAnchor() {
	i, from := r.anchor, r.anchorAt
	r.anchor, r.c.pinned = -1, -1
	if i < 0 || from >= len(r.text) {
		return
	}
	text := r.text[from:]
	if len(text) > 512 || bytes.IndexByte(text, '.') < 0 {
		return
	}
	u := &r.c.found.URIs[i]
	shown := r.c.firstHost(text)
	if shown == nil || u.Mailbox != "" || shown.domain == u.Domain && shown.addr == u.Addr || r.c.leadsTo(i, shown) {
		return
	}
	u.Hidden |= Mismatch
	u.Shown = shown.text()
}

// leadsTo reports whether the URI at i is one of a known redirector whose target
// is of the domain of a host.
func (c *collector) leadsTo(i int, to *named) bool {
	u := &c.found.URIs[i]
	n := c.lookup([]byte(u.Host))
	if n == nil || len(n.data.rules) == 0 || to.domain == "" {
		return false
	}
	if strings.Contains(u.Path, to.domain) {
		return true
	}
	for j := range c.found.URIs { // what was found in it
		in, before := &c.found.URIs[j], c.places[i].order-c.places[j].order
		if in.Via == u.Host && in.Domain == to.domain && before-1 < maxInside {
			return true
		}
	}
	return false
}

// firstHost is the first host that text names, nil for none.
func (c *collector) firstHost(text []byte) *named {
	floor := 0
	for i := 1; i+1 < len(text); i++ {
		if text[i] != '.' {
			continue
		}
		begin := hostBegin(text, floor, i)
		end, seen := hostSpan(text, i+1, false)
		if begin < i && end > i+1 && !(begin > 0 && text[begin-1] == '@') && !(end < len(text) && text[end] == '@') {
			if n := c.lookup(text[begin:end]); plausible(n) {
				return n
			}
		}
		floor = i + 1
		i = max(i, seen-1)
	}
	return nil
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func space(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' }

// appendLower appends b in lower case.
func appendLower(dst, b []byte) []byte {
	for _, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst
}
