package mailsig

import (
	"hash/maphash"
	"slices"
	"strings"
)

// Field is one field of a header section.
type Field struct {
	Name  string // as written, without the white space that may stand before its colon
	Raw   string // as received, with folds and the line end
	value int    // where Raw has the value
}

// Value is what stands behind the colon as received, without the last line end.
func (f Field) Value() string { return trimEnd(f.Raw[f.value:]) }

// trimEnd returns s without the line end at its end.
func trimEnd(s string) string {
	return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r")
}

// mark is where a field stands in a header section: its start, the end of its
// name and the octet behind its colon.
type mark struct{ start, name, value int }

// section finds the header section at the start of a message. A line ends at
// LF; the first that is neither a field nor the continuation of one ends the
// section and belongs to the body.
type section struct {
	marks []mark
	field int // where the current field begins
	seen  int // how far its end has been looked for
}

// scan looks for the end of the header section in p, which has all that came so
// far, and is asked again with more of it. eof says that nothing more will come.
// It returns where the section ends and where the body begins.
func (s *section) scan(p []byte, eof bool, maxFields int) (end, body int, ok bool, err error) {
	for {
		rest := p[s.field:]
		m, ok := fieldName(rest)
		switch {
		case len(rest) > 0 && rest[0] == '\n':
			return s.field, s.field + 1, true, nil
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return s.field, s.field + 2, true, nil
		case !ok && !eof && (m.value == len(rest) || len(rest) == 1 && rest[0] == '\r'):
			return 0, 0, false, nil // it may yet become one
		case !ok:
			return s.field, s.field, true, nil
		}
		s.seen = max(s.seen, s.field+m.value)
		n := fieldEnd(p[s.seen:])
		if n == 0 {
			if !eof {
				s.seen = max(s.seen, len(p)-1)
				return 0, 0, false, nil
			}
			n = len(p) - s.seen
		}
		if len(s.marks) == maxFields {
			return 0, 0, false, ErrHeader
		}
		s.marks = append(s.marks, mark{s.field, s.field + m.name, s.field + m.value})
		s.seen += n
		s.field = s.seen
	}
}

// fieldName reads the name at the start of a field, up to behind its colon. If
// there is none, value is how far it came.
func fieldName(p []byte) (m mark, ok bool) {
	for m.name < len(p) && p[m.name] > ' ' && p[m.name] < 0x7f && p[m.name] != ':' {
		m.name++
	}
	m.value = m.name
	for m.name > 0 && m.value < len(p) && (p[m.value] == ' ' || p[m.value] == '\t') {
		m.value++
	}
	if m.name == 0 || m.value == len(p) || p[m.value] != ':' {
		return m, false
	}
	m.value++
	return m, true
}

// Header is a header section.
type Header struct {
	Fields []Field // from the top down

	text   string
	seed   maphash.Seed
	names  []name  // of Fields, each once
	ints   []int32 // has all that follow
	slots  []int32 // a hash table over names: an index and one, 0 where there is none; nil before index
	above  []int32 // for a field, the next one above it with its name, and one
	left   []int32 // for a field, its name and one, until it is covered
	cursor []int32 // for a name, the next field to pick, and one
}

// Text is the header section as received.
func (h *Header) Text() string { return h.text }

// name is a field name.
type name struct {
	hash  uint64
	last  int32 // field of that name, and one: the lowest
	count int32
}

// set makes the fields from marks, over a copy of their text. It uses the memory
// that h has.
func (h *Header) set(p []byte, marks []mark) {
	h.text = string(p)
	h.Fields = slices.Grow(h.Fields[:0], len(marks))
	for i, m := range marks {
		end := len(p)
		if i+1 < len(marks) {
			end = marks[i+1].start
		}
		h.Fields = append(h.Fields, Field{Name: h.text[m.start:m.name], Raw: h.text[m.start:end], value: m.value - m.start})
	}
}

// spare is of how many fields memory is kept for the next header.
const spare = 256

// reset forgets the header, and keeps its memory.
func (h *Header) reset() {
	if cap(h.Fields) > spare {
		*h = Header{seed: h.seed}
		return
	}
	clear(h.Fields)
	*h = Header{seed: h.seed, Fields: h.Fields[:0], names: h.names[:0], ints: h.ints[:0]}
}

// index makes names: the first who picks fields needs them.
func (h *Header) index() {
	if h.slots != nil {
		return
	}
	n := len(h.Fields)
	size := 16
	for size < 2*n {
		size *= 2
	}
	h.ints = slices.Grow(h.ints[:0], size+3*n)[:size+3*n]
	h.slots, h.above, h.left, h.cursor = h.ints[:size], h.ints[size:size+n], h.ints[size+n:size+2*n], h.ints[size+2*n:]
	clear(h.slots)
	for i, f := range h.Fields {
		hash := h.hash(f.Name)
		slot := h.find(f.Name, hash)
		if h.slots[slot] == 0 {
			h.names = append(h.names, name{hash: hash})
			h.slots[slot] = int32(len(h.names))
		}
		k := &h.names[h.slots[slot]-1]
		h.above[i] = k.last
		k.last = int32(i + 1)
		k.count++
	}
}

// hash is of a field name, whatever its case. It has a secret, so that nobody
// can choose names that share a slot.
func (h *Header) hash(name string) uint64 {
	var room [64]byte
	return maphash.Bytes(h.seed, appendLower(room[:0], name))
}

// find returns the slot of a name, which is empty if no field has it.
func (h *Header) find(name string, hash uint64) int {
	mask := len(h.slots) - 1
	for i := int(hash) & mask; ; i = (i + 1) & mask {
		k := h.slots[i]
		if k == 0 || h.names[k-1].hash == hash && strings.EqualFold(h.Fields[h.names[k-1].last-1].Name, name) {
			return i
		}
	}
}

// Count returns how many fields are called name, whatever its case.
func (h *Header) Count(name string) int {
	h.index()
	k := h.slots[h.find(name, h.hash(name))]
	if k == 0 {
		return 0
	}
	return int(h.names[k-1].count)
}

// rewind makes pick begin again.
func (h *Header) rewind() {
	h.index()
	for i := range h.names {
		h.cursor[i] = h.names[i].last
	}
}

// pick returns the next field called name from the bottom up, leaving out the
// one at self (RFC 6376, section 5.4.2).
func (h *Header) pick(name string, self int) (i int, ok bool) {
	k := h.slots[h.find(name, h.hash(name))]
	if k == 0 {
		return 0, false
	}
	i = int(h.cursor[k-1]) - 1
	if i >= 0 && i == self {
		i = int(h.above[i]) - 1
	}
	if i < 0 {
		h.cursor[k-1] = 0
		return 0, false
	}
	h.cursor[k-1] = h.above[i]
	return i, true
}

// Others returns the names of fields that are neither among covered nor at self,
// each once, as written where it is highest.
func (h *Header) Others(covered []int32, self int) []string {
	left := h.left
	for k := range h.names {
		for i := h.names[k].last; i > 0; i = h.above[i-1] {
			left[i-1] = int32(k + 1)
		}
	}
	left[self] = 0
	for _, i := range covered {
		left[i] = 0
	}
	clear(h.cursor)
	n := 0
	for i, k := range left {
		if k > 0 && h.cursor[k-1] == 0 {
			h.cursor[k-1] = int32(i + 1)
			n++
		}
	}
	if n == 0 {
		return nil
	}
	names := make([]string, 0, n)
	for i, k := range left {
		if k > 0 && h.cursor[k-1] == int32(i+1) {
			names = append(names, h.Fields[i].Name)
		}
	}
	return names
}

// appendLower appends s with the letters of ASCII in lower case.
func appendLower(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst
}
