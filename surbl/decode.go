package surbl

import (
	"bytes"
	"fmt"
	"io"
)

// Decoder finds links in what is neither text nor HTML: package surbl/pdf has
// one for documents, package surbl/qr one for pictures. It must be safe for
// concurrent use.
type Decoder interface {
	// Reads reports whether a part is for this decoder: kind is its media type in
	// lower case, name what the attachment is called or "", head its first octets,
	// at most 8 KiB.
	Reads(kind, name string, head []byte) bool

	// Decode reads one part and calls found for each text in it that is a URI, or
	// has URIs in it. kind is what such a URI is: a Link, Form, Base or Script, or 0
	// for text as people write it. An error says why the part was not read, or not
	// whole; what was found before counts all the same.
	Decode(body io.Reader, found func(text []byte, kind Kind, hidden Hidden)) error
}

// Unread is a part that a [Decoder] could not read, or not whole.
type Unread struct {
	Part int // as in URI
	Err  error
}

// String is "part 3: pdf: encrypted".
func (u Unread) String() string { return fmt.Sprintf("part %d: %v", u.Part, u.Err) }

// maxUnread bounds Links.Unread.
const maxUnread = 16

// decoder returns the Decoder of a part and its place, nil for none.
func (s *scan) decoder(kind, name string, head []byte) (d Decoder, i int) {
	for i, d := range s.c.x.cfg.Decoders {
		if d.Reads(kind, name, head) {
			return d, i
		}
	}
	return nil, 0
}

// decode has d, the decoder in place i, read a part, n octets of which are in
// the window; err is what ended them.
func (s *scan) decode(d Decoder, i int, body io.Reader, n int, err error) {
	s.begin()
	if s.decoded == nil {
		s.decoded = make([]int, len(s.c.x.cfg.Decoders))
	}
	if s.decoded[i]++; s.decoded[i] > s.c.x.cfg.Decoded {
		s.c.found.Cut = true
		return
	}
	head := bytes.Clone(s.w.raw[:n])
	rest := &remainder{r: body, err: err}
	why := s.guarded(d, io.MultiReader(bytes.NewReader(head), rest))
	if why != nil && len(s.c.found.Unread) < maxUnread {
		s.c.found.Unread = append(s.c.found.Unread, Unread{s.c.part, why})
	}
	if rest.err != nil {
		s.ended(rest.err)
	}
}

// guarded keeps what panics at one part from ending the extraction.
func (s *scan) guarded(d Decoder, body io.Reader) (err error) {
	kind, strict := s.c.kind, s.c.strict
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("surbl: decoder panicked: %v", p)
		}
		s.c.kind, s.c.strict = kind, strict
	}()
	return d.Decode(body, s.take)
}

// take takes what a Decoder found.
func (s *scan) take(text []byte, kind Kind, hidden Hidden) {
	c := s.c
	c.base = 0
	if kind != 0 && kind != Script && len(text) <= 2*maxText {
		h := newReader(c, s.w)
		if i := h.follow(text, kind, 0); i >= 0 {
			c.found.URIs[i].Hidden |= hidden
			return
		}
	}
	if kind == Script {
		c.kind, c.strict = Script, true
	}
	c.scan(text, hidden)
	c.kind, c.strict = 0, false
}

// remainder is what of a part is not in the window yet. It remembers its end,
// which a Decoder need not tell.
type remainder struct {
	r   io.Reader
	err error
}

func (r *remainder) Read(p []byte) (n int, err error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err = r.r.Read(p)
	if err != nil {
		r.err = err
	}
	return n, err
}
