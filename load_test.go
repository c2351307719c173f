package smtpguard

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// TestMain is also the program of the clients in TestCrowd: both ends of ten
// thousand connections are more files than one process may have open.
func TestMain(m *testing.M) {
	if addr := os.Getenv("SMTPGUARD_TEST_CROWD"); addr != "" {
		if err := crowd(addr, os.Getenv("SMTPGUARD_TEST_ROLE")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const (
	slowSenders = 200
	slowContent = 100 << 10 // octets that a slow sender has sent when it falls silent
)

// crowd opens connections to addr, says so on standard output, and keeps them
// until its standard input has another line. Slow senders then end their
// messages.
func crowd(addr, role string) error {
	kind, count, _ := strings.Cut(role, " ")
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	talks := make([]*talk, n)
	for i := range talks {
		t, err := dialTalk(addr)
		if err == nil {
			err = t.say("EHLO client.example", 250)
		}
		if err == nil && kind == "slow" {
			err = errors.Join(t.say("MAIL FROM:<slow@client.example>", 250), t.say("RCPT TO:<b@example.org>", 250), t.say("DATA", 354))
			io.WriteString(t.c, "Subject: slow\r\n\r\n"+strings.Repeat("0123456789abcdef0123456789abcdef\r\n", slowContent/34))
		}
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		talks[i] = t
	}
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n')
	for i, t := range talks {
		if kind == "slow" {
			if err := t.say(".", 250); err != nil {
				return fmt.Errorf("slow sender %d: %w", i, err)
			}
		}
		t.c.Close()
	}
	return nil
}

// talk is a client's side of a session.
type talk struct {
	c net.Conn
	r *bufio.Reader
}

func dialTalk(addr string) (*talk, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	t := &talk{c, bufio.NewReaderSize(c, 512)}
	return t, t.want(220)
}

func (t *talk) say(line string, code int) error {
	if _, err := io.WriteString(t.c, line+"\r\n"); err != nil {
		return err
	}
	return t.want(code)
}

func (t *talk) want(code int) error {
	for {
		line, err := t.r.ReadString('\n')
		if err != nil {
			return err
		}
		if len(line) > 3 && line[3] == '-' {
			continue
		}
		if !strings.HasPrefix(line, strconv.Itoa(code)) {
			return fmt.Errorf("got %q, want %d", line, code)
		}
		return nil
	}
}

// deliverTo sends one message in a session of its own.
func deliverTo(addr string) error {
	t, err := dialTalk(addr)
	if err != nil {
		return err
	}
	defer t.c.Close()
	for _, step := range []struct {
		line string
		code int
	}{
		{"EHLO client.example", 250}, {"MAIL FROM:<a@client.example>", 250}, {"RCPT TO:<b@example.org>", 250},
		{"DATA", 354}, {"Subject: fresh\r\n\r\nx\r\n.", 250}, {"QUIT", 221},
	} {
		if err := t.say(step.line, step.code); err != nil {
			return fmt.Errorf("%s: %w", step.line, err)
		}
	}
	return nil
}

// counter is a backend that counts messages.
type counter struct{ messages, octets atomic.Int64 }

func (c *counter) NewSession(*smtp.Conn) (smtp.Session, error) { return c, nil }
func (c *counter) Reset()                                      {}
func (c *counter) Logout() error                               { return nil }
func (c *counter) Mail(string, *smtp.MailOptions) error        { return nil }
func (c *counter) Rcpt(string, *smtp.RcptOptions) error        { return nil }
func (c *counter) Data(r io.Reader) error {
	n, err := io.Copy(io.Discard, r)
	if err == nil {
		c.octets.Add(n)
		c.messages.Add(1)
	}
	return err
}

// TestCrowd: ten thousand idle connections and two hundred slow senders keep
// nobody's mail out, and what they cost is bounded.
func TestCrowd(t *testing.T) {
	idle := 10000
	if testing.Short() {
		idle = 500
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if most := int(files.Max) - slowSenders - 300; idle > most {
		t.Logf("the limit of open files allows %d idle connections, not %d", most, idle)
		idle = most
	}

	const total = 4 << 20
	g, err := New(Config{Spool: SpoolConfig{Dir: t.TempDir(), Memory: 64 << 10, Total: total}})
	if err != nil {
		t.Fatal(err)
	}
	be := &counter{}
	s := smtp.NewServer(g.Wrap(be))
	s.Domain, s.ErrorLog = "mx.example.org", log.New(io.Discard, "", 0)
	if err := Harden(s); err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := g.Listen(s, tcp, ListenConfig{})
	if err != nil {
		t.Fatal(err)
	}
	go l.Serve()
	defer l.Close()
	addr := tcp.Addr().String()

	before := inUse()
	endIdle := startCrowd(t, addr, fmt.Sprint("idle ", idle))
	perConn := (inUse() - before) / int64(idle)
	endSlow := startCrowd(t, addr, fmt.Sprint("slow ", slowSenders))
	if n := l.count(); n != idle+slowSenders {
		t.Errorf("%d connections are open, want %d", n, idle+slowSenders)
	}
	// What the last of the slow senders wrote may still be on its way.
	for end := time.Now().Add(20 * time.Second); l.bodyOctets() < slowSenders*(slowContent-34) && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
	}
	if n := l.bodyOctets(); n < slowSenders*(slowContent-34) {
		t.Errorf("slow senders got %d octets through, want %d", n, slowSenders*(slowContent-34))
	}
	// The smallest buffers are given in any case.
	if used := g.spool.used.Load(); used > total+slowSenders*firstBuffer {
		t.Errorf("messages have %d octets of memory, the budget is %d", used, total)
	}
	if grown := inUse() - before; grown > int64(idle+slowSenders)*32<<10+total {
		t.Errorf("memory grew by %d KiB", grown>>10)
	}
	t.Logf("an idle connection after EHLO takes %d octets", perConn)

	for range 20 {
		if err := deliverTo(addr); err != nil {
			t.Fatal("fresh mail: ", err)
		}
	}
	if n := be.messages.Load(); n != 20 {
		t.Errorf("%d messages delivered, want 20", n)
	}
	endSlow()
	if n := be.messages.Load(); n != 20+slowSenders {
		t.Errorf("%d messages delivered in the end, want %d", n, 20+slowSenders)
	}
	endIdle()
	for end := time.Now().Add(20 * time.Second); l.count() > 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
	}
	if used := g.spool.used.Load(); l.count() > 0 || used != 0 {
		t.Errorf("%d connections and %d octets of the budget are still in use", l.count(), used)
	}
}

// count is how many connections are open.
func (l *Listener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// bodyOctets is how much content has come in.
func (l *Listener) bodyOctets() (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.conns {
		w.mu.Lock()
		if w.deadlines.mode != noBody {
			n += w.deadlines.octets
		}
		w.mu.Unlock()
	}
	return n
}

// startCrowd starts a process of clients and returns when all are there. The
// function it returns ends them, and reports what went wrong.
func startCrowd(t *testing.T, addr, role string) (end func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "SMTPGUARD_TEST_CROWD="+addr, "SMTPGUARD_TEST_ROLE="+role)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	r := bufio.NewReader(out)
	if line, _ := r.ReadString('\n'); line != "ready\n" {
		rest, _ := io.ReadAll(r)
		t.Fatalf("the clients (%s) said %s%s", role, line, rest)
	}
	return func() {
		io.WriteString(in, "\n")
		said, _ := io.ReadAll(r)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the clients (%s) said %s: %v", role, said, err)
		}
	}
}
