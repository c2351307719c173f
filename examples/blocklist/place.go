package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/smtpguard/smtpguard/blocklist"
	"github.com/smtpguard/smtpguard/blocklist/boltstore"
	"github.com/smtpguard/smtpguard/blocklist/redisstore"
)

// place is where the entries are.
type place struct {
	db             string
	redis, name    string
	url, tokenFile string
}

func (p place) open() (entries, error) {
	given := 0
	for _, s := range []string{p.db, p.redis, p.url} {
		if s != "" {
			given++
		}
	}
	if given != 1 {
		return nil, errors.New("one of -db, -redis and -url is needed")
	}
	switch {
	case p.db != "":
		s, err := boltstore.Open(p.db, boltstore.Config{})
		if errors.Is(err, boltstore.ErrLocked) {
			return nil, fmt.Errorf("%w: a running server has it; ask the server, with -url", err)
		}
		if err != nil {
			return nil, err
		}
		return openStore(s)
	case p.redis != "":
		s, err := redisstore.New(redisstore.Config{Name: p.name, Redis: redis.UniversalOptions{Addrs: strings.Split(p.redis, ",")}})
		if err != nil {
			return nil, err
		}
		return openStore(s)
	}
	return p.server()
}

// stored are the entries of a store that we have to ourselves, or share.
type stored struct {
	d     *blocklist.Dynamic
	store io.Closer
}

func openStore(s interface {
	blocklist.Store
	io.Closer
}) (entries, error) {
	d, err := blocklist.NewDynamic(blocklist.DynamicConfig{Store: s})
	if err != nil {
		s.Close()
		return nil, err
	}
	return stored{d, s}, nil
}

func (s stored) list(context.Context) ([]blocklist.Item, error)   { return s.d.List(), nil }
func (s stored) add(ctx context.Context, e blocklist.Entry) error { return s.d.Add(ctx, e) }
func (s stored) close() error                                     { return errors.Join(s.d.Close(), s.store.Close()) }
func (s stored) audit(ctx context.Context, n int) ([]blocklist.Change, error) {
	return s.d.Audit(ctx, n)
}

func (s stored) remove(ctx context.Context, kind blocklist.Kind, value, by, why string) error {
	return s.d.Remove(ctx, kind, value, by, why)
}

// server are the entries of a running server.
type server struct {
	base   *url.URL
	token  string
	client *http.Client
}

func (p place) server() (entries, error) {
	u, err := url.Parse(p.url)
	if err != nil {
		return nil, fmt.Errorf("-url: %w", err)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, fmt.Errorf("-url %s: has to be https, or http on a loopback address: it carries a token", u.Redacted())
	}
	if p.tokenFile == "" {
		return nil, errors.New("-url needs -token-file")
	}
	token, err := os.ReadFile(p.tokenFile)
	if err != nil {
		return nil, err
	}
	return &server{base: u, token: strings.TrimSpace(string(token)), client: &http.Client{
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("the server points elsewhere") },
	}}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 256 << 20

// ask sends a request and reads the answer into v, where it is not nil.
func (s *server) ask(ctx context.Context, method, path string, query url.Values, body, v any) error {
	u := s.base.JoinPath(path)
	u.RawQuery = query.Encode()
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), content)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode >= 300 {
		var problem struct {
			Error string `json:"error"`
		}
		if dec.Decode(&problem) != nil || problem.Error == "" {
			return fmt.Errorf("the server says %s", resp.Status)
		}
		return fmt.Errorf("the server says: %q", strings.TrimPrefix(problem.Error, "blocklist: "))
	}
	if resp.StatusCode == http.StatusAccepted {
		return blocklist.ErrNotKept
	}
	if v == nil {
		return nil
	}
	return dec.Decode(v)
}

func (s *server) list(ctx context.Context) (items []blocklist.Item, err error) {
	return items, s.ask(ctx, "GET", "entries", nil, nil, &items)
}

func (s *server) add(ctx context.Context, e blocklist.Entry) error {
	return s.ask(ctx, "POST", "entries", nil, blocklist.Item{Entry: e}, nil)
}

func (s *server) remove(ctx context.Context, kind blocklist.Kind, value, by, why string) error {
	q := url.Values{"kind": {kind.String()}, "value": {value}, "by": {by}, "why": {why}}
	return s.ask(ctx, "DELETE", "entries", q, nil, nil)
}

func (s *server) audit(ctx context.Context, n int) (cs []blocklist.Change, err error) {
	return cs, s.ask(ctx, "GET", "changes", url.Values{"n": {strconv.Itoa(n)}}, nil, &cs)
}

func (s *server) close() error { return nil }
