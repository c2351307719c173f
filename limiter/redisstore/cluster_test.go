package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/smtpguard/smtpguard/internal/require"
	"github.com/smtpguard/smtpguard/limiter"
	"github.com/smtpguard/smtpguard/limiter/storetest"
)

// startCluster starts three masters on loopback, each with a third of the slots,
// and nodes beyond them, which have none.
func startCluster(t *testing.T, beyond int) (nodes []*server, addrs []string) {
	t.Helper()
	var buses []string
	for range 3 + beyond {
		bus := strconv.Itoa(int(require.Addr(t).Port()))
		// A node not heard of for cluster-node-timeout is failing; the others go on
		// with what is theirs.
		node := startPort(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no")
		nodes, addrs, buses = append(nodes, node), append(addrs, node.addr), append(buses, bus)
	}
	for i, node := range nodes {
		if i < 3 {
			node.do("cluster", "addslotsrange", i*16384/3, (i+1)*16384/3-1)
		}
		host, port, _ := net.SplitHostPort(node.addr)
		nodes[0].do("cluster", "meet", host, port, buses[i])
	}
	for _, node := range nodes {
		waitUntil(t, "the cluster's nodes know one another", func() bool {
			info := node.do("cluster", "info").(string)
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprint("cluster_known_nodes:", len(nodes))) && strings.Contains(info, "cluster_slots_ok:16384")
		})
	}
	return nodes, addrs
}

// on returns a key of each node.
func on(t testing.TB, s *Store, nodes []*server) []string {
	t.Helper()
	keys := make([]string, len(nodes))
	for i, node := range nodes {
		for j := 0; keys[i] == ""; j++ {
			key := fmt.Sprint("key", j)
			master, err := s.lanes.cluster.MasterForKey(context.Background(), s.stateKey(key, hourly(1)))
			if err != nil {
				t.Fatal(err)
			}
			if master.Options().Addr == node.addr {
				keys[i] = key
			}
		}
	}
	return keys
}

func TestCluster(t *testing.T) {
	t.Parallel()
	nodes, addrs := startCluster(t, 0)

	n := 0
	storetest.Run(t, storetest.Config{New: func(t *testing.T) limiter.Store {
		n++
		return mustNew(t, Config{Redis: redis.UniversalOptions{Addrs: addrs}, Prefix: fmt.Sprintf("case%d:", n), Timeout: slow})
	}})

	t.Run("round trips", func(t *testing.T) {
		s := mustNew(t, Config{Redis: redis.UniversalOptions{Addrs: addrs}, Prefix: "trips:", Timeout: slow})
		var asks []limiter.Ask
		for _, key := range on(t, s, nodes) {
			for _, per := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour} {
				asks = append(asks, limiter.Ask{Key: key, Limit: limiter.Limit{N: 10, Per: per}, N: 1})
			}
		}
		all(t, s, asks...)
		var before [3]int
		for i, node := range nodes {
			before[i] = node.runs("evalsha")
		}
		all(t, s, asks...)
		for i, node := range nodes {
			if n := node.runs("evalsha") - before[i]; n != 1 {
				t.Errorf("node %d: three windows of its key took %d scripts", i, n)
			}
		}
	})

	t.Run("give back", func(t *testing.T) {
		s := mustNew(t, Config{Redis: redis.UniversalOptions{Addrs: addrs}, Prefix: "back:", Timeout: slow})
		l := hourly(5)
		keys := on(t, s, nodes)
		takeOne(t, s, keys[2], l, 5)
		takeOne(t, s, keys[0], l, 1)
		asks := []limiter.Ask{{Key: keys[0], Limit: l, N: 3}, {Key: keys[1], Limit: l, N: 2, Force: true}, {Key: keys[0], Limit: l, N: -1}, {Key: keys[2], Limit: l, N: 1}}
		states := all(t, s, asks...)
		for i, want := range []limiter.State{{OK: true, Left: 4}, {OK: true, Left: 3}, {OK: true, Left: 1}, {OK: false, Left: 0}} {
			if states[i].OK != want.OK || i != 2 && states[i].Left != want.Left || (states[i].Retry == 0) != want.OK {
				t.Errorf("ask %d: got %+v, want %+v", i, states[i], want)
			}
		}
		for i, want := range []int{4, 3, 0} {
			if st := takeOne(t, s, keys[i], l, 0); st.Left != want {
				t.Errorf("key %d: got %+v, want %d left", i, st, want)
			}
		}
	})

	t.Run("a node is away", func(t *testing.T) {
		var ev, evClosed events
		const timeout = 200 * time.Millisecond
		local := mustNew(t, Config{Redis: redis.UniversalOptions{Addrs: addrs}, Prefix: "away:", Timeout: timeout, Probe: probing, Away: Local, Machines: 5, Observe: ev.observe})
		closed := mustNew(t, Config{Redis: redis.UniversalOptions{Addrs: addrs}, Prefix: "away:", Timeout: timeout, Probe: probing, Observe: evClosed.observe})
		l := hourly(10)
		keys := on(t, local, nodes)
		waitUntil(t, "all nodes decide", func() bool {
			states, err := closed.Take(context.Background(), []limiter.Ask{{Key: keys[0], Limit: l}, {Key: keys[1], Limit: l}, {Key: keys[2], Limit: l}})
			return err == nil && len(states) == 3
		})
		all(t, local, limiter.Ask{Key: keys[0], Limit: l}, limiter.Ask{Key: keys[1], Limit: l}, limiter.Ask{Key: keys[2], Limit: l})
		nodes[1].kill()
		waitUntil(t, "the node is away", func() bool {
			takeOne(t, local, keys[1], l, 0)
			_, err := closed.Take(context.Background(), []limiter.Ask{{Key: keys[1], Limit: l, N: 0}})
			return errors.Is(err, ErrAway) && ev.count(KindAway) == 1 && evClosed.count(KindAway) == 1
		})
		both := func(n int) []limiter.Ask {
			return []limiter.Ask{{Key: keys[0], Limit: l, N: n}, {Key: keys[1], Limit: l, N: n}, {Key: keys[2], Limit: l, N: n}}
		}
		for i := range 2 { // of one key this machine has a fifth
			for j, st := range all(t, local, both(1)...) {
				if want := []int{9, 1, 9}[j] - i; !st.OK || st.Left != want {
					t.Errorf("key %d: got %+v, want %d left", j, st, want)
				}
			}
		}
		for j, st := range all(t, local, both(1)...) {
			if want := []int{8, 0, 8}[j]; st.OK != (j != 1) || st.Left != want {
				t.Errorf("key %d: got %+v, want %d left", j, st, want)
			}
		}
		if _, err := closed.Take(context.Background(), both(1)); !errors.Is(err, ErrAway) {
			t.Errorf("closed: %v", err)
		}
		for _, key := range []string{keys[0], keys[2]} {
			if st := takeOne(t, closed, key, l, 0); st.Left != 8 {
				t.Errorf("%s: got %+v, and what was spent is given back", key, st)
			}
		}
		// What the other node refuses, this machine gives back.
		takeOne(t, local, keys[0], l, 8)
		if _, err := local.Reset(context.Background(), keys[1], l); err == nil {
			t.Error("Reset of a key whose node is away: no error")
		}
		if states := all(t, local, both(1)...); states[0].OK || !states[1].OK || states[1].Left != 2 {
			t.Errorf("got %+v", states)
		}
		nodes[1].start()
		waitUntil(t, "the node is back", func() bool { return ev.count(KindBack) == 1 && evClosed.count(KindBack) == 1 })
		if st := takeOne(t, local, keys[1], l, 1); !st.OK || st.Left != 9 {
			t.Errorf("got %+v from the node", st)
		}
		if n := ev.count(KindAway); n != 1 {
			t.Errorf("%d nodes were away", n)
		}
	})
}

// A cluster that has never been there, and then is.
func TestClusterLater(t *testing.T) {
	t.Parallel()
	nodes, addrs := startCluster(t, 0)
	for _, node := range nodes {
		node.kill()
	}
	var ev events
	s := mustNew(t, Config{Redis: redis.UniversalOptions{Addrs: addrs}, Probe: probing, Observe: ev.observe})
	begin := time.Now()
	for range 50 {
		if _, err := s.Take(context.Background(), []limiter.Ask{{Key: "a", Limit: hourly(5), N: 1}, {Key: "b", Limit: hourly(5), N: 1}}); !errors.Is(err, ErrAway) {
			t.Errorf("Take: %v", err)
		}
	}
	if d := time.Since(begin); d > 30*time.Second {
		t.Errorf("50 Takes without the server lasted %v", d)
	}
	for _, node := range nodes[:2] { // one is missing still
		node.start()
	}
	waitUntil(t, "the cluster is back", func() bool { return ev.count(KindBack) > 0 })
	keys := on(t, s, nodes[:2])
	waitUntil(t, "it decides", func() bool {
		_, err := s.Take(context.Background(), []limiter.Ask{{Key: keys[0], Limit: hourly(5), N: 1}, {Key: keys[1], Limit: hourly(5), N: 1}})
		return err == nil
	})
}
