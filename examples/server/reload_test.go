package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// send delivers one message by a client of our own.
func send(addr, from, to, content string) error {
	c, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.CommandTimeout, c.SubmissionTimeout = patience, patience
	if err := c.SendMail(from, []string{to}, strings.NewReader(content)); err != nil {
		return err
	}
	return c.Quit()
}

func code(err error) int {
	if e, ok := err.(*smtp.SMTPError); ok {
		return e.Code
	}
	return 0
}

func (r *running) reload(want string) {
	r.t.Helper()
	before := strings.Count(r.log.String(), want)
	r.signal(syscall.SIGHUP)
	r.until("the log says "+want, func() bool { return strings.Count(r.log.String(), want) > before })
}

func TestReload(t *testing.T) {
	r := start(t, "", "")
	in := r.addr["inbound"]
	text, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := send(in, "a@client.example", "b@example.net", "x\r\n"); code(err) != 550 {
		t.Fatalf("before: %v", err)
	}

	// A session under way gets to know: idle ones end, and so may not go on
	// under the old policy.
	idle, err := smtp.Dial(in)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if err := idle.Hello("client.example"); err != nil {
		t.Fatal(err)
	}
	// A transaction under way ends under the policy it began with.
	busy, err := smtp.Dial(in)
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	if err := busy.Mail("a@client.example", nil); err != nil {
		t.Fatal(err)
	}
	if err := busy.Rcpt("busy@example.org", nil); err != nil {
		t.Fatal(err)
	}

	r.configure(string(text) + "domains: [example.net]\n")
	r.reload("configuration reloaded")
	if err := send(in, "a@client.example", "b@example.net", "x\r\n"); err != nil {
		t.Fatalf("after: %v", err)
	}
	if got := r.mail("example.net/b"); len(got) != 1 {
		t.Errorf("b has %q", got)
	}
	if err := idle.Noop(); code(err) != 421 {
		t.Errorf("idle client reads %v", err)
	}
	w, err := busy.Data()
	if err == nil {
		_, err = io.WriteString(w, "x\r\n")
	}
	if err == nil {
		err = w.Close()
	}
	if got := r.mail("example.org/busy"); err != nil || len(got) != 1 {
		t.Errorf("busy client has delivered %q, %v", got, err)
	}

	// What is invalid, or takes a restart, changes nothing.
	for bad, want := range map[string]string{
		string(text) + "domains: [example.com]\nhostnme: x\n":                                                  "hostnme",
		strings.Replace(string(text), in, freeAddr(t), 1) + "domains: [example.com]\n":                         "that takes a restart",
		string(text) + "domains: [example.com]\ntls: {certificates: [{certificate: none.pem, key: none.pem}]}": "none.pem",
	} {
		r.configure(bad)
		r.reload("configuration not reloaded")
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log does not say %q", want)
		}
		if err := send(in, "a@client.example", "b@example.net", "x\r\n"); err != nil {
			t.Errorf("%s: %v", want, err)
		}
	}

	// The certificate.
	first := r.tls()
	certPEM, keyPEM, err := selfSigned("mail.example.org", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"own.pem": certPEM, "own.key": keyPEM} {
		if err := os.WriteFile(filepath.Join(r.dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := smtp.DialTLS(r.addr["submissions"], first); err != nil {
		t.Errorf("first certificate: %v", err)
	} else {
		c.Close()
	}
	r.configure(string(text) + "tls: {certificates: [{certificate: own.pem, key: own.key}]}\n")
	r.reload("configuration reloaded")
	if c, err := smtp.DialTLS(r.addr["submissions"], first); err == nil {
		c.Close()
		t.Error("the first certificate is still in use")
	}
	if code := r.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// SIGTERM lets a transaction end, and turns nobody away who is in one.
func TestStop(t *testing.T) {
	r := start(t, "", "")
	c, err := smtp.Dial(r.addr["inbound"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Mail("a@client.example", nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt("ann@example.org", nil); err != nil {
		t.Fatal(err)
	}
	r.signal(syscall.SIGTERM)
	r.until("nobody listens", func() bool {
		nc, err := net.Dial("tcp", r.addr["inbound"])
		if err == nil {
			nc.Close()
		}
		return err != nil
	})
	w, err := c.Data()
	if err == nil {
		_, err = io.WriteString(w, "x\r\n")
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Error(err)
	}
	if code := r.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if got := r.mail("example.org/ann"); len(got) != 1 {
		t.Errorf("ann has %q", got)
	}
}

// A client that stays in its transaction is not waited for longer than shutdown
// says.
func TestStopIsBounded(t *testing.T) {
	r := start(t, "", "shutdown: 100ms\n")
	c, err := smtp.Dial(r.addr["inbound"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Mail("a@client.example", nil); err != nil {
		t.Fatal(err)
	}
	if code := r.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if err := c.Rcpt("ann@example.org", nil); err == nil {
		t.Error("the session goes on")
	}
}

// What was made at first start is there at the next, though the first had no
// time to end.
func TestRestart(t *testing.T) {
	r := start(t, "", "")
	password, trust := r.password(), r.tls()
	r.signal(os.Kill)
	r.wait()
	r.start("-config", r.file)
	if n := strings.Count(r.out.String(), password); n != 1 {
		t.Errorf("the password was printed %d times", n)
	}
	if file := r.data("passwords"); !strings.Contains(r.out.String(), "passwords: "+file) {
		t.Errorf("%s is not named:\n%s", file, r.out.String())
	}
	c, err := smtp.DialTLS(r.addr["submissions"], trust)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Auth(sasl.NewPlainClient("", "demo", password)); err != nil {
		t.Error(err)
	}
	// The way to a new password that is printed.
	r.stop()
	if err := os.WriteFile(r.data("passwords"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.start("-config", r.file)
	if n := strings.Count(r.out.String(), "login demo: password "); n != 2 {
		t.Errorf("%d passwords were printed", n)
	}
}

// As README says it: an empty folder, nothing but defaults. Its ports are fixed,
// so who is there already keeps them.
func TestFreshStart(t *testing.T) {
	for _, port := range []string{"2525", "2587", "2465"} {
		ln, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Skipf("needs the port: %v", err)
		}
		ln.Close()
	}
	r := &running{t: t, dir: t.TempDir()}
	r.start()
	if !strings.Contains(r.out.String(), "data folder: "+r.data()+"\n") {
		t.Errorf("printed is\n%s", r.out.String())
	}
	r.password()
	// Nothing of this has to be asked of DNS: EHLO localhost, no reverse-path, no author.
	if err := send("127.0.0.1:2525", "", "any.body@example.org", "Subject: x\r\n\r\ny\r\n"); err != nil {
		t.Error(err)
	}
	if got := r.mail("example.org/any.body"); len(got) != 1 || !strings.Contains(got[0], "Authentication-Results: mail.example.org") {
		t.Errorf("any.body has %q", got)
	}
	// Who talks first is refused: the wait is on.
	nc, err := net.Dial("tcp", "127.0.0.1:2525")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(nc, "EHLO early.example\r\n")
	said, err := io.ReadAll(nc)
	if err != nil || !strings.HasPrefix(string(said), "5") || bytes.Count(said, []byte("\n")) != 1 {
		t.Errorf("an early talker reads %q, %v", said, err)
	}
	if code := r.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestCheckFlag(t *testing.T) {
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(file, []byte("limits:\n  recipients: 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		fine bool
		want string
	}{
		{nil, true, "configuration: valid\n"},
		{[]string{"-config", "server.yaml"}, true, "configuration: valid\n"},
		{[]string{"-config", file}, false, file + ":2:15: limits.recipients: must be 100 or more"},
		{[]string{"-config", filepath.Join(dir, "none.yaml")}, false, "no such file"},
		{[]string{"surplus"}, false, `"surplus" is no flag`},
	} {
		out, err := command(t, path, append([]string{"-check", "-data", dir}, tt.args...)...)
		if (err == nil) != tt.fine || !strings.Contains(out, tt.want) {
			t.Errorf("%v: %v\n%s", tt.args, err, out)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("-check has left %v, %v", entries, err)
	}
}
