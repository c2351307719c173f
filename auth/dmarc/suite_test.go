package dmarc

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/internal/require"
)

func read(t *testing.T, v any, elem ...string) {
	t.Helper()
	text, err := os.ReadFile(require.Suite(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatal(err)
	}
}

// TestSpoofing checks the messages of espoofer, with what SPF says of their
// clients and every DKIM signature taken for good.
func TestSpoofing(t *testing.T) {
	var suite struct {
		DNS map[string][]struct {
			Type string
			Data []string
		}
		Cases []struct {
			ID, EML, IP, Helo, MailFrom string
			Victim                      string `json:"victim_domain"`
		}
	}
	read(t, &suite, "spoofing", "espoofer", "normalized.json")
	z := &zone{txt: make(map[string][]string)}
	for name, sets := range suite.DNS {
		for _, set := range sets {
			if set.Type == "TXT" {
				z.txt[name] = set.Data
			}
		}
	}
	c := checker(t, z, Config{})
	signed := regexp.MustCompile(`(?s)DKIM-Signature:.*?d=(.*?); s=(.*?);`)
	for _, tt := range suite.Cases {
		content, err := os.ReadFile(require.Suite(t, "spoofing", "espoofer", tt.EML))
		if err != nil {
			t.Fatal(err)
		}
		m := Message{Header: content}
		if i := bytes.Index(content, []byte("\r\n\r\n")); i >= 0 {
			m.Header = content[:i+2]
		}
		for _, d := range signed.FindAllSubmatch(m.Header, -1) {
			m.DKIM = append(m.DKIM, DKIM{string(d[1]), string(d[2]), "pass"})
		}
		sender := tt.MailFrom[strings.LastIndexByte(tt.MailFrom, '@')+1:]
		for _, name := range []string{sender, tt.Helo} { // what the check may have been of
			m.SPF = SPF{Domain: name, Result: "none"}
			if policy := strings.Join(z.txt[name], ""); strings.Contains(policy, tt.IP+" ") {
				m.SPF.Result = "pass"
			} else if policy != "" {
				m.SPF.Result = "fail"
			}
			got := c.Check(t.Context(), m)
			// One user of the victim's own server who writes as another: DMARC
			// speaks of domains, and whose address is whose is for that server.
			if tt.ID == "client_a3" && name == tt.Victim {
				if got.Result != Pass {
					t.Errorf("%s: %s (%s)", tt.ID, got.Result, got.Reason)
				}
				continue
			}
			if got.Result != Fail && got.Result != PermError || got.Disposition != Reject {
				t.Errorf("%s with SPF %+v: %s, %s (%s)", tt.ID, m.SPF, got.Result, got.Disposition, got.Reason)
			}
		}
	}
	if len(suite.Cases) < 22 {
		t.Errorf("%d cases", len(suite.Cases))
	}
}

// TestPublicSuffixVectors are those of publicsuffix.org.
func TestPublicSuffixVectors(t *testing.T) {
	text, err := os.ReadFile(require.Suite(t, "url", "publicsuffix", "tests.txt"))
	if err != nil {
		t.Fatal(err)
	}
	c := checker(t, published(nil), Config{})
	n := 0
	for line := range strings.Lines(string(text)) {
		name, want, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(line, "//") || name == "null" {
			continue
		}
		name, err := normal(name)
		if err != nil {
			if want != "null" {
				t.Errorf("%s", err)
			}
			continue
		}
		if want == "null" {
			want = name // a public suffix is its own organizational domain
		} else if want, err = normal(want); err != nil {
			t.Fatal(err)
		}
		if got := c.registered(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		n++
	}
	if n < 70 {
		t.Errorf("%d vectors", n)
	}
}

// TestMailDMARC walks the zone of Mail::DMARC's tests, and asks what they ask.
func TestMailDMARC(t *testing.T) {
	var suite struct {
		Zone map[string][]map[string]string
	}
	read(t, &suite, "dmarc", "mail-dmarc", "pureperl-extract.json")
	z := &zone{txt: make(map[string][]string)}
	for name, records := range suite.Zone {
		for _, r := range records {
			if text, ok := r["TXT"]; ok {
				z.txt[name] = append(z.txt[name], text)
			} else {
				z.also = append(z.also, name)
			}
		}
	}
	c := checker(t, z, Config{})
	for name, want := range map[string]string{
		"tnpi.net": "tnpi.net", "www.tnpi.net": "tnpi.net", "mail-dmarc.tnpi.net": "tnpi.net",
		"anchor.dmarctest.net": "anchor.dmarctest.net", "sub.anchor.dmarctest.net": "anchor.dmarctest.net",
		"sub.psd.dmarctest.net": "sub.psd.dmarctest.net", "deep.sub.psd.dmarctest.net": "sub.psd.dmarctest.net",
		"bbc.co.uk": "bbc.co.uk", "mail-dmark.tnpi.net": "tnpi.net", "fake.mail-dmarc.tnpi.net": "tnpi.net", "com": "com",
		"no-such-made-up-name-should-exist.com.uk.nonsense": "no-such-made-up-name-should-exist.com.uk.nonsense",
	} {
		if w, err := c.Walk(t.Context(), name); err != nil || w.Organizational != want {
			t.Errorf("%s: %s, %v; want %s", name, w.Organizational, err, want)
		}
	}
	for _, tt := range []struct {
		name        string
		result      Result
		disposition Policy
	}{
		{"tnpi.net", Fail, Reject},
		{"mail-dmarc.tnpi.net", Fail, Reject},
		{"invalid-sp-and-with-rua.example.com", Fail, NoPolicy},
		{"invalid-sp-and-without-rua.example.com", PermError, NoPolicy},
		{"ttest.dmarctest.net", Fail, Quarantine},
		{"gone.np.dmarctest.net", Fail, Reject},
		{"real.np.dmarctest.net", Fail, NoPolicy},
		{"txtonly.np.dmarctest.net", Fail, NoPolicy},
		{"gone.npnosp.dmarctest.net", Fail, Quarantine},
		{"gone.npnone.dmarctest.net", Fail, NoPolicy},
		{"gone.npttest2.dmarctest.net", Fail, Quarantine},
		{"bbc.co.uk", None, NoPolicy},
	} {
		if got := c.Check(t.Context(), message(tt.name, "")); got.Result != tt.result || got.Disposition != tt.disposition {
			t.Errorf("%s: %s, %s (%s); want %s, %s", tt.name, got.Result, got.Disposition, got.Reason, tt.result, tt.disposition)
		}
	}
}

// TestRecordSuites reads the records of mox and OpenDMARC, which follow RFC
// 7489: what RFC 9989 reads in another way is said here, by section.
func TestRecordSuites(t *testing.T) {
	var mox struct {
		Bad   []string
		Valid [][]any
	}
	read(t, &mox, "dmarc", "mox", "parse.json")
	// Section 4.8 ignores a bad tag, an unknown and an obsolete one, where RFC 7489
	// ignores the record: nearly all of these are then left without a policy (p
	// twice counts as absent), and section 4.10.1 does not apply them either. p
	// need not be the first.
	withPolicy := map[string]Policy{"v=DMARC1; sp=reject; p=reject": Reject}
	for _, text := range mox.Bad {
		r, err := ParseRecord(text)
		if err == nil {
			if want := withPolicy[text]; r.Policy != want {
				t.Errorf("%q has the policy %q, want %q", text, r.Policy, want)
			}
		} else if strings.HasPrefix(text, "v=DMARC1;") {
			t.Errorf("%q: %v", text, err)
		}
		if len(Lint(text)) == 0 {
			t.Errorf("%q: nothing found", text)
		}
	}
	for _, v := range mox.Valid {
		text := v[0].(string)
		if r, err := ParseRecord(text); err != nil || r.Policy == "" {
			t.Errorf("%q: %+v, %v", text, r, err)
		}
	}
	var open struct {
		Parse []struct{ Record, Outcome string }
		From  []struct{ From, Domain string } `json:"from_domain"`
	}
	read(t, &open, "dmarc", "opendmarc", "cases.json")
	for _, tt := range open.Parse {
		r, err := ParseRecord(tt.Record)
		found := Lint(tt.Record)
		switch {
		case tt.Record == "v=DMARC1; p=n;": // OpenDMARC takes the first letter
			if err != nil || r.Policy != "" {
				t.Errorf("%q: %+v, %v", tt.Record, r, err)
			}
		case tt.Outcome == "DMARC_PARSE_OKAY":
			if err != nil || r.Policy == "" {
				t.Errorf("%q: %+v, %v", tt.Record, r, err)
			}
		case err == nil && len(found) == 0: // read, but not without a word
			t.Errorf("%q: nothing found", tt.Record)
		}
	}
	for _, tt := range open.From {
		if got, err := AuthorDomain([]byte("From: "+tt.From+"\r\n"), 1); err == nil && got != tt.Domain {
			t.Errorf("From: %s: %s, want %s or a defect", tt.From, got, tt.Domain)
		}
	}
}

// TestResolverOfNet asks a *net.Resolver, whose server is not there.
func TestResolverOfNet(t *testing.T) {
	r := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
	}}
	c, err := New(Config{Resolver: r})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Check(t.Context(), message("example.com", "example.com")); got.Result != TempError {
		t.Errorf("%s (%s)", got.Result, got.Reason)
	}
}
