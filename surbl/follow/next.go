package follow

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/smtpguard/smtpguard/surbl"
)

// request is one under way, and then its answer.
type request struct {
	done   chan struct{}
	target string
	err    error
}

// Next returns where uri redirects to, "" where it does not. Whoever asks for
// what is being asked for already gets the same answer.
func (f *Follower) Next(ctx context.Context, uri string) (target string, err error) {
	u, err := vet(uri)
	if err != nil {
		f.count(&f.stats.Refused)
		return "", err
	}
	key := u.String()
	r, err := f.start(ctx, key, u)
	if err != nil {
		return "", err
	}
	select {
	case <-r.done:
		return r.target, r.err
	case <-ctx.Done():
		return "", fmt.Errorf("follow: %w", ctx.Err())
	}
}

// start returns the request for u: one that is known, one under way, or a new
// one.
func (f *Follower) start(ctx context.Context, key string, u *url.URL) (*request, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, ok := f.cache.get(key, time.Now()); ok {
		f.stats.Cached++
		return r, nil
	}
	if r, ok := f.running[key]; ok {
		f.stats.Cached++
		return r, nil
	}
	if len(f.running) >= f.cfg.Pending {
		f.stats.Refused++
		return nil, ErrPending
	}
	f.stats.Requests++
	r := &request{done: make(chan struct{})}
	f.running[key] = r
	// The answer is for others too, so that it does not end with who asked first.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.cfg.Timeout)
	go func() {
		defer cancel()
		f.run(ctx, key, u, r)
	}()
	return r, nil
}

func (f *Follower) run(ctx context.Context, key string, u *url.URL, r *request) {
	r.err = errors.New("follow: panicked")
	defer func() {
		_ = recover() // of the resolver
		f.mu.Lock()
		keep := f.cfg.Keep
		switch {
		case r.err != nil:
			f.stats.Failed++
			keep /= 10
		case r.target != "":
			f.stats.Redirected++
		}
		f.cache.put(key, r, time.Now().Add(keep))
		delete(f.running, key)
		f.mu.Unlock()
		close(r.done)
	}()
	r.target, r.err = f.ask(ctx, u)
}

// ask makes one request.
func (f *Follower) ask(ctx context.Context, u *url.URL) (target string, err error) {
	req := (&http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{"User-Agent": {f.cfg.Agent}, "Accept": {"*/*"}}}).WithContext(ctx)
	resp, err := f.transport.RoundTrip(req) // which follows nothing and keeps nothing
	switch {
	case errors.Is(err, ErrAddress), errors.Is(err, ErrPort): // of dial
		return "", err
	case err != nil:
		return "", fmt.Errorf("follow: %w", err)
	}
	defer resp.Body.Close()
	if location := resp.Header.Get("Location"); location != "" && resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return absolute(u, location)
	}
	if refresh := resp.Header.Get("Refresh"); refresh != "" {
		if target := f.refresh(u, `<meta http-equiv="refresh" content="`+html.EscapeString(refresh)+`">`); target != "" {
			return target, nil
		}
	}
	if kind := resp.Header.Get("Content-Type"); kind != "" && !strings.Contains(strings.ToLower(kind), "html") || resp.Header.Get("Content-Encoding") != "" {
		return "", nil
	}
	page, err := io.ReadAll(io.LimitReader(resp.Body, int64(f.cfg.Bytes)))
	if target := f.refresh(u, string(page)); target != "" || err == nil {
		return target, nil
	}
	return "", fmt.Errorf("follow: %w", err)
}

// refresh is where a page sends who loads it, elsewhere than to itself.
func (f *Follower) refresh(u *url.URL, page string) string {
	for _, found := range f.pages.HTML([]byte(page)).URIs {
		if found.Kind == surbl.Refresh && found.Via == "" {
			if target, err := absolute(u, found.Text); err == nil {
				return target
			}
		}
	}
	return ""
}

// absolute is the URI that a reference on u means (RFC 3986, section 5).
func absolute(u *url.URL, reference string) (string, error) {
	if len(reference) > maxURI {
		return "", ErrTarget
	}
	to, err := u.Parse(strings.TrimSpace(reference))
	if err != nil || to.Host == "" {
		return "", ErrTarget
	}
	return to.String(), nil
}
