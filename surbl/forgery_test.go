package surbl

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// forged is a message that hides a link, to a host or an address of its own,
// which a mail client opens or a browser behind it.
type forged struct {
	name string
	want string
	mail []byte
}

// rooms fills those of a template with the host, or the address, in many ways of
// writing it.
func rooms(host string, addr netip.Addr) *strings.Replacer {
	each := func(format string) string {
		var b strings.Builder
		for _, c := range []byte(host) {
			fmt.Fprintf(&b, format, c)
		}
		return b.String()
	}
	wide := strings.Map(func(r rune) rune { return r + 0xfee0 }, host)
	half, rest := host[:3], host[3:]
	ip := addr.As4()
	return strings.NewReplacer(
		"{host}", host, "{HOST}", strings.ToUpper(host), "{dec}", each("&#%d;"), "{loose}", each("&#%d"), "{hex}", each("&#x%04X;"),
		"{percent}", each("%%%02x"), "{twice}", each("%%25%02x"), "{css}", each(`\%06x`), "{js}", each(`\x%02x`), "{wide}", wide,
		"{tab}", half+"\t"+rest, "{line}", half+"\r\n"+rest, "{soft}", half+"\u00ad"+rest, "{zero}", half+"\u200b"+rest,
		"{bidi}", half+"\u202d"+rest, "{tags}", half+"<b></b>"+rest, "{comment}", half+"<!-- x -->"+rest, "{wbr}", half+"<wbr>"+rest,
		"{dot}", strings.Replace(host, ".", "\u3002", 1), "{dotref}", strings.Replace(host, ".", "&period;", 1), "{flow}", half+" \r\n"+rest, "{fold}", half+"\r\n "+rest,
		"{data}", base64.StdEncoding.EncodeToString([]byte(`<a href="http://`+host+`/">x</a>`)), "{dword}", fmt.Sprint(uint32(ip[0])<<24|uint32(ip[1])<<16|uint32(ip[2])<<8|uint32(ip[3])),
		"{octal}", fmt.Sprintf("0%o.0%o.0%o.0%o", ip[0], ip[1], ip[2], ip[3]), "{hexip}", fmt.Sprintf("0x%02x%02x%02x%02x", ip[0], ip[1], ip[2], ip[3]),
		"{short}", fmt.Sprintf("%d.%d.%d", ip[0], ip[1], int(ip[2])<<8|int(ip[3])), "{mapped}", "[::ffff:"+addr.String()+"]", "{ip}", addr.String(),
		"{pad}", strings.Repeat("x", 20000),
	)
}

// documents are templates of HTML.
var documents = []string{
	// The reference as written (WHATWG URL, section 4.4).
	`<a href="http://{host}/">x</a>`, `<a href=http://{host}/>x</a>`, `<a href='http://{host}/'>x</a>`, `<A HREF = "HTTP://{HOST}/">x</A>`,
	`<a/href="http://{host}/">x</a>`, "<a\thref\n=\n\"http://{host}/\">x</a>", `<a href="//{host}/">x</a>`, `<a href="\\{host}\">x</a>`,
	`<a href="http:/{host}/">x</a>`, `<a href="http:{host}/">x</a>`, `<a href="https:////{host}/">x</a>`, `<a href="http:\\{host}/">x</a>`,
	`<a href="http:/\{host}/">x</a>`, "<a href=\"ht\ntp://{line}/\">x</a>", "<a href=\"h\tt\ttp:/\t/{tab}/\">x</a>", "<a href=\"\x01 \x1fhttp://{host}/ \">x</a>",
	`<a href="http://{host}:8080/">x</a>`, `<a href="http://{host}./">x</a>`, `<a href="http://{host}?x">x</a>`, `<a href="http://{host}#x">x</a>`,
	`<a href="http://www.bank.com@{host}/">x</a>`, `<a href="http://www.bank.com:80@{host}/">x</a>`, `<a href="http://bank.com%2f@{host}">x</a>`,
	`<a href="http://a@b@{host}/">x</a>`, `<a href="http://{host}\@bank.com/">x</a>`, `<a href="http://{percent}/">x</a>`, `<a href="http://{wide}/">x</a>`,
	`<a href="http://{dot}/">x</a>`, `<a href="http://{soft}/">x</a>`, `<a href="http://{zero}/">x</a>`, `<a href="http://{dotref}/">x</a>`,
	`<a href="http://{dword}/">x</a>`, `<a href="http://{octal}/">x</a>`, `<a href="http://{hexip}/">x</a>`, `<a href="http://{short}/">x</a>`,
	`<a href="http://{mapped}/">x</a>`, `<a href="http://{ip}:81/">x</a>`, `<a href="ftp://{host}/">x</a>`, `<a href="mailto:x@{host}">x</a>`,
	`<a href="mailto:?cc=x%40{host}">x</a>`, `<a href="http://{host}` + "\n" + `">x</a>`, `<a href="view-source:http://{host}/">x</a>`,
	`<a href="https://www.google.com/url?q=http://{host}/">x</a>`, `<a href="https://t.example.com/?u=https%253A%252F%252F{host}">x</a>`,
	// Character references (HTML, section 13.5).
	`<a href="{dec}"></a><a href="&#104;ttp&#58;//{dec}/">x</a>`, `<a href="ht&#116p&#58//{loose}">x</a>`, `<a href="http&colon;&sol;&sol;{hex}&sol;">x</a>`,
	`<a href="http:&#47&#47{host}">x</a>`, `<a href="http://&Tab;{host}&NewLine;/">x</a>`, `<a href="http&#x3a;&#x2F;&#X2f;{host}">x</a>`,
	`<a href="http://{host}/?a=1&amp=2">x</a>`, `<a href="&#0000104;ttp://{host}/">x</a>`, `<a href="http:&bsol;&bsol;{host}">x</a>`,
	// Elements and attributes.
	`<area href="http://{host}/">`, `<svg><a xlink:href="http://{host}/">x</a></svg>`, `<svg><image href="http://{host}/x.png"/></svg>`,
	`<math href="http://{host}/">x</math>`, `<form action="http://{host}/">`, `<button formaction="http://{host}/">`, `<input type=image src="http://{host}/">`,
	`<iframe src="http://{host}/">`, `<embed src="http://{host}/">`, `<object data="http://{host}/">`, `<img src="http://{host}/">`, `<img src=//{host}/x.gif>`,
	`<img srcset="http://{host}/a.png 2x">`, `<img srcset="a.png, http://{host}/b.png 2x">`, `<source srcset="data:,x 1x, http://{host}/b 2x">`,
	`<video poster="http://{host}/">`, `<body background="http://{host}/">`, `<td background='http://{host}/'>`, `<link rel=stylesheet href="http://{host}/">`,
	`<base href="http://{host}/"><a href="x">x</a>`, `<frame src="http://{host}/">`, `<bgsound src="http://{host}/">`, `<v:rect href="http://{host}/">`,
	`<v:fill src="http://{host}/x.png" />`, `<a ping="http://{host}/" href="#">x</a>`, `<image src="http://{host}/">`, `<applet codebase="http://{host}/">`,
	`<object><param name=movie value="http://{host}/"></object>`, `<svg><a><animate attributeName=href to="http://{host}/"/>x</a></svg>`,
	`<svg><a><set attributeName="xlink:href" to="//{host}/"/>x</a></svg>`, `<isindex action="http://{host}/">`, `<html manifest="http://{host}/">`,
	`<script src="http://{host}/"></script>`, `<a href="x" href="http://{host}/">x</a>`, `<input onfocus="location='http://{host}/'">`,
	`<script>location = "http://{host}/"</script>`, `<script>open("//{host}/")</script>`, `<a href="javascript:location='http://{host}/'">x</a>`,
	`<a href="javascript:location='{js}'; location='http\x3a\x2f\x2f{js}/'">x</a>`,
	// meta refresh (HTML, section 4.2.5.3).
	`<meta http-equiv=refresh content="0;url=http://{host}/">`, `<meta http-equiv=" Refresh " content="0 ; URL = 'http://{host}/'">`,
	`<meta content='0,http://{host}/' http-equiv="REFRESH">`, `<meta http-equiv="refresh" content="0 url=http://{host}/">`,
	`<meta http-equiv="refresh" content="0;url=&quot;http://{host}/&quot;">`, `<meta http-equiv=refresh content=0;URL=//{host}>`,
	`<meta http-equiv="refresh" content=".5; url=http://{host}">`, `<meta http-equiv="&#114;efresh" content="0;u&#114;l=http://{host}">`,
	// Styles (CSS Syntax).
	`<div style="background:url(http://{host}/)">`, `<div style="background:url(&quot;http://{host}/&quot;)">`, `<div style="background:u\72l(http://{host}/)">`,
	`<style>p{background:URL( 'http://{host}/' )}</style>`, `<style>@import "http://{host}/a.css";</style>`, `<style>@import url(//{host}/a.css);</style>`,
	`<style>@im\70ort 'http://{host}/'</style>`, `<style>p{background:url(http://{css})}</style>`, `<style>p{background:image-set("http://{host}/" 1x)}</style>`,
	`<style>/* { */ a{b:url(http://{host}/)}</style>`, `<style>@font-face{src:url("http://{host}/f")}</style>`, `<style>p{b:url(ht\` + "\n" + `tp://{host}/)}</style>`,
	`<div style='list-style:url("http:\2f\2f {host}/")'>`, `<style>@import/**/"http://{host}/";</style>`,
	// Comments, declarations and what swallows tags.
	`<!--><a href="http://{host}/">x</a>-->`, `<!---><a href="http://{host}/">x</a>-->`, `<!-- x --!><a href="http://{host}/">x</a>-->`,
	`<!-- > <a href=//bank.com> --><a href="http://{host}/">x</a>`, `<!--[if mso]><a href="http://{host}/">x</a><![endif]-->`,
	`<!--[if !mso]><!--><a href="http://{host}/">x</a><!--<![endif]-->`, `<![if !mso]><a href="http://{host}/">x</a><![endif]>`, `<!x><a href="http://{host}/">x</a>`,
	`<?x ?><a href="http://{host}/">x</a>`, `</ x><a href="http://{host}/">x</a>`, `<a title="<!--" href="http://{host}/">x</a>`, `<a title='>' href="http://{host}/">x</a>`,
	`<a title="a'b" x='a"b' href="http://{host}/">x</a>`, `<style><!--</style><a href="http://{host}/">x</a>`, `<title><!--</title><a href="http://{host}/">x</a>`,
	`<textarea><!--</textarea><a href="http://{host}/">x</a>`, `<script><!--</script><a href="http://{host}/">x</a>`, `<script>"<!--<script>"</script><a href="http://{host}/">x</a>`,
	`<noscript><a href="http://{host}/">x</a></noscript>`, `<noscript><!--</noscript><a href="http://{host}/">x</a>-->`, `<template><a href="http://{host}/">x</a></template>`,
	`<svg><![CDATA[>]]><a xlink:href="http://{host}/">x</a>`, `<svg><style><a href="http://{host}/">x</a></style>`,
	`<svg><title><a href="http://{host}/">x</a></title>`, `<math><mtext><style><!--</style><a href="http://{host}/">x</a>`, `<select><style></select><a href="http://{host}/">x</a>`,
	`<xmp><!--</xmp><a href="http://{host}/">x</a>`, `<iframe><!--</iframe><a href="http://{host}/">x</a>`, `<noembed><!--</noembed><a href="http://{host}/">x</a>`,
	`<title/><a href="http://{host}/">x</a></title>`, `<svg><script/><a xlink:href="http://{host}/">x</a>`, `<plaintext>http://{host}/`, `<xmp>http://{host}/</xmp>`,
	`<a title="{pad}" href="http://{host}/">x</a>`, `<!-- {pad} --><a href="http://{host}/">x</a>`, `<a href="http://{host}/{pad}">x</a>`, `{pad}<a href="http://{host}/">x</a>`,
	`<a title={pad} href=http://{host}/>x</a>`, `<style>{pad}</style><a href="http://{host}/">x</a>`, `<img src="data:image/png;base64,{pad}"><a href="http://{host}/">x</a>`,
	`<a href="http://{host}/"`, `<a href="http://{host}/`, `<a href=http://{host}/`, `<a href="{pad}http://bank.com" href="http://{host}/">`, `<<a href="http://{host}/">x</a>`,
	`<a<b href="http://{host}/">x</a>`, `<a ="" href="http://{host}/">x</a>`, `<a "" href="http://{host}/">x</a>`, `<a href==http://bank.com href="http://{host}/">x</a>`,
	// Documents in documents.
	`<iframe srcdoc="<a href='http://{host}/'>x</a>">`, `<iframe srcdoc="&lt;a href=&quot;&amp;#104;ttp://{host}/&quot;&gt;">`, `<iframe srcdoc='&lt;img src=//{host}/x&gt;'>`,
	`<a href="data:text/html;base64,{data}">x</a>`, `<a href="data:text/html,%3Ca%20href=http://{host}/%3Ex">x</a>`, `<iframe src="data:text/html;charset=utf-8;base64,{data}">`,
	`<a href=" DATA:text/HTML;BASE64,{data}">x</a>`, `<embed src="data:image/svg+xml,%3Ca%20xlink:href='http://{host}/'%3E">`, `<a href="data:,http://{host}/">x</a>`,
	`<object data="data:text/html,<a href=//{host}/>x</a>">`,
	// What is shown.
	`<p>http://{host}/</p>`, `<p>www.{host}</p>`, `<p>{host}</p>`, `<p>http://{tags}/</p>`, `<p>http://{comment}/</p>`, `<p>http&#58;//{dec}/</p>`, `<p>http://{wbr}/</p>`,
	`<p>{zero}</p>`, `<p>http://{soft}/</p>`, `<p>&lt;http://{host}/&gt;</p>`, `<p>x@{host}</p>`, `<b>http://</b>{host}/`, `<title>http://{host}/</title>`,
	`<textarea>http://{host}/</textarea>`, `<option>http://{host}/</option>`, `<p>go to {dec}!</p>`, `<td>{host}</td><td>x</td>`, `<div>x</div>{host}<div>x</div>`,
	`<p>ht<span>tp:/</span>/<i>{tags}</i></p>`, `<p>http://{zero}/</p>`,
}

// texts are templates of plain text.
var texts = []string{
	`http://{host}/`, `see <http://{host}/>`, `<URL:http://{host}/>`, `hTTps://{HOST}`, `www.{host}`, `go to {host} now`, `{host}/path`, `{host}:8080/x`, `(http://{host})`,
	`"http://{host}"`, `http://{host}.`, `http://{host}, and`, `[x](http://{host})`, `[1]: http://{host}`, `Link:http://{host}`, `Link:{host}`, `x,http://{host}`, `*http://{host}*`,
	`_http://{host}_`, `http://www.bank.com@{host}/`, `http://bank.com:80@{host}`, `http:\\{host}\x`, `http:/\{host}`, `http:///{host}`, `http://{percent}/`, `http://{wide}/`, `http://{dot}/`,
	`http://{soft}/`, `http://{zero}/`, `http://{bidi}/`, `{zero}`, `{soft}`, `http://{dword}/`, `http://{octal}/`, `http://{hexip}`, `http://{short}/x`, `http://{mapped}/`,
	`http://{ip}`, `{ip}`, `x@{host}`, `mailto:x@{host}`, `ftp://{host}/`, `http://bank.com,http://{host}/`, `http://bank.com;http://{host}/`, `http://bank.com/?u=http://{host}`,
	`http://bank.com/http://{host}`, `http://bank.com|http://{host}`, "http://bank.com\u00a0http://{host}", "http://bank.com\u2003{host}", `見http://{host}。`, `これは{host}です`, `«http://{host}»`,
	"http://{host}\u2028x", "x\u200bhttp://{host}", "\u2068http://{host}\u2069", "http://{host}\u2026", "“{host}”", `https://www.google.com/url?q={host}&x`, `https://bank.com/?u=https%3A%2F%2F{host}`,
	`{pad} http://{host}/`, `{pad}http://{host}/`, `"a.b"@{host}`, `<!-- http://{host}/ -->`, `<script>http://{host}/</script>`, `<a href="http://{host}/">`, `<x y='{host}'>`,
	`http://a.b.c.d.e.{host}/`, `http://_dmarc.{host}/`, `http://-.{host}/`, `http://{host}:/`, `http://{host}:99999/`, `http://user:pass@{host}:80/`, `http://@{host}/`,
	`tel:1 sip:x@{host}`, `xmpp:x@{host}`, `tg://{host}`, `ws://{host}/`, `feed://{host}/`, `feed:http://{host}/`, `ms-word:ofe|u|http://{host}/`, `search-ms:query=x&crumb=location:\\{host}\x`,
	`\\{host}\share`, `file://{host}/share`, `smb://{host}/x`, `//{host}/`, `http: //{host}`, `https://{host}\x`,
}

// cards are templates of calendars and cards; the two types are read alike.
var cards = []string{
	"BEGIN:VCALENDAR\r\nURL:http://{host}/\r\nEND:VCALENDAR", "BEGIN:VCALENDAR\r\nDESCRIPTION:x http://{fold}/ y\r\nEND:VCALENDAR", "BEGIN:VCALENDAR\r\nDESCRIPTION:x\\nhttp://{host}/\\ny",
	"BEGIN:VCALENDAR\r\nORGANIZER:mailto:x@{host}\r\n", "BEGIN:VCALENDAR\r\nX-ALT-DESC;FMTTYPE=text/html:<a href=\"http://{host}\">x</a>\r\n",
	"BEGIN:VCALENDAR\r\nATTACH:http://{host}/x\r\n", "BEGIN:VCARD\r\nURL:{host}\r\n", "BEGIN:VCARD\r\nPHOTO;VALUE=uri:http://{fold}/x.png\r\n", "BEGIN:VCALENDAR\r\nLOCATION:see www.{host}\\, or not\r\n",
}

// charsetCase is a way to write text in octets.
type charsetCase struct {
	label  string
	encode func(string) []byte
}

// units writes text in UTF-16, or as much of UTF-32.
func units(order16 func(b []byte, v uint16) []byte, mark bool) func(string) []byte {
	return func(s string) (b []byte) {
		runes := []rune(s)
		if mark {
			runes = append([]rune{0xfeff}, runes...)
		}
		for _, u := range utf16.Encode(runes) {
			b = order16(b, u)
		}
		return b
	}
}

func little(b []byte, v uint16) []byte   { return append(b, byte(v), byte(v>>8)) }
func big(b []byte, v uint16) []byte      { return append(b, byte(v>>8), byte(v)) }
func little32(b []byte, v uint16) []byte { return append(b, byte(v), byte(v>>8), 0, 0) }
func big32(b []byte, v uint16) []byte    { return append(b, 0, 0, byte(v>>8), byte(v)) }

func same(s string) []byte { return []byte(s) }

var charsets = []charsetCase{
	{"; charset=utf-8", same}, {"", same}, {`; charset="UTF-8"`, same}, {"; charset=us-ascii", same}, {"; charset=klingon", same}, {"; charset=hz-gb-2312", same}, {"; charset=iso-2022-kr", same},
	{"; charset=utf-16le", units(little, false)}, {"; charset=utf-16be", units(big, false)}, {"; charset=utf-16", units(big, false)}, {"; charset=utf-16", units(little, true)},
	{"; charset=utf-16", units(little, false)}, {"; charset=unicode", units(little, true)}, {"", units(little, true)}, {"", units(big, false)}, {"; charset=utf-8", units(little, false)},
	{"; charset=utf-32", units(big32, false)}, {"; charset=utf-32le", units(little32, true)}, {"; charset=utf-16le; charset=utf-16le", units(little, false)},
	{`; charset*0="utf-1"; charset*1="6le"`, units(little, false)}, {"; charset*=us-ascii'en'utf-16be", units(big, false)}, {"; charset = utf-16le", units(little, false)},
	{"; charset='utf-8'", same}, {"; (x) charset=utf-8", same}, {"; charset=iso-8859-1", same}, {"; charset=gb18030", same}, {"; charset=koi8-r", same}, {";", same}, {"; =", same},
}

// transfer is a way to send octets.
type transfer struct {
	fields string
	encode func([]byte) string
}

// wrapped writes base64 in lines of a width.
func wrapped(width int) func([]byte) string {
	return func(b []byte) string {
		var out strings.Builder
		for s := base64.StdEncoding.EncodeToString(b); s != ""; {
			n := min(width, len(s))
			out.WriteString(s[:n] + "\r\n")
			s = s[n:]
		}
		return out.String()
	}
}

// quoted writes quoted-printable, all octets encoded, lines broken anywhere.
func quoted(end string) func([]byte) string {
	return func(b []byte) string {
		var out strings.Builder
		for i, c := range b {
			if i%7 == 6 {
				out.WriteString("=" + end)
			}
			if i%3 == 0 && c > ' ' && c < 0x7f && c != '=' {
				out.WriteByte(c)
				continue
			}
			fmt.Fprintf(&out, "=%02X", c)
		}
		return out.String()
	}
}

// uuencode writes a file as uuencode does.
func uuencode(name string) func([]byte) string {
	return func(b []byte) string {
		var out strings.Builder
		out.WriteString("begin 644 " + name + "\r\n")
		for len(b) > 0 {
			n := min(45, len(b))
			line := append(append([]byte(nil), b[:n]...), 0, 0)
			b = b[n:]
			out.WriteByte(byte(n) + ' ')
			for i := 0; i < n; i += 3 {
				for _, v := range []byte{line[i] >> 2, line[i]<<4 | line[i+1]>>4, line[i+1]<<2 | line[i+2]>>6, line[i+2]} {
					if v &= 63; v == 0 {
						v = 64
					}
					out.WriteByte(v + ' ')
				}
			}
			out.WriteString("\r\n")
		}
		return out.String() + "`\r\nend\r\n"
	}
}

const cte = "Content-Transfer-Encoding: "

// insert has a transfer encoding with rubbish in it.
func insert(encode func([]byte) string, what string, every int) func([]byte) string {
	return func(b []byte) string {
		var out strings.Builder
		for i, c := range []byte(encode(b)) {
			if i%every == every-1 {
				out.WriteString(what)
			}
			out.WriteByte(c)
		}
		return out.String()
	}
}

var transfers = []transfer{
	{"", func(b []byte) string { return string(b) }}, {cte + "8bit\r\n", func(b []byte) string { return string(b) }},
	{cte + "base64\r\n", wrapped(76)}, {cte + "BASE64\r\n", wrapped(60)}, {cte + "base64\r\n", wrapped(4)}, {cte + "base64\r\n", wrapped(7)}, {cte + "base64\r\n", wrapped(1 << 20)},
	{cte + "base64 \r\n", wrapped(76)}, {cte + "base64 (x)\r\n", wrapped(76)}, {cte + `"base64"` + "\r\n", wrapped(76)}, {cte + "base64;\r\n", wrapped(76)}, {cte + "\r\n base64\r\n", wrapped(76)},
	{cte + "base64\r\n", insert(wrapped(76), "!", 31)}, {cte + "base64\r\n", insert(wrapped(76), " ", 5)}, {cte + "base64\r\n", func(b []byte) string { return strings.TrimRight(wrapped(1<<20)(b), "=\r\n") + "\r\n" }},
	{cte + "base64\r\n", func(b []byte) string { return wrapped(76)(b[:4]) + wrapped(76)(b[4:]) }}, {cte + "7bit\r\n" + cte + "base64\r\n", wrapped(76)}, {cte + "base64\r\n" + cte + "7bit\r\n", wrapped(76)},
	{cte + "quoted-printable\r\n", quoted("\r\n")}, {cte + "Quoted-Printable\r\n", quoted("  \r\n")}, {cte + "quoted-printable\r\n", quoted("\n")}, {cte + "x-quoted-printable\r\n", quoted("\r\n")},
	{cte + "quoted-printable\r\n", func(b []byte) string { return "=ZZ = \r\n" + quoted("\r\n")(b) }}, {cte + "x-uuencode\r\n", uuencode("x.html")}, {cte + "uuencode\r\n", uuencode("x.html")}, {"", uuencode("x.html")},
	{"content-transfer-encoding:base64\r\n", wrapped(76)}, {"Content-Transfer-Encoding : base64\r\n", wrapped(76)}, {"Content-Transfer-Encoding\r\n" + cte + "base64\r\n", wrapped(76)},
}

// structure puts a part, whose fields have no blank line behind them, into a message.
type structure struct {
	name string
	mail func(fields, body string) string
}

const top = "From: a@example.net\r\nTo: b@example.net\r\nSubject: x\r\nMIME-Version: 1.0\r\n"

func boundary(param, open, end string) func(fields, body string) string {
	return func(fields, body string) string {
		return top + "Content-Type: multipart/mixed" + param + "\r\n\r\npreamble\r\n" + open + "\r\n\r\nx\r\n" + open + "\r\n" + fields + "\r\n" + body + "\r\n" + end + "\r\n"
	}
}

func nested(depth int) func(fields, body string) string {
	return func(fields, body string) string {
		for i := range depth {
			fields, body = fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\r\n", i), fmt.Sprintf("--b%d\r\n%s\r\n%s\r\n--b%d--\r\n", i, fields, body, i)
		}
		return top + fields + "\r\n" + body
	}
}

func attached(fields string, encode func([]byte) string) func(string, string) string {
	return func(inner, body string) string {
		return top + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + fields + "\r\n\r\n" + encode([]byte(top+inner+"\r\n"+body)) + "\r\n--b--\r\n"
	}
}

var structures = []structure{
	{"whole", func(f, b string) string { return top + f + "\r\n" + b }},
	{"no MIME-Version", func(f, b string) string { return f + "\r\n" + b }},
	{"mbox", func(f, b string) string { return "From x Mon Jan  1 00:00:00 2024\r\n" + top + f + "\r\n" + b }},
	{"rubbish before", func(f, b string) string { return top + "this is no field\r\n" + f + "\r\n" + b }},
	{"rubbish first", func(f, b string) string { return " folded\r\n" + top + f + "\r\n" + b }},
	{"rubbish behind", func(f, b string) string { return top + f + "no field\r\n\r\n" + b }},
	{"odd names", func(f, b string) string { return top + "X Y: z\r\n: w\r\n\xff: x\r\n" + f + "\r\n" + b }},
	{"large header", func(f, b string) string {
		return top + strings.Repeat("X-Pad: "+strings.Repeat("y", 900)+"\r\n", 200) + f + "\r\n" + b
	}},
	{"large field", func(f, b string) string {
		return top + "X-Pad: " + strings.Repeat(strings.Repeat("y", 900)+"\r\n ", 200) + "\r\n" + f + "\r\n" + b
	}},
	{"line ends", func(f, b string) string { return strings.ReplaceAll(top+f+"\r\n"+b, "\r\n", "\n") }},
	{"another type behind", func(f, b string) string { return top + f + "Content-Type: image/png\r\n\r\n" + b }},
	{"another type before", func(f, b string) string { return top + "Content-Type: image/png\r\n" + f + "\r\n" + b }},
	{"multipart", boundary("; boundary=b", "--b", "--b--")},
	{"boundary in quotes", boundary(`; boundary="=_b (1)?"`, "--=_b (1)?", "--=_b (1)?--")},
	{"boundary without quotes", boundary("; boundary=a=b/c?d", "--a=b/c?d", "--a=b/c?d--")},
	{"no end", boundary("; boundary=b", "--b", "")},
	{"no boundary", boundary("", "--b", "--b--")},
	{"other boundary", boundary("; boundary=c", "--b", "--b--")},
	{"longer boundary", boundary("; boundary=b", "--bb", "--bb--")},
	{"two boundaries", boundary("; boundary=b; boundary=c", "--b", "--b--")},
	{"second boundary", boundary("; boundary=c; boundary=b", "--b", "--b--")},
	{"empty boundary", boundary(`; boundary=""`, "--", "----")},
	{"boundary with space", boundary(`; boundary="b"`, "--b  ", "--b--  ")},
	{"continued boundary", boundary(`; boundary*0=ab; boundary*1=c`, "--abc", "--abc--")},
	{"encoded multipart", boundary("; boundary=b\r\n"+cte+"base64", "--b", "--b--")},
	{"part behind the end", func(f, b string) string {
		return top + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n\r\n--b\r\n" + f + "\r\n" + b + "\r\n--b--\r\n"
	}},
	{"inner boundary open", func(f, b string) string {
		return top + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--b\r\n" + f + "\r\n" + b + "\r\n--b--\r\n"
	}},
	{"one boundary twice", func(f, b string) string {
		return top + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + f + "\r\n" + b + "\r\n--b--\r\n--b--\r\n"
	}},
	{"nested", nested(5)}, {"deep", nested(12)}, {"deeper", nested(40)},
	{"many parts", func(f, b string) string {
		return top + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 1200) + "--b\r\n" + f + "\r\n" + b + "\r\n--b--\r\n"
	}},
	{"rubbish in part", func(f, b string) string { return boundary("; boundary=b", "--b", "--b--")("no field\r\n"+f, b) }},
	{"attached", attached("Content-Type: message/rfc822", func(b []byte) string { return string(b) })},
	{"attached in base64", attached("Content-Type: message/rfc822\r\n"+cte+"base64", wrapped(76))},
	{"attached in quoted-printable", attached("Content-Type: message/rfc822\r\n"+cte+"quoted-printable", quoted("\r\n"))},
	{"attached as a file", attached("Content-Type: application/octet-stream; name=x.eml\r\n"+cte+"base64", wrapped(76))},
	{"partial", attached("Content-Type: message/partial; number=1; total=2; id=x", func(b []byte) string { return string(b) })},
	{"digest", func(f, b string) string {
		return top + "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n" + top + f + "\r\n" + b + "\r\n--b--\r\n"
	}},
	{"external", func(f, b string) string {
		return top + "Content-Type: message/external-body; access-type=x-y\r\n\r\n" + f + "\r\n" + b
	}},
	{"bsmtp", func(f, b string) string {
		return "HELO x\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n" + top + f + "\r\n" + b
	}},
}

var htmlTypes = []string{"text/html", "TEXT/HTML", "text/html (x)", `"text/html"`, "application/octet-stream; name=x.html", "application/x; name=\"x.HTM\"", "application/xhtml+xml",
	"text/plain; name=x.html", "image/svg+xml", "application/octet-stream; name*=utf-8''x%2Ehtml", "application/octet-stream; name=\"=?utf-8?b?eC5odG1s?=\"",
	"application/octet-stream\r\nContent-Disposition: attachment; filename=x.shtml", "application/octet-stream\r\nContent-Disposition: attachment; filename*0=x.; filename*1=html", "text/xml"}

var textTypes = []string{"text/plain", "", "text/x-unknown", "text", "application/octet-stream; name=x.txt", "text/plain; name=x.html", "text/rfc822-headers", "message/delivery-status",
	"application/octet-stream; name=x.url", "text/plain; format=flowed", "text/enriched", "application/rtf"}

// forge makes one message of its ingredients.
func forge(i int, template, kind string, cs charsetCase, tr transfer, st structure) forged {
	host, addr := fmt.Sprintf("evil%d.com", i), netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
	want := host
	for _, room := range []string{"{dword}", "{octal}", "{hexip}", "{short}", "{mapped}", "{ip}"} {
		if strings.Contains(template, room) {
			want = addr.String()
		}
	}
	body := rooms(host, addr).Replace(template) + "\r\n"
	main, more, _ := strings.Cut(kind, "\r\n")
	fields := ""
	if main != "" || cs.label != "" {
		if main == "" {
			main = "text/plain"
		}
		fields = "Content-Type: " + main + cs.label + "\r\n"
	}
	if more != "" {
		fields += more + "\r\n"
	}
	return forged{
		name: strings.NewReplacer("\r", "", "\n", "⏎").Replace(fmt.Sprintf("%d %s | %s%s | %s | %s", i, st.name, kind, cs.label, tr.fields, template)),
		want: want, mail: []byte(st.mail(fields+tr.fields, tr.encode(cs.encode(body)))),
	}
}

// forgeries are every ingredient once, and as many again mixed by chance, which
// is the same at each run.
func forgeries() (list []forged) {
	add := func(template, kind string, cs charsetCase, tr transfer, st structure) {
		list = append(list, forge(len(list), template, kind, cs, tr, st))
	}
	plain, b64, whole := charsets[0], transfers[2], structures[0]
	for _, d := range documents {
		add(d, "text/html", plain, transfers[0], whole)
	}
	for _, d := range texts {
		add(d, "text/plain", plain, transfers[0], whole)
	}
	for i, d := range cards {
		add(d, []string{"text/calendar", "text/vcard", "application/octet-stream; name=x.ics"}[i%3], plain, transfers[0], whole)
	}
	add("http://{flow}/", "text/plain; format=flowed; delsp=yes", plain, transfers[0], whole)
	for _, pair := range [][2]string{{documents[0], "text/html"}, {texts[0], "text/plain"}} {
		for _, cs := range charsets {
			add(pair[0], pair[1], cs, b64, whole)
		}
		for _, tr := range transfers {
			if tr.fields == "" && pair[1] == "text/html" {
				continue
			}
			add(pair[0], pair[1], plain, tr, whole)
		}
		for _, st := range structures {
			add(pair[0], pair[1], plain, transfers[0], st)
			add(pair[0], pair[1], charsets[7], b64, st)
		}
	}
	for _, kind := range htmlTypes {
		add(`<html><a href="htt&#112;://{host}/">x</a>`, kind, charsets[1], b64, structures[12])
	}
	for _, kind := range textTypes {
		add(texts[0], kind, charsets[1], b64, structures[12])
	}
	r := rand.New(rand.NewPCG(1, 8))
	for len(list) < 1000 {
		template, kind := documents[r.IntN(len(documents))], "text/html"
		if r.IntN(3) == 0 {
			template, kind = texts[r.IntN(len(texts))], textTypes[r.IntN(4)]
		}
		cs, tr := charsets[r.IntN(len(charsets))], transfers[r.IntN(len(transfers))]
		if i := slices.IndexFunc([]byte(template), func(c byte) bool { return c >= 0x80 }); i >= 0 || wideRoom(template) {
			cs = charsets[r.IntN(3)]
		}
		if tr.fields == "" && kind == "text/html" {
			tr = transfers[0] // nobody decodes files within a document
		}
		if tr.fields == "" || strings.Contains(tr.fields, "8bit") {
			cs = plain
		}
		add(template, kind, cs, tr, structures[r.IntN(len(structures))])
	}
	return list
}

// wideRoom reports whether a template has a room that is not filled with ASCII.
func wideRoom(template string) bool {
	return slices.ContainsFunc([]string{"{wide}", "{dot}", "{soft}", "{zero}", "{bidi}"}, func(s string) bool { return strings.Contains(template, s) })
}

// sees reports whether a link to a host or an address was found.
func sees(links Links, want string) bool {
	return slices.ContainsFunc(links.URIs, func(u URI) bool {
		return u.Host == want || u.Addr.IsValid() && u.Addr.String() == want || u.Host == "www."+want || strings.HasSuffix(u.Host, "."+want)
	})
}

func TestForgeries(t *testing.T) {
	list := forgeries()
	if len(list) < 200 {
		t.Fatalf("only %d messages", len(list))
	}
	for _, f := range list {
		links, err := Extract(bytes.NewReader(f.mail))
		if err != nil {
			t.Fatal(err)
		}
		if !sees(links, f.want) {
			t.Errorf("%.200s", f.name)
		}
	}
}
