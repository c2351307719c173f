package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image/jpeg"
	"image/png"
	"os"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard/internal/dnsd"
	"github.com/smtpguard/smtpguard/internal/dnszone"
	"github.com/smtpguard/smtpguard/internal/require"
)

// Mail by swaks that links to what is listed is refused, however it writes it, and the
// log says which list; the same mail with a clean link is delivered.
func TestURILists(t *testing.T) {
	require.Program(t, "swaks")
	addr := dnsd.Rbldnsd(t, map[string]string{
		"multi.example:dnset": ":127.0.0.8:phishing\nbad-links.com\ntest.multi.example\n.xn--bcher-kva.com\n:127.0.0.8:\ntest\n",
		"dbl.example:dnset":   ":127.0.1.4:phish\nalso-bad.com\ntest\n",
	})
	r := start(t, "", fmt.Sprintf(`
resolver: {servers: [%q]}
uri-lists:
  zones:
    - {name: multi, domain: multi.example, codes: [{answer: "127.0.0.&8", means: phishing, action: reject}]}
    - {name: dbl, domain: dbl.example, codes: [{answer: 127.0.1.4, means: phish, action: reject}]}
`, addr))
	html := "<html><body><a href=\"http://www.%s/login\">here</a></body></html>"
	message := func(kind, body string) string {
		return "From: a@client.example\nTo: ann@example.org\nSubject: x\nMIME-Version: 1.0\nContent-Type: " + kind + "\n\n" + body + "\n"
	}
	for _, tt := range []struct {
		name, list, data string
	}{
		{"plain text", "multi", message("text/plain", "See http://www.bad-links.com/login now")},
		{"HTML", "multi", message("text/html", fmt.Sprintf(html, "bad-links.com"))},
		{"base64 HTML", "dbl", message("text/html\nContent-Transfer-Encoding: base64", "PGh0bWw+PGJvZHk+PGEgaHJlZj0iaHR0cDovL3d3dy5hbHNvLWJhZC5jb20vbG9naW4iPmhlcmU8L2E+PC9ib2R5PjwvaHRtbD4=")},
		{"quoted-printable across lines", "multi", message("text/plain\nContent-Transfer-Encoding: quoted-printable", "See http://www.bad-=\nlinks.com/login now")},
		{"redirector", "multi", message("text/plain", "See https://www.google.com/url?q=http%3A%2F%2Fwww.bad-links.com%2Flogin")},
		{"IDN", "multi", message("text/plain; charset=utf-8\nContent-Transfer-Encoding: base64", "U2VlIGh0dHA6Ly93d3cuYsO8Y2hlci5jb20vbG9naW4K")},
		{"attached message", "multi", message("message/rfc822", "From: b@client.example\nSubject: y\n\nhttp://bad-links.com/")},
		{"plain text, clean", "", message("text/plain", "See http://www.good-links.com/login now")},
		{"HTML, clean", "", message("text/html", fmt.Sprintf(html, "good-links.com"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(r.mail("example.org/ann"))
			out, code := r.swaks("-s", r.addr["inbound"], "-f", "a@client.example", "-t", "ann@example.org", "--data", strings.ReplaceAll(tt.data, "\n", `\n`))
			if refused := strings.Contains(out, "550 5.7.1"); refused != (tt.list != "") || (code == 0) == refused {
				t.Fatalf("exit code %d:\n%s", code, out)
			}
			if got := len(r.mail("example.org/ann")) - before; got != 1 && tt.list == "" || got != 0 && tt.list != "" {
				t.Errorf("%d messages were delivered", got)
			}
			if tt.list != "" {
				r.until("the log names the list", func() bool { return strings.Contains(r.log.String(), "listed by "+tt.list) })
			}
		})
	}
}

// What is not text is read where that is asked for, and only there.
func TestURIsInside(t *testing.T) {
	dns := dnszone.Start(t, `
example. 60 IN SOA ns.example. hostmaster.example. 1 60 60 60 60
test.multi.example. 60 IN A 127.0.0.2
evil.com.multi.example. 60 IN A 127.0.0.2
bit.ly. 60 IN SOA ns.example. hostmaster.example. 1 60 60 60 60
bit.ly. 60 IN A 127.0.0.1
`)
	code, err := os.ReadFile("../../surbl/qr/testdata/evil.png")
	if err != nil {
		t.Fatal(err)
	}
	part := func(kind string, b []byte) string {
		return "From: a@client.example\r\nTo: ann@example.org\r\nSubject: x\r\nContent-Type: " + kind +
			"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString(b) + "\r\n"
	}
	document := part("application/pdf", []byte("%PDF-1.4 1 0 obj <</S/URI/URI(http://www.evil.com/)>> endobj"))
	picture := part("image/png", code)
	img, err := png.Decode(bytes.NewReader(code))
	if err != nil {
		t.Fatal(err)
	}
	var scan bytes.Buffer
	if err := jpeg.Encode(&scan, img, nil); err != nil {
		t.Fatal(err)
	}
	scanned := part("application/pdf", fmt.Appendf(nil, "%%PDF-1.4 1 0 obj <</Subtype/Image/Width %d/Height %d/Filter/DCTDecode>>stream\n%s\nendstream endobj",
		img.Bounds().Dx(), img.Bounds().Dy(), scan.Bytes()))
	short := "Subject: x\r\n\r\nsee http://bit.ly/x\r\n"
	const typeA = 1
	for _, tt := range []struct {
		lines   string
		refused [4]bool // document, picture, document with a picture, short link
		log     string
	}{
		{"", [4]bool{}, ""},
		{"pdf: true", [4]bool{true, false, false, false}, "evil.com is listed by multi"},
		{"qr: true", [4]bool{false, true, false, false}, "(link, picture): evil.com is listed by multi"},
		{"pdf: true\n  qr: true", [4]bool{true, true, true, false}, "(link, picture): evil.com is listed by multi"},
		{"follow: true", [4]bool{}, ""}, // to no machine, least of all to this one, but its name is asked for
	} {
		t.Run(tt.lines, func(t *testing.T) {
			r := start(t, "", fmt.Sprintf(`
resolver: {servers: [%q]}
uri-lists:
  zones: [{name: multi, domain: multi.example}]
  %s
`, dns.Addr().String(), tt.lines))
			for i, message := range []string{document, picture, scanned, short} {
				err := deliver(t, r.addr["inbound"], message)
				if refused := strings.Contains(fmt.Sprint(err), "Message links to "); refused != tt.refused[i] || err != nil && !refused {
					t.Errorf("message %d: %v", i, err)
				}
			}
			if n := dns.Asked("bit.ly.", typeA); (n > 0) != (tt.lines == "follow: true") {
				t.Errorf("the shortener was asked for %d times", n)
			}
			if tt.log != "" {
				r.until("the log tells of it", func() bool { return strings.Contains(r.log.String(), tt.log) })
			}
		})
	}
}

// deliver sends ann a message from outside.
func deliver(t *testing.T, addr, message string) error {
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.SendMail("a@client.example", []string{"ann@example.org"}, strings.NewReader(message))
}
