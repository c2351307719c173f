package report

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/internal/require"
)

// records answers as DNS would, by name with its trailing dot; "fail" for a text
// withholds the answer, and "hang" lets all wait for it.
type records map[string][]string

func (r records) LookupTXT(ctx context.Context, name string) ([]string, error) {
	texts, ok := r[name]
	switch {
	case !ok:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case texts[0] == "fail":
		return nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	case texts[0] == "hang":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return texts, nil
}

func checker(t testing.TB, r records, by dmarc.Discovery) *dmarc.Checker {
	t.Helper()
	c, err := dmarc.New(dmarc.Config{Resolver: r, Discovery: by})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var reporter = Reporter{
	Organization: "Receiver & Sons", Email: "dmarc@receiver.example", Contact: "https://receiver.example/<dmarc>",
	Domain: "MX.receiver.example", Generator: "smtpguard",
}

func collector(t testing.TB, cfg Config) *Collector {
	t.Helper()
	cfg.Reporter = reporter
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// checked are messages of one day and what DMARC says of them.
func checked(t testing.TB, by dmarc.Discovery) []Message {
	t.Helper()
	c := checker(t, records{
		"_dmarc.example.com.":       {"v=DMARC1; p=reject; sp=quarantine; np=reject; t=y; adkim=s; fo=1; rua=mailto:d@example.com; ruf=mailto:f@example.com"},
		"_dmarc.lists.example.com.": {"v=DMARC1; p=none; rua=mailto:d@example.com"},
		"_dmarc.quiet.example.":     {"v=DMARC1; p=reject"},
	}, by)
	var list []Message
	add := func(author, source string, spf dmarc.SPF, sigs []dmarc.DKIM, overrides ...dmarc.Override) {
		out := c.Check(t.Context(), dmarc.Message{
			Header: []byte("From: <ann@" + author + ">\r\n"), SPF: spf, DKIM: sigs, Overrides: overrides,
		})
		list = append(list, Message{Outcome: out, Source: netip.MustParseAddr(source), EnvelopeFrom: spf.Domain, EnvelopeTo: "receiver.example"})
	}
	pass := []dmarc.DKIM{{Domain: "other.example", Selector: "x", Result: "fail"}, {Domain: "example.com", Selector: "s1", Result: "pass"}}
	for range 3 {
		add("example.com", "192.0.2.1", dmarc.SPF{Domain: "example.com", Result: "pass"}, pass)
	}
	add("example.com", "::ffff:192.0.2.1", dmarc.SPF{Domain: "example.com", Result: "pass"}, pass)
	add("example.com", "2001:db8::1", dmarc.SPF{Domain: "attack.example", Result: "softfail"}, nil)
	add("news.example.com", "192.0.2.7", dmarc.SPF{}, []dmarc.DKIM{{Domain: "<bad>\x01", Selector: "s", Result: "weird"}})
	add("example.com", "192.0.2.8", dmarc.SPF{Domain: "list.example", Result: "pass"}, nil,
		dmarc.Override{Type: dmarc.MailingList, Comment: "a <list> & more"})
	add("lists.example.com", "192.0.2.9", dmarc.SPF{Domain: "x.example", Result: "none"}, nil)
	add("quiet.example", "192.0.2.9", dmarc.SPF{}, nil)   // wants no reports
	add("nothing.example", "192.0.2.9", dmarc.SPF{}, nil) // has no record
	return list
}

// reports counts messages and writes the reports that are due the day after, by
// policy domain.
func reports(t testing.TB, c *Collector, messages []Message) map[string][]byte {
	t.Helper()
	for _, m := range messages {
		if err := c.add(t.Context(), &m, noon); err != nil {
			t.Fatal(err)
		}
	}
	written := make(map[string][]byte)
	for b, err := range c.Due(t.Context(), noon.Add(12*time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		var buf bytes.Buffer
		if _, err := c.Write(t.Context(), &buf, b); err != nil {
			t.Fatal(err)
		}
		written[b.Policy.Domain] = buf.Bytes()
	}
	return written
}

func TestReport(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		by := dmarc.TreeWalk
		if legacy {
			by = dmarc.PublicSuffix
		}
		c := collector(t, Config{Legacy: legacy})
		for range c.Due(t.Context(), noon.Add(12*time.Hour)) {
			t.Error("due before anything was added")
		}
		written := reports(t, c, checked(t, by))
		if len(written) != 2 {
			t.Fatalf("%d reports", len(written))
		}
		got, err := Read(bytes.NewReader(written["example.com"]), Limits{})
		if err != nil {
			t.Fatalf("%v in %s", err, written["example.com"])
		}
		if got.Organization != reporter.Organization || got.Contact != reporter.Contact || got.Email != reporter.Email ||
			!got.Begin.Equal(noon.Add(-12*time.Hour)) || !got.End.Equal(noon.Add(12*time.Hour-time.Second)) || !strings.HasSuffix(got.ID, "@mx.receiver.example") {
			t.Errorf("%+v", got)
		}
		p := got.Policy
		if p.Domain != "example.com" || p.Policy != "reject" || p.Subdomain != "quarantine" || p.DKIM != "s" || p.SPF != "r" || p.FailureOptions != "1" {
			t.Errorf("%+v", p)
		}
		if !legacy && (p.NonExistent != "reject" || !p.Testing || p.Discovery != "treewalk") {
			t.Errorf("%+v", p)
		}
		rows := make(map[string]Row)
		for _, r := range got.Rows {
			rows[r.Source.String()] = r
		}
		r := rows["192.0.2.1"]
		want := DispositionPass
		if legacy {
			want = DispositionNone
		}
		if len(got.Rows) != 4 || r.Count != 4 || r.Disposition != want || !r.DKIMAligned || !r.SPFAligned || len(r.DKIM) != 2 || r.DKIM[0] != (Signature{"example.com", "s1", "pass", ""}) {
			t.Errorf("%d rows, %+v", len(got.Rows), r)
		}
		if r := rows["192.0.2.8"]; r.Disposition != DispositionNone || len(r.Reasons) == 0 || r.Reasons[len(r.Reasons)-1].Comment != "a <list> & more" {
			t.Errorf("%+v", r)
		}
		r = rows["192.0.2.7"]
		if len(r.DKIM) != 1 || r.DKIM[0].Result != "none" || r.HeaderFrom != "news.example.com" || (r.SPF != nil) != legacy {
			t.Errorf("%+v", r)
		}
		if !legacy && (rows["2001:db8::1"].Disposition != DispositionQuarantine || rows["2001:db8::1"].Reasons[0].Type != dmarc.PolicyTestMode) {
			t.Errorf("%+v", rows["2001:db8::1"])
		}
		var sum Summary
		sum.Add(got)
		if sum.Messages != 7 || sum.Passed != 4 || sum.Reports != 1 || sum.Overridden == 0 && !legacy {
			t.Errorf("%+v", sum)
		}
	}
}

// TestSchema has xmllint check what is written, and what is written again of
// what was read.
func TestSchema(t *testing.T) {
	xmllint := require.Program(t, "xmllint")
	schema := require.Suite(t, "..", "specs", "dmarc-xml-0.2.xsd")
	dir := t.TempDir()
	for _, by := range []dmarc.Discovery{dmarc.TreeWalk, dmarc.PublicSuffix} {
		for name, content := range reports(t, collector(t, Config{}), checked(t, by)) {
			file := filepath.Join(dir, name)
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.CommandContext(t.Context(), xmllint, "--noout", "--nonet", "--schema", schema, file).CombinedOutput(); err != nil {
				t.Errorf("%v: %s\n%s", err, out, content)
			}
		}
	}
}

func TestAttachment(t *testing.T) {
	c := collector(t, Config{})
	for _, m := range checked(t, dmarc.TreeWalk) {
		if err := c.add(t.Context(), &m, noon); err != nil {
			t.Fatal(err)
		}
	}
	names := make(map[string]bool)
	for b, err := range c.Due(t.Context(), noon.Add(13*time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		a, err := c.Attachment(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := c.Attachment(t.Context(), b)
		if again.Name != a.Name || again.ID != a.ID || names[a.Name] {
			t.Errorf("%q, and again %q", a.Name, again.Name)
		}
		names[a.Name] = true
		prefix := fmt.Sprintf("mx.receiver.example!%s!1777593600!1777679999!", b.Policy.Domain)
		if !strings.HasPrefix(a.Name, prefix) || !strings.HasSuffix(a.Name, ".xml.gz") || a.Rows == 0 {
			t.Errorf("%q, %d rows", a.Name, a.Rows)
		}
		if want := "Report Domain: " + b.Policy.Domain + " Submitter: mx.receiver.example Report-ID: <" + a.ID + ">"; a.Subject != want {
			t.Errorf("%q, want %q", a.Subject, want)
		}
		f, err := Read(bytes.NewReader(a.Content), Limits{})
		if err != nil || f.ID != a.ID || len(f.Rows) != a.Rows {
			t.Errorf("%+v, %v", f, err)
		}
		tight := *c
		tight.octets = 100
		if _, err := tight.Attachment(t.Context(), b); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%v over the bound", err)
		}
		if err := c.Done(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Attachment(t.Context(), b); err == nil {
			t.Error("a report of what is done")
		}
	}
	if len(names) != 2 {
		t.Errorf("%d reports", len(names))
	}
	for range c.Due(t.Context(), noon.Add(13*time.Hour)) {
		t.Error("due after all was done")
	}
}

// TestPeriods has a message on either side of the end of one.
func TestPeriods(t *testing.T) {
	c := collector(t, Config{Period: time.Hour})
	m := checked(t, dmarc.TreeWalk)[0]
	for _, at := range []time.Time{noon.Add(-time.Second), noon, noon.Add(time.Hour - 1)} {
		if err := c.add(t.Context(), &m, at); err != nil {
			t.Fatal(err)
		}
	}
	var begins []time.Time
	for b := range c.Due(t.Context(), noon.Add(time.Hour)) {
		begins = append(begins, b.Begin)
	}
	if !reflect.DeepEqual(begins, []time.Time{noon.Add(-time.Hour), noon}) {
		t.Errorf("due of %v", begins)
	}
	for b := range c.Due(t.Context(), noon.Add(time.Hour-time.Second)) {
		if b.Begin.Equal(noon) {
			t.Error("due in its last second")
		}
	}
}

func TestFull(t *testing.T) {
	store := &Memory{Octets: 3000}
	c := collector(t, Config{Store: store})
	m := checked(t, dmarc.TreeWalk)[0]
	full := 0
	for i := range 100 {
		m.Source = netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		if err := c.add(t.Context(), &m, noon); errors.Is(err, ErrFull) {
			full++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if full == 0 || store.taken > 3000+overhead {
		t.Fatalf("%d found no room, %d octets", full, store.taken)
	}
	for b := range c.Due(t.Context(), noon.Add(24*time.Hour)) {
		var buf bytes.Buffer
		rows, err := c.Write(t.Context(), &buf, b)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Read(&buf, Limits{})
		if err != nil || rows+full != 100 || f.Error != fmt.Sprintf("%d messages are not in this report, for want of room", full) {
			t.Errorf("%d rows beside %d, %q, %v", rows, full, f.Error, err)
		}
		if err := c.Done(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if store.taken != 0 {
		t.Errorf("%d octets of nothing", store.taken)
	}
}

// TestLarge has records of far too much: their batches stay small, and their
// rows are counted.
func TestLarge(t *testing.T) {
	store := new(Memory)
	c := collector(t, Config{Store: store})
	long := "mailto:a@example.com?subject=" + strings.Repeat("&", 1000)
	for _, tt := range []struct {
		rua  string
		uris int
	}{
		{"mailto:a@example.com," + long, 1},
		{long + ",mailto:a@example.com", 0},
		{strings.Repeat("mailto:"+strings.Repeat("a", 150)+"@example.com,", 16), 10},
	} {
		record, err := dmarc.ParseRecord("v=DMARC1; p=none; rua=" + tt.rua)
		if err != nil {
			t.Fatal(err)
		}
		m := checked(t, dmarc.TreeWalk)[0]
		m.Outcome.Record = record
		for range 20 {
			m.Outcome.Overrides = append(m.Outcome.Overrides, dmarc.Override{Type: dmarc.LocalPolicy, Comment: strings.Repeat("x", 2000)})
		}
		if err := c.add(t.Context(), &m, noon); err != nil {
			t.Fatal(err)
		}
		n := 0
		for b := range c.Due(t.Context(), noon.Add(24*time.Hour)) {
			if n++; len(b.URIs) != tt.uris || len(b.key) > maxBatch {
				t.Errorf("%d destinations, want %d, in %d octets", len(b.URIs), tt.uris, len(b.key))
			}
			for count := range store.Rows(t.Context(), b.key) {
				if count.Row != "" || count.N != 1 {
					t.Errorf("%d octets of a row, %d", len(count.Row), count.N)
				}
			}
			if err := c.Done(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		if n != min(tt.uris, 1) {
			t.Errorf("%d batches of %.60s", n, tt.rua)
		}
	}
}

func TestTogether(t *testing.T) {
	c := collector(t, Config{})
	messages := checked(t, dmarc.TreeWalk)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				m := messages[i%len(messages)]
				if err := c.add(context.Background(), &m, noon); err != nil {
					t.Error(err)
				}
				for b := range c.Due(context.Background(), noon.Add(24*time.Hour)) {
					if _, err := c.Write(context.Background(), new(bytes.Buffer), b); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	var sum Summary
	for b := range c.Due(t.Context(), noon.Add(24*time.Hour)) {
		var buf bytes.Buffer
		if _, err := c.Write(t.Context(), &buf, b); err != nil {
			t.Fatal(err)
		}
		f, err := Read(&buf, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		sum.Add(f)
	}
	if sum.Messages != 8*200*8/10 { // two of ten are not reported
		t.Errorf("%+v", sum)
	}
}

func TestNew(t *testing.T) {
	good := reporter
	for _, tt := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Reporter.Domain = "" }, "report: Reporter.Domain"},
		{func(c *Config) { c.Reporter.Organization = "" }, "report: Reporter.Organization"},
		{func(c *Config) { c.Reporter.Email = "x" }, "report: Reporter.Email"},
		{func(c *Config) { c.Period = 7 * time.Hour }, "report: Period"},
		{func(c *Config) { c.Period = -time.Hour }, "report: Period"},
		{func(c *Config) { c.Octets = -1 }, "report: Octets"},
	} {
		cfg := Config{Reporter: good}
		tt.change(&cfg)
		if _, err := New(cfg); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%v, want %s…", err, tt.want)
		}
	}
}

func TestDestinations(t *testing.T) {
	r := records{
		"_dmarc.example.com.":                           {"v=DMARC1; p=none"},
		"example.com._report._dmarc.takes.example.":     {"v=DMARC1"},
		"example.com._report._dmarc.other.example.":     {"v=spf1 -all", "v=DMARC1; rua=mailto:new@other.example"},
		"example.com._report._dmarc.third.example.":     {"v=DMARC1; rua=mailto:victim@victim.example"},
		"example.com._report._dmarc.text.example.":      {"hello"},
		"example.com._report._dmarc.slow.example.":      {"fail"},
		"sub.example.com._report._dmarc.takes.example.": {"v=DMARC1;"},
		"_dmarc.lost.example.":                          {"fail"},
	}
	for _, by := range []dmarc.Discovery{dmarc.TreeWalk, dmarc.PublicSuffix} {
		c := checker(t, r, by)
		for _, tt := range []struct{ domain, rua, want string }{
			{"example.com", "mailto:a@example.com", "a@example.com+"},
			{"example.com", "mailto:a@reports.example.com", "a@reports.example.com+"},
			{"sub.example.com", "mailto:a@example.com", "a@example.com+"},
			{"example.com", "mailto:a@takes.example", "a@takes.example+"},
			{"sub.example.com", "mailto:a@takes.example", "a@takes.example+"},
			{"example.net", "mailto:a@takes.example", "a@takes.example-"},
			{"example.com", "mailto:a@other.example", "new@other.example+"},
			{"example.com", "mailto:a@other.example,mailto:b@other.example", "new@other.example+"},
			{"example.com", "mailto:a@third.example", "a@third.example-"},
			{"example.com", "mailto:a@text.example", "a@text.example-"},
			{"example.com", "mailto:a@nothing.example", "a@nothing.example-"},
			{"example.com", "mailto:a@slow.example", "a@slow.example?"},
			{"example.com", "https://example.com/", "-"},
			{"example.com", "mailto:a@example.com?subject=1,mailto:%61@EXAMPLE.com?subject=2,mailto:a@example.com.!10m", "a@example.com+"},
			{"example.com", "mailto:a%3Eb@example.com", "a>b@example.com-"},
			{"example.com", "mailto:-oX@example.com", "-oX@example.com-"},
			{"example.com", "mailto:a..b@example.com", "a..b@example.com-"},
			{"example.com", "mailto:%C3%A4@example.com", "ä@example.com-"},
			{"example.com", "mailto:a+b=c@example.com", "a+b=c@example.com+"},
			{"example.com", "mailto:a@example.com,mailto:a@example.com,mailto:b@nothing.example", "a@example.com+ b@nothing.example-"},
			{"example.com", "mailto:a@" + strings.Repeat("a.", 116) + "example", strings.Repeat("a.", 116)[:0] + "a@" + strings.Repeat("a.", 116) + "example-"},
		} {
			record, err := dmarc.ParseRecord("v=DMARC1; p=none; rua=" + tt.rua)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range Destinations(t.Context(), c, r, tt.domain, record.Aggregate) {
				mark := "+"
				switch {
				case d.Err != nil:
					mark = "?"
				case d.Refused != "":
					mark = "-"
				}
				got = append(got, d.URI.Address+mark)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%s to %s by %s: %q, want %q", tt.domain, tt.rua, by, got, tt.want)
			}
		}
	}
	// Who is asked has many instead, and others for failure reports.
	var many, texts []string
	for i := range 5 {
		record := "v=DMARC1; ruf=mailto:f@many.example; rua="
		for j := range 16 {
			record += fmt.Sprintf("mailto:%d.%d@many.example,", i, j)
		}
		texts = append(texts, record)
		many = append(many, fmt.Sprintf("mailto:%d@many.example", i))
	}
	r["example.com._report._dmarc.many.example."] = texts
	asked, _ := dmarc.ParseRecord("v=DMARC1; rua=" + strings.Join(many, ","))
	c := checker(t, r, dmarc.TreeWalk)
	if d := Destinations(t.Context(), c, r, "example.com", asked.Aggregate); len(d) != maxDestinations {
		t.Errorf("%d destinations", len(d))
	}
	if d := FailureDestinations(t.Context(), c, r, "example.com", asked.Aggregate); len(d) != 1 || d[0].URI.Address != "f@many.example" || d[0].Refused != "" || !d[0].External {
		t.Errorf("%+v", d)
	}
	record, _ := dmarc.ParseRecord("v=DMARC1; rua=mailto:a@lost.example")
	if d := Destinations(t.Context(), checker(t, r, dmarc.TreeWalk), r, "example.com", record.Aggregate); len(d) != 1 || d[0].Err == nil {
		t.Errorf("%+v without an answer", d)
	}
}

// TestKeys pins what a store holds: it outlives the program.
func TestKeys(t *testing.T) {
	store := new(Memory)
	m := checked(t, dmarc.TreeWalk)[7]
	if err := collector(t, Config{Store: store}).add(t.Context(), &m, noon); err != nil {
		t.Fatal(err)
	}
	for key := range store.Batches(t.Context()) {
		const batch = `{"begin":1777593600,"end":1777679999,"policy":{"domain":"lists.example.com","discovery":"treewalk","p":"none","adkim":"r","aspf":"r","fo":"0","pct":100},"uris":[{"uri":"mailto:d@example.com","address":"d@example.com","domain":"example.com"}]}`
		if key != batch {
			t.Errorf("batch %s", key)
		}
		for c := range store.Rows(t.Context(), key) {
			const row = `{"source":"192.0.2.9","disposition":"none","header_from":"lists.example.com","envelope_from":"x.example","envelope_to":"receiver.example","spf":{"domain":"x.example","result":"none"}}`
			if c.Row != row || c.N != 1 {
				t.Errorf("row %s", c.Row)
			}
			if !json.Valid([]byte(c.Row)) {
				t.Error("no JSON")
			}
		}
	}
}

func zipped(t testing.TB, content []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
