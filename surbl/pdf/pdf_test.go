package pdf_test

import (
	"bytes"
	"compress/zlib"
	"encoding/ascii85"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/internal/require"
	"github.com/smtpguard/smtpguard/surbl"
	"github.com/smtpguard/smtpguard/surbl/pdf"
	"github.com/smtpguard/smtpguard/surbl/qr"
)

// document is one of a page with one annotation, whose action is object 5, and
// more objects from 6 on.
func document(action string, more ...string) []string {
	return append([]string{
		"<</Type/Catalog/Pages 2 0 R>>",
		"<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Annots[4 0 R]>>",
		"<</Type/Annot/Subtype/Link/Rect[0 0 99 99]/F 4/A 5 0 R>>",
		action,
	}, more...)
}

// classic writes objects with a table of references.
func classic(objects []string, trailer string) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n")
	var table strings.Builder
	for i, o := range objects {
		fmt.Fprintf(&table, "%010d 00000 n \n", b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	at := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n%strailer\n<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, &table, len(objects)+1, trailer, at)
	return b.Bytes()
}

func deflated(s string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}

// up is s in rows of n octets, each with PNG's filter Up.
func up(s string, n int) string {
	var out []byte
	above := make([]byte, n)
	for i := 0; i < len(s); i += n {
		row := make([]byte, n)
		copy(row, s[i:])
		out = append(out, 2)
		for j := range row {
			out = append(out, row[j]-above[j])
		}
		above = row
	}
	return string(out)
}

// compact writes objects into an object stream, in front of a stream of
// references (section 7.5.8). write undoes what dict says of the filters.
func compact(objects []string, dict string, write func(string) string) []byte {
	var places, content strings.Builder
	for i, o := range objects {
		fmt.Fprintf(&places, "%d %d ", i+1, content.Len())
		content.WriteString(o + " ")
	}
	n := len(objects)
	var b bytes.Buffer
	b.WriteString("%PDF-1.5\n")
	first := b.Len()
	data := write(places.String() + content.String())
	fmt.Fprintf(&b, "%d 0 obj\n<</Type/ObjStm/N %d/First %d/Length %d%s>>stream\n%s\nendstream\nendobj\n", n+1, n, places.Len(), len(data), dict, data)
	at := b.Len()
	entries := []byte{0, 0, 0, 0}
	for i := range n {
		entries = append(entries, 2, 0, byte(n+1), byte(i))
	}
	entries = append(entries, 1, byte(first>>8), byte(first), 0)
	entries = append(entries, 1, byte(at>>8), byte(at), 0)
	rows := deflated(up(string(entries), 4))
	fmt.Fprintf(&b, "%d 0 obj\n<</Type/XRef/Size %d/W[1 2 1]/Root 1 0 R/Filter/FlateDecode/DecodeParms<</Predictor 12/Columns 4>>/Length %d>>stream\n%s\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n",
		n+2, n+3, len(rows), rows, at)
	return b.Bytes()
}

func decoder(t testing.TB, cfg pdf.Config) *pdf.Decoder {
	t.Helper()
	d, err := pdf.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// links are what d finds in b.
func links(d *pdf.Decoder, b []byte) (list []string, err error) {
	err = d.Decode(bytes.NewReader(b), func(text []byte, kind surbl.Kind, _ surbl.Hidden) {
		list = append(list, kind.String()+" "+string(text))
	})
	return list, err
}

// documents are ways to write one link. poppler says whether that program reads
// it too.
var documents = []struct {
	name    string
	b       []byte
	want    string
	poppler bool
}{
	{"plain", classic(document("<</S/URI/URI(http://evil.com/)>>"), ""), "link http://evil.com/", true},
	{"escapes", classic(document("<</S/URI/URI(http:\\057\\57evil.c\\\nom/\\(x\\)(y))>>"), ""), "link http://evil.com/(x)(y)", true},
	{"hexadecimal", classic(document("<</S/URI/URI<687474703a2f2f 6576696C2E636F6D>>>"), ""), "link http://evil.com", true},
	{"half a digit", classic(document("<</S/URI/URI<687474703a2f2f6576696C2E636F6D2>>>"), ""), "link http://evil.com ", false},
	{"UTF-16", classic(document("<</S/URI/URI<FEFF0068007400740070003A002F002F0065002E0063006F006D>>>"), ""), "link http://e.com", false},
	{"UTF-16, the other way", classic(document("<</S/URI/URI<FFFE680074007400700026>>>"), ""), "link http", false},
	{"UTF-8", classic(document("<</S/URI/URI(\xef\xbb\xbfhttp://evil.com)>>"), ""), "link http://evil.com", false},
	{"a comment between", classic(document("<</S/URI/URI% (http://good.com)\n\r (http://evil.com)>>"), ""), "link http://evil.com", true},
	{"names in escapes", classic(document("<</#53/U#52I/#55R#49(http://evil.com)>>"), ""), "link http://evil.com", true},
	{"a reference", classic(document("<</S/URI/URI 6 0 R>>", "(http://evil.com)"), ""), "link http://evil.com", true},
	{"object stream", compact(document("<</S/URI/URI(http://evil.com/)>>"), "/Filter/FlateDecode", deflated), "link http://evil.com/", true},
	{"object stream, not compressed", compact(document("<</S/URI/URI(http://evil.com/)>>"), "", func(s string) string { return s }), "link http://evil.com/", true},
	{"object stream with prediction", compact(document("<</S/URI/URI(http://evil.com/)>>"), "/Filter/FlateDecode/DecodeParms<</Predictor 15/Columns 7>>",
		func(s string) string { return deflated(up(s, 7)) }), "link http://evil.com/", true},
	{"object stream in two filters", compact(document("<</S/URI/URI(http://evil.com/)>>"), "/Filter[/ASCIIHexDecode/FlateDecode]",
		func(s string) string { return hex.EncodeToString([]byte(deflated(s))) + ">" }), "link http://evil.com/", true},
	{"object stream in base 85", compact(document("<</S/URI/URI(http://evil.com/)>>"), "/Filter[/A85/Fl]", func(s string) string {
		var b bytes.Buffer
		w := ascii85.NewEncoder(&b)
		_, _ = io.WriteString(w, deflated(s))
		_ = w.Close()
		return b.String() + "~>"
	}), "link http://evil.com/", true},
	{"a reference in an object stream", compact(document("<</S/URI/URI 6 0 R>>", "(http://evil.com)"), "/Filter/FlateDecode", deflated), "link http://evil.com", true},
	{"a dictionary that is hard to find", compact(document("<</S/URI/URI(http://evil.com/)>>"), "/Filter/FlateDecode/X(1 0 obj)", deflated), "link http://evil.com/", true},
	{"a form", classic(document("<</S/SubmitForm/F<</FS/URL/F(http://evil.com/)>>>>"), ""), "form http://evil.com/", false},
	{"a remote file", classic(document("<</S/GoToR/F(http://evil.com/x.pdf)>>"), ""), "form http://evil.com/x.pdf", false},
	{"a local file", classic(document("<</S/GoToR/F(x.pdf)>>"), ""), "", false},
	{"a script", classic(document("<</S/JavaScript/JS(app.launchURL\\(\"http://evil.com/\"\\))>>"), ""), `script app.launchURL("http://evil.com/")`, false},
	{"a script in a stream", classic(document("<</S/JavaScript/JS 6 0 R>>", "<</Length 1/Filter/FlateDecode>>stream\r\n"+deflated("http://evil.com/")+"endstream"), ""), "script http://evil.com/", false},
	{"a base", classic(append([]string{"<</Type/Catalog/Pages 2 0 R/URI<</Base(http://evil.com/)>>>>"}, document("<</S/URI/URI(x)>>")[1:]...), ""), "base http://evil.com/; link x", false},
	{"encrypted", classic(document("<</S/URI/URI(\x93\x01k\xa0)>>", "<</Filter/Standard/V 1>>"), "/Encrypt 6 0 R"), "", false},
	{"said to be encrypted", classic(document("<</S/URI/URI(http://evil.com)>>", "<</Filter/Standard/V 1>>"), "/Encrypt 6 0 R"), "link http://evil.com", false},
	{"no structure at all", []byte("%PDF-1.4 /URI (http://evil.com)"), "link http://evil.com", false},
	{"cut off", []byte("%PDF-1.4 /URI (http://evil.com/x"), "link http://evil.com/x", false},
}

func TestDocuments(t *testing.T) {
	d := decoder(t, pdf.Config{})
	for _, tt := range documents {
		list, err := links(d, tt.b)
		if got := strings.Join(list, "; "); got != tt.want {
			t.Errorf("%s:\n got  %s\n want %s", tt.name, got, tt.want)
		}
		if encrypted := bytes.Contains(tt.b, []byte("/Encrypt")); errors.Is(err, pdf.ErrEncrypted) != encrypted || !encrypted && err != nil {
			t.Errorf("%s: error %v", tt.name, err)
		}
	}
}

// TestPoppler shows that our documents are such, to a program that reads them as
// it ought.
func TestPoppler(t *testing.T) {
	program := require.Program(t, "pdfinfo")
	for _, tt := range documents {
		if !tt.poppler {
			continue
		}
		file := filepath.Join(t.TempDir(), "x.pdf")
		if err := os.WriteFile(file, tt.b, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), program, "-url", file).CombinedOutput()
		want := strings.TrimPrefix(tt.want, "link ")
		if err != nil || !strings.Contains(string(out), " "+want+"\n") {
			t.Errorf("%s: %v\n%s", tt.name, err, out)
		}
	}
}

// samples are those of a picture of a QR code, as a document may have them.
func samples(t *testing.T, bits, n int) (data string, width, height int) {
	t.Helper()
	f, err := os.Open("../qr/testdata/evil.png")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	r := img.Bounds()
	for y := range r.Dy() {
		row := make([]byte, (r.Dx()*bits*n+7)/8)
		for x := range r.Dx() {
			v, _, _, _ := img.At(x, y).RGBA()
			switch {
			case bits == 1:
				row[x/8] |= byte(v>>15) << (7 - x%8)
			case n == 1: // indexed
				row[x] = byte(v>>15) + 7
			default:
				for i := range 3 {
					row[x*n+i] = byte(v >> 8)
				}
			}
			if n == 4 { // ink
				row[x*4], row[x*4+1], row[x*4+2], row[x*4+3] = 0, 0, 0, 255-byte(v>>8)
			}
		}
		out = append(out, row...)
	}
	return string(out), r.Dx(), r.Dy()
}

// TestPictures has QR codes in documents read where that is asked for.
func TestPictures(t *testing.T) {
	codes, err := qr.New(qr.Config{})
	if err != nil {
		t.Fatal(err)
	}
	with := decoder(t, pdf.Config{Pictures: codes})
	dict := func(width, height, bits int, rest, data string) string {
		return fmt.Sprintf("<</Type/XObject/Subtype/Image/Width %d/Height %d/BitsPerComponent %d/Length %d%s>>stream\n%s\nendstream", width, height, bits, len(data), rest, data)
	}
	var pictures []string
	for _, form := range [][2]int{{1, 1}, {8, 1}, {8, 3}, {8, 4}} {
		data, width, height := samples(t, form[0], form[1])
		pictures = append(pictures, dict(width, height, form[0], "/Filter/FlateDecode", deflated(data)), dict(width, height, form[0], "", data))
		if form[1] == 3 {
			pictures = append(pictures, dict(width, height, 8, fmt.Sprintf("/Filter/FlateDecode/DecodeParms<</Predictor 15/Colors 3/Columns %d>>", width), deflated(up(data, width*3))))
			img := image.NewGray(image.Rect(0, 0, width, height))
			for i := range img.Pix {
				img.Pix[i] = data[3*i]
			}
			var b bytes.Buffer
			if err := jpeg.Encode(&b, img, nil); err != nil {
				t.Fatal(err)
			}
			pictures = append(pictures, dict(width, height, 8, "/Filter/DCTDecode", b.String()))
		}
	}
	const want = "link http://www.evil.com/x"
	for i, p := range pictures {
		b := classic(document("<</S/URI/URI(x)>>", p), "")
		list, err := links(with, b)
		if got := strings.Join(list, "; "); got != "link x; "+want || err != nil {
			t.Errorf("picture %d: %s, error %v", i, got, err)
		}
		if list, err := links(decoder(t, pdf.Config{}), b); len(list) != 1 || err != nil {
			t.Errorf("picture %d, not asked for: %q, error %v", i, list, err)
		}
	}
	many := classic(document("<</S/URI/URI(x)>>", slices.Repeat(pictures[:1], 20)...), "")
	if list, err := links(with, many); len(list) != 9 || !errors.Is(err, pdf.ErrPictures) {
		t.Errorf("%d links of many, error %v", len(list), err)
	}
	for _, odd := range []string{
		dict(1<<20, 1<<20, 8, "/Filter/FlateDecode", deflated("x")),
		dict(100, 100, 3, "/Filter/FlateDecode", deflated("x")),
		dict(100, 100, 8, "/Filter/FlateDecode", deflated("x")),
		dict(100, 100, 8, "/Filter/FlateDecode", deflated(strings.Repeat("x", 10000))),
		dict(100, 100, 1, "/Filter/FlateDecode", deflated(strings.Repeat("x", 100000))),
		dict(100, 100, 8, "/Filter/JPXDecode", "x"),
		dict(5, 5, 8, "", "x"),
	} {
		if list, err := links(with, classic(document("<</S/URI/URI(x)>>", odd), "")); len(list) != 1 || err != nil {
			t.Errorf("%.80s: %q, error %v", odd, list, err)
		}
	}
	if _, err := links(with, classic(document("<</S/URI/URI(x)>>", dict(100, 100, 8, "/Filter/DCTDecode", "\xff\xd8\xff")), "")); err == nil || !strings.HasPrefix(err.Error(), "qr: ") {
		t.Errorf("damaged: error %v", err)
	}
}

func TestReads(t *testing.T) {
	d := decoder(t, pdf.Config{})
	for _, tt := range []struct {
		kind, name, head string
		want             bool
	}{
		{"application/pdf", "", "%PDF-1.4", true},
		{"application/octet-stream", "", "\n\njunk%PDF-1.4", true},
		{"application/octet-stream", "a.PDF", "junk", true},
		{"application/pdf", "", "<html>", false},
		{"text/html", "a.pdf", "x", false},
		{"image/png", "a.png", "\x89PNG", false},
	} {
		if got := d.Reads(tt.kind, tt.name, []byte(tt.head)); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

// nested are streams each of which holds, not compressed, the beginnings of all
// that come after it.
func nested() []byte {
	const begin = "1 0 obj<</Type/ObjStm/Filter/Fl>>stream\n\x78\x9c"
	block := string([]byte{0, byte(len(begin)), 0, ^byte(len(begin)), 0xff}) + begin // RFC 1951, section 3.2.4
	return []byte("%PDF-1.4\n" + begin + strings.Repeat(block, 5000))
}

// TestBounds has what would cost too much end, and said.
func TestBounds(t *testing.T) {
	bomb := compact(document("<</S/URI/URI(http://evil.com/)>>"+strings.Repeat(" ", 1<<20)), "/Filter/FlateDecode", deflated)
	twice := compact(document("<</S/URI/URI(http://evil.com/)>>"), "/Filter[/Fl/Fl]", func(s string) string { return deflated(deflated(strings.Repeat(" ", 1<<20) + s)) })
	many := []byte("%PDF-1.4" + strings.Repeat("/URI(http://a.com)", 30000))
	open := []byte("%PDF-1.4" + strings.Repeat("/JS(", 1<<16))
	small := pdf.Config{Inflated: 1 << 19}
	for _, tt := range []struct {
		name string
		b    []byte
		cfg  pdf.Config
		want error
	}{
		{"a bomb", bomb, small, pdf.ErrInflated},
		{"a bomb in a bomb", twice, small, pdf.ErrInflated},
		{"streams over streams", nested(), small, pdf.ErrInflated},
		{"streams without end", []byte("%PDF-1.4" + strings.Repeat("<</Type/ObjStm>>stream\n", 1<<15)), small, pdf.ErrInflated},
		{"comments without end", []byte("%PDF-1.4" + strings.Repeat("/URI%", 1<<16)), small, pdf.ErrInflated},
		{"many links", many, pdf.Config{}, pdf.ErrObjects},
		{"strings without end", open, small, pdf.ErrInflated},
		{"a large document", many, pdf.Config{Bytes: 1000}, pdf.ErrCut},
		{"a filter of another kind", compact(document("<</S/URI/URI(x)>>"), "/Filter/LZWDecode", deflated), pdf.Config{}, pdf.ErrFilter},
		{"too many filters", compact(document("<</S/URI/URI(x)>>"), "/Filter[/Fl/Fl/Fl/Fl/Fl]", deflated), pdf.Config{}, pdf.ErrFilter},
		{"damaged", compact(document("<</S/URI/URI(x)>>"), "/Filter/Fl", func(string) string { return "\x00\x00\xff\xff\xff" }), pdf.Config{}, pdf.ErrFilter},
	} {
		list, err := links(decoder(t, tt.cfg), tt.b)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, %d links", tt.name, err, len(list))
		}
	}
	if _, err := pdf.New(pdf.Config{Bytes: -1}); err == nil || !strings.HasPrefix(err.Error(), "pdf: Config.Bytes ") {
		t.Errorf("error %v", err)
	}
	if _, err := links(decoder(t, pdf.Config{}), nil); err != nil {
		t.Errorf("nothing: %v", err)
	}
	failed := errors.New("failed")
	if err := decoder(t, pdf.Config{}).Decode(io.MultiReader(strings.NewReader("%PDF-"), failing{failed}), nil); !errors.Is(err, failed) {
		t.Errorf("error %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func FuzzDecode(f *testing.F) {
	for _, d := range documents {
		f.Add(d.b)
	}
	f.Add(nested()[:400])
	d := decoder(f, pdf.Config{Inflated: 1 << 20})
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = d.Decode(bytes.NewReader(b), func(text []byte, kind surbl.Kind, _ surbl.Hidden) {
			if len(text) == 0 || kind == 0 {
				t.Errorf("%v %q", kind, text)
			}
		})
	})
}
