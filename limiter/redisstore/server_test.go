package redisstore

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/smtpguard/smtpguard/internal/require"
)

// server is a redis-server of a test's own. It keeps nothing on disk unless its
// arguments say so.
type server struct {
	t       testing.TB
	network string
	addr    string
	dir     string
	args    []string
	cmd     *exec.Cmd
}

// start starts a server on a Unix socket.
func start(t testing.TB, args ...string) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis") // t.TempDir can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &server{t: t, network: "unix", addr: filepath.Join(dir, "s"), dir: dir}
	s.args = append([]string{"--port", "0", "--unixsocket", s.addr}, args...)
	s.start()
	return s
}

// startPort starts a server on a port of 127.0.0.1.
func startPort(t testing.TB, args ...string) *server {
	t.Helper()
	addr := require.Addr(t)
	s := &server{t: t, network: "tcp", addr: addr.String(), dir: t.TempDir()}
	s.args = append([]string{"--bind", "127.0.0.1", "--port", strconv.Itoa(int(addr.Port()))}, args...)
	s.start()
	return s
}

// start starts the process, again after kill, and returns when it answers.
func (s *server) start() {
	s.t.Helper()
	path := require.Program(s.t, "redis-server")
	s.cmd = exec.Command(path, append(slices.Clone(s.args), "--dir", s.dir, "--save", "", "--daemonize", "no")...)
	var out bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &out, &out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cmd := s.cmd
	s.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial(s.network, s.addr); err == nil {
			c.Close()
			if s.client().Ping(context.Background()).Err() == nil {
				return
			}
		}
		if time.Now().After(deadline) {
			s.kill()
			s.t.Fatalf("redis-server does not answer:\n%s", &out)
		}
	}
}

func (s *server) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// stall stops the process, whose connections stay and are accepted, until goOn.
func (s *server) stall() { s.cmd.Process.Signal(syscall.SIGSTOP) }
func (s *server) goOn()  { s.cmd.Process.Signal(syscall.SIGCONT) }

// client is a client for the test's own questions.
func (s *server) client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1, DialerRetries: 1})
	s.t.Cleanup(func() { c.Close() })
	return c
}

// do has the server run a command.
func (s *server) do(args ...any) any {
	s.t.Helper()
	got, err := s.client().Do(context.Background(), args...).Result()
	if err != nil && err != redis.Nil {
		s.t.Fatalf("%v: %v", args, err)
	}
	return got
}

// runs is how often the server has run a command since it started.
func (s *server) runs(command string) int {
	s.t.Helper()
	info, err := s.client().InfoMap(context.Background(), "commandstats").Result()
	if err != nil {
		s.t.Fatal(err)
	}
	_, stats, _ := strings.Cut(info["Commandstats"]["cmdstat_"+command], "calls=")
	stats, _, _ = strings.Cut(stats, ",")
	n, _ := strconv.Atoi(stats)
	return n
}

// store is a store on the server.
func (s *server) store(cfg Config) *Store {
	s.t.Helper()
	cfg.Redis.Addrs = []string{s.addr}
	return mustNew(s.t, cfg)
}

func mustNew(t testing.TB, cfg Config) *Store {
	t.Helper()
	store, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}
