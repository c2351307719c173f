package redisstore_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/smtpguard/smtpguard/blocklist/redisstore"
	"github.com/smtpguard/smtpguard/internal/require"
)

// slow is longer than a busy machine takes.
const slow = 30 * time.Second

// server is a redis-server of a test's own, on a Unix socket.
type server struct {
	t      testing.TB
	dir    string
	socket string
	args   []string
	cmd    *exec.Cmd
}

// start starts a server that keeps nothing on disk, unless args say so.
func start(t testing.TB, args ...string) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis") // t.TempDir can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, dir: dir, socket: filepath.Join(dir, "s"), args: args}
	t.Cleanup(func() { s.stop(); os.RemoveAll(dir) })
	s.start()
	return s
}

func (s *server) start() {
	s.t.Helper()
	args := append([]string{"--dir", s.dir, "--port", "0", "--unixsocket", s.socket, "--save", "", "--daemonize", "no"}, s.args...)
	s.cmd = exec.Command(require.Program(s.t, "redis-server"), args...)
	var out bytes.Buffer
	s.cmd.Stdout = &out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	c := s.client()
	for deadline := time.Now().Add(slow); c.Ping(context.Background()).Err() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("redis-server does not answer:\n%s", &out)
		}
	}
}

func (s *server) stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		s.cmd.Process.Signal(syscall.SIGCONT)
		s.cmd.Process.Kill()
		s.cmd.Wait()
	}
}

// stall stops the process, which keeps its connections; goOn continues it.
func (s *server) stall() { s.cmd.Process.Signal(syscall.SIGSTOP) }
func (s *server) goOn()  { s.cmd.Process.Signal(syscall.SIGCONT) }

// client is for the test's own questions.
func (s *server) client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.socket, MaxRetries: -1, DialerRetries: 1})
	s.t.Cleanup(func() { c.Close() })
	return c
}

// store is a store on the server.
func (s *server) store(cfg redisstore.Config) *redisstore.Store {
	s.t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = slow
	}
	cfg.Redis.Addrs = []string{s.socket}
	store, err := redisstore.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { store.Close() })
	return store
}

// startCluster starts a cluster of one server, and returns its address.
func startCluster(t testing.TB) (*server, string) {
	t.Helper()
	addr, bus := require.Addr(t), require.Addr(t)
	s := start(t, "--bind", "127.0.0.1", "--port", strconv.Itoa(int(addr.Port())), "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(int(bus.Port())))
	c := s.client()
	if err := c.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(slow); ; time.Sleep(20 * time.Millisecond) {
		info, err := c.ClusterInfo(t.Context()).Result()
		if err == nil && strings.Contains(info, "cluster_state:ok") {
			return s, addr.String()
		}
		if time.Now().After(deadline) {
			t.Fatalf("no cluster: %v\n%s", err, info)
		}
	}
}
