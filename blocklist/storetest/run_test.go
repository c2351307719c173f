package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/blocklist"
)

func TestMemory(t *testing.T) {
	Run(t, func(*testing.T) func() (blocklist.Store, error) {
		m := new(Memory)
		return func() (blocklist.Store, error) { return m, nil }
	})
}

// broken is a Memory with one thing wrong.
type broken struct {
	*Memory
	apply   func(m *Memory, ctx context.Context, c blocklist.Change) (uint64, error)
	load    func(m *Memory, ctx context.Context, f func(blocklist.Item) error) (uint64, error)
	changes func(m *Memory, ctx context.Context, after uint64) ([]blocklist.Change, uint64, error)
	poll    time.Duration
}

func (b *broken) Poll() time.Duration { return b.poll }

func (b *broken) Apply(ctx context.Context, c blocklist.Change) (uint64, error) {
	if b.apply != nil {
		return b.apply(b.Memory, ctx, c)
	}
	return b.Memory.Apply(ctx, c)
}

func (b *broken) Load(ctx context.Context, f func(blocklist.Item) error) (uint64, error) {
	if b.load != nil {
		return b.load(b.Memory, ctx, f)
	}
	return b.Memory.Load(ctx, f)
}

func (b *broken) Changes(ctx context.Context, after uint64) ([]blocklist.Change, uint64, error) {
	if b.changes != nil {
		return b.changes(b.Memory, ctx, after)
	}
	return b.Memory.Changes(ctx, after)
}

// faults are stores that get something wrong, and the cases that tell.
var faults = []struct {
	name  string
	store func() *broken
	fails []string
}{
	{"starts at one", func() *broken {
		return &broken{changes: func(m *Memory, ctx context.Context, after uint64) ([]blocklist.Change, uint64, error) {
			cs, last, err := m.Changes(ctx, after)
			return cs, max(last, 1), err
		}}
	}, []string{"Empty"}},
	{"loses what it kept when opened again", nil, []string{"Keeps", "Removes", "Numbers"}},
	{"forgets the reason", func() *broken {
		return &broken{load: func(m *Memory, ctx context.Context, f func(blocklist.Item) error) (uint64, error) {
			return m.Load(ctx, func(it blocklist.Item) error { it.Reason = ""; return f(it) })
		}}
	}, []string{"Keeps"}},
	{"keeps whole seconds", func() *broken {
		return &broken{load: func(m *Memory, ctx context.Context, f func(blocklist.Item) error) (uint64, error) {
			return m.Load(ctx, func(it blocklist.Item) error { it.Expires = it.Expires.Truncate(time.Second); return f(it) })
		}}
	}, []string{"Keeps"}},
	{"keeps what was there first", func() *broken {
		seen := make(map[string]bool)
		return &broken{apply: func(m *Memory, ctx context.Context, c blocklist.Change) (uint64, error) {
			id := c.Item.Kind.String() + c.Item.Value
			if seen[id] && c.Op == blocklist.Added {
				m.mu.Lock()
				defer m.mu.Unlock()
				m.seq++
				return m.seq, nil
			}
			seen[id] = true
			return m.Apply(ctx, c)
		}}
	}, []string{"Replaces"}},
	{"removes nothing", func() *broken {
		return &broken{apply: func(m *Memory, ctx context.Context, c blocklist.Change) (uint64, error) {
			if c.Op == blocklist.Removed {
				m.mu.Lock()
				defer m.mu.Unlock()
				m.seq++
				return m.seq, nil
			}
			return m.Apply(ctx, c)
		}}
	}, []string{"Removes"}},
	{"lets programs overrule people", func() *broken {
		return &broken{apply: func(m *Memory, ctx context.Context, c blocklist.Change) (uint64, error) {
			c.Item.Auto = false
			return m.Apply(ctx, c)
		}}
	}, []string{"ByHand"}},
	{"never lets programs follow people", func() *broken {
		people := make(map[string]bool)
		return &broken{apply: func(m *Memory, ctx context.Context, c blocklist.Change) (uint64, error) {
			if c.Item.Auto && people[c.Item.Value] {
				return 0, blocklist.ErrByHand
			}
			people[c.Item.Value] = people[c.Item.Value] || !c.Item.Auto
			return m.Apply(ctx, c)
		}}
	}, []string{"ByHand"}},
	{"shows what has expired", func() *broken {
		return &broken{load: func(m *Memory, ctx context.Context, f func(blocklist.Item) error) (uint64, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			for _, it := range m.entries {
				if err := f(it); err != nil {
					return 0, err
				}
			}
			return m.seq, nil
		}}
	}, []string{"Expires"}},
	{"gives one number to two", func() *broken {
		return &broken{apply: func(m *Memory, ctx context.Context, c blocklist.Change) (uint64, error) {
			seq, err := m.Apply(ctx, c)
			return (seq + 1) / 2, err
		}}
	}, []string{"Concurrent", "Numbers"}},
	{"loses a change in ten", func() *broken {
		return &broken{changes: func(m *Memory, ctx context.Context, after uint64) ([]blocklist.Change, uint64, error) {
			cs, last, err := m.Changes(ctx, after)
			return slices.DeleteFunc(cs, func(c blocklist.Change) bool { return c.Seq%10 == 5 }), last, err
		}}
	}, []string{"Numbers"}},
	{"newest first", func() *broken {
		return &broken{changes: func(m *Memory, ctx context.Context, after uint64) ([]blocklist.Change, uint64, error) {
			cs, last, err := m.Changes(ctx, after)
			slices.Reverse(cs)
			return cs, last, err
		}}
	}, []string{"Numbers"}},
	{"loses one of two writers", func() *broken {
		var mu sync.Mutex
		n := uint64(0)
		return &broken{apply: func(m *Memory, ctx context.Context, c blocklist.Change) (uint64, error) {
			mu.Lock()
			defer mu.Unlock()
			if n++; n%2 == 0 && strings.HasPrefix(c.Item.Value, "198.51.") {
				return n, nil
			}
			_, err := m.Apply(ctx, c)
			return n, err
		}}
	}, []string{"Concurrent"}},
	{"does not look whether anybody waits", func() *broken {
		return &broken{apply: func(m *Memory, ctx context.Context, c blocklist.Change) (uint64, error) {
			return m.Apply(context.WithoutCancel(ctx), c)
		}}
	}, []string{"Cancelled"}},
	{"goes on loading", func() *broken {
		return &broken{load: func(m *Memory, ctx context.Context, f func(blocklist.Item) error) (uint64, error) {
			var first error
			seq, err := m.Load(ctx, func(it blocklist.Item) error {
				if err := f(it); first == nil {
					first = err
				}
				return nil
			})
			return seq, errors.Join(err, first)
		}}
	}, []string{"LoadEnds"}},
}

// TestEveryCaseCanFail shows that each case tells a broken store.
func TestEveryCaseCanFail(t *testing.T) {
	told := make(map[string]bool)
	for _, fault := range faults {
		for _, c := range Cases() {
			if !slices.Contains(fault.fails, c.Name) {
				continue
			}
			m := new(Memory)
			open := func() (blocklist.Store, error) { return new(Memory), nil }
			if fault.store != nil {
				b := fault.store()
				b.Memory = m
				open = func() (blocklist.Store, error) { return b, nil }
			}
			if err := c.Run(t.Context(), open); err == nil {
				t.Errorf("%s: %s does not tell", fault.name, c.Name)
			}
			told[c.Name] = true
		}
	}
	for _, c := range Cases() {
		if !told[c.Name] {
			t.Errorf("nothing makes %s fail", c.Name)
		}
	}
}
