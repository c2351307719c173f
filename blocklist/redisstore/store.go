// Package redisstore keeps dynamic entries for several machines, on Redis 7 or
// Valkey, alone, behind Sentinel or as a cluster.
//
//	store, err := redisstore.New(redisstore.Config{
//		Redis: redis.UniversalOptions{Addrs: []string{"redis.example.org:6379"}},
//	})
//	defer store.Close()
//	d, err := blocklist.NewDynamic(blocklist.DynamicConfig{Store: store, StartAway: true})
//	defer d.Close()
//
// A script on the server carries out each change and writes it down, so that
// the machines see changes in one order. Each asks for news every Config.Poll,
// half a second, and hears of a change that soon. Changes are numbered: a machine
// that sees a number missing reads all entries anew, and does so every
// DynamicConfig.Reread in any case.
//
// # When the server is away
//
// Lookups go on from what a machine knows. What is added or removed meanwhile is
// in force on that machine alone, where the caller reads
// [blocklist.ErrNotKept], and goes to the server once it answers; of what
// two machines said of the same value, the last one to be told counts, but never a
// program's word over a person's. Who adds waits for the server no longer than
// Config.Timeout, and not at all while it is known to be away.
//
// What was acknowledged is as safe as the server keeps it: to survive its end,
// have "appendonly yes" and perhaps "appendfsync always" there; a replica that
// takes over may not have heard of the last changes. A server that comes back
// with nothing gets back what the machines still know. Entries must not be evicted:
// "maxmemory-policy noeviction", or another server than the cache's.
//
// # Keys
//
// All keys of a list are in one slot of a cluster:
//
//	smtpguard:{blocklist}entries  hash: "addr 192.0.2.1" to "a" (automatic) or "h" (by hand) and the entry in JSON
//	smtpguard:{blocklist}expiry   sorted set of these names, by when they expire in milliseconds
//	smtpguard:{blocklist}changes  stream: the record, its first number that of the change
//	smtpguard:{blocklist}number   of the last change
//
// Entries and expiry end with their last entry; the other two stay.
package redisstore

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/smtpguard/smtpguard/blocklist"
)

// Config says where the server is. The zero Config asks a server on
// 127.0.0.1:6379.
type Config struct {
	// Redis says how to reach the server: one, a cluster, or one behind Sentinel,
	// as [redis.NewUniversalClient] has it; an address that begins with '/' is a
	// Unix socket. MaxRetries, ContextTimeoutEnabled and DialerRetries are not
	// used.
	Redis redis.UniversalOptions

	Name    string        // of the list, printable ASCII without spaces and braces, at most 64 octets; "blocklist"
	Timeout time.Duration // of one question to the server; 1 s
	Pause   time.Duration // what Poll returns: between two questions for news; 500 ms
	Changes int           // how many changes are remembered, or some more; 10,000
}

// Store is a [blocklist.Store] on Redis. It is safe for concurrent use.
type Store struct {
	cfg    Config
	client redis.UniversalClient
	keys   [4]string // entries, expiry, changes, number
	apply  *redis.Script
}

var _ blocklist.Store = (*Store)(nil)

//go:embed apply.lua
var applyScript string

// New returns a store, without asking the server anything.
func New(cfg Config) (*Store, error) {
	var errs []error
	bad := func(field string, v any, why string) {
		errs = append(errs, fmt.Errorf("redisstore: Config.%s is %v: %s", field, v, why))
	}
	if cfg.Name == "" {
		cfg.Name = "blocklist"
	}
	if len(cfg.Name) > 64 || strings.ContainsFunc(cfg.Name, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '{' || c == '}' }) {
		bad("Name", strconv.Quote(cfg.Name), "must be up to 64 printable ASCII characters without spaces and braces")
	}
	for _, f := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{{"Timeout", &cfg.Timeout, time.Second}, {"Pause", &cfg.Pause, 500 * time.Millisecond}} {
		if *f.v == 0 {
			*f.v = f.def
		}
		if *f.v < 0 {
			bad(f.name, *f.v, "must not be negative")
		}
	}
	if cfg.Changes == 0 {
		cfg.Changes = 10_000
	}
	if cfg.Changes < 0 {
		bad("Changes", cfg.Changes, "must not be negative")
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	o := cfg.Redis
	o.MaxRetries, o.DialerRetries, o.ContextTimeoutEnabled = -1, 1, true
	if o.ReadTimeout == 0 { // of what has no context: a cluster's map of its slots
		o.ReadTimeout = max(cfg.Timeout, time.Second)
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = o.ReadTimeout
	}
	if o.MaintNotificationsConfig == nil { // else each connection asks for what Redis 7 does not know
		o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	}
	s := &Store{cfg: cfg, client: redis.NewUniversalClient(&o), apply: redis.NewScript(applyScript)}
	for i, name := range []string{"entries", "expiry", "changes", "number"} {
		s.keys[i] = "smtpguard:{" + cfg.Name + "}" + name
	}
	return s, nil
}

// Close ends all connections.
func (s *Store) Close() error { return s.client.Close() }

// Poll is Config.Pause.
func (s *Store) Poll() time.Duration { return s.cfg.Pause }

// ask bounds one question.
func (s *Store) ask(ctx context.Context, f func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("redisstore: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	if err := f(ctx); err != nil {
		return fmt.Errorf("redisstore: %w", err)
	}
	return nil
}

// Apply carries out c and writes it down, in one script.
func (s *Store) Apply(ctx context.Context, c blocklist.Change) (seq uint64, err error) {
	c.Seq = 0 // the stream has it
	entry, err := json.Marshal(c.Item)
	if err != nil {
		return 0, fmt.Errorf("redisstore: %w", err)
	}
	change, err := json.Marshal(c)
	if err != nil {
		return 0, fmt.Errorf("redisstore: %w", err)
	}
	by := "h"
	if c.Item.Auto {
		by = "a"
	}
	ends := c.Item.Expires.Add(time.Millisecond - 1).UnixMilli() // not before it does
	var n int64
	err = s.ask(ctx, func(ctx context.Context) (err error) {
		n, err = s.apply.Run(ctx, s.client, s.keys[:],
			string(c.Op), name(c.Item), by+string(entry), ends, change, s.cfg.Changes).Int64()
		return err
	})
	switch {
	case err != nil:
		return 0, err
	case n < 0:
		return 0, blocklist.ErrByHand
	}
	return uint64(n), nil
}

func name(it blocklist.Item) string { return it.Kind.String() + " " + it.Value }

// page is how much is asked for at once.
const page = 1000

// Load calls f with every entry that has not expired by our clock. The server
// may name one twice.
func (s *Store) Load(ctx context.Context, f func(blocklist.Item) error) (seq uint64, err error) {
	err = s.ask(ctx, func(ctx context.Context) (err error) {
		seq, err = number(s.client.Get(ctx, s.keys[3]))
		return err
	})
	for cursor := uint64(0); err == nil; {
		var texts []string
		err = s.ask(ctx, func(ctx context.Context) (err error) {
			texts, cursor, err = s.client.HScan(ctx, s.keys[0], cursor, "*", page).Result()
			return err
		})
		if err == nil {
			err = each(texts, f)
		}
		if cursor == 0 {
			break
		}
	}
	if err != nil {
		return 0, err
	}
	return seq, nil
}

// each calls f with the entries of names and values in turn.
func each(texts []string, f func(blocklist.Item) error) error {
	now := time.Now()
	for i := 1; i < len(texts); i += 2 {
		if texts[i] == "" {
			return fmt.Errorf("redisstore: entry %q has no value", texts[i-1])
		}
		var it blocklist.Item
		if err := json.Unmarshal([]byte(texts[i][1:]), &it); err != nil {
			return fmt.Errorf("redisstore: entry %q: %w", texts[i-1], err)
		}
		if !it.Expires.After(now) {
			continue
		}
		if err := f(it); err != nil {
			return err
		}
	}
	return nil
}

// Changes returns changes after a number, oldest first, up to 1,000.
func (s *Store) Changes(ctx context.Context, after uint64) (cs []blocklist.Change, last uint64, err error) {
	var messages *redis.XMessageSliceCmd
	err = s.ask(ctx, func(ctx context.Context) (err error) {
		var n *redis.StringCmd
		_, err = s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
			n = p.Get(ctx, s.keys[3])
			messages = p.XRangeN(ctx, s.keys[2], "("+strconv.FormatUint(after, 10)+"-1", "+", page)
			return nil
		})
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		last, err = number(n)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	for _, m := range messages.Val() {
		c, err := change(m)
		if err != nil {
			return nil, 0, fmt.Errorf("redisstore: change %.40q: %w", m.ID, err)
		}
		cs = append(cs, c)
	}
	return cs, last, nil
}

// number reads the number of a change; no number is 0.
func number(cmd *redis.StringCmd) (uint64, error) {
	n, err := cmd.Uint64()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	return n, err
}

// change reads one of the stream.
func change(m redis.XMessage) (c blocklist.Change, err error) {
	text, _ := m.Values["c"].(string)
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return c, err
	}
	id, _, _ := strings.Cut(m.ID, "-")
	c.Seq, err = strconv.ParseUint(id, 10, 64)
	return c, err
}
