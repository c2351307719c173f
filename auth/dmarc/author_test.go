package dmarc

import (
	"errors"
	"net/mail"
	"regexp"
	"strings"
	"testing"
)

func TestAuthorDomain(t *testing.T) {
	const other = "To: bob@example.net\r\n"
	for _, tt := range []struct {
		header string
		domain string
		defect Defect
	}{
		{"From: ann@example.com\r\n", "example.com", ""},
		{"From:ann@example.com", "example.com", ""},
		{other + "fROM: Ann <ann@Example.COM>\r\n" + other, "example.com", ""},
		{other + "From:\r\n Ann\r\n\t<ann@example.com>\r\n" + other, "example.com", ""},
		{"To: bob@example.net\nFrom: Ann\n <ann@example.com>\n", "example.com", ""},
		{"From: =?utf-8?q?Ann_=3Cceo=40bank=2Eexample=3E?= <ann@example.com>\r\n", "example.com", ""},
		{`From: "ceo@bank.example" <ann@example.com>` + "\r\n", "example.com", ""}, // its display name is not DMARC's: RFC 9989, section 11.4
		{"From: ann@example.com (Ann)\r\n", "example.com", ""},
		{"From: ann@bücher.example\r\n", "xn--bcher-kva.example", ""},
		{"From: ann@xn--bcher-kva.example\r\n", "xn--bcher-kva.example", ""},
		{"Sender: x@example.net\r\nFrom: ann@example.com\r\nResent-From: y@example.org\r\nX-From: z@example.org\r\nFrom-X: z@example.org\r\n", "example.com", ""},
		{"From: ann@example.com\r\n\r\nFrom: bob@example.net\r\n", "example.com", ""}, // of the body
		{"Subject: a\r\n From: bob@example.net\r\nFrom: ann@example.com\r\n", "example.com", ""},

		{"", "", NoFrom},
		{"\r\nFrom: ann@example.com\r\n", "", NoFrom},
		{other, "", NoFrom},
		{"Resent-From: ann@example.com\r\nReply-To: ann@example.com\r\n", "", NoFrom},

		{"From: ann@example.com\r\nFrom: ann@example.com\r\n", "", SeveralFrom},
		{"From: ann@example.com\r\n" + other + "FROM: bob@example.net\r\n", "", SeveralFrom},
		{"From: ann@example.com\r\n \r\nfrom: bob@example.net\r\n", "", SeveralFrom},

		{"From : ann@example.com\r\n", "", HiddenFrom},
		{"From\t: ann@example.com\r\n", "", HiddenFrom},
		{"From\r\n : ann@example.com\r\n", "", HiddenFrom},
		{"Fr\r\n om: ann@example.com\r\n", "", HiddenFrom},
		{" From: ann@example.com\r\n", "", HiddenFrom},
		{"\tFrom: ann@example.com\r\n" + other, "", HiddenFrom},
		{"\x00From: ann@example.com\r\n", "", HiddenFrom},
		{"From\x00: ann@example.com\r\n", "", HiddenFrom},
		{"Fr\x00om: ann@example.com\r\n", "", HiddenFrom},
		{"From\x0b: ann@example.com\r\n", "", HiddenFrom},
		{"From\u200b: ann@example.com\r\n", "", HiddenFrom},
		{"\ufeffFrom: ann@example.com\r\n", "", HiddenFrom},
		{"From\r\n", "", HiddenFrom},
		{other + "From", "", HiddenFrom},
		{"Subject: a\rFrom: bob@example.net\r\n", "", HiddenFrom},
		{"Subject: a\r\rFrom : bob@example.net\r\nFrom: ann@example.com\r\n", "", HiddenFrom},
		{"From: ann@example.com\r\nFrom : bob@example.net\r\n", "", HiddenFrom},

		{"From:\r\n", "", MalformedFrom},
		{"From: ann\r\n", "", MalformedFrom},
		{"From: <>\r\n", "", MalformedFrom},
		{"From: Ann <ann@example.com\r\n", "", MalformedFrom},
		{"From: Ann ann@example.com>\r\n", "", MalformedFrom},
		{"From: ann@example.com <bob@example.net>\r\n", "", MalformedFrom},
		{"From: <bob@example.net> ann@example.com\r\n", "", MalformedFrom},
		{"From: <@example.net:ann@example.com>\r\n", "", MalformedFrom},
		{"From: <@a.example,@b.example:ann@example.com>\r\n", "", MalformedFrom},
		{"From: friends: ann@example.com;\r\n", "", MalformedFrom},
		{"From: undisclosed:;\r\n", "", MalformedFrom},
		{"From: ann@example.com, undisclosed:;\r\n", "", MalformedFrom},
		{"From: <ann@example.com>\\,<bob@example.net>\r\n", "", MalformedFrom},
		{"From: =?utf-8?b?PGFubkBleGFtcGxlLmNvbT4=?=\r\n", "", MalformedFrom},
		{"From: =?utf-8?b?PGFubkBleGFtcGxlLmNvbT4=?=, <bob@example.net>\r\n", "", MalformedFrom},
		{"From: ann@example.com\x00.attack.com\r\n", "", MalformedFrom},
		{"From: ann@example.com(a.attack.com)\x00\r\n", "", MalformedFrom},
		{`From: "ann@example.com"" <bob@example.net>` + "\r\n", "", MalformedFrom},
		{`From: "a\"@example.com <bob@example.net>` + "\r\n", "", MalformedFrom},
		{"From: ann@example.com (a (b) c)\r\n", "", MalformedFrom},
		{`From: "a@bank.example"@example.com` + "\r\n", "", MalformedFrom},
		{`From: "a\" <ceo@bank.example>, \"" <ann@example.com>` + "\r\n", "", MalformedFrom},
		{"From: \u202eelpmaxe.knab@example.com\r\n", "", MalformedFrom},
		{"From: ann@example.com.\r\n", "", MalformedFrom},
		{"From: ann@example.com\rX: y\r\n", "", MalformedFrom},
		{"From: ann@example.com\n Ann\r\n", "", MalformedFrom}, // a bare LF among CRLF
		{"From: \xe4nn <ann@example.com>\r\n", "", MalformedFrom},

		{"From: ann@example.com, bob@example.net\r\n", "", SeveralAuthors},
		{"From: ann@example.com, bob@example.com\r\n", "", SeveralAuthors},
		{"From: Ann <ann@example.com>,\r\n Bob <bob@example.net>\r\n", "", SeveralAuthors},

		{"From: ann@[192.0.2.1]\r\n", "", NoDomain},
		{"From: ann@127.0.0.1\r\n", "", NoDomain},
		{"From: ann@example.com'a.attack.com\r\n", "", NoDomain},
		{"From: ann@" + strings.Repeat("a", 64) + ".com\r\n", "", NoDomain},
	} {
		got, err := AuthorDomain([]byte(tt.header), 1)
		defect, _ := errors.AsType[Defect](err)
		if got != tt.domain || defect != tt.defect || (err == nil) != (tt.defect == "") {
			t.Errorf("%q: %q, %v; want %q, %q", tt.header, got, err, tt.domain, tt.defect)
		}
	}
}

func TestSeveralAuthors(t *testing.T) {
	for _, tt := range []struct {
		from      string
		mailboxes int
		want      string
	}{
		{"ann@example.com, bob@example.com", 0, ""},
		{"ann@example.com, bob@example.com", 2, "example.com"},
		{"ann@example.com, bob@EXAMPLE.com, eve@example.com", 2, ""},
		{"ann@example.com, bob@example.net", 2, ""},
		{"ann@example.com, bob@a.example.com", 2, ""},
	} {
		if got, _ := AuthorDomain([]byte("From: "+tt.from+"\r\n"), tt.mailboxes); got != tt.want {
			t.Errorf("%d of %s: %q, want %q", tt.mailboxes, tt.from, got, tt.want)
		}
	}
}

// TestMalformed says what is made of a message without a clear author.
func TestMalformed(t *testing.T) {
	m := message("example.com", "example.com", "example.com")
	m.Header = append([]byte("From: eve@attack.com\r\n"), m.Header...)
	for malformed, want := range map[Policy]Policy{"": Reject, Quarantine: Quarantine, NoPolicy: NoPolicy} {
		z := exampleCom.fresh()
		got := checker(t, z, Config{Malformed: malformed}).Check(t.Context(), m)
		if got.Result != PermError || got.Defect != SeveralFrom || got.Disposition != want || len(z.queries()) > 0 {
			t.Errorf("Malformed %q: %+v", malformed, got)
		}
	}
}

// TestNeighbours puts an odd From field beside a plain one, in both orders.
func TestNeighbours(t *testing.T) {
	odd := []string{
		"From: %", "from: %", "FROM:%", "From : %", "From\t: %", "From  \t : %", "From\x00: %", "\x00From: %", "F\x01rom: %",
		"From\r\n : %", "From\r\n\t: %", "From\xa0: %", "\xef\xbb\xbfFrom: %", "X: y\rFrom: %", "X: y\rfrom : %", "From",
	}
	for _, o := range odd {
		o = strings.ReplaceAll(o, "%", "<eve@attack.com>") + "\r\n"
		const plain = "From: <ann@example.com>\r\n"
		for _, header := range []string{o + plain, plain + o, "To: x\r\n" + o + "Date: y\r\n" + plain, plain + "Sender: x@attack.com\r\n" + o} {
			if got, err := AuthorDomain([]byte(header), 9); err == nil {
				t.Errorf("%q: %s", header, got)
			}
		}
	}
}

var anyFrom = regexp.MustCompile(`(?i)(^|[\r\n])[^!-~\r\n\t ]*f[^!-~\r\n]*r[^!-~\r\n]*o[^!-~\r\n]*m[^!-~\r\n]*:`)

func FuzzAuthorDomain(f *testing.F) {
	for _, s := range []string{
		"From: Ann <ann@example.com>\r\n", "From: a@b.example, \"c\" <d@e.example>\r\nFrom : x\r\n", "X: y\rFrom: <a@b.example>\r\n",
		" From: a@b.example\r\nFrom\r\n : <c@d.example>\r\n", "To: x\nFrom: a@b.example\n\nFrom: y", "From: =?utf-8?q?a=40b?= <a@b.example>\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		got, err := AuthorDomain(header, 1)
		if (got == "") == (err == nil) {
			t.Fatalf("%q: %q, %v", header, got, err)
		}
		if err != nil {
			if _, ok := errors.AsType[Defect](err); !ok {
				t.Fatalf("%q: %v is no Defect", header, err)
			}
			return
		}
		// Every reader finds one From field in what has one author domain, and the
		// standard library, where it can read that, the same domain.
		section := string(header)
		if i := regexp.MustCompile(`(^|\n)\r?\n`).FindStringIndex(section); i != nil {
			section = section[:i[0]+1]
		}
		if n := len(anyFrom.FindAllString(section, -1)); n != 1 {
			t.Fatalf("%q: %d From fields", header, n)
		}
		value := section[strings.IndexByte(section[anyFrom.FindStringIndex(section)[0]:], ':')+anyFrom.FindStringIndex(section)[0]+1:]
		if i := regexp.MustCompile(`\n[^ \t]`).FindStringIndex(value); i != nil {
			value = value[:i[0]]
		}
		if a, err := mail.ParseAddress(strings.Join(strings.Fields(value), " ")); err == nil {
			if name, err := normal(a.Address[strings.LastIndexByte(a.Address, '@')+1:]); err == nil && name != got {
				t.Fatalf("%q: %s, and %s to others", header, got, name)
			}
		}
	})
}
