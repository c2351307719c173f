package main

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/smtpguard/smtpguard/internal/require"
)

const thousand = 1000

// Postfix's load generator gets a 250 for each of its messages, and each is there.
func TestSMTPSource(t *testing.T) {
	source := require.Program(t, "smtp-source")
	r := start(t, "", "")
	out, err := command(t, source, "-d", "-s", "10", "-m", fmt.Sprint(thousand), "-l", "3000", "-M", "client.example",
		"-f", "a@client.example", "-t", "ann@example.org", "inet:"+r.addr["inbound"])
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got := r.mail("example.org/ann")
	if len(got) != thousand {
		t.Errorf("ann has %d messages", len(got))
	}
	for _, m := range got {
		if len(m) < 3000 || !strings.HasSuffix(m, "\r\n") {
			t.Fatalf("a message is cut short: %q", m)
		}
	}
}

// letter is a message that can be told again.
type letter struct {
	id   string
	body [sha256.Size]byte
}

// write makes the n-th letter: bodies of all kinds that SMTP may alter when it
// goes wrong, and no two alike.
func write(n int) (letter, string) {
	rnd := rand.New(rand.NewPCG(uint64(n), 1))
	lines := []string{
		".", "..", ".x", "", " ", "\t", "trailing space ", "From here", "=20", "\x01\x7f", "QUIT", "RCPT TO:<x@y>",
		"grün\xff", strings.Repeat("x", 998), strings.Repeat(".", 900),
	}
	var body strings.Builder
	fmt.Fprintf(&body, "letter %d\r\n", n)
	for range rnd.IntN(60) {
		body.WriteString(lines[rnd.IntN(len(lines))] + "\r\n")
	}
	l := letter{id: fmt.Sprintf("<%d.%d@client.example>", n, rnd.Uint64()), body: sha256.Sum256([]byte(body.String()))}
	return l, "From: a@client.example\r\nTo: ann@example.org\r\nMessage-ID: " + l.id + "\r\n\r\n" + body.String()
}

// readLetters finds the letters in files of a Maildir, by their id.
func readLetters(t *testing.T, files []string) map[string][]letter {
	t.Helper()
	all := make(map[string][]letter)
	for _, f := range files {
		header, body, ok := strings.Cut(f, "\r\n\r\n")
		_, rest, found := strings.Cut("\r\n"+header+"\r\n", "\r\nMessage-ID: ")
		id, _, _ := strings.Cut(rest, "\r\n")
		if !ok || !found {
			t.Fatalf("no letter: %q", f)
		}
		all[id] = append(all[id], letter{id, sha256.Sum256([]byte(body))})
	}
	return all
}

// post sends letters first to last over one connection, and tells acked about
// each that got its 250. It returns when the connection breaks, too.
func post(addr string, first, last int, to []string, acked func(letter)) error {
	c, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.CommandTimeout, c.SubmissionTimeout = patience, patience
	for n := first; n < last; n++ {
		l, text := write(n)
		if err := c.SendMail("a@client.example", to, strings.NewReader(text)); err != nil {
			return err
		}
		acked(l)
	}
	return nil
}

// A Postfix whose relayhost is our server delivers everything, and no body
// changes on the way.
func TestPostfix(t *testing.T) {
	require.Program(t, "postfix")
	if os.Getuid() != 0 {
		t.Skip("a Postfix instance of its own needs root")
	}
	r := start(t, "", "")
	p := startPostfix(t, r.addr["inbound"])

	sent := make(map[string]letter)
	var mu sync.Mutex
	var senders sync.WaitGroup
	for i := range 4 {
		senders.Go(func() {
			err := post(p.addr, i*thousand/4, (i+1)*thousand/4, []string{"ann@example.org"}, func(l letter) {
				mu.Lock()
				defer mu.Unlock()
				sent[l.id] = l
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	senders.Wait()
	if len(sent) != thousand {
		t.Fatalf("Postfix took %d letters", len(sent))
	}
	dir := r.data("mail", "example.org", "ann", "new")
	r.until("Postfix has delivered all", func() bool {
		entries, err := os.ReadDir(dir)
		return err == nil && len(entries) >= thousand || t.Failed()
	})
	got := readLetters(t, r.mail("example.org/ann"))
	for id, l := range sent {
		if copies := got[id]; len(copies) != 1 || copies[0] != l {
			t.Errorf("letter %s arrived %d times, its body changed or not", id, len(copies))
		}
	}
	if len(got) != thousand {
		t.Errorf("%d letters arrived", len(got))
	}
}

// postfix is an instance with a folder of its own that touches nothing of the
// system's.
type postfix struct{ addr, dir string }

func startPostfix(t *testing.T, relayhost string, more ...string) *postfix {
	t.Helper()
	p := &postfix{addr: freeAddr(t)}
	var err error
	if p.dir, err = os.MkdirTemp("", "smtpguard-postfix-"); err != nil { // t.TempDir's names are long for sockets
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(p.dir) })
	if err := os.Chmod(p.dir, 0o755); err != nil { // Postfix's own user has to get through
		t.Fatal(err)
	}
	postconf := require.Program(t, "postconf")
	host, port, err := net.SplitHostPort(relayhost)
	if err != nil {
		t.Fatal(err)
	}
	config, queue, data := filepath.Join(p.dir, "etc"), filepath.Join(p.dir, "queue"), filepath.Join(p.dir, "data")
	for _, dir := range []string{config, queue, data} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := command(t, "chown", "postfix", data); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	main := fmt.Sprintf(`
compatibility_level = 3.6
queue_directory = %s
data_directory = %s
maillog_file = %s/maillog
maillog_file_prefixes = %s
myhostname = postfix.example
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
local_recipient_maps =
alias_maps =
relayhost = [%s]:%s
smtp_tls_security_level = may
disable_dns_lookups = yes
smtp_dns_support_level = disabled
in_flow_delay = 0
`, queue, data, p.dir, p.dir, host, port)
	for _, line := range more {
		name, _, _ := strings.Cut(line, " =")
		main = regexp.MustCompile(`(?m)^`+name+` = .*\n`).ReplaceAllString(main, "") + line + "\n"
	}
	master := fmt.Sprintf(`
%s inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
retry unix - - n - - error
error unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`, p.addr)
	for name, text := range map[string]string{"main.cf": main, "master.cf": master} {
		if err := os.WriteFile(filepath.Join(config, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := command(t, postconf, "-c", config, "-h", "relayhost"); err != nil || !strings.Contains(out, port) {
		t.Fatalf("%v\n%s", err, out)
	}
	program := require.Program(t, "postfix")
	if out, err := command(t, program, "-c", config, "start"); err != nil {
		t.Fatalf("%v\n%s%s", err, out, p.log())
	}
	t.Cleanup(func() {
		if out, err := command(t, program, "-c", config, "abort"); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		if t.Failed() {
			t.Logf("Postfix's log:\n%s", tail(p.log(), 4000))
		}
	})
	return p
}

func (p *postfix) log() string {
	b, err := os.ReadFile(filepath.Join(p.dir, "maillog"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// kill -9 during a load loses no message that had its 250, and leaves no half
// one.
func TestKill(t *testing.T) {
	r := start(t, "", "")
	to := []string{"ann@example.org", "bob@example.org"}
	var mu sync.Mutex
	acked := make(map[string]letter)
	var senders sync.WaitGroup
	for i := range 8 {
		senders.Go(func() {
			err := post(r.addr["inbound"], i*1_000_000, (i+1)*1_000_000, to, func(l letter) {
				mu.Lock()
				defer mu.Unlock()
				acked[l.id] = l
			})
			if err == nil {
				t.Error("a sender was never interrupted")
			}
		})
	}
	r.until("there is a load", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(acked) >= 300
	})
	r.signal(os.Kill)
	senders.Wait()
	r.wait()

	for _, box := range []string{"example.org/ann", "example.org/bob"} {
		got := readLetters(t, r.mail(box))
		for id, l := range acked {
			if copies := got[id]; len(copies) != 1 || copies[0] != l {
				t.Errorf("%s: letter %s had its 250 and is there %d times, whole or not", box, id, len(copies))
			}
		}
		for id, copies := range got { // without a 250, but no halves
			var n int
			if _, err := fmt.Sscanf(id, "<%d.", &n); err != nil {
				t.Fatal(err)
			}
			if want, _ := write(n); copies[0] != want {
				t.Errorf("%s: letter %s is not what was sent", box, id)
			}
		}
	}
	r.start("-config", r.file)
	if err := post(r.addr["inbound"], 9_000_000, 9_000_001, to, func(letter) {}); err != nil {
		t.Errorf("after the restart: %v", err)
	}
}
