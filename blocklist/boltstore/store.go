// Package boltstore keeps the dynamic entries of one process in a file, with
// the record of who changed what.
//
//	store, err := boltstore.Open("/var/lib/mail/blocklist.db", boltstore.Config{})
//	defer store.Close()
//	d, err := blocklist.NewDynamic(blocklist.DynamicConfig{Store: store})
//	defer d.Close()
//
// A change is on the disk when Apply has returned: neither the end of the
// process nor of the machine loses it, as far as the disk keeps its word. The
// file is locked while it is open, so that a command that edits the list of a
// running server has to ask the server: see [blocklist.Handler].
package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/smtpguard/smtpguard/blocklist"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Config says how the file is kept. The zero value of a field means its
// default.
type Config struct {
	Changes int           // how many changes are remembered; 10,000
	Wait    time.Duration // for another process to close the file; 1 s
}

// ErrLocked says that another process has the file open.
var ErrLocked = errors.New("boltstore: the file is in use by another process")

// Store is a [blocklist.Store] in a file. It is safe for concurrent use.
type Store struct {
	db      *bolt.DB
	changes int
}

var _ blocklist.Store = (*Store)(nil)

// The buckets of the file. Its form is stable.
var (
	entries = []byte("entries") // "kind value" to an Item in JSON
	expiry  = []byte("expiry")  // when, in 8 octets of milliseconds, then the entry's key; to nothing
	changes = []byte("changes") // number, in 8 octets, to a Change in JSON
)

// Open opens the file, or makes it, for its owner alone to read. Its directory
// has to be there. It returns [ErrLocked] when another process has it open.
func Open(path string, cfg Config) (*Store, error) {
	if cfg.Changes == 0 {
		cfg.Changes = 10_000
	}
	if cfg.Wait == 0 {
		cfg.Wait = time.Second
	}
	if cfg.Changes < 0 {
		return nil, fmt.Errorf("boltstore: Config.Changes is %d: must not be negative", cfg.Changes)
	}
	if cfg.Wait < 0 {
		return nil, fmt.Errorf("boltstore: Config.Wait is %v: must not be negative", cfg.Wait)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: cfg.Wait, FreelistType: bolt.FreelistMapType})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%w: %s", ErrLocked, path)
	}
	if err != nil {
		return nil, fmt.Errorf("boltstore: %w", err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{entries, expiry, changes} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("boltstore: %w", err)
	}
	return &Store{db: db, changes: cfg.Changes}, nil
}

// syncDir makes a new file's name last as its content does.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

// Poll is 0: the file is locked against others.
func (s *Store) Poll() time.Duration { return 0 }

// expired bounds how many expired entries one change removes.
const expired = 100

// Apply carries out c and writes it down, in one transaction.
func (s *Store) Apply(ctx context.Context, c blocklist.Change) (seq uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	now := time.Now()
	err = s.db.Update(func(tx *bolt.Tx) error {
		if err := purge(tx, now); err != nil {
			return err
		}
		key := keyOf(c.Item)
		old, ok, err := get(tx, key)
		if err != nil {
			return err
		}
		if c.Op == blocklist.Added && c.Item.Auto && ok && !old.Auto && old.Expires.After(now) {
			return blocklist.ErrByHand
		}
		if ok {
			if err := remove(tx, key, old.Expires); err != nil {
				return err
			}
		}
		if c.Op == blocklist.Added {
			if err := put(tx, key, c.Item); err != nil {
				return err
			}
		}
		seq, err = s.record(tx, c)
		return err
	})
	if err != nil && !errors.Is(err, blocklist.ErrByHand) {
		return 0, fmt.Errorf("boltstore: %w", err)
	}
	return seq, err
}

// record writes c down, and forgets the oldest.
func (s *Store) record(tx *bolt.Tx, c blocklist.Change) (seq uint64, err error) {
	b := tx.Bucket(changes)
	if seq, err = b.NextSequence(); err != nil {
		return 0, err
	}
	c.Seq = seq
	text, err := json.Marshal(c)
	if err != nil {
		return 0, err
	}
	if err := b.Put(binary.BigEndian.AppendUint64(nil, seq), text); err != nil {
		return 0, err
	}
	cur := b.Cursor()
	for k, _ := cur.First(); k != nil && binary.BigEndian.Uint64(k)+uint64(s.changes) <= seq; k, _ = cur.First() {
		if err := b.Delete(k); err != nil {
			return 0, err
		}
	}
	return seq, nil
}

// Load calls f with every entry that has not expired.
func (s *Store) Load(ctx context.Context, f func(blocklist.Item) error) (seq uint64, err error) {
	now := time.Now()
	err = s.db.View(func(tx *bolt.Tx) error {
		seq = tx.Bucket(changes).Sequence()
		return tx.Bucket(entries).ForEach(func(k, v []byte) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			var it blocklist.Item
			if err := json.Unmarshal(v, &it); err != nil {
				return fmt.Errorf("entry %q: %w", k, err)
			}
			if !it.Expires.After(now) {
				return nil
			}
			return f(it)
		})
	})
	if err != nil {
		return 0, fmt.Errorf("boltstore: %w", err)
	}
	return seq, nil
}

// page is how many changes are returned at once.
const page = 1000

// Changes returns changes after a number, oldest first, up to 1,000.
func (s *Store) Changes(ctx context.Context, after uint64) (cs []blocklist.Change, last uint64, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	err = s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(changes)
		last = b.Sequence()
		if after >= last {
			return nil
		}
		cur := b.Cursor()
		for k, v := cur.Seek(binary.BigEndian.AppendUint64(nil, after+1)); k != nil && len(cs) < page; k, v = cur.Next() {
			var c blocklist.Change
			if err := json.Unmarshal(v, &c); err != nil {
				return fmt.Errorf("change %d: %w", binary.BigEndian.Uint64(k), err)
			}
			cs = append(cs, c)
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("boltstore: %w", err)
	}
	return cs, last, nil
}

func keyOf(it blocklist.Item) []byte { return []byte(it.Kind.String() + " " + it.Value) }

func get(tx *bolt.Tx, key []byte) (it blocklist.Item, ok bool, err error) {
	v := tx.Bucket(entries).Get(key)
	if v == nil {
		return it, false, nil
	}
	if err := json.Unmarshal(v, &it); err != nil {
		return it, false, fmt.Errorf("entry %q: %w", key, err)
	}
	return it, true, nil
}

func put(tx *bolt.Tx, key []byte, it blocklist.Item) error {
	text, err := json.Marshal(it)
	if err != nil {
		return err
	}
	if err := tx.Bucket(entries).Put(key, text); err != nil {
		return err
	}
	return tx.Bucket(expiry).Put(append(millis(it.Expires), key...), nil)
}

func remove(tx *bolt.Tx, key []byte, expires time.Time) error {
	if err := tx.Bucket(entries).Delete(key); err != nil {
		return err
	}
	return tx.Bucket(expiry).Delete(append(millis(expires), key...))
}

// millis is a time such that octets sort as times do. What expires before 1970
// has expired in 1970.
func millis(t time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(max(t.UnixMilli(), 0)))
}

// purge removes what has expired.
func purge(tx *bolt.Tx, now time.Time) error {
	cur := tx.Bucket(expiry).Cursor()
	end := millis(now)
	for range expired {
		k, _ := cur.First()
		if len(k) < len(end) || bytes.Compare(k[:len(end)], end) >= 0 {
			return nil
		}
		if err := tx.Bucket(entries).Delete(bytes.Clone(k[len(end):])); err != nil {
			return err
		}
		if err := cur.Delete(); err != nil {
			return err
		}
	}
	return nil
}
