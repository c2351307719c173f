package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/smtpguard/smtpguard/blocklist"
)

// Memory is a [blocklist.Store] that forgets with the process: for tests of
// what uses one, which may make it fail, and share it. The zero Memory is ready
// for use.
type Memory struct {
	Every time.Duration         // what Poll returns
	Fail  func(op string) error // asked first, when not nil: "apply", "load" or "changes"
	Limit int                   // changes remembered; 0 means all

	mu      sync.Mutex
	entries map[string]blocklist.Item
	changes []blocklist.Change
	seq     uint64
}

var _ blocklist.Store = (*Memory)(nil)

// Poll returns m.Every.
func (m *Memory) Poll() time.Duration { return m.Every }

func (m *Memory) begin(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.Fail != nil {
		return m.Fail(op)
	}
	return nil
}

// Apply carries out c.
func (m *Memory) Apply(ctx context.Context, c blocklist.Change) (uint64, error) {
	if err := m.begin(ctx, "apply"); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id := c.Item.Kind.String() + " " + c.Item.Value
	old, ok := m.entries[id]
	switch {
	case c.Op == blocklist.Removed:
		delete(m.entries, id)
	case c.Op != blocklist.Added:
		return 0, errors.New("storetest: no such Op")
	case c.Item.Auto && ok && !old.Auto && old.Expires.After(time.Now()):
		return 0, blocklist.ErrByHand
	default:
		if m.entries == nil {
			m.entries = make(map[string]blocklist.Item)
		}
		m.entries[id] = c.Item
	}
	m.seq++
	c.Seq = m.seq
	m.changes = append(m.changes, c)
	if m.Limit > 0 && len(m.changes) > m.Limit {
		m.changes = slices.Delete(m.changes, 0, len(m.changes)-m.Limit)
	}
	return m.seq, nil
}

// Load calls f with every entry that has not expired.
func (m *Memory) Load(ctx context.Context, f func(blocklist.Item) error) (uint64, error) {
	if err := m.begin(ctx, "load"); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, it := range m.entries {
		if !it.Expires.After(time.Now()) {
			continue
		}
		if err := f(it); err != nil {
			return 0, err
		}
	}
	return m.seq, nil
}

// Changes returns the changes after a number.
func (m *Memory) Changes(ctx context.Context, after uint64) ([]blocklist.Change, uint64, error) {
	if err := m.begin(ctx, "changes"); err != nil {
		return nil, 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	i, _ := slices.BinarySearchFunc(m.changes, after+1, func(c blocklist.Change, seq uint64) int {
		return int(int64(c.Seq - seq))
	})
	return slices.Clone(m.changes[i:]), m.seq, nil
}

// Forget loses everything, as a server does that kept it in memory.
func (m *Memory) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries, m.changes, m.seq = nil, nil, 0
}
