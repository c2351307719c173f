package surbl_test

import (
	"encoding/base64"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/surbl"
	"github.com/smtpguard/smtpguard/surbl/pdf"
	"github.com/smtpguard/smtpguard/surbl/qr"
)

// attached is a part that holds b.
func attached(kind, b string) string {
	text := base64.StdEncoding.EncodeToString([]byte(b))
	var lines strings.Builder
	for len(text) > 76 {
		lines.WriteString(text[:76] + crlf)
		text = text[76:]
	}
	return "Content-Type: " + kind + crlf + "Content-Transfer-Encoding: base64" + crlf + crlf + lines.String() + text + crlf
}

// scripted is a Decoder that does what its parts say.
type scripted struct{}

func (scripted) Reads(kind, name string, _ []byte) bool {
	return kind == "application/x-script" || name == "a.script"
}

func (scripted) Decode(body io.Reader, found func([]byte, surbl.Kind, surbl.Hidden)) error {
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "link":
			found([]byte(rest), surbl.Link, 0)
		case "form":
			found([]byte(rest), surbl.Form, 0)
		case "script":
			found([]byte(rest), surbl.Script, 0)
		case "picture":
			found([]byte(rest), surbl.Link, surbl.Pictured)
		case "text":
			found([]byte(rest), 0, surbl.Pictured)
		case "panic":
			panic(rest)
		case "error":
			return errors.New(rest)
		}
	}
	return nil
}

func TestDecoder(t *testing.T) {
	x := extractor(t, surbl.Extraction{Decoders: []surbl.Decoder{scripted{}}})
	for _, tt := range []struct{ script, want, unread string }{
		{"nothing", "", ""},
		{"link http://evil.com/", "link evil.com", ""},
		{"link http:evil.com", "link evil.com (backslash)", ""},
		{"link evil.com/x", "link evil.com", ""},
		{"link URL:http://evil.com/", "plain evil.com", ""},
		{"link x.html", "", ""},
		{"form http://evil.com/", "form evil.com", ""},
		{"link mailto:a@evil.com", "mail a@evil.com", ""},
		{`script x="http://evil.com/"; a.id = b.in`, "script evil.com", ""},
		{"picture http://evil.com/", "link evil.com (picture)", ""},
		{"text see evil.com and http://evil.org", "plain evil.org (picture); bare evil.com (picture)", ""},
		{"link http://evil.com/\nerror halfway", "link evil.com", "part 1: halfway"},
		{"script x\npanic oh", "", "part 1: surbl: decoder panicked: oh"},
	} {
		for _, kind := range []string{"application/x-script", "application/octet-stream; name=a.script"} {
			links, err := x.Extract(strings.NewReader(attached(kind, tt.script)))
			if err != nil {
				t.Fatal(err)
			}
			if got := briefs(links); got != tt.want || links.Broken {
				t.Errorf("%s: broken %v\n got  %s\n want %s", tt.script, links.Broken, got, tt.want)
			}
			if got := unread(links); got != tt.unread {
				t.Errorf("%s: unread %q, want %q", tt.script, got, tt.unread)
			}
		}
	}
	if _, err := surbl.NewExtractor(surbl.Extraction{Decoders: []surbl.Decoder{nil}}); err == nil || err.Error() != "surbl: Extraction.Decoders[0]: nil" {
		t.Errorf("error %v", err)
	}
}

// TestDecoded has decoders read no more parts than they may, and what is behind
// them read all the same. What they may not is searched as it lies there.
func TestDecoded(t *testing.T) {
	x := extractor(t, surbl.Extraction{Decoders: []surbl.Decoder{scripted{}}, Decoded: 2})
	part := "--b" + crlf + attached("application/x-script", strings.Repeat(" ", 10000)+"\nlink http://evil.com/\nerror x")
	links, err := x.Extract(strings.NewReader("Content-Type: multipart/mixed; boundary=b" + crlf + crlf + strings.Repeat(part, 30) +
		"--b" + crlf + crlf + "http://end.com/" + crlf + "--b--" + crlf))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := briefs(links), "link evil.com; plain end.com"; got != want || !links.Cut || len(links.Unread) != 2 {
		t.Errorf("%s, %d times, cut %v, unread %v", got, links.URIs[0].Times, links.Cut, links.Unread)
	}
	x = extractor(t, surbl.Extraction{Decoders: []surbl.Decoder{scripted{}}, Decoded: 20})
	links, err = x.Extract(strings.NewReader("Content-Type: multipart/mixed; boundary=b" + crlf + crlf + strings.Repeat(part, 30) + "--b--" + crlf))
	if err != nil || len(links.Unread) != 16 {
		t.Errorf("unread %d, error %v", len(links.Unread), err)
	}
	broken := "Content-Type: application/x-script" + crlf + "Content-Transfer-Encoding: base64" + crlf + crlf + "AAAA!AAA" + crlf
	if links, err = x.Extract(strings.NewReader(broken)); err != nil || !links.Broken || len(links.Unread) != 1 {
		t.Errorf("%+v, error %v", links, err)
	}
	if _, err := x.Extract(&half{strings.NewReader(broken)}); !errors.Is(err, errFailed) {
		t.Errorf("error %v", err)
	}
}

// half is a message that fails behind its header.
type half struct{ io.ReadSeeker }

func (h *half) Read(p []byte) (int, error) {
	n, err := h.ReadSeeker.Read(p[:min(len(p), 90)])
	if err == nil && n < 90 {
		err = errFailed
	}
	return n, err
}

func unread(links surbl.Links) string {
	var list []string
	for _, u := range links.Unread {
		list = append(list, u.String())
	}
	return strings.Join(list, "; ")
}

// documentWith is a PDF document with a link.
func documentWith(uri string) string {
	return "%PDF-1.4\n1 0 obj\n<</S/URI/URI(" + uri + ")>>\nendobj\n"
}

// decoding are lists that know evil.com, and read what decoders do.
func decoding(t *testing.T, decoders ...surbl.Decoder) *surbl.Lists {
	w := &world{a: map[string]string{"evil.com.multi.example": "127.0.0.8"}}
	multi := surbl.SURBL()
	multi.Domain = "multi.example"
	return newLists(t, surbl.Config{Resolver: w, Zones: []surbl.Zone{multi}, Extract: surbl.Extraction{Decoders: decoders}})
}

// lines are the lines of a message as a client sends them.
func sent(message string) string {
	return open + "C: " + strings.ReplaceAll(strings.TrimSuffix(message, crlf), crlf, "\nC: ") + "\nC: .\n"
}

func TestDocumentCheck(t *testing.T) {
	d, err := pdf.New(pdf.Config{})
	if err != nil {
		t.Fatal(err)
	}
	evil := sent(attached("application/pdf", documentWith("http://www.evil.com/x")))
	s := newSite(t, decoding(t).Check())
	s.play(evil + "S: 250") // off by default
	s = newSite(t, decoding(t, d).Check())
	s.play(evil + "S: 550 5.7.1 Message links to hxxp://www[.]evil[.]com/x, listed by multi.example: phishing")
	s.play(sent(attached("application/pdf", documentWith("http://www.good.com/x"))) + "S: 250")
	s.play(sent(attached("application/pdf", "%PDF-1.4 trailer <</Encrypt 1 0 R>>")) + "S: 250")
	if got, want := s.verdict("surbl").Facts["unread"], "part 1: pdf: encrypted"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestPictureCheck has a code found in a picture that the page shows, and in one
// that is attached.
func TestPictureCheck(t *testing.T) {
	d, err := qr.New(qr.Config{})
	if err != nil {
		t.Fatal(err)
	}
	picture, err := os.ReadFile("qr/testdata/evil.png")
	if err != nil {
		t.Fatal(err)
	}
	part := attached("image/png; name=a.png", string(picture))
	const page = "Content-Type: multipart/related; boundary=b" + crlf + crlf + "--b" + crlf +
		"Content-Type: text/html" + crlf + crlf + "<img src=cid:a>" + crlf + "--b" + crlf + "Content-ID: <a>" + crlf
	const refused = "S: 550 5.7.1 Message links to hxxp://www[.]evil[.]com/x, listed by multi.example: phishing"
	s := newSite(t, decoding(t).Check())
	s.play(sent(part) + "S: 250") // off by default
	s = newSite(t, decoding(t, d).Check())
	s.play(sent(part) + refused)
	s.play(sent(page+part+"--b--"+crlf) + refused)
	if got, want := s.verdict("surbl").Reason, "hxxp://www[.]evil[.]com/x (link, picture): evil.com is listed by multi.example (phishing)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.play(sent(attached("image/png", string(picture[:100]))) + "S: 250")
	if got, want := s.verdict("surbl").Facts["unread"], "part 1: qr: "; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
