package pdf

import (
	"bytes"
	"compress/flate"
	"io"
	"slices"
)

// stream is one that stands in the file.
type stream struct {
	number  int // of its object
	at, end int // where its octets begin, and where the next "endstream" is
	objects bool
	first   int // where the objects in it begin
	filters []string

	predictor, columns, colors, bits int // of /DecodeParms

	width, height int // of a picture
}

// findStreams finds the keywords "stream", and reads the dictionaries before
// them.
func (s *scanner) findStreams(b []byte) {
	open := 0 // those before it have an end
	ended := func(end int) {
		for ; open < len(s.streams); open++ {
			s.streams[open].end = max(end, s.streams[open].at)
		}
	}
	defer func() { ended(len(b)) }()
	for i := 0; ; {
		n := bytes.Index(b[i:], []byte("stream"))
		if n < 0 {
			return
		}
		at := i + n
		i = at + len("stream")
		if at >= 3 && string(b[at-3:at]) == "end" {
			ended(at - 3)
			continue
		}
		end := at
		for end > 0 && at-end < maxSpace && space(b[end-1]) {
			end--
		}
		if end < 2 || string(b[end-2:end]) != ">>" {
			continue
		}
		dict := b[max(0, end-maxDict):end]
		obj := max(0, bytes.LastIndex(dict, []byte("obj")))
		if !s.object() || !s.spend(len(dict)-obj) {
			return
		}
		st := readDict(dict[obj:])
		st.number, _ = numberBefore(dict, obj)
		st.at = i
		if st.at < len(b) && b[st.at] == '\r' {
			st.at++
		}
		if st.at < len(b) && b[st.at] == '\n' {
			st.at++
		}
		if !st.objects && s.sniff(b[st.at:]) {
			st.objects, st.filters = true, []string{"FlateDecode"}
		}
		s.streams = append(s.streams, st)
	}
}

// sniff reports whether b inflates to what begins as object streams do, with
// numbers: what is before a stream can be written so that only a full parser
// reads the right dictionary.
func (s *scanner) sniff(b []byte) bool {
	if len(b) < 2 || b[0]&0x0f != 8 || (int(b[0])<<8|int(b[1]))%31 != 0 { // RFC 1950, section 2.2
		return false
	}
	m := &meter{s, b[2:]}
	if s.flate == nil {
		s.flate = flate.NewReader(m)
	} else if s.flate.(flate.Resetter).Reset(m, nil) != nil {
		return false
	}
	var head [8]byte
	n, _ := io.ReadFull(s.flate, head[:])
	numbers := 0
	for i, c := range head[:n] {
		if !digit(c) && !space(c) {
			return false
		}
		if digit(c) && (i == 0 || !digit(head[i-1])) {
			numbers++
		}
	}
	return numbers > 1
}

// readDict reads what matters of the dictionary of a stream (section 7.3.8.2).
// Which of the dictionaries in it a key is of makes no difference here.
func readDict(b []byte) (st stream) {
	st.columns, st.colors, st.bits = 1, 1, 8
	n := false
	for i := 0; ; {
		next := bytes.IndexByte(b[i:], '/')
		if next < 0 {
			break
		}
		name, end := readName(b, i+next+1)
		i = end
		switch string(name) {
		case "ObjStm":
			st.objects = true
		case "First":
			st.first = value(b, end)
			st.objects = st.objects || n
		case "N":
			n = true
			st.objects = st.objects || st.first > 0
		case "FlateDecode", "Fl", "LZWDecode", "LZW", "ASCIIHexDecode", "AHx", "ASCII85Decode", "A85", "RunLengthDecode", "RL",
			"DCTDecode", "DCT", "CCITTFaxDecode", "CCF", "JBIG2Decode", "JPXDecode", "Crypt":
			st.filters = append(st.filters, string(name))
		case "Predictor":
			st.predictor = value(b, end)
		case "Columns":
			st.columns = value(b, end)
		case "Colors":
			st.colors = value(b, end)
		case "BitsPerComponent":
			st.bits = value(b, end)
		case "Width":
			st.width = value(b, end)
		case "Height":
			st.height = value(b, end)
		}
	}
	return st
}

func value(b []byte, i int) int {
	n, _ := readNumber(b, skipSpace(b, i))
	return n
}

// maxFilters bounds the filters of one stream: each may inflate what the one
// before it did.
const maxFilters = 4

// inflate undoes the filters of a stream, as far as s.work goes. It is nil for
// what is none.
func (s *scanner) inflate(b []byte, st *stream) []byte {
	if len(st.filters) > maxFilters {
		s.fail(ErrFilter)
		return nil
	}
	var r io.Reader = &meter{s, b[st.at:]}
	if len(st.filters) == 0 {
		r = &meter{s, b[st.at:st.end]}
	}
	for _, f := range st.filters {
		switch f {
		case "FlateDecode", "Fl":
			r = inflated(r)
		case "ASCIIHexDecode", "AHx":
			r = &hexed{r: byteReader(r)}
		case "ASCII85Decode", "A85":
			r = &ascii85{r: byteReader(r)}
		default:
			s.fail(ErrFilter)
			return nil
		}
	}
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(r, int64(max(0, s.work))+1))
	if !s.spend(int(n)) || s.work == 0 {
		s.fail(ErrInflated)
	} else if err != nil && n == 0 {
		s.fail(ErrFilter)
	}
	return st.predicted(out.Bytes())
}

// meter gives out octets of the file, and accounts for them: streams may
// overlap, and one that inflates to nothing costs time all the same.
type meter struct {
	s *scanner
	b []byte
}

func (m *meter) ReadByte() (byte, error) {
	if len(m.b) == 0 || m.s.work <= 0 {
		if len(m.b) > 0 {
			m.s.fail(ErrInflated)
		}
		return 0, io.EOF
	}
	m.s.work--
	c := m.b[0]
	m.b = m.b[1:]
	return c, nil
}

func (m *meter) Read(p []byte) (int, error) { return readBytes(m, p) }

// byter reads octets one at a time.
type byter interface {
	io.Reader
	io.ByteReader
}

// byteReader is r with ReadByte.
func byteReader(r io.Reader) byter {
	if b, ok := r.(byter); ok {
		return b
	}
	return &single{r}
}

// single reads octets from what only fills slices.
type single struct{ io.Reader }

func (s *single) ReadByte() (byte, error) {
	var one [1]byte
	_, err := io.ReadFull(s.Reader, one[:])
	return one[0], err
}

// inflated undoes /FlateDecode: the two octets of a zlib header (RFC 1950) are
// skipped, its checksum is not asked for, which viewers do not either.
func inflated(r io.Reader) io.Reader {
	b := byteReader(r)
	for range 2 {
		if _, err := b.ReadByte(); err != nil {
			return bytes.NewReader(nil)
		}
	}
	return flate.NewReader(b)
}

// hexed undoes /ASCIIHexDecode (section 7.4.2).
type hexed struct {
	r    io.ByteReader
	done bool
}

func (h *hexed) ReadByte() (byte, error) {
	var digits []byte
	for len(digits) < 2 && !h.done {
		c, err := h.r.ReadByte()
		if err != nil || c == '>' {
			h.done = true
		} else if d := unhex(c); d < 16 {
			digits = append(digits, d)
		}
	}
	switch len(digits) {
	case 0:
		return 0, io.EOF
	case 1:
		return digits[0] << 4, nil
	}
	return digits[0]<<4 | digits[1], nil
}

func (h *hexed) Read(p []byte) (int, error) { return readBytes(h, p) }

func readBytes(r io.ByteReader, p []byte) (n int, err error) {
	for n < len(p) {
		c, err := r.ReadByte()
		if err != nil {
			return n, err
		}
		p[n] = c
		n++
	}
	return n, nil
}

// ascii85 undoes /ASCII85Decode (section 7.4.3).
type ascii85 struct {
	r    io.ByteReader
	out  []byte
	room [4]byte
	done bool
}

func (a *ascii85) ReadByte() (byte, error) {
	if len(a.out) == 0 {
		a.group()
	}
	if len(a.out) == 0 {
		return 0, io.EOF
	}
	c := a.out[0]
	a.out = a.out[1:]
	return c, nil
}

// group reads the next five letters, or what is left.
func (a *ascii85) group() {
	var v uint32
	n := 0
	for n < 5 && !a.done {
		c, err := a.r.ReadByte()
		switch {
		case err != nil || c == '~':
			a.done = true
		case c == 'z' && n == 0:
			a.room = [4]byte{}
			a.out = a.room[:]
			return
		case c >= '!' && c <= 'u':
			v = v*85 + uint32(c-'!')
			n++
		}
	}
	if n < 2 {
		return
	}
	for i := n; i < 5; i++ {
		v = v*85 + 84
	}
	a.room = [4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
	a.out = a.room[:n-1]
}

func (a *ascii85) Read(p []byte) (int, error) { return readBytes(a, p) }

// predicted undoes the prediction of what was inflated (section 7.4.4.4), in
// place. What has parameters that make no sense is as it is.
func (st *stream) predicted(b []byte) []byte {
	if st.predictor < 2 {
		return b
	}
	if st.columns < 1 || st.columns > 1<<16 || st.colors < 1 || st.colors > 32 || !slices.Contains([]int{1, 2, 4, 8, 16}, st.bits) {
		return b
	}
	unit := max(1, st.colors*st.bits/8)
	row := (st.columns*st.colors*st.bits + 7) / 8
	if st.predictor == 2 { // TIFF's, of whole octets
		for rest := b; st.bits == 8 && len(rest) >= row; rest = rest[row:] {
			for i := unit; i < row; i++ {
				rest[i] += rest[i-unit]
			}
		}
		return b
	}
	out := b[:0]
	above := make([]byte, row)
	for len(b) > 1 {
		kind, line := b[0], b[1:min(len(b), row+1)]
		b = b[1+len(line):]
		unfilter(kind, line, above, unit)
		copy(above, line)
		out = append(out, line...)
	}
	return out
}

// unfilter undoes the filter of one row (PNG, section 9.2).
func unfilter(kind byte, line, above []byte, unit int) {
	for i := range line {
		var left, corner byte
		if i >= unit {
			left, corner = line[i-unit], above[i-unit]
		}
		switch kind {
		case 1:
			line[i] += left
		case 2:
			line[i] += above[i]
		case 3:
			line[i] += byte((int(left) + int(above[i])) / 2)
		case 4:
			line[i] += paeth(left, above[i], corner)
		}
	}
}

func paeth(a, b, c byte) byte {
	p := int(a) + int(b) - int(c)
	da, db, dc := abs(p-int(a)), abs(p-int(b)), abs(p-int(c))
	switch {
	case da <= db && da <= dc:
		return a
	case db <= dc:
		return b
	}
	return c
}

func abs(n int) int {
	return max(n, -n)
}
