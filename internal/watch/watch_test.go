package watch

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWatch(t *testing.T) {
	for _, tt := range []struct {
		name   string
		poll   time.Duration
		events bool
	}{{"events", time.Hour, true}, {"polling", 10 * time.Millisecond, false}} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "list")
			var calls atomic.Int32
			w, err := New(file, tt.poll, func() { calls.Add(1) })
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if tt.events && w.events == nil {
				t.Skip("this system gives no events")
			}
			if !tt.events && w.events != nil {
				if err := w.events.Remove(dir); err != nil {
					t.Fatal(err)
				}
			}
			next := func(what string, change func()) {
				t.Helper()
				before := calls.Load()
				change()
				waitFor(t, what, func() bool { return calls.Load() > before })
			}
			next("the file to appear", func() { write(t, file, "a") })
			next("a write", func() { write(t, file, "ab") })
			next("a rename over it", func() {
				write(t, file+".new", "cd")
				if err := os.Rename(file+".new", file); err != nil {
					t.Fatal(err)
				}
			})
			other := filepath.Join(dir, "other")
			write(t, other, "xyz")
			if err := os.Symlink(other, file+".link"); err != nil {
				t.Fatal(err)
			}
			next("a link", func() {
				if err := os.Rename(file+".link", file); err != nil {
					t.Fatal(err)
				}
			})
			next("what a link leads to", func() { write(t, other, "longer") })
		})
	}
}

// A storm of changes is seen while it lasts, and a closed watcher calls nobody.
func TestStorm(t *testing.T) {
	file := filepath.Join(t.TempDir(), "list")
	var calls atomic.Int32
	w, err := New(file, time.Second, func() { calls.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	waitFor(t, "two calls amid the storm", func() bool {
		text += "x"
		write(t, file, text)
		return calls.Load() >= 2
	})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	before := calls.Load()
	write(t, file, "after")
	time.Sleep(3 * settle)
	if calls.Load() != before {
		t.Error("called after Close")
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestNewFails(t *testing.T) {
	if _, err := New(filepath.Join(t.TempDir(), "missing", "list"), 0, func() {}); err == nil {
		t.Error("a folder that is not there was watched")
	}
	if _, err := New(filepath.Join(t.TempDir(), "list"), -1, func() {}); err == nil {
		t.Error("a negative poll was taken")
	}
}
