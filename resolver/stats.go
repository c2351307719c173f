package resolver

import "sync/atomic"

// Stats counts what a resolver has done since New, and what it holds.
type Stats struct {
	Hits   uint64 // questions answered from the cache, stale ones included
	Stale  uint64 // answers that were past their time, because servers failed
	Shared uint64 // questions answered by what another caller asked for

	Queries     uint64 // packets sent
	Streamed    uint64 // queries sent by TCP or TLS
	Connections uint64 // opened for those
	Retries     uint64 // times that a server was asked because the one before gave no answer
	Timeouts    uint64 // times that a server did not answer all
	Ignored     uint64 // packets that were no answers to what was asked
	Refreshes   uint64 // answers fetched anew before their time was over
	Unread      uint64 // times that ResolvConf could not be read, or named no server

	Entries int    // in the cache
	Octets  int64  // that these take, estimated
	Evicted uint64 // for want of room
}

type counts struct {
	shared, queries, streamed, connections, retries, timeouts, ignored, refreshes, unread atomic.Uint64
}

// Stats returns the counts as they are now.
func (r *Resolver) Stats() Stats {
	c := &r.counts
	st := Stats{
		Shared: c.shared.Load(), Queries: c.queries.Load(), Streamed: c.streamed.Load(), Connections: c.connections.Load(),
		Retries: c.retries.Load(), Timeouts: c.timeouts.Load(), Ignored: c.ignored.Load(), Refreshes: c.refreshes.Load(), Unread: c.unread.Load(),
	}
	for i := range r.cache.shards {
		s := &r.cache.shards[i]
		s.mu.Lock()
		st.Hits += s.hits
		st.Stale += s.stale
		st.Evicted += s.evicted
		st.Entries += len(s.entries)
		st.Octets += s.octets
		s.mu.Unlock()
	}
	return st
}
