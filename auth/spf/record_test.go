package spf

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
)

// TestParse asserts the grammar of RFC 7208, section 12, where the suites do
// not ask.
func TestParse(t *testing.T) {
	for _, good := range []string{
		"v=spf1", "V=SPF1 ", "v=spf1   A   -ALL  ",
		"v=spf1 a/0 a//0 a/32//128 a:b.example/24//64 mx:b.example//64 a:b.example.",
		"v=spf1 a:b/c.example a:b/24.example/24 exists:a:b.example",
		"v=spf1 ip4:0.0.0.0/0 ip4:255.255.255.255/32 ip6:::/0 ip6:::ffff:192.0.2.1/128 ip6:1::2",
		"v=spf1 a:%{d} a:%{D1R.-+,/_=} a:%{i}.%{v}.b-c a:%% a:%_ a:%- a:%%%% a:x%{l128r-}",
		"v=spf1 a:a.x--b a:a.0x a:a.b-0 a:%{d007}",
		"v=spf1 redirect=b.example exp=%{d}", "v=spf1 REDIRECT=b.example",
		"v=spf1 x= x=%{c}%{r}%{t} x=/:= a.b-c_d=1 x=%{s}",
	} {
		if _, err := parse(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"v=spf1\tall", "v=spf10", "v=spf2.0", " v=spf1", "v=spf", "",
		"v=spf1 \x7f", "v=spf1 é", "v=spf1 -all\n",
		"v=spf1 all/", "v=spf1 all:", "v=spf1 al", "v=spf1 ++all", "v=spf1 - all", "v=spf1 !all",
		"v=spf1 a:", "v=spf1 a/", "v=spf1 a/33", "v=spf1 a//129", "v=spf1 a/024", "v=spf1 a/24/64", "v=spf1 a/24/", "v=spf1 a///64", "v=spf1 a/0000000000000000000000024",
		"v=spf1 a:b", "v=spf1 a:b.", "v=spf1 a:b.1", "v=spf1 a:b.example..", "v=spf1 a:b.-c", "v=spf1 a:b.c-", "v=spf1 a:b.c_d", "v=spf1 a:b.example:25",
		"v=spf1 a:%{d}.", "v=spf1 a:%{d}example", "v=spf1 a:%{d", "v=spf1 a:%", "v=spf1 a:b.c%", "v=spf1 a:%%%", "v=spf1 a:%a", "v=spf1 a:%{}", "v=spf1 a:%{x}",
		"v=spf1 a:%{d0}", "v=spf1 a:%{d00r}", "v=spf1 a:%{dr1}", "v=spf1 a:%{d;}", "v=spf1 a:%{c}", "v=spf1 a:%{T}", "v=spf1 a:%{rr}",
		"v=spf1 include", "v=spf1 include:", "v=spf1 include:b.example/24", "v=spf1 include/24", "v=spf1 exists", "v=spf1 ptr:", "v=spf1 ptr/24",
		"v=spf1 ip4", "v=spf1 ip4:", "v=spf1 ip4/24", "v=spf1 ip4:1.2.3", "v=spf1 ip4:1.2.3.4.5", "v=spf1 ip4:1.2.3.04", "v=spf1 ip4:1.2.3.4/", "v=spf1 ip4:1.2.3.4/33", "v=spf1 ip4:::1", "v=spf1 ip4:1.2.3.4//32",
		"v=spf1 ip6:1.2.3.4", "v=spf1 ip6:fe80::1%eth0", "v=spf1 ip6:::/129", "v=spf1 ip6:1:2", "v=spf1 ip6::::",
		"v=spf1 redirect=", "v=spf1 redirect=b", "v=spf1 redirect=b.example redirect=c.example", "v=spf1 -all exp=a.example EXP=a.example", "v=spf1 +redirect=b.example", "v=spf1 exp=%{r}.example",
		"v=spf1 =x", "v=spf1 1x=y", "v=spf1 x=%", "v=spf1 a;b=c",
	} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q parses", bad)
		}
	}
}

// TestRooted asserts what is left of names that grow too long (section 7.3).
func TestRooted(t *testing.T) {
	label := strings.Repeat("a", 63)
	for _, tt := range []struct {
		name, want string
		ok         bool
	}{
		{"a.example", "a.example.", true},
		{"a.example.", "a.example.", true},
		{"a..example", "", false},
		{".example", "", false},
		{"", "", false},
		{".", "", false},
		{"a.example..", "", false},
		{label + ".example", label + ".example.", true},
		{"a" + label + ".example", "", false},
		{strings.Repeat("b.", 500) + "example", strings.Repeat("b.", 123) + "example.", true},
		{strings.Repeat("b", 500) + "." + label, label + ".", true},
		{strings.Repeat("b", 500), "", false},
		{"a b%$.example", "a b%$.example.", true},
		{`a\b.example`, "", false},
		{"a\x00.example", "", false},
		{"ä.example", "", false},
	} {
		if got, ok := rooted(tt.name); got != tt.want || ok != tt.ok {
			t.Errorf("rooted(%q) = %q, %v", tt.name, got, ok)
		}
	}
}

// TestParseHostile asserts that no record costs more than its size: neither
// when it is parsed nor when its macros are expanded.
func TestParseHostile(t *testing.T) {
	e := &evaluation{checker: &Checker{}, local: strings.Repeat("l.", 500), sender: strings.Repeat("s.", 600)}
	for _, term := range []string{
		" a:%{S}%{S}", " x=", " ip4:1.2.3.4", " all", "%", " a:%{s1r.-+}%{d}", " a:" + strings.Repeat("%{s}", 16000),
		strings.Repeat(" ", 1000), " a:" + strings.Repeat(".", 60000) + "x", " a:" + strings.Repeat("9", 60000), " a/" + strings.Repeat("9", 60000),
		" a:%{d" + strings.Repeat("9", 60000) + "}",
	} {
		text := "v=spf1" + strings.Repeat(term, (maxRecord-20)/len(term)) + " -all"
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		rec, err := parse(text)
		if err == nil {
			for _, d := range rec.directives[:min(len(rec.directives), maxLookups)] {
				e.target(d.target, "example.")
			}
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 100*maxRecord {
			t.Errorf("%.40q...: %d KiB for %d", term, got>>10, len(text)>>10)
		}
	}
	if _, err := parse("v=spf1 " + strings.Repeat("a ", maxRecord)); err == nil {
		t.Error("a record longer than any parses")
	}
}

func TestCache(t *testing.T) {
	c := newCache(10)
	for i := range 1000 {
		text := fmt.Sprintf("v=spf1 ip4:192.0.2.%d", i) // some do not parse
		first, err := c.parse(text)
		again, again2 := c.parse(text)
		if first != again || (err == nil) != (again2 == nil) || (err == nil) != (i < 256) {
			t.Fatalf("%q: %v, then %v", text, err, again2)
		}
		if n := len(c.young) + len(c.old); n > 10 {
			t.Fatalf("%d records", n)
		}
	}
	kept, _ := c.parse("v=spf1 -all")
	for i := range 1000 {
		c.parse(fmt.Sprintf("v=spf1 ip4:192.0.2.%d", i))
		if again, _ := c.parse("v=spf1 -all"); again != kept {
			t.Fatal("a record in use is forgotten")
		}
	}
	for i := range 100 { // each ten times the size that its text seems to have
		if _, err := c.parse(fmt.Sprintf("v=spf1%s x=%d", strings.Repeat(" a", 30), i)); err != nil {
			t.Fatal(err)
		}
		if n := len(c.young) + len(c.old); i > 10 && n > 6 {
			t.Fatalf("%d large records", n)
		}
	}
	if _, err := c.parse("v=spf1" + strings.Repeat(" a", 1000)); err != nil {
		t.Error(err)
	}
	for text, rec := range c.young {
		if rec.size(text) > 10*recordSize/2 {
			t.Error("a record is kept that takes all the room")
		}
	}
	var none *cache
	if _, err := none.parse("v=spf1 -all"); err != nil {
		t.Error(err)
	}
}

func FuzzRecord(f *testing.F) {
	for _, seed := range []string{"v=spf1 a:%{d1r-}.b.c/24//64 mx ptr:x.y ip4:1.2.3.0/24 ip6:::1 include:a.b ?exists:%{i}.%{v} -all", "v=spf1 redirect=%{d}.a exp=%%%_%-.b x=y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rec, err := parse(text)
		if err != nil {
			return
		}
		if terms := len(strings.Fields(text)) - 1; len(rec.directives) > terms {
			t.Fatalf("%d directives of %d terms", len(rec.directives), terms)
		}
		// Case and spaces say nothing (sections 4.6.1 and 12). Macro letters do.
		if !strings.Contains(text, "%{") {
			again, err := parse(strings.ToUpper(strings.ReplaceAll(text, " ", "  ")))
			if err != nil || len(again.directives) != len(rec.directives) {
				t.Fatalf("in capitals: %v", err)
			}
		}
		for _, d := range rec.directives {
			if d.target != nil && d.target.parts == nil && d.target.valid {
				if name, ok := rooted(d.target.constant); !ok || name != d.target.constant {
					t.Fatalf("target %q", d.target.constant)
				}
			}
		}
	})
}

func FuzzMacro(f *testing.F) {
	for _, seed := range []string{"%{s}", "%{D2r.-}x%%%_%-", "See http://%{d}/why?s=%{S};i=%{C};r=%{R};t=%{t};p=%{p}"} {
		f.Add(seed, "strong-bad", "email.example.com")
	}
	f.Fuzz(func(t *testing.T, text, local, origin string) {
		parts, err := parseMacros(text, true)
		if err != nil {
			return
		}
		e := &evaluation{
			client: netip.MustParseAddr("2001:db8::cb01"), checker: &Checker{receiver: "mx.example.net"}, helo: origin, local: local, origin: origin,
			sender: local + "@" + origin, askedPTR: true,
		}
		for _, forDomain := range []bool{true, false} {
			got, ok := e.expand(parts, origin, forDomain)
			if !ok && isASCII(local) {
				t.Fatal("no expansion")
			}
			if longest := maxExpanded + 3*len(e.sender) + len(text); len(got) > longest+3*maxName {
				t.Fatalf("%d octets", len(got))
			}
			name, ok := rooted(got)
			if ok && (len(name) > maxName+1 || !strings.HasSuffix(got+".", name) && !strings.HasSuffix(got, name)) {
				t.Fatalf("%q of %q", name, got)
			}
		}
	})
}
