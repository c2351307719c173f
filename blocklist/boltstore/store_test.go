package boltstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/blocklist"
	"github.com/smtpguard/smtpguard/blocklist/boltstore"
	"github.com/smtpguard/smtpguard/blocklist/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() (blocklist.Store, error) {
		path := filepath.Join(t.TempDir(), "entries.db")
		return func() (blocklist.Store, error) { return boltstore.Open(path, boltstore.Config{}) }
	})
}

func open(t *testing.T, path string, cfg boltstore.Config) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func add(value string, expires time.Time) blocklist.Change {
	return blocklist.Change{Time: time.Now(), Op: blocklist.Added, Item: blocklist.Item{Entry: blocklist.Entry{
		Kind: blocklist.Addr, Value: value, Word: blocklist.Block, Source: "test", Added: time.Now(), Expires: expires,
	}}}
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "entries.db")
	for cfg, field := range map[boltstore.Config]string{
		{Changes: -1}: "Config.Changes",
		{Wait: -1}:    "Config.Wait",
	} {
		if _, err := boltstore.Open(path, cfg); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%+v: error %v does not name %s", cfg, err, field)
		}
	}
	s := open(t, path, boltstore.Config{})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, error %v", info.Mode(), err)
	}
	if _, err := boltstore.Open(path, boltstore.Config{Wait: time.Millisecond}); !errors.Is(err, boltstore.ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Errorf("opened twice: %v, want ErrLocked and the file's name", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Apply(t.Context(), add("192.0.2.1", time.Now().Add(time.Hour))); err == nil {
		t.Error("a closed store keeps things")
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("no database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := boltstore.Open(path, boltstore.Config{}); err == nil {
		t.Error("opened a file that is no database")
	}
	if _, err := boltstore.Open(filepath.Join(path, "below", "x"), boltstore.Config{}); err == nil {
		t.Error("opened a file in a directory that is not there")
	}
}

// The record is bounded, and goes on counting.
func TestChangesBounded(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "entries.db"), boltstore.Config{Changes: 5})
	for i := range 12 {
		if _, err := s.Apply(t.Context(), add(fmt.Sprintf("192.0.2.%d", i), time.Now().Add(time.Hour))); err != nil {
			t.Fatal(err)
		}
	}
	cs, last, err := s.Changes(t.Context(), 0)
	if err != nil || last != 12 || len(cs) != 5 || cs[0].Seq != 8 || cs[4].Item.Value != "192.0.2.11" {
		t.Errorf("%d changes from %+v, last %d, error %v", len(cs), cs[0], last, err)
	}
}

// What has expired makes room in the file.
func TestFileForgets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "entries.db")
	s := open(t, path, boltstore.Config{Changes: 1})
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	var first int64
	for i := range 400 {
		c := add(fmt.Sprintf("10.0.%d.%d", i/256, i%256), time.Now().Add(-time.Second))
		c.Item.Reason = strings.Repeat("x", 400)
		if _, err := s.Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if i == 20 {
			first = size()
		}
	}
	if now := size(); now > first {
		t.Errorf("the file grew from %d to %d octets", first, now)
	}
}
