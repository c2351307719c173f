package watch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watched returns a channel that says when Changed was called.
func watched(t *testing.T, cfg Config) <-chan struct{} {
	t.Helper()
	changed := make(chan struct{}, 1000)
	cfg.Changed = func() { changed <- struct{}{} }
	if cfg.Quiet == 0 {
		cfg.Quiet = time.Millisecond
	}
	w := New(cfg)
	t.Cleanup(w.Close)
	return changed
}

func await(t *testing.T, changed <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-changed:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s went unseen", what)
	}
	for { // what is left of the same change
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond):
			return
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestChanges(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "list")
	changed := watched(t, Config{Files: []string{name, filepath.Join(dir, "other")}})

	write(t, name, "one")
	await(t, changed, "creating")
	write(t, name, "two")
	await(t, changed, "writing")
	write(t, name+".new", "three")
	do(t, os.Rename(name+".new", name))
	await(t, changed, "replacing")
	do(t, os.Remove(name))
	await(t, changed, "removing")
	write(t, filepath.Join(dir, "other"), "x")
	await(t, changed, "the second file")
	do(t, os.Chmod(filepath.Join(dir, "other"), 0o600))
	await(t, changed, "a mode")
	write(t, filepath.Join(dir, "stranger"), "x")
	select {
	case <-changed:
		t.Error("a stranger's change is taken for ours")
	case <-time.After(100 * time.Millisecond):
	}
}

// A file may be a link, and what it leads to a link too, as Kubernetes has it.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"v1", "v2"} {
		do(t, os.Mkdir(filepath.Join(dir, version), 0o755))
		write(t, filepath.Join(dir, version, "list"), version)
	}
	elsewhere := filepath.Join(t.TempDir(), "target")
	write(t, elsewhere, "x")
	do(t, os.Symlink("v1", filepath.Join(dir, "data")))
	do(t, os.Symlink("data/list", filepath.Join(dir, "list")))
	do(t, os.Symlink(elsewhere, filepath.Join(dir, "link")))

	changed := watched(t, Config{Files: []string{filepath.Join(dir, "list")}})
	do(t, os.Symlink("v2", filepath.Join(dir, "data.new")))
	do(t, os.Rename(filepath.Join(dir, "data.new"), filepath.Join(dir, "data")))
	await(t, changed, "another target")
	write(t, filepath.Join(dir, "v2", "list"), "v3")
	await(t, changed, "writing to the new target")

	changed = watched(t, Config{Files: []string{filepath.Join(dir, "link")}})
	write(t, elsewhere, "y")
	await(t, changed, "writing to a target in another folder")
}

// A folder may come later, and no event tells of it.
func TestPoll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	name := filepath.Join(dir, "list")
	failed := make(chan error, 100)
	changed := watched(t, Config{Files: []string{name}, Poll: 20 * time.Millisecond, Failed: func(err error) { failed <- err }})
	select {
	case err := <-failed:
		if !strings.Contains(err.Error(), "no such file") {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing said")
	}
	time.Sleep(60 * time.Millisecond)
	if len(failed) > 0 {
		t.Errorf("said again: %v", <-failed)
	}
	do(t, os.Mkdir(dir, 0o755))
	write(t, name, "one")
	await(t, changed, "the folder")
}

func TestClose(t *testing.T) {
	name := filepath.Join(t.TempDir(), "list")
	calls := 0
	w := New(Config{Files: []string{name}, Quiet: time.Millisecond, Changed: func() { calls++ }})
	w.Close()
	w.Close()
	write(t, name, "one")
	time.Sleep(20 * time.Millisecond)
	if calls > 0 {
		t.Error("called after Close")
	}
}

// Changed waits for rest, but not for ever.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var calls []time.Duration
		w := &Watcher{stop: make(chan struct{}), cfg: Config{
			Files: []string{"/nowhere/list"}, Quiet: 100 * time.Millisecond, Most: time.Second, Poll: time.Hour,
			Changed: func() { calls = append(calls, time.Since(start)) },
		}}
		w.state = w.look()
		events, errs := make(chan fsnotify.Event), make(chan error)
		w.done.Go(func() { w.loop(events, errs) })
		happen := func() {
			events <- fsnotify.Event{Name: "/nowhere/list", Op: fsnotify.Write}
			synctest.Wait()
		}
		happen()
		time.Sleep(90 * time.Millisecond)
		happen()
		time.Sleep(time.Minute)
		for range 250 { // a storm of 2.5 seconds
			happen()
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		errs <- fsnotify.ErrEventOverflow
		time.Sleep(time.Minute)
		close(w.stop)
		synctest.Wait()
		storm := 90*time.Millisecond + time.Minute
		want := []time.Duration{
			190 * time.Millisecond,
			storm + time.Second, storm + 2*time.Second + 10*time.Millisecond, storm + 2590*time.Millisecond,
			storm + 2500*time.Millisecond + time.Minute + 100*time.Millisecond,
		}
		if len(calls) != len(want) {
			t.Fatalf("called at %v, want %v", calls, want)
		}
		for i := range want {
			if d := calls[i] - want[i]; d < -15*time.Millisecond || d > 15*time.Millisecond {
				t.Errorf("call %d at %v, want %v", i, calls[i], want[i])
			}
		}
	})
}
