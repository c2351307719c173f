package surbl

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// Extraction bounds an extraction and says what counts as a URI. The zero value
// of a field means its default, and the zero Extraction is fit for inbound mail.
type Extraction struct {
	URIs  int   // kept of one message, the rest counted; 100
	Parts int   // of a message that are read; 1,000
	Depth int   // of parts in parts, attached messages included; 8
	Bytes int64 // of a message that are read; 64 MiB

	// Defanged has "hxxp://evil[.]example" read as people write it who do not want
	// it followed. Nobody follows such a link by accident.
	Defanged bool

	// Suffixes says where domains are registered. Nil is the Public Suffix List as
	// of golang.org/x/net.
	Suffixes *Suffixes

	// Redirectors are known besides those of [DefaultRedirectors]; nil is no more.
	Redirectors []Redirector
}

// Links are what a message links to. The zero Links is a message without any.
type Links struct {
	URIs []URI // the most telling first, else in the order of the message
	More int   // occurrences that Extraction.URIs left no room for

	// Broken says that the structure of the message could not be read, or can be
	// read in two ways; it was then read as mail clients do that forgive more, and
	// searched as it is.
	Broken bool

	// Cut says that Extraction.Parts, Depth or Bytes left something unread.
	Cut bool
}

// Extractor extracts URIs. It is safe for concurrent use.
type Extractor struct {
	cfg         Extraction
	suffixes    *Suffixes
	redirectors map[string][]Redirector
	windows     sync.Pool
}

// NewExtractor reports what is wrong with cfg.
func NewExtractor(cfg Extraction) (*Extractor, error) {
	for _, f := range []struct {
		name  string
		value int64
	}{{"URIs", int64(cfg.URIs)}, {"Parts", int64(cfg.Parts)}, {"Depth", int64(cfg.Depth)}, {"Bytes", cfg.Bytes}} {
		if f.value < 0 {
			return nil, fmt.Errorf("surbl: Extraction.%s: negative", f.name)
		}
	}
	if cfg.URIs == 0 {
		cfg.URIs = 100
	}
	if cfg.Parts == 0 {
		cfg.Parts = 1000
	}
	if cfg.Depth == 0 {
		cfg.Depth = 8
	}
	if cfg.Bytes == 0 {
		cfg.Bytes = 64 << 20
	}
	if cfg.URIs > 1<<20 {
		return nil, errors.New("surbl: Extraction.URIs: over 1,048,576")
	}
	if cfg.Depth > 64 {
		return nil, errors.New("surbl: Extraction.Depth: over 64")
	}
	x := &Extractor{cfg: cfg, suffixes: cfg.Suffixes, redirectors: make(map[string][]Redirector)}
	if x.suffixes == nil {
		x.suffixes = &Suffixes{}
	}
	for i, r := range append(DefaultRedirectors(), cfg.Redirectors...) {
		if r.Host == "" {
			return nil, fmt.Errorf("surbl: Extraction.Redirectors: number %d has no Host", i)
		}
		x.redirectors[r.Host] = append(x.redirectors[r.Host], r)
	}
	x.windows.New = func() any { return &window{c: newCollector(x)} }
	return x, nil
}

// window is room for one extraction: for what was found, and for text at hand.
type window struct {
	c    *collector
	raw  [8 << 10]byte
	text []byte // what HTML shows
	gaps []gap
}

// standard extracts with the zero Extraction.
var standard = sync.OnceValue(func() *Extractor {
	x, err := NewExtractor(Extraction{})
	if err != nil {
		panic(err) // the zero Extraction is valid
	}
	return x
})

// Extract returns what a message links to, with the bounds of the zero
// [Extraction]. An error is one of message, never of its content.
func Extract(message io.ReadSeeker) (Links, error) { return standard().Extract(message) }

// Text returns the URIs in plain text.
func (x *Extractor) Text(text []byte) Links {
	w := x.windows.Get().(*window)
	w.c.text(text)
	links := w.c.finish()
	x.windows.Put(w)
	return links
}

// HTML returns the URIs of an HTML document: those of its attributes and those
// that its text names.
func (x *Extractor) HTML(document []byte) Links {
	w := x.windows.Get().(*window)
	h := newReader(w.c, w)
	h.all(document)
	h.release(w)
	links := w.c.finish()
	x.windows.Put(w)
	return links
}
