// Package redisstore answers: how much has a client spent on all our machines
// together?
//
//	store, err := redisstore.New(redisstore.Config{
//		Redis:    redis.UniversalOptions{Addrs: []string{"redis.example.org:6379"}},
//		Away:     redisstore.Local, // while Redis is away, each machine limits alone
//		Machines: 4,                // to a quarter of each limit
//	})
//
// [Store] is a [limiter.Store] on Redis 7 or Valkey, alone, behind Sentinel or as
// a cluster, by the arithmetic of [limiter.Ask.Spend]. A script on the server
// decides, by the server's clock, in whole microseconds: each ask costs less
// than one microsecond too little. All asks of a Take are one round trip, and
// Takes that come while one is under way share the next.
//
// # When Redis is away
//
// No Take lasts longer than Config.Timeout. One that the server did not decide in
// that time is answered as [Config.Away] says; after Config.Failures failed round
// trips in a row all are, at once, until a probe in the background finds that the
// server decides again. What that admits too much, of a limit of N each Per and a
// Burst of B, on M machines:
//
//   - [Closed]: nothing. Takes fail with [ErrAway].
//   - [Local]: each machine has buckets of its own, which hold one M-th of B, at
//     least one unit, and fill at one M-th of N each Per. In D without Redis they
//     give B (or M, if that is more) and D*N/Per units between them; Redis is not
//     told. They are not fuller after an outage than time has made them, so of many
//     outages in a time T this is the bound too, with T for D. An ask for more than
//     a machine's Burst is refused.
//   - [Open]: everything.
//
// A server that forgets, because it restarts without its data or a replica takes
// over that had not heard of the last spending, has full buckets: B more each
// time. So has a clock that is set forward. One that is set back makes no key wait
// longer than an empty bucket and its ask's Debt do.
//
// An ask that was given up may have been decided by the server nevertheless. It
// is then spent there too, so that less is admitted, never more: as much as was
// under way. Give-backs and penalties while Redis is away are for this machine
// only: what is given back then stays spent in Redis, and a penalty is not known
// to other machines.
//
// # Clusters
//
// A decision is atomic where all its keys are in one script call: always on one
// server. On a cluster the windows of one key are in one slot, hence atomic; keys
// of one Take go out side by side, and when one of them is refused what the others
// have spent is given back. Between the two, a Take on another machine may be
// refused for want of units that come back; nothing is admitted too much. An ask
// that was given up or failed on one node cannot be given back, and forced asks
// stay spent although another node failed. Each node is away or back by itself.
//
// # Keys
//
// Ask.Key "mail/addr/192.0.2.1" under 100 units each hour and a burst of 20 is the
// Redis key
//
//	smtpguard:{mail/addr/192.0.2.1}100/1h0m0s/20
//
// whose value is the time at which the bucket is full again, in microseconds since
// 1970, and which expires then. Keys that are long (over 128 octets) or have octets
// other than printable ASCII, spaces or braces go by their hash: "#" and the
// SHA-256 in hexadecimal. To see or forget all windows of a key:
//
//	redis-cli --scan --pattern 'smtpguard:{mail/addr/192.0.2.1}*'
//	redis-cli --scan --pattern "smtpguard:{#$(printf %s "$KEY" | sha256sum | cut -c1-64)}*" | xargs redis-cli unlink
//
// and [Store.Reset] forgets one. A key takes 150 to 250 octets on the server. Where
// clients can make up keys, set maxmemory there: with the policy volatile-ttl the
// keys nearest to their full buckets make room, with noeviction a server without
// room does not decide, and is away.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/smtpguard/smtpguard/limiter"
)

// Config says where the server is and what happens without it. The zero Config
// asks a server on 127.0.0.1:6379, and is closed without it.
type Config struct {
	// Redis says how to reach the server: one, a cluster, or one behind Sentinel,
	// as [redis.NewUniversalClient] has it; an address that begins with '/' is a
	// Unix socket. MaxRetries, ContextTimeoutEnabled and DialerRetries are not
	// used: an ask is not repeated, since it may have been decided. go-redis writes
	// to its own log about dials that fail; [redis.SetLogger] sets that.
	Redis redis.UniversalOptions

	Prefix  string        // of all keys, printable ASCII without braces, at most 64 octets; "" means "smtpguard:"
	Timeout time.Duration // of a Take, with the time it waits for others; 0 means 100 ms

	Away     Away                 // what becomes of asks without the server
	Machines int                  // with Local, needed: how many share the limits, this one included
	Memory   limiter.MemoryConfig // with Local, its buckets

	Failures int           // failed round trips in a row until the server is away; 0 means 3
	Probe    time.Duration // between two probes of a server that is away; 0 means 500 ms

	// Observe gets what the operator should know of the server. It is called from
	// the store's goroutines and holds up decisions, so it must be quick. A panic
	// in it is dropped.
	Observe func(Event)
}

// Away is what becomes of asks while the server does not decide.
type Away int

const (
	Closed Away = iota // Take fails, and the mail is deferred where the caller says nothing else
	Local              // this machine decides alone, of its share of each limit
	Open               // every key is as if never used
)

// ErrAway is in the errors of Takes that the server did not decide, with Closed.
var ErrAway = errors.New("the server is away")

// Store keeps limits in Redis. It is safe for concurrent use.
type Store struct {
	cfg    Config
	client redis.UniversalClient
	local  *limiter.Memory // with Local

	script string // its name, on the server
	lanes  lanes
	ctx    context.Context // ends with Close
	stop   context.CancelFunc
}

var _ limiter.Store = (*Store)(nil)

const (
	defaultPrefix   = "smtpguard:"
	defaultTimeout  = 100 * time.Millisecond
	defaultFailures = 3
	defaultProbe    = 500 * time.Millisecond
	maxPrefix       = 64
	maxMachines     = 10000
)

// New returns a store, without asking the server anything: a machine starts
// although Redis is away.
func New(cfg Config) (*Store, error) {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("limiter: redisstore: %s: %s", field, fmt.Sprintf(format, args...)))
	}
	if cfg.Prefix == "" {
		cfg.Prefix = defaultPrefix
	}
	if len(cfg.Prefix) > maxPrefix || strings.ContainsFunc(cfg.Prefix, func(c rune) bool { return !plain(c) }) {
		bad("Prefix", "%q is not up to %d printable ASCII characters without spaces and braces", cfg.Prefix, maxPrefix)
	}
	for _, d := range []struct {
		field string
		value *time.Duration
		unset time.Duration
	}{{"Timeout", &cfg.Timeout, defaultTimeout}, {"Probe", &cfg.Probe, defaultProbe}} {
		if *d.value < 0 {
			bad(d.field, "must not be negative")
		} else if *d.value == 0 {
			*d.value = d.unset
		}
	}
	if cfg.Failures < 0 {
		bad("Failures", "must not be negative")
	} else if cfg.Failures == 0 {
		cfg.Failures = defaultFailures
	}
	s := &Store{}
	switch cfg.Away {
	case Closed, Open:
	case Local:
		if cfg.Machines < 1 || cfg.Machines > maxMachines {
			bad("Machines", "%d is not between 1 and %d", cfg.Machines, maxMachines)
		}
		var err error
		if s.local, err = limiter.NewMemory(cfg.Memory); err != nil {
			bad("Memory", "%v", err)
		}
	default:
		bad("Away", "%d is none", cfg.Away)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}

	options := cfg.Redis
	options.MaxRetries = -1
	options.DialerRetries = 1
	options.ContextTimeoutEnabled = true
	if options.ReadTimeout == 0 { // of what has no context: a cluster's map of its slots
		options.ReadTimeout = max(cfg.Timeout, time.Second)
	}
	if options.DialTimeout == 0 { // a dial that is not awaited any more serves the next ask
		options.DialTimeout = options.ReadTimeout
	}
	if options.MaintNotificationsConfig == nil { // else each connection asks for what Redis 7 does not know
		options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	}
	s.cfg = cfg
	s.client = redis.NewUniversalClient(&options)
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.script = scriptName()
	s.lanes.first = &lane{store: s}
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		s.lanes.cluster, s.lanes.nodes = cluster, make(map[string]*lane)
	}
	return s, nil
}

// Close ends all connections. Takes under way and later ones are answered as
// without the server.
func (s *Store) Close() error {
	s.stop()
	return s.client.Close()
}

// Reset forgets what key has spent of limit, here and on the server, and reports
// whether there was anything to forget. Other machines' buckets of [Local] stay.
func (s *Store) Reset(ctx context.Context, key string, limit limiter.Limit) (bool, error) {
	if err := limit.Validate(); err != nil {
		return false, fmt.Errorf("limiter: redisstore: Limit.%w", err)
	}
	found := s.local != nil && s.local.Reset(key, share(limit, s.cfg.Machines))
	n, err := s.client.Unlink(ctx, s.stateKey(key, limit)).Result()
	if err != nil {
		return found, fmt.Errorf("limiter: redisstore: %w", err)
	}
	return found || n > 0, nil
}
