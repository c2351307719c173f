package bench

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/quotedprintable"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-message"
	"golang.org/x/net/html"
	"mvdan.cc/xurls/v2"

	"github.com/smtpguard/smtpguard/internal/require"
	"github.com/smtpguard/smtpguard/surbl"
)

// prose is a text of n octets with few links: one to each 4 KiB.
func prose(n int) []byte {
	const sentence = "The committee met on Tuesday to discuss the minutes of the last meeting, which were approved.\r\n" +
		"Nobody objected: the treasurer (who was late, e.g. by an hour) said that 3.50 was too much.\r\n"
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		b.WriteString(sentence)
		if i%21 == 20 {
			fmt.Fprintf(&b, "See https://www.example.com/minutes/%d?page=2 for more, or write to chair@example.org.\r\n", i)
		}
	}
	return b.Bytes()[:n]
}

// newsletter is an HTML document of about n octets as shops send them: tables,
// styles, tracked links and images.
func newsletter(n int) []byte {
	var b bytes.Buffer
	b.WriteString("<!DOCTYPE html><html><head><title>Offers</title><style>td{font:12px Arial;color:#333}</style></head><body>\r\n")
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "<table width=\"600\" border=\"0\" cellpadding=\"0\" cellspacing=\"0\" style=\"border-collapse:collapse;font-family:Arial,Helvetica,sans-serif\">\r\n"+
			"<tr><td align=\"left\" valign=\"top\" style=\"padding:10px 20px 10px 20px;font-size:14px;line-height:20px;color:#333333\">\r\n"+
			"<a href=\"https://click.shop%d.example.com/track?id=%d&amp;u=abcdef0123456789\" target=\"_blank\" style=\"color:#0066cc;text-decoration:none\">"+
			"<img src=\"https://images.example.net/products/%d.jpg\" width=\"200\" height=\"150\" alt=\"Product\" border=\"0\" style=\"display:block\"></a></td>\r\n"+
			"<td style=\"padding:10px;font-size:14px\"><b>A fine product</b><br>It does all that you need&nbsp;&mdash; and more. Now for only 19.99,"+
			" while stocks last. Terms and conditions apply, see the small print at the end of this message.</td></tr></table>\r\n", i%7, i, i)
	}
	b.WriteString("</body></html>\r\n")
	return b.Bytes()
}

func BenchmarkExtract(b *testing.B) {
	x, err := surbl.NewExtractor(surbl.Extraction{})
	if err != nil {
		b.Fatal(err)
	}
	relaxed := xurls.Relaxed()
	text, document := prose(100<<10), newsletter(100<<10)
	for _, bb := range []struct {
		name string
		data []byte
		ours func([]byte) surbl.Links
	}{{"text-100KiB", text, x.Text}, {"html-100KiB", document, x.HTML}} {
		if got := len(bb.ours(bb.data).URIs); got < 8 {
			b.Fatalf("%s: only %d URIs", bb.name, got)
		}
		b.Run(bb.name+"/smtpguard", func(b *testing.B) {
			b.SetBytes(int64(len(bb.data)))
			b.ReportAllocs()
			for b.Loop() {
				bb.ours(bb.data)
			}
		})
		b.Run(bb.name+"/tokenizer", func(b *testing.B) {
			b.SetBytes(int64(len(bb.data)))
			b.ReportAllocs()
			for b.Loop() {
				z := html.NewTokenizer(bytes.NewReader(bb.data))
				for z.Next() != html.ErrorToken {
					_, more := z.TagName()
					for more {
						_, _, more = z.TagAttr()
					}
				}
			}
		})
		b.Run(bb.name+"/xurls", func(b *testing.B) {
			b.SetBytes(int64(len(bb.data)))
			for b.Loop() {
				relaxed.FindAllIndex(bb.data, -1)
			}
		})
	}
	mail := multipart()
	b.Run("multipart-30KiB/smtpguard", func(b *testing.B) {
		b.SetBytes(int64(len(mail)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := x.Extract(bytes.NewReader(mail)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("multipart-30KiB/go-message", func(b *testing.B) {
		b.SetBytes(int64(len(mail)))
		b.ReportAllocs()
		for b.Loop() {
			if err := walk(mail); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkExtractMessage has whole messages read, of which rspamd makes more
// than its URLs: words, the language, what phishes.
func BenchmarkExtractMessage(b *testing.B) {
	x, err := surbl.NewExtractor(surbl.Extraction{})
	if err != nil {
		b.Fatal(err)
	}
	for _, bb := range []struct {
		name string
		mail []byte
	}{
		{"text-100KiB", append([]byte("Content-Type: text/plain\r\n\r\n"), prose(100<<10)...)},
		{"html-100KiB", append([]byte("Content-Type: text/html\r\n\r\n"), newsletter(100<<10)...)},
		{"multipart-30KiB", multipart()},
	} {
		b.Run(bb.name+"/smtpguard", func(b *testing.B) {
			b.SetBytes(int64(len(bb.mail)))
			for b.Loop() {
				if _, err := x.Extract(bytes.NewReader(bb.mail)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bb.name+"/rspamd", func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "mail")
			if err := os.WriteFile(path, bb.mail, 0o600); err != nil {
				b.Fatal(err)
			}
			ask := rspamadm(b)
			if n := ask(path); n < 8 {
				b.Fatalf("only %d URLs", n)
			}
			b.SetBytes(int64(len(bb.mail)))
			for b.Loop() {
				ask(path)
			}
		})
	}
}

// rspamadm starts a process of rspamd, and returns what asks it for the number of
// URLs in a file.
func rspamadm(b *testing.B) func(path string) int {
	b.Helper()
	cmd := exec.Command(require.Program(b, "rspamadm"), "lua", "-b", filepath.Join("testdata", "rspamd.lua"))
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	lines := bufio.NewReader(out)
	return func(path string) int {
		fmt.Fprintln(in, path)
		line, err := lines.ReadString('\n')
		n, bad := strconv.Atoi(strings.TrimSpace(line))
		if err != nil || bad != nil {
			b.Fatalf("%q: %v, %v", line, err, bad)
		}
		return n
	}
}

// hostile are pieces of which a megabyte is to cost not much more than a
// megabyte of anything.
var hostile = map[string]string{
	"lt": "<", "at": "@", "dot": ".", "percent": "%", "numeric": "&#", "named": "&amp", "zero-width": "\u200b", "slashes": "/", "colon-slashes": "://", "schemes": "http://", "userinfo": "http://a@",
	"label-dots": "a.", "idn-dots": "\u00e9.", "local-at": "a@", "open-comment": "<!--", "comment-dashes": "--", "open-tag": "<a ", "quotes": "<a b=\"<a c='", "attributes": "a=b ", "href": "<a href=x.y>",
	"style-import": "<style>@import ", "style-url": "<style>url(", "image-set": "image-set(\"", "raw-tags": "<style><a b=\"<", "svg-quotes": "<svg><a b=\"<", "srcset": "<img srcset=\"a 1x,", "srcdoc": "<p srcdoc='&lt;p srcdoc=",
	"data": "<a href='data:text/html,%3Ca href=", "redirectors": "http://google.com/url?q=", "redirects": "http://a.com/?u=http%3A%2F%2F", "brackets": "http://[", "parens": "http://a.com/(", "uuencode": "begin 644 a\n",
	"boundaries": "\n--b\n", "boundary-ends": "\n--b--\n", "base64": "aHR0cDovL2V2aWwuY29tLw", "han": "\u4e2d.com", "emails": "a@b.com ", "unique-hosts": "",
}

// BenchmarkHostile reads a megabyte of the same, as text, as HTML, and in a
// message that is broken, which is read three times.
func BenchmarkHostile(b *testing.B) {
	x, err := surbl.NewExtractor(surbl.Extraction{})
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(hostile)) {
		text := strings.Repeat(hostile[name], 1<<20/max(1, len(hostile[name])))
		if text == "" {
			var unique strings.Builder
			for i := 0; unique.Len() < 1<<20; i++ {
				fmt.Fprintf(&unique, "http://h%d.com/ ", i)
			}
			text = unique.String()
		}
		for kind, head := range map[string]string{
			"text": "\r\n", "html": "Content-Type: text/html\r\n\r\n", "broken": "x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n",
		} {
			b.Run(name+"-"+kind+"/smtpguard", func(b *testing.B) {
				b.SetBytes(1 << 20)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := x.Extract(strings.NewReader(head + text)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// walk reads all parts of a message and throws them away.
func walk(mail []byte) error {
	e, err := message.Read(bytes.NewReader(mail))
	if err != nil {
		return err
	}
	parts := e.MultipartReader()
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, part.Body); err != nil {
			return err
		}
	}
}

// multipart is a message of 30 KiB: text and HTML, and a picture.
func multipart() []byte {
	var b bytes.Buffer
	b.WriteString("From: Shop <news@example.com>\r\nTo: user@example.net\r\nSubject: Offers\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/mixed; boundary=\"=_outer\"\r\n\r\n--=_outer\r\nContent-Type: text/plain; charset=utf-8\r\n" +
		"Content-Transfer-Encoding: quoted-printable\r\n\r\n")
	w := quotedprintable.NewWriter(&b)
	w.Write(prose(6 << 10))
	w.Close()
	b.WriteString("\r\n--=_outer\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	w = quotedprintable.NewWriter(&b)
	w.Write(newsletter(14 << 10))
	w.Close()
	b.WriteString("\r\n--=_outer\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x89PNG\x00\x01", 1000)))
	for len(encoded) > 76 {
		b.WriteString(encoded[:76] + "\r\n")
		encoded = encoded[76:]
	}
	b.WriteString(encoded + "\r\n--=_outer--\r\n")
	return b.Bytes()
}
