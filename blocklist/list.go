package blocklist

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smtpguard/smtpguard/internal/watch"
)

// ListConfig says where a list comes from.
type ListConfig struct {
	Name  string      // names the list in its entries (Entry.Source) and events; "" is File's last element
	File  string      // read again when it changes; of a fetched list the copy, which is kept for the next start
	Fetch Fetch       // where to fetch the list from; without a URL the file is somebody else's
	Parse ParseConfig // how it is written; its Name is File, its Source Name

	Delimiters string // Builder.Delimiters

	// Optional makes the list start empty where it cannot be had at first, and
	// then go on trying. Else NewList fails.
	Optional bool

	// MinShare is which share of its entries a new version must have, for lists
	// of 100 entries or more: one that has shrunk absurdly was cut short, or is
	// not the list any more. 0 is a half for fetched lists and nothing for files;
	// below 0 is nothing.
	MinShare float64

	Poll time.Duration // how often the file is looked at, besides the system's telling; 1 minute

	// Observe gets what happens to the list, one event at a time. It must not
	// call Reload or Close.
	Observe func(ListEvent)
}

// ListEvent is what happened to a list.
type ListEvent struct {
	Time     time.Time
	List     string // ListConfig.Name
	Kind     ListEventKind
	Entries  int    // that are in force now
	Report   Report // of the version that was read, if one was
	Err      error  // why it is not in force; nil when it is
	Duration time.Duration
}

// ListEventKind tells events of lists apart.
type ListEventKind string

const (
	ListLoaded    ListEventKind = "loaded"    // a version is in force, perhaps with bad lines
	ListKept      ListEventKind = "kept"      // another version could not be had: the old one stays
	ListUnchanged ListEventKind = "unchanged" // there is no other version, the server says
	ListUnwatched ListEventKind = "unwatched" // the system does not tell of changes: they are seen at the next Poll
)

// List is a Set that follows a file, or an address on the web. Lookups never
// wait for a new version: it is read beside the old one, and then takes its
// place. A version that cannot be read leaves the old one in force.
//
// The zero List is empty and follows nothing. A List is safe for concurrent use.
type List struct {
	cfg ListConfig
	set atomic.Pointer[Set]

	mu      sync.Mutex // held by who is loading
	telling sync.Mutex // held while Observe is called
	copied  copyMeta   // what the copy of a fetched list is
	watcher *watch.Watcher
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

var _ Source = (*List)(nil)

// NewList reads a list for the first time and follows it from then on. Where a
// list has no copy yet, it waits for it to be fetched, Fetch.Timeout at most.
func NewList(cfg ListConfig) (*List, error) {
	if cfg.Name == "" {
		cfg.Name = filepath.Base(cfg.File)
	}
	cfg.Parse.Name, cfg.Parse.Source = cfg.File, cfg.Name
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.MinShare == 0 && cfg.Fetch.URL != "" {
		cfg.MinShare = 0.5
	}
	l := &List{cfg: cfg}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	start := l.follow
	if cfg.Fetch.URL != "" {
		start = l.startFetching
	}
	if err := start(ctx); err != nil && !cfg.Optional {
		l.Close()
		return nil, err
	}
	return l, nil
}

// check reports what is wrong with the configuration.
// Validate reports everything that is wrong with cfg, without looking at the
// file or the web.
func (cfg ListConfig) Validate() error { return cfg.check() }

func (cfg *ListConfig) check() error {
	var errs []error
	if cfg.File == "" {
		errs = append(errs, errors.New("blocklist: ListConfig.File must be set: a list follows a file, or keeps its copy in one"))
	}
	if cfg.MinShare > 1 {
		errs = append(errs, errors.New("blocklist: ListConfig.MinShare must not be over 1"))
	}
	if cfg.Poll < 0 {
		errs = append(errs, errors.New("blocklist: ListConfig.Poll must not be negative"))
	}
	if cfg.Fetch.URL != "" {
		errs = append(errs, cfg.Fetch.check())
	}
	p := parsing{ParseConfig: cfg.Parse}
	if errs = append(errs, p.defaults()); p.Format != "" {
		_, err := p.format()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Find returns the most specific entry of the version in force.
func (l *List) Find(q Query) (m Match, ok bool) { return l.Set().Find(q) }

// Set returns the version in force.
func (l *List) Set() *Set {
	if s := l.set.Load(); s != nil {
		return s
	}
	return new(Set)
}

// Reload reads the file, or fetches the list, now. It asks for no MinShare: it
// is for who has looked.
func (l *List) Reload(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cfg.Fetch.URL != "" {
		_, err := l.fetch(ctx, true)
		return err
	}
	return l.load(true)
}

// Close ends following the list. The version in force stays.
func (l *List) Close() error {
	if l.cancel != nil {
		l.cancel()
	}
	if l.watcher != nil {
		l.watcher.Close()
	}
	l.done.Wait()
	return nil
}

// follow watches the file, and reads it for the first time.
func (l *List) follow(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Watching comes first: a change while we read is not missed.
	l.watcher = watch.New(watch.Config{
		Files: []string{l.cfg.File},
		Poll:  l.cfg.Poll,
		Changed: func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.load(false)
		},
		Failed: func(err error) {
			l.observe(ListEvent{Kind: ListUnwatched, Err: l.named(err)})
		},
	})
	return l.load(true)
}

// observe reports an event.
func (l *List) observe(e ListEvent) {
	if l.cfg.Observe != nil {
		l.telling.Lock()
		defer l.telling.Unlock()
		e.Time, e.List, e.Entries = time.Now(), l.cfg.Name, l.Set().Len()
		l.cfg.Observe(e)
	}
}
