package dmarc

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/internal/require"
)

// appendix is RFC 9989, appendix B, from one heading to the next, without page ends.
func appendix(t *testing.T, from, to string) string {
	t.Helper()
	text, err := os.ReadFile(require.Suite(t, "dmarc", "dmarcbis-draft", "appendix-B-examples.txt"))
	if err != nil {
		t.Fatal(err)
	}
	plain := regexp.MustCompile(`(?m)^(Herr \(ed\)|Internet-Draft).*\n|\f`).ReplaceAllString(string(text), "")
	_, plain, ok := strings.Cut(plain, "\n"+from+"  ")
	plain, _, end := strings.Cut(plain, "\n"+to+"  ")
	if !ok || !end {
		t.Fatalf("no appendix from %s to %s", from, to)
	}
	return plain
}

// safely checks m, and with every answer withheld in turn, which must change nothing
// or make a temperror.
func safely(t *testing.T, z *zone, m Message) Outcome {
	t.Helper()
	z = z.fresh()
	got := checker(t, z, Config{}).Check(t.Context(), m)
	for _, name := range z.queries() {
		out := checker(t, z.without(name), Config{}).Check(t.Context(), m)
		if out.Result != TempError && (out.Result != got.Result || out.Disposition != got.Disposition) || out.Result == TempError && out.Disposition != NoPolicy {
			t.Errorf("%s (%s), without %s %s: %s", got.Result, got.Disposition, name, out.Result, out.Disposition)
		}
	}
	return got
}

// Appendix B.1 as it is printed: a title says how the identifiers are aligned.
func TestAppendixAlignment(t *testing.T) {
	find := func(text, pattern string) string {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(text); m != nil {
			return m[1]
		}
		return ""
	}
	examples := regexp.MustCompile(`(?ms)^   Example \d: (.*?):$(.*?)In this case`).FindAllStringSubmatch(appendix(t, "B.1.", "B.2."), -1)
	for _, e := range examples {
		title, text := e[1], e[2]
		author := find(text, `(?m)^ *From: .*@(.*)$`)
		m := message(author, find(text, `MAIL FROM: <.*@(.*)>`))
		if d := find(text, `d=(.*?);`); d != "" {
			m = message(author, "", d)
		}
		if m.SPF == (SPF{}) && m.DKIM == nil || author == "" {
			t.Fatalf("%s: %q", title, text)
		}
		for mode, want := range map[Mode]bool{
			Strict:  strings.Contains(title, "Strict"),
			Relaxed: !strings.Contains(title, "No "),
		} {
			z := published(map[string]string{"example.com": "v=DMARC1; p=reject; aspf=" + string(mode) + "; adkim=" + string(mode)})
			if got := safely(t, z, m); (got.Result == Pass) != want || (got.Disposition == NoPolicy) != want {
				t.Errorf("%s, %s: %s (%s)", title, mode, got.Result, got.Reason)
			}
		}
	}
	if len(examples) != 6 {
		t.Errorf("%d examples", len(examples))
	}
}

// Appendix B.2: the records as they are printed, and what they do to a message that
// fails.
func TestAppendixRecords(t *testing.T) {
	const feedback, auth = "dmarc-feedback@example.com", "auth-reports@example.com"
	const test, third = "tld-test@thirdparty.example.net", "thirdparty.example.net"
	want := []struct {
		name        string
		text        string
		rua, ruf    []string
		disposition Policy
	}{
		{"_dmarc", "v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com", []string{feedback}, nil, NoPolicy},
		{"_dmarc", "v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com; ruf=mailto:auth-reports@example.com", []string{feedback}, []string{auth}, NoPolicy},
		{"_dmarc", "v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com; ruf=mailto:auth-reports@thirdparty.example.net", []string{feedback}, []string{"auth-reports@" + third}, NoPolicy},
		{"example.com._report._dmarc", "v=DMARC1;", nil, nil, ""},
		{"example.com._report._dmarc", "v=DMARC1; rua=mailto:aggregate-reports@thirdparty.example.net; ruf=mailto:failure-reports@thirdparty.example.net",
			[]string{"aggregate-reports@" + third}, []string{"failure-reports@" + third}, ""},
		{"_dmarc", "v=DMARC1; p=quarantine; rua=mailto:dmarc-feedback@example.com,mailto:tld-test@thirdparty.example.net; t=y", []string{feedback, test}, nil, NoPolicy},
		{"_dmarc", "v=DMARC1; p=reject; rua=mailto:dmarc-feedback@example.com,mailto:tld-test@thirdparty.example.net", []string{feedback, test}, nil, Reject},
	}
	printed := regexp.MustCompile(`(?m)^ +(\S*_dmarc) +IN +TXT +(\([^)]*\)|".*")`).FindAllStringSubmatch(appendix(t, "B.2.", "B.3."), -1)
	if len(printed) != len(want) {
		t.Fatalf("%d records", len(printed))
	}
	addresses := func(list []URI) (all []string) {
		for _, u := range list {
			all = append(all, u.Address)
		}
		return all
	}
	for i, w := range want {
		var text strings.Builder
		for _, s := range regexp.MustCompile(`"([^"]*)"`).FindAllStringSubmatch(printed[i][2], -1) {
			text.WriteString(s[1])
		}
		if printed[i][1] != w.name || text.String() != w.text {
			t.Errorf("printed is %s %q, want %s %q", printed[i][1], text.String(), w.name, w.text)
		}
		r, err := ParseRecord(text.String())
		if err != nil || !slices.Equal(addresses(r.Aggregate), w.rua) || !slices.Equal(addresses(r.Failure), w.ruf) {
			t.Errorf("%s: %+v, %v", w.text, r, err)
		}
		if w.disposition == "" {
			continue // it lets others' reports come, and is no policy
		}
		for _, f := range Lint(w.text) {
			if f.Tag != "t" { // which does what the text says it is for
				t.Errorf("%s: %v", w.text, f)
			}
		}
		z := published(map[string]string{"example.com": w.text})
		if got := safely(t, z, message("example.com", "example.net")); got.Result != Fail || got.Disposition != w.disposition {
			t.Errorf("%s: %s, %s", w.text, got.Result, got.Disposition)
		}
	}
}

// Appendix B.3.1: a session.
func TestAppendixSession(t *testing.T) {
	text := regexp.MustCompile(`(?s)"(v=DMARC1.*?)"`).FindStringSubmatch(appendix(t, "B.3.", "B.4."))
	if text == nil {
		t.Fatal("no record")
	}
	z := published(map[string]string{"example.com": strings.Join(strings.Fields(text[1]), " ")})
	m := message("example.com", "mail.example.com", "example.com")
	got := safely(t, z, m)
	if got.Result != Pass || !got.SPF.Aligned || !got.DKIM[0].Aligned || got.Record.Aggregate[0].Address != "dmarc-feedback@example.com" {
		t.Errorf("%+v", got)
	}
	m.SPF.Result, m.DKIM[0].Result = "fail", "fail"
	if got := safely(t, z, m); got.Result != Fail || got.Disposition != Reject {
		t.Errorf("%+v", got)
	}
	m.Overrides = []Override{{Type: TrustedForwarder}}
	if got := safely(t, z, m); got.Result != Fail || got.Disposition != NoPolicy {
		t.Errorf("%+v", got)
	}
	if got := checker(t, z.without("_dmarc.example.com"), Config{}).Check(t.Context(), m); got.Result != TempError || got.Disposition != NoPolicy {
		t.Errorf("%+v", got)
	}
}

// Appendix B.4: which domains are asked for, and what they are to each other.
func TestAppendixWalks(t *testing.T) {
	for _, tt := range []struct {
		zone           *zone
		name           string
		organizational string
		suffix         string
		asked          string // in the order of the text
	}{
		{simple, "example.com", "example.com", "", "example.com com"},
		{simple, "signing.example.com", "example.com", "", "signing.example.com example.com com"},
		{simple, "a.b.c.d.e.f.g.h.i.j.k.example.com", "example.com", "", "a.b.c.d.e.f.g.h.i.j.k.example.com g.h.i.j.k.example.com h.i.j.k.example.com " +
			"i.j.k.example.com j.k.example.com k.example.com example.com com"},
		{bank, "giant.bank.example", "giant.bank.example", "bank.example", "giant.bank.example bank.example"},
		{bank, "mail.giant.bank.example", "giant.bank.example", "bank.example", "mail.giant.bank.example giant.bank.example bank.example"},
		{bank, "mail.mega.bank.example", "mega.bank.example", "bank.example", "mail.mega.bank.example mega.bank.example bank.example"},
	} {
		w, err := checker(t, tt.zone.fresh(), Config{}).Walk(t.Context(), tt.name)
		var asked []string
		for _, s := range w.Steps {
			asked = append(asked, s.Domain)
		}
		if err != nil || w.Organizational != tt.organizational || w.Suffix != tt.suffix || strings.Join(asked, " ") != tt.asked {
			t.Errorf("%s: %+v, %v", tt.name, w, err)
		}
	}
}
