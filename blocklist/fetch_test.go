package blocklist

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// site is a server with one list.
type site struct {
	mu       sync.Mutex
	body     string
	etag     string
	status   int
	header   http.Header // of the answers
	requests []http.Header
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Header.Clone())
	for name, values := range s.header {
		w.Header()[name] = values
	}
	switch {
	case s.status != 0:
		w.WriteHeader(s.status)
		return
	case s.etag != "":
		w.Header().Set("ETag", s.etag)
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		if r.Header.Get("If-None-Match") == s.etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	io.WriteString(w, s.body)
}

func (s *site) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *site) last() http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[len(s.requests)-1]
}

// fetched is a list from srv that asks only when it is told to.
func fetched(t *testing.T, srv *httptest.Server, change func(*ListConfig)) (*List, *events, error) {
	t.Helper()
	ev := newEvents()
	cfg := ListConfig{
		Name: "feed", File: filepath.Join(t.TempDir(), "feed"), Observe: ev.observe,
		Fetch: Fetch{URL: srv.URL, Client: srv.Client()},
	}
	if change != nil {
		change(&cfg)
	}
	l, err := NewList(cfg)
	if err == nil {
		t.Cleanup(func() { l.Close() })
	}
	return l, ev, err
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "n%d.example\n", i)
	}
	return b.String()
}

// poll makes l ask again, as its schedule would.
func (l *List) poll() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.fetch(context.Background(), false)
	return err
}

func TestFetch(t *testing.T) {
	s := &site{body: many(200), etag: `"1"`}
	srv := httptest.NewTLSServer(s)
	defer srv.Close()
	l, ev, err := fetched(t, srv, func(cfg *ListConfig) {
		cfg.Fetch.UserAgent = "mx.example.org"
		cfg.Fetch.Header = http.Header{"X-Key": {"secret"}}
	})
	if err != nil {
		t.Fatal(err)
	}
	if e := ev.next(t); e.Kind != ListLoaded || e.Entries != 200 || e.List != "feed" || !onList(l, "n7.example") {
		t.Errorf("%+v", e)
	}
	if h := s.last(); h.Get("User-Agent") != "mx.example.org" || h.Get("X-Key") != "secret" || h.Get("If-None-Match") != "" {
		t.Errorf("%v", h)
	}
	if copied, err := os.ReadFile(l.cfg.File); err != nil || string(copied) != many(200) {
		t.Errorf("the copy is %.40q, %v", copied, err)
	}

	first := l.Set()
	if err := l.poll(); err != nil {
		t.Error(err)
	}
	if e := ev.next(t); e.Kind != ListUnchanged || e.Entries != 200 || l.Set() != first {
		t.Errorf("%+v", e)
	}
	if h := s.last(); h.Get("If-None-Match") != `"1"` || h.Get("If-Modified-Since") != "Mon, 02 Jan 2006 15:04:05 GMT" {
		t.Errorf("%v", h)
	}

	s.set(func() { s.body, s.etag = many(150), `"2"` })
	if err := l.poll(); err != nil {
		t.Error(err)
	}
	if e := ev.next(t); e.Kind != ListLoaded || e.Entries != 150 {
		t.Errorf("%+v", e)
	}

	// What is not fit to be in force leaves list and copy as they are.
	for _, bad := range []struct {
		body   string
		status int
		want   string
	}{
		{many(50), 0, "has 50 entries where it had 150"},
		{"", 0, "is empty"},
		{"<html>\n<body>\n", 0, "is not of format"},
		{"", 500, "blocklist: feed: the server says 500"},
		{"", 304, "the server says 304"},
	} {
		s.set(func() { s.body, s.etag, s.status = bad.body, "", bad.status })
		if bad.status == 304 {
			l.copied = copyMeta{} // and nobody asked for that
		}
		if err := l.poll(); err == nil || !strings.Contains(err.Error(), bad.want) || strings.Count(err.Error(), "blocklist: ") != 1 {
			t.Errorf("%v, want %s", err, bad.want)
		}
		if e := ev.next(t); e.Kind != ListKept || e.Entries != 150 || e.Err == nil {
			t.Errorf("%+v", e)
		}
	}
	if copied, err := os.ReadFile(l.cfg.File); err != nil || string(copied) != many(150) {
		t.Errorf("the copy is %.40q, %v", copied, err)
	}
	if left, _ := filepath.Glob(l.cfg.File + ".*.tmp"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	// But who asks for it gets it.
	s.set(func() { s.body, s.status = many(50), 0 })
	if err := l.Reload(t.Context()); err != nil || l.Set().Len() != 50 {
		t.Errorf("%d entries, %v", l.Set().Len(), err)
	}
}

// The next start has the copy, and asks for what is newer.
func TestFetchCopy(t *testing.T) {
	s := &site{body: many(10), etag: `"1"`}
	srv := httptest.NewTLSServer(s)
	defer srv.Close()
	dir := t.TempDir()
	start := func() (*List, *events, error) {
		return fetched(t, srv, func(cfg *ListConfig) { cfg.File = filepath.Join(dir, "feed") })
	}
	l, _, err := start()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()

	s.set(func() { s.status = 503 })
	l, ev, err := start()
	if err != nil || !onList(l, "n7.example") {
		t.Fatalf("without the server: %v", err)
	}
	if e := ev.next(t); e.Kind != ListLoaded {
		t.Errorf("%+v", e)
	}
	l.Close()
	if n := len(s.requests); n != 1 {
		t.Errorf("%d requests, and an hour is not over", n)
	}
	if m := l.copied; m.ETag != `"1"` || m.SHA256 == "" || m.URL != srv.URL {
		t.Errorf("%+v", m)
	}

	// A copy that somebody changed is not what the server calls by that name.
	replace(t, filepath.Join(dir, "feed"), "other.example\n")
	s.set(func() { s.status = 0 })
	l, ev, err = start()
	if err != nil || !onList(l, "other.example") {
		t.Fatal(err)
	}
	ev.next(t)
	if e := ev.next(t); e.Kind != ListLoaded || e.Entries != 10 || s.last().Get("If-None-Match") != "" {
		t.Errorf("%+v", e)
	}
	l.Close()

	// A broken one is fetched again.
	replace(t, filepath.Join(dir, "feed"), "\x1f\x8b\x08")
	replace(t, filepath.Join(dir, "feed.meta"), "{")
	l, ev, err = start()
	if err != nil || !onList(l, "n7.example") {
		t.Fatal(err)
	}
	if first, second := ev.next(t), ev.next(t); first.Kind != ListKept || second.Kind != ListLoaded {
		t.Errorf("%+v, %+v", first, second)
	}
}

func TestFetchFails(t *testing.T) {
	stall := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/loop/", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path+"x", http.StatusFound) })
	mux.HandleFunc("/down", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
	})
	mux.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, many(1000)) })
	mux.HandleFunc("/short", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, "one.example\n")
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "one.example\n")
		w.(http.Flusher).Flush()
		select {
		case <-stall:
		case <-r.Context().Done():
		}
	})
	srv := httptest.NewTLSServer(mux)
	defer srv.Close()
	defer close(stall)
	for path, want := range map[string]string{
		"/loop/": "over 5 redirects",
		"/down":  `the URL of a redirect has scheme "http", which is not allowed`,
		"/big":   "is over 5000 octets",
		"/short": "unexpected EOF",
		"/slow":  "deadline exceeded",
		"/none":  "the server says 404",
	} {
		l, ev, err := fetched(t, srv, func(cfg *ListConfig) {
			cfg.Fetch.URL += path + "?key=secret"
			cfg.Fetch.MaxBytes = 5000
			if path == "/slow" {
				cfg.Fetch.Timeout = 200 * time.Millisecond
			}
		})
		if l != nil || err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
		if e := ev.next(t); e.Kind != ListKept || !errors.Is(err, e.Err) {
			t.Errorf("%s: %+v", path, e)
		}
	}
	for _, f := range []Fetch{
		{URL: "http://lists.example/"}, {URL: "file:///etc/passwd"}, {URL: "lists.example"}, {URL: "https://lists.example/%zz?key=secret"},
		{URL: "https://lists.example/", Every: -1},
	} {
		if _, err := NewList(ListConfig{File: "x", Fetch: f}); err == nil || strings.Contains(err.Error(), "secret") || !strings.HasPrefix(err.Error(), "blocklist: ListConfig.Fetch.") {
			t.Errorf("%s: %v", f.URL, err)
		}
	}
}

// A key goes to the host it is for.
func TestFetchRedirect(t *testing.T) {
	other := &site{body: "one.example\n"}
	elsewhere := httptest.NewTLSServer(other)
	defer elsewhere.Close()
	var first http.Header
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/again?key=secret", http.StatusFound)
			return
		}
		first = r.Header.Clone()
		http.Redirect(w, r, elsewhere.URL, http.StatusFound)
	}))
	defer srv.Close()
	_, _, err := fetched(t, srv, func(cfg *ListConfig) {
		cfg.Fetch.Header = http.Header{"x-key": {"secret"}}
	})
	if err != nil {
		t.Fatal(err)
	}
	if first.Get("X-Key") != "secret" {
		t.Errorf("at its own host: %v", first)
	}
	if h := other.last(); fmt.Sprint(h) != fmt.Sprint(http.Header{"Accept-Encoding": {"gzip"}, "User-Agent": {"smtpguard"}}) {
		t.Errorf("at another host: %v", h)
	}
}

// answers is a server in memory.
type answers func(*http.Request) (*http.Response, error)

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

// It asks at its hours, and less often where the server fails.
func TestFetchSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var asked []time.Duration // since the ask before
		last := time.Now()
		client := &http.Client{Transport: answers(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, time.Since(last))
			last = time.Now()
			status, header := 503, http.Header{}
			switch n := len(asked); {
			case n <= 3 || n > 10:
				status = 200
			case n == 10:
				header.Set("Retry-After", "7200")
			}
			return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader("one.example\n"))}, nil
		})}
		l, err := NewList(ListConfig{
			File:  filepath.Join(t.TempDir(), "feed"),
			Fetch: Fetch{URL: "https://lists.example/", Client: client, Every: 10 * time.Minute},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		time.Sleep(8 * time.Hour)
		l.Close()
		before := len(asked)
		time.Sleep(time.Hour)
		if len(asked) != before {
			t.Errorf("a closed list asks")
		}
		want := []time.Duration{0, 10, 10, 10 /* fails */, 1, 2, 4, 8, 10, 10 /* and says when to come */, 120, 10}
		for i := range want {
			want[i] *= time.Minute
			if i >= len(asked) || asked[i] < want[i]*9/10 || asked[i] > want[i]*11/10 {
				t.Fatalf("asked after %v, want about %v", asked, want[:i+1])
			}
		}
		if slices.Max(asked[len(want):]) > 11*time.Minute {
			t.Errorf("asked after %v at the end", asked[len(want):])
		}
	})
}

// A list that is away at first comes when it can.
func TestFetchOptional(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var there atomic.Bool
		client := &http.Client{Transport: answers(func(r *http.Request) (*http.Response, error) {
			if !there.Load() {
				return nil, errors.New("no route to host")
			}
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("one.example\n"))}, nil
		})}
		l, err := NewList(ListConfig{File: filepath.Join(t.TempDir(), "feed"), Optional: true, Fetch: Fetch{URL: "https://lists.example/", Client: client}})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		there.Store(true)
		time.Sleep(time.Minute * 3 / 2)
		synctest.Wait()
		if !onList(l, "one.example") {
			t.Error("did not come")
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, "-5": 0, "soon": 0, "99999999999999999999": 0, "2000000000": 24 * time.Hour,
		"Fri, 02 Jan 2026 03:14:05 GMT": 10 * time.Minute, "Fri, 02 Jan 2026 02:04:05 GMT": 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}
