package redisstore

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smtpguard/smtpguard/limiter"
)

const (
	maxBatch = 2 * limiter.MaxAsks  // asks in one round trip
	maxQueue = 32 * limiter.MaxAsks // asks that wait for one
)

var errBusy = errors.New("too many asks wait for the server")

// call is one decision of the script.
type call struct {
	asks  []wire
	state atomic.Int32 // below
	done  chan struct{}
	reply []int64 // when done: one for each ask, or err
	err   error
}

const (
	queued  int32 = iota
	sent          // or about to be
	dropped       // nobody waits any more, and the server is not asked
)

func newCall(asks []wire) *call { return &call{asks: asks, done: make(chan struct{})} }

func (c *call) end(reply []int64, err error) {
	c.reply, c.err = reply, err
	close(c.done)
}

// lane sends calls to one server, in the order in which they come and one round
// trip at a time. What comes while one is under way shares the next: nobody waits
// for company, and many at once cost little more than one. It is also the
// server's breaker.
type lane struct {
	store *Store
	node  string // of a cluster, the master's address

	mu      sync.Mutex
	queue   []*call
	waiting int       // asks in queue
	busy    bool      // a goroutine sends
	crowded bool      // KindBusy has said so
	fails   int       // in a row
	away    time.Time // since when; zero while the server decides
	cause   error     // of away
}

// do has c decided, or ends it with an error. With must it waits however many
// do: what has to follow an answer. It reports whether the lane was idle: then the
// caller has to lead.
func (l *lane) do(c *call, must bool) (lead bool) {
	l.mu.Lock()
	var err error
	switch {
	case !l.away.IsZero():
		err = l.cause
	case !l.busy:
		l.busy, lead = true, true
		c.state.Store(sent)
	case l.waiting+len(c.asks) > maxQueue && !must:
		err = errBusy
	default:
		l.queue = append(l.queue, c)
		l.waiting += len(c.asks)
	}
	l.mu.Unlock()
	if err != nil {
		c.end(nil, err)
	}
	if err == errBusy {
		l.crowd()
	}
	return lead
}

// drop gives c up, and keeps it from being sent if it was not.
func (l *lane) drop(c *call) {
	if c.state.CompareAndSwap(queued, dropped) {
		l.crowd()
	}
}

// crowd tells the operator, once until the queue is empty again, that calls find
// no room in it or wait too long.
func (l *lane) crowd() {
	l.mu.Lock()
	tell := !l.crowded
	l.crowded = true
	l.mu.Unlock()
	if tell {
		l.store.observe(Event{Kind: KindBusy, Node: l.node, Err: errBusy})
	}
}

// lead sends the first call of an idle lane, on the caller's goroutine, which has
// nothing better to do. What has come meanwhile gets a goroutine.
func (l *lane) lead(ctx context.Context, c *call) {
	batch := []*call{c}
	if err := l.store.send(ctx, batch); err == nil || !ending(ctx) {
		l.settle(batch, err)
	}
	l.mu.Lock()
	l.busy = len(l.queue) > 0
	more := l.busy
	l.mu.Unlock()
	if more {
		go l.run()
	}
}

// ending reports whether ctx has ended or is about to: a failure then is not the
// server's. The network's timer may be a little ahead of the context's.
func ending(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && time.Until(deadline) < time.Millisecond
}

// run sends what is queued until nothing is.
func (l *lane) run() {
	for {
		batch := l.next()
		if len(batch) == 0 {
			return
		}
		l.settle(batch, l.store.send(l.store.ctx, batch))
		// Who was answered and asks again at once comes along.
		runtime.Gosched()
	}
}

// next takes a batch off the queue. None means that the lane is idle from now on.
func (l *lane) next() []*call {
	l.mu.Lock()
	defer l.mu.Unlock()
	var batch []*call
	asks, taken := 0, 0
	for _, c := range l.queue {
		if asks+len(c.asks) > maxBatch {
			break
		}
		taken++
		l.waiting -= len(c.asks)
		if c.state.CompareAndSwap(queued, sent) {
			asks += len(c.asks)
			batch = append(batch, c)
		}
	}
	if taken < len(l.queue) {
		l.queue = l.queue[taken:]
	} else {
		l.queue, l.crowded = nil, false
	}
	l.busy = len(batch) > 0
	return batch
}

// settle counts a round trip that failed with err, or did not. The last failure
// of too many sends the server away, and begins to probe it.
func (l *lane) settle(batch []*call, err error) {
	l.mu.Lock()
	if err == nil {
		l.fails = 0
		l.mu.Unlock()
		return
	}
	l.fails++
	trip := l.fails == l.store.cfg.Failures
	var waiting []*call
	if trip {
		l.away, l.cause = time.Now(), err
		waiting, l.queue, l.waiting = l.queue, nil, 0
	}
	l.mu.Unlock()
	for _, c := range waiting {
		c.end(nil, err)
	}
	l.store.observe(Event{Kind: KindFailed, Node: l.node, Err: err})
	if trip {
		l.store.observe(Event{Kind: KindAway, Node: l.node, Err: err})
		go l.probe(batch[0].asks[0].key)
	}
}

// probe asks the server until it decides.
func (l *lane) probe(key string) {
	s := l.store
	tick := time.NewTicker(s.cfg.Probe)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		if s.lanes.cluster != nil { // another node may have taken over
			s.lanes.cluster.ReloadState(s.ctx)
		}
		if s.send(s.ctx, l.probes(key)) == nil {
			break
		}
	}
	l.mu.Lock()
	away := time.Since(l.away)
	l.away, l.cause, l.fails = time.Time{}, nil, 0
	l.mu.Unlock()
	s.observe(Event{Kind: KindBack, Node: l.node, Away: away})
}

// probes are calls one of which the server must decide to be back. They spend: a
// server that only reads is no use. They go beside a key whose asks failed, but
// where a cluster's nodes are not known any will do that answers.
func (l *lane) probes(key string) []*call {
	keys := []string{beside(key, "probe")}
	if l == l.store.lanes.first && l.store.lanes.cluster != nil {
		for i := range 16 {
			keys = append(keys, l.store.cfg.Prefix+"{"+strconv.Itoa(i)+"}probe")
		}
	}
	calls := make([]*call, len(keys))
	for i, key := range keys {
		calls[i] = newCall([]wire{{key: key, kind: "T", cost: 1, debt: 1}})
	}
	return calls
}
