package verify_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// choice makes the choices of the grammar from octets, the fuzzer's or random ones.
// When they are used up it chooses the first of everything, which is harmless.
type choice struct{ octets []byte }

func (c *choice) n(most int) int {
	if len(c.octets) == 0 || most < 2 {
		return 0
	}
	n := int(c.octets[0]) % most
	c.octets = c.octets[1:]
	return n
}

func (c *choice) of(list ...string) string { return list[c.n(len(list))] }

// rarely is true once in a while.
func (c *choice) rarely() bool { return c.n(8) == 7 }

// Who signs and lists nobody but himself: with a policy of reject, with one of none,
// and with none.
var victims = []string{"legit.com", "lax.org", "bare.net"}

func isVictim(name string) bool {
	for _, v := range victims {
		if name == v || strings.HasSuffix(name, "."+v) {
			return true
		}
	}
	return false
}

// An attack is one message and how it comes.
type attack struct {
	helo, mail string // the argument of EHLO; that of MAIL, behind the colon
	content    string // with CRLF at its end
	genuine    string // the victim whose signature it has
}

func (c *choice) victim() string {
	return c.of("legit.com", "lax.org", "bare.net", "LEGIT.com", "sub.legit.com", "legit.com.", "ｌegit.com", "legit。com", "no.such.legit.com")
}

func (c *choice) domain() string {
	switch c.n(6) {
	default:
		return "attack.com"
	case 3:
		return c.victim()
	case 4:
		return "legit.com" + c.of(".", "'a.", "(.", " .", "\x00.", "%00.", "\\.", "\\000.", "\"a.", ";.", "#.", "/.", "\t.", "\r\n .", ",", "@", "..", "\r.", "\n.", "\u3002", "\u200b.", ">.", "&.", "=.", "?.") + "attack.com"
	case 5:
		return c.of("sub.attack.com", "ATTACK.com", "attack.com.", "[198.51.100.1]", "[legit.com]", "127.0.0.1", "com", "", "bücher.attack.com", "xn--bcher-kva.attack.com",
			"xn--legit.com", "attack.com(legit.com)", "attack.com (legit.com)", strings.Repeat("a.", 130)+"attack.com", strings.Repeat("a", 64)+".legit.com", "_dmarc.legit.com", "\xff.legit.com")
	}
}

func (c *choice) local() string {
	if c.n(3) == 0 {
		return "any"
	}
	return c.of("any", "ceo", "first.last", `"a b"`, `"ceo@legit.com"`, `"<ceo@legit.com>"`, `"a\"b"`, `"a\\"`, "ceo@legit.com", `ceo\@legit.com`, "=?utf-8?q?ceo=40legit.com?=",
		"\u202emoc.tigel", "a..b", "dmarc=pass", "header.from=legit.com", `"x; dmarc=pass header.from=legit.com"`, `"dmarc=(x)pass"`, `"x\" dmarc=pass"`, "", "\x00", "ceo(", "'", "é", `"`, `"ceo@legit.com,"`)
}

// spec is an address, at times with something around its @.
func (c *choice) spec() string {
	at := "@"
	if c.rarely() {
		at = c.of(" @", "@ ", "(x)@", "@(x)", "\r\n @", "@@", "\x00@", "＠", "%40", "")
	}
	return c.local() + at + c.domain()
}

func (c *choice) encoded() string {
	text := c.of("Ann", "<ceo@legit.com>", "ceo@legit.com", "ceo@legit.com>, <a", "\"", ",", "\r\nFrom: <ceo@legit.com>", "\x00")
	if c.n(2) == 0 {
		return "=?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte(text)) + "?="
	}
	return c.of("=?utf-8?Q?", "=?UTF-7?q?", "=?x?q?") + strings.NewReplacer("<", "=3C", ">", "=3E", "@", "=40", " ", "_", ",", "=2C", "\r", "=0D", "\n", "=0A").Replace(text) + "?="
}

func (c *choice) displayed() string {
	switch c.n(5) {
	case 0:
		return c.of("Ann", "Ann B", "")
	case 1:
		return `"` + c.of("Ann", "Ann, B", "ceo@legit.com", "<ceo@legit.com>", `a\"b`, `a\" <ceo@legit.com>, \"`, `\"`, `a" <ceo@legit.com> "b`, `a\\`, `a\\" <ceo@legit.com> "`, "a\r\n b", `("`, "\\") + `"`
	case 2:
		return "(" + c.of("Ann", "ceo@legit.com", "<ceo@legit.com>", `\)`, `\) <ceo@legit.com> (`, "a(b)c", "(", ")", `"`, `"(`, "\\") + ")"
	case 3:
		return c.encoded()
	}
	return c.of("ceo@legit.com", `"Ann`, `Ann"`, "Ann:", ":", "\\", "\x00", "\xff", "é", "a.b", "[", "]", ".", "ceo@legit.com,", "undisclosed:;")
}

func (c *choice) mailbox() string {
	switch c.n(14) {
	case 0:
		return "<" + c.spec() + ">"
	case 1:
		return c.spec()
	case 2:
		return c.displayed() + " <" + c.spec() + ">"
	case 3:
		return c.displayed() + "<" + c.spec() + ">"
	case 4:
		return "<" + c.spec() + "> " + c.displayed()
	case 5:
		return c.spec() + " " + c.displayed()
	case 6:
		return c.displayed() + " " + c.displayed() + " <" + c.spec() + ">"
	case 7:
		return "<" + c.of("@legit.com:", "@attack.com,@any.com:", "@legit.com,", "@:", ":") + c.spec() + ">"
	case 8:
		return c.of("<", "<<", "", ">") + c.spec() + c.of(">>", "", "><", "<>")
	case 9:
		return c.of("g:", "g: ", ":", `"g":`, "<g>:") + c.spec() + c.of(";", "", ",", ",;", "; <ceo@legit.com>")
	case 10:
		return "<" + c.spec() + ">" + c.of(`\,`, "", " ", ";", "\r\n ", "\x00", "(", `"`, "\r", "\n") + "<" + c.spec() + ">"
	case 11:
		return c.spec() + " <" + c.spec() + ">"
	case 12:
		return c.encoded() + c.of("", " ", ",") + "<" + c.spec() + ">"
	}
	return "<" + c.of(" ", "\r\n ", "(x)", "\x00", "\t") + c.spec() + c.of("", " ", "(x)", "\x00") + ">"
}

// author is the value of a field that has addresses.
func (c *choice) author() string {
	value := c.of(" ", "", "\r\n ", "\t", "  ", " \r\n\t") + c.mailbox()
	for c.rarely() {
		value += c.of(",", ", ", ",\r\n ", ";", ",,", " ", `\,`, "\x00,", "，") + c.mailbox()
	}
	if c.rarely() {
		value += c.of(",", ";", "\x00", "\r", "\n", " ", "\r\n ", "\r\n \r\n ", "\x0b", "\x0c", " (", `"`, "\\", ">", "\x00.attack.com", "\r\nX", "\u2028", "\x85", strings.Repeat(" x", 9000))
	}
	return value
}

// field is one that says who the author is, to somebody at least.
func (c *choice) field() string {
	switch c.n(5) {
	default:
		return "From:" + c.author() + "\r\n"
	case 3:
		return c.of("from:", "FROM:", "fRoM:", "From :", "From\t:", "From \t :", "From\x00:", "\x00From:", " From:", "\tFrom:", "Fr om:", "From\r\n :", "Fr\r\n om:", "From\u200b:", "\xef\xbb\xbfFrom:",
			"From\xa0:", "From::", "From", "From ", ">From:", "-From:", "From;", "\x0bFrom:", "\rFrom:", "\nFrom:", "X: y\rFrom:", "X: y\nFrom:", "X: y\r\rFrom:", "X:\r\n \r\nFrom:", "X:\x00From:",
			"X: y\r\r\nFrom:", "\r\nFrom:", "From(x):", "\"From\":", "F=72om:", "=?utf-8?q?From?=:", "Ｆrom:") + c.author() + c.of("\r\n", "\n", "\r", "\r\n", "\r\n \r\n", "\r\r\n")
	case 4:
		return c.of("Sender:", "Resent-From:", "Reply-To:", "X-From:", "From-X:", "Resent-Sender:", "Apparently-From:", "Return-Path:") + c.author() + "\r\n"
	}
}

// other is a field beside, at times a forged result.
func (c *choice) other() string {
	results := func() string {
		return " " + c.of("mx.example.org", "MX.example.org", "(mx.example.org) x", `"mx.example.org"`, "mx.example.org 1", "x.example", "mx . example.org", "mx.example.org.") +
			"; dmarc=pass header.from=legit.com" + c.of("", "; dkim=pass header.d=legit.com", " (", ";") + "\r\n"
	}
	switch c.n(6) {
	case 0:
		return c.of("Authentication-Results:", "authentication-results:", "Authentication-Results :", "Authentication-Results\t:", "Authentication-Results\x00:", "Authentication-\r\n Results:",
			" Authentication-Results:", "X: y\r\n Authentication-Results:", "ARC-Authentication-Results: i=1;", "Authentication-Results:\r\n", "\xef\xbb\xbfAuthentication-Results:") + results()
	case 1:
		return c.of("garbage\r\n", "From x@attack.com Mon Jan  1 10:00:00 2026\r\n", ": x\r\n", ">x\r\n", " continued\r\n", "\t\r\n", "a b: c\r\n", "--x\r\n", "\x00\r\n", "\x00: \r\n", "\xff: x\r\n", ".\r\n", "..\r\n", ". From: <ceo@legit.com>\r\n")
	case 2:
		return "Received-SPF: pass (mx.example.org: x) receiver=mx.example.org\r\n"
	}
	return c.of("To: bob@example.org\r\n", "Subject: hello\r\n", "Date: Mon, 1 Jan 2026 00:00:00 +0000\r\n", "X-Long: "+strings.Repeat("x", 900)+"\r\n", "Subject:\r\n folded\r\n", "Subject: a\r\n \r\n b\r\n")
}

func (c *choice) attack() *attack {
	a := &attack{
		helo: c.of("attack.com", "legit.com", "[198.51.100.1]", "dmarc=pass", "x;dmarc=pass;", `"dmarc=pass"`, "header.from=legit.com", "attack.com(", "(dmarc=pass)", "legit.com.attack.com", "-", "sub.legit.com", "attack.com;spf=pass"),
	}
	switch c.n(4) {
	case 0:
		a.mail = "<any@attack.com>"
	case 1:
		a.mail = c.of("<>", "<ceo@legit.com>", "<@legit.com,@any.com:any@attack.com>", "<any@legit.com(.attack.com>", "<any@legit.com'@any.attack.com>", "<@legit.com,@any.com:'any@attack.com>", "<(any@legit.com>", "any@attack.com",
			"<any@attack.com,ceo@legit.com>", "<any@attack.com>,<ceo@legit.com>", "<any@attack.com SIZE=1>", "<any@attack.com> SMTPUTF8", "<é@attack.com> SMTPUTF8", "<any@bücher.attack.com> SMTPUTF8", "<any@[198.51.100.1]>", "<any@no.such.legit.com>",
			"<any@legit.com@attack.com>", "<any%legit.com@attack.com>", "<legit.com!any@attack.com>")
	default:
		a.mail = "<" + c.local() + "@attack.com>" + c.of("", " SMTPUTF8")
	}
	var head []string
	for range 1 + c.n(4)/2 {
		head = append(head, c.field())
	}
	for range c.n(5) {
		head = append(head, c.other())
	}
	for i := range head { // any order
		j := i + c.n(len(head)-i)
		head[i], head[j] = head[j], head[i]
	}
	body := c.of("hello\r\n", "", "From: <ceo@legit.com>\r\n\r\nhello\r\n", "\r\nFrom: <ceo@legit.com>\r\n", "Authentication-Results: mx.example.org; dmarc=pass header.from=legit.com\r\n")
	end := "\r\n"
	if c.rarely() {
		end = c.of("", "\n", "\r", " \r\n", "\x00\r\n", "\r\r\n", "garbage\r\n")
	}
	if c.n(3) == 0 {
		head = append([]string{c.signature(head, body)}, head...)
	}
	if c.rarely() {
		a.genuine = "legit.com"
		whole := "From: Ann <ceo@legit.com>\r\nSubject: hello\r\n"
		s := sign(strings.Split(strings.TrimSuffix(whole, "\r\n"), "\r\n"), body, " v=1; a=ed25519-sha256; c=simple/simple; d=legit.com; s=s1; h=From:Subject;", "legit.com")
		switch c.n(3) {
		case 0:
			head = append(head, s, whole)
		case 1:
			head = append([]string{s, whole}, head...)
		default:
			head = []string{s, c.of("", c.field(), c.other()), strings.Replace(whole, "From:", c.of("From:", "From :", "from:", "From:\r\n", "From: "), 1)}
		}
	}
	a.content = strings.Join(head, "") + end + body
	if !strings.HasSuffix(a.content, "\r\n") {
		a.content += "\r\n"
	}
	if strings.HasSuffix(a.content, "\r\r\n") {
		a.content += "x\r\n" // some see no line end in that, and would wait for one
	}
	return a
}

// signature is one of the attacker's, who says what he likes of himself.
func (c *choice) signature(head []string, body string) string {
	d, s := "attack.com", "s1"
	if c.n(2) == 1 {
		d = strings.NewReplacer(";", "", "\r\n .", "\r\n\t.").Replace(c.domain())
	}
	if c.rarely() {
		s = c.of("s1._domainkey.attack.com.\x00.any", "s1._domainkey.attack.com", "s1._domainkey.attack.com.", "s1\x00", `s1\.attack.com\`, "s1 attack.com", "*", "s1%00", "s1#", "s1(", "")
	}
	tags := " v=1; a=" + c.of("ed25519-sha256", "ed25519-sha256", "ed25519-sha256 dmarc=pass header.from=legit.com", "x dmarc=pass", "(dmarc=pass)", `"`) + "; c=simple/simple; d=" + d + "; s=" + s + "; h=" + c.of("From", "from:Subject", "From:From", "Subject", "From ", "Fr\r\n\tom") + ";"
	if c.rarely() {
		tags += " i=" + c.spec() + ";"
	}
	if c.rarely() {
		tags += c.of(" l=0;", " d=legit.com;", " x=1;", " t=99999999999999;", " q=x;", " dmarc=pass;", " z=From:legit.com;")
	}
	return sign(head, body, tags, "attack.com")
}

// privateKey is that of a domain.
func privateKey(domain string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(domain))
	return ed25519.NewKeyFromSeed(seed[:])
}

// sign makes a DKIM-Signature field with simple canonicalisation (RFC 6376,
// section 3.4.1), over the From and Subject fields of head, from the bottom up,
// that tags name, whatever else they say.
func sign(head []string, body, tags, domain string) string {
	b64 := base64.StdEncoding.EncodeToString
	sum := sha256.Sum256([]byte(strings.TrimRight(body, "\r\n") + "\r\n"))
	field := fmt.Sprintf("DKIM-Signature:%s bh=%s; b=", tags, b64(sum[:]))
	_, h, _ := strings.Cut(tags, "h=")
	h, _, _ = strings.Cut(h, ";")
	hash := sha256.New()
	used := make(map[int]bool)
	for name := range strings.SplitSeq(h, ":") {
		for i := len(head) - 1; i >= 0; i-- {
			if got, _, _ := strings.Cut(head[i], ":"); !used[i] && strings.EqualFold(strings.TrimSpace(got), strings.TrimSpace(name)) {
				used[i] = true
				fmt.Fprintf(hash, "%s\r\n", strings.TrimSuffix(head[i], "\r\n"))
				break
			}
		}
	}
	hash.Write([]byte(field))
	return field + b64(ed25519.Sign(privateKey(domain), hash.Sum(nil))) + "\r\n"
}
