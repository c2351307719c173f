// Package resolver answers: what does DNS say? It is a stub resolver with a
// cache, for a program that asks much and must never wait long.
//
//	r, err := resolver.New(resolver.Config{}) // the servers of /etc/resolv.conf
//	defer r.Close()
//	texts, err := r.LookupTXT(ctx, "example.org")
//
// It has the lookups of *net.Resolver, so that either serves whoever asks
// through a small interface. It differs in that it speaks DNS alone: no hosts
// file, no search list, every name is absolute. [Resolver.Lookup] gives more:
// any type of record, its time to live and whether the server has validated it;
// [Resolver.LookupEach] asks for many names at once, as a check of DNS lists
// does.
//
// It asks recursive servers, and believes of their answers only what belongs to
// the question: matching id and question, from the address and port that were
// asked, the records at the name or at the end of its chain of CNAMEs. Every
// exchange has a socket of its own, and with it a port the kernel picks at
// random, which is closed after; side by side they are bounded.
//
// A [Budget] in the context bounds what all lookups for one message may cost.
//
// It follows RFC 1035 and RFC 2181, RFC 2308 and RFC 9520 on what is cached of
// failures, RFC 6891 on EDNS, RFC 7766 on TCP, RFC 7858 on TLS, RFC 8767 on
// stale answers and RFC 6840, section 5.7, on the AD bit.
package resolver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config says whom to ask, and what to remember. The zero value of a field means
// its default.
type Config struct {
	// Servers are asked in this order. None means those of ResolvConf, which is
	// looked at every five seconds, and read again when it has changed.
	Servers    []Server
	ResolvConf string // "/etc/resolv.conf"
	Rotate     bool   // begin with another server each time

	// Trusted are the addresses of servers whose AD bit is believed: what lies
	// between them and us must be too. Nil means loopback; "options trust-ad" in
	// ResolvConf trusts all servers there.
	Trusted []netip.Prefix

	// TLS is what servers with a TLSName are connected to with: RootCAs, say.
	TLS *tls.Config

	Wait     time.Duration // for a server's answer, at first; each time round the servers it doubles; 1 s
	Attempts int           // times round the servers; 3
	Timeout  time.Duration // of one lookup, where the context leaves it more; 10 s
	Sockets  int           // at once; who finds none waits; 512

	Cache Cache

	// Dial replaces the connections of package net. network is "udp" or "tcp";
	// what is read from a "udp" one is one packet at a time, from address alone.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Cache bounds what is remembered, and for how long. The zero value of a field
// means its default.
type Cache struct {
	Entries int   // 100,000; negative: nothing is remembered
	Octets  int64 // all together, estimated; 64 MiB

	Floor    time.Duration // answers are kept for this long at least; 0 is their own TTL
	Ceiling  time.Duration // and this long at most; 24 h
	Negative time.Duration // names and types that do not exist, at most, by their SOA (RFC 2308); 1 h

	// Failure is how long servers that failed are not asked the same again, and
	// how long a negative answer without an SOA is kept; 5 s, at most 5 minutes
	// (RFC 9520, section 3.2). Negative: not at all.
	Failure time.Duration

	// Stale is how long past its time an answer still serves when the servers
	// fail (RFC 8767); 0 is never.
	Stale time.Duration

	// Prefetch is how often an answer must have been used to be fetched anew in
	// the last tenth of its time; 3. Negative: never.
	Prefetch int
}

// Resolver answers from its cache, or asks. It is safe for concurrent use. The
// zero Resolver is not valid: use New.
type Resolver struct {
	cfg     Config
	tls     *tls.Config
	cache   *cache
	sockets chan struct{}
	start   time.Time
	turn    atomic.Uint32 // whose it is, with Rotate
	counts  counts

	list struct {
		sync.Mutex
		servers []*server
		read    fileState
	}
	looked atomic.Int64 // when ResolvConf was, since start

	background context.Context
	cancel     context.CancelFunc
	refreshes  struct {
		sync.Mutex
		closed bool
		room   int
		all    sync.WaitGroup
	}
}

// maxServers bounds the servers, given or read.
const maxServers = 8

// maxRefreshes bounds answers that are fetched anew at once.
const maxRefreshes = 16

// New returns a resolver. It reports every field that is wrong, and a
// ResolvConf that cannot be read or names no server. It asks nothing yet.
func New(cfg Config) (*Resolver, error) {
	var errs []error
	bad := func(field, why string) { errs = append(errs, fmt.Errorf("resolver: Config.%s %s", field, why)) }
	for _, d := range []struct {
		field    string
		value    *time.Duration
		fallback time.Duration
	}{
		{"Wait", &cfg.Wait, time.Second}, {"Timeout", &cfg.Timeout, 10 * time.Second},
		{"Cache.Floor", &cfg.Cache.Floor, 0}, {"Cache.Ceiling", &cfg.Cache.Ceiling, 24 * time.Hour},
		{"Cache.Negative", &cfg.Cache.Negative, time.Hour}, {"Cache.Stale", &cfg.Cache.Stale, 0},
	} {
		if *d.value < 0 {
			bad(d.field, "is negative")
		} else if *d.value == 0 {
			*d.value = d.fallback
		}
	}
	if cfg.Cache.Floor > cfg.Cache.Ceiling {
		bad("Cache.Floor", "is above Cache.Ceiling")
	}
	if cfg.Cache.Failure == 0 {
		cfg.Cache.Failure = 5 * time.Second
	} else if cfg.Cache.Failure > 5*time.Minute {
		bad("Cache.Failure", "is more than 5 minutes")
	}
	for _, n := range []struct {
		field              string
		value              *int
		fallback, low, top int
	}{
		{"Attempts", &cfg.Attempts, 3, 1, 10}, {"Sockets", &cfg.Sockets, 512, 1, 65_535},
		{"Cache.Entries", &cfg.Cache.Entries, 100_000, -1, 1 << 30}, {"Cache.Prefetch", &cfg.Cache.Prefetch, 3, -1, 1 << 16},
	} {
		if *n.value == 0 {
			*n.value = n.fallback
		} else if *n.value < n.low || *n.value > n.top {
			bad(n.field, fmt.Sprintf("is %d, not from %d to %d", *n.value, n.low, n.top))
		}
	}
	if cfg.Cache.Octets == 0 {
		cfg.Cache.Octets = 64 << 20
	} else if cfg.Cache.Octets < 0 {
		bad("Cache.Octets", "is negative")
	}
	if cfg.Trusted == nil {
		cfg.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	for i, p := range cfg.Trusted {
		if !p.IsValid() {
			bad(fmt.Sprintf("Trusted[%d]", i), "is not valid")
		}
	}
	if len(cfg.Servers) > maxServers {
		bad("Servers", fmt.Sprintf("has %d, more than %d", len(cfg.Servers), maxServers))
	}
	for i := range cfg.Servers {
		if err := cfg.Servers[i].check(); err != nil {
			bad(fmt.Sprintf("Servers[%d]", i), err.Error())
		}
	}
	if cfg.ResolvConf == "" {
		cfg.ResolvConf = "/etc/resolv.conf"
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	cfg.Servers, cfg.Trusted = slices.Clone(cfg.Servers), slices.Clone(cfg.Trusted)
	r := &Resolver{cfg: cfg, tls: tlsConfig(cfg.TLS), sockets: make(chan struct{}, cfg.Sockets), start: time.Now(), cache: newCache(cfg.Cache)}
	r.background, r.cancel = context.WithCancel(context.Background())
	r.refreshes.room = maxRefreshes
	if err := r.firstServers(); err != nil {
		r.cancel()
		return nil, fmt.Errorf("resolver: Config.ResolvConf: %w", err)
	}
	return r, nil
}

// now is the time that the cache counts in.
func (r *Resolver) now() time.Duration { return time.Since(r.start) }

// Close ends what goes on in the background and closes connections that are
// kept. Lookups still work after.
func (r *Resolver) Close() error {
	r.refreshes.Lock()
	r.refreshes.closed = true
	r.refreshes.Unlock()
	r.cancel()
	r.refreshes.all.Wait()
	for _, s := range r.current() {
		s.close()
	}
	return nil
}
