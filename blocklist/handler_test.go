package blocklist_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/blocklist"
	"github.com/smtpguard/smtpguard/blocklist/storetest"
)

const token = "0123456789abcdef0123456789abcdef"

func TestHandler(t *testing.T) {
	var away atomic.Bool
	store := &storetest.Memory{Fail: func(string) error {
		if away.Load() {
			return errors.New("store away")
		}
		return nil
	}}
	d := dynamic(t, blocklist.DynamicConfig{Store: store, Entries: 2})
	if _, err := blocklist.Handler(d, token[:15]); err == nil {
		t.Error("took a short token")
	}
	if _, err := blocklist.Handler(nil, token); err == nil {
		t.Error("took no Dynamic")
	}
	h, err := blocklist.Handler(d, token)
	if err != nil {
		t.Fatal(err)
	}
	for i, tt := range []struct {
		method, target, body string
		code                 int
		want                 string // in the answer
	}{
		{"GET", "/entries", "", 200, "[]"},
		{"GET", "/changes", "", 200, "[]"},
		{"POST", "/entries", `{"kind":"addr","value":"192.0.2.7/24","word":"block","source":"ann","reason":"spam","ttl":60}`, 201,
			`"value":"192.0.2.0/24","word":"block","reason":"spam","source":"ann","added":"`},
		{"POST", "/entries", `{"kind":"domain","value":"Example.org","word":"allow","source":"ann"}`, 201, `"value":"example.org"`},
		{"POST", "/entries", `{"kind":"domain","value":"example.net","word":"allow","source":"ann"}`, 409, "no room"},
		{"POST", "/entries", `{"kind":"domain","value":"example.net","word":"allow"}`, 400, "has no Source"},
		{"POST", "/entries", `{"kind":"nothing"}`, 400, "no kind"},
		{"POST", "/entries", `{"kind":"addr","value":"192.0.2.1","word":"block","source":"ann","auto":true}`, 400, "not for the caller"},
		{"POST", "/entries", `{"kind":"addr","value":"192.0.2.1","word":"block","source":"ann","added":"2026-01-02T15:04:05Z"}`, 400, "not for the caller"},
		{"POST", "/entries", `{"kind":"addr","value":"192.0.2.1","word":"block","source":"ann","ttl":60,"expires":"2099-01-02T15:04:05Z"}`, 400, "ttl"},
		{"POST", "/entries", `{"kind":"addr","value":"192.0.2.1","word":"block","source":"ann","ttl":-1}`, 400, "ttl"},
		{"POST", "/entries", `{"kind":"addr","value":"192.0.2.1","word":"block","source":"ann","expires":"2099-01-02T15:04:05Z"}`, 400, "longer than MaxTTL"},
		{"POST", "/entries", `{"kind":"addr","value":"192.0.2.1","word":"block","source":"ann","expire":"2099-01-02T15:04:05Z"}`, 400, "unknown field"},
		{"POST", "/entries", `{"kind":"addr","value":"192.0.2.1","word":"block","source":"ann"} {}`, 400, "something after"},
		{"POST", "/entries", `{"reason":"` + strings.Repeat("x", 9000) + `"}`, 400, "too large"},
		{"POST", "/entries", `[]`, 400, "error"},
		{"DELETE", "/entries?kind=addr&value=192.0.2.0/24&by=bob&why=mistake", "", 200, "{}"},
		{"DELETE", "/entries?kind=addr&value=192.0.2.0/24&by=bob", "", 404, "no such entry"},
		{"DELETE", "/entries?kind=domain&value=example.org", "", 400, "who removes it"},
		{"DELETE", "/entries?kind=x&value=example.org&by=bob", "", 400, "no kind"},
		{"GET", "/changes?n=1", "", 200, `[{"seq":3,"time":"`},
		{"GET", "/changes?n=x", "", 400, "positive"},
		{"GET", "/changes?n=-1", "", 400, "positive"},
		{"PUT", "/entries", "", 405, ""},
		{"GET", "/", "", 404, ""},
	} {
		r := httptest.NewRequest(tt.method, tt.target, strings.NewReader(tt.body))
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%d: %s %s: %d %s, want %d %s", i, tt.method, tt.target, w.Code, w.Body, tt.code, tt.want)
		}
	}
	away.Store(true)
	for _, req := range []*http.Request{
		httptest.NewRequest("DELETE", "/entries?kind=domain&value=example.org&by=bob", nil),
		httptest.NewRequest("POST", "/entries", strings.NewReader(`{"kind":"addr","value":"192.0.2.1","word":"block","source":"ann"}`)),
	} {
		req.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != 202 {
			t.Errorf("store away: %d %s", w.Code, w.Body)
		}
	}
	if asks(d, "192.0.2.1") == "-" {
		t.Error("not in force")
	}
}

func TestHandlerToken(t *testing.T) {
	d := dynamic(t, blocklist.DynamicConfig{})
	h, err := blocklist.Handler(d, token)
	if err != nil {
		t.Fatal(err)
	}
	for _, auth := range []string{"", "Bearer", "Bearer ", "Bearer " + token[:31], "Bearer " + token + "x", token, "Basic " + token} {
		r := httptest.NewRequest("POST", "/entries", strings.NewReader(`{"kind":"addr","value":"192.0.2.1","word":"block","source":"ann"}`))
		if auth != "" {
			r.Header.Set("Authorization", auth)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 401 || d.Len() != 0 || strings.Contains(w.Body.String(), token[:8]) {
			t.Errorf("%q: %d %s", auth, w.Code, w.Body)
		}
	}
}

// The JSON of a change is stable.
func TestJSON(t *testing.T) {
	at := time.Date(2026, 1, 2, 15, 4, 5, 6, time.UTC)
	c := blocklist.Change{Seq: 7, Time: at, Op: blocklist.Added, By: "ann", Why: "spam", Item: blocklist.Item{
		Entry: blocklist.Entry{Kind: blocklist.Addr, Value: "192.0.2.1", Word: blocklist.Block, Reason: "spam", Source: "ann", Added: at, Expires: at.Add(time.Hour)}, Auto: true}}
	text, err := json.Marshal(c)
	want := `{"seq":7,"time":"2026-01-02T15:04:05.000000006Z","op":"add","entry":{"kind":"addr","value":"192.0.2.1","word":"block","reason":"spam","source":"ann",` +
		`"added":"2026-01-02T15:04:05.000000006Z","expires":"2026-01-02T16:04:05.000000006Z","auto":true},"by":"ann","why":"spam"}`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v\nwant %s", text, err, want)
	}
	var back blocklist.Change
	if err := json.Unmarshal(text, &back); err != nil || back != c {
		t.Errorf("%+v, %v\nwant %+v", back, err, c)
	}
}

// FuzzHandler: whatever is sent, what is added is well-formed, and nothing is
// served without the token.
func FuzzHandler(f *testing.F) {
	f.Add("POST", "", `{"kind":"addr","value":"192.0.2.1","word":"block","source":"ann","ttl":60}`)
	f.Add("POST", "", `{"kind":"mailbox","value":"ann@example.org","word":"allow","source":"ann"}`)
	f.Add("DELETE", "kind=addr&value=192.0.2.1&by=ann", "")
	f.Fuzz(func(t *testing.T, method, query, body string) {
		d, err := blocklist.NewDynamic(blocklist.DynamicConfig{})
		if err != nil {
			t.Fatal(err)
		}
		h, err := blocklist.Handler(d, token)
		if err != nil {
			t.Fatal(err)
		}
		r := &http.Request{Method: method, URL: &url.URL{Path: "/entries", RawQuery: query}, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 401 || d.Len() != 0 {
			t.Fatalf("without a token: %d", w.Code)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Body = io.NopCloser(strings.NewReader(body))
		w = httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if (w.Code == 201) != (d.Len() == 1) {
			t.Errorf("%d, and %d entries", w.Code, d.Len())
		}
		for _, it := range d.List() {
			again, ok := d.Get(it.Kind, it.Value)
			if !ok || again != it || it.Auto || it.Source == "" || it.Expires.IsZero() {
				t.Errorf("%+v, %v", it, ok)
			}
		}
	})
}
