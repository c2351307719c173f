package surbl

import (
	"bufio"
	"bytes"
	"io"
	"unicode/utf8"
)

// isRTF reports whether a part is Rich Text, whatever it is called.
func isRTF(head []byte) bool { return bytes.HasPrefix(head, []byte(`{\rtf`)) }

// rtf reads Rich Text: as HTML where it holds a page that was one before
// (MS-OXRTFEX), else as text.
func (s *scan) rtf(body io.Reader) {
	r := &richText{r: bufio.NewReaderSize(body, 4<<10)}
	n, err := fill(r, s.w.raw[:], 0)
	if r.fromHTML {
		s.html(r, n, err, false)
		return
	}
	s.plain(r, n, err, nil)
}

// richText gives out the text of Rich Text: what is shown, what fields say, which
// is where links lead to, and the tags of a page inside it. Groups make no
// difference, so that more is read than is shown, and never less.
type richText struct {
	r        *bufio.Reader
	out      []byte
	skip     int // characters that stand for the one before, for who cannot show that
	uc       int // how many do; 0 is not known: 1
	fromHTML bool
	err      error
}

func (t *richText) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(t.out) == 0 {
			if t.err != nil {
				return n, t.err
			}
			t.out = t.out[:0]
			t.next()
			continue
		}
		k := copy(p[n:], t.out)
		n += k
		t.out = t.out[k:]
	}
	return n, nil
}

// next reads one character or control.
func (t *richText) next() {
	c, err := t.r.ReadByte()
	if err != nil {
		t.err = err
		return
	}
	switch c {
	case '{', '}':
		t.skip = 0
	case '\r', '\n':
	case '\\':
		t.control()
	default:
		t.shown(rune(c))
	}
}

// shown gives out a character, unless it stands for one before it.
func (t *richText) shown(r rune) {
	switch {
	case t.skip > 0:
		t.skip--
	case r < utf8.RuneSelf:
		t.out = append(t.out, byte(r))
	default:
		t.out = utf8.AppendRune(t.out, r)
	}
}

const maxControl = 32 // letters of a control word (RTF 1.9.1)

// control reads what follows a backslash.
func (t *richText) control() {
	c, err := t.r.ReadByte()
	if err != nil {
		t.err = err
		return
	}
	if !letter(c) {
		switch c {
		case '\'':
			var hex [2]byte
			if _, err := io.ReadFull(t.r, hex[:]); err != nil {
				t.err = io.EOF
				return
			}
			if hi, lo := unhex(hex[0]), unhex(hex[1]); hi < 16 && lo < 16 {
				t.shown(rune(hi<<4 | lo)) // the code pages agree on what hosts are written in
			}
		case '~':
			t.shown(' ')
		case '_':
			t.shown('-')
		case '\r', '\n':
			t.shown('\n')
		case '\\', '{', '}':
			t.shown(rune(c))
		}
		return
	}
	word := []byte{c}
	for c, err = t.r.ReadByte(); err == nil && letter(c); c, err = t.r.ReadByte() {
		if len(word) < maxControl {
			word = append(word, c)
		}
	}
	minus, number, some := false, 0, false
	if err == nil && c == '-' {
		minus = true
		c, err = t.r.ReadByte()
	}
	for ; err == nil && c >= '0' && c <= '9'; c, err = t.r.ReadByte() {
		number, some = min(number*10+int(c-'0'), 1<<30), true
	}
	if minus {
		number = -number
	}
	switch {
	case err != nil:
		t.err = err
	case c != ' ': // a space belongs to the word
		t.err = t.r.UnreadByte()
	}
	t.word(string(word), number, some)
}

// word is a control word with its number, if it has some.
func (t *richText) word(word string, number int, some bool) {
	switch word {
	case "par", "line", "cell", "row", "sect", "page", "tab":
		t.out = append(t.out, '\n')
	case "u":
		t.skip = 0
		t.shown(rune(uint16(number)))
		if t.skip = 1; t.uc > 0 {
			t.skip = t.uc - 1
		}
	case "uc":
		t.uc = min(max(number, 0), 100) + 1
	case "bin":
		_, t.err = t.r.Discard(max(number, 0))
	case "fromhtml":
		t.fromHTML = !some || number != 0
	}
}

// rtfWords are what compressed Rich Text may refer to before it has any text of
// its own (MS-OXRTFCP, section 2.1.2.1).
const rtfWords = `{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans SerifSymbolArialTimes New RomanCourier` +
	`{\colortbl\red0\green0\blue0` + "\r\n" + `\par \pard\plain\f0\fs20\b\i\u\tab\tx`

// unpacked gives out the Rich Text of a compressed one (MS-OXRTFCP).
type unpacked struct {
	r     *bufio.Reader
	begun bool
	plain bool
	dict  [4096]byte
	at    int  // where the next octet goes
	flags byte // what the next ones are, the lowest first
	left  int  // of them
	run   int  // octets of a reference still to give out
	from  int
	err   error
}

func newUnpacked(r io.Reader) *unpacked {
	u := &unpacked{r: bufio.NewReaderSize(r, 4<<10)}
	u.at = copy(u.dict[:], rtfWords)
	return u
}

func (u *unpacked) Read(p []byte) (n int, err error) {
	if !u.begun {
		u.begun = true
		u.header()
	}
	for n < len(p) && u.err == nil {
		if c, ok := u.next(); ok {
			p[n] = c
			n++
		}
	}
	if n == len(p) {
		return n, nil
	}
	return n, u.err
}

// header reads sizes, which are not believed, how the text is compressed, and a
// checksum, which is not checked.
func (u *unpacked) header() {
	var b [16]byte
	if _, err := io.ReadFull(u.r, b[:]); err != nil {
		u.err = io.EOF
		return
	}
	switch string(b[8:12]) {
	case "LZFu":
	case "MELA":
		u.plain = true
	default:
		u.err = io.EOF
	}
}

// next gives out one octet; ok is false where there was none to give yet.
func (u *unpacked) next() (c byte, ok bool) {
	if u.run > 0 {
		u.run--
		c = u.dict[u.from]
		u.from = (u.from + 1) % len(u.dict)
		return u.put(c), true
	}
	if u.left == 0 && !u.plain {
		if u.flags, u.err = u.r.ReadByte(); u.err != nil {
			return 0, false
		}
		u.left = 8
	}
	if c, u.err = u.r.ReadByte(); u.err != nil || u.plain {
		return c, u.err == nil
	}
	reference := u.flags&1 != 0
	u.flags >>= 1
	u.left--
	if !reference {
		return u.put(c), true
	}
	low, err := u.r.ReadByte()
	if err != nil {
		u.err = err
		return 0, false
	}
	u.from, u.run = int(c)<<4|int(low>>4), int(low&0xf)+2
	if u.from == u.at {
		u.err, u.run = io.EOF, 0 // the end (section 2.2.2.1.5)
	}
	return 0, false
}

func (u *unpacked) put(c byte) byte {
	u.dict[u.at] = c
	u.at = (u.at + 1) % len(u.dict)
	return c
}
