// Package rbldnsd runs a real rbldnsd for tests.
package rbldnsd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/internal/require"
)

// Serve has rbldnsd serve zones until the test ends, each "name:dataset" with
// the lines of its file, and returns its address once it answers.
func Serve(t testing.TB, zones map[string]string) (addr string) {
	t.Helper()
	program := require.Program(t, "rbldnsd")
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil { // it may run as another user
		t.Fatal(err)
	}
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.LocalAddr().(*net.UDPAddr)
	free.Close()
	args := []string{"-n", "-b", fmt.Sprintf("127.0.0.1/%d", at.Port), "-w", dir, "-c", "0"}
	var one string
	for zone, lines := range zones {
		one, _, _ = strings.Cut(zone, ":")
		file := fmt.Sprintf("zone%d", len(args))
		soa := "$SOA 60 ns.example. hostmaster.example. 1 600 60 600 60\n"
		if err := os.WriteFile(filepath.Join(dir, file), []byte(soa+lines+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, zone+":"+file)
	}
	cmd := exec.Command(program, args...)
	out := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("rbldnsd says:\n%s", out)
		}
	})
	r := Resolver(at.String())
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err = r.LookupNetIP(ctx, "ip4", "up."+one+".")
		cancel()
		if dns := (*net.DNSError)(nil); errors.As(err, &dns) && dns.IsNotFound {
			return at.String()
		}
	}
	t.Fatalf("rbldnsd does not answer: %v", err)
	return ""
}

// Resolver returns one that asks the server at addr alone.
func Resolver(addr string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
}
