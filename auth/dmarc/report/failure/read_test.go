package failure

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/auth/dmarc/report"
	"github.com/smtpguard/smtpguard/internal/require"
)

// TestSamples reads the failure reports that parsedmarc has collected.
func TestSamples(t *testing.T) {
	dir := require.Suite(t, "dmarc", "parsedmarc-samples", "failure")
	zone := time.FixedZone("", 2*60*60)
	linkedin := Report{
		Feedback: "auth-failure", Failure: DMARC, Agent: "Lua/1.0", Domain: "example.com", Source: netip.MustParseAddr("10.10.10.10"),
		Recipients: []string{"recipient@linkedin.com"}, Arrived: time.Date(2019, 4, 30, 2, 9, 0, 0, time.UTC), Incidents: 1, Delivery: Delivered,
		Results: []string{"dmarc=fail (p=none; dis=none) header.from=example.com"},
	}
	for name, want := range map[string]Report{
		"dmarc_ruf_report_linkedin.eml":      linkedin,
		"dmarc_ruf_report_linkedin.crlf.eml": linkedin,
		"DMARC Failure Report for domain.de (mail-from=sharepoint@domain.de, ip=10.10.10.10).eml": {
			Feedback: "auth-failure", Failure: DMARC, Agent: "Lua/1.0", Domain: "domain.de", Source: netip.MustParseAddr("10.10.10.10"),
			MailFrom: "sharepoint@domain.de", Recipients: []string{"peter.pan@domain.de"}, Arrived: time.Date(2018, 10, 1, 11, 20, 27, 0, zone),
			Incidents: 1, Delivery: "smg-policy-action", Results: []string{"dmarc=fail (p=none, dis=none) header.from=domain.de"},
		},
		"[Netease DMARC Failure Report] Rent Reminder.eml": {
			Feedback: "auth-failure", Agent: "NtesDmarcReporter/1.0", Domain: "cardinal.com", Source: netip.MustParseAddr("167.89.69.24"),
			MailFrom: "bounces+1137616-c1ad-xsj399=163.com@email.entrata.com", EnvelopeID: "N8CowEApcUPo6q1bnXlMAA--.44392S3",
			Arrived: time.Date(2018, 9, 28, 16, 48, 42, 0, time.FixedZone("", 8*60*60)), Incidents: 1, Delivery: Delivered,
			Unaligned: []string{"spf", "dkim"}, DKIMDomain: "entrata.com",
			Results: []string{"163.com; dkim=pass (verify result: all signatures verified) header.d=entrata.com; spf=pass smtp.mailfrom=bounces+1137616-c1ad-xsj399=163.com@email.entrata.com"},
		},
		"exim_plain_text_only_no_arf_part.eml": {
			Failure: DMARC, Domain: "example.com", Source: netip.MustParseAddr("203.0.113.68"), Arrived: time.Date(2025, 4, 7, 23, 16, 9, 0, zone),
			Incidents: 1, Unaligned: []string{"spf", "dkim"},
		},
	} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Read(bytes.NewReader(content), Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Contains(got.Header, []byte("\nDate: ")) || !bytes.Contains(got.Header, []byte("Received: ")) || bytes.Contains(got.Header, []byte("<html>")) {
			t.Errorf("%s: header\n%s", name, got.Header)
		}
		if !got.Arrived.Equal(want.Arrived) {
			t.Errorf("%s: arrived %v, want %v", name, got.Arrived, want.Arrived)
		}
		got.Header, got.Arrived = nil, want.Arrived
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("%s:\n%+v\nwant\n%+v", name, *got, want)
		}
	}
	// An aggregate report is none, and a failure report no aggregate one.
	other := require.Suite(t, "dmarc", "parsedmarc-samples", "aggregate", "twilight.eml")
	content, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Read(bytes.NewReader(content), Limits{}); !errors.Is(err, ErrNoReport) {
		t.Errorf("of an aggregate report: %v", err)
	}
}

// TestExample reads the example of RFC 9991, appendix A, from where its header
// begins.
func TestExample(t *testing.T) {
	text, err := os.ReadFile(require.Suite(t, "..", "specs", "rfc9991-final-draft.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ = bytes.Cut(text, []byte("``` RFC5322\n"))
	text, _, found := bytes.Cut(text, []byte("\n```"))
	if !found {
		t.Fatal("no example")
	}
	got, err := Read(bytes.NewReader(text), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	header := got.Header
	got.Header = nil
	want := Report{
		Feedback: "auth-failure", Failure: DMARC, Agent: "DMARC-Filter/1.2.3", Domain: "consumer.example",
		Source: netip.MustParseAddr("192.0.2.2"), Port: 12345, MailFrom: "author=gen.example@forwarder.example", EnvelopeID: "65E1A3F0A0",
		Incidents: 1, Unaligned: []string{"dkim"}, Results: []string{"gen.example;  dmarc=fail header.from=consumer.example"},
		DKIMDomain: "consumer.example", DKIMIdentity: "@consumer.example", DKIMSelector: "epsilon",
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("%+v\nwant\n%+v", *got, want)
	}
	if !bytes.HasPrefix(header, []byte("Authentication-Results: gen.example;")) || !bytes.HasSuffix(header, []byte("Content-Transfer-Encoding: 8bit\n")) {
		t.Errorf("header\n%s", header)
	}
	// What we would tell of the same message.
	told := (&redactor{}).header(header)
	for _, leak := range []string{"users", "author@", "Message Author", "original subject", "uXDGrn", "host-8-2-0-192"} {
		if strings.Contains(told, leak) {
			t.Errorf("tells %q:\n%s", leak, told)
		}
	}
	for _, kept := range []string{
		"Received: from mail.forwarder.example ([2001:db8::23ac]) by mail.gen.example\r\n with ESMTP id 5E8B0C159826; Sun, 14 Aug 2022 07:58:29 -0700\r\n",
		"From: <redacted@consumer.example>\r\n", "To: <redacted@forwarder.example>\r\n", "Subject: (removed)\r\n",
		"Message-ID: <2431dc66-b010-c9cc-4f2b-a1f889f8bdb4@consumer.example>\r\n", "d=consumer.example; s=epsilon; t=1658210255; bh=",
	} {
		if !strings.Contains(strings.ReplaceAll(told, ";\r\n ", "; "), kept) {
			t.Errorf("lacks %q:\n%s", kept, told)
		}
	}
}

const minimal = "Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n" +
	"--b\r\n\r\nhello\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: auth-failure\r\nReported-Domain: Example.com\r\n%s\r\n--b--\r\n"

func TestReadFields(t *testing.T) {
	for _, tt := range []struct {
		fields string
		check  func(r *Report) bool
	}{
		{"Auth-Failure: (x) dmarc (y)\r\n", func(r *Report) bool { return r.Failure == DMARC }},
		{"Identity-Alignment: DKIM (signature, failed),\r\n\tSPF, spf, x\r\n", func(r *Report) bool { return strings.Join(r.Unaligned, " ") == "dkim spf" }},
		{"Identity-Alignment: none\r\n", func(r *Report) bool { return r.Unaligned == nil }},
		{"Source-IP: [IPv6:2001:db8::1]\r\n", func(r *Report) bool { return r.Source.String() == "2001:db8::1" }},
		{"Source-IP: mx.example (::ffff:192.0.2.1)\r\n", func(r *Report) bool { return r.Source.String() == "192.0.2.1" }},
		{"Source-IP: fe80::1%eth0\r\n", func(r *Report) bool { return r.Source.String() == "fe80::1" }},
		{"Source-IP: nowhere\r\nSource-Port: 70000\r\nIncidents: -1\r\n", func(r *Report) bool { return !r.Source.IsValid() && r.Port == 0 && r.Incidents == 1 }},
		{"Incidents: 99999999999999\r\n", func(r *Report) bool { return r.Incidents == 1 }},
		{"Incidents: 12\r\nSource-Port: 25\r\n", func(r *Report) bool { return r.Incidents == 12 && r.Port == 25 }},
		{"SPF-DNS: txt : Sender.example : \"v=spf1 \\\"\r\n -all\"\r\n", func(r *Report) bool {
			return reflect.DeepEqual(r.SPF, []Policy{{"sender.example", `v=spf1 " -all`}})
		}},
		{"SPF-DNS: txt : sender.example : v=spf1 ip4:192.0.2.1 -all\r\n", func(r *Report) bool {
			return reflect.DeepEqual(r.SPF, []Policy{{"sender.example", `v=spf1 ip4:192.0.2.1 -all`}})
		}},
		{"SPF-DNS: elsewhere.example\r\n", func(r *Report) bool { return r.SPF == nil }},
		{"Original-Mail-From:\r\nUser-Agent: a\x00b\x1b[31m\r\n", func(r *Report) bool { return r.MailFrom == "" && r.Agent == "ab[31m" }},
		{"Reporting-MTA: dns; mx.example\r\n", func(r *Report) bool { return r.Reporter == "mx.example" }},
		{strings.Repeat("Original-Rcpt-To: <a@b.example>\r\n", 200), func(r *Report) bool { return len(r.Recipients) == maxValues && r.Recipients[0] == "a@b.example" }},
		{"User-Agent: " + strings.Repeat("x", 10_000) + "\r\n", func(r *Report) bool { return len(r.Agent) <= maxValue }},
	} {
		r, err := Read(strings.NewReader(strings.Replace(minimal, "%s", tt.fields, 1)), Limits{})
		if err != nil || r.Domain != "example.com" || r.Feedback != "auth-failure" || !tt.check(r) {
			t.Errorf("%.100q: %+v, %v", tt.fields, r, err)
		}
	}
}

func TestReadBounds(t *testing.T) {
	head := "Content-Type: multipart/report; boundary=b\r\n\r\n"
	deep := ""
	for i := range 10 {
		deep += fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	for name, text := range map[string]string{
		"much":       minimal + strings.Repeat("x", 2<<20),
		"many parts": head + strings.Repeat("--b\r\n\r\nx\r\n", 100) + "--b--\r\n",
		"deep":       deep,
	} {
		if r, err := Read(strings.NewReader(text), Limits{}); !errors.Is(err, report.ErrTooLarge) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	for name, text := range map[string]string{
		"nothing":        "",
		"a message":      "From: a@b.example\r\n\r\nhello\r\n",
		"no boundary":    "Content-Type: multipart/report\r\n\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\nVersion: 1\r\n",
		"a bounce":       head + "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n--b--\r\n",
		"text of others": "Content-Type: text/plain\r\n\r\n  Sender Domain: example.com\r\n",
	} {
		if r, err := Read(strings.NewReader(text), Limits{}); !errors.Is(err, ErrNoReport) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	long := "X: " + strings.Repeat("y", 70)
	text := head + "--b\r\nContent-Type: message/feedback-report\r\n\r\nVersion: 1\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n" + long + "\r\n\r\nbody\r\n--b--\r\n"
	r, err := Read(strings.NewReader(text), Limits{Header: 50})
	if err != nil || string(r.Header) != long[:50] {
		t.Errorf("%+v, %v", r, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(strings.Replace(minimal, "%s", "Source-IP: 192.0.2.1\r\nSPF-DNS: txt : a.example : \"v=spf1 -all\"\r\nIdentity-Alignment: dkim, spf\r\n", 1)))
	f.Add([]byte("From a\nContent-Type: text/plain\n\n Sender Domain: a.example\n Sender IP Address: 192.0.2.1\n SPF Alignment: no\n------ x\n\nFrom: <a@b.example>\n\nx"))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=\"b\"\n\n--b\nContent-Type: message/feedback-report\nContent-Transfer-Encoding: base64\n\nRmVlZGJhY2s=\n--b\nContent-Type: multipart/x; boundary=c\n\n--c\nContent-Type: text/rfc822-headers\n\nFrom: x\n--c--\n--b--"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Read(bytes.NewReader(text), Limits{Octets: 64 << 10, Header: 4 << 10})
		if (r == nil) == (err == nil) {
			t.Fatalf("%+v, %v", r, err)
		}
		if err != nil {
			return
		}
		if r.Incidents < 1 || len(r.Header) > 4<<10 || len(r.Recipients) > maxValues {
			t.Fatalf("%+v", r)
		}
		for _, s := range []string{r.Feedback, string(r.Failure), r.Agent, r.Reporter, r.Domain, r.MailFrom, r.EnvelopeID, string(r.Delivery), r.DKIMDomain, r.DKIMIdentity, r.DKIMSelector} {
			if strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) {
				t.Fatalf("%q", s)
			}
		}
	})
}
