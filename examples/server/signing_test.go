package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard/auth/dkim"
	"github.com/smtpguard/smtpguard/internal/dnszone"
	"github.com/smtpguard/smtpguard/internal/require"
)

// keyring is a folder of keys, and what DNS has to have for them.
type keyring struct {
	dir  string
	text map[string]string // of TXT records, by name
	zone string
}

func newKeyring(t *testing.T) *keyring {
	t.Helper()
	return &keyring{dir: t.TempDir(), text: make(map[string]string), zone: ". 60 IN SOA ns. hostmaster. 1 3600 600 86400 60\n"}
}

// add makes a key, and returns its file.
func (k *keyring) add(t *testing.T, kind dkim.KeyType, domain, selector string) string {
	t.Helper()
	private, err := dkim.Generate(kind)
	if err != nil {
		t.Fatal(err)
	}
	key := dkim.Key{Domain: domain, Selector: selector, Private: private}
	line, err := key.ZoneRecord()
	if err != nil {
		t.Fatal(err)
	}
	k.zone += line + "\n"
	if k.text[key.Name()], err = dkim.Record(private.Public()); err != nil {
		t.Fatal(err)
	}
	pem, err := dkim.MarshalKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(k.dir, domain)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// A file is there whole, or not at all.
	file := filepath.Join(dir, selector+".pem")
	if err := writeFile(file, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// lay puts messages and the records into a folder, as the peers' programs want it.
func (k *keyring) lay(t *testing.T, messages map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	var records strings.Builder
	for name, text := range k.text {
		fmt.Fprintf(&records, "%s %s\n", name, text)
	}
	if err := os.WriteFile(filepath.Join(dir, "zone"), []byte(records.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, text := range messages {
		if err := os.WriteFile(filepath.Join(dir, name+".eml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// signatures are the results of a message's by selector, as ours finds them.
func signatures(t *testing.T, dns *dnszone.Server, message string) map[string]dkim.Signature {
	t.Helper()
	v, err := dkim.New(dkim.Config{Resolver: dns.Resolver()})
	if err != nil {
		t.Fatal(err)
	}
	found, err := v.Verify(t.Context(), strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]dkim.Signature)
	for _, s := range found.Signatures {
		all[s.Selector] = s
	}
	return all
}

// split takes the fields called name off the top of a message's header section, and
// returns them and the message without.
func split(message, name string) (fields []string, rest string) {
	header, body, _ := strings.Cut(message, "\r\n\r\n")
	var kept []string
	for _, line := range strings.Split(header, "\r\n") {
		switch mine := len(fields) > 0 && len(kept) == 0; {
		case strings.HasPrefix(line, name+":"):
			fields = append(fields, line+"\r\n")
		case mine && strings.HasPrefix(line, " "), mine && strings.HasPrefix(line, "\t"):
			fields[len(fields)-1] += line + "\r\n"
		default:
			kept = append(kept, line)
		}
	}
	return fields, strings.Join(kept, "\r\n") + "\r\n\r\n" + body
}

// content is the last message that the next host has, without its envelope.
func (n *next) content(t *testing.T) string {
	t.Helper()
	all := n.mail()
	if len(all) == 0 {
		t.Fatal("the next host has no mail")
	}
	_, content, _ := strings.Cut(all[len(all)-1], "\n")
	return content
}

// verifies has other programs verify messages of one signature each; rsa are those
// that all of them know.
func (k *keyring) verifies(t *testing.T, messages map[string]string, rsa []string) {
	t.Helper()
	peers := filepath.Join("..", "..", "auth", "dkim", "testdata", "peers")
	want := func(out string, names []string) {
		t.Helper()
		for _, name := range names {
			if !strings.Contains("\n"+out, "\n"+name+" pass\n") {
				t.Errorf("%s does not pass:\n%s", name, out)
			}
		}
	}
	var all []string
	for name := range messages {
		all = append(all, name)
	}
	t.Run("dkimpy", func(t *testing.T) {
		require.Program(t, "dkimverify") // which comes with the module
		out, err := command(t, "/usr/bin/python3", filepath.Join(peers, "dkimpy.py"), "verify", k.lay(t, messages))
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		want(out, all)
	})
	t.Run("libopendkim", func(t *testing.T) {
		gcc := require.Program(t, "gcc")
		if _, err := os.Stat("/usr/include/opendkim/dkim.h"); err != nil {
			require.Program(t, "libopendkim-dev") // which is none, and so says what is missing
		}
		program := filepath.Join(t.TempDir(), "libopendkim")
		if out, err := exec.Command(gcc, "-o", program, filepath.Join(peers, "libopendkim.c"), "-lopendkim").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		out, err := command(t, program, "verify", k.lay(t, messages))
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		want(out, rsa)
	})
}

// owners is a password file of logins and the addresses that they may send as.
func owners(t *testing.T, senders map[string]string) string {
	t.Helper()
	path := passwords(t, "demo", "password")
	line, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	hash := strings.TrimSpace(strings.TrimPrefix(string(line), "demo:"))
	var all strings.Builder
	for login, as := range senders {
		fmt.Fprintf(&all, "%s:%s senders=%s\n", login, hash, as)
	}
	if err := os.WriteFile(path, []byte(all.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// as is a client that is logged in.
func (r *running) as(login string) *smtp.Client {
	r.t.Helper()
	c, err := smtp.DialTLS(r.addr["submissions"], r.tls())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	c.CommandTimeout, c.SubmissionTimeout = patience, patience
	if err := c.Auth(sasl.NewPlainClient("", login, "password")); err != nil {
		r.t.Fatal(err)
	}
	return c
}

const minutes = "To: Bob <bob@example.com>\r\nSubject:  The  minutes\r\nDate: Fri, 24 Jul 2026 09:59:58 +0000\r\nMessage-ID: <1@example.org>\r\n\r\n" +
	"Dear Bob,\r\n\r\n.here  are the minutes. \r\n\r\n-- \r\nAnn\r\n\r\n"

// What is submitted leaves with a signature of each key of the author's domain, which
// others verify, and without one where there is no key.
func TestSigning(t *testing.T) {
	k := newKeyring(t)
	k.add(t, dkim.RSA2048, "example.org", "rsa1")
	k.add(t, dkim.Ed25519, "example.org", "ed1")
	k.add(t, dkim.RSA2048, "example.net", "net1")
	dns, out := dnszone.Start(t, k.zone), startNext(t)
	r := start(t, "", fmt.Sprintf(`
domains: [example.org, example.net, example.com]
route: {address: %q, tls: none}
auth: {passwords: %q}
signing: {keys: %q, expire: 336h}
`, out.addr, owners(t, map[string]string{"ann@example.org": "ann@example.org,ann@lists.example.net,ann@example.com"}), k.dir))
	c := r.as("ann@example.org")
	submit := func(from string) string {
		t.Helper()
		if err := c.SendMail("ann@example.org", []string{"bob@elsewhere.example"}, strings.NewReader("From: Ann <"+from+">\r\n"+minutes)); err != nil {
			t.Fatal(err)
		}
		return out.content(t)
	}

	got := submit("ann@example.org")
	found := signatures(t, dns, got)
	for _, selector := range []string{"rsa1", "ed1"} {
		s := found[selector]
		if s.Result != dkim.Pass || s.Domain != "example.org" || s.Expires.Sub(s.Time).Hours() != 336 {
			t.Errorf("%s: %+v", selector, s)
		}
	}
	fields, rest := split(got, "DKIM-Signature")
	if len(fields) != 2 || !strings.HasPrefix(rest, "Received: ") {
		t.Fatalf("%d signatures on top of\n%s", len(fields), got)
	}
	single := make(map[string]string)
	for _, f := range fields {
		name := "ed1"
		if strings.Contains(f, "s=rsa1;") {
			name = "rsa1"
		}
		single[name] = f + rest
	}
	k.verifies(t, single, []string{"rsa1"})

	// A domain above the author's signs for it.
	if found := signatures(t, dns, submit("ann@lists.example.net")); len(found) != 1 || found["net1"].Result != dkim.Pass || found["net1"].Domain != "example.net" {
		t.Errorf("below example.net: %+v", found)
	}
	if got := submit("ann@example.com"); strings.Contains(got, "DKIM-Signature") {
		t.Errorf("signed without a key:\n%s", got)
	}
	r.until("the log tells why", func() bool { return strings.Contains(r.log.String(), "not signed: example.com has no key") })

	// Mail to ourselves is signed as well; mail from servers is not.
	if err := c.SendMail("ann@example.org", []string{"bob@example.org"}, strings.NewReader("From: ann@example.org\r\n"+minutes)); err != nil {
		t.Fatal(err)
	}
	if err := send(r.addr["inbound"], "ann@example.org", "eve@example.org", "From: ann@example.org\r\n"+minutes); err != nil {
		t.Fatal(err)
	}
	if mine, theirs := r.mail("example.org/bob"), r.mail("example.org/eve"); len(mine) != 1 || len(theirs) != 1 ||
		strings.Count(mine[0], "DKIM-Signature:") != 2 || strings.Contains(theirs[0], "DKIM-Signature:") {
		t.Errorf("submitted: %q\nfrom a server: %q", mine, theirs)
	}

	// A key that is added, and one that is taken away, hold for what comes next.
	file := k.add(t, dkim.Ed25519, "example.com", "com1")
	dns.Set(t, k.zone)
	r.until("the new key is there", func() bool { return strings.Contains(r.log.String(), `msg="signing key loaded" domain=example.com`) })
	if found := signatures(t, dns, submit("ann@example.com")); found["com1"].Result != dkim.Pass {
		t.Errorf("by the new key: %+v", found)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	r.until("it is gone", func() bool { return strings.Contains(r.log.String(), `msg="signing key gone" domain=example.com`) })
	if got := submit("ann@example.com"); strings.Contains(got, "DKIM-Signature") {
		t.Errorf("signed by a key that is gone:\n%s", got)
	}
}

// The keys may be those of the login; what they are not there for may be refused; and
// hosts that may send elsewhere may have their mail signed.
func TestSigningWhose(t *testing.T) {
	k := newKeyring(t)
	k.add(t, dkim.Ed25519, "example.org", "s1")
	k.add(t, dkim.Ed25519, "example.net", "s1")
	file := owners(t, map[string]string{"ann@example.net": "ann@example.org", "bob@example.com": "bob@example.org,bob@example.com", "demo": "demo@example.com"})
	submit := func(r *running, login, as string) error {
		c := r.as(login)
		return c.SendMail("", []string{"carl@elsewhere.example"}, strings.NewReader("From: "+as+"\r\n"+minutes))
	}
	for _, tt := range []struct {
		signing, login, from string
		code                 int
		domain               string // that signs
	}{
		{"by: from", "ann@example.net", "ann@example.org", 0, "example.org"},
		{"by: login", "ann@example.net", "ann@example.org", 0, "example.net"},
		{"by: login, required: true", "bob@example.com", "bob@example.org", 550, ""},
		{"by: login, required: true", "demo", "demo@example.com", 0, "example.org"},
		{"required: true", "bob@example.com", "bob@example.com", 550, ""},
		{"required: true", "bob@example.com", "bob@example.org", 0, "example.org"},
	} {
		t.Run(tt.signing+" "+tt.from, func(t *testing.T) {
			out := startNext(t)
			r := start(t, "", fmt.Sprintf(`
route: {address: %q, tls: none}
auth: {passwords: %q}
signing: {keys: %q, %s}
`, out.addr, file, k.dir, tt.signing))
			if err := submit(r, tt.login, tt.from); code(err) != tt.code || tt.code == 0 && err != nil {
				t.Fatalf("%v", err)
			}
			if tt.code != 0 {
				if got := out.mail(); len(got) != 0 {
					t.Errorf("the next host has %q", got)
				}
				return
			}
			if got := out.content(t); strings.Count(got, "DKIM-Signature:") != 1 || !strings.Contains(got, " d="+tt.domain+";") {
				t.Errorf("not signed by %s:\n%s", tt.domain, got)
			}
		})
	}
	for hosts, want := range map[bool]int{true: 1, false: 0} {
		out := startNext(t)
		r := start(t, "", fmt.Sprintf(`
route: {address: %q, tls: none}
relay: [{networks: [127.0.0.0/8], to: ["*"]}]
signing: {keys: %q, hosts: %t}
`, out.addr, k.dir, hosts))
		if err := send(r.addr["inbound"], "app@example.org", "carl@elsewhere.example", "From: app@example.org\r\n"+minutes); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.content(t), "DKIM-Signature:"); n != want {
			t.Errorf("hosts: %t: %d signatures", hosts, n)
		}
		// To our own users anybody sends, in any name.
		if err := send(r.addr["inbound"], "app@example.org", "ann@example.org", "From: app@example.org\r\n"+minutes); err != nil {
			t.Fatal(err)
		}
		if got := r.mail("example.org/ann"); len(got) != 1 || strings.Contains(got[0], "DKIM-Signature:") {
			t.Errorf("hosts: %t: ann has %q", hosts, got)
		}
	}
}

// Keys come and go by SIGHUP too, and what is wrong with them keeps the old ones.
func TestSigningReload(t *testing.T) {
	k := newKeyring(t)
	k.add(t, dkim.Ed25519, "example.org", "s1")
	out := startNext(t)
	r := start(t, "", fmt.Sprintf("\nroute: {address: %q, tls: none}\n", out.addr))
	text, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	signs := func(want int) {
		t.Helper()
		c := r.demo()
		if err := c.SendMail("demo@example.org", []string{"b@example.com"}, strings.NewReader("From: demo@example.org\r\n"+minutes)); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.content(t), "DKIM-Signature:"); n != want {
			t.Errorf("%d signatures, want %d", n, want)
		}
	}
	signs(0)
	r.configure(fmt.Sprintf("%s\nsigning: {keys: %q}\n", text, k.dir))
	r.reload("configuration reloaded")
	signs(1)
	// One that others may read is none.
	bad := newKeyring(t)
	if err := os.Chmod(bad.add(t, dkim.Ed25519, "example.org", "s2"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{bad.dir, filepath.Join(bad.dir, "none")} {
		r.configure(fmt.Sprintf("%s\nsigning: {keys: %q}\n", text, dir))
		r.reload("configuration not reloaded")
		signs(1)
		path, err := program()
		if err != nil {
			t.Fatal(err)
		}
		if out, err := command(t, path, "-check", "-config", r.file); err == nil || !strings.Contains(out, "signing.keys: ") {
			t.Errorf("-check: %v\n%s", err, out)
		}
	}
	r.configure(string(text))
	r.reload("configuration reloaded")
	signs(0)
	if !slices.Contains(strings.Fields(r.log.String()), "domain=example.org") {
		t.Error("the log does not tell of keys")
	}
}

// What nobody can sign is sent as it is, unless all has to be signed.
func TestSigningHopeless(t *testing.T) {
	k := newKeyring(t)
	k.add(t, dkim.Ed25519, "example.org", "s1")
	out := startNext(t)
	for required, want := range map[bool]int{false: 0, true: 451} {
		r := start(t, "", fmt.Sprintf(`
route: {address: %q, tls: none}
octets: {policy: allow}
signing: {keys: %q, required: %t}
`, out.addr, k.dir, required))
		c := r.demo()
		err := c.SendMail("demo@example.org", []string{"b@example.com"}, strings.NewReader("From: demo@example.org\r\n\r\nx\ry\r\n"))
		if code(err) != want || want == 0 && err != nil {
			t.Errorf("required: %t: %v", required, err)
		}
		if want != 0 {
			continue
		}
		if got := out.content(t); !strings.HasSuffix(got, "x\ry\r\n") || strings.Contains(got, "DKIM-Signature:") {
			t.Errorf("the next host has %q", got)
		}
		r.until("the log tells", func() bool { return strings.Contains(r.log.String(), `msg="not signed"`) })
	}
	if n := len(out.mail()); n != 1 {
		t.Errorf("%d messages", n)
	}
}
