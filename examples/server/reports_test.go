package main

import (
	"context"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/dkim"
	"github.com/smtpguard/smtpguard/auth/dmarc"
	"github.com/smtpguard/smtpguard/auth/dmarc/report"
	"github.com/smtpguard/smtpguard/auth/dmarc/report/boltstore"
	"github.com/smtpguard/smtpguard/internal/dnszone"
)

// read reads an aggregate report as its receiver does.
func read(t *testing.T, content string) *report.Feedback {
	t.Helper()
	f, err := report.ReadMail(strings.NewReader(content), report.Limits{})
	if err != nil {
		t.Fatalf("%v in\n%s", err, content)
	}
	return f
}

// dumb is the address of a host that hangs up at once.
func dumb(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			nc.Close()
		}
	}()
	return ln.Addr().String()
}

// reporting is DNS for domains that want reports: client.example, which rejects, and
// ours, whose reports are for a user of ours.
const reporting = `
. 60 IN SOA ns. hostmaster. 1 3600 600 86400 60
_dmarc.client.example. 60 IN TXT "v=DMARC1; p=reject; rua=mailto:d@client.example"
_dmarc.example.org. 60 IN TXT "v=DMARC1; p=none; rua=mailto:ann@example.org"
`

// What was found of mail is told its domain's owner, as it was treated, in mail that
// passes DMARC itself; by the route there is, to our own users, or into a folder.
func TestReports(t *testing.T) {
	k := newKeyring(t)
	k.add(t, dkim.Ed25519, "example.org", "s1")
	dns, out := dnszone.Start(t, k.zone, strings.TrimPrefix(reporting, "\n. 60 IN SOA ns. hostmaster. 1 3600 600 86400 60")), startNext(t)
	config := `
resolver: {servers: [%q]}
authentication: {mode: %s}
signing: {keys: %q}
reports: {email: dmarc@example.org, organization: "Example, Ünited", contact: "https://example.org/dmarc", aggregate: {period: 1s, jitter: 0s}}
`
	r := start(t, "", fmt.Sprintf(config+"route: {address: %q, tls: none}\n", dns.Addr().String(), "monitor", k.dir, out.addr))
	if err := send(r.addr["inbound"], "a@bounces.client.example", "bob@example.org", "From: a@client.example\r\n"+minutes); err != nil {
		t.Fatal(err)
	}
	r.until("the report is sent", func() bool { return len(out.mail()) > 0 })
	if got := out.mail(); !strings.HasPrefix(got[0], "dmarc@example.org d@client.example\n") {
		t.Errorf("the envelope is %.60q", got[0])
	}
	got := out.content(t)
	f := read(t, got)
	if f.Organization != "Example, Ünited" || f.Email != "dmarc@example.org" || f.Contact != "https://example.org/dmarc" || f.Policy.Domain != "client.example" || len(f.Rows) != 1 {
		t.Fatalf("%+v", f)
	}
	row := f.Rows[0]
	if row.Source != netip.MustParseAddr("127.0.0.1") || row.Count != 1 || row.Disposition != report.DispositionNone || row.HeaderFrom != "client.example" ||
		row.EnvelopeFrom != "bounces.client.example" || len(row.Reasons) != 1 || row.Reasons[0].Type != dmarc.LocalPolicy {
		t.Errorf("%+v", row)
	}
	if s := signatures(t, dns, got)["s1"]; s.Result != dkim.Pass || s.Domain != "example.org" {
		t.Errorf("signed so: %+v\n%s", s, got)
	}
	m, err := mail.ReadMessage(strings.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	if from, err := m.Header.AddressList("From"); err != nil || len(from) != 1 || *from[0] != (mail.Address{Name: "Example, Ünited", Address: "dmarc@example.org"}) {
		t.Errorf("from %v, %v", from, err)
	}

	// What we reject is told too, what comes again is not; our own domain's report is
	// for a user of ours, and where there is no route the others are files.
	r = start(t, "", fmt.Sprintf(config, dns.Addr().String(), "enforce", k.dir))
	if err := send(r.addr["inbound"], "a@client.example", "bob@example.org", "From: a@client.example\r\n"+minutes); code(err) != 550 {
		t.Fatal(err)
	}
	if err := send(r.addr["inbound"], "b@example.org", "bob@example.org", "From: b@example.org\r\n"+minutes); err != nil {
		t.Fatal(err)
	}
	var files []string
	r.until("the reports are there", func() bool {
		files, _ = filepath.Glob(r.data("reports", "*.eml"))
		return len(files) > 0 && len(r.mail("example.org/ann")) > 0
	})
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if f := read(t, string(text)); f.Policy.Domain != "client.example" || len(f.Rows) != 1 || f.Rows[0].Disposition != report.DispositionReject || len(f.Rows[0].Reasons) != 0 {
		t.Errorf("%+v", f)
	}
	if mine := r.mail("example.org/ann"); !strings.HasPrefix(mine[0], "Return-Path: <dmarc@example.org>\r\nDelivered-To: ann@example.org\r\n") {
		t.Errorf("ann has %q", mine)
	} else if f := read(t, mine[0]); f.Policy.Domain != "example.org" || f.Rows[0].Disposition != report.DispositionNone {
		t.Errorf("%+v", f)
	}
	if code := r.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A report that could not be sent is, once, by whoever runs next: after a kill, and
// under another configuration.
func TestReportsOnce(t *testing.T) {
	dns, out := dnszone.Start(t, reporting), startNext(t)
	more := func(route string) string {
		return fmt.Sprintf(`
resolver: {servers: [%q]}
authentication: {mode: monitor}
route: {address: %q, tls: none}
reports: {email: dmarc@example.org, aggregate: {period: 1s, jitter: 0s}}
`, dns.Addr().String(), route)
	}
	r := start(t, "", more(dumb(t)))
	text, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	post := func(from string) {
		t.Helper()
		if err := send(r.addr["inbound"], from, "bob@example.org", "From: "+from+"\r\n"+minutes); err != nil {
			t.Fatal(err)
		}
	}
	post("a@client.example")
	r.until("sending fails", func() bool { return strings.Contains(r.log.String(), `msg="report not sent" domain=client.example`) })
	r.signal(os.Kill)
	r.wait()

	before, _, _ := strings.Cut(string(text), "\nresolver:")
	r.configure(before + more(out.addr) + "concurrency: {client: 10000, network: 10000}\nrates: []\n")
	r.start("-config", r.file)
	r.until("the report is sent", func() bool { return len(out.mail()) == 1 })
	if f := read(t, out.content(t)); len(f.Rows) != 1 || f.Rows[0].Count != 1 {
		t.Errorf("%+v", f)
	}
	// Two configurations at once, because a client keeps the old one going.
	c, err := smtp.Dial(r.addr["inbound"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Mail("x@client.example", nil); err != nil {
		t.Fatal(err)
	}
	r.reload("configuration reloaded")
	for i := range 5 {
		post("a@client.example")
		r.until("the next is sent", func() bool { return len(out.mail()) == i+2 })
	}
	r.stop()
	n := 0
	for _, m := range out.mail() {
		_, content, _ := strings.Cut(m, "\n")
		for _, row := range read(t, content).Rows {
			n += int(row.Count)
		}
	}
	if n != 6 || len(out.mail()) != 6 {
		t.Errorf("%d messages in %d reports", n, len(out.mail()))
	}
	// And nothing is left.
	left, err := boltstore.Open(r.data("reports", "aggregate.db"), boltstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer left.Close()
	for batch, err := range left.Batches(context.Background()) {
		t.Errorf("left is %q, %v", batch, err)
	}
}

// Reports are turned on and off by SIGHUP, and -check leaves the file of a server that
// runs alone.
func TestReportsReload(t *testing.T) {
	dns, out := dnszone.Start(t, reporting), startNext(t)
	r := start(t, "", fmt.Sprintf("\nresolver: {servers: [%q]}\nauthentication: {mode: monitor}\nroute: {address: %q, tls: none}\n", dns.Addr().String(), out.addr))
	text, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	post := func(from string) {
		t.Helper()
		if err := send(r.addr["inbound"], from, "bob@example.org", "From: "+from+"\r\n"+minutes); err != nil {
			t.Fatal(err)
		}
	}
	post("before@client.example")
	folder := filepath.Join(r.dir, "dmarc")
	r.configure(fmt.Sprintf("%s\nreports: {email: dmarc@example.org, folder: %q, aggregate: {period: 1s, jitter: 0s, legacy: true}}\n", text, folder))
	r.reload("configuration reloaded")
	post("on@client.example")
	r.until("the report is sent", func() bool { return len(out.mail()) == 1 })
	if f := read(t, out.content(t)); len(f.Rows) != 1 || f.Rows[0].Count != 1 {
		t.Errorf("%+v", f)
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := command(t, path, "-check", "-config", r.file); err != nil || !strings.Contains(out, "configuration: valid") {
		t.Errorf("-check: %v\n%s", err, out)
	}
	r.configure(string(text))
	r.reload("configuration reloaded")
	post("off@client.example")
	r.signal(syscall.SIGTERM)
	r.wait()
	left, err := boltstore.Open(filepath.Join(folder, "aggregate.db"), boltstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer left.Close()
	for batch, err := range left.Batches(context.Background()) {
		t.Errorf("left is %q, %v", batch, err)
	}
}

// A report tells what was done, and why that is not what was asked for.
func TestApplied(t *testing.T) {
	for _, tt := range []struct {
		mode  mode
		most  smtpguard.Action
		asked dmarc.Policy
		want  dmarc.Policy
		why   string
	}{
		{enforced, smtpguard.Reject, dmarc.Reject, dmarc.Reject, ""},
		{enforced, smtpguard.Quarantine, dmarc.Reject, dmarc.Quarantine, "nothing is rejected here"},
		{enforced, smtpguard.Quarantine, dmarc.Quarantine, dmarc.Quarantine, ""},
		{enforced, smtpguard.Reject, dmarc.NoPolicy, dmarc.NoPolicy, ""},
		{monitored, smtpguard.Reject, dmarc.Reject, dmarc.NoPolicy, "monitored"},
		{monitored, smtpguard.Reject, dmarc.NoPolicy, dmarc.NoPolicy, ""},
	} {
		before := []dmarc.Override{{Type: dmarc.PolicyTestMode}}
		in := Inbound{Mode: tt.mode, Most: action(tt.most)}
		o := in.applied(dmarc.Outcome{Result: dmarc.Fail, Disposition: tt.asked, Overrides: before[:1:1]})
		why := ""
		if len(o.Overrides) == 2 {
			why = o.Overrides[1].Comment
		}
		if o.Disposition != tt.want || why != tt.why {
			t.Errorf("%+v: %+v", tt, o)
		}
	}
}

// The mail of a report is read by its receivers, however long and odd the names in it.
func TestAggregateMail(t *testing.T) {
	cfg, err := load("")
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat(strings.Repeat("a", 60)+".", 4) + "example"
	cfg.Reports.Email, cfg.Reports.Organization = "dmarc@example.org", `Ann "the" <Org>`
	c, err := report.New(cfg.Reports.config(cfg, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Add(t.Context(), report.Message{
		Outcome: dmarc.Outcome{Result: dmarc.Pass, AuthorDomain: long, PolicyDomain: long, Record: &dmarc.Record{Policy: dmarc.Reject, Aggregate: []dmarc.URI{{Address: "d@x"}}}},
		Source:  netip.MustParseAddr("192.0.2.1"),
	}); err != nil {
		t.Fatal(err)
	}
	for b, err := range c.Due(t.Context(), time.Now().Add(48*time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		a, err := c.Attachment(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		o := aggregateMail(cfg, a, `"a b"@x.example`, time.Now())
		if f := read(t, string(o.content)); f.Policy.Domain != long || f.Organization != `Ann "the" <Org>` {
			t.Errorf("%+v", f)
		}
		for line := range strings.SplitSeq(string(o.content), "\r\n") {
			if len(line) > 998 || strings.ContainsAny(line, "\r\n") {
				t.Errorf("a line of %d octets: %q", len(line), line)
			}
		}
		if again := aggregateMail(cfg, a, `"a b"@x.example`, time.Now()); again.name != o.name {
			t.Errorf("%q is %q the next time", o.name, again.name)
		}
	}
}
