package dnsbl_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/dnsbl"
	"github.com/smtpguard/smtpguard/internal/require"
)

// recurse has unbound stand before the list server until the test ends, with
// more lines of configuration, and returns a resolver that asks it alone.
func recurse(t *testing.T, listServer string, zones []string, more string) *net.Resolver {
	t.Helper()
	program := require.Program(t, "unbound")
	dir := t.TempDir()
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.LocalAddr().(*net.UDPAddr).Port
	free.Close()
	var conf strings.Builder
	fmt.Fprintf(&conf, `server:
	interface: 127.0.0.1
	port: %d
	directory: %q
	pidfile: ""
	username: ""
	chroot: ""
	use-syslog: no
	do-daemonize: no
	do-not-query-localhost: no
	module-config: "iterator"
	%s
`, port, dir, more)
	for _, z := range zones {
		fmt.Fprintf(&conf, "stub-zone:\n\tname: %s\n\tstub-addr: %s\n\tstub-no-cache: no\n", z, strings.Replace(listServer, ":", "@", 1))
	}
	file := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-d", "-c", file)
	out := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("unbound says:\n%s", out)
		}
	})
	r := resolverAt(fmt.Sprintf("127.0.0.1:%d", port))
	answers(t, r, "up."+zones[0]+".")
	return r
}

// Lists as sites have them: behind a resolver with a cache, which answers for
// names that do not exist where its operator wants that.
func TestUnbound(t *testing.T) {
	server := startLists(t, map[string]string{"a.example:ip4set": "127.0.0.2\n5.6.7.8 :127.0.0.2:caught"})
	z := zone("a")
	z.Text = true
	for _, tt := range []struct {
		name, more, reason string
		standing           dnsbl.Standing
	}{
		{"as it should be", "", "client 5.6.7.8 is listed by a.example; a.example says: caught", dnsbl.Well},
		{"that keeps 127.0.0.0/8 to itself", "private-address: 127.0.0.0/8", "", dnsbl.Empty},
		{"that answers for what does not exist", "local-zone: a.example. redirect\n\tlocal-data: \"a.example. A 203.0.113.1\"", "", dnsbl.Rewritten},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLists(t, dnsbl.Config{Resolver: recurse(t, server, []string{"a.example"}, tt.more), Zones: []dnsbl.Zone{z}})
			tested(t, l)
			s := newSite(t, l.Check())
			reply := "250"
			if tt.reason != "" {
				reply = "550 5.7.1 Client address [5.6.7.8] is listed by a.example"
			}
			s.play("5.6.7.8", "HELLO\nC: MAIL FROM:<a@good.example>\nS: 250\nC: RCPT TO:<user@example.org>\nS: "+reply)
			var reason string
			for _, ev := range s.verdicts("dnsbl") {
				if ev.Action != smtpguard.Continue {
					reason = ev.Reason
				}
			}
			if got := l.Stats()[0]; reason != tt.reason || got.Standing != tt.standing {
				t.Errorf("%q, %v: %s", reason, got.Standing, got.Why)
			}
		})
	}
}

// resolverAt is a resolver that asks the server at addr alone.
func resolverAt(addr string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
}

// answers waits until r has a word for a name, whatever it is.
func answers(t testing.TB, r *net.Resolver, name string) {
	t.Helper()
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err = r.LookupNetIP(ctx, "ip4", name)
		cancel()
		if dns, ok := err.(*net.DNSError); err == nil || ok && dns.IsNotFound {
			return
		}
	}
	t.Fatalf("no answer: %v", err)
}
