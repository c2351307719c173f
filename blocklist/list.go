package blocklist

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smtpguard/smtpguard/internal/watch"
)

// ListConfig says where a list comes from. The zero value of a field means its
// default.
type ListConfig struct {
	Name  string      // in reports, and the Source of its entries; the file's name
	Path  string      // the file; needed. With Fetch, where the last good copy is kept
	Parse ParseConfig // how it is read; its Name and Source are the list's

	Delimiters string // as in [Builder]

	// Shrink is the least share of the entries in force that a new version must
	// have: one that lost more is taken for broken, and the old one stays. 0.5; a
	// negative one takes any. Of a version that has no entry but bad lines the same
	// is true whatever Shrink says.
	Shrink float64

	// Optional starts empty where there is no version to start with, and takes the
	// first one that comes. Otherwise [NewList] fails.
	Optional bool

	Poll  time.Duration // how often the file is looked at where the system tells of no changes; 1 min
	Fetch *FetchConfig  // nil: the file is somebody else's work

	// Observe gets what became of each version. It is called from one goroutine
	// at a time and must not block.
	Observe func(ListEvent)
}

// ListEvent is what became of a version of a list.
type ListEvent struct {
	List    string
	Loaded  bool // it is in force
	Entries int  // in force now
	Report  Report
	Err     error // why it is not in force, or could not be fetched or kept
}

// List is a [Set] from a file, which changes as the file does. Lookups go on
// meanwhile, in the version before. A version that cannot be read, is broken or
// was read while it was being written leaves the one before in force.
type List struct {
	cfg   ListConfig
	set   atomic.Pointer[Set]
	mu    sync.Mutex // loads one version at a time
	watch *watch.Watcher

	cancel context.CancelFunc // of fetching
	done   chan struct{}      // closed when it has ended; nil without
}

var _ Source = (*List)(nil)

// NewList reads the list, and follows its changes until Close. With a Fetch and
// no copy on disk it waits for the first one. It reports everything that is wrong
// with cfg.
func NewList(cfg ListConfig) (*List, error) {
	cfg, err := cfg.filled()
	if err != nil {
		return nil, err
	}
	l := &List{cfg: cfg}
	l.set.Store(new(Set))
	err = l.Reload()
	if cfg.Fetch != nil && err != nil {
		if e := l.fetch(context.Background(), new(meta)); e != nil {
			err = e
		} else {
			err = nil
		}
	}
	if err != nil && !cfg.Optional {
		return nil, err
	}
	if cfg.Fetch != nil {
		var ctx context.Context
		ctx, l.cancel = context.WithCancel(context.Background())
		l.done = make(chan struct{})
		go l.keepFetching(ctx)
		return l, nil
	}
	l.watch, err = watch.New(cfg.Path, cfg.Poll, func() { _ = l.Reload() }) // Observe hears of its error
	if err != nil {
		return nil, fmt.Errorf("blocklist: list %s: %w", cfg.Name, err)
	}
	return l, nil
}

// Validate reports what is wrong with cfg, without looking at the file.
func (cfg ListConfig) Validate() error {
	_, err := cfg.filled()
	return err
}

func (cfg ListConfig) filled() (ListConfig, error) {
	var errs []error
	bad := func(field string, v any, why string) {
		errs = append(errs, fmt.Errorf("blocklist: ListConfig.%s is %v: %s", field, v, why))
	}
	if cfg.Path == "" {
		bad("Path", `""`, "names no file")
	}
	if cfg.Name == "" {
		cfg.Name = filepath.Base(cfg.Path)
	}
	cfg.Parse.Name, cfg.Parse.Source = cfg.Name, cfg.Name
	cfg.Parse = cfg.Parse.filled()
	if err := cfg.Parse.validate(); err != nil {
		errs = append(errs, fmt.Errorf("blocklist: ListConfig.Parse: %w", err))
	}
	if cfg.Shrink == 0 {
		cfg.Shrink = 0.5
	}
	if cfg.Shrink > 1 {
		bad("Shrink", cfg.Shrink, "must not be more than 1")
	}
	if cfg.Poll < 0 {
		bad("Poll", cfg.Poll, "must not be negative")
	}
	if cfg.Observe == nil {
		cfg.Observe = func(ListEvent) {}
	}
	if cfg.Fetch != nil {
		f, err := cfg.Fetch.filled()
		if err != nil {
			errs = append(errs, fmt.Errorf("blocklist: ListConfig.Fetch: %w", err))
		}
		cfg.Fetch = &f
	}
	return cfg, errors.Join(errs...)
}

// Find returns the entry that counts for q in the version in force.
func (l *List) Find(q Query) (Match, bool) { return l.set.Load().Find(q) }

// Set is the version in force. It never changes.
func (l *List) Set() *Set { return l.set.Load() }

// Close ends following changes. Lookups go on.
func (l *List) Close() error {
	if l.cancel != nil {
		l.cancel()
		<-l.done
	}
	if l.watch != nil {
		return l.watch.Close()
	}
	return nil
}

// Reload reads the file now. Its error says why the version before stays in
// force.
func (l *List) Reload() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	set, report, err := l.read(l.cfg.Path)
	return l.take(set, report, err)
}

// take puts set in force, unless something is wrong with it. Callers hold l.mu.
func (l *List) take(set *Set, report Report, err error) error {
	old := l.set.Load()
	if err == nil {
		err = l.plausible(set, old, report)
	}
	if err == nil {
		l.set.Store(set)
	} else {
		err = fmt.Errorf("blocklist: list %s: %w", l.cfg.Name, err)
	}
	l.cfg.Observe(ListEvent{List: l.cfg.Name, Loaded: err == nil, Entries: l.set.Load().Len(), Report: report, Err: err})
	return err
}

// plausible says why a new version looks broken.
func (l *List) plausible(set, old *Set, report Report) error {
	if set.Len() == 0 && report.Bad > 0 {
		return fmt.Errorf("no line can be used, the first because of %s", report.Problems[0])
	}
	if least := l.cfg.Shrink * float64(old.Len()); float64(set.Len()) < least {
		return fmt.Errorf("%d entries, where %d are in force: less than Shrink allows", set.Len(), old.Len())
	}
	return nil
}

// rereads is how often a file is read anew that changes while it is read.
const rereads = 3

var errChanging = errors.New("keeps changing while it is read")

// read reads a file that stays as it is meanwhile.
func (l *List) read(path string) (set *Set, report Report, err error) {
	for range rereads {
		set, report, err = l.readOnce(path)
		if !errors.Is(err, errChanging) {
			break
		}
	}
	return set, report, err
}

func (l *List) readOnce(path string) (set *Set, report Report, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, report, err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return nil, report, err
	}
	if !before.Mode().IsRegular() {
		return nil, report, &fs.PathError{Op: "read", Path: path, Err: errors.New("is no regular file")}
	}
	set, report, err = l.build(f)
	after, statErr := f.Stat()
	if statErr == nil && (!after.ModTime().Equal(before.ModTime()) || after.Size() != before.Size()) {
		return nil, report, errChanging
	}
	return set, report, err
}

// build makes a set of a file.
func (l *List) build(r io.Reader) (*Set, Report, error) {
	b := Builder{Delimiters: l.cfg.Delimiters}
	report, err := Parse(r, l.cfg.Parse, func(e Entry) error {
		err := b.Add(e)
		if err != nil && !errors.Is(err, errFull) {
			return fmt.Errorf("%w: %w", ErrEntry, err)
		}
		return err
	})
	if err != nil {
		return nil, report, err
	}
	return b.Set(), report, nil
}
