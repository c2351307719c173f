package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/internal/require"
)

// patience bounds every wait for another process.
const patience = 30 * time.Second

// program is the server, built once for all tests that run it.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "smtpguard-server-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "server")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := program(); err == nil { // at worst it is built only to be removed
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// running is the server at work, in a process and a folder of its own.
type running struct {
	t    *testing.T
	dir  string // working folder; the data is in the default folder below
	file string
	addr map[string]string // by listener
	cmd  *exec.Cmd
	out  output
	log  output
	done chan struct{}
}

// output is what a process wrote so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// freeAddr is a loopback address where nobody listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	return require.Addr(t).String()
}

// setUp makes a folder with a configuration: the three usual listeners on
// addresses of their own, which inbound, if not "", says more of, and more.
func setUp(t *testing.T, inbound, more string) *running {
	t.Helper()
	r := &running{t: t, dir: t.TempDir(), addr: map[string]string{
		"inbound": freeAddr(t), "submission": freeAddr(t), "submissions": freeAddr(t),
	}}
	r.file = filepath.Join(r.dir, "server.yaml")
	if inbound == "" {
		inbound = "wait: 10ms"
	}
	// All clients come from one address here, and many at once.
	for key, none := range map[string]string{
		"concurrency": "{client: 10000, network: 10000}",
		"rates":       "[]",
		"guesses":     "{pair: none, home: none, login: none, client: none}",
		// And nobody is asked but servers on loopback.
		"authentication": "{mode: none}",
	} {
		if !strings.Contains(more, "\n"+key+":") {
			more += "\n" + key + ": " + none + "\n"
		}
	}
	r.configure(fmt.Sprintf(`
listeners:
  - {name: inbound, kind: inbound, address: %q, tls: starttls, %s}
  - {name: submission, kind: submission, address: %q, tls: starttls}
  - {name: submissions, kind: submission, address: %q, tls: implicit}
`, r.addr["inbound"], inbound, r.addr["submission"], r.addr["submissions"]) + more)
	return r
}

func (r *running) configure(text string) {
	r.t.Helper()
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// start runs a server that was set up, until the test ends.
func start(t *testing.T, inbound, more string) *running {
	t.Helper()
	r := setUp(t, inbound, more)
	r.start("-config", r.file)
	return r
}

func (r *running) start(args ...string) {
	r.t.Helper()
	path, err := program()
	if err != nil {
		r.t.Fatal(err)
	}
	r.cmd = exec.Command(path, args...)
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = r.dir, &r.out, &r.log
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	before := strings.Count(r.out.String(), "listening: ")
	done := make(chan struct{})
	r.done = done
	cmd := r.cmd
	go func() {
		defer close(done)
		_ = cmd.Wait() // its state says all
	}()
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-done
		if r.t.Failed() {
			r.t.Logf("server's output:\n%s%s", r.out.String(), tail(r.log.String(), 4000))
		}
	})
	r.until("it listens", func() bool {
		select {
		case <-done:
			r.t.Fatalf("the server ended: %v\n%s%s", cmd.ProcessState, r.out.String(), r.log.String())
		default:
		}
		return strings.Count(r.out.String(), "listening: ") >= before+3
	})
}

// until waits for something to become true.
func (r *running) until(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("waited in vain until %s\n%s", what, tail(r.log.String(), 4000))
		}
	}
}

// stop sends SIGTERM, and returns the exit code.
func (r *running) stop() int {
	r.t.Helper()
	r.signal(syscall.SIGTERM)
	return r.wait()
}

func (r *running) signal(s os.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) wait() int {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(patience):
		r.t.Fatal("the server does not end")
	}
	return r.cmd.ProcessState.ExitCode()
}

// password is demo's, as it was printed.
func (r *running) password() string {
	r.t.Helper()
	m := regexp.MustCompile(`login demo: password (\S+) `).FindStringSubmatch(r.out.String())
	if m == nil {
		r.t.Fatalf("no password was printed:\n%s", r.out.String())
	}
	return m[1]
}

func (r *running) data(elem ...string) string {
	return filepath.Join(append([]string{r.dir, "smtpguard-data"}, elem...)...)
}

// tls is for clients that trust the server's certificate.
func (r *running) tls() *tls.Config {
	r.t.Helper()
	pem, err := os.ReadFile(r.data("certificate.pem"))
	if err != nil {
		r.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		r.t.Fatal("certificate.pem has no certificate")
	}
	return &tls.Config{RootCAs: roots, ServerName: "mail.example.org"}
}

// mail is what lies in a Maildir, as files: "example.org/ann" or
// "example.org/ann/.Junk".
func (r *running) mail(mailbox string) []string {
	r.t.Helper()
	return readAll(r.t, r.data("mail", mailbox, "new"))
}

func readAll(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(b))
	}
	return all
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// command runs another program to its end, and returns what it wrote.
func command(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience) // t.Context has ended when a test cleans up
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}
