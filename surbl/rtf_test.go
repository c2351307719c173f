package surbl

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/transform"
)

// The examples of MS-OXRTFCP, section 4.1: plain references, and one to what
// it writes itself.
func TestUnpacked(t *testing.T) {
	for packed, want := range map[string]string{
		"2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0": `{\rtf1\ansi\ansicpg1252\pard hello world}` + "\r\n",
		"1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0":                                       `{\rtf1 WXYZWXYZWXYZWXYZWXYZ}`,
		"0000000000000000" + hex.EncodeToString([]byte("MELA")) + "00000000" + "616263":                      "abc",
		"00000000000000004d454c4100000000":                                                                   "",
		"00000000000000004d454c4200000000":                                                                   "",
		"0000":                                                                                               "",
		"00000000000000004c5a467500000000" + "0161":                                                          "",
	} {
		b, err := hex.DecodeString(packed)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(newUnpacked(bytes.NewReader(b)))
		if string(got) != want || err != nil {
			t.Errorf("%s: %q, error %v", packed, got, err)
		}
	}
}

func FuzzUnpacked(f *testing.F) {
	f.Add([]byte("12345678LZFu1234\x00{\\rtf1 x\x01\x00\x0f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if out, err := io.ReadAll(newUnpacked(bytes.NewReader(b))); err != nil || len(out) > 9*len(b) {
			t.Errorf("%d octets, error %v", len(out), err)
		}
	})
}

func FuzzRichText(f *testing.F) {
	for _, s := range []string{`{\rtf1 \u101?\'65\bin5 x}`, `{\*\htmltag84 <a href="http://evil.com/">}`, `\u-1\uc3 xyz\`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, err := io.ReadAll(&richText{r: bufio.NewReader(bytes.NewReader(b))})
		if err != nil || len(whole) > 2*len(b) {
			t.Errorf("%d octets, error %v", len(whole), err)
		}
		small := &richText{r: bufio.NewReader(bytes.NewReader(b))}
		var again []byte
		for {
			var room [3]byte
			n, err := small.Read(room[:])
			if again = append(again, room[:n]...); err != nil {
				break
			}
		}
		if !bytes.Equal(whole, again) {
			t.Errorf("by steps %q, whole %q", again, whole)
		}
		links, err := Extract(bytes.NewReader(append([]byte("Content-Type: text/rtf\r\n\r\n{\\rtf"), b...)))
		if err != nil {
			t.Fatal(err)
		}
		sound(t, links)
	})
}

func FuzzUTF7(f *testing.F) {
	for _, s := range []string{"http+ADo-//x.com", "+2D3cqQ", "a+-b", "+", "+A", "+/////", "+2D0-"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, _, err := transform.Bytes(&utf7{}, b)
		if err != nil {
			t.Fatal(err)
		}
		steps, err := io.ReadAll(transform.NewReader(single{bytes.NewReader(b)}, &utf7{}))
		if err != nil || !bytes.Equal(whole, steps) {
			t.Errorf("by steps %q, whole %q, error %v", steps, whole, err)
		}
		if utf8.Valid(b) && !utf8.Valid(whole) {
			t.Errorf("%q is %q", b, whole)
		}
		if !strings.Contains(string(b), "+") && !bytes.Equal(whole, b) {
			t.Errorf("%q is %q", b, whole)
		}
	})
}

// single reads one octet at a time.
type single struct{ r io.Reader }

func (o single) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 1)]) }

func FuzzTNEF(f *testing.F) {
	const head = "\x78\x9f\x3e\x22\x01\x00"
	f.Add([]byte("\x01\x0c\x80\x02\x00\x10\x00\x00\x00http://evil.com/\x00\x00"))
	f.Add([]byte("\x01\x03\x90\x06\x00\x20\x00\x00\x00\x01\x00\x00\x00\x1e\x00\x00\x10\x01\x00\x00\x00\x10\x00\x00\x00http://evil.com/\x00\x00"))
	f.Add([]byte("\x02\x0f\x80\x06\x00\x20\x00\x00\x00" + head + "\x01\x0c\x80\x02\x00\x10\x00\x00\x00http://evil.com/"))
	f.Fuzz(func(t *testing.T, b []byte) {
		links, err := Extract(strings.NewReader("Content-Type: application/ms-tnef\r\nContent-Transfer-Encoding: binary\r\n\r\n" + head + string(b)))
		if err != nil {
			t.Fatal(err)
		}
		sound(t, links)
	})
}
