package surbl_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/surbl"
)

func extractor(t testing.TB, cfg surbl.Extraction) *surbl.Extractor {
	t.Helper()
	x, err := surbl.NewExtractor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// brief is what matters most of a URI, on one line.
func brief(u surbl.URI) string {
	host := u.Host
	if u.Addr.IsValid() {
		host = u.Addr.String()
	}
	s := u.Kind.String() + " " + host
	if u.Mailbox != "" {
		s = u.Kind.String() + " " + u.Mailbox
	}
	if u.Hidden != 0 {
		s += " (" + u.Hidden.String() + ")"
	}
	if u.Via != "" {
		s += " via " + u.Via
	}
	return s
}

func briefs(links surbl.Links) string {
	var list []string
	for _, u := range links.URIs {
		list = append(list, brief(u))
	}
	return strings.Join(list, "; ")
}

func TestText(t *testing.T) {
	x := extractor(t, surbl.Extraction{})
	for _, tt := range []struct{ text, want string }{
		{"nothing here. Nor here: e.g. 3.14, file.txt", ""},
		{"see http://evil.example.com/x, now", "plain evil.example.com"},
		{"see www.evil.com.", "plain www.evil.com"},
		{"see evil.co.uk!", "bare evil.co.uk"},
		{"co.uk is no host, nor is com", ""},
		{"mail A.B+c@evil.com now", "mail A.B+c@evil.com"},
		{"http://3232235777/", "plain 192.168.1.1 (number)"},
		{"http://0xc0.0xa8.1.1/", "plain 192.168.1.1 (number)"},
		{"http://0300.0250.01.01/", "plain 192.168.1.1 (number)"},
		{"http://192.168.257/", "plain 192.168.1.1 (number)"},
		{"http://0xC0A80101", "plain 192.168.1.1 (number)"},
		{"http://192.168.1.1:80/", "plain 192.168.1.1"},
		{"http://192.168.1.256/", ""},
		{"http://1.2.3.4.5/", ""},
		{"http://[::ffff:192.0.2.1]/", "plain 192.0.2.1"},
		{"http://[2001:db8::1]:8080/", "plain 2001:db8::1"},
		{"http://www.bank.com@evil.com/", "plain evil.com (userinfo)"},
		{"http://www.bank.com:pass@evil.com:81/", "plain evil.com (userinfo)"},
		{`http:\\evil.com\path`, "plain evil.com (backslash)"},
		{"http:///evil.com/", "plain evil.com (backslash)"},
		{"http://%65vil.com/", "plain evil.com (encoded)"},
		{"http://%2565vil.com/", "plain evil.com (encoded, doubly encoded)"},
		{"http://ev\u200bil.com/", "plain evil.com (invisible characters)"},
		{"ev\u00adil.com", "bare evil.com (invisible characters)"},
		{"http://evil\u3002com/", "plain evil.com (compatibility characters)"},
		{"http://evil\uff0ecom/", "plain evil.com (compatibility characters)"},
		{"http://\uff45\uff56\uff49\uff4c.com/", "plain evil.com (compatibility characters)"},
		{"http://xn--80ak6aa92e.com/", "plain xn--80ak6aa92e.com (lookalike)"},
		{"http://аpple.com/", "plain xn--pple-43d.com (mixed script)"},
		{"http://bücher.example.de/", "plain xn--bcher-kva.example.de"},
		{"http://президент.рф/", "plain xn--d1abbgf6aiiy.xn--p1ai"},
		{"[click](http://evil.com/a_(b))", "plain evil.com"},
		{"<http://evil.com>", "plain evil.com"},
		{"HTTP://EVIL.COM", "plain evil.com"},
		{"http://evil.com./", "plain evil.com"},
		{"https://www.google.com/url?q=http%3A%2F%2Fevil.com%2F&sa=D", "plain www.google.com (redirector); inner evil.com (redirector) via www.google.com"},
		{"https://www.google.com/url?q=evil.com/x", "plain www.google.com (redirector); inner evil.com (redirector) via www.google.com"},
		{"https://track.example.com/?to=https%253A%252F%252Fevil.com", "plain track.example.com (redirector); inner evil.com (redirector) via track.example.com"},
		{"https://urldefense.proofpoint.com/v2/url?u=http-3A__evil.com_x&d=y", "plain urldefense.proofpoint.com (redirector); inner evil.com (redirector) via urldefense.proofpoint.com"},
		{"https://urldefense.com/v3/__https:/evil.com/x__;!!abc", "plain urldefense.com (redirector); inner evil.com (redirector) via urldefense.com"},
		{"https://protect.checkpoint.com/v2/___https://evil.com/x___.YzJ1Om86YzpvOg", "plain protect.checkpoint.com (redirector); inner evil.com (redirector) via protect.checkpoint.com"},
		{"https://protect.checkpoint.com/v2/r05/___http:/evil.com___.YzJ1Om86YzpvOg", "plain protect.checkpoint.com (redirector); inner evil.com (redirector) via protect.checkpoint.com"},
		{"https://protect.checkpoint.com/v2/r01/___https%3A//evil.com/x/___.YzJ1Om86YzpvOg", "plain protect.checkpoint.com (redirector); inner evil.com (redirector) via protect.checkpoint.com"},
		{"https://url.uk.m.mimecastprotect.com/s/YP9XCWQRPf?domain=evil.com", "plain url.uk.m.mimecastprotect.com (redirector); inner evil.com (redirector) via url.uk.m.mimecastprotect.com"},
		{"https://us-west-2.protection.sophos.com/?d=evil.com&u=aHR0cHM6Ly9ldmlsLmNvbS8=&i=x", "plain us-west-2.protection.sophos.com (redirector); inner evil.com (redirector) via us-west-2.protection.sophos.com"},
		{"https://www.bing.com/ck/a?u=a1aHR0cHM6Ly9ldmlsLmNvbS8&ntb=1", "plain www.bing.com (redirector); inner evil.com (redirector) via www.bing.com"},
		{"https://nam02.safelinks.protection.outlook.com/?url=https%3A%2F%2Fevil.com%2F&data=x", "plain nam02.safelinks.protection.outlook.com (redirector); inner evil.com (redirector) via nam02.safelinks.protection.outlook.com"},
		{"https://bit.ly/abc", "plain bit.ly (shortener)"},
		{"hxxp://evil[.]com", ""},
		{"http://-evil.com/ http://evil-.com/", ""},
	} {
		if got := briefs(x.Text([]byte(tt.text))); got != tt.want {
			t.Errorf("%q:\n got  %s\n want %s", tt.text, got, tt.want)
		}
	}
}

func TestDefanged(t *testing.T) {
	x := extractor(t, surbl.Extraction{Defanged: true})
	for text, want := range map[string]string{
		"see hxxp://evil[.]com/x and hxxps[:]//bad(dot)com": "plain evil.com (defanged); plain bad.com (defanged)",
		"a[@]evil[.]com, www.plain.com":                     "plain www.plain.com; mail a@evil.com (defanged)",
	} {
		if got := briefs(x.Text([]byte(text))); got != want {
			t.Errorf("%q:\n got  %s\n want %s", text, got, want)
		}
	}
}

func TestHTML(t *testing.T) {
	x := extractor(t, surbl.Extraction{})
	for _, tt := range []struct{ document, want string }{
		{`<a href="http://evil.com/">x</a>`, "link evil.com"},
		{`<a href="http://evil.com/">www.bank.com</a>`, "link evil.com (mismatch); plain www.bank.com"},
		{`<a href="http://evil.com/">www.<b>bank</b>.com</a>`, "link evil.com (mismatch); plain www.bank.com"},
		{`<a href="http://www.evil.com/">evil.com</a>`, "link www.evil.com; bare evil.com"},
		{`<a href="https://www.google.com/url?q=https://shop.com/">shop.com</a>`, "link www.google.com (redirector); inner shop.com (redirector) via www.google.com"},
		{`<A HREF=http://evil.com>x`, "link evil.com"},
		{`<a href="ht&#116;p&#58;//e&#x76;il.com/">`, "link evil.com"},
		{"<a href=\" ht\ntp://ev\til.com/\">", "link evil.com"},
		{`<a href="//evil.com/">`, "link evil.com"},
		{`<a href="http:evil.com">`, "link evil.com (backslash)"},
		{`<a href="\\evil.com/">`, "link evil.com (backslash)"},
		{`<a href="http://bank.com&#64;evil.com/">`, "link evil.com (userinfo)"},
		{`<a href="page.html"><a href="/evil.com"><a href="#evil.com"><a href="cid:evil.com"><a href="tel:1.2.3">`, ""},
		{`<a href="www.evil.com/x">`, "link www.evil.com"},
		{`<a href="mailto:a@evil.com?cc=b@evil.org">`, "mail a@evil.com; mail b@evil.org"},
		{`<a href="javascript:location='http://evil.com/'">`, "script evil.com"},
		{`<a href="data:text/html;base64,PGEgaHJlZj0iaHR0cDovL2V2aWwuY29tLyI+eDwvYT4=">`, "link evil.com"},
		{`<a href="data:text/html,%3Ca href=http://evil.com/%3E">`, "link evil.com"},
		{`<img src=http://img.com/a.gif srcset="http://a.com/1.jpg 1x, http://b.com/2.jpg 2x">`, "resource img.com; resource a.com; resource b.com"},
		{`<form action="http://evil.com/login"><button formaction="https://evil.org">`, "form evil.com; form evil.org"},
		{`<meta http-equiv=refresh content="0; url=http://evil.com/">`, "refresh evil.com"},
		{`<meta content="0;URL='http://evil.com/'" http-equiv="Refresh">`, "refresh evil.com"},
		{`<base href="http://evil.com/"><a href="x">`, "base evil.com"},
		{`<div style="background:url('http://evil.com/a.png')">`, "style evil.com"},
		{`<style>@import "http://a.com/x.css"; p{background:url(\68ttp://b.com/)}</style>`, "style a.com; style b.com"},
		{`<script>window.location = "http://evil.com/"; a.id = b.in</script>`, "script evil.com"},
		{`<p>ev<span></span>il.com</p><p>a</p>b.com`, "bare evil.com; bare b.com"},
		{`evil<br>.com`, ""},
		{`evil&#46;com &lt;x@evil.org&gt;`, "bare evil.com; mail x@evil.org"},
		{`<!-- http://hidden.com --><!--[if mso]><a href="http://evil.com">x</a><![endif]-->`, "link evil.com"},
		{`<p>see <http://evil.com/></p>`, "plain evil.com"},
		{`<b onclick="location='http://evil.com/'">x</b>`, "script evil.com"},
		{`<a href="http://u:p@evil.com:8080/x"><a href="http://[2001:db8::1]:80/"><a href="http://evil.org:80"><a href="http://evil.net;x/">`,
			"link evil.com (userinfo); link 2001:db8::1; link evil.org; link evil.net"},
		{`<meta http-equiv=refresh content="5; http://evil.com/">`, "refresh evil.com"},
		{`<a href="https://www.bing.com/ck/a?u=a1aHR0cHM6Ly9ldmlsLmNvbS8&ntb=1">www.evil.com</a>`,
			"link www.bing.com (redirector); plain www.evil.com; inner evil.com (redirector) via www.bing.com"},
		{`<a href="https://www.bing.com/ck/a?u=a1aHR0cHM6Ly9ldmlsLmNvbS8&ntb=1">www.bank.com</a>`,
			"link www.bing.com (mismatch, redirector); plain www.bank.com; inner evil.com (redirector) via www.bing.com"},
		{`<a href="http://evil.com/">1.2.3.4</a>`, "link evil.com (mismatch); bare 1.2.3.4"},
		{`<a href="a@evil.com">`, "mail a@evil.com"},
		{`&#xh; &#99999999; &#0; &bogus; &lt;&gt;&quot;&zwnj;&mdash;&ndash;&rsquo;&copy;&hellip;`, ""},
		{`<title>evil.com</title>`, "bare evil.com"},
		{`<svg><a xlink:href="http://evil.com">`, "link evil.com"},
		{`<a href="http://evil.com/" href="http://second.com/">`, "link evil.com; link second.com"},
		{`<a href="http://evil.com/`, "link evil.com"},
		{`<iframe srcdoc="&lt;a href=http://evil.com/&gt;">`, "link evil.com"},
	} {
		if got := briefs(x.HTML([]byte(tt.document))); got != tt.want {
			t.Errorf("%s:\n got  %s\n want %s", tt.document, got, tt.want)
		}
	}
}

const crlf = "\r\n"

// mail is a message of these lines.
func mail(lines ...string) io.ReadSeeker { return strings.NewReader(strings.Join(lines, crlf) + crlf) }

func TestExtract(t *testing.T) {
	for _, tt := range []struct {
		name   string
		mail   io.ReadSeeker
		want   string
		broken bool
	}{
		{"plain", mail("Subject: visit subject.com", "", "http://evil.com/"), "plain evil.com; bare subject.com", false},
		{"encoded subject", mail("Subject: =?utf-8?B?dmlzaXQgZXZpbC5jb20=?=", "", "x"), "bare evil.com", false},
		{"replies", mail("From: A <a@from.com>", "Reply-To: b@reply.com", "", "x"), "mail a@from.com; mail b@reply.com", false},
		{"soft line breaks", mail("Content-Transfer-Encoding: quoted-printable", "", "http://ev=", "il.com/?a=3Db"), "plain evil.com", false},
		{"base64 HTML", mail("Content-Type: text/html", "Content-Transfer-Encoding: base64", "", "PGEgaHJlZj0iaHR0cDovL2V2aWwu", "Y29tLyI+eDwvYT4="), "link evil.com", false},
		{"attached message", mail("Content-Type: multipart/mixed; boundary=b", "", "--b", "Content-Type: message/rfc822", "", "Subject: x", "", "http://evil.com", "--b--"), "plain evil.com", false},
		{"calendar", mail("Content-Type: text/calendar", "", "BEGIN:VEVENT", "DESCRIPTION:join http://evi", " l.com/now", "END:VEVENT"), "plain evil.com", false},
		{"flowed", mail("Content-Type: text/plain; format=flowed; delsp=yes", "", "http://evi ", "l.com/now"), "plain evil.com", false},
		{"character set", mail("Content-Type: text/plain; charset=utf-16be", "Content-Transfer-Encoding: base64", "", "AGgAdAB0AHAAOgAvAC8AZQB2AGkAbAAuAGMAbwBt"), "plain evil.com", false},
		{"byte order mark", mail("Content-Type: text/plain", "Content-Transfer-Encoding: base64", "", "//5oAHQAdABwADoALwAvAGUAdgBpAGwALgBjAG8AbQA="), "plain evil.com", false},
		{"an escaped line end", mail("Content-Type: text/calendar", "", `DESCRIPTION:evil.com\nnext`), "bare evil.com", false},
		{"lines that end in LF", strings.NewReader("Content-Type: text/calendar\n\nDESCRIPTION:http://evi\n l.com/\n"), "plain evil.com", false},
		{"a card by its name", mail("Content-Type: application/octet-stream", "Content-Disposition: attachment; filename=a.vcf", "", "URL:http://evil.com"), "plain evil.com", false},
		{"a type cut off", mail("Content-Type: multipart/mixed; boundary", "", "http://evil.com"), "plain evil.com", true},
		{"a type with rubbish", mail("Content-Type: text/html; =", "", "<a href=http://evil.com>"), "link evil.com", false},
		{"an encoding that nobody has", mail("Content-Transfer-Encoding: rot13", "", "http://evil.com"), "plain evil.com", false},
		{"a character set that nobody has", mail("Content-Type: text/plain; charset=klingon", "", "http://evil.com"), "plain evil.com", false},
		{"attached page", mail("Content-Type: application/octet-stream; name=invoice.html", "", "<a href=http://evil.com>"), "link evil.com", false},
		{"page in disguise", mail("Content-Type: application/octet-stream", "", "<html><a href=http://evil.com>"), "link evil.com", false},
		{"picture", mail("Content-Type: image/png", "", "http://evil.com"), "", false},
		{"no boundary", mail("Content-Type: multipart/mixed", "", "--b", "", "http://evil.com", "--b--"), "plain evil.com", true},
		{"angle brackets", mail("Content-Type: multipart/mixed", "", "see <http://evil.com/a> or <b@evil.org>"), "plain evil.com; mail b@evil.org", true},
		{"no header", mail("no field at all", "see <http://evil.com/a>"), "plain evil.com", true},
		{"wrong boundary", mail("Content-Type: multipart/mixed; boundary=a", "", "--b", "Content-Transfer-Encoding: base64", "", "PGEgaHJlZj0iaHR0cDovL2V2aWwuY29tLyI+eDwvYT4=", "--b--"), "link evil.com", true},
		{"broken base64", mail("Content-Type: text/html", "Content-Transfer-Encoding: base64", "", "PGEgaHJlZj0iaHR0cDovL2V2", "!!!", "aWwuY29tLyI+eDwvYT4gICAgICAg"), "link ev; link evil.com", true},
	} {
		links, err := surbl.Extract(tt.mail)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := briefs(links); got != tt.want || links.Broken != tt.broken {
			t.Errorf("%s: broken %v\n got  %s\n want %s", tt.name, links.Broken, got, tt.want)
		}
	}
}

func TestURI(t *testing.T) {
	text := "at http://USER@Www.Evil.co.uk:8080/a?b#c now"
	links := extractor(t, surbl.Extraction{}).Text([]byte(text + " and " + text))
	want := surbl.URI{Text: "http://USER@Www.Evil.co.uk:8080/a?b#c", Scheme: "http", Host: "www.evil.co.uk", Domain: "evil.co.uk",
		Port: "8080", Path: "/a?b#c", Kind: surbl.Plain, Hidden: surbl.UserInfo, Offset: 3, Times: 2}
	if len(links.URIs) != 1 || links.URIs[0] != want {
		t.Errorf("got %+v", links.URIs)
	}
	if got := want.Defang(); got != "hxxp://www[.]evil[.]co[.]uk/a?b#c" {
		t.Errorf("Defang = %s", got)
	}
	literal := surbl.URI{Scheme: "http", Addr: netip.MustParseAddr("2001:db8::1"), Path: "/\r\nx"}
	if got := literal.Defang(); got != "hxxp://2001[:]db8[:][:]1/??x" {
		t.Errorf("Defang = %s", got)
	}
	html := extractor(t, surbl.Extraction{}).HTML([]byte(`<p><b>see</b> www.evil.com`))
	if len(html.URIs) != 1 || html.URIs[0].Offset != 14 {
		t.Errorf("got %+v", html.URIs)
	}
}

func TestBounds(t *testing.T) {
	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, "http://host%d.com/ ", i)
	}
	for i := range 20 {
		fmt.Fprintf(&many, "http://host0.com/%d ", i)
	}
	links := extractor(t, surbl.Extraction{}).Text([]byte(many.String()))
	if len(links.URIs) != 100 || links.More != 1020-100 {
		t.Errorf("%d URIs and %d more", len(links.URIs), links.More)
	}
	part := "--b\r\n\r\nhttp://x.com\r\n"
	head := "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	for name, tt := range map[string]struct {
		cfg  surbl.Extraction
		mail string
	}{
		"parts": {surbl.Extraction{Parts: 10}, head + strings.Repeat(part, 100)},
		"bytes": {surbl.Extraction{Bytes: 100}, head + strings.Repeat(part, 100)},
		"depth": {surbl.Extraction{}, strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 100)},
	} {
		links, err := extractor(t, tt.cfg).Extract(strings.NewReader(tt.mail))
		if err != nil || !links.Cut {
			t.Errorf("%s: cut %v, error %v", name, links.Cut, err)
		}
	}
	for _, cfg := range []surbl.Extraction{{URIs: -1}, {Depth: 100}, {Bytes: -1}, {Redirectors: []surbl.Redirector{{}}}} {
		if _, err := surbl.NewExtractor(cfg); err == nil || !strings.HasPrefix(err.Error(), "surbl: Extraction.") {
			t.Errorf("%+v: error %v", cfg, err)
		}
	}
}

// TestLarge has what is larger than all windows found: an attribute of a
// megabyte before another, a word of a megabyte before a link.
func TestLarge(t *testing.T) {
	big := strings.Repeat("A", 1<<20)
	for _, lines := range [][]string{
		{"Content-Type: text/html", "", `<img src="data:image/png;base64,` + big + `"><a href="http://evil.com/">x</a>`},
		{"Content-Type: text/html", "", "<!--" + big + `--><script>` + big + `</script><a title=` + big + ` href="http://evil.com/">x</a>`},
		{"Content-Type: text/html", "", big + ` <a href="http://evil.com/">x</a>`},
		{"Content-Type: text/html", "", `<a title="` + big + `" href="http://evil.com/">x</a>`},
	} {
		links, err := surbl.Extract(mail(lines...))
		if got := briefs(links); got != "link evil.com" || err != nil {
			t.Errorf("%.60s: %s, error %v", lines[2], got, err)
		}
	}
	links, err := surbl.Extract(mail("", big+" http://evil.com/"))
	if got := briefs(links); got != "plain evil.com" || err != nil {
		t.Errorf("%s, error %v", got, err)
	}
}

// TestFolded has lines that were folded within a host joined wherever the
// windows end in which they are read.
func TestFolded(t *testing.T) {
	for _, tt := range []struct{ kind, fold string }{{"text/calendar", "\r\n "}, {"text/calendar", "\n\t"}, {"text/plain; format=flowed; delsp=yes", " \r\n"}} {
		for pad := range 40 {
			var b strings.Builder
			b.WriteString("Content-Type: " + tt.kind + "\r\n\r\n" + strings.Repeat("x", pad))
			for i := range 900 {
				fmt.Fprintf(&b, "\r\nhttp://ho%sst%d.com/", tt.fold, i%90)
			}
			links, err := surbl.Extract(strings.NewReader(b.String()))
			if err != nil || len(links.URIs) != 90 {
				t.Fatalf("%s, %d: %d URIs, error %v", tt.kind, pad, len(links.URIs), err)
			}
			for _, u := range links.URIs {
				if u.Times != 10 || !strings.HasPrefix(u.Host, "host") {
					t.Fatalf("%s, %d: %+v", tt.kind, pad, u)
				}
			}
		}
	}
}

type failing struct{ io.ReadSeeker }

func (failing) Read([]byte) (int, error) { return 0, errFailed }

var errFailed = errors.New("failed")

func TestReadError(t *testing.T) {
	if _, err := surbl.Extract(failing{bytes.NewReader(nil)}); !errors.Is(err, errFailed) {
		t.Errorf("error %v", err)
	}
}

func ExampleExtract() {
	message := strings.NewReader("Subject: your account\r\nContent-Type: text/html\r\n\r\n" +
		`<a href="http://3221225994/login">https://www.bank.example.com/</a>`)
	links, err := surbl.Extract(message)
	if err != nil {
		panic(err)
	}
	for _, u := range links.URIs {
		fmt.Println(u.Kind, u.Host, u.Addr, u.Hidden)
	}
	// Output:
	// link  192.0.2.10 mismatch, number
	// plain www.bank.example.com invalid IP
}
