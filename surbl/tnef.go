package surbl

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// isTNEF reports whether a part is what Outlook calls "winmail.dat" (MS-OXTNEF,
// section 2.1.2), whatever it is called here.
func isTNEF(head []byte) bool { return bytes.HasPrefix(head, []byte("\x78\x9f\x3e\x22")) }

// Attributes of TNEF that hold what people read (MS-OXTNEF, section 2.1.3.3).
const (
	attBody        = 0x0002800c
	attMsgProps    = 0x00069003
	attAttachTitle = 0x00018010
	attAttachData  = 0x0006800f
	attAttachment  = 0x00069005
)

// Properties of messages and attachments that do (MS-OXPROPS).
const (
	tagBody       = 0x1000
	tagRTF        = 0x1009 // PidTagRtfCompressed
	tagHTML       = 0x1013
	tagAttachment = 0x3701 // PidTagAttachDataBinary and PidTagAttachDataObject
)

// Types of properties (MS-OXCDATA, section 2.11.1).
const (
	typeObject  = 0x000d
	typeString8 = 0x001e
	typeString  = 0x001f
	typeBinary  = 0x0102
	typeMany    = 0x1000 // values of the type below it
)

// tnef reads a message of Outlook's own: its text, its page or its Rich Text,
// and what is attached to it. Lengths in it are believed as far as there are
// octets, and nothing is kept but the name of the next attachment. Its subject
// and its addresses are those of the message around it.
func (s *scan) tnef(r io.Reader) {
	if s.nested++; s.nested > s.c.x.cfg.Depth {
		s.nested--
		s.c.found.Cut = true
		return
	}
	defer func() { s.nested-- }()
	f := &fields{r: r}
	f.skip(4 + 2) // signature and key
	name := ""
	for f.err == nil {
		f.skip(1) // level
		id := f.u32()
		length := int64(f.u32())
		if f.err != nil {
			return
		}
		value := io.LimitReader(r, length)
		switch id {
		case attBody:
			s.inside(value, "text/plain", "")
		case attAttachTitle:
			b, _ := io.ReadAll(io.LimitReader(value, 256))
			name = strings.TrimRight(string(b), "\x00")
		case attAttachData:
			s.inside(value, "application/octet-stream", name)
		case attMsgProps, attAttachment:
			s.properties(value)
		}
		_, f.err = io.Copy(io.Discard, value)
		f.skip(2) // checksum
	}
}

// inside reads a part of a TNEF message.
func (s *scan) inside(r io.Reader, kind, name string) {
	if s.parts++; s.parts > s.c.x.cfg.Parts {
		s.c.found.Cut = true
		return
	}
	s.leaf(r, kind, nil, name)
}

// properties reads a list of properties (MS-OXTNEF, section 2.1.3.4).
func (s *scan) properties(r io.Reader) {
	f := &fields{r: r}
	for range f.u32() {
		tag := f.u32()
		kind, id := tag&0xffff, tag>>16
		if id >= 0x8000 { // has a name
			f.skip(16)
			if f.u32() == 0 {
				f.skip(4)
			} else {
				f.skip(padded(int64(f.u32())))
			}
		}
		values := uint32(1)
		base := kind &^ typeMany
		variable := base == typeObject || base == typeString8 || base == typeString || base == typeBinary
		if variable || kind&typeMany != 0 {
			values = f.u32()
		}
		for range values {
			if f.err != nil {
				return
			}
			if !variable {
				f.skip(fixed(base))
				continue
			}
			length := int64(f.u32())
			value := io.LimitReader(r, length)
			s.property(value, id, base)
			if _, err := io.Copy(io.Discard, value); err != nil {
				return
			}
			f.skip(padded(length) - length)
		}
		if f.err != nil {
			return
		}
	}
}

// property reads a value of a property that people read.
func (s *scan) property(r io.Reader, id, kind uint32) {
	if kind == typeString {
		r = transform.NewReader(r, unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewDecoder())
	}
	switch id {
	case tagBody:
		s.inside(r, "text/plain", "")
	case tagHTML:
		s.inside(r, "text/html", "")
	case tagRTF:
		s.inside(io.LimitReader(newUnpacked(r), s.c.x.cfg.Bytes), "application/rtf", "")
	case tagAttachment:
		if kind == typeObject {
			if _, err := io.CopyN(io.Discard, r, 16); err != nil { // the interface it has
				return
			}
		}
		s.inside(r, "application/octet-stream", "")
	}
}

// fixed is how long a value of a type is that needs no length.
func fixed(kind uint32) int64 {
	switch kind {
	case 0x0005, 0x0006, 0x0007, 0x0014, 0x0040: // floating, currency, time, 64 bits
		return 8
	case 0x0048: // a GUID
		return 16
	}
	return 4
}

func padded(n int64) int64 { return (n + 3) &^ 3 }

// fields reads numbers. After an error they are 0.
type fields struct {
	r   io.Reader
	err error
}

func (f *fields) u32() uint32 {
	var b [4]byte
	if f.err == nil {
		_, f.err = io.ReadFull(f.r, b[:])
	}
	if f.err != nil {
		return 0
	}
	return binary.LittleEndian.Uint32(b[:])
}

func (f *fields) skip(n int64) {
	if f.err == nil {
		_, f.err = io.CopyN(io.Discard, f.r, n)
	}
}
