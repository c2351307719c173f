package surbl

import (
	"bytes"
	"encoding/base64"
)

// raw searches the message as it is, because its structure could not be read
// whole: lines that may be base64 are decoded as such, all others as
// quoted-printable, files in uuencode as that, and everything is read as HTML,
// which finds what is in text as well.
func (s *scan) raw() {
	s.c.part = max(1, s.next)
	h := newReader(s.c, s.w)
	h.loose = true
	text := &words{c: s.c, strict: true} // what HTML does not show, as text
	var room [8 << 10]byte               // decoded
	var group [4]byte
	used, pending, encoded, uu := 0, 0, false, false
	declared, body := false, false // that it is base64, and that this is it
	give := func(b []byte) {
		for len(b) > 0 {
			n := copy(room[used:], b)
			text.write(b[:n])
			for _, c := range b[:n] {
				if room[used] = c; c != 0 { // of units of several octets
					used++
				}
			}
			b = b[n:]
			if used == len(room) {
				done := h.feed(room[:used], false)
				if done == 0 {
					done = h.feed(room[:used], true)
				}
				used = copy(room[:], room[done:used])
			}
		}
	}
	n, err := fill(s.src, s.w.raw[:], 0)
	for {
		b := s.w.raw[:n]
		at := 0
		for at < len(b) {
			end := at
			for end < len(b) && b[end] != '\n' {
				end++
			}
			if end == len(b) && err == nil && at > 0 {
				break // the rest of the line comes
			}
			line, ended := b[at:end], end < len(b)
			if ended {
				end++
			}
			at = end
			for len(line) > 0 && line[len(line)-1] == '\r' {
				line = line[:len(line)-1]
			}
			if uu = uu && uuencoded(line) || beginsUU(line); uu {
				give(uudecoded(line))
				continue
			}
			switch {
			case hasPrefixFold(line, "content-transfer-encoding"):
				declared = bytes.Contains(bytes.ToLower(line), []byte("base64"))
			case len(line) == 0:
				body, declared = body || declared, false
			case line[0] == '-':
				body = false
			}
			if encoded = isBase64(line) || (encoded || body) && goesOn(line); !encoded {
				pending = 0
				out, soft := softened(line)
				if give(out); ended && !soft {
					give([]byte{'\n'})
				}
				continue
			}
			for _, c := range line {
				if c == '=' {
					break
				}
				if !letter64(c) {
					continue // as mail clients do
				}
				group[pending] = c
				if pending++; pending == 4 {
					var out [3]byte
					if k, err := base64.StdEncoding.Decode(out[:], group[:]); err == nil {
						give(out[:k])
					}
					pending = 0
				}
			}
			if len(line) > 0 && line[len(line)-1] == '=' && pending > 1 {
				var out [3]byte
				if k, err := base64.RawStdEncoding.Decode(out[:], group[:pending]); err == nil {
					give(out[:k])
				}
				pending = 0
			}
		}
		h.pos += int64(at)
		n = copy(s.w.raw[:], b[at:])
		if err != nil {
			break
		}
		n, err = fill(s.src, s.w.raw[:], n)
	}
	h.feed(room[:used], true)
	h.flush(true)
	h.release(s.w)
	text.flush(len(text.buf))
}

// isBase64 reports whether a line is of letters of base64 alone, and long
// enough to be no word.
func isBase64(line []byte) bool {
	if len(line) < 20 {
		return false
	}
	for i, c := range line {
		if !letter64(c) && (c != '=' || i < len(line)-2) {
			return false
		}
	}
	return true
}

func letter64(c byte) bool { return letter(c) || c >= '0' && c <= '9' || c == '+' || c == '/' }

// goesOn reports whether a line may belong to the base64 before it, damaged or
// the last.
func goesOn(line []byte) bool {
	return len(line) > 0 && !bytes.HasPrefix(line, []byte("--")) && !bytes.ContainsAny(line, " :<>\t")
}

// softened undoes quoted-printable in one line, which has no line end, in place:
// what is not encoded stays. soft says that the next line goes on with it.
func softened(line []byte) (out []byte, soft bool) {
	if end := bytes.TrimRight(line, " \t"); len(end) > 0 && end[len(end)-1] == '=' {
		line = end // spaces that were added on the way
	}
	out = line[:0]
	for i := 0; i < len(line); i++ {
		if line[i] == '=' {
			if i+1 == len(line) {
				return out, true
			}
			if i+2 < len(line) && unhex(line[i+1]) < 16 && unhex(line[i+2]) < 16 {
				out = append(out, unhex(line[i+1])<<4|unhex(line[i+2]))
				i += 2
				continue
			}
		}
		out = append(out, line[i])
	}
	return out, false
}
