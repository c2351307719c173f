package surbl

import (
	"errors"
	"hash"
	"io"
	"strings"
)

// File is a part of a message that is a file: one that has a name, or is no
// text. An attached message is none; its own parts are.
type File struct {
	Name string // as the sender calls it, cut at 255 octets; "" where it has none
	Type string // the media type that the sender gives it, likewise
	Size int64  // octets, without transfer encoding

	sums [len(sumNames)][]byte
}

// Sum returns the sum of the file's octets, without transfer encoding; nil for
// one that Extraction.Files does not have.
func (f *File) Sum(s Sum) []byte {
	if int(s) >= len(f.sums) {
		return nil
	}
	return f.sums[s]
}

const (
	maxFiles    = 32  // of one message that are kept
	maxFileName = 255 // octets of a name or type
)

// summing is the body of a file, which sums what is read of it.
type summing struct {
	body  io.Reader
	file  File
	to    [len(sumNames)]hash.Hash
	ended error
}

// file returns body as it is to be read: summed where it is a file and sums are
// asked for, in which case done must be called once the part is read.
func (s *scan) file(body io.Reader, kind, name string) (_ io.Reader, done func()) {
	if len(s.c.x.cfg.Files) == 0 || name == "" && (kind == "" || strings.HasPrefix(kind, "text/")) {
		return body, func() {}
	}
	if len(s.c.found.Files) == maxFiles {
		s.c.found.More++
		s.c.found.Unseen++
		return body, func() {}
	}
	f := &summing{body: body, file: File{Name: cut(name), Type: cut(kind)}}
	for _, sum := range s.c.x.cfg.Files {
		f.to[sum] = sum.new()
	}
	return f, func() { s.summed(f) }
}

func cut(s string) string { return strings.Clone(s[:min(len(s), maxFileName)]) }

func (f *summing) Read(p []byte) (int, error) {
	n, err := f.body.Read(p)
	for _, h := range f.to {
		if h != nil {
			h.Write(p[:n])
		}
	}
	f.file.Size += int64(n)
	f.ended = err
	return n, err
}

// summed reads what nobody wanted of f, and keeps it where it is whole and not
// empty.
func (s *scan) summed(f *summing) {
	if f.ended == nil {
		_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, f, s.w.raw[:])
	}
	if !errors.Is(f.ended, io.EOF) || f.file.Size == 0 || s.src.cut {
		return
	}
	for i, h := range f.to {
		if h != nil {
			f.file.sums[i] = h.Sum(nil)
		}
	}
	s.c.found.Files = append(s.c.found.Files, f.file)
}
