package blocklist

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// events keeps what a list reports.
type events struct {
	mu   sync.Mutex
	all  []ListEvent
	more chan struct{}
}

func newEvents() *events { return &events{more: make(chan struct{}, 10000)} }

func (e *events) observe(ev ListEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
	e.more <- struct{}{}
}

// next waits for the next event.
func (e *events) next(t *testing.T) ListEvent {
	t.Helper()
	select {
	case <-e.more:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing happens")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.all[len(e.all)-1-len(e.more)]
}

func replace(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

func onList(l Source, name string) bool {
	_, ok := l.Find(Query{Kind: Domain, Value: name})
	return ok
}

func TestListFollowsItsFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "ours.txt")
	replace(t, name, "one.example # first\nexam ple\n")
	ev := newEvents()
	l, err := NewList(ListConfig{File: name, Observe: ev.observe})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m, ok := l.Find(Query{Kind: Domain, Value: "one.example"})
	if want := (Entry{Kind: Domain, Value: "one.example", Word: Block, Reason: "first", Source: "ours.txt"}); !ok || m.Entry != want {
		t.Errorf("%+v, %v", m, ok)
	}
	if e := ev.next(t); e.Kind != ListLoaded || e.List != "ours.txt" || e.Entries != 1 || e.Report.Bad != 1 || e.Err != nil ||
		e.Report.Lines[0].Error() != "blocklist: "+name+`:2: "ple" is no option` {
		t.Errorf("%+v", e)
	}

	replace(t, name, "two.example\n")
	if e := ev.next(t); e.Kind != ListLoaded || onList(l, "one.example") || !onList(l, "two.example") {
		t.Errorf("%+v", e)
	}
	before := l.Set()
	for what, text := range map[string]string{
		"<html>\n<body>\n": "is not of format lines",
		"":                 "is empty",
		"\x1f\x8b\x08":     "unexpected EOF",
	} {
		replace(t, name, what)
		if e := ev.next(t); e.Kind != ListKept || e.Entries != 1 || e.Err == nil || !strings.Contains(e.Err.Error(), text) || strings.Count(e.Err.Error(), "blocklist: ") != 1 {
			t.Errorf("%q: %+v", what, e)
		}
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if e := ev.next(t); e.Kind != ListKept || !errors.Is(e.Err, os.ErrNotExist) {
		t.Errorf("%+v", e)
	}
	if l.Set() != before {
		t.Error("what could not be read took the place of what could")
	}
	replace(t, name, "# nobody any more\n")
	if e := ev.next(t); e.Kind != ListLoaded || onList(l, "two.example") {
		t.Errorf("%+v", e)
	}
	l.Close()
	replace(t, name, "three.example\n")
	time.Sleep(200 * time.Millisecond)
	if onList(l, "three.example") {
		t.Error("goes on after Close")
	}
}

func TestListFirstLoad(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "list")
	for _, tt := range []struct {
		cfg  ListConfig
		want string
	}{
		{ListConfig{}, "blocklist: ListConfig.File must be set: a list follows a file, or keeps its copy in one"},
		{ListConfig{File: name, MinShare: 2, Poll: -1, Parse: ParseConfig{Format: "x"}},
			"blocklist: ListConfig.MinShare must not be over 1\nblocklist: ListConfig.Poll must not be negative\nblocklist: ParseConfig.Format \"x\" is not known"},
		{ListConfig{File: name}, "blocklist: list: stat " + name + ": no such file or directory"},
		{ListConfig{File: dir, Name: "ours"}, "blocklist: ours: " + dir + " is no regular file"},
	} {
		if l, err := NewList(tt.cfg); err == nil || err.Error() != tt.want || l != nil {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
	ev := newEvents()
	l, err := NewList(ListConfig{File: name, Optional: true, Observe: ev.observe})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if e := ev.next(t); e.Kind != ListKept || onList(l, "one.example") {
		t.Errorf("%+v", e)
	}
	replace(t, name, "one.example")
	if e := ev.next(t); e.Kind != ListLoaded || !onList(l, "one.example") {
		t.Errorf("%+v", e)
	}
}

func TestZeroList(t *testing.T) {
	var l List
	if onList(&l, "one.example") || l.Set().Len() != 0 || l.Reload(t.Context()) == nil || l.Close() != nil {
		t.Error("is not empty")
	}
}

func TestListShrinks(t *testing.T) {
	names := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "n%d.example\n", i)
		}
		return b.String()
	}
	name := filepath.Join(t.TempDir(), "list")
	replace(t, name, names(200))
	ev := newEvents()
	l, err := NewList(ListConfig{File: name, MinShare: 0.5, Observe: ev.observe})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ev.next(t)
	replace(t, name, names(99))
	if e := ev.next(t); e.Kind != ListKept || e.Entries != 200 || e.Err.Error() != "blocklist: "+name+": has 99 entries where it had 200" {
		t.Errorf("%+v", e)
	}
	if err := l.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := ev.next(t); e.Kind != ListLoaded || e.Entries != 99 {
		t.Errorf("%+v", e)
	}
	replace(t, name, names(1)) // few may go
	if e := ev.next(t); e.Kind != ListLoaded || e.Entries != 1 {
		t.Errorf("%+v", e)
	}
}

// While a file is replaced, and broken, a hundred times a second, whoever looks
// up sees one whole version or another.
func TestListUnderAStorm(t *testing.T) {
	name := filepath.Join(t.TempDir(), "list")
	version := func(n int) string {
		var b strings.Builder
		for i := range 200 {
			fmt.Fprintf(&b, "10.0.%d.0/24 # %d\n", i, n)
		}
		return b.String()
	}
	replace(t, name, version(0))
	var loaded, kept atomic.Int32
	l, err := NewList(ListConfig{File: name, Observe: func(e ListEvent) {
		if e.Kind == ListLoaded {
			loaded.Add(1)
		} else {
			kept.Add(1)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for newest := ""; ; {
				select {
				case <-stop:
					return
				default:
				}
				s := l.Set()
				_, first, _ := s.FindAddr(netip.MustParseAddr("10.0.0.1"))
				_, last, ok := s.FindAddr(netip.MustParseAddr("10.0.199.1"))
				if !ok || first.Reason != last.Reason || s.Len() != 200 || len(first.Reason) < len(newest) {
					t.Errorf("%+v and %+v in one version, after %s", first, last, newest)
					return
				}
				newest = first.Reason
				time.Sleep(50 * time.Microsecond)
			}
		})
	}
	const writes = 200
	for i := range writes {
		text := version(i + 1)
		if i%3 == 0 && i < writes-1 {
			text = text[:len(text)/2] + "\x00\n<html>\n" + strings.Repeat("<p>\n", 200)
		}
		replace(t, name, text)
		time.Sleep(8 * time.Millisecond)
	}
	last := fmt.Sprint(writes)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, e, _ := l.Set().FindAddr(netip.MustParseAddr("10.0.7.7")); e.Reason == last {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the last version never came into force")
		}
	}
	close(stop)
	readers.Wait()
	if loaded.Load() < 2 || loaded.Load() > writes {
		t.Errorf("loaded %d times, kept %d times", loaded.Load(), kept.Load())
	}
}

// Who writes to a file in place is not read halfway for long: the last version
// comes into force.
func TestListWrittenInPlace(t *testing.T) {
	name := filepath.Join(t.TempDir(), "list")
	replace(t, name, "one.example\n")
	ev := newEvents()
	l, err := NewList(ListConfig{File: name, Observe: ev.observe})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range 50 {
		fmt.Fprintf(f, "n%d.example\n", i)
		time.Sleep(2 * time.Millisecond)
	}
	for deadline := time.Now().Add(30 * time.Second); !onList(l, "n49.example"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the last version never came into force")
		}
	}
}
