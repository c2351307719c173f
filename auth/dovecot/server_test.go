package dovecot_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/internal/require"
)

// socketDir is a directory with a name short enough for a Unix socket, below
// which anybody may look.
func socketDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dovecot")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// server is a Dovecot with a passwd-file, and nothing but its service auth.
type server struct {
	t           *testing.T
	dir, socket string
	cmd         *exec.Cmd
}

// startDovecot starts a server. In its passwd-file ann may log in; nia may not,
// although her password is right; eve is denied, and far is judged elsewhere.
func startDovecot(t *testing.T) *server {
	t.Helper()
	require.Program(t, "dovecot")
	if os.Geteuid() != 0 {
		t.Skip("Dovecot needs root to become its users")
	}
	s := &server{t: t, dir: socketDir(t)}
	s.socket = filepath.Join(s.dir, "auth")
	const right = ":{PLAIN}correct horse::::::"
	for name, text := range map[string]string{
		"users": "ann@example.org" + right + "\n" +
			"bob@example.org" + right + "user=robert@example.org\n" +
			"nia@example.org" + right + "nologin=y\n" +
			"eve@example.org" + right + "\n" +
			"far@example.org:::::::proxy=y host=192.0.2.1 nopassword=y\n",
		"denied": "eve@example.org:\n",
		"dovecot.conf": `
base_dir = ` + s.dir + `/run
state_dir = ` + s.dir + `/state
log_path = ` + s.dir + `/log
protocols =
ssl = no
auth_mechanisms = plain
auth_failure_delay = 0
passdb {
  driver = passwd-file
  deny = yes
  args = username_format=%u ` + s.dir + `/denied
}
passdb {
  driver = passwd-file
  args = username_format=%u ` + s.dir + `/users
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}
service auth {
  unix_listener ` + s.socket + ` {
    mode = 0600
  }
}
`,
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(s.stop)
	s.start()
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(require.Program(s.t, "dovecot"), "-F", "-c", filepath.Join(s.dir, "dovecot.conf"))
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out strings.Builder
	s.cmd.Stdout, s.cmd.Stderr = &out, &out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("unix", s.socket)
		if err == nil {
			c.Close()
			return
		}
		if time.Since(begin) > time.Minute {
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.stop()
			s.t.Fatalf("Dovecot does not start: %v\n%s\n%s", err, &out, log)
		}
	}
}

// stop ends the master and its children, which would serve who is connected
// for as long as that lasts.
func (s *server) stop() {
	if s.cmd == nil {
		return
	}
	syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	s.cmd.Wait()
	s.cmd = nil
}

const greeting = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t123\nCUID\t1\nCOOKIE\t0123456789abcdef0123456789abcdef\nDONE\n"

// fake serves a Unix socket: it greets, and answers each AUTH by what answer
// makes of its number and its other parameters, as lines; a "" among them hangs
// up.
func fake(t testing.TB, greeting string, answer func(id string, params []string) []string) (socket string) {
	t.Helper()
	dir := socketDir(t)
	socket = filepath.Join(dir, "auth")
	serveFake(t, socket, greeting, answer)
	return socket
}

func serveFake(t testing.TB, socket, greeting string, answer func(id string, params []string) []string) {
	t.Helper()
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go talk(c, greeting, answer)
		}
	}()
}

func talk(c net.Conn, greeting string, answer func(id string, params []string) []string) {
	defer c.Close()
	fmt.Fprint(c, greeting)
	var mu sync.Mutex
	for lines := bufio.NewScanner(c); lines.Scan(); {
		f := strings.Split(lines.Text(), "\t")
		if f[0] != "AUTH" {
			continue
		}
		go func() { // in any order
			reply := answer(f[1], f[2:])
			mu.Lock()
			defer mu.Unlock()
			for _, line := range reply {
				if line == "" {
					c.Close()
					return
				}
				fmt.Fprint(c, line+"\n")
			}
		}()
	}
}
