package blocklist

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// heard are the events of a list.
type heard struct {
	mu     sync.Mutex
	events []ListEvent
}

func (h *heard) observe(ev ListEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, ev)
}

func (h *heard) last() (n int, ev ListEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.events) == 0 {
		return 0, ev
	}
	return len(h.events), h.events[len(h.events)-1]
}

// writeList replaces a file as one should: by rename.
func writeList(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func lists(s Source, addr string) bool {
	m, ok := s.Find(Query{Kind: Addr, Addr: netip.MustParseAddr(addr)})
	return ok && m.Entry.Word == Block
}

func TestListFollowsItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own.list")
	writeList(t, path, "192.0.2.1 # one\n192.0.2.2\nno such thing\n")
	var h heard
	l, err := NewList(ListConfig{Path: path, Observe: h.observe})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m, ok := l.Find(Query{Kind: Addr, Addr: netip.MustParseAddr("192.0.2.1")})
	if !ok || m.Entry.Source != "own.list" || m.Entry.Reason != "one" {
		t.Errorf("found %+v, %v", m, ok)
	}
	if _, ev := h.last(); !ev.Loaded || ev.Entries != 2 || ev.Report.Bad != 1 || ev.Report.Problems[0].Line != 3 {
		t.Errorf("event %+v", ev)
	}
	writeList(t, path, "192.0.2.3\n192.0.2.4\n")
	eventually(t, "the new version", func() bool { return lists(l, "192.0.2.3") && !lists(l, "192.0.2.1") })

	// What is broken leaves the version before in force, and is told.
	for _, tt := range []struct{ text, why string }{
		{"", "Shrink"},
		{"junk junk\n", "no line can be used"},
		{"\x1f\x8b\x08 no gzip", "unexpected EOF"},
	} {
		n, _ := h.last()
		writeList(t, path, tt.text)
		eventually(t, "word of "+tt.why, func() bool { now, _ := h.last(); return now > n })
		if _, ev := h.last(); ev.Loaded || ev.Err == nil || !strings.Contains(ev.Err.Error(), tt.why) || ev.Entries != 2 {
			t.Errorf("%q: %+v", tt.text, ev)
		}
		if !lists(l, "192.0.2.3") {
			t.Errorf("%q: the old version is gone", tt.text)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := l.Reload(); err == nil || !lists(l, "192.0.2.3") {
		t.Errorf("without the file: %v", err)
	}
}

func TestNewListFails(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		cfg  ListConfig
		want string
	}{
		{ListConfig{}, "Path"},
		{ListConfig{Path: filepath.Join(dir, "missing")}, "no such file"},
		{ListConfig{Path: dir}, "no regular file"},
		{ListConfig{Path: "x", Shrink: 2}, "Shrink"},
		{ListConfig{Path: "x", Poll: -1}, "Poll"},
		{ListConfig{Path: "x", Parse: ParseConfig{Format: "xml"}}, "Format"},
		{ListConfig{Path: "x", Parse: ParseConfig{Format: DROP, Kind: Domain}}, "Kind"},
		{ListConfig{Path: "x", Fetch: &FetchConfig{URL: "http://lists.example/x"}}, "https"},
		{ListConfig{Path: "x", Fetch: &FetchConfig{URL: "https://lists.example/x", Every: time.Second}}, "Every"},
	} {
		_, err := NewList(tt.cfg)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.cfg, err, tt.want)
		}
	}
	l, err := NewList(ListConfig{Path: filepath.Join(dir, "later"), Optional: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	writeList(t, filepath.Join(dir, "later"), "192.0.2.1")
	eventually(t, "the first version", func() bool { return lists(l, "192.0.2.1") })
}

// A storm of new versions is never seen in part: each lists either all of the
// one network's addresses or all of the other's.
func TestReloadStorm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "storm")
	version := func(n int) string {
		var b strings.Builder
		for i := range 200 {
			fmt.Fprintf(&b, "10.%d.0.%d # v%d\n", n%2, i, n)
		}
		return b.String()
	}
	writeList(t, path, version(0))
	l, err := NewList(ListConfig{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				set := l.Set()
				reason := ""
				for i := range 200 {
					for net := range 2 {
						_, e, ok := set.FindAddr(netip.AddrFrom4([4]byte{10, byte(net), 0, byte(i)}))
						if !ok {
							continue
						}
						if reason == "" {
							reason = e.Reason
						}
						if e.Reason != reason {
							t.Errorf("one version says %q and %q", reason, e.Reason)
							return
						}
					}
				}
				if reason == "" {
					t.Error("a version lists nothing")
					return
				}
			}
		})
	}
	const versions = 200
	for n := range versions {
		if n%2 == 0 {
			writeList(t, path, version(n))
		} else if err := os.WriteFile(path, []byte(version(n)), 0o600); err != nil { // in place, half-written for a moment
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	want := fmt.Sprintf("v%d", versions-1)
	eventually(t, "the last version", func() bool {
		_, e, _ := l.Set().FindAddr(netip.AddrFrom4([4]byte{10, (versions - 1) % 2, 0, 7}))
		return e.Reason == want
	})
	close(stop)
	readers.Wait()
}
