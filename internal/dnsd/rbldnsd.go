package dnsd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/internal/require"
)

// Rbldnsd has rbldnsd serve zones until the test ends, each "name:dataset" with
// the lines of its file, and returns its address.
func Rbldnsd(t testing.TB, zones map[string]string) string {
	t.Helper()
	program := require.Program(t, "rbldnsd")
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil { // it may run as another user
		t.Fatal(err)
	}
	args := []string{"-n", "-w", dir, "-c", "0"}
	var up string
	for zone, lines := range zones {
		file := fmt.Sprintf("zone%d", len(args))
		soa := "$SOA 60 ns.example. hostmaster.example. 1 600 60 600 60\n"
		if err := os.WriteFile(filepath.Join(dir, file), []byte(soa+lines+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, zone+":"+file)
		up, _, _ = strings.Cut(zone, ":")
	}
	return Start(t, "up."+up+".", func(port int) *exec.Cmd {
		return exec.Command(program, append([]string{"-b", fmt.Sprintf("127.0.0.1/%d", port)}, args...)...)
	})
}
