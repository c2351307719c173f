package blocklist

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// text is e as these tests write it.
func (e Entry) text() string {
	s := fmt.Sprintf("%v %v %s", e.Word, e.Kind, e.Value)
	if !e.Expires.IsZero() {
		s += e.Expires.UTC().Format(" <2006-01-02T15:04")
	}
	if !e.Added.IsZero() {
		s += e.Added.UTC().Format(" >2006-01-02T15:04")
	}
	if e.Reason != "" {
		s += " # " + e.Reason
	}
	return s
}

// collect parses text into entries as a Builder has them.
func collect(cfg ParseConfig, text string) (entries []string, r Report, err error) {
	var b Builder
	r, err = Parse(strings.NewReader(text), cfg, func(e Entry) error {
		if err := b.Add(e); err != nil {
			return err
		}
		entries = append(entries, e.text())
		return nil
	})
	return entries, r, err
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cfg   ParseConfig
		input string
		want  []string
		bad   []string
		err   string
	}{
		{"lines", ParseConfig{}, `
			# a comment
			192.0.2.0/24   # why it is here
			2001:db8::1#no
			allow 192.0.2.7
			*.dyn.example  expires=2099-01-31	# dynamic
			except mail.dyn.example expires=2099-01-31T12:00:00+02:00 added=2020-02-03
			gone.example expires=2020-01-01
			hello ylmf-pc
			[192.0.2.1]
			block mailbox ann@example.org
			a#b@example.org
			` + sha + `
			block
			block hello allow
			exam ple.org
			example.org expires=tomorrow
			example.org until=2099-01-01
			192.0.2.0/33
			0.0.0.0/0
			none example.org`,
			[]string{
				"block addr 192.0.2.0/24 # why it is here",
				"allow addr 192.0.2.7",
				"block domain *.dyn.example <2099-01-31T00:00 # dynamic",
				"except domain mail.dyn.example <2099-01-31T10:00 >2020-02-03T00:00",
				"block hello ylmf-pc",
				"block hello [192.0.2.1]",
				"block mailbox ann@example.org",
				"block mailbox a#b@example.org",
				"block fingerprint " + sha,
				"block domain block",
				"block hello allow",
			},
			[]string{
				`blocklist: f:4: domain "2001:db8::1#no" is no domain`,
				`blocklist: f:16: "ple.org" is no option`,
				`blocklist: f:17: "expires=tomorrow" is neither a time of RFC 3339 nor a date`,
				`blocklist: f:18: "until=2099-01-01" is no option`,
				`blocklist: f:19: addr "192.0.2.0/33" is neither an address nor a prefix`,
				`blocklist: f:20: addr "0.0.0.0/0" fits every address`,
				`blocklist: f:21: "example.org" is no option`,
			}, ""},
		{"lines of one kind", ParseConfig{Kind: Hello, Word: Allow, Reason: "ours"}, `
			example.org
			domain example.net # theirs`,
			[]string{"allow hello example.org # ours", "allow domain example.net # theirs"}, nil, ""},
		{"DROP", ParseConfig{Format: FormatDROP}, `
			; Spamhaus DROP List 2026/01/01
			192.0.2.0/24 ; SBL123
			2001:db8::/32 ; SBL456

			192.0.2.0/24;SBL7
			example.org ; SBL8`,
			[]string{"block addr 192.0.2.0/24 # SBL123", "block addr 2001:db8::/32 # SBL456", "block addr 192.0.2.0/24 # SBL7"},
			[]string{`blocklist: f:7: addr "example.org" is neither an address nor a prefix`}, ""},
		{"DROP in JSON", ParseConfig{Format: FormatDROP}, `
			{"cidr":"192.0.2.0/24","sblid":"SBL123","rir":"arin"}
			{"cidr":"2001:db8::/32","sblid":"SBL456","rir":"ripencc"}
			{"cidr":"198.51.100.0/24"
			{"cidr":7}
			{"type":"metadata","timestamp":1700000000,"size":100,"records":2,"copyright":"(c)","terms":"https"}`,
			[]string{"block addr 192.0.2.0/24 # SBL123", "block addr 2001:db8::/32 # SBL456"},
			[]string{
				`blocklist: f:4: "{\"cidr\":\"198.51.100.0/24\"" is not JSON as DROP has it`,
				`blocklist: f:5: "{\"cidr\":7}" is not JSON as DROP has it`,
			}, ""},
		{"DROP cut short", ParseConfig{Format: FormatDROP}, `{"cidr":"192.0.2.0/24","sblid":"SBL123"}` + "\n" + `{"type":"metadata","records":1377}`,
			[]string{"block addr 192.0.2.0/24 # SBL123"}, nil, "blocklist: f:2: has 1 records and says it has 1377"},
		{"ASN-DROP", ParseConfig{Format: FormatDROP}, `{"asn":64496,"rir":"arin","domain":"example.org","cc":"US","asname":"EXAMPLE"}`,
			nil, nil, "blocklist: f:1: lists autonomous systems, not addresses"},
		{"ip4set", ParseConfig{Format: FormatIP4Set}, `
			$SOA 3000 ns.example admin.example 0 1h 1h 1w 1h
			#$NS 0 ns.example
			; comment
			127.0.0.2
			:127.0.0.4:see https://example.org/$ # all of it
			10.0.0.1
			10.0.0.2 ; comment
			10.0.0.3 its own text
			10.0.0.4 :5:an A value and text
			10.0.0.5 :6:
			10.0.0.6 :6
			10.0.0.7:7:at once
			192.0.2
			172.16/12
			!172.16.3.4 anything
			192.0.2.1-6
			10.8-10.9
			10.1.0-1
			10.2-3
			10.5.0.0-10.5.255.255
			127
			10.0.0.0-10
			10.0.0.5-4
			10.0.0.1/24
			10.0.0.256
			10.0.0.1.2
			1.2-1.2.3.4
			:2:and now
			10.0.0.9`,
			[]string{
				"block addr 127.0.0.2/32",
				"block addr 10.0.0.1/32 # see https://example.org/$ # all of it",
				"block addr 10.0.0.2/32 # see https://example.org/$ # all of it",
				"block addr 10.0.0.3/32 # its own text",
				"block addr 10.0.0.4/32 # an A value and text",
				"block addr 10.0.0.5/32",
				"block addr 10.0.0.6/32 # see https://example.org/$ # all of it",
				"block addr 10.0.0.7/32 # at once",
				"block addr 192.0.2.0/24 # see https://example.org/$ # all of it",
				"block addr 172.16.0.0/12 # see https://example.org/$ # all of it",
				"except addr 172.16.3.4/32",
				"block addr 192.0.2.1/32 # see https://example.org/$ # all of it",
				"block addr 192.0.2.2/31 # see https://example.org/$ # all of it",
				"block addr 192.0.2.4/31 # see https://example.org/$ # all of it",
				"block addr 192.0.2.6/32 # see https://example.org/$ # all of it",
				"block addr 10.8.0.0/15 # see https://example.org/$ # all of it",
				"block addr 10.1.0.0/23 # see https://example.org/$ # all of it",
				"block addr 10.2.0.0/15 # see https://example.org/$ # all of it",
				"block addr 10.5.0.0/16 # see https://example.org/$ # all of it",
				"block addr 10.0.0.0/29 # see https://example.org/$ # all of it",
				"block addr 10.0.0.8/31 # see https://example.org/$ # all of it",
				"block addr 10.0.0.10/32 # see https://example.org/$ # all of it",
				"block addr 10.0.0.9/32 # and now",
			},
			[]string{
				`blocklist: f:22: "127" is no range of addresses`,
				`blocklist: f:24: "10.0.0.5-4" is no range of addresses`,
				`blocklist: f:25: "10.0.0.1/24" has bits set beyond its length`,
				`blocklist: f:26: "10.0.0.256" is no range of addresses`,
				`blocklist: f:27: "10.0.0.1.2" is no range of addresses`,
				`blocklist: f:28: "1.2-1.2.3.4" is no range of addresses`,
			}, ""},
		{"ip4set with a bound", ParseConfig{Format: FormatIP4Set}, "$MAXRANGE4 /23\n$MAXRANGE4 65536\n10.0.0.0/23\n10.0.0.0/22\n$MAXRANGE4 x\n10.2.0.1\n",
			[]string{"block addr 10.0.0.0/23", "block addr 10.2.0.1/32"},
			[]string{`blocklist: f:4: "10.0.0.0/22" has over 512 addresses ($MAXRANGE4)`, `blocklist: f:5: $MAXRANGE4 "x" is no size`}, ""},
		{"the whole range", ParseConfig{Format: FormatIP4Set}, "10.0.0.1\n0.0.0.0-255.255.255.255\n",
			[]string{"block addr 10.0.0.1/32"}, []string{`blocklist: f:2: addr "0.0.0.0/0" fits every address`}, ""},
		{"combined", ParseConfig{Format: FormatIP4Set}, "10.0.0.1\n$DATASET dnset @\nexample.org\n",
			[]string{"block addr 10.0.0.1/32"}, nil, "blocklist: f:2: is a combined dataset: give each of its datasets a file"},
		{"ip6trie", ParseConfig{Format: FormatIP6Trie}, `
			:127.0.1.2: Listed, see https://example.org/?$
			2001:21ab:c000/36
			2001:21ab:def7:4242 :127.0.1.3: This one smells funny
			2605:6001:42::/52
			::1		       # localhost
			!2605:6001:42::bead   # exclusion
			2001:db8::1/64
			2001:db8::/129
			192.0.2.1`,
			[]string{
				"block addr 2001:21ab:c000::/36 # Listed, see https://example.org/?$",
				"block addr 2001:21ab:def7:4242::/64 # This one smells funny",
				"block addr 2605:6001:42::/52 # Listed, see https://example.org/?$",
				"block addr ::1/128 # Listed, see https://example.org/?$",
				"except addr 2605:6001:42::bead/128",
			},
			[]string{
				`blocklist: f:8: "2001:db8::1/64" has bits set beyond its length`,
				`blocklist: f:9: "2001:db8::/129" is neither an address nor a prefix`,
				`blocklist: f:10: "192.0.2.1" is neither an address nor a prefix`,
			}, ""},
		{"dnset", ParseConfig{Format: FormatDNSet}, `
			:2:spammers
			example.com
			*.Example.net :3:below
			.example.org  all of it
			!mail.example.org
			;$TTL 30
			exa$mple`,
			[]string{
				"block domain example.com # spammers",
				"block domain *.Example.net # below",
				"block domain .example.org # all of it",
				"except domain mail.example.org",
			},
			[]string{`blocklist: f:8: domain "exa$mple" is no domain`}, ""},
		{"hosts", ParseConfig{Format: FormatHosts}, `
			127.0.0.1 localhost localhost.localdomain
			::1 ip6-localhost ip6-loopback
			0.0.0.0 0.0.0.0
			0.0.0.0 ads.example tracker.example # both
			127.0.0.1	evil.example
			192.168.1.5 fileserver.example
			ads2.example
			0.0.0.0 a_b.example bad!name c.example`,
			[]string{
				"block domain ads.example # both", "block domain tracker.example # both", "block domain evil.example",
				"block domain a_b.example", "block domain c.example",
			},
			[]string{`blocklist: f:8: "ads2.example" is no address`, `blocklist: f:9: domain "bad!name" is no domain`}, ""},
		{"cidr", ParseConfig{Format: FormatCIDR}, strings.Join([]string{
			"# comment",
			"192.168.1.1 OK",
			"192.168.0.0/16 REJECT go",
			"   away",
			"# within",
			" and stay there",
			"192.168.2.2 OK",
			"[2001:db8::1]\tdunno",
			"2001:db8::/32\t554 5.7.1 no",
			"10.1.0.0/16 WARN look",
			"10.0.0.0/8 450 4.7.1 later",
			"172.16.0.0/12 DEFER",
			"172.16.0.0/12 REJECT",
			"192.0.2.1 permit",
			"192.0.2.2 1600000000",
			"192.0.2.3 permit_mynetworks, reject",
			"192.0.2.4",
			"192.0.2.5/24 OK",
			"0.0.0.0/0 DUNNO",
			"198.51.100.1 REJECT",
			"::/0 REJECT",
		}, "\n"),
			[]string{
				"allow addr 192.168.1.1/32",
				"block addr 192.168.0.0/16 # go away and stay there",
				"except addr 2001:db8::1/128",
				"block addr 2001:db8::/32 # 554 5.7.1 no",
				"except addr 10.1.0.0/16",
				"block addr 10.0.0.0/8 # 450 4.7.1 later",
				"block addr 172.16.0.0/12 # DEFER",
				"allow addr 192.0.2.1/32",
				"allow addr 192.0.2.2/32",
				"except addr 192.0.2.3/32",
			},
			[]string{
				`blocklist: f:7: "192.168.2.2" is never reached: line 3 fits all of it`,
				`blocklist: f:10: "WARN look" is no action of a list: it neither lets in nor refuses`,
				`blocklist: f:13: "172.16.0.0/12" is never reached: line 12 fits all of it`,
				`blocklist: f:16: "permit_mynetworks, reject" is no action of a list: it neither lets in nor refuses`,
				`blocklist: f:17: "192.0.2.4" has no action`,
				`blocklist: f:18: "192.0.2.5/24" has bits set beyond its length`,
				`blocklist: f:20: "198.51.100.1" is never reached: line 19 fits all of it`,
				`blocklist: f:21: addr "::/0" fits every address`,
			}, ""},
		{"cidr with if", ParseConfig{Format: FormatCIDR}, "192.0.2.1 OK\nif 10.0.0.0/8\n10.0.0.1 OK\nendif\n",
			[]string{"allow addr 192.0.2.1/32"}, nil,
			`blocklist: f:2: "if" makes what fits depend on where it stands: write prefixes alone`},
		{"cidr with !", ParseConfig{Format: FormatCIDR}, "192.0.2.1 OK\n!10.0.0.0/8 REJECT\n",
			[]string{"allow addr 192.0.2.1/32"}, nil, `blocklist: f:2: "!10.0.0.0/8" fits what is not in a prefix: write prefixes alone`},
		{"access", ParseConfig{Format: FormatAccess}, strings.Join([]string{
			"Example.ORG REJECT spam",
			".dyn.example 521 go",
			"1.2.3 REJECT",
			"1.2.3.4 OK",
			"10 REJECT",
			"2001:db8:0:1 REJECT",
			"2001:db8::7 OK",
			"ann@example.net OK",
			"bob@ REJECT",
			"<> REJECT",
			"@example.com REJECT",
			"example.org OK",
			"1.2.3.0/24 OK",
			"ok.example HOLD",
		}, "\n"),
			[]string{
				"block domain .example.org # spam",
				"block domain *.dyn.example # 521 go",
				"block addr 1.2.3.0/24",
				"allow addr 1.2.3.4/32",
				"block addr 10.0.0.0/8",
				"block addr 2001:db8:0:1::/64",
				"allow addr 2001:db8::7/128",
				"allow mailbox ann@example.net",
				"block mailbox bob@",
				"except domain .ok.example",
			},
			[]string{
				`blocklist: f:10: "<>" is no pattern that a list has`,
				`blocklist: f:11: "@example.com" is no pattern that a list has`,
				`blocklist: f:12: "example.org" is in line 1 already`,
				`blocklist: f:13: domain ".1.2.3.0/24" is no domain`,
				`blocklist: f:14: "HOLD" is no action of a list: it neither lets in nor refuses`,
			}, ""},
		{"access of EHLO names", ParseConfig{Format: FormatAccess, Kind: Hello, Exact: true}, "example.org REJECT\n.example.org OK\n",
			[]string{"block hello example.org", "allow hello *.example.org"}, nil, ""},
		{"access that begins in the middle", ParseConfig{Format: FormatAccess}, " REJECT\nexample.org OK\n",
			[]string{"allow domain .example.org"}, []string{`blocklist: f:1: goes on from a line that is not there`}, ""},
		{"CSV", ParseConfig{Format: FormatCSV, Column: "IP_Address", ReasonColumn: "malware"}, `# comment
first,"ip_address",malware
2026-01-01,192.0.2.1,"Emotet, ""new"""
2026-01-01,"192.0.2.0/28"
2026-01-01
2026-01-01,"192.0.2.1
2026-01-01,"192.0.2.1"x,
2026-01-01,,x
2026-01-01, 2001:db8::1 ,`,
			[]string{`block addr 192.0.2.1 # Emotet, "new"`, "block addr 192.0.2.0/28", "block addr 2001:db8::1"},
			[]string{
				"blocklist: f:5: has 1 columns and its value in column 2",
				"blocklist: f:6: has a quoted field without an end",
				"blocklist: f:7: has a quoted field with more behind its end",
				"blocklist: f:8: has no value",
			}, "blocklist: f: is not of format csv: 4 lines are bad: line 5: has 1 columns and its value in column 2"},
		{"CSV by number", ParseConfig{Format: FormatCSV, Column: "2", Comma: ';', Header: true}, "what;who\nx;ann@example.org\n",
			[]string{"block mailbox ann@example.org"}, nil, ""},
		{"CSV without its column", ParseConfig{Format: FormatCSV, Column: "ip"}, "a,b\n192.0.2.1,x\n",
			nil, nil, `blocklist: f:1: has no column "ip"`},
		{"another format", ParseConfig{}, "<!doctype html>\n<html>\n<body>\nexample.org\n</body>", []string{"block domain example.org"},
			[]string{
				`blocklist: f:1: "html>" is no option`, `blocklist: f:2: domain "<html>" is no domain`, `blocklist: f:3: domain "<body>" is no domain`,
				`blocklist: f:5: addr "</body>" is neither an address nor a prefix`,
			}, `blocklist: f: is not of format lines: 4 lines are bad: line 1: "html>" is no option`},
		{"strict", ParseConfig{Strict: true}, "example.org\nexam ple\nexample.net\n",
			[]string{"block domain example.org"}, nil, `blocklist: f:2: "ple" is no option`},
		{"a byte order mark, and lines of Windows", ParseConfig{}, "\ufeffexample.org\r\nexample.net\r\n",
			[]string{"block domain example.org", "block domain example.net"}, nil, ""},
		{"too many entries", ParseConfig{MaxEntries: 2}, "a.example\nb.example\nc.example\n",
			[]string{"block domain a.example", "block domain b.example"}, nil, "blocklist: f:3: has over 2 entries"},
		{"too long a line", ParseConfig{MaxLine: 20}, "a.example\n" + strings.Repeat("a", 100) + "\nb.example\n" + strings.Repeat("b", 100),
			[]string{"block domain a.example", "block domain b.example"},
			[]string{"blocklist: f:2: is too long", "blocklist: f:4: is too long"}, ""},
		{"too long a logical line", ParseConfig{Format: FormatCIDR, MaxLine: 20}, "192.0.2.1 OK\n192.0.2.2 REJECT\n a\n b\n c\n d\n",
			[]string{"allow addr 192.0.2.1/32"}, nil, "blocklist: f:5: is too long"},
		{"too long a file", ParseConfig{MaxBytes: 12}, "a.example\nb.example\n",
			[]string{"block domain a.example"}, nil, "blocklist: f:2: is over 12 octets"},
		{"just long enough", ParseConfig{MaxBytes: 20}, "a.example\nb.example\n",
			[]string{"block domain a.example", "block domain b.example"}, nil, ""},
		{"empty", ParseConfig{}, "", nil, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Name = "f"
			entries, r, err := collect(tt.cfg, strings.ReplaceAll(tt.input, "\n\t\t\t", "\n"))
			if !slices.Equal(entries, tt.want) {
				t.Errorf("entries\n%s\nwant\n%s", strings.Join(entries, "\n"), strings.Join(tt.want, "\n"))
			}
			var bad []string
			for _, l := range r.Lines {
				bad = append(bad, l.Error())
			}
			if !slices.Equal(bad, tt.bad) || r.Bad != len(tt.bad) {
				t.Errorf("%d bad lines\n%s\nwant\n%s", r.Bad, strings.Join(bad, "\n"), strings.Join(tt.bad, "\n"))
			}
			if got := fmt.Sprint(err); got != tt.err && (err != nil || tt.err != "") {
				t.Errorf("error %v\nwant  %s", err, tt.err)
			}
			if tt.name == "lines" && r.Expired != 1 {
				t.Errorf("%d are over", r.Expired)
			}
		})
	}
}

func TestParseConfig(t *testing.T) {
	_, err := Parse(strings.NewReader(""), ParseConfig{Kind: 9, Word: 9, MaxLine: -1, Comma: '"'}, nil)
	want := "blocklist: Kind is not known\nblocklist: Word is not known\nblocklist: MaxBytes, MaxLine and MaxEntries must not be negative\nblocklist: Comma must be another character"
	if err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
	for cfg, want := range map[ParseConfig]string{
		{Format: "yaml"}: `blocklist: Format "yaml" is not known`,
		{Format: FormatCSV, Column: "0", ReasonColumn: "-1"}: "blocklist: Column counts from 1\nblocklist: ReasonColumn counts from 1",
	} {
		if _, err := Parse(strings.NewReader(""), cfg, nil); err == nil || err.Error() != want {
			t.Errorf("%v", err)
		}
	}
}

func TestParseReader(t *testing.T) {
	fails := errors.New("the disk is gone")
	_, err := Parse(io.MultiReader(strings.NewReader("a.example\n"), iotest.ErrReader(fails)), ParseConfig{Name: "f"}, new(Builder).Add)
	if err == nil || err.Error() != "blocklist: f:2: the disk is gone" {
		t.Errorf("%v", err)
	}
	var b Builder
	if r, err := Parse(iotest.OneByteReader(strings.NewReader("a.example\nb.example")), ParseConfig{}, b.Add); err != nil || r.Entries != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

func packed4(t testing.TB, text string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	io.WriteString(w, text)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestParseGzip(t *testing.T) {
	full := packed4(t, strings.Repeat("a.example\n", 1000))
	bomb := packed4(t, strings.Repeat("\n", 10<<20))
	for _, tt := range []struct {
		name    string
		file    []byte
		entries int
		err     string
	}{
		{"full", full, 1000, ""},
		{"two members", append(slices.Clone(full), full...), 2000, ""},
		{"cut short", full[:len(full)-10], 0, "unexpected EOF"},
		{"nothing but the magic", full[:2], 0, "unexpected EOF"},
		{"damaged", append(slices.Clone(full[:len(full)-8]), "xxxxxxxx"...), 0, "invalid checksum"},
		{"bomb", bomb, 0, "is over 1048576 octets"},
	} {
		r, err := Parse(bytes.NewReader(tt.file), ParseConfig{Name: "f.gz", MaxBytes: 1 << 20}, new(Builder).Add)
		if tt.err == "" && (err != nil || r.Entries != tt.entries) || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: %+v, %v", tt.name, r, err)
		}
	}
	if len(bomb) > 1<<20 {
		t.Fatal("the bomb is none")
	}
}

// Reports are bounded, whatever is wrong.
func TestParseManyBadLines(t *testing.T) {
	file := strings.Repeat("a.example\n", 1001) + strings.Repeat(strings.Repeat("!", 4000)+"\n", 1000)
	_, r, err := collect(ParseConfig{}, file)
	if err != nil || r.Bad != 1000 || len(r.Lines) != maxBadLines {
		t.Fatalf("%d bad lines, %d reported, %v", r.Bad, len(r.Lines), err)
	}
	for _, l := range r.Lines {
		if len(l.What) > 150 {
			t.Errorf("%d octets: %s", len(l.What), l.What)
		}
	}
}

// fuzzParse checks that whatever a file says, a report tells of every line, a
// Builder takes what is reported as an entry, and nothing is over its bounds.
func fuzzParse(f *testing.F, cfg ParseConfig, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	cfg.MaxBytes, cfg.MaxLine, cfg.MaxEntries = 1<<16, 200, 1000
	f.Fuzz(func(t *testing.T, file []byte) {
		var b Builder
		r, err := Parse(bytes.NewReader(file), cfg, b.Add)
		if b.Len() != r.Entries || r.Entries > cfg.MaxEntries || len(r.Lines) > maxBadLines || len(r.Lines) > r.Bad {
			t.Fatalf("%d entries of %+v, %v", b.Len(), r, err)
		}
		for _, l := range r.Lines {
			if l.Line < 1 || l.What == "" || strings.ContainsAny(l.What, "\r\n\x00") {
				t.Errorf("%+v", l)
			}
		}
		if err != nil && strings.ContainsAny(err.Error(), "\r\x00") {
			t.Errorf("%q", err)
		}
		b.Set()
	})
}

func FuzzParseLines(f *testing.F) {
	fuzzParse(f, ParseConfig{}, "allow mailbox ann@example.org expires=2099-01-01 # x\n", "[192.0.2.1]\n\x1f\x8b", "\x1f\x8b\x08\x00", sha)
}

func FuzzParseDROP(f *testing.F) {
	fuzzParse(f, ParseConfig{Format: FormatDROP}, "192.0.2.0/24 ; SBL1\n", `{"cidr":"192.0.2.0/24","sblid":"SBL1"}`+"\n"+`{"type":"metadata","records":1}`)
}

func FuzzParseIP4Set(f *testing.F) {
	fuzzParse(f, ParseConfig{Format: FormatIP4Set}, ":2:x\n127.0.0.1-9 :3:y\n!10/8\n", "$MAXRANGE4 /24\n10.0-1\n", "0.0.0.1-255.255.255.254")
}

func FuzzParseIP6Trie(f *testing.F) {
	fuzzParse(f, ParseConfig{Format: FormatIP6Trie}, "2001:db8/32\n!::1 # x\n:2:y\n", "::ffff:0:0/96\n1:2:3:4:5:6:7:8\n")
}

func FuzzParseDNSet(f *testing.F) {
	fuzzParse(f, ParseConfig{Format: FormatDNSet}, ".example.org :2:x\n!*.a.example.org\n")
}

func FuzzParseHosts(f *testing.F) {
	fuzzParse(f, ParseConfig{Format: FormatHosts}, "0.0.0.0 a.example b.example # x\n::1 localhost\n")
}

func FuzzParseCIDR(f *testing.F) {
	fuzzParse(f, ParseConfig{Format: FormatCIDR}, "10.0.0.0/8 REJECT\n go\n[::1] OK\n", "0.0.0.0/0 DUNNO\n")
}

func FuzzParseAccess(f *testing.F) {
	fuzzParse(f, ParseConfig{Format: FormatAccess}, "1.2.3 REJECT\nexample.org\t450 x\nann@ OK\n2001:db8 DUNNO\n.")
}

func FuzzParseCSV(f *testing.F) {
	fuzzParse(f, ParseConfig{Format: FormatCSV, Column: "b", ReasonColumn: "3"}, "a,b\n\"x\"\"y\",192.0.2.1,z\n")
}
