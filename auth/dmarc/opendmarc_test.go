package dmarc

import (
	"strings"
	"testing"
)

// TestOpenAlignment has OpenDMARC's table of alignment. Its organizational domains are
// those of the Public Suffix List.
func TestOpenAlignment(t *testing.T) {
	var suite struct {
		Alignment []struct {
			Domain  string
			Author  string `json:"from_or_org"`
			Mode    string
			Outcome string `json:"outcome_0_aligned"`
		}
		SPF []any `json:"spf_internal"`
	}
	read(t, &suite, "dmarc", "opendmarc", "cases.json")
	// Dots too many make no domain name (RFC 1035, section 2.3.1), and what is none is
	// not aligned with anything: OpenDMARC takes them off.
	dots := map[string]bool{".mac.com.": true, "....mac.com....": true}
	for _, tt := range suite.Alignment {
		mode := "r"
		if strings.HasSuffix(tt.Mode, "STRICT") {
			mode = "s"
		}
		z := published(map[string]string{})
		record := "v=DMARC1; p=reject; adkim=" + mode
		for _, name := range []string{tt.Author, "bcx.com", "foo.com", "b.com"} { // and their organizational domains
			z.txt["_dmarc."+name] = []string{record}
		}
		want := Fail
		if tt.Outcome == "0" && !dots[tt.Domain] {
			want = Pass
		}
		if tt.Author == "..com" {
			want = PermError // From is no address
		}
		for _, by := range []Discovery{PublicSuffix, TreeWalk} {
			got := checker(t, z.fresh(), Config{Discovery: by}).Check(t.Context(), message(tt.Author, "", tt.Domain))
			if got.Result != want {
				t.Errorf("%s of %s, %s by %s: %s (%s), want %s", tt.Domain, tt.Author, mode, by, got.Result, got.Reason, want)
			}
		}
	}
	if len(suite.Alignment) != 10 {
		t.Errorf("%d cases", len(suite.Alignment))
	}
}

// TestOpenScenarios has the scenarios of OpenDMARC's filter: what it says of each, and
// we.
func TestOpenScenarios(t *testing.T) {
	var suite []struct {
		ID      string
		Headers [][2]string
		From    []string `json:"mailfrom"`
	}
	read(t, &suite, "dmarc", "opendmarc", "milter-lua.json")
	z := published(map[string]string{"paypal.com": "v=DMARC1; p=reject", "trusteddomain.org": "v=DMARC1; p=none", "blackops.org": "v=DMARC1; p=none", "eleet.org": "v=DMARC1; p=none"})
	want := map[string]struct {
		result      Result
		disposition Policy
		defect      Defect
		spf         string
	}{
		"t-verify-nodata":        {Fail, Reject, "", ""},
		"t-verify-nodata-reject": {Fail, Reject, "", ""},
		"t-verify-unspec":        {Fail, Reject, "", "none"},
		"t-verify-self-spf":      {Fail, NoPolicy, "", "fail"},

		// It takes the first of the addresses, or refuses if so configured; we refuse (RFC
		// 9989, section 11.5).
		"t-verify-multi-from-reject":    {PermError, Reject, SeveralAuthors, ""},
		"t-verify-multi-from-malformed": {PermError, Reject, MalformedFrom, ""},

		// A Received-SPF field may be anybody's. SPF's result comes from who checked it.
		"t-verify-received-spf-bad":  {Fail, NoPolicy, "", ""},
		"t-verify-received-spf-good": {Fail, NoPolicy, "", ""},
	}
	for _, tt := range suite {
		w, ok := want[tt.ID]
		if !ok {
			t.Errorf("%s is not known", tt.ID)
			continue
		}
		var m Message
		for _, f := range tt.Headers {
			m.Header = append(m.Header, f[0]+": "+f[1]+"\r\n"...)
		}
		if w.spf != "" {
			m.SPF = SPF{Domain: tt.From[0][strings.IndexByte(tt.From[0], '@')+1:], Result: w.spf}
		}
		got := safely(t, z, m)
		if got.Result != w.result || got.Disposition != w.disposition || got.Defect != w.defect {
			t.Errorf("%s: %s, %s (%s)", tt.ID, got.Result, got.Disposition, got.Reason)
		}
	}
	if len(suite) != len(want) {
		t.Errorf("%d scenarios", len(suite))
	}
}

// TestReportURIs has those that Mail::DMARC is tried with, and what of them a record
// has: RFC 9990, section 3, knows mailto alone; others have no address, and count as
// reporting URIs all the same (RFC 9989, section 4.10.1).
func TestReportURIs(t *testing.T) {
	for rua, want := range map[string]string{
		"mailto:dmarc@example.com":                          "dmarc@example.com",
		"mailto:dmarc@example.com,http://example.com/dmarc": "dmarc@example.com -",
		"ftp://dmarc.example.com,http://example.com/dmarc":  "- -",
		"mailto:invalid@no-premission.example.com":          "invalid@no-premission.example.com",
		"ftp://ftp.example.com":                             "-",
		"gopher://www.example.com/dmarc":                    "-",
		"scp://secure.example.com":                          "-",
		"http://www.example.com/dmarc":                      "-",
		"dmarc@example.com":                                 "",
		"":                                                  "",
		",":                                                 "",
		"mailto:":                                           "",
		"mailto:dmarc":                                      "",
		" mailto:a@example.com , mailto:b@example.com!10m ": "a@example.com b@example.com",
		"mailto:a%2Bb@example.com":                          "a+b@example.com",
	} {
		r, err := ParseRecord("v=DMARC1; p=reject; rua=" + rua)
		var got []string
		if err == nil {
			for _, u := range r.Aggregate {
				a := u.Address
				if a == "" {
					a = "-"
				}
				got = append(got, a)
			}
		}
		if text := strings.Join(got, " "); text != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", rua, text, err, want)
		}
		// Without a policy it is the URI that makes one.
		r, err = ParseRecord("v=DMARC1; rua=" + rua)
		if err != nil || (r.Policy == NoPolicy) != (want != "") {
			t.Errorf("%q without a policy: %q, %v", rua, r.Policy, err)
		}
	}
}
