// Package watch tells when files have changed: lists, certificates.
//
//	w := watch.New(watch.Config{Files: []string{name}, Changed: reload})
//	defer w.Close()
//
// It watches the folders that the files are in, because most programs replace
// a file rather than write to it, and looks at the files themselves once in a
// while: some file systems report nothing, and the system may have no watch
// left to give.
package watch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Config says what to watch. The zero value of a duration means its default.
type Config struct {
	Files   []string      // by path, which need not exist yet
	Changed func()        // after any of them has; never called twice at once, and must not call Close
	Failed  func(error)   // no events can be had for now: only Poll finds changes; may be nil
	Quiet   time.Duration // how long nothing must have happened before Changed is called; 100 ms
	Most    time.Duration // after which Changed is called although more is happening; 1 s
	Poll    time.Duration // how often the files are looked at; 1 minute
}

// Watcher watches until it is closed.
type Watcher struct {
	cfg    Config
	events *fsnotify.Watcher // nil: there are none
	state  []fs.FileInfo     // of the files, as they were when Changed was called; nil where there is none
	failed string            // what Failed was last told
	stop   chan struct{}
	once   sync.Once
	done   sync.WaitGroup
}

// New begins to watch: changes that are made after it has returned are seen. It
// never fails: without events it polls.
func New(cfg Config) *Watcher {
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{{&cfg.Quiet, 100 * time.Millisecond}, {&cfg.Most, time.Second}, {&cfg.Poll, time.Minute}} {
		if *d.value <= 0 {
			*d.value = d.fallback
		}
	}
	cfg.Files = slices.Clone(cfg.Files)
	w := &Watcher{cfg: cfg, stop: make(chan struct{})}
	events, err := fsnotify.NewWatcher()
	if err != nil {
		w.fail(err)
	} else {
		w.events = events
	}
	w.folders()
	w.state = w.look()
	w.done.Go(w.run)
	return w
}

// Close ends watching. It waits for Changed to return, which is not called
// afterwards.
func (w *Watcher) Close() {
	w.once.Do(func() { close(w.stop) })
	w.done.Wait()
}

func (w *Watcher) run() {
	var events <-chan fsnotify.Event
	var errs <-chan error
	if w.events != nil {
		defer w.events.Close()
		events, errs = w.events.Events, w.events.Errors
	}
	w.loop(events, errs)
}

// loop waits for something to happen, and then for the files to come to rest.
func (w *Watcher) loop(events <-chan fsnotify.Event, errs <-chan error) {
	poll := time.NewTicker(w.cfg.Poll)
	defer poll.Stop()
	rest := time.NewTimer(time.Hour)
	rest.Stop()
	var since time.Time // of the first change that Changed has not been told; zero: there is none
	changed := func() {
		if since.IsZero() {
			since = time.Now()
		}
		rest.Reset(min(w.cfg.Quiet, w.cfg.Most-time.Since(since)))
	}
	for {
		select {
		case <-w.stop:
			return
		case e, ok := <-events:
			if !ok {
				events = nil
			} else if w.about(e) || !w.same() {
				changed()
			}
		case err, ok := <-errs:
			if !ok {
				errs = nil
			} else if errors.Is(err, fsnotify.ErrEventOverflow) {
				changed()
			} else {
				w.fail(err)
			}
		case <-poll.C:
			w.folders()
			if since.IsZero() && !w.same() {
				changed()
			}
		case <-rest.C:
			since = time.Time{}
			w.folders() // a link may lead elsewhere now
			w.state = w.look()
			w.cfg.Changed()
		}
	}
}

// about reports whether e is about one of the files. Others may be on the way
// to one that is behind a link.
func (w *Watcher) about(e fsnotify.Event) bool {
	for _, name := range w.cfg.Files {
		if filepath.Clean(name) == filepath.Clean(e.Name) {
			return true
		}
		if target, err := filepath.EvalSymlinks(name); err == nil && target == filepath.Clean(e.Name) {
			return true
		}
	}
	return false
}

// folders watches the folders of the files, and of what they are links to.
// Those that are watched already stay so.
func (w *Watcher) folders() {
	if w.events == nil {
		return
	}
	for _, name := range w.cfg.Files {
		dirs := []string{filepath.Dir(name)}
		if target, err := filepath.EvalSymlinks(name); err == nil && filepath.Dir(target) != dirs[0] {
			dirs = append(dirs, filepath.Dir(target))
		}
		for _, dir := range dirs {
			if err := w.events.Add(dir); err != nil {
				w.fail(err)
				return
			}
		}
	}
	w.failed = ""
}

// fail reports err, unless it was the last one reported.
func (w *Watcher) fail(err error) {
	if w.cfg.Failed != nil && err.Error() != w.failed {
		w.failed = err.Error()
		w.cfg.Failed(err)
	}
}

// look returns what the files are now.
func (w *Watcher) look() []fs.FileInfo {
	state := make([]fs.FileInfo, len(w.cfg.Files))
	for i, name := range w.cfg.Files {
		if info, err := os.Stat(name); err == nil {
			state[i] = info
		}
	}
	return state
}

// same reports whether the files look as they did.
func (w *Watcher) same() bool {
	return slices.EqualFunc(w.state, w.look(), func(a, b fs.FileInfo) bool {
		if a == nil || b == nil {
			return a == nil && b == nil
		}
		return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && a.Mode() == b.Mode()
	})
}
