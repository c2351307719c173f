package mailsig

import "strings"

// width is how long lines get where they can be folded (RFC 5322, section 2.1.1).
const width = 76

// Folder writes the value of a field in lines. It folds between tags, behind the
// colons of lists and inside base64, with one space: what relays have no reason to
// touch, and may refold without harm when the header is relaxed.
type Folder struct {
	strings.Builder
	column int
	tags   int
}

// NewFolder begins the value of the field called name.
func NewFolder(name string) *Folder { return &Folder{column: len(name) + 1} }

// Resume goes on where a value has ended.
func Resume(name, value string) *Folder {
	f := NewFolder(name)
	f.WriteString(value)
	if i := strings.LastIndexByte(value, '\n'); i >= 0 {
		f.column = len(value) - i - 1
	} else {
		f.column += len(value)
	}
	return f
}

// put writes text, on a new line if it does not fit into this one; else behind
// between.
func (f *Folder) put(between, text string) {
	if f.column+len(between)+len(text) > width && f.column > 1 {
		f.WriteString("\r\n ")
		f.column = 1
	} else {
		f.WriteString(between)
		f.column += len(between)
	}
	f.WriteString(text)
	f.column += len(text)
}

// begin ends the tag before the next.
func (f *Folder) begin() {
	if f.tags > 0 {
		f.WriteByte(';')
		f.column++
	}
	f.tags++
}

// Tag writes a tag. A semicolon is to follow it.
func (f *Folder) Tag(name, value string) {
	f.begin()
	f.put(" ", name+"="+value)
}

// List writes a tag that is a list.
func (f *Folder) List(tag string, list []string) {
	f.begin()
	for i, name := range list {
		between := ""
		if i == 0 {
			between, name = " ", tag+"="+name
		}
		if i+1 < len(list) {
			name += ":"
		}
		f.put(between, name)
	}
}

// Open begins the last tag, on a line of its own.
func (f *Folder) Open(name string) {
	f.begin()
	f.WriteString("\r\n " + name + "=")
	f.column = 1 + len(name) + 1
}

// Data writes base64.
func (f *Folder) Data(text string) {
	for text != "" {
		n := min(len(text), width-f.column)
		if n <= 0 {
			f.WriteString("\r\n ")
			f.column = 1
			continue
		}
		f.WriteString(text[:n])
		f.column += n
		text = text[n:]
	}
}

// Quote writes text as quoted-printable (RFC 6376, section 2.11), and what is
// outside ASCII as it is (RFC 8616, section 4).
func Quote(text string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if c := text[i]; c <= ' ' || c == ';' || c == '=' || c == 0x7f {
			b.WriteByte('=')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
