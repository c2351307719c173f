package surbl_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/smtpguard/smtpguard/surbl"
)

func u32(n ...int) string {
	var b []byte
	for _, n := range n {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	return string(b)
}

// tnef is a TNEF message of attributes (MS-OXTNEF, section 2.1).
func tnef(attributes ...string) string {
	return "\x78\x9f\x3e\x22\x01\x00" + attribute(0x00089006, u32(0x10000)) + strings.Join(attributes, "")
}

func attribute(id int, value string) string {
	sum := uint16(0)
	for i := range len(value) {
		sum += uint16(value[i])
	}
	level := "\x01"
	if id == 0x00018010 || id == 0x0006800f || id == 0x00069005 || id == 0x00069002 {
		level = "\x02"
	}
	return level + u32(id, len(value)) + value + string(binary.LittleEndian.AppendUint16(nil, sum))
}

// properties is a list of properties (section 2.1.3.4), behind some that nobody
// reads.
func properties(list ...string) string {
	others := []string{
		u32(0x0e070003, 1),          // a number
		u32(0x00390040) + u32(1, 2), // a time
		u32(0x80010003) + strings.Repeat("g", 16) + u32(0, 1234, 7),                                                                // a number with a name that is one
		u32(0x8002001f) + strings.Repeat("g", 16) + u32(1, 6) + "a\x00b\x00\x00\x00" + "\x00\x00" + u32(1, 2) + "\x00\x00\x00\x00", // a string with a name
		u32(0x10030003|0x1000, 2) + u32(1, 2),                                                                                      // numbers
		u32(0x300b0102) + u32(1, 5) + "abcde\x00\x00\x00",
		u32(0x30080048) + strings.Repeat("g", 16),
		u32(0x3a01101e) + u32(2, 2) + "a\x00\x00\x00" + u32(1) + "\x00\x00\x00\x00",
	}
	return u32(len(others)+len(list)) + strings.Join(others, "") + strings.Join(list, "")
}

func property(tag int, value string) string {
	return u32(tag, 1, len(value)) + value + strings.Repeat("\x00", -len(value)&3)
}

func utf16le(s string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return string(b)
}

// uncompressed is Rich Text as properties have it (MS-OXRTFCP, section 2.1.3.1).
func uncompressed(rtf string) string {
	return u32(len(rtf)+12, len(rtf)) + "MELA" + u32(0) + rtf
}

// literal is Rich Text compressed without a reference.
func literal(rtf string) string {
	var b strings.Builder
	for i := 0; i < len(rtf); i += 8 {
		b.WriteString("\x00" + rtf[i:min(len(rtf), i+8)])
	}
	return u32(b.Len()+12, len(rtf)) + "LZFu" + u32(0) + b.String()
}

const rtfLink = `{\rtf1\ansi{\field{\*\fldinst{HYPERLINK "http://www.\b ev\'69l.com/"}}{\fldrslt{\ul click}}}}`

func TestTNEF(t *testing.T) {
	page := "<a href=http://evil.com/>www.bank.com</a>"
	const pageRTF = `{\rtf1\ansi\fromhtml1 {\*\htmltag84 <a href="http://evil.com/">}\htmlrtf {\htmlrtf0 www.bank.com{\*\htmltag92 </a>}}`
	for _, tt := range []struct{ name, b, want string }{
		{"nothing", tnef(), ""},
		{"text", tnef(attribute(0x0002800c, "see http://evil.com/\x00")), "plain evil.com"},
		{"text as a property", tnef(attribute(0x00069003, properties(property(0x1000001e, "http://evil.com/")))), "plain evil.com"},
		{"text in Unicode", tnef(attribute(0x00069003, properties(property(0x1000001f, utf16le("http://evil.com/ü"))))), "plain evil.com"},
		{"a page", tnef(attribute(0x00069003, properties(property(0x10130102, page), property(0x0e080003, "")))), "link evil.com (mismatch); plain www.bank.com"},
		{"a page in Unicode", tnef(attribute(0x00069003, properties(property(0x1013001f, utf16le(page))))), "link evil.com (mismatch); plain www.bank.com"},
		{"Rich Text", tnef(attribute(0x00069003, properties(property(0x10090102, uncompressed(rtfLink))))), "plain www.evil.com"},
		{"Rich Text, compressed", tnef(attribute(0x00069003, properties(property(0x10090102, literal(rtfLink))))), "plain www.evil.com"},
		{"Rich Text of a page", tnef(attribute(0x00069003, properties(property(0x10090102, uncompressed(pageRTF))))), "link evil.com (mismatch); plain www.bank.com"},
		{"an attached page", tnef(attribute(0x00069002, strings.Repeat("x", 14)), attribute(0x00018010, "a.htm\x00"), attribute(0x0006800f, page)), "link evil.com (mismatch); plain www.bank.com"},
		{"attached text", tnef(attribute(0x00018010, "a.txt\x00"), attribute(0x0006800f, "http://evil.com/")), "plain evil.com"},
		{"an attached message", tnef(attribute(0x00069005, properties(property(0x3701000d, strings.Repeat("i", 16)+tnef(attribute(0x0002800c, "http://evil.com/")))))), "plain evil.com"},
		{"a length beyond all octets", tnef("\x01" + u32(0x0002800c, -1) + "http://evil.com/"), "plain evil.com"},
		{"a count beyond all octets", tnef(attribute(0x00069003, u32(-1)+property(0x1000001e, "http://evil.com/"))), "plain evil.com"},
		{"values beyond all octets", tnef(attribute(0x00069003, u32(1, 0x1000101e, -1, -1)+"http://evil.com/")), "plain evil.com"},
	} {
		for _, kind := range []string{"application/ms-tnef; name=winmail.dat", "application/octet-stream"} {
			links, err := surbl.Extract(strings.NewReader(attached(kind, tt.b)))
			if got := briefs(links); got != tt.want || err != nil || links.Broken {
				t.Errorf("%s: error %v, broken %v\n got  %s\n want %s", tt.name, err, links.Broken, got, tt.want)
			}
		}
	}
}

func TestTNEFBounds(t *testing.T) {
	deep := tnef(attribute(0x0002800c, "http://deepest.com/"))
	for range 20 {
		deep = tnef(attribute(0x0006800f, deep))
	}
	many := tnef(strings.Repeat(attribute(0x0002800c, "http://a.com/"), 2000))
	for name, b := range map[string]string{"depth": deep, "parts": many} {
		links, err := surbl.Extract(strings.NewReader(attached("application/ms-tnef", b)))
		if err != nil || !links.Cut { // and what is left out is searched as it lies there
			t.Errorf("%s: cut %v, error %v", name, links.Cut, err)
		}
	}
}

func TestTNEFCheck(t *testing.T) {
	s := newSite(t, decoding(t).Check())
	s.play(sent(attached("application/ms-tnef", tnef(attribute(0x00069003, properties(property(0x10090102, literal(rtfLink))))))) +
		"S: 550 5.7.1 Message links to hxxp://www[.]evil[.]com/, listed by multi.example: phishing")
}

func TestRichText(t *testing.T) {
	for _, tt := range []struct{ rtf, want string }{
		{`{\rtf1 see http://evil.com/}`, "plain evil.com"},
		{`{\rtf1 ev{\b i}l.com\par a.org\line b.org\cell c.org}`, "bare evil.com; bare a.org; bare b.org; bare c.org"},
		{`{\rtf1 e\'76il\'2ecom}`, "bare evil.com"},
		{`{\rtf1 \u101?\u118 ?il\u46\'2e\uc0\u99 om \uc2\u97 xx.org}`, "bare evil.com; bare a.org"},
		{`{\rtf1 http://b\u252?cher.com/ \u-4051? evil\-.com a\_b.com}`, "plain xn--bcher-kva.com; bare evil.com; bare a-b.com"},
		{`{\rtf1 {\pict\bin5 {{{{{}evil.com\~x}`, "bare evil.com"},
		{`{\rtf1 \{evil.com\} a\` + crlf + `b.com ev` + crlf + `il.org}`, "bare evil.com; bare b.com; bare evil.org"},
		{`{\rtf1 evil.com \'`, "bare evil.com"},
		{`{\rtf1 evil.com \`, "bare evil.com"},
		{`{\rtf1 evil.com \u`, "bare evil.com"},
		{`{\rtf1 \fromhtml0 <a href=http://evil.com/>}`, "plain evil.com"},
		{`{\rtf1 {\object\objdata 0105}` + strings.Repeat("{", 10000) + ` evil.com}`, "bare evil.com"},
	} {
		links, err := surbl.Extract(strings.NewReader(attached("application/rtf", tt.rtf)))
		if got := briefs(links); got != tt.want || err != nil || links.Broken {
			t.Errorf("%.60s: error %v, broken %v\n got  %s\n want %s", tt.rtf, err, links.Broken, got, tt.want)
		}
	}
}

func TestUTF7(t *testing.T) {
	for _, tt := range []struct{ charset, text, want string }{
		{"utf-7", "see http+ADo-//evil.com/ now", "plain evil.com"},
		{"UTF-7", "+AGgAdAB0AHAAOgAvAC8AZQB2AGkAbAAuAGMAbwBt", "plain evil.com"},
		{"unicode-1-1-utf-7", "b+APw-cher.com and a+-b@evil.com", "bare xn--bcher-kva.com; mail a+b@evil.com"},
		{"utf-7", "+ADw-a href+AD0-http://evil.com/+AD4-", "plain evil.com"},
		{"utf-7", "+2D3cqQ evil.com +2D0-x +3Kk-y.org", "bare evil.com; bare y.org"},
		{"utf-7", "+", ""},
		{"utf-8", "http+ADo-//evil.com/", ""},
	} {
		links, err := surbl.Extract(mail("Content-Type: text/plain; charset="+tt.charset, "", tt.text))
		if got := briefs(links); got != tt.want || err != nil {
			t.Errorf("%s: error %v\n got  %s\n want %s", tt.text, err, got, tt.want)
		}
	}
	links, err := surbl.Extract(mail("Content-Type: text/html; charset=utf-7", "", "+ADw-a href+AD0-http://evil.com/+AD4-"))
	if got := briefs(links); got != "link evil.com" || err != nil {
		t.Errorf("a page: %s, error %v", got, err)
	}
	links, err = surbl.Extract(mail("Subject: =?utf-7?Q?evil+AC4-com?=", "", ""))
	if got := briefs(links); got != "bare evil.com" || err != nil {
		t.Errorf("a subject: %s, error %v", got, err)
	}
}

func TestUTF7Check(t *testing.T) {
	s := newSite(t, decoding(t).Check())
	s.play(sent("Content-Type: text/plain; charset=utf-7"+crlf+crlf+"http+ADo-//www.evil+AC4-com/"+crlf) +
		"S: 550 5.7.1 Message links to hxxp://www[.]evil[.]com/, listed by multi.example: phishing")
}
