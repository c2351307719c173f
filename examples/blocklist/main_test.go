package main

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/blocklist"
	"github.com/smtpguard/smtpguard/blocklist/boltstore"
	"github.com/smtpguard/smtpguard/internal/require"
)

// session runs command lines on one place, and returns what they said, times
// as T.
func session(t *testing.T, place []string, lines ...string) string {
	t.Helper()
	var all strings.Builder
	for _, line := range lines {
		args := append(append([]string{"-by", "ann"}, place...), strings.Split(line, " ")...)
		err := run(t.Context(), args, &all)
		if err != nil {
			all.WriteString("error: " + err.Error() + "\n")
		}
	}
	return regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ`).ReplaceAllString(all.String(), "T")
}

var dialogue = []string{
	"list",
	"add -why spam addr 192.0.2.7/24",
	"add -allow -for 24h domain *.Example.org",
	"list",
	"remove -why mistake addr 192.0.2.0/24",
	"audit -n 2",
}

const said = `block addr 192.0.2.0/24 until T by ann: spam
allow domain *.example.org until T by ann
3 T remove block addr 192.0.2.0/24 by ann: mistake
2 T add allow domain *.example.org by ann
`

func TestFile(t *testing.T) {
	place := []string{"-db", filepath.Join(t.TempDir(), "entries.db")}
	if got := session(t, place, dialogue...); got != said {
		t.Errorf("%s\nwant\n%s", got, said)
	}
	if got, want := session(t, place, "remove addr 192.0.2.0/24", "add addr example.org", "add -for 20000h addr 192.0.2.1"),
		"error: blocklist: entry addr \"192.0.2.0/24\": no such entry\n"+
			"error: blocklist: entry addr \"example.org\": is neither an address nor a prefix\n"+
			"error: blocklist: entry addr \"192.0.2.1\": stays longer than MaxTTL, 8760h0m0s\n"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestFileInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "entries.db")
	s, err := boltstore.Open(path, boltstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got := session(t, []string{"-db", path}, "list")
	if !strings.Contains(got, "a running server has it; ask the server, with -url") {
		t.Error(got)
	}
}

func TestServer(t *testing.T) {
	dir := t.TempDir()
	s, err := boltstore.Open(filepath.Join(dir, "entries.db"), boltstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d, err := blocklist.NewDynamic(blocklist.DynamicConfig{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	const token = "0123456789abcdef0123456789abcdef"
	h, err := blocklist.Handler(d, token)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	right, wrong := filepath.Join(dir, "token"), filepath.Join(dir, "wrong")
	for path, text := range map[string]string{right: token + "\n", wrong: "no token"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := session(t, []string{"-url", srv.URL, "-token-file", right}, dialogue...); got != said {
		t.Errorf("%s\nwant\n%s", got, said)
	}
	if got, want := session(t, []string{"-url", srv.URL, "-token-file", wrong}, "list", "add addr 192.0.2.1"),
		strings.Repeat("error: the server says: \"the token is missing or wrong\"\n", 2); got != want || d.Len() != 1 {
		t.Errorf("%s\nwant\n%s, and %d entries", got, want, d.Len())
	}
	if got := session(t, []string{"-url", "http://example.org", "-token-file", right}, "list"); !strings.Contains(got, "it carries a token") {
		t.Error(got)
	}
}

func TestRedis(t *testing.T) {
	dir, err := os.MkdirTemp("", "redis") // t.TempDir can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(require.Program(t, "redis-server"), "--dir", dir, "--port", "0", "--unixsocket", socket, "--save", "", "--daemonize", "no")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	place := []string{"-redis", socket, "-name", "mx"}
	for deadline := time.Now().Add(30 * time.Second); strings.Contains(session(t, place, "list"), "error"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("redis-server does not answer")
		}
	}
	if got := session(t, place, dialogue...); got != said {
		t.Errorf("%s\nwant\n%s", got, said)
	}
}

func TestMistakes(t *testing.T) {
	place := []string{"-db", filepath.Join(t.TempDir(), "entries.db")}
	for line, want := range map[string]string{
		"show":                        `no command is called "show"`,
		"list all":                    "list takes 0 arguments, not 1",
		"add addr":                    "add takes 2 arguments, not 1",
		"add ip 192.0.2.1":            "no kind",
		"add -for -1h addr 192.0.2.1": "-for has to be positive",
		"audit -n 0":                  "-n has to be positive",
	} {
		if got := session(t, place, line); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", line, got, want)
		}
	}
	for _, place := range [][]string{nil, {"-db", "x", "-redis", "y"}, {"-url", "http://127.0.0.1:1"}} {
		if got := session(t, place, "list"); !strings.Contains(got, "needed") && !strings.Contains(got, "needs") {
			t.Errorf("%v: %s", place, got)
		}
	}
}
