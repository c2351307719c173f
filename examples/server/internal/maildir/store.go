// Package maildir answers: is the message on the disk? It delivers into
// Maildirs (https://cr.yp.to/proto/maildir.html) so that what it reports as
// delivered is still there after a crash or a power cut.
//
//	staged, err := store.Stage(content, maildir.Delivery{Mailbox: "example.org/ann", Header: header})
//	defer staged.Discard()
//	err = staged.Commit()
//
// Content is kept octet for octet, its CRLF line ends included.
package maildir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// leftover is the age at which a file in tmp belongs to nobody any more
// (https://cr.yp.to/proto/maildir.html).
const leftover = 36 * time.Hour

// Store is a folder of Maildirs. It is safe for concurrent use, also by several
// processes.
type Store struct {
	dir  string
	host string
	seq  atomic.Uint64

	mu   sync.Mutex
	made map[string]bool // mailboxes known to be on the disk
}

// maxMade bounds what a Store remembers of its mailboxes.
const maxMade = 10_000

// Open opens the store in dir, which it makes if need be, and removes what
// deliveries that broke off have left behind.
func Open(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("maildir: %w", err)
	}
	s := &Store{dir: dir, host: "localhost", made: make(map[string]bool)}
	if name, err := os.Hostname(); err == nil && name != "" {
		s.host = strings.NewReplacer("/", `\057`, ":", `\072`).Replace(name)
	}
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("maildir: %w", err)
	}
	if err := s.clean(time.Now().Add(-leftover)); err != nil {
		return nil, fmt.Errorf("maildir: %w", err)
	}
	return s, nil
}

// clean removes files in tmp folders that were last changed before when.
func (s *Store) clean(when time.Time) error {
	return filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // read, or removed, meanwhile
			return nil
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "new" || d.Name() == "cur") && path != s.dir:
			return fs.SkipDir // may hold very many
		case !d.Type().IsRegular() || filepath.Base(filepath.Dir(path)) != "tmp":
			return nil
		}
		if info, err := d.Info(); err != nil || !info.ModTime().Before(when) {
			return nil
		}
		return os.Remove(path)
	})
}

// prepare makes a mailbox, durably. As a folder of another one ("ann/.Junk")
// it gets that one too, and is marked as Maildir++ asks.
func (s *Store) prepare(mailbox string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made[mailbox] {
		return nil
	}
	path := s.dir
	for _, elem := range strings.Split(mailbox, "/") {
		if elem == "" || elem == "." || elem == ".." {
			return fmt.Errorf("%q is no mailbox", mailbox)
		}
		folder := strings.HasPrefix(elem, ".")
		if folder {
			if err := makeMaildir(path); err != nil {
				return err
			}
		}
		path = filepath.Join(path, elem)
		if err := makeDir(path); err != nil {
			return err
		}
		if folder {
			f, err := os.OpenFile(filepath.Join(path, "maildirfolder"), os.O_CREATE|os.O_WRONLY, 0o600)
			if err != nil {
				return err
			}
			f.Close()
		}
	}
	if err := makeMaildir(path); err != nil {
		return err
	}
	if len(s.made) >= maxMade {
		clear(s.made)
	}
	s.made[mailbox] = true
	return nil
}

// forget makes the next prepare look at the disk.
func (s *Store) forget(mailbox string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.made, mailbox)
}

func makeMaildir(path string) error {
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := makeDir(filepath.Join(path, sub)); err != nil {
			return err
		}
	}
	return nil
}

// makeDir makes path and the folders above it, each durable before the next. One
// that is there may be there only in memory, so it is synced all the same.
func makeDir(path string) error {
	parent := filepath.Dir(path)
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeDir(parent); err == nil {
			err = os.Mkdir(path, 0o700)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// syncDir makes the names in a folder durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// unique is a name that no other delivery has had, here or elsewhere: chance
// tells containers apart, which all have the same few process ids.
func (s *Store) unique() string {
	now := time.Now()
	var chance [4]byte
	rand.Read(chance[:])
	return fmt.Sprintf("%d.M%06dP%dQ%dR%x.%s", now.Unix(), now.Nanosecond()/1000, os.Getpid(), s.seq.Add(1), chance, s.host)
}

// Delivery is one copy of a message.
type Delivery struct {
	Mailbox string // below the store, made of [Name]s: "example.org/ann" or "example.org/ann/.Junk"
	Header  string // fields written above the content
}

// Staged are copies of one message on the disk that no reader sees yet.
type Staged struct {
	store   *Store
	copies  []staged
	content io.Reader // of the first copy
	first   *os.File
}

// staged is one copy.
type staged struct{ tmp, new string }

// Stage writes a copy of content for each of the deliveries, one or more. After
// an error nothing is left of them.
func (s *Store) Stage(content io.Reader, deliveries ...Delivery) (*Staged, error) {
	if len(deliveries) == 0 {
		return nil, errors.New("maildir: no delivery")
	}
	st := &Staged{store: s}
	for _, d := range deliveries {
		if err := st.add(content, d); err != nil {
			st.Discard()
			return nil, fmt.Errorf("maildir: %w", err)
		}
		content = st.Content()
	}
	return st, nil
}

func (st *Staged) add(content io.Reader, d Delivery) error {
	f, name, err := st.store.create(d.Mailbox)
	if err != nil {
		return err
	}
	box := filepath.Join(st.store.dir, filepath.FromSlash(d.Mailbox))
	st.copies = append(st.copies, staged{tmp: f.Name(), new: filepath.Join(box, "new", name)})
	if st.first == nil {
		st.first = f
	} else {
		defer f.Close()
	}
	if _, err := io.WriteString(f, d.Header); err != nil {
		return err
	}
	n, err := io.Copy(f, content)
	if err != nil {
		return err
	}
	if st.content == nil {
		st.content = io.NewSectionReader(f, int64(len(d.Header)), n)
	}
	return f.Sync()
}

// create opens a new file in a mailbox's tmp folder.
func (s *Store) create(mailbox string) (f *os.File, name string, err error) {
	for range 2 { // somebody may have removed the folders meanwhile
		if err = s.prepare(mailbox); err != nil {
			return nil, "", err
		}
		name = s.unique()
		f, err = os.OpenFile(filepath.Join(s.dir, filepath.FromSlash(mailbox), "tmp", name), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		s.forget(mailbox)
	}
	return f, name, err
}

// Content reads the content from its start, until Commit or Discard.
func (st *Staged) Content() io.Reader {
	r := st.content.(*io.SectionReader)
	return io.NewSectionReader(r, 0, r.Size())
}

// Commit delivers all copies. When it returns nil they outlive a crash; after
// an error some may have been delivered nevertheless.
func (st *Staged) Commit() error {
	st.close()
	dirs := make(map[string]bool)
	for len(st.copies) > 0 {
		c := st.copies[0]
		if err := os.Rename(c.tmp, c.new); err != nil {
			return fmt.Errorf("maildir: %w", err)
		}
		dirs[filepath.Dir(c.new)] = true
		st.copies = st.copies[1:]
	}
	for dir := range dirs {
		if err := syncDir(dir); err != nil {
			return fmt.Errorf("maildir: %w", err)
		}
	}
	return nil
}

// Discard removes what was not committed. It may be called at any time.
func (st *Staged) Discard() {
	st.close()
	for _, c := range st.copies {
		os.Remove(c.tmp)
	}
	st.copies = nil
}

func (st *Staged) close() {
	if st.first != nil {
		st.first.Close()
		st.first = nil
	}
}
