package blocklist

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// publisher is a server of one list, in memory.
type publisher struct {
	mu       sync.Mutex
	body     string
	etag     string
	status   int
	redirect string
	asked    []string // If-None-Match of each request, "-" without
	at       []time.Time
}

func (p *publisher) set(body, etag string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.body, p.etag = body, etag
}

func (p *publisher) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

// RoundTrip answers without a network, so that it works in a bubble of time.
func (p *publisher) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = append(p.at, time.Now())
	match := r.Header.Get("If-None-Match")
	p.asked = append(p.asked, match+"-")
	switch {
	case p.status < 0:
		return nil, &net.OpError{Op: "dial", Err: errors.New("away")}
	case p.status > 0:
		w.WriteHeader(p.status)
	case p.redirect != "":
		http.Redirect(w, r, p.redirect, http.StatusFound)
	case match != "" && match == p.etag:
		w.WriteHeader(http.StatusNotModified)
	default:
		w.Header().Set("ETag", p.etag)
		_, _ = w.WriteString(p.body)
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

func (p *publisher) config(path string, h *heard) ListConfig {
	return ListConfig{
		Path: path, Observe: h.observe,
		Fetch: &FetchConfig{URL: "https://lists.example/own", Transport: p},
	}
}

// A list follows what is published, and nothing that is broken.
func TestFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "own")
		p := &publisher{body: "192.0.2.1\n192.0.2.2\n192.0.2.3\n", etag: `"one"`}
		var h heard
		l, err := NewList(p.config(path, &h))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if !lists(l, "192.0.2.1") {
			t.Fatal("the first version is not in force")
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != p.body {
			t.Errorf("kept %q, %v", b, err)
		}
		time.Sleep(90 * time.Minute) // not modified since
		p.set("192.0.2.1\n192.0.2.2\n192.0.2.9\n", `"two"`)
		time.Sleep(90 * time.Minute)
		if !lists(l, "192.0.2.9") {
			t.Error("the second version is not in force")
		}
		// What is broken, gone or absurdly small is not taken.
		p.set("<html>oops</html>\n", `"three"`)
		time.Sleep(90 * time.Minute)
		p.set("192.0.2.1\n", `"four"`)
		time.Sleep(90 * time.Minute)
		if !lists(l, "192.0.2.9") {
			t.Error("a broken version was taken")
		}
		if b, _ := os.ReadFile(path); !strings.Contains(string(b), "192.0.2.9") {
			t.Errorf("a broken version was kept: %q", b)
		}
		p.set("192.0.2.1\n192.0.2.2\n192.0.2.7\n", `"five"`)
		time.Sleep(90 * time.Minute)
		if !lists(l, "192.0.2.7") {
			t.Error("the version after the broken ones is not in force")
		}
		if asked := p.requests(); asked[0] != "-" || asked[1] != `"one"-` {
			t.Errorf("asked with %q", asked)
		}
	})
}

// Failures are tried again soon, then ever more rarely, but no more rarely than
// Every.
func TestFetchBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{body: "192.0.2.1\n", status: -1}
		var h heard
		cfg := p.config(filepath.Join(t.TempDir(), "own"), &h)
		if _, err := NewList(cfg); err == nil {
			t.Error("a list without any version began")
		}
		cfg.Optional = true
		l, err := NewList(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		time.Sleep(24 * time.Hour)
		p.mu.Lock()
		at := p.at[2:] // behind the two first tries
		p.status = 0
		p.mu.Unlock()
		if n := len(at); n < 24 || n > 40 {
			t.Errorf("%d tries in a day", n)
		}
		if gap := at[2].Sub(at[1]); gap > 3*time.Minute {
			t.Errorf("the second try came %v after the first", gap)
		}
		time.Sleep(2 * time.Hour)
		if !lists(l, "192.0.2.1") {
			t.Error("the list is not there after the server has come back")
		}
	})
}

// The last good copy serves a start without the publisher.
func TestFetchStartsFromCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own")
	writeList(t, path, "192.0.2.1\n")
	p := &publisher{status: -1}
	var h heard
	l, err := NewList(p.config(path, &h))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if !lists(l, "192.0.2.1") {
		t.Error("the copy is not in force")
	}
}

func TestFetchBounds(t *testing.T) {
	for _, tt := range []struct {
		name string
		p    *publisher
		edit func(*FetchConfig)
		want string
	}{
		{"too large", &publisher{body: strings.Repeat("192.0.2.1\n", 100)}, func(c *FetchConfig) { c.MaxOctets = 100 }, "over 100 octets"},
		{"an error", &publisher{status: 503}, nil, "503"},
		{"not modified, of nothing", &publisher{status: 304}, nil, "304"},
		{"downgraded", &publisher{redirect: "http://lists.example/own"}, nil, "https"},
		{"sent around", &publisher{redirect: "https://lists.example/own"}, nil, "redirects"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			var h heard
			cfg := tt.p.config(filepath.Join(dir, "own"), &h)
			if tt.edit != nil {
				tt.edit(cfg.Fetch)
			}
			_, err := NewList(cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// Over a real server, with a real time-out.
func TestFetchTimeout(t *testing.T) {
	stop := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-stop
	}))
	defer srv.Close()
	defer close(stop)
	_, err := NewList(ListConfig{
		Path:  filepath.Join(t.TempDir(), "own"),
		Fetch: &FetchConfig{URL: srv.URL, Plain: true, Timeout: 50 * time.Millisecond},
	})
	if err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("error %v", err)
	}
}
