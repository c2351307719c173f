package main

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"golang.org/x/crypto/bcrypt"

	"github.com/smtpguard/smtpguard/internal/require"
	"github.com/smtpguard/smtpguard/smtpguardtest"
)

// from connects from a loopback address of one's own.
func from(local, addr string) (*smtp.Client, error) {
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := smtp.NewClient(nc)
	c.CommandTimeout, c.SubmissionTimeout = patience, patience
	return c, nil
}

// guesser is a client that only logs in. (go-smtp's own follows a refusal with
// "*", which is no command then.)
type guesser struct {
	nc   net.Conn
	text *textproto.Reader
}

func guessing(local, addr string, tc *tls.Config) (*guesser, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}, Config: tc}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	g := &guesser{nc, textproto.NewReader(bufio.NewReader(nc))}
	if err := nc.SetDeadline(time.Now().Add(4 * patience)); err != nil {
		return nil, err
	}
	if _, _, err := g.text.ReadResponse(220); err != nil {
		return nil, err
	}
	_, err = g.say("EHLO client.example")
	return g, err
}

// say sends a command, and returns the code of the reply.
func (g *guesser) say(line string) (int, error) {
	if _, err := io.WriteString(g.nc, line+"\r\n"); err != nil {
		return 0, err
	}
	code, _, err := g.text.ReadResponse(0)
	return code, err
}

// login tries a password: 235 is success.
func (g *guesser) login(user, password string) (int, error) {
	return g.say("AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password)))
}

// loginFrom logs in once, and returns the reply code, or 0.
func loginFrom(local, addr string, tc *tls.Config, user, password string) int {
	g, err := guessing(local, addr, tc)
	if err != nil {
		return 0
	}
	defer g.nc.Close()
	code, err := g.login(user, password)
	if err != nil {
		return 0
	}
	return code
}

// passwords makes a password file of one login; its hash is the cheapest there is.
func passwords(t *testing.T, login, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "passwords")
	if err := os.WriteFile(path, fmt.Appendf(nil, "%s:%s\n", login, hash), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestBruteForce: of ten thousand guesses from a hundred addresses the stated
// number is judged, and the account's owner logs in all the while.
func TestBruteForce(t *testing.T) {
	const addresses, guesses = 100, 10_000
	r := start(t, "", fmt.Sprintf(`
auth: {passwords: %q}
limits: {slow: 0s, errors: 100}
guesses: {pair: 5/15m, home: 20/1h, login: 50/1h, client: 20/1h}
`, passwords(t, "demo", "right")))
	tc, addr := r.tls(), r.addr["submissions"]
	owner := func() int { return loginFrom("127.0.0.1", addr, tc, "demo", "right") }
	if code := owner(); code != 235 {
		t.Fatalf("the owner reads %d before the attack", code)
	}
	var judged, refused, other, owned, shut atomic.Int64
	var guessers, watch sync.WaitGroup
	over := make(chan struct{})
	watch.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(20 * time.Millisecond):
			}
			if owner() == 235 {
				owned.Add(1)
			} else {
				shut.Add(1)
			}
		}
	})
	work := make(chan int)
	for range 8 {
		guessers.Go(func() {
			for n := range work {
				g, err := guessing(fmt.Sprintf("127.1.0.%d", n+1), addr, tc)
				if err != nil {
					t.Error(err)
					return
				}
				for i := range guesses / addresses / 2 {
					switch code, err := g.login("demo", fmt.Sprintf("guess%d", i)); code {
					case 535:
						judged.Add(1)
					case 454:
						refused.Add(1)
					default:
						other.Add(1)
						t.Logf("a guesser reads %d, %v", code, err)
					}
				}
				g.nc.Close()
			}
		})
	}
	for n := range 2 * addresses { // each address comes twice
		work <- n % addresses
	}
	close(work)
	guessers.Wait()
	close(over)
	watch.Wait()
	if code := owner(); code != 235 {
		t.Errorf("the owner reads %d after the attack", code)
	}
	// 50 an hour for the login, and what they regain while the test runs.
	if n := judged.Load(); n < 40 || n > 52 {
		t.Errorf("%d guesses were judged, want some 50", n)
	}
	if sum := judged.Load() + refused.Load(); sum != guesses || other.Load() > 0 {
		t.Errorf("%d guesses judged, %d refused, %d answered otherwise, of %d", judged.Load(), refused.Load(), other.Load(), guesses)
	}
	if owned.Load() < 3 || shut.Load() > 0 {
		t.Errorf("amid the attack the owner logged in %d times, and not %d times", owned.Load(), shut.Load())
	}
	// The log says why, for each.
	r.until("the log has every refusal", func() bool {
		return int64(strings.Count(r.log.String(), "too many failed logins, counted by")) >= refused.Load()
	})
	if !strings.Contains(r.log.String(), "login locked out") {
		t.Error("the log tells of no lockout")
	}
	t.Logf("%d judged, %d refused, the owner logged in %d times", judged.Load(), refused.Load(), owned.Load())
}

// However a login is spelled that the server takes, its failures are counted as
// those of one.
func TestSpelledGuesses(t *testing.T) {
	r := start(t, "", fmt.Sprintf(`
auth: {passwords: %q}
limits: {slow: 0s, errors: 100}
guesses: {pair: 2/15m, home: 2/1h, login: 50/1h, client: 20/1h}
`, passwords(t, "ann@bücher.example", "right")))
	tc, addr := r.tls(), r.addr["submissions"]
	want := []int{535, 535, 454, 454, 454}
	for i, spelled := range []string{"ann@bücher.example", "ann@xn--bcher-kva.example", "a\u00adnn@bücher.example", "ａｎｎ@bücher.example", "ANN@bücher.example."} {
		if code := loginFrom("127.0.0.2", addr, tc, spelled, "guess"); code != want[i] {
			t.Errorf("%q reads %d, not %d", spelled, code, want[i])
		}
	}
}

// startRedis runs a server on a socket.
func startRedis(t *testing.T) string {
	t.Helper()
	path := require.Program(t, "redis-server")
	dir, err := os.MkdirTemp("", "redis-") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(path, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		os.RemoveAll(dir)
	})
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		nc, err := net.Dial("unix", socket)
		if err == nil {
			nc.Close()
			return socket
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// TestSharedLockout: what one of two servers knows of a client the other knows
// within a second.
func TestSharedLockout(t *testing.T) {
	more := fmt.Sprintf(`
auth: {passwords: %q}
limits: {slow: 0s}
guesses: {pair: 5/15m, home: 20/1h, login: 50/1h, client: 20/1h}
traps: {addresses: [trap@example.org], hits: 1, block: 1h}
redis: {address: %q, machines: 2, away: closed}
`, passwords(t, "demo", "right"), startRedis(t))
	a, b := start(t, "", more), start(t, "", more)
	try := func(r *running, local, password string) int {
		t.Helper()
		return loginFrom(local, r.addr["submissions"], r.tls(), "demo", password)
	}
	for range 5 {
		if code := try(a, "127.2.0.1", "wrong"); code != 535 {
			t.Fatalf("a free guess reads %d", code)
		}
	}
	within := time.Now().Add(time.Second)
	for try(b, "127.2.0.1", "right") != 454 {
		if time.Now().After(within) {
			t.Fatal("the other server does not know of the lockout after a second")
		}
	}
	if code := try(b, "127.2.0.2", "right"); code != 235 {
		t.Errorf("another client reads %d", code)
	}

	c, err := from("127.2.0.3", a.addr["inbound"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SendMail("a@client.example", []string{"trap@example.org"}, strings.NewReader("x\r\n")); err != nil {
		t.Fatal(err)
	}
	blocked := func(r *running) bool {
		c, err := from("127.2.0.3", r.addr["inbound"])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return code(c.Hello("client.example")) == 554
	}
	a.until("the client of the trap is blocked", func() bool { return blocked(a) })
	within = time.Now().Add(time.Second)
	for !blocked(b) {
		if time.Now().After(within) {
			t.Fatal("the other server does not block the client after a second")
		}
	}
	if n := len(a.mail("example.org/trap")); n != 1 {
		t.Errorf("%d messages in the trap's mailbox, want 1", n)
	}
}

// TestBlocked: the lists of the configuration are asked, and what was blocked
// outlives a kill.
func TestBlocked(t *testing.T) {
	list := filepath.Join(t.TempDir(), "own.list")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("127.3.0.1 # a nuisance\nspam@client.example\nallow 127.3.0.9\n")
	r := start(t, "", fmt.Sprintf(`
lists: [{name: own, path: %q}]
traps: {addresses: [trap@example.org], refuse: true}
`, list))
	greeted := func(local string) int {
		t.Helper()
		c, err := from(local, r.addr["inbound"])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		err = c.Hello("client.example")
		if err == nil {
			return 250
		}
		return code(err)
	}
	send := func(local, from_, to string) int {
		t.Helper()
		c, err := from(local, r.addr["inbound"])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SendMail(from_, []string{to}, strings.NewReader("x\r\n")); err != nil {
			return code(err)
		}
		return 250
	}
	if got := greeted("127.3.0.1"); got != 554 {
		t.Errorf("a listed client reads %d", got)
	}
	if got := send("127.3.0.2", "spam@client.example", "ann@example.org"); got != 550 {
		t.Errorf("a listed sender reads %d", got)
	}
	write("127.3.0.2\nallow 127.3.0.9\n")
	r.until("the list is read again", func() bool { return greeted("127.3.0.2") == 554 && greeted("127.3.0.1") == 250 })

	for local, wants := range map[string]int{"127.3.0.5": 554, "127.3.0.9": 250} { // one of them is allowed
		send(local, "a@client.example", "trap@example.org")
		r.until(local+" has been judged", func() bool { return greeted(local) == wants })
	}
	r.signal(os.Kill)
	r.wait()
	r.start("-config", r.file)
	if got := greeted("127.3.0.5"); got != 554 {
		t.Errorf("after a kill the client of the trap reads %d", got)
	}
	if got := greeted("127.3.0.9"); got != 250 {
		t.Errorf("after a kill the client that is allowed reads %d", got)
	}
	if !strings.Contains(r.log.String(), "a nuisance") {
		t.Error("the log does not have the reason")
	}
}

// TestFloods: with limits far below the defaults the server passes the kit's
// floods, and turns their client away.
func TestFloods(t *testing.T) {
	r := start(t, "wait: 20ms", fmt.Sprintf(`
auth: {passwords: %q}
limits: {slow: 0s, message-octets: 131072}
concurrency: {client: 5, network: 5, connections: 20, transactions: 5}
rates:
  - {name: errors, unit: errors, by: [client], limits: [30/1h], effect: disconnect, except: [127.0.0.1]} # the kit's
  - {name: probing, unit: unknown-recipients, by: [client], limits: [10/1h], effect: disconnect, except: [127.0.0.1]}
  - {name: mail, unit: messages, by: [client], limits: [50/1m], effect: defer}
`, passwords(t, "demo", "password")))
	smtpguardtest.RunCases(t, smtpguardtest.Target{
		Addr: r.addr["inbound"], Recipient: "kit@example.org", Foreign: "victim@example.com", TLS: r.tls(),
		Delivered:   func() []smtpguardtest.Message { return delivered(t, r.data("mail")) },
		Silence:     250 * time.Millisecond,
		PreGreeting: 20 * time.Millisecond,
	}, smtpguardtest.Suite("flood"))

	// More of it than a client may do, from one that is no other's.
	last := 0
	for range 100 {
		c, err := from("127.4.0.1", r.addr["inbound"])
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Mail("a@client.example", nil); err != nil {
			last = code(err)
			c.Close()
			break
		}
		for range 10 {
			_ = c.Rcpt("nobody@elsewhere.example", nil) // refused
		}
		c.Close()
	}
	if last != 421 {
		t.Errorf("a client that goes on making errors reads %d, want 421", last)
	}
	if c, err := from("127.4.0.2", r.addr["inbound"]); err != nil {
		t.Error(err)
	} else {
		defer c.Close()
		if err := c.SendMail("a@client.example", []string{"ann@example.org"}, strings.NewReader("x\r\n")); err != nil {
			t.Errorf("another client: %v", err)
		}
	}
	if !strings.Contains(r.log.String(), "errors") {
		t.Error("the log does not say which limit")
	}
}
