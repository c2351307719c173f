package failure

import (
	"bytes"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/internal/require"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func reporter(t testing.TB, cfg Config) *Reporter {
	t.Helper()
	cfg.From, cfg.Host = "dmarc@Receiver.example", "MX.receiver.example"
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const header = "Received: from out.example.org ([192.0.2.7]) by relay.example.org with ESMTPS id 42\r\n" +
	"\tfor <ann@receiver.example>; Fri, 1 May 2026 11:59:58 +0000\r\n" +
	"DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=s1; i=bob@example.org; h=from:to; bh=aGVsbG8=; b=aGVsbG8=\r\n" +
	"From: \"Bob Roe\" <bob@example.org>\r\nTo: <ann@receiver.example>\r\nSubject: you are dismissed\r\n" +
	"Message-ID: <1@example.org>\r\nDate: Fri, 1 May 2026 11:59:57 +0000\r\n"

// judged is a message of bob@example.org whose signature broke and whose
// reverse-path is of a forwarder, under that record.
func judged(t testing.TB, record string) Message {
	t.Helper()
	c, err := dmarc.New(dmarc.Config{Resolver: records{"_dmarc.example.org.": {record}}})
	if err != nil {
		t.Fatal(err)
	}
	out := c.Check(t.Context(), dmarc.Message{
		Header: []byte(header), SPF: dmarc.SPF{Domain: "forwarder.example", Result: "softfail"},
		DKIM: []dmarc.DKIM{{Domain: "forwarder.example", Selector: "f", Result: "pass"}, {Domain: "example.org", Selector: "s1", Result: "fail"}},
	})
	return Message{
		Outcome: out, Header: []byte(header + "\r\nBody.\r\n"), Source: netip.MustParseAddr("::ffff:192.0.2.9"), Port: 12345,
		MailFrom: "bob=example.org@Forwarder.example", EnvelopeID: "4F2A", Arrived: noon, Delivery: Rejected,
		Identities: []string{"@forwarder.example", "bob@example.org"},
		SPF:        []Policy{{"forwarder.example", `v=spf1 include:"x" \ ~all`}, {"_spf.forwarder.example", "v=spf1\x00"}, {"[bad]", "v=spf1"}},
	}
}

const rejects = "v=DMARC1; p=reject; ruf=mailto:f@example.org"

func TestReport(t *testing.T) {
	r := reporter(t, Config{})
	m := judged(t, rejects)
	what := wanted(&m)
	if !reflect.DeepEqual(what, []Failure{DMARC}) {
		t.Fatalf("%v of %+v", what, m.Outcome)
	}
	d := r.draft(&m, DMARC, noon)
	mail := r.mail(&d, 3, "f@example.org", noon)
	if mail.From != "dmarc@receiver.example" || mail.To != "f@example.org" || mail.Domain != "example.org" || mail.Incidents != 3 || !strings.HasSuffix(mail.ID, "@mx.receiver.example") {
		t.Errorf("%+v", mail)
	}
	if other := r.mail(&d, 3, "f@example.org", noon); other.ID == mail.ID {
		t.Error("two of one identifier")
	}
	for _, leak := range []string{"ann", "bob", "Bob", "dismissed", "Body."} {
		if bytes.Contains(mail.Content, []byte(leak)) {
			t.Errorf("tells %q", leak)
		}
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(mail.Content), "\r\n"), "\r\n") {
		if len(line) > 998 || strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Errorf("line %q", line)
		}
	}
	got, err := Read(bytes.NewReader(mail.Content), Limits{})
	if err != nil {
		t.Fatalf("%v\n%s", err, mail.Content)
	}
	told := string(got.Header)
	got.Header = nil
	want := Report{
		Feedback: "auth-failure", Failure: DMARC, Agent: "smtpguard", Reporter: "mx.receiver.example", Domain: "example.org",
		Source: netip.MustParseAddr("192.0.2.9"), Port: 12345, MailFrom: "redacted@forwarder.example", EnvelopeID: "4F2A",
		Arrived: got.Arrived, Incidents: 3, Delivery: Rejected, Unaligned: []string{"dkim", "spf"},
		Results: []string{"mx.receiver.example; dmarc=fail header.from=example.org"}, SPF: []Policy{{"forwarder.example", `v=spf1 include:"x" \ ~all`}},
		DKIMDomain: "example.org", DKIMIdentity: "redacted@example.org", DKIMSelector: "s1",
	}
	if !reflect.DeepEqual(*got, want) || !got.Arrived.Equal(noon) {
		t.Errorf("%+v\nwant\n%+v", *got, want)
	}
	if !strings.HasPrefix(told, "Received: from out.example.org ([192.0.2.7]) by relay.example.org with\r\n") || strings.Count(told, "(removed)") != 1 {
		t.Errorf("header\n%s", told)
	}
}

// TestReportBounds has far too much of everything that others choose.
func TestReportBounds(t *testing.T) {
	r := reporter(t, Config{Fields: []string{"X-A"}})
	m := judged(t, rejects)
	m.Header = []byte(strings.Repeat("X-A: "+strings.Repeat("word ", 1000)+"\r\n", 40))
	m.EnvelopeID, m.MailFrom = strings.Repeat("x", 1000), strings.Repeat("x", 1000)+"@"+strings.Repeat("y", 1000)
	m.SPF, m.Identities = nil, []string{"@\r\nX: y", "\r\nX: y@example.org"}
	for range 100 {
		m.SPF = append(m.SPF, Policy{"example.org", "v=spf1 " + strings.Repeat("a:example.org ", 30)})
	}
	m.Outcome.DKIM[1].Selector = "a\r\nX: y"
	m.Outcome.SPF.Domain = "a\r\nX: y"
	for _, what := range []Failure{DMARC, Signature, SPF} {
		d := r.draft(&m, what, noon)
		mail := r.mail(&d, 1, "f@example.org", noon)
		if n := len(d.text) + len(d.fields) + len(d.header); n > 20<<10 {
			t.Errorf("%s: a draft of %d octets", what, n)
		}
		if bytes.Contains(mail.Content, []byte("\nX: ")) {
			t.Errorf("%s:\n%s", what, mail.Content)
		}
		got, err := Read(bytes.NewReader(mail.Content), Limits{})
		if err != nil || got.Failure != what || got.Domain != "example.org" || got.EnvelopeID != "" || got.MailFrom != "" || got.DKIMSelector != "" || len(got.SPF) > 10 {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
}

// TestPython has Python's email package read reports: it tells of every defect.
func TestPython(t *testing.T) {
	python := require.Program(t, "python3")
	dir := t.TempDir()
	for name, option := range map[string]string{"dmarc": "0", "signature": "d", "spf": "s"} {
		m := judged(t, rejects+"; fo="+option)
		r := reporter(t, Config{Key: bytes.Repeat([]byte{7}, 32), Fields: []string{"Subject"}})
		d := r.draft(&m, wanted(&m)[0], noon)
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, r.mail(&d, 1, "f@example.org", noon).Content, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), python, "testdata/peers/arf.py", file).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		text := string(out)
		for _, want := range []string{
			"type multipart/report feedback-report\nFrom dmarc@receiver.example\nTo f@example.org\nAuto-Submitted auto-generated\n" +
				"part text/plain\npart message/feedback-report\n  Feedback-Type: auth-failure\n",
			"  Auth-Failure: " + name + "\n", "  Source-IP: 192.0.2.9\n", "  Reported-Domain: example.org\n",
			"\npart text/rfc822-headers\n  Received: from out.example.org", "  Subject: you are dismissed\n",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", name, want, text)
			}
		}
		if strings.Contains(text, "defect") || strings.Contains(text, "body in") || strings.Contains(text, "bob") {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}

// TestMailDMARC has Mail::DMARC tell the report for one: it does not read them
// further.
func TestMailDMARC(t *testing.T) {
	perl := require.Program(t, "perl")
	if exec.Command(perl, "-MMail::DMARC::Report::Receive", "-e", "1").Run() != nil {
		lacks(t, "Mail::DMARC")
	}
	m := judged(t, rejects)
	r := reporter(t, Config{})
	d := r.draft(&m, DMARC, noon)
	file := filepath.Join(t.TempDir(), "report.eml")
	if err := os.WriteFile(file, r.mail(&d, 1, "f@example.org", noon).Content, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), perl, "-MMail::DMARC::Report::Receive", "-e",
		`print "type=", Mail::DMARC::Report::Receive->new->from_file($ARGV[0]), "\n"`, file)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "type=forensic\n") || strings.Contains(string(out), "Unknown message part") {
		t.Errorf("%v: %s", err, out)
	}
}

// lacks skips a test, or fails it where all that is needed must be there.
func lacks(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("SMTPGUARD_REQUIRE") != "" {
		t.Fatalf("needs %s", what)
	}
	t.Skipf("needs %s", what)
}

func TestWanted(t *testing.T) {
	for _, tt := range []struct{ record, spf, dkim, want string }{
		{"", "fail", "fail", "dmarc"},
		{"; fo=0", "fail", "fail", "dmarc"},
		{"; fo=0", "pass", "fail", ""},
		{"; fo=0", "fail", "pass", ""},
		{"; fo=1", "fail", "pass", "dmarc"},
		{"; fo=1", "pass", "none", "dmarc"},
		{"; fo=1", "pass", "pass", ""},
		{"; fo=1", "temperror", "pass", ""},
		{"; fo=1", "pass", "temperror", ""},
		{"; fo=d", "fail", "fail", "signature"},
		{"; fo=d", "pass", "permerror", "signature"},
		{"; fo=d", "fail", "pass", ""},
		{"; fo=d", "fail", "temperror", ""},
		{"; fo=s", "softfail", "pass", "spf"},
		{"; fo=s", "permerror", "pass", "spf"},
		{"; fo=s", "none", "fail", ""},
		{"; fo=s", "temperror", "pass", ""},
		{"; fo=d:s", "fail", "fail", "signature spf"},
		{"; fo=s:d:0", "fail", "fail", "dmarc"},
		{"; fo=0:d", "pass", "fail", "signature"},
		{"; fo=x", "fail", "fail", "dmarc"},
		{"; psd=y", "fail", "fail", ""},
		{"; psd=n", "fail", "fail", "dmarc"},
	} {
		c, err := dmarc.New(dmarc.Config{Resolver: records{"_dmarc.example.org.": {rejects + tt.record}}})
		if err != nil {
			t.Fatal(err)
		}
		message := dmarc.Message{Header: []byte(header), SPF: dmarc.SPF{Domain: "example.org", Result: tt.spf}, DKIM: []dmarc.DKIM{{Domain: "example.org", Selector: "s", Result: tt.dkim}}}
		m := Message{Outcome: c.Check(t.Context(), message), Header: []byte(header), MailFrom: "bob@example.org"}
		var got []string
		for _, what := range wanted(&m) {
			got = append(got, string(what))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%q with spf=%s dkim=%s: %q, want %q", tt.record, tt.spf, tt.dkim, got, tt.want)
		}
	}
	for name, change := range map[string]func(*Message){
		"no record":            func(m *Message) { m.Outcome.Record = nil },
		"no ruf":               func(m *Message) { *m = judged(t, "v=DMARC1; p=reject; rua=mailto:f@example.org; fo=1") },
		"an answer is missing": func(m *Message) { m.Outcome.Result = dmarc.TempError },
		"no clear author":      func(m *Message) { m.Outcome.Result = dmarc.PermError },
		"a bounce":             func(m *Message) { m.MailFrom = "" },
		"a failure report": func(m *Message) {
			m.Header = []byte("Content-Type: multipart/report; report-type=feedback-report; boundary=x\r\n")
		},
		"a delivery report":       func(m *Message) { m.Header = []byte("content-type:Multipart/Report; x\r\n") },
		"a report told malformed": func(m *Message) { m.Header = []byte("Content-Type: multipart/report;;; =\r\n") },
		"a bare feedback report":  func(m *Message) { m.Header = []byte("Content-Type: message/feedback-report\r\n") },
		"its field":               func(m *Message) { m.Header = []byte("Feedback-Type: abuse\r\n") },
		"an auto-reply":           func(m *Message) { m.Header = []byte("Auto-Submitted: auto-replied (vacation)\r\n") },
		"folded":                  func(m *Message) { m.Header = []byte("Auto-Submitted:\r\n auto-generated; x=y\r\n") },
	} {
		m := judged(t, rejects)
		if change(&m); wanted(&m) != nil {
			t.Errorf("%s is reported", name)
		}
	}
	m := judged(t, rejects)
	m.Header = []byte("Auto-Submitted: no (really)\r\nContent-Type: multipart/mixed; boundary=report\r\n")
	if wanted(&m) == nil {
		t.Error("what a person sent is not reported")
	}
}

func TestNew(t *testing.T) {
	good := Config{From: "dmarc@receiver.example", Host: "mx.receiver.example"}
	for _, tt := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.From = "" }, "failure: From"},
		{func(c *Config) { c.From = "\"a b\"@receiver.example" }, "failure: From"},
		{func(c *Config) { c.From = "a@[192.0.2.1]" }, "failure: From"},
		{func(c *Config) { c.Host = "" }, "failure: Host"},
		{func(c *Config) { c.Key = []byte("short") }, "failure: Key"},
		{func(c *Config) { c.Fields = []string{"Sub ject"} }, "failure: Fields"},
		{func(c *Config) { c.PerDomain = -1 }, "failure: PerDomain"},
		{func(c *Config) { c.PerDestination = -1 }, "failure: PerDestination"},
		{func(c *Config) { c.Total = -1 }, "failure: Total"},
	} {
		cfg := good
		tt.change(&cfg)
		if _, err := New(cfg); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%v, want %s…", err, tt.want)
		}
	}
	r, err := New(good)
	if err != nil || r.perDomain != 10 || r.perDestination != 60 || r.total != 240 {
		t.Errorf("%+v, %v", r, err)
	}
}
