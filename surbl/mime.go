package surbl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"path"
	"strings"

	"github.com/emersion/go-message"
	"golang.org/x/text/transform"
)

// maxHeader bounds a header section in octets; a larger one is searched as it
// is.
const maxHeader = 64 << 10

// Extract returns what a message links to, from its start. An error is one of
// message, never of its content.
func (x *Extractor) Extract(message io.ReadSeeker) (Links, error) {
	w := x.windows.Get().(*window)
	c := w.c
	defer func() {
		c.finish() // after an error, or a panic of message: the room is used again
		x.windows.Put(w)
	}()
	s := &scan{c: c, w: w, src: &source{r: message, left: x.cfg.Bytes}}
	if err := rewind(message); err != nil {
		return Links{}, err
	}
	s.message(s.src, 0)
	if c.found.Broken || c.found.Cut || s.files {
		doubt := false
		for _, again := range [...]func(){
			func() { doubt = s.lenient(s.src, false, 0) },
			func() {
				if doubt {
					s.lenient(s.src, true, 0)
				}
			},
			s.raw,
		} {
			if s.src.err != nil {
				break
			}
			if err := rewind(message); err != nil {
				return Links{}, err
			}
			s.src, s.parts, s.next = &source{r: message, left: x.cfg.Bytes}, 0, 0
			again()
		}
	}
	if s.src.err != nil {
		return Links{}, fmt.Errorf("surbl: %w", s.src.err)
	}
	c.found.Cut = c.found.Cut || s.src.cut
	return c.finish(), nil
}

func rewind(message io.Seeker) error {
	if _, err := message.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("surbl: %w", err)
	}
	return nil
}

// source is the message, and remembers what went wrong with it, which the
// errors of what reads it do not tell from what is wrong in it.
type source struct {
	r    io.Reader
	left int64
	cut  bool
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	if s.left <= 0 {
		// Is there more?
		var one [1]byte
		if n, _ := s.r.Read(one[:]); n > 0 {
			s.cut = true
		}
		return 0, io.EOF
	}
	n, err := s.r.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// scan is one message being read.
type scan struct {
	c     *collector
	w     *window
	src   *source
	parts int
	next  int  // number of the next part that holds text
	files bool // text holds files that are encoded in it

	decoded []int // parts read by each decoder
	nested  int   // depth of parts that are no MIME
}

// message reads a message: the outermost, or an attached one.
func (s *scan) message(r io.Reader, depth int) {
	e, err := message.ReadWithOptions(r, &message.ReadOptions{MaxHeaderBytes: maxHeader})
	if e == nil {
		if err != nil && !errors.Is(err, io.EOF) || depth == 0 {
			s.c.found.Broken = true
		}
		return
	}
	s.header(&e.Header)
	s.entity(e, err, depth, false)
}

// header takes what people see of a header section, and where replies go.
func (s *scan) header(h *message.Header) {
	s.c.part = s.next
	s.next++
	for _, name := range [...]string{"Subject", "From", "Reply-To"} {
		for f := h.FieldsByKey(name); f.Next(); {
			value := f.Value()
			if len(value) > maxShown {
				value = value[:maxShown]
			}
			if strings.Contains(value, "=?") {
				d := mime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) { return decoded(charset, r), nil }}
				if plain, err := d.DecodeHeader(value); err == nil {
					value = plain
				}
			}
			s.c.base = 0
			s.c.text([]byte(value))
		}
	}
}

// entity reads a message or part whose header has been read; err is what
// go-message makes of its encodings, digest is for the parts of one.
func (s *scan) entity(e *message.Entity, err error, depth int, digest bool) {
	if s.parts++; s.parts > s.c.x.cfg.Parts || depth > s.c.x.cfg.Depth {
		s.c.found.Cut = true
		return
	}
	for _, name := range [...]string{"Content-Type", "Content-Transfer-Encoding"} {
		if f := e.Header.FieldsByKey(name); f.Len() > 1 {
			s.c.found.Broken = true // which of them counts?
		}
	}
	kind, params, good := contentType(&e.Header, false)
	name := filename(&e.Header, params)
	if digest && !e.Header.Has("Content-Type") {
		kind = "message/rfc822" // RFC 2046, section 5.1.5
	}
	switch {
	case strings.HasPrefix(kind, "multipart/") && !good:
		s.c.found.Broken = true
		return
	case strings.HasPrefix(kind, "multipart/"):
		s.multipart(e, params["boundary"], depth, kind == "multipart/digest")
		return
	case attachedMessage(kind, name):
		s.message(e.Body, depth+1)
		return
	}
	body := e.Body
	if encoding := e.Header.Get("Content-Transfer-Encoding"); !usual(encoding) {
		body = loose(encoding, body)
	}
	if !good || !strings.HasPrefix(kind, "text/") || message.IsUnknownCharset(err) {
		body = decoded(params["charset"], body) // which go-message left
	}
	s.leaf(body, kind, params, name)
}

func (s *scan) multipart(e *message.Entity, boundary string, depth int, digest bool) {
	behind := &tail{r: e.Body}
	e.Body = behind
	parts := e.MultipartReader()
	if parts == nil {
		s.c.found.Broken = true
		return
	}
	for n := 0; ; n++ {
		part, err := parts.NextPart()
		if part == nil {
			if err != nil && !errors.Is(err, io.EOF) || n == 0 || behind.goesOn(boundary, s.w.raw[:]) {
				s.c.found.Broken = true
			}
			return
		}
		if s.parts >= s.c.x.cfg.Parts {
			s.c.found.Cut = true
			return
		}
		s.entity(part, err, depth+1, digest)
	}
}

// filename is what an attachment is called, "" for what has no name.
func filename(h *message.Header, params map[string]string) string {
	if name := params["name"]; name != "" {
		return name
	}
	_, disposition, err := h.ContentDisposition()
	if err != nil {
		return ""
	}
	return disposition["filename"]
}

// leaf reads what holds no parts: as HTML, as text, or not at all where it is
// neither.
func (s *scan) leaf(body io.Reader, kind string, params map[string]string, name string) {
	body, done := s.file(body, kind, name)
	defer done()
	n, err := fill(body, s.w.raw[:], 0)
	head := s.w.raw[:n]
	if d, i := s.decoder(kind, name, head); d != nil {
		s.decode(d, i, body, n, err)
		return
	}
	if tnef := isTNEF(head); tnef || isRTF(head) {
		rest := &remainder{r: body, err: err}
		if whole := io.MultiReader(bytes.NewReader(bytes.Clone(head)), rest); tnef {
			s.tnef(whole)
		} else {
			s.begin()
			s.rtf(whole)
		}
		if rest.err != nil {
			s.ended(rest.err)
		}
		return
	}
	if charset := marked(head); charset != nil {
		body = transform.NewReader(io.MultiReader(bytes.NewReader(append([]byte(nil), head...)), body), charset.NewDecoder())
		n, err = fill(body, s.w.raw[:], 0)
		head = s.w.raw[:n]
	}
	if bytes.IndexByte(head, 0) >= 0 && (strings.HasPrefix(kind, "text/") || looksLikeHTML(bytes.ReplaceAll(head, []byte{0}, nil))) {
		body = nulless{io.MultiReader(bytes.NewReader(append([]byte(nil), head...)), body)}
		n, err = fill(body, s.w.raw[:], 0)
		head = s.w.raw[:n]
	}
	switch ext := strings.ToLower(path.Ext(name)); {
	case kind == "text/html", kind == "application/xhtml+xml", kind == "image/svg+xml",
		ext == ".html", ext == ".htm", ext == ".shtml", ext == ".xhtml", ext == ".svg", ext == ".hta",
		kind == "text/xml", kind == "application/xml", ext == ".xml",
		!strings.HasPrefix(kind, "text/") && looksLikeHTML(head):
		s.begin()
		s.html(body, n, err, strings.HasPrefix(kind, "text/") && kind != "text/html")
	case kind == "text/calendar", kind == "text/vcard", kind == "text/x-vcard", kind == "text/directory", ext == ".ics", ext == ".vcf":
		s.begin()
		s.plain(body, n, err, unfolded)
	case strings.HasPrefix(kind, "text/"), strings.HasPrefix(kind, "message/"), kind == "application/ics", kind == "application/rtf", textual(ext):
		s.begin()
		joined := join(nil)
		if strings.EqualFold(params["format"], "flowed") && strings.EqualFold(params["delsp"], "yes") {
			joined = flowed
		}
		s.plain(body, n, err, joined)
	}
}

// textual reports whether files of a name are text that leads somewhere when it
// is opened, or shown.
func textual(ext string) bool {
	switch ext {
	case ".txt", ".csv", ".log", ".md", ".json", ".rtf", ".url", ".webloc", ".website", ".desktop", ".iqy", ".slk", ".library-ms", ".search-ms",
		".js", ".jse", ".vbs", ".vbe", ".wsf", ".ps1", ".bat", ".cmd", ".sh":
		return true
	}
	return false
}

func (s *scan) begin() {
	s.c.part = max(1, s.next)
	s.next = s.c.part + 1
}

// looksLikeHTML reports whether what claims to be no text begins as a document
// does.
func looksLikeHTML(b []byte) bool {
	b = bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), " \t\r\n")
	for _, start := range []string{"<!doctype html", "<html", "<head", "<body", "<script", "<meta"} {
		if hasPrefixFold(b, start) {
			return true
		}
	}
	return false
}

// fill reads until b is full, or there is no more, or an error. n octets are
// there already.
func fill(r io.Reader, b []byte, n int) (int, error) {
	for empty := 0; n < len(b); {
		m, err := r.Read(b[n:])
		n += m
		if err != nil {
			return n, err
		}
		if m > 0 {
			empty = 0
		} else if empty++; empty > 100 {
			return n, io.ErrNoProgress
		}
	}
	return n, nil
}

// ended takes note of how a part ended.
func (s *scan) ended(err error) {
	if !errors.Is(err, io.EOF) {
		s.c.found.Broken = true
	}
}

// html reads a document, n octets of which are in the window; shown has it read
// as text too, for clients that show it so.
func (s *scan) html(body io.Reader, n int, err error, shown bool) {
	h := newReader(s.c, s.w)
	var text *words
	if shown {
		text = &words{c: s.c}
	}
	for seen := 0; ; {
		if text != nil {
			text.write(s.w.raw[seen:n])
		}
		used := h.feed(s.w.raw[:n], err != nil)
		if used == 0 && err == nil && n == len(s.w.raw) {
			used = h.feed(s.w.raw[:n], true)
		}
		h.pos += int64(used)
		n = copy(s.w.raw[:], s.w.raw[used:n])
		if seen = n; err != nil {
			break
		}
		n, err = fill(body, s.w.raw[:], n)
	}
	h.flush(true)
	h.release(s.w)
	if text != nil {
		text.flush(len(text.buf))
	}
	s.ended(err)
}

// join takes out of text what only breaks its lines, in place.
type join func(b []byte) []byte

// plain reads text, n octets of which are in the window.
func (s *scan) plain(body io.Reader, n int, err error, lines join) {
	s.c.base = 0
	for {
		b := s.w.raw[:n]
		end := n
		if err == nil {
			// Not within a word.
			for end > 0 && b[end-1] > ' ' && n-end < 2*maxText {
				end--
			}
			if end == 0 || n-end == 2*maxText {
				end = n
			}
			if lines != nil {
				if i := lastBreak(b[:end]); i > 0 {
					end = i
				}
			}
		}
		text := b[:end]
		s.files = s.files || holdsFile(text)
		if lines != nil {
			text = append(s.w.text[:0], text...)
			s.w.text = text[:0]
			text = lines(text)
		}
		at := s.c.base
		s.c.text(text)
		s.c.base = at + int64(end)
		n = copy(b, b[end:])
		if err != nil {
			break
		}
		n, err = fill(body, s.w.raw[:], n)
	}
	s.ended(err)
}
