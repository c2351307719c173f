// Package watch tells when a file has changed: its content was written, it was
// replaced by another of its name, or what a symbolic link leads to was.
//
//	w, err := watch.New("/etc/blocklist", time.Minute, reload)
//	defer w.Close()
//
// It watches the folder, since files are mostly replaced by rename, and looks
// itself from time to time where the file system says nothing.
package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long changes are gathered after the first one: a storm of them
// is a few calls, and never none.
const settle = 100 * time.Millisecond

// Watcher watches one file.
type Watcher struct {
	file    string
	changed func()
	events  *fsnotify.Watcher // nil where the system has none
	stop    chan struct{}
	done    chan struct{}
	once    sync.Once
}

// New calls changed, from one goroutine at a time, after file has changed. It
// looks every poll, whatever the file system says; 0 means a minute. The file
// need not exist yet, its folder has to. That it was removed is no change.
func New(file string, poll time.Duration, changed func()) (*Watcher, error) {
	if poll < 0 {
		return nil, fmt.Errorf("watch: poll is %v: must not be negative", poll)
	}
	if poll == 0 {
		poll = time.Minute
	}
	dir := filepath.Dir(file)
	if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("watch: %s is no folder", dir)
	}
	w := &Watcher{file: file, changed: changed, stop: make(chan struct{}), done: make(chan struct{})}
	// Without events, as when the system has no more of them to give, polling has
	// to do.
	if events, err := fsnotify.NewWatcher(); err == nil {
		if events.Add(dir) == nil {
			w.events = events
		} else {
			events.Close()
		}
	}
	go w.work(stateOf(file), poll)
	return w, nil
}

// Close ends the watch, and waits for a call of changed that is under way.
func (w *Watcher) Close() error {
	w.once.Do(func() { close(w.stop) })
	<-w.done
	return nil
}

func (w *Watcher) work(seen state, poll time.Duration) {
	defer close(w.done)
	var events chan fsnotify.Event
	var errs chan error
	if w.events != nil {
		defer w.events.Close()
		events, errs = w.events.Events, w.events.Errors
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	settled := time.NewTimer(time.Hour)
	settled.Stop()
	waiting := false
	for {
		select {
		case <-w.stop:
			return
		case _, ok := <-events:
			if !ok {
				events = nil
			} else if !waiting { // of any file: a link may lead anywhere
				waiting = true
				settled.Reset(settle)
			}
			continue
		case _, ok := <-errs: // events were lost
			if !ok {
				errs = nil
				continue
			}
		case <-tick.C:
		case <-settled.C:
			waiting = false
		}
		if now := stateOf(w.file); now.there && !now.same(seen) {
			seen = now
			w.changed()
		}
	}
}

// state is what tells one version of a file from another.
type state struct {
	there bool
	info  os.FileInfo
}

func stateOf(file string) state {
	info, err := os.Stat(file)
	return state{err == nil, info}
}

func (s state) same(o state) bool {
	return s.there == o.there && (!s.there ||
		os.SameFile(s.info, o.info) && s.info.ModTime().Equal(o.info.ModTime()) && s.info.Size() == o.info.Size())
}
