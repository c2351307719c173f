// Package storetest asks of a [blocklist.Store] what every store has to do.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) func() (blocklist.Store, error) {
//			path := filepath.Join(t.TempDir(), "entries.db")
//			return func() (blocklist.Store, error) { return open(path) }
//		})
//	}
//
// [Memory] is a store for tests of what uses one.
package storetest

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/blocklist"
)

// Open opens a store on the same data at each call; the store opened before is
// closed by then, where it is an [io.Closer].
type Open func() (blocklist.Store, error)

// Run runs every case as a test of its own. fresh returns how to open a store
// that is empty.
func Run(t *testing.T, fresh func(t *testing.T) func() (blocklist.Store, error)) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			if err := c.Run(t.Context(), fresh(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// Case is one thing that a store has to do.
type Case struct {
	Name string
	run  func(*bench) error
}

// Run returns what a store does wrong.
func (c Case) Run(ctx context.Context, open Open) error {
	b := &bench{ctx: ctx, open: open}
	defer b.close()
	if err := b.reopen(); err != nil {
		return err
	}
	return c.run(b)
}

// bench is a store under test.
type bench struct {
	ctx   context.Context
	open  Open
	store blocklist.Store
}

func (b *bench) close() error {
	if c, ok := b.store.(io.Closer); ok {
		b.store = nil
		return c.Close()
	}
	return nil
}

func (b *bench) reopen() (err error) {
	if err := b.close(); err != nil {
		return fmt.Errorf("closing: %w", err)
	}
	if b.store, err = b.open(); err != nil {
		return fmt.Errorf("opening: %w", err)
	}
	return nil
}

// apply applies c and wants the number that comes next.
func (b *bench) apply(c blocklist.Change, want uint64) error {
	seq, err := b.store.Apply(b.ctx, c)
	if err != nil {
		return fmt.Errorf("%s %s: %w", c.Op, c.Item.Value, err)
	}
	if seq != want {
		return fmt.Errorf("%s %s got number %d, want %d", c.Op, c.Item.Value, seq, want)
	}
	return nil
}

// load returns all entries by kind and value.
func (b *bench) load() (map[string]blocklist.Item, uint64, error) {
	items := make(map[string]blocklist.Item)
	twice := ""
	seq, err := b.store.Load(b.ctx, func(it blocklist.Item) error {
		id := it.Kind.String() + " " + it.Value
		if other, ok := items[id]; ok && other != it {
			twice = id
		}
		items[id] = it
		return nil
	})
	if err == nil && twice != "" {
		err = fmt.Errorf("there are two of %s", twice)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("loading: %w", err)
	}
	return items, seq, nil
}

// holds wants exactly these entries.
func (b *bench) holds(want ...blocklist.Item) error {
	items, _, err := b.load()
	if err != nil {
		return err
	}
	for _, it := range want {
		id := it.Kind.String() + " " + it.Value
		got, ok := items[id]
		if !ok {
			return fmt.Errorf("%s is not there", id)
		}
		if err := same(got, it); err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		delete(items, id)
	}
	for id := range items {
		return fmt.Errorf("%s is there", id)
	}
	return nil
}

// same says what tells a from b.
func same(a, b blocklist.Item) error {
	if !a.Added.Equal(b.Added) || !a.Expires.Equal(b.Expires) {
		return fmt.Errorf("added %v, expires %v; want %v, %v", a.Added, a.Expires, b.Added, b.Expires)
	}
	a.Added, a.Expires = b.Added, b.Expires
	if a != b {
		return fmt.Errorf("got %+v, want %+v", a, b)
	}
	return nil
}

// item is an entry that stays for an hour.
func item(value string) blocklist.Item {
	now := time.Now().Round(0).UTC()
	return blocklist.Item{Entry: blocklist.Entry{
		Kind: blocklist.Addr, Value: value, Word: blocklist.Block, Reason: "why", Source: "ann", Added: now, Expires: now.Add(time.Hour),
	}}
}

func added(it blocklist.Item) blocklist.Change {
	return blocklist.Change{Time: it.Added, Op: blocklist.Added, Item: it, By: it.Source, Why: it.Reason}
}

func removed(it blocklist.Item) blocklist.Change {
	return blocklist.Change{Time: it.Added.Add(time.Minute), Op: blocklist.Removed, Item: it, By: "bob", Why: "mistake"}
}
