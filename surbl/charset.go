package surbl

import (
	"bufio"
	"bytes"
	"io"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
	"golang.org/x/text/transform"
)

// decoded is r in UTF-8. What is ASCII where a URI could be is left as it is, and
// so is what browsers refuse to read, which other clients show.
func decoded(name string, r io.Reader) io.Reader {
	var e encoding.Encoding
	switch name = strings.ToLower(name); name {
	case "", "utf-8", "utf8", "us-ascii":
		return r
	case "utf-16", "utf16", "unicode", "ucs-2", "iso-10646-ucs-2", "csunicode", "utf-16le", "utf-16be", "utf16le", "utf16be":
		b := bufio.NewReaderSize(r, 64)
		order := unicode.LittleEndian
		if bigEndian(b, name, 2) {
			order = unicode.BigEndian
		}
		r, e = b, unicode.UTF16(order, unicode.UseBOM)
	case "utf-32", "utf32", "ucs-4", "iso-10646-ucs-4", "csucs4", "utf-32le", "utf-32be", "utf32le", "utf32be":
		b := bufio.NewReaderSize(r, 64)
		order := utf32.LittleEndian
		if bigEndian(b, name, 4) {
			order = utf32.BigEndian
		}
		r, e = b, utf32.UTF32(order, utf32.UseBOM)
	default:
		if isUTF7(name) {
			return transform.NewReader(r, &utf7{})
		}
		var err error
		if e, err = htmlindex.Get(name); err != nil || e == encoding.Replacement {
			return r
		}
	}
	return transform.NewReader(r, e.NewDecoder())
}

// bigEndian reports whether text in units of that many octets has the more
// significant ones first: as its charset says, or where that does not (RFC 2781,
// section 4.3, is not what everybody does), as its zeros show.
func bigEndian(b *bufio.Reader, name string, unit int) bool {
	if strings.HasSuffix(name, "be") || strings.HasSuffix(name, "le") {
		return strings.HasSuffix(name, "be")
	}
	head, _ := b.Peek(64)
	first, last := 0, 0
	for i := 0; i+unit <= len(head); i += unit {
		if head[i] == 0 {
			first++
		}
		if head[i+unit-1] == 0 {
			last++
		}
	}
	return first >= last
}

// marked is the encoding that a byte order mark at the start of a part names.
func marked(b []byte) encoding.Encoding {
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xfe\x00\x00")), bytes.HasPrefix(b, []byte("\x00\x00\xfe\xff")):
		return utf32.UTF32(utf32.LittleEndian, utf32.UseBOM)
	case bytes.HasPrefix(b, []byte("\xff\xfe")), bytes.HasPrefix(b, []byte("\xfe\xff")):
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	}
	return nil
}

// nulless is text without NULs, which leaves ASCII of what is in units of several
// octets and does not say so.
type nulless struct{ r io.Reader }

func (n nulless) Read(p []byte) (int, error) {
	m, err := n.r.Read(p)
	out := p[:0]
	for _, c := range p[:m] {
		if c != 0 {
			out = append(out, c)
		}
	}
	return len(out), err
}
