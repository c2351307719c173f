package address

import (
	"slices"
	"strings"
	"testing"
)

func TestList(t *testing.T) {
	ann := Mailbox{Local: "ann", Domain: "example.org"}
	named := func(name string) Mailbox { return Mailbox{Name: name, Local: "ann", Domain: "example.org"} }
	for _, tt := range []struct {
		in   string
		want []Mailbox
		err  error
	}{
		{" ann@example.org", []Mailbox{ann}, nil},
		{"ann@example.org ", []Mailbox{ann}, nil},
		{"<ann@example.org>", []Mailbox{ann}, nil},
		{"\r\n ann@example.org", []Mailbox{ann}, nil},
		{"Ann <ann@example.org>", []Mailbox{named("Ann")}, nil},
		{"Ann B. Clark <ann@example.org>", []Mailbox{named("Ann B. Clark")}, nil},
		{`"Clark, Ann" <ann@example.org>`, []Mailbox{named("Clark, Ann")}, nil},
		{`"\"Ann\"" <ann@example.org>`, []Mailbox{named(`"Ann"`)}, nil},
		{`"Bob <bob@example.net>" <ann@example.org>`, []Mailbox{named("Bob <bob@example.net>")}, nil},
		{`Bob (bob@example.net) <ann@example.org>`, []Mailbox{named("Bob bob@example.net")}, nil},
		{`"27\" screens" <ann@example.org>`, []Mailbox{named(`27" screens`)}, nil},
		{`"a\\" (b\)) <ann@example.org>`, []Mailbox{named(`a\ b)`)}, nil},
		{"Ann\r\n\t<ann@example.org>", []Mailbox{named("Ann")}, nil},
		{"ann@example.org (Ann)", []Mailbox{named("Ann")}, nil},
		{"(Ann) ann@example.org", nil, errSpecial},
		{"Ann (work) <ann@example.org>", []Mailbox{named("Ann work")}, nil},
		{"Ännchen <ann@example.org>", []Mailbox{named("Ännchen")}, nil},
		{"=?utf-8?q?=C3=84nn?= <ann@example.org>", []Mailbox{named("Änn")}, nil},
		{"=?utf-8?q?ceo=40bank?= =?utf-8?q?=2Eexample?= <ann@example.org>", []Mailbox{named("ceo@bank.example")}, nil},
		{`"=?utf-8?b?Y2VvQGJhbmsuZXhhbXBsZQ==?=" <ann@example.org>`, []Mailbox{named("ceo@bank.example")}, nil},
		{"=?windows-1252?q?ceo=40b=E4nk?= <ann@example.org>", []Mailbox{named("ceo@b?nk")}, nil},
		{"=?iso-2022-jp?b?GyRCOzNAQhsoQkBh?= <ann@example.org>", []Mailbox{named("????@a")}, nil},
		{"=?gbk?b?sKFA?= <ann@example.org>", []Mailbox{named("?@")}, nil},
		{"=?utf-7?q?ceo+AEA-bank.example?= <ann@example.org>", nil, errCharset},
		{"=?utf-16?b?AGMAQA==?= <ann@example.org>", nil, errCharset},
		{"=?broken?= <ann@example.org>", []Mailbox{named("=?broken?=")}, nil},
		{"ann@example.org, Bob <bob@example.net>", []Mailbox{ann, {Name: "Bob", Local: "bob", Domain: "example.net"}}, nil},
		{`"a b"@example.org`, []Mailbox{{Local: "a b", Domain: "example.org", Quoted: true}}, nil},
		{`"ann"@example.org`, []Mailbox{ann}, nil},
		{`"a, b"@example.org`, []Mailbox{{Local: "a, b", Domain: "example.org", Quoted: true}}, nil},
		{`""@example.org`, []Mailbox{{Domain: "example.org", Quoted: true}}, nil},
		{"ann@[192.0.2.1]", []Mailbox{{Local: "ann", Domain: "[192.0.2.1]"}}, nil},
		{"ann@[IPv6:2001:db8::1]", []Mailbox{{Local: "ann", Domain: "[IPv6:2001:db8::1]"}}, nil},
		{"ann@[,bob@bank.example,]", nil, errDomain},
		{"ann@[<bob>]", nil, errDomain},
		{"jörg@bücher.example", []Mailbox{{Local: "jörg", Domain: "bücher.example"}}, nil},

		{"", nil, errEmpty},
		{" ", nil, errEmpty},
		{"ann@example.org,", nil, errEmpty},
		{",ann@example.org", nil, errEmpty},
		{"ann@example.org,,bob@example.org", nil, errEmpty},
		{"Ann", nil, errNoAddress},
		{"(Ann)", nil, errNoAddress},
		{"Clark, Ann <ann@example.org>", nil, errNoAddress},
		{"friends: ann@example.org;", nil, errSpecial},
		{"undisclosed-recipients:;", nil, errSpecial},
		{"<@relay.example:ann@example.org>", nil, errSpec},
		{"<>", nil, errSpec},
		{"<ann>", nil, errSpec},
		{"<ann@example.org", nil, errSpec},
		{"<ann@example.org>>", nil, errTrailing},
		{"<<ann@example.org>>", nil, errSpec},
		{"<bob@example.net> <ann@example.org>", nil, errTrailing},
		{"bob@example.net <ann@example.org>", nil, errTrailing},
		{"bob @example.net <ann@example.org>", nil, errSpecial},
		{"Bob bob@example.net", nil, errSpecial},
		{"ann@example.org bob@example.net", nil, errTrailing},
		{"ann@example.org;bob@example.net", nil, errTrailing},
		{"ann@example.org@example.net", nil, errTrailing},
		{"ann @example.org", nil, errSpecial},
		{"ann@ example.org", nil, errDomain},
		{"ann(x)@example.org", nil, errSpecial},
		{"ann@(x)example.org", nil, errDomain},
		{"< ann@example.org>", nil, errSpec},
		{"<ann@example.org >", nil, errSpec},
		{".ann@example.org", nil, errLocal},
		{"ann..b@example.org", nil, errLocal},
		{"ann.@example.org", nil, errLocal},
		{`"a"."b"@example.org`, nil, errSpecial},
		{`"bob@example.net"@example.org`, nil, errLocal},
		{`"<bob>"@example.org`, nil, errLocal},
		{`"a\"b"@example.org`, nil, errLocal},
		{`"a\\b"@example.org`, nil, errLocal},
		{`<"bob@example.net"@example.org>`, nil, errLocal},
		{`"Bob" "<bob@example.net>" <ann@example.org>`, nil, errHidden},
		{`Bob "<bob@example.net>" <ann@example.org>`, nil, errHidden},
		{`"bob@example.net" "Bob" <ann@example.org>`, nil, errHidden},
		{`Bob <ann@example.org> (<bob@example.net>)`, nil, errHidden},
		{"\u202egro.elpmaxe@example.net", nil, errOrder},
		{"<a\u2066b@example.net>", nil, errOrder},
		{`"a\" <bob@example.net>, \"" <ann@example.org>`, nil, errEscape},
		{`"a\" bob@example.net \"" <ann@example.org>`, nil, errEscape},
		{`(a\) <bob@example.net> \() <ann@example.org>`, nil, errEscape},
		{`Ann (a\) bob@example.net) <ann@example.org>`, nil, errEscape},
		{"ann@example..org", nil, errDomain},
		{"ann@example.org.", nil, errDomain},
		{"ann@", nil, errDomain},
		{"@example.org", nil, errSpecial},
		{"ann@[192.0.2.1", nil, errDomain},
		{`"Ann <ann@example.org>`, nil, errUnclosed},
		{`"Ann\`, nil, errUnclosed},
		{"ann@example.org (Ann", nil, errUnclosed},
		{"ann@example.org (a (b))", nil, errNested},
		{"ann@example.org\r\nX: y", nil, errOctets},
		{"ann@example.org\n bob@example.net", nil, errOctets},
		{"ann\x00@example.org", nil, errOctets},
		{"Ann\u0085 <ann@example.org>", nil, errOctets},
		{"\xc4nn <ann@example.org>", nil, errOctets},
		{strings.Repeat("a", MaxOctets) + "@example.org", nil, errLong},
		{strings.Repeat("a@b.example,", MaxMailboxes) + "a@b.example", nil, errMany},
	} {
		got, err := List(tt.in)
		if err != tt.err || !slices.Equal(got, tt.want) {
			t.Errorf("List(%.80q) = %+v, %v; want %+v, %v", tt.in, got, err, tt.want, tt.err)
		}
	}
}

func FuzzList(f *testing.F) {
	for _, s := range []string{
		`"Clark, Ann" <ann@example.org>, bob@example.net (Bob)`, "=?utf-8?q?a=40b?= <a@b.example>", "a: b@c.example;",
		`"a b"@[192.0.2.1]`, "=?iso-2022-jp?b?GyRCOzNAQhsoQkBh?= <a@b.example>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := List(s)
		if err != nil {
			return
		}
		if len(list) == 0 {
			t.Errorf("%q: neither a mailbox nor an error", s)
		}
		for _, m := range list {
			if m.Quoted == dotAtom(m.Local) || m.Domain == "" || strings.ContainsAny(m.Domain, " @<>,") {
				t.Errorf("%q has the mailbox %+v", s, m)
			}
			// What was read is written down plainly, and read the same.
			if m.Domain[0] == '[' || m.Quoted {
				continue
			}
			again, err := List("<" + m.Local + "@" + m.Domain + ">")
			if err != nil || len(again) != 1 || again[0].Local != m.Local || again[0].Domain != m.Domain {
				t.Errorf("%+v is read as %+v, %v", m, again, err)
			}
		}
	})
}
