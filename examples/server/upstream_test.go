package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/auth/arc"
	"github.com/smtpguard/smtpguard/auth/dkim"
	"github.com/smtpguard/smtpguard/internal/dnszone"
)

// What a gateway has found counts in place of our own checks, from where it is, and
// under its name, alone.
func TestUpstream(t *testing.T) {
	k := newKeyring(t)
	key := k.add(t, dkim.Ed25519, "example.org", "arc1")
	k.zone += "_dmarc.bank.example. TXT \"v=DMARC1; p=reject\"\n"
	dns, next := dnszone.Start(t, k.zone), startNext(t)
	config := fmt.Sprintf(`
resolver: {servers: [%q]}
relayed: [{domain: example.net, route: {address: %q, tls: none}}]
sealing: {domain: example.org, selector: arc1, key: %q}
authentication:
  mode: enforce
  temporary: defer
  spf-fail: reject
  upstream:
    - {id: gateway.example.com, networks: [192.0.2.7, "2001:db8:7::/48"]}
    - {id: other.example.com, networks: [192.0.2.8]}
`, dns.Addr().String(), next.addr, key)
	r := start(t, "wait: 10ms, proxy: [127.0.0.0/8]", config)
	const from = "From: a@bank.example\r\n"
	n := 0
	pass := func(r *running, client, fields string) (box string, err error) {
		t.Helper()
		n++
		box = fmt.Sprintf("ann%d", n)
		c := via(t, r.addr["inbound"], 2, client)
		defer c.Close()
		return "example.org/" + box, c.SendMail("a@bank.example", []string{box + "@example.org"}, strings.NewReader(fields+from+minutes))
	}
	const gateway, six, other, stranger = "192.0.2.7:1", "[2001:db8:7::1]:1", "192.0.2.8:1", "192.0.2.9:1"
	const passed = "Authentication-Results: Gateway.Example.Com;\r\n\tspf=pass smtp.mailfrom=a@bank.example;\r\n\tdmarc=pass (p=reject) header.from=bank.example policy.dmarc=reject\r\n"
	result := func(results string) string { return "Authentication-Results: gateway.example.com; " + results + "\r\n" }
	for _, tt := range []struct {
		name, client, fields string
		code                 int
		junk                 bool
		has, lacks           []string
	}{
		{"pass", gateway, passed, 0, false, []string{
			"Authentication-Results: mail.example.org;\r\n\tspf=pass smtp.mailfrom=a@bank.example;\r\n\tdmarc=pass header.from=bank.example policy.dmarc=reject\r\n", passed}, nil},
		{"IPv6", six, passed, 0, false, []string{"Authentication-Results: mail.example.org;", passed}, nil},
		{"fail", gateway, result("dmarc=fail header.from=bank.example policy.dmarc=reject"), 550, false, nil, nil},
		{"quarantine", gateway, result("dmarc=fail policy.dmarc=Quarantine"), 0, true, []string{"dmarc=fail"}, nil},
		{"no policy", gateway, result("dmarc=fail"), 0, false, []string{"dmarc=fail"}, nil},
		{"later", gateway, result("dmarc=temperror"), 451, false, nil, nil},
		{"SPF", gateway, result("spf=fail; dmarc=none"), 550, false, nil, nil},
		{"SPF, and all is well", gateway, result("spf=fail; dmarc=pass"), 0, false, []string{"dmarc=pass"}, nil},
		{"two fields", gateway, result("spf=pass") + result("dmarc=fail policy.dmarc=reject"), 550, false, nil, nil},
		{"nothing", gateway, "", 0, false, []string{"Authentication-Results: mail.example.org; none\r\n"}, nil},
		{"what is below another's is forged", gateway, result("spf=pass") + "Authentication-Results: x.example; spf=pass\r\n" + result("dmarc=pass header.from=forged.example"), 0, false,
			[]string{"mail.example.org;\r\n\tspf=pass\r\n", "Authentication-Results: gateway.example.com; spf=pass"}, []string{"forged.example", "x.example"}},
		{"what claims to be ours is", gateway, "Authentication-Results: mail.example.org; dmarc=pass header.from=forged.example\r\n" + passed, 0, false,
			[]string{"mail.example.org; none"}, []string{"forged.example", "gateway"}},
		{"a version to come", gateway, "Authentication-Results: gateway.example.com 2; dmarc=fail policy.dmarc=reject\r\n" + passed, 0, false, []string{"dmarc=pass header.from"}, nil},
		{"another gateway's name", other, passed, 0, false, []string{"mail.example.org; none"}, []string{"Gateway"}},
		{"octets of a sender's", gateway, result(`spf=pass smtp.mailfrom="x; dkim=pass"@bank.example`), 0, false, []string{"\tspf=pass smtp.mailfrom=\"x; dkim=pass@bank.example\"\r\n"}, nil},
	} {
		box, err := pass(r, tt.client, tt.fields)
		if code(err) != tt.code || tt.code == 0 && err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if tt.code != 0 {
			continue
		}
		if tt.junk {
			box += "/.Junk"
		}
		got := r.mail(box)
		if len(got) != 1 {
			t.Errorf("%s: %d messages in %s", tt.name, len(got), box)
			continue
		}
		for _, want := range tt.has {
			if !strings.Contains(got[0], want) {
				t.Errorf("%s: there is no %q in\n%s", tt.name, want, got[0])
			}
		}
		for _, not := range tt.lacks {
			if strings.Contains(got[0], not) {
				t.Errorf("%s: there is %q in\n%s", tt.name, not, got[0])
			}
		}
	}
	r.until("the log tells of the gateway's silence", func() bool { return strings.Contains(r.log.String(), "the gateway tells no results") })
	if n := dns.Total(); n != 0 {
		t.Errorf("%d questions about mail that a gateway has looked at", n)
	}
	// Anybody else is looked at by us, whatever is written there.
	if _, err := pass(r, stranger, passed); code(err) != 550 {
		t.Errorf("a stranger: %v", err)
	}
	// What a gateway has found is sealed as ours.
	c := via(t, r.addr["inbound"], 2, gateway)
	defer c.Close()
	if err := c.SendMail("a@bank.example", []string{"d@example.net"}, strings.NewReader(passed+from+minutes)); err != nil {
		t.Fatal(err)
	}
	if c := chain(t, dns, next.content(t)); c.Status != arc.Pass {
		t.Errorf("%+v", c)
	} else {
		sealed(t, c.Sets[0], "spf=pass", "dmarc=pass", "arc=none")
	}

	// A configuration that monitors refuses nothing.
	r = start(t, "wait: 10ms, proxy: [127.0.0.0/8]", strings.Replace(config, "mode: enforce", "mode: monitor", 1))
	if _, err := pass(r, gateway, result("dmarc=fail policy.dmarc=reject")); err != nil {
		t.Error(err)
	}
	r.until("the log tells", func() bool { return strings.Contains(r.log.String(), "monitored, not reject: DMARC of the gateway") })
	// Who submits is no gateway, wherever he is.
	r = start(t, "", strings.Replace(config, "networks: [192.0.2.7", "networks: [127.0.0.1", 1))
	d := r.demo()
	if err := d.SendMail("demo@example.org", []string{"bob@example.org"}, strings.NewReader(passed+"From: demo@example.org\r\n"+minutes)); err != nil {
		t.Fatal(err)
	}
	if got := r.mail("example.org/bob"); len(got) != 1 || strings.Contains(got[0], "Authentication-Results") {
		t.Errorf("bob has %q", got)
	}
}
