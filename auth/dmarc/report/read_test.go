package report

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/internal/require"
)

// TestSamples reads the reports of others that parsedmarc, Mail::DMARC and
// OpenDMARC have collected.
func TestSamples(t *testing.T) {
	var files []string
	for _, dir := range []string{"parsedmarc-samples/aggregate", "parsedmarc-samples/aggregate_invalid", "parsedmarc-samples/extract_report", "mail-dmarc", "opendmarc/xml"} {
		found, err := filepath.Glob(filepath.Join(require.Suite(t, "dmarc", dir), "*.*"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	read := 0
	for _, name := range files {
		base := filepath.Base(name)
		if strings.HasSuffix(base, ".json") || strings.HasSuffix(base, "-input.xml") && !strings.Contains(base, "nice") {
			continue
		}
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		reader := Read
		if filepath.Ext(base) == ".eml" {
			reader = ReadMail
		}
		f, err := reader(bytes.NewReader(content), Limits{})
		if strings.HasPrefix(base, "bad.com!") { // ends in the middle
			if err == nil {
				t.Errorf("%s: %+v", base, f)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", base, err)
			continue
		}
		var sum Summary
		sum.Add(f)
		if f.Policy.Domain == "" || f.Organization+f.Email == "" || f.Begin.IsZero() || len(f.Rows) == 0 || sum.Messages == 0 {
			t.Errorf("%s: %+v", base, f)
		}
		read++
	}
	if read < 20 {
		t.Errorf("%d samples", read)
	}
}

func TestSampleOfRFC(t *testing.T) {
	content, err := os.ReadFile(require.Suite(t, "dmarc", "parsedmarc-samples", "aggregate", "rfc9990-sample.xml"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Read(bytes.NewReader(content), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := Policy{Domain: "example.com", Discovery: "treewalk", Policy: "quarantine", Subdomain: "none", NonExistent: "none", Percent: 100}
	if f.Policy != want || len(f.Rows) != 1 || f.Rows[0].Count != 123 || f.Rows[0].Disposition != DispositionPass || !f.Rows[0].DKIMAligned || f.Rows[0].SPFAligned ||
		!reflect.DeepEqual(f.Rows[0].DKIM, []Signature{{Domain: "example.com", Selector: "abc123", Result: "pass"}}) || *f.Rows[0].SPF != (Sender{Domain: "example.com", Result: "fail"}) {
		t.Errorf("%+v", f)
	}
}

const small = `<feedback><policy_published><domain>example.com</domain><p>none</p></policy_published>` +
	`<record><row><source_ip>192.0.2.1</source_ip><count>2</count></row></record></feedback>`

func archive(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for name, content := range files {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// TestRead has what others do to reports.
func TestRead(t *testing.T) {
	for name, content := range map[string][]byte{
		"plain":                []byte(small),
		"byte order mark":      []byte("\xef\xbb\xbf\r\n" + small),
		"gzip":                 zipped(t, []byte(small)),
		"zip":                  archive(t, map[string]string{"a!b!1!2.xml": small}),
		"zip with more":        archive(t, map[string]string{"readme.txt": "hello", "r.XML": small}),
		"declared latin-1":     []byte(`<?xml version="1.0" encoding="iso-8859-1"?>` + strings.Replace(small, "<policy_published>", "<report_metadata><org_name>B\xfccher</org_name></report_metadata><policy_published>", 1)),
		"control characters":   []byte(strings.Replace(small, "<p>", "\x00\x0b<p>\x01", 1)),
		"other namespace":      []byte(strings.Replace(small, "<feedback>", `<d:feedback xmlns:d="urn:x" xmlns="y">`, 1)),
		"elements left open":   []byte(strings.Replace(small, "<policy_published>", "<report_metadata><email><a@b.example></email></report_metadata><policy_published>", 1)),
		"unknown elements":     []byte(strings.Replace(small, "<row>", "<row><row><count>9</count></row><x:y><z/></x:y>", 1)),
		"something behind it":  []byte(small + "<<<"),
		"a wrapper around it":  []byte(`<xs:schema>` + small + `</xs:schema>`),
		"entity of nobody":     []byte(strings.Replace(small, "<p>", "&nbsp;&x;<p>", 1)),
		"upper-case elements":  []byte(strings.ReplaceAll(strings.ReplaceAll(small, "domain>", "DOMAIN>"), "row>", "Row>")),
		"doctype with entity":  []byte(`<!DOCTYPE feedback [<!ENTITY a "b">]>` + small),
		"CDATA":                []byte(strings.Replace(small, "example.com", "<![CDATA[example]]>.com<!-- <x> -->", 1)),
		"references":           []byte(strings.Replace(small, "example.com", "&#101;xample&#x2E;com", 1)),
		"bare brackets":        []byte(strings.Replace(small, "<row>", "<email>a<b</email><x y='>' z=\"/\"/><row>", 1)),
		"processing":           []byte(strings.Replace(small, "<row>", "<?x <row> ?><row/><row>", 1)),
		"far too long a value": []byte(strings.Replace(small, "<p>", "<x>"+strings.Repeat("y", 100_000)+"</x><p>", 1)),
	} {
		f, err := Read(bytes.NewReader(content), Limits{})
		if err != nil || f.Policy.Domain != "example.com" || f.Policy.Policy != dmarc.NoPolicy || len(f.Rows) != 1 || f.Rows[0].Count != 2 || f.Rows[0].Source.String() != "192.0.2.1" {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	for name, content := range map[string][]byte{
		"nothing":           nil,
		"no XML":            []byte("hello"),
		"other XML":         []byte("<html><body>x</body></html>"),
		"cut short":         []byte(small[:len(small)-20]),
		"no policy":         []byte("<feedback><record></record></feedback>"),
		"broken gzip":       zipped(t, []byte(small))[:40],
		"broken zip":        archive(t, map[string]string{"a.xml": small})[:60],
		"zip without XML":   archive(t, map[string]string{"a.exe": small, "b.exe": small}),
		"elements too deep": []byte("<feedback>" + strings.Repeat("<a>", 1000)),
	} {
		if f, err := Read(bytes.NewReader(content), Limits{}); err == nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// TestBombs are small and unpack into much, or never end.
func TestBombs(t *testing.T) {
	zeros := zipped(t, make([]byte, 9<<20)) // 9 KiB
	row := `<record><row><count>1</count></row></record>`
	head := small[:strings.Index(small, "<record>")]
	for name, tt := range map[string]struct {
		content []byte
		limits  Limits
	}{
		"gzip of zeros":      {zeros, Limits{Octets: 8 << 20}},
		"gzip of one text":   {zipped(t, []byte("<feedback><a>"+strings.Repeat("x", 3<<20))), Limits{Octets: 1 << 20}},
		"zip of one text":    {archive(t, map[string]string{"a.xml": "<feedback><a>" + strings.Repeat("x", 3<<20)}), Limits{Octets: 1 << 20}},
		"gzip of rows":       {zipped(t, []byte(head+strings.Repeat(row, 3000))), Limits{Rows: 1000}},
		"rows":               {[]byte(head + strings.Repeat(row, 11) + "</feedback>"), Limits{Rows: 10}},
		"packed octets":      {append(zipped(t, []byte(small)), make([]byte, 2000)...), Limits{Packed: 100}},
		"plain octets":       {[]byte(head + strings.Repeat(" ", 3000) + small), Limits{Octets: 1000}},
		"archive of so many": {archive(t, many(100)), Limits{}},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f, err := Read(bytes.NewReader(tt.content), tt.limits)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v, %v", name, f != nil, err)
		}
		if taken := after.TotalAlloc - before.TotalAlloc; taken > 64<<20 {
			t.Errorf("%s: %d MiB allocated", name, taken>>20)
		}
	}
}

func TestLimits(t *testing.T) {
	if got, want := (Limits{Rows: -1}).withDefaults(), (Limits{16 << 20, 64 << 20, 200_000}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func many(n int) map[string]string {
	files := make(map[string]string)
	for i := range n {
		files[strings.Repeat("a", i+1)+".txt"] = "x"
	}
	return files
}

func TestReadMail(t *testing.T) {
	const head = "From: r@receiver.example\r\nSubject: Report Domain: example.com\r\nMIME-Version: 1.0\r\n"
	part := "Content-Type: text/xml\r\n\r\n" + small + "\r\n"
	for name, text := range map[string]string{
		"body":            head + part,
		"quoted":          head + "Content-Type: application/xml\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.ReplaceAll(small, "=", "=3D"),
		"attachment":      head + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\n" + part + "--b--\r\n",
		"nested":          head + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/related; boundary=c\r\n\r\n--c\r\n" + part + "--c--\r\n--b--\r\n",
		"one bad, a good": head + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n<?xml broken\r\n--b\r\n" + part + "--b--\r\n",
	} {
		if f, err := ReadMail(strings.NewReader(text), Limits{}); err != nil || f.Policy.Domain != "example.com" {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	deep := head
	for range 20 {
		deep += "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
	}
	for name, text := range map[string]string{
		"no report":      head + "Content-Type: text/plain\r\n\r\nhello\r\n",
		"no header":      "hello",
		"so many parts":  head + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 100) + "--b\r\n" + part + "--b--\r\n",
		"so deep":        deep + part,
		"cut in base64":  head + "Content-Transfer-Encoding: base64\r\n\r\nH4sIAAAAAAAA\r\n",
		"no boundary":    head + "Content-Type: multipart/mixed\r\n\r\n--b\r\n" + part + "--b--\r\n",
		"more than much": head + "\r\n" + strings.Repeat("x", 30<<20),
	} {
		if f, err := ReadMail(strings.NewReader(text), Limits{}); err == nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(small))
	f.Add(zipped(f, []byte(small)))
	f.Add(archive(f, map[string]string{"a.xml": small}))
	f.Add([]byte(`<feedback><a><b></a><policy_published><domain>x</domain></policy_published><record></record>`))
	limits := Limits{Packed: 1 << 20, Octets: 1 << 20, Rows: 1000}
	f.Fuzz(func(t *testing.T, content []byte) {
		got, err := Read(bytes.NewReader(content), limits)
		if (got == nil) == (err == nil) {
			t.Fatalf("%+v, %v", got, err)
		}
		if err != nil {
			return
		}
		// What was read is written, and read the same.
		var buf bytes.Buffer
		x := newWriter(&buf, false)
		x.begin(got)
		for i := range got.Rows {
			x.row(&got.Rows[i])
		}
		if err := x.end(); err != nil {
			t.Fatal(err)
		}
		again, err := Read(&buf, Limits{})
		if err != nil || len(again.Rows) != len(got.Rows) || again.Policy.Domain != got.Policy.Domain || again.Organization != got.Organization {
			t.Fatalf("%+v\nread again: %+v, %v", got, again, err)
		}
		var a, b Summary
		a.Add(got)
		b.Add(again)
		if a.Passed != b.Passed || a.Rejected != b.Rejected {
			t.Fatalf("%+v and %+v", a, b)
		}
	})
}
