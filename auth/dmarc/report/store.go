package report

import (
	"context"
	"errors"
	"iter"
	"sync"
)

// Store keeps counts. Its keys are opaque text, of no more than 32,000 octets. It is
// safe for concurrent use.
type Store interface {
	// Add adds n, which may be negative, to the count of row in batch. It may fail
	// with ErrFull on a row that is new, but not on one that begins with no "{":
	// there are few of those, for what found no room and for what was sent.
	Add(ctx context.Context, batch, row string, n int64) error

	// Batches yields every batch that has a row, and Rows every row of one, with
	// its count, both in any order. What is added meanwhile may be left out.
	Batches(ctx context.Context) iter.Seq2[string, error]
	Rows(ctx context.Context, batch string) iter.Seq2[Count, error]

	// Delete forgets a batch. One that it does not have is no error.
	Delete(ctx context.Context, batch string) error
}

// Count is one row of a Store.
type Count struct {
	Row string
	N   int64
}

// ErrFull is what Store.Add says when a row finds no room.
var ErrFull = errors.New("report: no room for another row")

// Memory is a Store that forgets all when the process ends. The zero Memory
// keeps up to 64 MiB.
type Memory struct {
	Octets int // most memory; 0 means 64 MiB

	mu    sync.Mutex
	taken int
	rows  map[string]map[string]int64
}

var _ Store = (*Memory)(nil)

// overhead is about what a key takes beside its text.
const overhead = 100

// Add implements Store.
func (m *Memory) Add(_ context.Context, batch, row string, n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	most := m.Octets
	if most <= 0 {
		most = 64 << 20
	}
	rows, ok := m.rows[batch]
	size := 0
	if !ok {
		size += len(batch) + overhead
	}
	if _, ok := rows[row]; !ok {
		size += len(row) + overhead
	}
	if size > 0 && m.taken+size > most && (isRow(row) || !ok) {
		return ErrFull
	}
	if !ok {
		rows = make(map[string]int64)
		if m.rows == nil {
			m.rows = make(map[string]map[string]int64)
		}
		m.rows[batch] = rows
	}
	m.taken += size
	rows[row] += n
	return nil
}

// Batches implements Store.
func (m *Memory) Batches(ctx context.Context) iter.Seq2[string, error] {
	m.mu.Lock()
	list := make([]string, 0, len(m.rows))
	for batch := range m.rows {
		list = append(list, batch)
	}
	m.mu.Unlock()
	return func(yield func(string, error) bool) {
		for _, batch := range list {
			if ctx.Err() != nil {
				yield("", ctx.Err())
				return
			}
			if !yield(batch, nil) {
				return
			}
		}
	}
}

// Rows implements Store.
func (m *Memory) Rows(ctx context.Context, batch string) iter.Seq2[Count, error] {
	m.mu.Lock()
	list := make([]Count, 0, len(m.rows[batch]))
	for row, n := range m.rows[batch] {
		list = append(list, Count{row, n})
	}
	m.mu.Unlock()
	return func(yield func(Count, error) bool) {
		for _, c := range list {
			if ctx.Err() != nil {
				yield(Count{}, ctx.Err())
				return
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

// Delete implements Store.
func (m *Memory) Delete(_ context.Context, batch string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if rows, ok := m.rows[batch]; ok {
		m.taken -= len(batch) + overhead
		for row := range rows {
			m.taken -= len(row) + overhead
		}
		delete(m.rows, batch)
	}
	return nil
}
