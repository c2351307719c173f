package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/smtpguard/smtpguard/blocklist"
	"github.com/smtpguard/smtpguard/blocklist/redisstore"
	"github.com/smtpguard/smtpguard/blocklist/storetest"
)

func TestStore(t *testing.T) {
	s := start(t)
	storetest.Run(t, func(t *testing.T) func() (blocklist.Store, error) {
		name := strings.ReplaceAll(t.Name(), "/", "-")
		return func() (blocklist.Store, error) {
			cfg := redisstore.Config{Name: name, Timeout: slow}
			cfg.Redis.Addrs = []string{s.socket}
			return redisstore.New(cfg)
		}
	})
}

func TestConfig(t *testing.T) {
	for field, cfg := range map[string]redisstore.Config{
		"Name":    {Name: "a{b}"},
		"Timeout": {Timeout: -1},
		"Pause":   {Pause: -1},
		"Changes": {Changes: -1},
	} {
		if _, err := redisstore.New(cfg); err == nil || !strings.Contains(err.Error(), "redisstore: Config."+field+" ") {
			t.Errorf("error %v does not name %s", err, field)
		}
	}
}

func block(value string) blocklist.Entry {
	return blocklist.Entry{Kind: blocklist.Addr, Value: value, Word: blocklist.Block, Source: "test"}
}

func dynamic(t *testing.T, cfg blocklist.DynamicConfig) *blocklist.Dynamic {
	t.Helper()
	d, err := blocklist.NewDynamic(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func blocks(d *blocklist.Dynamic, addr string) bool {
	_, ok := d.Find(blocklist.Query{Kind: blocklist.Addr, Addr: netip.MustParseAddr(addr)})
	return ok
}

// within waits until ok, no longer than d.
func within(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > d {
			t.Errorf("%s: not within %v", what, d)
			return
		}
	}
}

// Two machines hear of each other.
func TestTwoMachines(t *testing.T) {
	s := start(t)
	a := dynamic(t, blocklist.DynamicConfig{Store: s.store(redisstore.Config{})})
	b := dynamic(t, blocklist.DynamicConfig{Store: s.store(redisstore.Config{})})
	for i := range 3 {
		addr := fmt.Sprintf("192.0.2.%d", i)
		if err := a.AddAuto(t.Context(), block(addr)); err != nil {
			t.Fatal(err)
		}
		within(t, slow, "added", func() bool { return blocks(b, addr) })
		if err := b.Remove(t.Context(), blocklist.Addr, addr, "bob", "mistake"); err != nil {
			t.Fatal(err)
		}
		within(t, slow, "removed", func() bool { return !blocks(a, addr) })
	}
	cs, err := a.Audit(t.Context(), 2)
	if err != nil || len(cs) != 2 || cs[0].By != "bob" || cs[1].By != "test" || cs[0].Seq != 6 {
		t.Errorf("the record: %+v, error %v", cs, err)
	}
}

// More is changed between two questions than one answer has.
func TestManyChanges(t *testing.T) {
	s := start(t)
	store := s.store(redisstore.Config{})
	a := dynamic(t, blocklist.DynamicConfig{Store: store})
	b := dynamic(t, blocklist.DynamicConfig{Store: s.store(redisstore.Config{Pause: 3 * time.Second})})
	for i := range 2500 {
		if err := a.AddAuto(t.Context(), block(fmt.Sprintf("10.0.%d.%d", i/256, i%256))); err != nil {
			t.Fatal(err)
		}
	}
	within(t, slow, "all of them", func() bool { return b.Len() == 2500 })
	if cs, err := b.Audit(t.Context(), 5000); err != nil || len(cs) != 2500 || cs[0].Seq != 2500 {
		t.Errorf("the record has %d changes, error %v", len(cs), err)
	}
	c := dynamic(t, blocklist.DynamicConfig{Store: s.store(redisstore.Config{})})
	if c.Len() != 2500 {
		t.Errorf("a third machine reads %d entries", c.Len())
	}
}

// The record is bounded; the list itself ends with its last entry.
func TestBounded(t *testing.T) {
	s := start(t)
	store := s.store(redisstore.Config{Changes: 100})
	d := dynamic(t, blocklist.DynamicConfig{Store: store})
	for i := range 1000 {
		e := block(fmt.Sprintf("10.0.%d.%d", i/256, i%256))
		e.Expires = time.Now().Add(5 * time.Second)
		if err := d.AddAuto(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	c := s.client()
	if n := c.XLen(t.Context(), "smtpguard:{blocklist}changes").Val(); n < 100 || n > 300 {
		t.Errorf("%d changes", n)
	}
	ttl := c.PTTL(t.Context(), "smtpguard:{blocklist}entries").Val()
	if ttl <= 0 || ttl > 8*time.Second {
		t.Errorf("the entries end in %v", ttl)
	}
	within(t, slow, "the end", func() bool {
		return c.Exists(t.Context(), "smtpguard:{blocklist}entries", "smtpguard:{blocklist}expiry").Val() == 0
	})
}

// While the server is away a machine goes on alone; then both know everything.
func TestAway(t *testing.T) {
	for _, how := range []string{"stalled", "killed"} {
		t.Run(how, func(t *testing.T) {
			s := start(t, "--appendonly", "yes", "--appendfsync", "always")
			told := make(chan error, 10)
			cfg := redisstore.Config{Timeout: 2 * time.Second, Pause: 100 * time.Millisecond}
			a := dynamic(t, blocklist.DynamicConfig{Store: s.store(cfg), OnError: func(err error) { told <- err }})
			b := dynamic(t, blocklist.DynamicConfig{Store: s.store(cfg)})
			if err := a.Add(t.Context(), block("192.0.2.1")); err != nil {
				t.Fatal(err)
			}
			within(t, slow, "before", func() bool { return blocks(b, "192.0.2.1") })
			if how == "stalled" {
				s.stall()
			} else {
				s.stop()
			}
			start := time.Now()
			if err := a.AddAuto(t.Context(), block("192.0.2.2")); !errors.Is(err, blocklist.ErrNotKept) {
				t.Errorf("added: %v", err)
			}
			if took := time.Since(start); took > slow {
				t.Errorf("waited %v", took)
			}
			if err := b.Remove(t.Context(), blocklist.Addr, "192.0.2.1", "bob", ""); !errors.Is(err, blocklist.ErrNotKept) {
				t.Errorf("removed: %v", err)
			}
			if !blocks(a, "192.0.2.2") || !blocks(a, "192.0.2.1") || blocks(b, "192.0.2.1") {
				t.Error("what was said here does not count here")
			}
			if err := <-told; err == nil {
				t.Error("told that it is back")
			}
			if how == "stalled" {
				s.goOn()
			} else {
				s.start()
			}
			within(t, slow, "after", func() bool {
				return blocks(b, "192.0.2.2") && !blocks(a, "192.0.2.1")
			})
			within(t, slow, "told", func() bool { return len(told) > 0 })
			if err := <-told; err != nil {
				t.Errorf("told %v", err)
			}
			if n := s.client().HLen(t.Context(), "smtpguard:{blocklist}entries").Val(); n != 1 {
				t.Errorf("%d entries on the server", n)
			}
		})
	}
}

// A server that comes back with nothing gets back what the machines know.
func TestServerForgets(t *testing.T) {
	s := start(t)
	cfg := redisstore.Config{Pause: 100 * time.Millisecond}
	d := dynamic(t, blocklist.DynamicConfig{Store: s.store(cfg)})
	for i := range 250 {
		if err := d.Add(t.Context(), block(fmt.Sprintf("192.0.2.%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	within(t, slow, "a poll", func() bool { time.Sleep(200 * time.Millisecond); return true })
	s.stop()
	s.start()
	c := s.client()
	within(t, slow, "back", func() bool { return c.HLen(t.Context(), "smtpguard:{blocklist}entries").Val() == 250 })
	if d.Len() != 250 {
		t.Errorf("%d entries", d.Len())
	}
}

// What others write to the server ends no process.
func TestNonsense(t *testing.T) {
	s := start(t)
	c := s.client()
	ctx := context.Background()
	for name, spoil := range map[string]func(){
		"no value":        func() { c.HSet(ctx, "smtpguard:{blocklist}entries", "addr 192.0.2.1", "") },
		"no JSON":         func() { c.HSet(ctx, "smtpguard:{blocklist}entries", "addr 192.0.2.1", "h{") },
		"another type":    func() { c.Set(ctx, "smtpguard:{blocklist}entries", "x", 0) },
		"no number":       func() { c.Set(ctx, "smtpguard:{blocklist}number", "x", 0) },
		"a negative one":  func() { c.Set(ctx, "smtpguard:{blocklist}number", "-7", 0) },
		"another stream":  func() { c.XAdd(ctx, xadd("1-1", "other")); c.Set(ctx, "smtpguard:{blocklist}number", "1", 0) },
		"a change of nil": func() { c.XAdd(ctx, xadd("1-1", "c")); c.Set(ctx, "smtpguard:{blocklist}number", "1", 0) },
	} {
		c.FlushAll(ctx)
		spoil()
		store := s.store(redisstore.Config{})
		_, loadErr := store.Load(ctx, func(blocklist.Item) error { return nil })
		_, _, changesErr := store.Changes(ctx, 0)
		if loadErr == nil && changesErr == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// xadd is a change of the stream that is none.
func xadd(id, field string) *redis.XAddArgs {
	return &redis.XAddArgs{Stream: "smtpguard:{blocklist}changes", ID: id, Values: []string{field, "x"}}
}

func TestCluster(t *testing.T) {
	_, addr := startCluster(t)
	storetest.Run(t, func(t *testing.T) func() (blocklist.Store, error) {
		name := strings.ReplaceAll(t.Name(), "/", "-")
		return func() (blocklist.Store, error) {
			cfg := redisstore.Config{Name: name, Timeout: slow}
			cfg.Redis.Addrs, cfg.Redis.IsClusterMode = []string{addr}, true
			return redisstore.New(cfg)
		}
	})
}
