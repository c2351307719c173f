package address

import (
	"bytes"
	"io"
	"mime"
	"strings"
)

// decode returns words on one line, with what is encoded in them decoded
// (RFC 2047), inside quotes too, as many readers do. An encoded word that is
// malformed stays as it is.
func decode(shown words) (string, error) {
	text := strings.Join(shown, " ")
	if !strings.Contains(text, "=?") {
		return text, nil
	}
	var charsetErr error
	d := mime.WordDecoder{CharsetReader: func(charset string, r io.Reader) (io.Reader, error) {
		encoded, err := io.ReadAll(r) // bounded by the field
		if err != nil {
			return nil, err
		}
		double, ok := charsetWidth(charset)
		if !ok {
			charsetErr = errCharset
		}
		return bytes.NewReader(latin(encoded, double)), nil
	}}
	text, err := d.DecodeHeader(text)
	if charsetErr != nil {
		return "", charsetErr
	}
	return text, err
}

// charsetWidth knows the character sets in which an octet of ASCII is that
// character, at least outside what double announces: all that mail programs
// write. ok is false for others, UTF-7 and UTF-16 among them.
func charsetWidth(name string) (double, ok bool) {
	name = strings.ToLower(name)
	for _, prefix := range []string{"iso-8859-", "windows-125", "cp125", "koi8-", "tis-620", "macintosh"} {
		if strings.HasPrefix(name, prefix) {
			return false, true
		}
	}
	for _, prefix := range []string{"gb2312", "gbk", "gb18030", "big5", "euc-", "shift_jis", "ks_c_5601", "iso-2022-"} {
		if strings.HasPrefix(name, prefix) {
			return true, true
		}
	}
	return false, false
}

// latin keeps the ASCII of encoded, and puts '?' for every other character.
// Where double holds, an octet above ASCII takes the one behind it along, and
// what ISO 2022 has switched to another set is all other characters.
func latin(encoded []byte, double bool) []byte {
	out := make([]byte, 0, len(encoded))
	switched := false
	for i := 0; i < len(encoded); i++ {
		c := encoded[i]
		switch {
		case double && c == 0x1b && i+2 < len(encoded): // ESC ( B is ASCII, ESC ( J nearly
			i += 2
			switched = encoded[i-1] != '(' || encoded[i] != 'B' && encoded[i] != 'J'
		case switched:
			out = append(out, '?')
		case c < 0x80:
			out = append(out, c)
		default:
			out = append(out, '?')
			if double {
				i++
			}
		}
	}
	return out
}
