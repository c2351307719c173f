package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/auth/dkim"
	"github.com/smtpguard/smtpguard/auth/dmarc/report/failure"
	"github.com/smtpguard/smtpguard/internal/dnszone"
)

// asking is DNS for client.example, which wants to be told of each message that
// failed, and for quiet.example, which does not.
const asking = `
. 60 IN SOA ns. hostmaster. 1 3600 600 86400 60
_dmarc.client.example. 60 IN TXT "v=DMARC1; p=reject; fo=1; ruf=mailto:f@client.example"
client.example. 60 IN TXT "v=spf1 -all"
_dmarc.quiet.example. 60 IN TXT "v=DMARC1; p=reject; rua=mailto:d@quiet.example"
`

// An owner who asks is told of a message that failed, where that is turned on: with
// the null reverse-path, signed, and without what would tell who was written to.
func TestFailureReports(t *testing.T) {
	k := newKeyring(t)
	k.add(t, dkim.Ed25519, "example.org", "s1")
	dns, out := dnszone.Start(t, k.zone, strings.TrimPrefix(asking, "\n. 60 IN SOA ns. hostmaster. 1 3600 600 86400 60")), startNext(t)
	r := start(t, "", fmt.Sprintf(`
resolver: {servers: [%q]}
authentication: {mode: enforce}
signing: {keys: %q}
route: {address: %q, tls: none}
reports: {email: dmarc@example.org, failure: {on: true, fields: [Subject]}}
`, dns.Addr().String(), k.dir, out.addr))
	for _, from := range []string{"a@quiet.example", "secret.person@client.example"} {
		err := send(r.addr["inbound"], from, "bob@example.org", "From: Somebody <"+from+">\r\nTo: bob@example.org\r\nSubject: to bob@example.org\r\n"+minutes)
		if code(err) != 550 {
			t.Fatalf("%s: %v", from, err)
		}
	}
	r.until("the report is sent", func() bool { return len(out.mail()) > 0 })
	got := out.mail()
	if len(got) != 1 || !strings.HasPrefix(got[0], " f@client.example\n") {
		t.Fatalf("%d reports, the first %.200q", len(got), got[0])
	}
	content := out.content(t)
	if s := signatures(t, dns, content)["s1"]; s.Result != dkim.Pass {
		t.Errorf("signed so: %+v\n%s", s, content)
	}
	f, err := failure.Read(strings.NewReader(content), failure.Limits{})
	if err != nil {
		t.Fatalf("%v in\n%s", err, content)
	}
	if f.Failure != failure.DMARC || f.Domain != "client.example" || f.Source.String() != "127.0.0.1" || f.Delivery != failure.Rejected || f.Incidents != 1 ||
		len(f.SPF) != 1 || f.SPF[0] != (failure.Policy{Domain: "client.example", Record: "v=spf1 -all"}) {
		t.Errorf("%+v", f)
	}
	if text := content + string(f.Header); strings.Contains(text, "secret.person") || strings.Contains(text, "bob@") || strings.Contains(text, "Somebody") {
		t.Errorf("the report tells addresses:\n%s", text)
	}
	if !strings.Contains(string(f.Header), "Subject: to ") {
		t.Errorf("the report has no subject:\n%s", f.Header)
	}
	if code := r.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
