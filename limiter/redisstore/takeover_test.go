package redisstore

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/smtpguard/smtpguard/internal/require"
)

// replicated waits until a replica has what its master had.
func replicated(t *testing.T, replica *server) {
	t.Helper()
	waitUntil(t, "the replica has its master's data", func() bool {
		info := replica.do("info", "replication").(string)
		return strings.Contains(info, "role:slave") && strings.Contains(info, "master_link_status:up") && replica.do("dbsize").(int64) > 0
	})
}

// takenOver tests that s decides key's asks, of whose bucket of ten three are
// spent, after its master was killed.
func takenOver(t *testing.T, s *Store, ev *events, key string, master *server) {
	t.Helper()
	master.kill()
	waitUntil(t, "the master is away", func() bool {
		takeOne(t, s, key, hourly(10), 0)
		return ev.count(KindAway) > 0
	})
	waitUntil(t, "the replica decides", func() bool { return takeOne(t, s, key, hourly(10), 0).Left == 7 })
	if st := takeOne(t, s, key, hourly(10), 1); !st.OK || st.Left != 6 {
		t.Errorf("got %+v", st)
	}
}

func TestClusterTakeover(t *testing.T) {
	t.Parallel()
	nodes, addrs := startCluster(t, 1)
	replica := nodes[3]
	replica.do("cluster", "replicate", nodes[1].do("cluster", "myid"))
	var ev events
	s := mustNew(t, Config{Redis: redis.UniversalOptions{Addrs: addrs}, Timeout: time.Second, Probe: probing, Away: Open, Observe: ev.observe})
	key := on(t, s, nodes[:3])[1]
	takeOne(t, s, key, hourly(10), 3)
	replicated(t, replica)
	takenOver(t, s, &ev, key, nodes[1])
}

func TestSentinelTakeover(t *testing.T) {
	t.Parallel()
	master := startPort(t)
	host, port, _ := net.SplitHostPort(master.addr)
	replica := startPort(t, "--replicaof", host+" "+port)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	conf := fmt.Sprintf("sentinel monitor limits %s %s 1\nsentinel down-after-milliseconds limits 500\nsentinel failover-timeout limits 5000\n", host, port)
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := &server{t: t, network: "tcp", dir: t.TempDir()}
	own := require.Addr(t)
	sentinel.addr = own.String()
	sentinel.args = []string{file, "--sentinel", "--bind", "127.0.0.1", "--port", strconv.Itoa(int(own.Port()))}
	sentinel.start()
	waitUntil(t, "the sentinel knows the replica", func() bool {
		list, _ := sentinel.do("sentinel", "replicas", "limits").([]any)
		return len(list) == 1
	})

	var ev events
	s := mustNew(t, Config{
		Redis:   redis.UniversalOptions{Addrs: []string{sentinel.addr}, MasterName: "limits"},
		Timeout: time.Second, Probe: probing, Away: Open, Observe: ev.observe,
	})
	takeOne(t, s, "a", hourly(10), 3)
	replicated(t, replica)
	takenOver(t, s, &ev, "a", master)
}
