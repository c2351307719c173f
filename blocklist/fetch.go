package blocklist

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// FetchConfig says how a list is fetched. The zero value of a field means its
// default.
type FetchConfig struct {
	URL   string // needed; https, or http where Plain says so
	Plain bool   // allows http: whoever is on the way can then write the list

	Every     time.Duration // 1 h, a tenth of it earlier or later; not under a minute
	Timeout   time.Duration // of one fetch; 1 min
	MaxOctets int64         // of what is sent, as it is sent; 256 MiB
	UserAgent string        // "smtpguard"; many publishers want to know whom to ask

	// Transport carries the requests out; nil is [http.DefaultTransport].
	Transport http.RoundTripper
}

// minRetry is how soon a fetch that failed is tried again; each further failure
// doubles it, up to Every.
const minRetry = time.Minute

// maxRedirects bounds how often a server may send us elsewhere.
const maxRedirects = 5

func (cfg FetchConfig) filled() (FetchConfig, error) {
	var errs []error
	bad := func(field string, v any, why string) {
		errs = append(errs, fmt.Errorf("%s is %v: %s", field, v, why))
	}
	if u, err := url.Parse(cfg.URL); err != nil || u.Host == "" {
		bad("URL", fmt.Sprintf("%q", cfg.URL), "is no address of a file")
	} else if err := cfg.allowed(u); err != nil {
		bad("URL", fmt.Sprintf("%q", cfg.URL), err.Error())
	}
	if cfg.Every == 0 {
		cfg.Every = time.Hour
	}
	if cfg.Every < time.Minute {
		bad("Every", cfg.Every, "must not be under 1m")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Minute
	}
	if cfg.Timeout < 0 {
		bad("Timeout", cfg.Timeout, "must not be negative")
	}
	if cfg.MaxOctets == 0 {
		cfg.MaxOctets = 256 << 20
	}
	if cfg.MaxOctets < 0 {
		bad("MaxOctets", cfg.MaxOctets, "must not be negative")
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "smtpguard"
	}
	return cfg, errors.Join(errs...)
}

// allowed says why u must not be asked.
func (cfg *FetchConfig) allowed(u *url.URL) error {
	if u.Scheme == "https" || u.Scheme == "http" && cfg.Plain {
		return nil
	}
	return errors.New("must begin with https: (http: where Plain allows it)")
}

func (cfg *FetchConfig) client() *http.Client {
	return &http.Client{
		Transport: cfg.Transport,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("over %d redirects", maxRedirects)
			}
			return cfg.allowed(r.URL)
		},
	}
}

// meta is what a server said of the version that we have (RFC 9110, sections
// 8.8.2 and 8.8.3). It lies beside the copy.
type meta struct {
	URL          string `json:"url"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
}

func (l *List) metaPath() string { return l.cfg.Path + ".meta" }

// known is the meta of the copy in force, the zero meta when there is none.
func (l *List) known() *meta {
	var m meta
	b, err := os.ReadFile(l.metaPath())
	if err != nil || len(b) > 64<<10 || json.Unmarshal(b, &m) != nil || m.URL != l.cfg.Fetch.URL || l.Set().Len() == 0 {
		return new(meta)
	}
	return &m
}

// keepFetching fetches on schedule until ctx ends.
func (l *List) keepFetching(ctx context.Context) {
	defer close(l.done)
	known := l.known()
	wait := time.Duration(0)
	if info, err := os.Stat(l.cfg.Path); err == nil {
		wait = max(l.cfg.Fetch.Every-time.Since(info.ModTime()), 0)
	}
	retry := minRetry
	for {
		t := time.NewTimer(spread(min(wait, l.cfg.Fetch.Every)))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
		if err := l.fetch(ctx, known); err != nil {
			wait, retry = min(retry, l.cfg.Fetch.Every), min(2*retry, l.cfg.Fetch.Every)
		} else {
			wait, retry = l.cfg.Fetch.Every, minRetry
		}
	}
}

// spread is d, a tenth of it earlier or later, so that not all the world asks at
// once.
func spread(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// fetch asks for a version newer than known, puts it in force and keeps it.
// Observe hears of every error.
func (l *List) fetch(ctx context.Context, known *meta) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Fetch.Timeout)
	defer cancel()
	tmp, m, err := l.download(ctx, known)
	if err != nil {
		return l.take(nil, Report{}, fmt.Errorf("fetching: %w", err))
	}
	if tmp == "" { // not modified
		now := time.Now()
		_ = os.Chtimes(l.cfg.Path, now, now) // when it was last asked for, for the next start
		return nil
	}
	defer os.Remove(tmp)
	set, report, err := l.read(tmp)
	if err := l.take(set, report, err); err != nil {
		return err
	}
	*known = m
	if err := l.keep(tmp, m); err != nil { // in force all the same
		l.cfg.Observe(ListEvent{List: l.cfg.Name, Loaded: true, Entries: set.Len(), Err: fmt.Errorf("blocklist: list %s: keeping a copy: %w", l.cfg.Name, err)})
	}
	return nil
}

// download brings a newer version into a file beside the copy; its name is ""
// where there is none.
func (l *List) download(ctx context.Context, known *meta) (tmp string, m meta, err error) {
	cfg := l.cfg.Fetch
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, cfg.URL, nil)
	if err != nil {
		return "", m, err
	}
	req.Header.Set("User-Agent", cfg.UserAgent)
	if known.ETag != "" {
		req.Header.Set("If-None-Match", known.ETag)
	} else if known.LastModified != "" {
		req.Header.Set("If-Modified-Since", known.LastModified)
	}
	resp, err := cfg.client().Do(req)
	if err != nil {
		return "", m, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && *known != (meta{}):
		return "", m, nil
	case resp.StatusCode != http.StatusOK:
		return "", m, fmt.Errorf("%s answers %d", req.URL.Redacted(), resp.StatusCode)
	}
	f, err := os.CreateTemp(filepath.Dir(l.cfg.Path), "."+filepath.Base(l.cfg.Path)+"-*")
	if err != nil {
		return "", m, err
	}
	n, err := io.Copy(f, io.LimitReader(resp.Body, cfg.MaxOctets+1))
	if err == nil && n > cfg.MaxOctets {
		err = fmt.Errorf("over %d octets", cfg.MaxOctets)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		os.Remove(f.Name())
		return "", m, err
	}
	return f.Name(), meta{cfg.URL, header(resp, "ETag"), header(resp, "Last-Modified")}, nil
}

// header is a field that we will send back: bounded.
func header(resp *http.Response, name string) string {
	if v := resp.Header.Get(name); len(v) <= 1024 {
		return v
	}
	return ""
}

// keep makes tmp the copy. The meta comes last: without it all is fetched anew.
func (l *List) keep(tmp string, m meta) error {
	if err := os.Remove(l.metaPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(tmp, l.cfg.Path); err != nil {
		return err
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.metaPath()+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(l.metaPath()+".new", l.metaPath())
}
