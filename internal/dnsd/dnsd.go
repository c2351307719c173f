// Package dnsd runs real DNS servers for tests.
package dnsd

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/internal/require"
)

// Start starts a DNS server that runs until the test ends, on a free port of
// loopback that command is told, and returns its address once it answers for a
// name. Somebody else may take the port meanwhile: then it tries another.
func Start(t testing.TB, name string, command func(port int) *exec.Cmd) string {
	t.Helper()
	for range 5 {
		addr := require.Addr(t)
		cmd := command(int(addr.Port()))
		out := new(strings.Builder)
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait() // it is killed
			close(ended)
		}()
		stop := func() {
			_ = cmd.Process.Kill()
			<-ended
		}
		if answers(t, addr.String(), name, ended) {
			t.Cleanup(func() {
				stop()
				if t.Failed() {
					t.Logf("%s says:\n%s", cmd.Path, out)
				}
			})
			return addr.String()
		}
		stop()
		t.Logf("%s did not come up:\n%s", cmd.Path, out)
	}
	t.Fatal("no server")
	return ""
}

// answers waits until the server at addr has a word for a name, whatever it
// is. It reports false when the server ends.
func answers(t testing.TB, addr, name string, ended <-chan struct{}) bool {
	r := Resolver(addr)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := r.LookupNetIP(ctx, "ip4", name)
		cancel()
		if dns, ok := err.(*net.DNSError); err == nil || ok && dns.IsNotFound {
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return false
}

// Resolver is a resolver that asks the server at addr alone.
func Resolver(addr string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
}
