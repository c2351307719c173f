// Package boltstore keeps the counts of aggregate reports in a file, so that they
// outlive the process.
//
//	store, err := boltstore.Open("/var/lib/mail/dmarc.db", boltstore.Config{})
//	defer store.Close()
//	collector, err := report.New(report.Config{Store: store, …})
//
// Counts are written a second later together: that much is lost when the process
// is killed. What says that a report was sent is on the disk when Add returns.
// The file is locked while it is open. One that is damaged is set aside, and a
// new one begun: reports are not worth not receiving mail for.
package boltstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/smtpguard/smtpguard/auth/dmarc/report"
)

// Config says how the file is kept. The zero value of a field means its
// default.
type Config struct {
	Batches int           // most of them, behind which none is begun: all that are due are in memory at once; 50,000
	Rows    uint64        // most rows of a batch, behind which messages are only counted; 1,000,000
	Octets  int64         // most of the file in use, behind which the same goes for all; 1 GiB
	Flush   time.Duration // how long a count may wait to be written; 1 s
	Wait    time.Duration // for another process to close the file; 1 s

	// Aside is told that a damaged file was renamed, to what, and what was wrong
	// with it; or, with no name, that counts could not be written, or that a batch
	// found no room: report.ErrFull. nil means nobody.
	Aside func(name string, err error)
}

// ErrLocked says that another process has the file open.
var ErrLocked = errors.New("boltstore: the file is in use by another process")

// Store is a [report.Store] in a file. It is safe for concurrent use.
type Store struct {
	db   *bolt.DB
	cfg  Config
	stop chan struct{}
	done sync.WaitGroup

	mu      sync.Mutex
	waiting map[string]map[string]int64 // by batch and row
	octets  int

	writing sync.Mutex // held from taking what waits until it is written
	batches int        // in the file; of who holds writing
}

var _ report.Store = (*Store)(nil)

const (
	most     = 2 << 20 // octets that wait; more is written at once
	overhead = 100     // about what a key takes beside its text
)

// Open opens the file, or makes it, for its owner alone to read. Its directory
// has to be there. It returns [ErrLocked] when another process has it open.
func Open(path string, cfg Config) (*Store, error) {
	if cfg.Rows == 0 {
		cfg.Rows = 1_000_000
	}
	if cfg.Batches == 0 {
		cfg.Batches = 50_000
	}
	if cfg.Octets == 0 {
		cfg.Octets = 1 << 30
	}
	if cfg.Flush == 0 {
		cfg.Flush = time.Second
	}
	if cfg.Wait == 0 {
		cfg.Wait = time.Second
	}
	if cfg.Batches < 0 || cfg.Octets < 0 || cfg.Flush < 0 || cfg.Wait < 0 {
		return nil, fmt.Errorf("boltstore: Config.Batches is %d, Octets %d, Flush %v, Wait %v: must not be negative", cfg.Batches, cfg.Octets, cfg.Flush, cfg.Wait)
	}
	if cfg.Aside == nil {
		cfg.Aside = func(string, error) {}
	}
	db, err := open(path, cfg)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, cfg: cfg, stop: make(chan struct{}), waiting: make(map[string]map[string]int64)}
	err = db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func([]byte, *bolt.Bucket) error {
			s.batches++
			return nil
		})
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("boltstore: %w", err), db.Close())
	}
	s.done.Go(s.flushing)
	return s, nil
}

// pageSize is that of new files. The library remembers every page that it has
// written, in memory, so they are twice as large as usual.
const pageSize = 8 << 10

// open opens a file that is in order, or else a new one in its place.
func open(path string, cfg Config) (*bolt.DB, error) {
	options := &bolt.Options{Timeout: cfg.Wait, FreelistType: bolt.FreelistMapType, PageSize: pageSize}
	db, damage := whole(path, options)
	var system *os.PathError
	switch {
	case damage == nil:
		return db, nil
	case errors.Is(damage, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%w: %s", ErrLocked, path)
	case errors.As(damage, &system): // a directory that is not there, or is not ours
		return nil, fmt.Errorf("boltstore: %w", damage)
	}
	name := fmt.Sprintf("%s.damaged-%d", path, time.Now().UnixNano())
	if err := os.Rename(path, name); err != nil {
		return nil, fmt.Errorf("boltstore: %w", err)
	}
	cfg.Aside(name, fmt.Errorf("boltstore: %w", damage))
	db, err := bolt.Open(path, 0o600, options)
	if err != nil {
		return nil, fmt.Errorf("boltstore: %w", err)
	}
	return db, nil
}

// whole opens the file and reads all of it. Damage can make that panic, or fault
// where the file is shorter than it says; a file that was opened then stays so,
// under the name it is given next.
func whole(path string, options *bolt.Options) (db *bolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, fmt.Errorf("damaged: %v", p)
		}
	}()
	db, err = bolt.Open(path, 0o600, options)
	if err != nil {
		return nil, err
	}
	err = db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bolt.Bucket) error {
			return b.ForEach(func(row, n []byte) error {
				if len(row) == 0 || len(n) != 8 {
					return fmt.Errorf("damaged: a count of %d octets", len(n))
				}
				return nil
			})
		})
	})
	if err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// Close writes what waits and closes the file.
func (s *Store) Close() error {
	close(s.stop)
	s.done.Wait()
	return errors.Join(s.flush(), s.db.Close())
}

// flushing writes what waits, until Close.
func (s *Store) flushing() {
	ticker := time.NewTicker(s.cfg.Flush)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := s.flush(); err != nil {
				s.cfg.Aside("", err)
			}
		case <-s.stop:
			return
		}
	}
}

// Add implements [report.Store]. A row that finds no room is counted as such when
// it is written, and is no error here.
func (s *Store) Add(ctx context.Context, batch, row string, n int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	s.wait(batch, row, n)
	full := s.octets > most
	s.mu.Unlock()
	if full || row != "" && !isRow(row) {
		return s.flush()
	}
	return nil
}

// wait has a count wait. The caller holds mu.
func (s *Store) wait(batch, row string, n int64) {
	rows := s.waiting[batch]
	if rows == nil {
		rows = make(map[string]int64)
		s.waiting[batch] = rows
		s.octets += len(batch) + overhead
	}
	if _, ok := rows[row]; !ok {
		s.octets += len(row) + overhead
	}
	rows[row] += n
}

// isRow is what [report.Store] has to tell rows by.
func isRow(row string) bool { return strings.HasPrefix(row, "{") }

// flush writes what waits. What can not be written goes on waiting.
func (s *Store) flush() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	taken := s.waiting
	s.waiting, s.octets = make(map[string]map[string]int64), 0
	s.mu.Unlock()
	if len(taken) == 0 {
		return nil
	}
	lost, begun := 0, 0
	err := s.db.Update(func(tx *bolt.Tx) (err error) {
		full := tx.Size()-int64(s.db.Stats().FreeAlloc) > s.cfg.Octets
		for batch, rows := range taken {
			b := tx.Bucket([]byte(batch))
			if b == nil && (full || s.batches+begun >= s.cfg.Batches) {
				lost++
				continue
			}
			if b == nil {
				begun++
				if b, err = tx.CreateBucket([]byte(batch)); err != nil {
					return err
				}
			}
			for row, n := range rows {
				if err := s.count(b, row, n, full); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err == nil {
		s.batches += begun
	}
	if err == nil && lost > 0 {
		s.cfg.Aside("", fmt.Errorf("boltstore: %d batches: %w", lost, report.ErrFull))
	}
	if err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for batch, rows := range taken {
		for row, n := range rows {
			if s.octets < 4*most { // of a disk that stays full, what is too much is lost
				s.wait(batch, row, n)
			}
		}
	}
	return fmt.Errorf("boltstore: %w", err)
}

// count adds n to the count of row, or of what finds no room: in a full file, a
// new row. The sequence of its bucket is how many rows there are.
func (s *Store) count(b *bolt.Bucket, row string, n int64, full bool) error {
	name := name(row)
	old := b.Get(name)
	if old == nil && isRow(row) {
		if full || b.Sequence() >= s.cfg.Rows {
			return s.count(b, "", n, false)
		}
		if err := b.SetSequence(b.Sequence() + 1); err != nil {
			return err
		}
	}
	if old != nil {
		n += int64(binary.BigEndian.Uint64(old))
	}
	return b.Put(name, binary.BigEndian.AppendUint64(nil, uint64(n)))
}

// name is the key of a row: an empty one is not possible.
func name(row string) []byte { return []byte("r" + row) }

// page is how many rows are read in one transaction: a long one would keep what
// is deleted from being used again.
const page = 1000

// Batches implements [report.Store].
func (s *Store) Batches(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		err := s.flush()
		var list []string
		if err == nil {
			err = s.db.View(func(tx *bolt.Tx) error {
				return tx.ForEach(func(name []byte, _ *bolt.Bucket) error {
					list = append(list, string(name))
					return ctx.Err()
				})
			})
		}
		if err != nil {
			yield("", fmt.Errorf("boltstore: %w", err))
			return
		}
		for _, batch := range list {
			if !yield(batch, nil) {
				return
			}
		}
	}
}

// Rows implements [report.Store].
func (s *Store) Rows(ctx context.Context, batch string) iter.Seq2[report.Count, error] {
	return func(yield func(report.Count, error) bool) {
		if err := s.flush(); err != nil {
			yield(report.Count{}, err)
			return
		}
		list := make([]report.Count, 0, page)
		for from := ""; ; {
			list = list[:0]
			err := s.db.View(func(tx *bolt.Tx) error {
				b := tx.Bucket([]byte(batch))
				if b == nil {
					return nil
				}
				c := b.Cursor()
				for k, n := c.Seek([]byte(from)); k != nil && len(list) < page; k, n = c.Next() {
					list = append(list, report.Count{Row: string(k[1:]), N: int64(binary.BigEndian.Uint64(n))})
				}
				return ctx.Err()
			})
			if err != nil {
				yield(report.Count{}, fmt.Errorf("boltstore: %w", err))
				return
			}
			for _, c := range list {
				if !yield(c, nil) {
					return
				}
			}
			if len(list) < page {
				return
			}
			from = string(name(list[len(list)-1].Row)) + "\x00"
		}
	}
}

// Delete implements [report.Store].
func (s *Store) Delete(ctx context.Context, batch string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	for row := range s.waiting[batch] {
		s.octets -= len(row) + overhead
	}
	if _, ok := s.waiting[batch]; ok {
		s.octets -= len(batch) + overhead
		delete(s.waiting, batch)
	}
	s.mu.Unlock()
	err := s.db.Update(func(tx *bolt.Tx) error {
		return tx.DeleteBucket([]byte(batch))
	})
	switch {
	case err == nil:
		s.batches--
	case !errors.Is(err, bolterrors.ErrBucketNotFound):
		return fmt.Errorf("boltstore: %w", err)
	}
	return nil
}
