package dmarc

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// defaults is a record with nothing but its policy.
func defaults(text string, p Policy) Record {
	return Record{Text: text, Policy: p, DKIM: Relaxed, SPF: Relaxed, Suffix: SuffixUnknown, FailureOptions: "0", Percent: 100}
}

func mailto(address string) URI {
	return URI{Text: "mailto:" + address, Address: address, Domain: address[strings.IndexByte(address, '@')+1:]}
}

func TestParseRecord(t *testing.T) {
	for _, tt := range []struct {
		text string
		p    Policy
		but  func(r *Record) // what is not by default; nil means nothing
	}{
		// RFC 9989, appendix B.2.
		{"v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com", NoPolicy, func(r *Record) { r.Aggregate = []URI{mailto("dmarc-feedback@example.com")} }},
		{"v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com; ruf=mailto:auth-reports@example.com", NoPolicy, func(r *Record) {
			r.Aggregate, r.Failure = []URI{mailto("dmarc-feedback@example.com")}, []URI{mailto("auth-reports@example.com")}
		}},
		{"v=DMARC1; p=quarantine; rua=mailto:dmarc-feedback@example.com,mailto:tld-test@thirdparty.example.net; t=y", Quarantine, func(r *Record) {
			r.Aggregate, r.Testing = []URI{mailto("dmarc-feedback@example.com"), mailto("tld-test@thirdparty.example.net")}, true
		}},

		{"v=DMARC1;p=reject", Reject, nil},
		{"V = DMARC1 ;\tP = Reject ; ", Reject, nil},
		{"v=DMARC1; p=reject; sp=none; np=quarantine; adkim=s; aspf=S; psd=n", Reject, func(r *Record) {
			r.Subdomain, r.NonExistent, r.DKIM, r.SPF, r.Suffix = NoPolicy, Quarantine, Strict, Strict, SuffixNo
		}},
		{"v=DMARC1; psd=Y; p=reject", Reject, func(r *Record) { r.Suffix = SuffixYes }},
		{"v=DMARC1; p=reject; psd=u; t=n; adkim=r", Reject, nil},

		// What is bad counts as absent.
		{"v=DMARC1; p=reject; adkim=x; aspf=; psd=yes; t=1; fo=9; pct=101; rua=; ruf=x; nonsense; a=b; ü=u; sp2=x;;", Reject, nil},
		{"v=DMARC1; p=reject; psd=y; psd=y", Reject, nil},
		{"v=DMARC1; p=reject; adkim=s; ADKIM=s", Reject, nil},
		{"v=DMARC1; p=reject; adkim=s\x00", Reject, nil},
		{"v=DMARC1; p=reject; v=DMARC2", Reject, nil},
		{"v=DMARC1; p=reject; pct=20; rf=afrf; ri=3600", Reject, func(r *Record) { r.Percent = 20 }},
		{"v=DMARC1; p=reject; pct=-1", Reject, nil},

		// Without a policy that is valid (RFC 9989, section 4.10.1).
		{"v=DMARC1", "", nil},
		{"v=DMARC1; sp=reject", "", nil},
		{"v=DMARC1; p=rejct", "", func(r *Record) { r.invalid = true }},
		{"v=DMARC1; p=reject; p=reject", "", func(r *Record) { r.invalid = true }},
		{"v=DMARC1; p=reject; sp=", "", func(r *Record) { r.invalid = true }},
		{"v=DMARC1; p=reject; np=x; psd=n; rua=nobody", "", func(r *Record) { r.Suffix, r.invalid = SuffixNo, true }},
		{"v=DMARC1; rua=mailto:d@example.com", NoPolicy, func(r *Record) { r.Aggregate = []URI{mailto("d@example.com")} }},
		{"v=DMARC1; p=reject; sp=x; rua=mailto:d@example.com", NoPolicy, func(r *Record) {
			r.Aggregate, r.invalid = []URI{mailto("d@example.com")}, true
		}},

		// fo counts with ruf only.
		{"v=DMARC1; p=none; fo=1", NoPolicy, nil},
		{"v=DMARC1; p=none; fo=D : 1:s; ruf=mailto:d@example.com", NoPolicy, func(r *Record) {
			r.Failure, r.FailureOptions = []URI{mailto("d@example.com")}, "d:1:s"
		}},
		{"v=DMARC1; p=none; fo=0:1; ruf=mailto:d@example.com", NoPolicy, func(r *Record) { r.Failure = []URI{mailto("d@example.com")} }},
		{"v=DMARC1; p=none; fo=d:d; ruf=mailto:d@example.com", NoPolicy, func(r *Record) { r.Failure = []URI{mailto("d@example.com")} }},
	} {
		want := defaults(tt.text, tt.p)
		if tt.but != nil {
			tt.but(&want)
		}
		got, err := ParseRecord(tt.text)
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%q:\n got %+v, %v\nwant %+v", tt.text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "v", "v=", "v=DMARC", "v=DMARC12; p=reject", "v=dmarc1; p=reject", "v=DMARC1 p=reject", " v=DMARC1; p=reject", "p=reject; v=DMARC1",
		"\"v=DMARC1; p=reject\"", "w=DMARC1; p=reject", "v=spf1 -all", "v=DMARC1; p=reject;" + strings.Repeat(" ", maxRecord),
	} {
		if r, err := ParseRecord(text); err == nil {
			t.Errorf("%.40q: %+v", text, r)
		}
	}
}

func TestRecordsKept(t *testing.T) {
	c := cache{most: 2}
	first, err := c.parse("v=DMARC1; p=reject")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if r, err := c.parse(fmt.Sprintf("v=DMARC1; p=none; pct=%d", i)); err != nil || r.Percent != i {
			t.Fatalf("%+v, %v", r, err)
		}
		if r, err := c.parse("v=DMARC1; p=reject"); err != nil || r != first { // in use
			t.Fatalf("parsed again at %d: %v", i, err)
		}
		if _, err := c.parse("v=spf1 -all"); err == nil {
			t.Fatal("not a record, and no error")
		}
		if len(c.new) > 2 || len(c.old) > 2 {
			t.Fatalf("keeps %d and %d", len(c.new), len(c.old))
		}
	}
}

func TestURIs(t *testing.T) {
	for _, tt := range []struct {
		list string
		want []URI
	}{
		{"mailto:d@example.com", []URI{mailto("d@example.com")}},
		{"mailto:a@example.com , mailto:b@example.net", []URI{mailto("a@example.com"), mailto("b@example.net")}},
		{"mailto:a@example.com,bogus,mailto:,,mailto:b,mailto:b@,mailto:@c.example,mailto:a b@c.example,mailto:a@b@c.example,mailto:a@c..example", []URI{mailto("a@example.com")}},
		{"MAILTO:D@Example.COM", []URI{{Text: "MAILTO:D@Example.COM", Address: "D@Example.COM", Domain: "example.com"}}},
		{"mailto:a%2Cb@example.com", nil}, // a comma, which no dot-atom has
		{"mailto:a%21b@example.com", []URI{{Text: "mailto:a%21b@example.com", Address: "a!b@example.com", Domain: "example.com"}}},
		{"mailto:a%0d%0aX@example.com,mailto:a%zz@example.com", nil},
		{"mailto:d@example.com?subject=x", []URI{{Text: "mailto:d@example.com?subject=x", Address: "d@example.com", Domain: "example.com"}}},
		{"https://example.com/dmarc", []URI{{Text: "https://example.com/dmarc"}}},
		{"1x:y,:y,x:", nil},
		{"mailto:d@example.com!10m", []URI{{Text: "mailto:d@example.com", Address: "d@example.com", Domain: "example.com", MaxOctets: 10 << 20}}},
		{"mailto:d@example.com!512", []URI{{Text: "mailto:d@example.com", Address: "d@example.com", Domain: "example.com", MaxOctets: 512}}},
		{"mailto:d@example.com!2G", []URI{{Text: "mailto:d@example.com", Address: "d@example.com", Domain: "example.com", MaxOctets: 2 << 30}}},
		{"mailto:d@example.com!,mailto:d@example.com!m,mailto:d@example.com!1p,mailto:d@example.com!99999999999999999999,mailto:d@example.com!9999999999t,mailto:d@example.com!-1", nil},
	} {
		if got := uris(tt.list); !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.list, got, tt.want)
		}
	}
	if got := uris(strings.Repeat("mailto:d@example.com,", 100)); len(got) != maxURIs {
		t.Errorf("%d of 100 addresses", len(got))
	}
}

func TestLint(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []string // severity and tag of each finding
	}{
		{"v=DMARC1; p=reject; rua=mailto:d@example.com", nil},
		{"v=DMARC1; p=reject; sp=reject; np=reject; adkim=s; aspf=r; fo=1:d; ruf=mailto:d@example.com; psd=n;", nil},
		{"v=DMARC1;p=quarantine", nil},
		{"p=reject", []string{"broken "}},
		{" v=DMARC1; p=reject", []string{"broken "}},
		{"v=DMARC1", []string{"broken "}},
		{"v=DMARC1; sp=reject; p=reject", []string{"outworn p"}},
		{"v=DMARC1; p=rejct", []string{"broken p", "broken "}},
		{"v=DMARC1; p=reject; sp=x; rua=mailto:d@example.com", []string{"broken sp", "broken p"}},
		{"v=DMARC1; rua=mailto:d@example.com", []string{"risky p"}},
		{"v=DMARC1; p=none", []string{"risky rua"}},
		{"v=DMARC1; p=reject; pct=20; ri=86400; rf=afrf", []string{"outworn pct", "outworn ri", "outworn rf"}},
		{"v=DMARC1; p=reject; adkim=relaxed; aspf=x; psd=0; t=0; fo=2", []string{"broken adkim", "broken aspf", "broken psd", "broken t", "broken fo", "risky fo"}},
		{"v=DMARC1; p=reject; adkim=s; adkim=s", []string{"broken adkim"}},
		{"v=DMARC1; p=reject; x=y; nonsense; v=DMARC1", []string{"risky x", "broken nonsense", "broken v"}},
		{"v=DMARC1; p=reject; rua=d@example.com,https://example.com/,mailto:d@example.com!10m,%%", []string{"broken rua", "risky rua", "outworn rua", "broken rua"}},
		{"v=DMARC1; p=reject; sp=none", []string{"risky sp"}},
		{"v=DMARC1; p=none; sp=reject; np=quarantine; rua=mailto:d@example.com", []string{"risky np"}},
		{"v=DMARC1; p=reject; t=y", []string{"risky t"}},
		{"v=DMARC1; p=none; t=y; rua=mailto:d@example.com", []string{"risky t"}},
		{"v=DMARC1; p=reject; psd=y", []string{"risky psd"}},
		{"v=DMARC1; p=reject; fo=1", []string{"risky fo"}},
	} {
		var got []string
		for _, f := range Lint(tt.text) {
			got = append(got, string(f.Severity)+" "+f.Tag)
			if f.Text == "" || strings.ContainsAny(f.String(), "\r\n\x00") {
				t.Errorf("%q: %q", tt.text, f.String())
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestLintDomain(t *testing.T) {
	z := published(map[string]string{
		"example.com": "v=DMARC1; p=reject", "a.example.com": "v=DMARC1; p=reject; sp=reject",
		"bank.example": "v=DMARC1; p=reject; psd=y", "dept.example.net": "v=DMARC1; p=reject; psd=n",
	})
	z.txt["_dmarc.twice.example.org"] = []string{"v=DMARC1; p=reject", "v=DMARC1; p=none"}
	c := checker(t, z, Config{})
	for _, tt := range []struct {
		name string
		want []string
	}{
		{"example.com", nil},
		{"a.example.com", []string{"risky sp"}},
		{"b.example.com", []string{"risky "}},
		{"nothing.example", []string{"risky "}},
		{"one.bank.example", []string{"risky ", "risky "}}, // and the list does not know the suffix
		{"dept.example.net", []string{"risky "}},           // the list says another organizational domain
		{"twice.example.org", []string{"broken ", "risky "}},
	} {
		found, err := c.LintDomain(t.Context(), tt.name)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range found {
			got = append(got, string(f.Severity)+" "+f.Tag)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, found, tt.want)
		}
	}
	if _, err := checker(t, z.without("_dmarc.com"), Config{}).LintDomain(t.Context(), "example.com"); err == nil {
		t.Error("no error without an answer")
	}
	if _, err := c.LintDomain(t.Context(), "no domain"); err == nil {
		t.Error("no error for what is no domain")
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, s := range []string{
		"v=DMARC1; p=reject; sp=none; np=quarantine; adkim=s; psd=y; t=y; rua=mailto:a@b.example!10m,https://c.example/; ruf=mailto:d%21e@b.example; fo=1:d:s",
		"V = DMARC1 ; P = none;; pct=20; ri=x; nonsense; p=reject", "v=DMARC1", "v=DMARC1;\tp=\x00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRecord(text)
		found := Lint(text)
		if len(found) > maxFindings+6 {
			t.Fatalf("%q: %d findings", text, len(found))
		}
		if err != nil {
			if r != nil || len(found) != 1 || found[0].Severity != Broken {
				t.Fatalf("%q: %+v and %v, found %v", text, r, err, found)
			}
			return
		}
		if r.Policy == "" && (r.Subdomain != "" || r.NonExistent != "" || len(r.Aggregate) > 0) {
			t.Fatalf("%q: %+v", text, r)
		}
		for _, u := range append(r.Aggregate, r.Failure...) {
			if (u.Address == "") != (u.Domain == "") || strings.ContainsAny(u.Address, " ,\r\n\x00") || u.Text == "" {
				t.Fatalf("%q: %+v", text, u)
			}
		}
		// A record that is written as it was read is read the same.
		plain := "v=DMARC1; psd=" + string(r.Suffix) + "; adkim=" + string(r.DKIM) + "; aspf=" + string(r.SPF)
		for name, p := range map[string]Policy{"p": r.Policy, "sp": r.Subdomain, "np": r.NonExistent} {
			if p != "" {
				plain += "; " + name + "=" + string(p)
			}
		}
		again, err := ParseRecord(plain)
		if err != nil || again.Policy != r.Policy || again.Subdomain != r.Subdomain || again.NonExistent != r.NonExistent ||
			again.DKIM != r.DKIM || again.SPF != r.SPF || again.Suffix != r.Suffix {
			t.Fatalf("%q: %+v, written as %q: %+v, %v", text, r, plain, again, err)
		}
		if _, err := json.Marshal(r); err != nil {
			t.Fatal(err)
		}
	})
}
