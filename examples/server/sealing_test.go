package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/auth/arc"
	"github.com/smtpguard/smtpguard/auth/authres"
	"github.com/smtpguard/smtpguard/auth/dkim"
	"github.com/smtpguard/smtpguard/internal/dnszone"
	"github.com/smtpguard/smtpguard/internal/require"
)

// chain is what ours says of a message's.
func chain(t *testing.T, dns *dnszone.Server, message string) *arc.Chain {
	t.Helper()
	v, err := arc.New(arc.Config{Resolver: dns.Resolver()})
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.Validate(t.Context(), strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sealed has what a seal records: our authserv-id, and a result for each of want,
// "dmarc=pass".
func sealed(t *testing.T, set arc.Set, want ...string) {
	t.Helper()
	r, err := authres.Parse(set.Results)
	if err != nil || r.ID != "mail.example.org" {
		t.Fatalf("sealed is %q: %v", set.Results, err)
	}
	for _, w := range want {
		method, result, _ := strings.Cut(w, "=")
		if all := r.Find(method); len(all) != 1 || string(all[0].Result) != result {
			t.Errorf("sealed is %q, want %s once", set.Results, w)
		}
	}
}

// What goes on to a relayed domain has a seal over all that we know, last of all, which
// others validate; a chain that it comes with goes on, or is ended.
func TestSealing(t *testing.T) {
	k := newKeyring(t)
	key := k.add(t, dkim.RSA2048, "example.org", "arc1")
	k.add(t, dkim.Ed25519, "client.example", "s1")
	k.zone += "client.example. TXT \"v=spf1 ip4:127.0.0.1 -all\"\n_dmarc.client.example. TXT \"v=DMARC1; p=reject\"\n"
	dns, out := dnszone.Start(t, k.zone), startNext(t)
	r := start(t, "", fmt.Sprintf(`
resolver: {servers: [%q]}
authentication: {mode: monitor}
route: {address: %q, tls: none}
relay: [{networks: [127.0.0.0/8], to: ["*"]}]
relayed: [{domain: example.net, route: {address: %[2]q, tls: none}}]
signing: {keys: %q, hosts: true}
sealing: {domain: example.org, selector: arc1, key: %q}
`, dns.Addr().String(), out.addr, k.dir, key))
	pass := func(content string, to ...string) string {
		t.Helper()
		for _, rcpt := range to {
			if err := send(r.addr["inbound"], "a@client.example", rcpt, content); err != nil {
				t.Fatal(err)
			}
		}
		return out.content(t)
	}
	letter := "From: a@client.example\r\n" + minutes
	first := pass(letter, "d@example.net")
	c := chain(t, dns, first)
	if c.Status != arc.Pass || len(c.Sets) != 1 || c.Sets[0].Domain != "example.org" || !strings.HasPrefix(first, "ARC-Seal:") {
		t.Fatalf("%+v\n%s", c, first)
	}
	sealed(t, c.Sets[0], "spf=pass", "dmarc=pass", "arc=none", "dkim=none")

	// On through the same host once more, and changed before that.
	second := pass(first, "d@example.net")
	if c := chain(t, dns, second); c.Status != arc.Pass || len(c.Sets) != 2 {
		t.Errorf("%+v", c)
	} else {
		sealed(t, c.Sets[1], "arc=pass", "dmarc=pass")
	}
	broken := pass(second+"changed\r\n", "d@example.net")
	if fields, _ := split(broken, "ARC-Seal"); len(fields) == 0 || !strings.Contains(fields[0], "i=3;") || !strings.Contains(fields[0], "cv=fail") {
		t.Errorf("a broken chain is sealed so:\n%s", broken)
	}
	ended := pass(broken, "d@example.net")
	if n := strings.Count(ended, "ARC-Seal:"); n != 3 {
		t.Errorf("a chain that has ended has %d seals", n)
	}
	r.until("the log tells", func() bool { return strings.Contains(r.log.String(), "the chain has ended") })

	// Where a host's mail is signed, the seal covers the signature.
	conn, err := from("127.0.0.1", r.addr["inbound"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SendMail("a@client.example", []string{"d@example.net", "e@elsewhere.example"}, strings.NewReader(letter)); err != nil {
		t.Fatal(err)
	}
	signed := out.content(t)
	seals, rest := split(signed, "ARC-Seal")
	if len(seals) != 1 || !strings.Contains(rest, "\r\nDKIM-Signature: ") || !strings.HasPrefix(rest, "ARC-Message-Signature:") {
		t.Fatalf("signed and sealed is\n%s", signed)
	}
	if c := chain(t, dns, signed); c.Status != arc.Pass {
		t.Errorf("%+v", c)
	}
	if s := signatures(t, dns, signed)["s1"]; s.Result != dkim.Pass {
		t.Errorf("%+v", s)
	}
	if c := chain(t, dns, strings.Replace(signed, "DKIM-Signature:", "X-Signature:", 1)); c.Status != arc.Fail {
		t.Errorf("the seal does not cover the signature: %+v", c)
	}

	// Mail that stays, or goes elsewhere, is not sealed.
	if err := send(r.addr["inbound"], "a@client.example", "ann@example.org", letter); err != nil {
		t.Fatal(err)
	}
	if got := r.mail("example.org/ann"); len(got) != 1 || strings.Contains(got[0], "ARC-Seal:") {
		t.Errorf("ann has %q", got)
	}
	if got := pass(letter, "e@elsewhere.example"); strings.Contains(got, "ARC-Seal:") {
		t.Errorf("elsewhere has %q", got)
	}

	messages := map[string]string{"first": first, "second": second, "signed": signed, "broken": second + "changed\r\n"}
	want := map[string]string{"first": "pass", "second": "pass", "signed": "pass", "broken": "fail"}
	peers := filepath.Join("..", "..", "auth", "arc", "testdata", "peers")
	for name, line := range map[string][]string{
		"dkimpy":    {"/usr/bin/python3", filepath.Join(peers, "dkimpy.py"), "dkimverify"},
		"Mail-DKIM": {"perl", filepath.Join(peers, "maildkim.pl"), "perl"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Program(t, line[2])
			if name == "Mail-DKIM" {
				if _, err := command(t, "perl", "-MMail::DKIM::ARC::Verifier", "-e", "1"); err != nil {
					require.Program(t, "Mail::DKIM") // which is none, and so says what is missing
				}
			}
			out, err := command(t, line[0], line[1], k.lay(t, messages))
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for name, status := range want {
				if !strings.Contains("\n"+out, "\n"+name+" "+status+" ") {
					t.Errorf("%s is not %s:\n%s", name, status, out)
				}
			}
		})
	}
}

// A seal's key is looked at before it is needed, and taken up by SIGHUP.
func TestSealingReload(t *testing.T) {
	k := newKeyring(t)
	key := k.add(t, dkim.Ed25519, "example.org", "arc1")
	dns, out := dnszone.Start(t, k.zone), startNext(t)
	r := start(t, "", fmt.Sprintf(`
resolver: {servers: [%q]}
authentication: {mode: monitor}
relayed: [{domain: example.net, route: {address: %q, tls: none}}]
`, dns.Addr().String(), out.addr))
	text, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	seals := func(want int) {
		t.Helper()
		if err := send(r.addr["inbound"], "a@client.example", "d@example.net", "From: a@client.example\r\n"+minutes); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.content(t), "ARC-Seal:"); n != want {
			t.Errorf("%d seals, want %d", n, want)
		}
	}
	seals(0)
	r.configure(fmt.Sprintf("%s\nsealing: {domain: example.org, selector: arc1, key: %q}\n", text, key))
	r.reload("configuration reloaded")
	seals(1)
	if c := chain(t, dns, out.content(t)); c.Status != arc.Pass {
		t.Errorf("%+v", c)
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	fails := func(want string) {
		t.Helper()
		r.reload("configuration not reloaded")
		seals(1)
		if out, err := command(t, path, "-check", "-config", r.file); err == nil || !strings.Contains(out, want) {
			t.Errorf("-check: %v\n%s", err, out)
		}
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	fails("sealing.key: " + key + ": mode 0644")
	if err := writeFile(key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails("sealing.key: " + key + ": ")
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	fails("sealing.key: " + key + ": no such file")
}
