package redisstore

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// maxNodes bounds how many masters of a cluster have lanes of their own; the
// addresses of those that come and go are not forgotten.
const maxNodes = 1000

// lanes are a store's: one, or one for each master of a cluster, so that the
// others go on when one is away.
type lanes struct {
	cluster *redis.ClusterClient // nil for one server
	first   *lane                // of one server; of a cluster, while its nodes are not known
	known   atomic.Bool          // the cluster has answered once, so that its map of slots is there

	mu    sync.RWMutex
	nodes map[string]*lane // by the master's address
}

// of returns the lane of a key.
func (ls *lanes) of(key string) *lane {
	if ls.cluster == nil || !ls.known.Load() {
		return ls.first
	}
	// The map is there, so that this waits for nothing.
	master, err := ls.cluster.MasterForKey(context.Background(), key)
	if err != nil {
		return ls.first
	}
	node := master.Options().Addr
	ls.mu.RLock()
	l := ls.nodes[node]
	ls.mu.RUnlock()
	if l != nil {
		return l
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l = ls.nodes[node]; l == nil {
		if len(ls.nodes) == maxNodes {
			return ls.first
		}
		l = &lane{store: ls.first.store, node: node}
		ls.nodes[node] = l
	}
	return l
}
