package dnsbl_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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
	return resolverAt(daemon(t, "up."+zones[0]+".", func(port int) *exec.Cmd {
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
		return exec.Command(program, "-d", "-c", file)
	}))
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
