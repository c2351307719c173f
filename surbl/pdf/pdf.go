// Package pdf answers: what does a PDF document link to?
//
//	documents, err := pdf.New(pdf.Config{})
//	lists, err := surbl.New(surbl.Config{
//		Extract: surbl.Extraction{Decoders: []surbl.Decoder{documents}},
//		…
//	})
//
// It reads what a click in a viewer follows (ISO 32000-1, section 12.6.4): the
// URIs of actions, where forms are submitted to, remote files, the base of
// relative links, and what has a scheme in JavaScript; in objects as they stand
// in the file and in object streams. QR codes in the pictures of a document are
// read where Config.Pictures says so. Text that is only shown is not read, nor
// are attached files and XFA forms.
//
// The scanner is one of our own. The libraries for PDF there are want a document
// they can make sense of: they trust lengths and counts that are written in it,
// inflate without bound, or panic, and a link is one viewer's leniency away from
// what they read. This one believes no structure. It looks for the names of keys
// wherever they stand, in what an incremental update replaced as well, so that
// what it finds is never less than what a viewer does; and each octet costs it a
// bounded number of steps.
//
// What is encrypted, be it with an empty password, is not read: [ErrEncrypted]
// says so.
package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"strings"

	"github.com/smtpguard/smtpguard/surbl"
)

// Errors of [Decoder.Decode]: what was found is not all there is.
var (
	ErrEncrypted = errors.New("pdf: encrypted")
	ErrCut       = errors.New("pdf: over Config.Bytes")
	ErrInflated  = errors.New("pdf: over Config.Inflated")
	ErrObjects   = errors.New("pdf: over Config.Objects")
	ErrPictures  = errors.New("pdf: more pictures than are read")
	ErrFilter    = errors.New("pdf: object stream in a filter that is not read, or damaged")
)

// Config bounds what one document may cost. The zero value of a field means its
// default.
type Config struct {
	Bytes    int // of a document that are read, and held; 16 MiB
	Inflated int // octets that its streams may have, and that are read and kept besides the document; 16 MiB
	Objects  int // links, references and streams that are looked at; 20,000
	Parallel int // documents read at once, for which others wait; GOMAXPROCS

	// Pictures reads the pictures of documents, up to 8 of each: a Decoder of
	// package surbl/qr, which is given PNG and JPEG. Nil reads none.
	Pictures surbl.Decoder
}

// Decoder reads documents. It is safe for concurrent use.
type Decoder struct {
	cfg  Config
	room chan struct{}
}

var _ surbl.Decoder = (*Decoder)(nil)

// New reports what is wrong with cfg.
func New(cfg Config) (*Decoder, error) {
	for _, f := range []struct {
		name     string
		value    *int
		fallback int
	}{{"Bytes", &cfg.Bytes, 16 << 20}, {"Inflated", &cfg.Inflated, 16 << 20}, {"Objects", &cfg.Objects, 20000}, {"Parallel", &cfg.Parallel, runtime.GOMAXPROCS(0)}} {
		if *f.value < 0 || *f.value > 1<<30 {
			return nil, fmt.Errorf("pdf: Config.%s must be between 0 and 1,073,741,824", f.name)
		}
		if *f.value == 0 {
			*f.value = f.fallback
		}
	}
	return &Decoder{cfg: cfg, room: make(chan struct{}, cfg.Parallel)}, nil
}

// Reads reports whether a part is a document: viewers look for "%PDF-" in the
// first 1,024 octets, and some take what is only called one.
func (d *Decoder) Reads(kind, name string, head []byte) bool {
	if bytes.Contains(head[:min(len(head), 1024)], []byte("%PDF-")) {
		return true
	}
	if trimmed := bytes.TrimSpace(head); len(trimmed) > 0 && trimmed[0] == '<' || strings.HasPrefix(kind, "text/") {
		return false // a page with the wrong name
	}
	return kind == "application/pdf" || kind == "application/x-pdf" || strings.EqualFold(path.Ext(name), ".pdf")
}

// Decode calls found for each link of a document.
func (d *Decoder) Decode(body io.Reader, found func(text []byte, kind surbl.Kind, hidden surbl.Hidden)) error {
	d.room <- struct{}{}
	defer func() { <-d.room }()
	b, err := io.ReadAll(io.LimitReader(body, int64(d.cfg.Bytes)+1))
	if err != nil {
		return fmt.Errorf("pdf: %w", err)
	}
	s := &scanner{found: found, objects: d.cfg.Objects, work: d.cfg.Inflated, wanted: make(map[int]surbl.Kind), pictures: d.cfg.Pictures}
	if len(b) > d.cfg.Bytes {
		s.fail(ErrCut)
		b = b[:d.cfg.Bytes]
	}
	s.document(b)
	return errors.Join(s.errs...)
}
