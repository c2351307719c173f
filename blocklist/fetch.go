package blocklist

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Fetch says where on the web a list is. The zero value of a field means its
// default.
type Fetch struct {
	URL       string        // https, or with AllowHTTP http
	Every     time.Duration // how often to ask for another version, less or more a tenth; 1 hour
	Retry     time.Duration // after the first failure, twice as long after each further one, up to Every; 1 minute
	Timeout   time.Duration // for one version to be fetched; 1 minute
	MaxBytes  int64         // of one version, as received; 64 MiB
	AllowHTTP bool          // whoever is on the way may then write the list
	UserAgent string        // "smtpguard"
	Header    http.Header   // sent along, to the URL's own host only: a key, say
	Client    *http.Client  // for proxies and certificates; its CheckRedirect and Timeout do not count
}

const (
	maxRedirects  = 5
	maxRetryAfter = 24 * time.Hour
)

func (f *Fetch) check() error {
	var errs []error
	if u, err := url.Parse(f.URL); err != nil || u.Host == "" {
		errs = append(errs, errors.New("blocklist: ListConfig.Fetch.URL is no URL")) // which may have a key in it
	} else if err := f.allowed(u); err != nil {
		errs = append(errs, fmt.Errorf("blocklist: ListConfig.Fetch.URL %w", err))
	}
	if f.Every < 0 || f.Retry < 0 || f.Timeout < 0 || f.MaxBytes < 0 {
		errs = append(errs, errors.New("blocklist: ListConfig.Fetch.Every, Retry, Timeout and MaxBytes must not be negative"))
	}
	return errors.Join(errs...)
}

// allowed reports why a URL must not be fetched.
func (f *Fetch) allowed(u *url.URL) error {
	if u.Scheme != "https" && (u.Scheme != "http" || !f.AllowHTTP) {
		return fmt.Errorf("has scheme %.20q, which is not allowed", u.Scheme)
	}
	return nil
}

// defaults fills in what f leaves open.
func (f *Fetch) defaults() {
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{{&f.Every, time.Hour}, {&f.Retry, time.Minute}, {&f.Timeout, time.Minute}} {
		if *d.value == 0 {
			*d.value = d.fallback
		}
	}
	if f.MaxBytes == 0 {
		f.MaxBytes = 64 << 20
	}
	if f.UserAgent == "" {
		f.UserAgent = "smtpguard"
	}
	f.Header = f.Header.Clone()
	client := http.Client{}
	if f.Client != nil {
		client = *f.Client
	}
	client.Timeout = 0 // the request's context has one
	client.CheckRedirect = f.redirect
	f.Client = &client
}

// redirect judges where a server sends us.
func (f *Fetch) redirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("over %d redirects", maxRedirects)
	}
	if err := f.allowed(req.URL); err != nil {
		return fmt.Errorf("the URL of a redirect %w", err)
	}
	req.Header.Del("Referer")
	if req.URL.Host != via[0].URL.Host {
		for name := range f.Header {
			req.Header.Del(name)
		}
	}
	return nil
}

// startFetching puts the copy in force, or fetches the list where there is
// none, and fetches it from then on.
func (l *List) startFetching(ctx context.Context) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cfg.Fetch.defaults()
	var wait time.Duration
	start := time.Now()
	v, copyErr := l.read(l.cfg.File)
	if copyErr == nil {
		l.settle(v, nil, start)
		if meta, ok := readMeta(l.cfg.File); ok && meta.SHA256 == v.sum && meta.URL == l.cfg.Fetch.URL {
			l.copied = meta
			wait = min(time.Until(meta.Checked.Add(l.cfg.Fetch.Every)), l.cfg.Fetch.Every)
		}
	} else {
		if !errors.Is(copyErr, os.ErrNotExist) {
			l.settle(v, copyErr, start)
		}
		var after time.Duration
		wait = l.cfg.Fetch.Every
		if after, err = l.fetch(ctx, false); err != nil {
			wait = max(after, l.cfg.Fetch.Retry)
		}
	}
	if err == nil || l.cfg.Optional {
		l.done.Go(func() { l.keepFetching(ctx, wait, err != nil) })
	}
	return err
}

// keepFetching fetches the list after wait, and then again and again.
func (l *List) keepFetching(ctx context.Context, wait time.Duration, failed bool) {
	f := &l.cfg.Fetch
	retry := f.Retry
	if failed {
		retry = min(2*retry, f.Every)
	}
	timer := time.NewTimer(jitter(wait))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		l.mu.Lock()
		after, err := l.fetch(ctx, false)
		l.mu.Unlock()
		wait = f.Every
		if err == nil {
			retry = f.Retry
		} else {
			wait = max(retry, after)
			retry = min(2*retry, f.Every)
		}
		timer.Reset(jitter(wait))
	}
}

// jitter is d, less or more a tenth, so that not everybody asks at once.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d - d/10 + rand.N(d/5+1)
}

// fetch asks for another version and puts it in force; asked tells that somebody
// wants it, however much it has shrunk. After an error, after is how long the
// server wants to be left alone. l.mu is held.
func (l *List) fetch(ctx context.Context, asked bool) (after time.Duration, err error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Fetch.Timeout)
	defer cancel()
	v, changed, after, err := l.request(ctx, asked)
	if errors.Is(err, context.Canceled) && !asked {
		return after, err // by Close
	}
	if err == nil && !changed {
		l.observe(ListEvent{Kind: ListUnchanged, Duration: time.Since(start)})
		return after, nil
	}
	l.settle(v, err, start)
	return after, err
}

// request makes one request. Its version is the copy by then.
func (l *List) request(ctx context.Context, asked bool) (v version, changed bool, after time.Duration, err error) {
	fail := func(err error) (version, bool, time.Duration, error) {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the URL may have a key in it
		}
		return v, false, after, l.named(err)
	}
	f := &l.cfg.Fetch
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL, nil)
	if err != nil {
		return fail(err)
	}
	for name, values := range f.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.Header.Set("User-Agent", f.UserAgent)
	if l.copied.ETag != "" && !asked {
		req.Header.Set("If-None-Match", l.copied.ETag) // RFC 9110, section 13.1.2
	}
	if l.copied.LastModified != "" && !asked {
		req.Header.Set("If-Modified-Since", l.copied.LastModified) // section 13.1.3
	}
	resp, err := f.Client.Do(req)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && l.copied.SHA256 != "":
		l.copied.Checked = time.Now()
		l.copied.write(l.cfg.File) // or the next start asks too soon
		return v, false, 0, nil
	case resp.StatusCode != http.StatusOK:
		after = retryAfter(resp.Header.Get("Retry-After"), time.Now())
		return fail(fmt.Errorf("the server says %d", resp.StatusCode))
	}
	v, err = l.receive(ctx, resp, asked)
	if err != nil {
		return fail(err)
	}
	return v, true, 0, nil
}

// receive reads a version, and makes it the copy if it is fit to be in force.
func (l *List) receive(ctx context.Context, resp *http.Response, asked bool) (v version, err error) {
	f := &l.cfg.Fetch
	temp, err := os.CreateTemp(filepath.Dir(l.cfg.File), filepath.Base(l.cfg.File)+".*.tmp")
	if err != nil {
		return v, err
	}
	defer os.Remove(temp.Name()) // does nothing once it has its name
	defer temp.Close()
	if _, err := io.Copy(temp, &capped{r: resp.Body, left: f.MaxBytes, max: f.MaxBytes}); err != nil {
		return v, err
	}
	// A server that sees us leave may end the body as if it were whole, and be read.
	if err := ctx.Err(); err != nil {
		return v, err
	}
	if err := temp.Sync(); err != nil {
		return v, err
	}
	if v, err = l.read(temp.Name()); err == nil && !asked {
		err = l.plausible(v)
	}
	if err != nil {
		return v, err
	}
	if err := os.Rename(temp.Name(), l.cfg.File); err != nil {
		return v, err
	}
	l.copied = copyMeta{
		URL: f.URL, SHA256: v.sum, Checked: time.Now(),
		ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified"),
	}
	l.copied.write(l.cfg.File) // or the next start fetches the same again
	return v, nil
}

// retryAfter reads a Retry-After field (RFC 9110, section 10.2.3), up to a day.
func retryAfter(value string, now time.Time) time.Duration {
	var d time.Duration
	if n, err := strconv.ParseUint(value, 10, 31); err == nil {
		d = time.Duration(n) * time.Second
	} else if t, err := http.ParseTime(value); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}
