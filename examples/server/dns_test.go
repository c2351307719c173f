package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/internal/dnsd"
	"github.com/smtpguard/smtpguard/internal/dnszone"
)

// Who is on a public list is turned away with a clean reply, and the log says
// why; a key is in neither. Who logs in is not asked about.
func TestDNSLists(t *testing.T) {
	addr := dnsd.Rbldnsd(t, map[string]string{
		"key123.bl.example:ip4set": ":127.0.0.2:Listed: see \x07http://bl.example/?$\n45.0.0.7\n127.0.0.2\n:127.0.0.9:never\n45.0.0.200\n",
		"dbl.example:dnset":        ":127.0.1.2:spam domain\n.spam.example\ntest\n",
	})
	r := start(t, "wait: 10ms, proxy: [127.0.0.0/8]", fmt.Sprintf(`
resolver: {servers: [%q]}
dns-lists:
  zones:
    - {name: "bl", domain: bl.example, key: key123, lists: [ipv4], codes: [{answer: 127.0.0.2, means: "sends spam", action: reject}]}
    - {name: dbl, domain: dbl.example, lists: [domains], codes: [{answer: 127.0.1.2, means: "spam domain", weight: 3}]}
  limits: {quarantine: 3}
  watch: [45.0.0.7]
`, addr))
	in := r.addr["inbound"]
	try := func(client, from, to string) error {
		t.Helper()
		c := via(t, in, 2, client)
		defer c.Close()
		return c.SendMail(from, []string{to}, strings.NewReader("x\r\n"))
	}
	err := try("45.0.0.7:1", "a@client.example", "ann@example.org")
	if code(err) != 550 || !strings.Contains(err.Error(), "45.0.0.7") || strings.Contains(err.Error(), "key123") {
		t.Errorf("a listed client: %v", err)
	}
	for what, words := range map[string]string{
		"why":                "client 45.0.0.7 is listed by bl (sends spam)",
		"of our own address": "ours: 45.0.0.7 is listed by bl (sends spam)",
	} {
		r.until("the log tells "+what, func() bool { return strings.Contains(r.log.String(), words) })
	}
	for client, box := range map[string]string{"45.0.0.200:1": "unnamed", "45.0.0.1:1": "clean"} {
		if err := try(client, "a@client.example", box+"@example.org"); err != nil {
			t.Errorf("%s: %v", client, err)
		}
		if n := len(r.mail("example.org/" + box)); n != 1 {
			t.Errorf("%s has %d messages", box, n)
		}
	}
	if err := try("45.0.0.1:1", "a@spam.example", "junk@example.org"); err != nil {
		t.Error(err)
	}
	if in, out := len(r.mail("example.org/junk/.Junk")), len(r.mail("example.org/junk")); in != 1 || out != 0 {
		t.Errorf("%d messages of a listed domain in Junk, %d beside", in, out)
	}
	if strings.Contains(r.log.String(), "key123") {
		t.Error("the key is in the log")
	}
}

// Who greets as us is turned away where that is enforced, and noted where it is
// not. What cannot be looked up keeps nobody out.
func TestIdentity(t *testing.T) {
	addr := dnsd.Rbldnsd(t, map[string]string{"bl.example:ip4set": "127.0.0.2"}) // of all else it knows nothing
	for check, want := range map[string]int{"enforce": 550, "note": 0, "none": 0} {
		r := start(t, "wait: 10ms, proxy: [127.0.0.0/8]", fmt.Sprintf(`
resolver: {servers: [%q]}
identity: {check: %s}
`, addr, check))
		try := func(hello string) error {
			c := via(t, r.addr["inbound"], 2, "45.0.0.1:1")
			defer c.Close()
			if err := c.Hello(hello); err != nil {
				return err
			}
			return c.SendMail("a@client.example", []string{"ann@example.org"}, strings.NewReader("x\r\n"))
		}
		if err := try("mail.example.org"); code(err) != want || err != nil && want == 0 {
			t.Errorf("%s: greeting as us: %v", check, err)
		}
		if err := try("mail.client.example"); err != nil {
			t.Errorf("%s: greeting as somebody: %v", check, err)
		}
		if check == "none" {
			continue
		}
		r.until("the log tells of it", func() bool { return strings.Contains(r.log.String(), "hello-ours") })
	}
}

// -check looks at lists without asking anybody.
func TestCheckAsksNobody(t *testing.T) {
	dns := dnszone.Start(t, "example. 60 IN SOA ns.example. hostmaster.example. 1 60 60 60 60")
	r := setUp(t, "", fmt.Sprintf(`
resolver: {servers: [%q]}
dns-lists: {zones: [{domain: bl.example, lists: [ipv4], action: reject}], watch: [45.0.0.7]}
uri-lists: {zones: [{domain: dbl.example}]}
`, dns.Addr().String()))
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := command(t, path, "-check", "-config", r.file); err != nil || !strings.Contains(out, "configuration: valid") {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := dns.Total(); n != 0 {
		t.Errorf("%d questions", n)
	}
	r.start("-config", r.file)
	r.until("the zones are tested", func() bool { return dns.Total() > 0 })
}
