package surbl

import (
	"encoding/json"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/internal/require"
)

// written are the URIs of text as they stand, in order, those inside others
// left out.
func written(in string) (got []string) {
	c := newCollector(standard())
	c.text([]byte(in))
	for _, u := range c.found.URIs {
		if u.Via == "" {
			got = append(got, u.Text)
		}
	}
	return got
}

// differences are inputs of a suite for which we find something else, with why.
type differences map[string]string

// compare fails for a difference without a reason, and for a reason without a
// difference.
func (d differences) compare(t *testing.T, in string, got, want []string) {
	t.Helper()
	if same := slices.Equal(got, want); same == (d[in] != "") {
		if same {
			t.Errorf("%q: no difference any more: %s", in, d[in])
		} else {
			t.Errorf("%q:\n got  %q\n want %q", in, got, want)
		}
	}
}

func TestXurls(t *testing.T) {
	b, err := os.ReadFile(require.Suite(t, "url", "xurls", "xurls.json"))
	if err != nil {
		t.Fatal(err)
	}
	var tables map[string][][2]any
	if err := json.Unmarshal(b, &tables); err != nil {
		t.Fatal(err)
	}
	const (
		noHost  = "names no host that a list could have"
		noTLD   = "is no public suffix: nobody reaches it by a link in mail"
		mailbox = "the address in it is what is looked up"
	)
	argued := differences{
		"mailto:foo": noHost, "MAILTO:foo": noHost, "sms:123": noHost, "xmpp:foo@bar": noHost,
		"bitcoin:Addr23?amount=1&message=foo": noHost, "cid:foo-32x32.v2_fe0f1423.png": noHost,
		"mid:960830.1639@XIson.com":                                    mailbox,
		"matrix:r/somewhere:example.org":                               "the host in it is what is looked up",
		"matrix:roomid/somewhere:example.org/e/event?via=elsewhere.ca": "the host in it is what is looked up",
		"http://1080::8:800:200c:417a/path":                            "an IPv6 address stands in brackets (RFC 3986, section 3.2.2); browsers refuse this one",
		"foo.com-foo":                                                  "is not below com, and twitter-text wants it not found",
		"foo.example":                                                  noTLD, "foo.i2p": noTLD, "foo.local": noTLD,
		"foo@1.2.3.4": "neither an address of the Internet's mail nor a link",
	}
	cases := 0
	for _, name := range []string{"constantTestCases", "Relaxed2"} {
		for _, c := range tables[name] {
			in, _ := c[0].(string)
			var want []string
			switch w := c[1].(type) {
			case bool:
				want = []string{in}
			case string:
				want = []string{w}
			}
			got := written(in)
			if cases++; len(got) > 1 {
				got = got[:1] // the suite has the first
			}
			if colons := strings.Count(in, ":"); colons >= 2 && len(want) == 1 {
				// No mail client links to an IPv6 address without a scheme.
				if _, err := netip.ParseAddr(want[0]); err == nil {
					continue
				}
			}
			argued.compare(t, in, got, want)
		}
	}
	if cases < 250 {
		t.Errorf("only %d cases", cases)
	}
}

func TestLinkify(t *testing.T) {
	b, err := os.ReadFile(require.Suite(t, "url", "linkify-it", "linkify.json"))
	if err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Links    []struct{ Text, Link string } `json:"links"`
		NotLinks []string                      `json:"not_links"`
	}
	if err := json.Unmarshal(b, &suite); err != nil {
		t.Fatal(err)
	}
	const (
		address = "the address is what is looked up, mailto: or not"
		found   = "nobody's client links it, and still a reader is told a host that a list may have"
		quotes  = "quotes are not part of a URI (RFC 3986, appendix C); the host is the same"
		noHost  = "without a public suffix there is nothing to look up"
	)
	argued := differences{
		"//localhost": noHost, "//test.123": noHost, "mailto:foo@bar": noHost,
		"My ssl //example.com site":               "the host is found, without its slashes",
		`http://foo.com/blah_blah_"doublequoted"`: quotes, "http://foo.com/blah_blah_'singlequoted'": quotes,
		`test."foo".bar@gmail.co.uk!`: "of a local part in quotes what is behind them is taken",
		"<mailto:user@domain.com>":    address, "mailto:name@example.com": address, "MAILTO:NAME@EXAMPLE.COM": address, "mailto:foo_bar@example.com": address,
		"http://.example.com": found, "hppt://example.com": found, "///test.com": found, "_http://example.com": found,
		"google.com:500000 // invalid port": found, "path:to:file.pm": found,
		"http://example.com_": "browsers ask DNS for such a name",
	}
	for _, c := range suite.Links {
		got := written(c.Text)
		if len(got) > 1 {
			got = got[:1]
		}
		argued.compare(t, c.Text, got, []string{c.Link})
	}
	for _, in := range suite.NotLinks {
		argued.compare(t, in, written(in), nil)
	}
}

func TestTwitterText(t *testing.T) {
	const (
		once       = "what is there twice is one URI"
		goesOn     = "where text goes on without a space, the path may too (xurls and linkify-it have it so); every host is found"
		underscore = "browsers ask DNS for names with underscores"
		scheme     = "a scheme makes any name a host, as xurls and linkify-it have it"
		lists      = "a reader is told the host, whatever is before it"
		addresses  = "mail addresses are looked up, too"
		short      = "the rules of t.co for its own paths; the host is the same"
	)
	argued := differences{
		"text http://no-tld": scheme, "text http://tld-too-short.x": scheme,
		"text http://domain.com-that-you-should-have-put-a-space-after":                                                      scheme,
		"これは日本語です。example.com/path/index.html中国語example.com/path한국":                                                          goesOn,
		"twitter.comこれは日本語です。example.com中国語t.co/abcde한국twitter.com example2.comテストtwitter.com/abcde":                         goesOn,
		"http://twitter.com/これは日本語です。example.com中国語http://t.co/abcde한국twitter.comテストexample2.comテストhttp://twitter.com/abcde": goesOn,
		"twitter.jp日本語it.so中国語foo.jp it.so foo.jp":                                                                           once,
		"http://twitter.com\nhttp://example.com\nhttp://example.com/path\nexample.com/path\nit.so\nit.so/abcde":              once,
		"http://t.co http://t.co":                                                               once,
		"text http://domain-dash_2314352345_dfasd.foo-cow_4352.com":                             underscore,
		"test http://_leadingunderscore.twitter.com":                                            underscore,
		"test http://leadingunderscore._twitter.com":                                            underscore,
		"test http://trailingunderscore_.twitter.com":                                           underscore,
		"test http://trailingunderscore.twitter_.com":                                           underscore,
		"test http://twitter_underscore.com":                                                    underscore,
		"test http://twitter.c_o_m":                                                             underscore,
		"test http://www.foo.com/bar-path/some.stm?param1=foo;param2=P1|0||P2|0":                "no URI has a bar (RFC 3986), tables do; xurls ends there too",
		"#test.com @test.com #http://test.com @http://test.com #t.co/abcde @t.co/abcde":         lists,
		"$http://twitter.com $twitter.com $http://t.co/abcde $t.co/abcde $t.co $TVI.CA $RBS.CA": lists,
		"I really like http://t.co/pbY2NfTZ's website":                                          short,
		"Check this site out http://t.co/FNkPfmii- it's great":                                  short,
		"I really like http://t.co/abcdefghijklmnopqrstuvwxyz012345678901234":                   short,
		"http://t.co/pbY2NfTZ's http://t.co/2vYHpAc5; http://t.co/ulYGBYSo: http://t.co/8MkmHU0k+c http://t.co/TKLp64dY.x http://t.co/8t7G3ddS#a http://t.co/FNkPfmii-": short,
		"example.comてすとですtwitter.みんなです":                                    "where a suffix ends in text of its own script only a dictionary tells",
		"Email me at name.al-lastname@foo.com or name.al+lastname@foo.com": addresses,
		"john.doe.gov@mail.com": addresses, "john.doe.jp@mail.com": addresses,
	}
	b, err := os.ReadFile(require.Suite(t, "url", "twitter-text", "extract.yml"))
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, c := range conformance(t, string(b), "urls", "urls_with_indices", "urls_with_directional_markers", "tco_urls_with_params") {
		cases++
		argued.compare(t, c.text, written(c.text), c.want)
	}
	b, err = os.ReadFile(require.Suite(t, "url", "twitter-text", "tlds.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range conformance(t, string(b), "country", "generic") {
		cases++
		argued.compare(t, c.text, written(c.text), c.want)
	}
	if cases < 1500 {
		t.Errorf("only %d cases", cases)
	}
}

type example struct {
	text string
	want []string
}

// conformance reads the sections of a suite, of whose YAML it knows as much as
// is used there.
func conformance(t *testing.T, file string, sections ...string) (list []example) {
	t.Helper()
	unquote := func(s string) string {
		s = strings.TrimSpace(s)
		if !strings.HasPrefix(s, `"`) {
			return s
		}
		out, err := strconv.Unquote(s)
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		return out
	}
	in := false
	for line := range strings.Lines(file) {
		bare := strings.TrimSpace(line)
		key, value, _ := strings.Cut(strings.TrimPrefix(bare, "- "), ":")
		switch {
		case strings.HasPrefix(line, "  ") && strings.HasSuffix(bare, ":") && !strings.HasPrefix(line, "   "):
			in = slices.Contains(sections, key)
		case !in:
		case key == "text":
			list = append(list, example{text: unquote(value)})
		case key == "expected":
			value = strings.Trim(value, " []")
			for value != "" {
				quoted, err := strconv.QuotedPrefix(value)
				if err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				list[len(list)-1].want = append(list[len(list)-1].want, unquote(quoted))
				value = strings.TrimLeft(value[len(quoted):], ", ")
			}
		case key == "url":
			list[len(list)-1].want = append(list[len(list)-1].want, unquote(value))
		case strings.HasPrefix(bare, "- http"):
			list[len(list)-1].want = append(list[len(list)-1].want, bare[2:])
		}
	}
	return list
}
