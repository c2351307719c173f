package surbl

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
)

// Extraction bounds an extraction and says what counts as a URI. The zero value
// of a field means its default, and the zero Extraction is fit for inbound mail.
type Extraction struct {
	// URIs are kept of one message, the rest is counted; 100. Where there are more,
	// those that repeat a registered domain give way to those of others, then the
	// less telling to the more telling, and of what is equal the first half and the
	// last ones are kept: nothing is hidden behind a hundred others.
	URIs  int
	Parts int   // of a message that are read; 1,000
	Depth int   // of parts in parts, attached messages included; 8
	Bytes int64 // of a message that are read; 64 MiB

	// Defanged has "hxxp://evil[.]example" read as people write it who do not want
	// it followed. Nobody follows such a link by accident.
	Defanged bool

	// Wallets has the addresses of cryptocurrencies looked for, in text and in links;
	// up to 20 are kept.
	Wallets bool

	// Files are the sums that are made of what is attached; none by default. Up to 32
	// files are kept.
	Files []Sum

	// Suffixes says where domains are registered. Nil is the Public Suffix List as
	// of golang.org/x/net.
	Suffixes *Suffixes

	// Decoders read what is neither text nor HTML: documents with package
	// surbl/pdf, QR codes in pictures with package surbl/qr. Nil reads none. A part
	// is the first's that wants it.
	Decoders []Decoder
	Decoded  int // parts of a message that each of Decoders reads; 16

	// Redirectors are known besides those of [DefaultRedirectors]; nil is no more.
	Redirectors []Redirector
}

// Links are what a message links to. The zero Links is a message without any.
type Links struct {
	URIs    []URI    // the most telling first, else in the order of the message
	Wallets []Wallet // with Extraction.Wallets, in the order of the message
	Files   []File   // with Extraction.Files, likewise

	// More counts occurrences there was no room for; Unseen those of them that may
	// be something else than what there was room for: those of registered domains
	// that none of URIs has, wallets and files, and of [Lists] whose zones ask for more
	// than domains also shortened links and mail addresses.
	More, Unseen int

	// Broken says that the structure of the message could not be read, or can be
	// read in two ways; it was then read as mail clients do that forgive more, and
	// searched as it is.
	Broken bool

	// Cut says that Extraction.Parts, Depth, Bytes or Decoded left something
	// unread.
	Cut bool

	// Unread are parts that Extraction.Decoders could not read, or not whole: what
	// is encrypted, too large or damaged. At most 16 are named.
	Unread []Unread
}

// Extractor extracts URIs. It is safe for concurrent use.
type Extractor struct {
	cfg         Extraction
	suffixes    atomic.Pointer[Suffixes]
	redirectors map[string][]Redirector
	windows     sync.Pool

	// What lists ask for, or do not.
	exempt           map[string]struct{} // domains
	mailboxes, paths bool                // of mail addresses, and of shorteners, each is something else
}

// dull reports whether nobody asks about a domain.
func (x *Extractor) dull(domain string) bool {
	_, ok := x.exempt[domain]
	return ok && !x.paths
}

// NewExtractor reports what is wrong with cfg.
func NewExtractor(cfg Extraction) (*Extractor, error) {
	for _, f := range []struct {
		name  string
		value int64
	}{{"URIs", int64(cfg.URIs)}, {"Parts", int64(cfg.Parts)}, {"Depth", int64(cfg.Depth)}, {"Bytes", cfg.Bytes}, {"Decoded", int64(cfg.Decoded)}} {
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
	if cfg.Decoded == 0 {
		cfg.Decoded = 16
	}
	for i, d := range cfg.Decoders {
		if d == nil {
			return nil, fmt.Errorf("surbl: Extraction.Decoders[%d]: nil", i)
		}
	}
	if cfg.URIs > 1<<20 {
		return nil, errors.New("surbl: Extraction.URIs: over 1,048,576")
	}
	if cfg.Depth > 64 {
		return nil, errors.New("surbl: Extraction.Depth: over 64")
	}
	for i, sum := range cfg.Files {
		if int(sum) >= len(sumNames) {
			return nil, fmt.Errorf("surbl: Extraction.Files[%d]: none there is", i)
		}
	}
	cfg.Files = slices.Clone(cfg.Files)
	x := &Extractor{cfg: cfg, redirectors: make(map[string][]Redirector)}
	x.SetSuffixes(cfg.Suffixes)
	for i, r := range append(DefaultRedirectors(), cfg.Redirectors...) {
		if r.Host == "" {
			return nil, fmt.Errorf("surbl: Extraction.Redirectors: number %d has no Host", i)
		}
		x.redirectors[r.Host] = append(x.redirectors[r.Host], r)
	}
	x.windows.New = func() any { return &window{c: newCollector(x)} }
	return x, nil
}

// SetSuffixes has s say from now on where domains are registered, nil the Public
// Suffix List as of golang.org/x/net. It may be called while x is in use.
func (x *Extractor) SetSuffixes(s *Suffixes) {
	if s == nil {
		s = &Suffixes{}
	}
	x.suffixes.Store(s)
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
