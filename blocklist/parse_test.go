package blocklist

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// parsed reads text and writes each entry in short.
func parsed(text string, cfg ParseConfig) (got []string, report Report, err error) {
	report, err = Parse(strings.NewReader(text), cfg, func(e Entry) error {
		if _, err := NewSet(e); err != nil {
			return fmt.Errorf("%w: %w", ErrEntry, err)
		}
		s := fmt.Sprint(e.Kind, " ", e.Value)
		if e.Word != Block {
			s = fmt.Sprint(e.Word, " ", s)
		}
		if e.Reason != "" {
			s += " # " + e.Reason
		}
		if !e.Expires.IsZero() {
			s += " until " + e.Expires.Format("2006-01-02")
		}
		got = append(got, s)
		return nil
	})
	return got, report, err
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  ParseConfig
		text string
		want []string
		bad  []int // lines
	}{
		{"lines", ParseConfig{}, "\ufeff# comment\n\n192.0.2.0/24  # spam\r\nallow 192.0.2.7 until=2027-01-31\n*.example.org\nann@Example.ORG\n" +
			"hello:localhost\nexcept good.example.org\nuntil=x y\n192.0.2.1 x\n192.0.2.1 until=soon\nallow\nnot a b\n192.0.2.1/24\nBLOCK [192.0.2.9]\n" +
			strings.Repeat("a1", 32),
			[]string{"addr 192.0.2.0/24 # spam", "allow addr 192.0.2.7 until 2027-01-31", "domain *.example.org", "mailbox ann@Example.ORG",
				"hello localhost", "except domain good.example.org", "domain allow", "addr 192.0.2.1/24", "hello [192.0.2.9]", "fingerprint " + strings.Repeat("a1", 32)},
			[]int{9, 10, 11, 13}},
		{"drop", ParseConfig{Format: DROP}, "; Spamhaus DROP List\n192.0.2.0/24 ; SBL1\n\n2001:db8::/32 ; SBL2\njunk ; SBL3\n",
			[]string{"addr 192.0.2.0/24 # SBL1", "addr 2001:db8::/32 # SBL2"}, []int{5}},
		{"drop-json", ParseConfig{Format: DROPJSON}, `{"cidr":"192.0.2.0/24","sblid":"SBL1","rir":"x"}` + "\n" + `{"cidr":` + "\n{}\n" + `{"type":"metadata","records":1}` + "\n",
			[]string{"addr 192.0.2.0/24 # SBL1"}, []int{2, 3}},
		{"ip4set", ParseConfig{Format: IP4Set}, "$SOA 3000 ns.example\n# c\n:127.0.0.2:Listed, see http://x/?$\n192.0.2.1\n!192.0.2.9\n198.51.100\n10/8\n203.0.113.4-7 :127.0.0.3:own\n" +
			"203.0.113.9-203.0.113.10 just text\n10.0.0.1/8\n192.0.2.300\n192.0.2.5-3\n01.2.3.4\n0.0.0.0/0\n",
			[]string{"addr 192.0.2.1/32 # Listed, see http://x/?192.0.2.1", "except addr 192.0.2.9/32 # Listed, see http://x/?192.0.2.9",
				"addr 198.51.100.0/24 # Listed, see http://x/?198.51.100", "addr 10.0.0.0/8 # Listed, see http://x/?10/8", "addr 203.0.113.4/30 # own",
				"addr 203.0.113.9/32 # just text", "addr 203.0.113.10/32 # just text"},
			[]int{10, 11, 12, 13, 14}},
		{"ip6trie", ParseConfig{Format: IP6Trie}, "2001:db8::/32 :127.0.0.2:six\n!2001:db8:1\n2001:db8::1\n192.0.2.1\n2001:db8::1/32\n2001:db8:2/47\n",
			[]string{"addr 2001:db8::/32 # six", "except addr 2001:db8:1::/48", "addr 2001:db8::1/128", "addr 2001:db8:2::/47"}, []int{4, 5}},
		{"dnset", ParseConfig{Format: DNSet}, "spam.example\n.all.example\n*.below.example :2:text\n!ok.all.example\nbad..name\n",
			[]string{"domain spam.example", "domain .all.example", "domain *.below.example # text", "except domain ok.all.example"}, []int{5}},
		{"hosts", ParseConfig{Format: Hosts}, "127.0.0.1 localhost localhost.localdomain\n::1 ip6-localhost\n0.0.0.0 ads.example b.example # ads\n192.0.2.1 server.example\nbare.example\n0.0.0.0 -x-.example c.example\n",
			[]string{"domain ads.example", "domain b.example", "domain bare.example", "domain c.example"}, []int{6}},
		{"postfix-cidr", ParseConfig{Format: PostfixCIDR}, "192.0.2.7 OK\n192.0.2.0/24\n  REJECT go\n# between\n   away\n192.0.2.8 OK\n198.51.100.0/24 DUNNO\n2001:db8::/32 554 5.7.1 no\n" +
			"if 10.0.0.0/8\n10.1.0.0/16 REJECT\nendif\n!10.0.0.0/8 REJECT\n203.0.113.1 PREPEND X: y\n203.0.113.2\n[2001:db9::]/32 REJECT",
			[]string{"allow addr 192.0.2.7/32", "addr 192.0.2.0/24 # go away", "except addr 198.51.100.0/24", "addr 2001:db8::/32 # 554 5.7.1 no", "addr 10.1.0.0/16", "addr 2001:db9::/32"},
			[]int{9, 11, 12, 13, 14}},
		{"postfix-access", ParseConfig{Format: PostfixAccess}, "example.org REJECT\n.example.net REJECT we know you\nann@example.com OK\nspam@ 550 no\n192.0.2 REJECT\n192.0.2.7 OK\n2001:db8:1 REJECT\n<> REJECT\nexample.com HOLD\n",
			[]string{"domain .example.org", "domain *.example.net # we know you", "allow mailbox ann@example.com", "mailbox spam@ # 550 no", "addr 192.0.2.0/24",
				"allow addr 192.0.2.7/32", "addr 2001:db8:1::/48"}, []int{8, 9}},
		{"csv by name", ParseConfig{Format: CSV, Column: "dst_ip"}, "# made today\n# \"first_seen\",\"dst_ip\",\"port\"\n\"2026-01-01\",\"192.0.2.1\",\"80\"\n\"2026-01-01\"\n# end\n",
			[]string{"addr 192.0.2.1"}, []int{4}},
		{"csv by number", ParseConfig{Format: CSV, Column: "2", Kind: Domain}, "1,example.org\n2,\"b.example\",x\n3,192.0.2.1\n",
			[]string{"domain example.org", "domain b.example"}, []int{3}},
		{"a long line", ParseConfig{MaxLine: 64}, "192.0.2.1\n" + strings.Repeat("x", 10000) + "\n192.0.2.2", []string{"addr 192.0.2.1", "addr 192.0.2.2"}, []int{2}},
		{"nothing", ParseConfig{}, "", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, report, err := parsed(tt.text, tt.cfg)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("%v\ngot  %q\nwant %q", err, got, tt.want)
			}
			var bad []int
			for _, p := range report.Problems {
				bad = append(bad, p.Line)
			}
			if !slices.Equal(bad, tt.bad) || report.Bad != len(tt.bad) {
				t.Errorf("%d bad lines, want those at %v: %v", report.Bad, tt.bad, report.Problems)
			}
			if report.Entries != len(tt.want) {
				t.Errorf("%d entries reported, want %d", report.Entries, len(tt.want))
			}
		})
	}
}

// Strict makes the first bad line fatal, and names it.
func TestParseStrict(t *testing.T) {
	_, _, err := parsed("192.0.2.1\nno such thing\n", ParseConfig{Name: "own.list", Strict: true})
	if err == nil || !strings.Contains(err.Error(), "own.list: line 2: ") {
		t.Errorf("error %v", err)
	}
}

func TestParseBounds(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	line := []byte("# nothing at all\n")
	for range 100_000 {
		if _, err := z.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	bomb := packed.Bytes()
	for _, tt := range []struct {
		name string
		text []byte
		cfg  ParseConfig
		want string // in the error; "" is none
	}{
		{"gzipped", bomb, ParseConfig{}, ""},
		{"a gzip bomb", bomb, ParseConfig{MaxOctets: 1000}, "MaxOctets"},
		{"gzip cut short", bomb[:len(bomb)/2], ParseConfig{}, "unexpected EOF"},
		{"too many entries", []byte("192.0.2.1\n192.0.2.2\n192.0.2.3\n"), ParseConfig{MaxEntries: 2}, "more than 2 entries"},
		{"a range of many", []byte("0.0.0.1-255.255.255.254"), ParseConfig{Format: IP4Set, MaxEntries: 10}, "more than 10 entries"},
		{"no such format", nil, ParseConfig{Format: "xml"}, "Format"},
		{"no such column", nil, ParseConfig{Format: CSV, Column: "0"}, "Column"},
	} {
		_, err := Parse(bytes.NewReader(tt.text), tt.cfg, func(Entry) error { return nil })
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// FuzzParse: whatever the file, reading ends, and what it gives either makes a
// set or is reported.
func FuzzParse(f *testing.F) {
	formats := []Format{Lines, DROP, DROPJSON, IP4Set, IP6Trie, DNSet, Hosts, PostfixCIDR, PostfixAccess, CSV}
	for i, s := range []string{
		"192.0.2.0/24 # x\nallow a@b until=2027-01-31\n", "192.0.2.0/24 ; SBL1", `{"cidr":"192.0.2.0/24"}`, ":127.0.0.2:x\n!10.0.0.1-9\n1.2", "2001:db8::/32\n2001:db8:1/47",
		".a.example :2:x", "0.0.0.0 a.example", "10.0.0.0/8\n REJECT x\n", "a@ OK\n1.2.3 REJECT\n", "a,\"b\"\n",
	} {
		f.Add(i, []byte(s))
	}
	f.Fuzz(func(t *testing.T, format int, text []byte) {
		cfg := ParseConfig{Format: formats[uint(format)%uint(len(formats))], MaxEntries: 1000, MaxOctets: 1 << 20}
		var b Builder
		report, err := Parse(bytes.NewReader(text), cfg, func(e Entry) error {
			if err := b.Add(e); err != nil {
				return fmt.Errorf("%w: %w", ErrEntry, err)
			}
			return nil
		})
		if errors.Is(err, ErrEntry) {
			t.Fatalf("a bad line ended the reading: %v", err)
		}
		if err == nil && report.Entries != b.Len() {
			t.Fatalf("%d entries reported, %d added", report.Entries, b.Len())
		}
		b.Set().Find(Query{Kind: Domain, Value: "a.example"})
	})
}
