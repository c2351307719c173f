package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/blocklist"
	"github.com/smtpguard/smtpguard/blocklist/boltstore"
	blockredis "github.com/smtpguard/smtpguard/blocklist/redisstore"
	"github.com/smtpguard/smtpguard/limiter"
)

// lists are our own lists, and the checks that ask them.
type lists struct {
	files []*blocklist.List
	check smtpguard.Check
	traps []smtpguard.Check // none, or the one
}

// newLists reads the lists of cfg. dynamic has what is blocked at run time.
func newLists(cfg *Config, dir string, dynamic *blocklist.Dynamic, log *slog.Logger) (*lists, error) {
	own := new(lists)
	all := blocklist.Lists{dynamic}
	for i := range cfg.Lists {
		l, err := blocklist.NewList(cfg.Lists[i].config(dir, log))
		if err != nil {
			own.close()
			return nil, err
		}
		own.files = append(own.files, l)
		all = append(all, l)
	}
	err := own.checks(cfg, all, dynamic, log)
	if err != nil {
		own.close()
		return nil, err
	}
	return own, nil
}

func (own *lists) checks(cfg *Config, all blocklist.Lists, dynamic *blocklist.Dynamic, log *slog.Logger) (err error) {
	if own.check, err = blocklist.NewCheck(blocklist.CheckConfig{List: all, Submission: cfg.submissions()}); err != nil {
		return err
	}
	if len(cfg.Traps.Addresses) == 0 {
		return nil
	}
	addresses, err := cfg.Traps.set()
	if err != nil {
		return err
	}
	tc := blocklist.TrapConfig{
		Traps: addresses, Blocks: dynamic, Exempt: all, Own: prefixes(cfg.OwnNetworks),
		Hits: int(cfg.Traps.Hits), TTL: time.Duration(cfg.Traps.Block),
		Report: func(ev blocklist.TrapEvent) {
			log.Warn("mail to a trap", "transaction", ev.Transaction, "client", ev.Client.String(), "login", ev.Login, "from", ev.From,
				"traps", ev.Traps, "blocked", ev.Blocked.String(), "spared", string(ev.Spared), "error", text(ev.Err))
		},
	}
	if cfg.Traps.Refuse {
		tc.Action = smtpguard.Reject
	}
	traps, err := blocklist.NewTraps(tc)
	if err == nil {
		own.traps = append(own.traps, traps.Check())
	}
	return err
}

func (own *lists) close() {
	for _, l := range own.files {
		_ = l.Close() // nothing in it is lost
	}
}

// set is the trap addresses as a list.
func (t *Traps) set() (*blocklist.Set, error) {
	var b blocklist.Builder
	for _, a := range t.Addresses {
		if err := b.Add(blocklist.Entry{Kind: blocklist.Mailbox, Value: a, Word: blocklist.Block}); err != nil {
			return nil, err
		}
	}
	return b.Set(), nil
}

// config is l for package blocklist. What is fetched is kept in the data folder.
func (l *List) config(dir string, log *slog.Logger) blocklist.ListConfig {
	lc := blocklist.ListConfig{
		Name:  l.Name,
		File:  l.Path,
		Parse: blocklist.ParseConfig{Format: blocklist.Format(l.Format), Word: blocklist.Word(l.Word), Kind: blocklist.Kind(l.Kind), Column: l.Column},
		Observe: func(ev blocklist.ListEvent) {
			level := slog.LevelInfo
			if ev.Err != nil {
				level = slog.LevelError
			}
			log.Log(context.Background(), level, "list "+string(ev.Kind), "list", ev.List, "entries", ev.Entries, "bad lines", ev.Report.Bad, "error", text(ev.Err))
			for _, bad := range ev.Report.Lines {
				log.Warn("bad line", "list", ev.List, "line", bad.Line, "what", bad.What)
			}
		},
	}
	if l.URL != "" {
		lc.File = filepath.Join(dir, "lists", l.Name)
		lc.Optional = true // mail goes on while it cannot be had
		lc.Fetch = blocklist.Fetch{URL: l.URL, Every: time.Duration(l.Every), AllowHTTP: l.Plain}
	}
	return lc
}

// newDynamic opens what is blocked at run time: in the data folder, or in Redis.
func newDynamic(cfg *Config, dir string, log *slog.Logger) (d *blocklist.Dynamic, end func(), err error) {
	var store blocklist.Store
	var closeStore func() error
	if cfg.Redis.Address != "" {
		s, err := blockredis.New(blockredis.Config{Redis: cfg.Redis.options()})
		if err != nil {
			return nil, nil, err
		}
		store, closeStore = s, s.Close
	} else {
		file := filepath.Join(dir, "blocklist.db")
		s, err := boltstore.Open(file, boltstore.Config{})
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", file, err)
		}
		store, closeStore = s, s.Close
	}
	d, err = blocklist.NewDynamic(blocklist.DynamicConfig{
		Store:     store,
		StartAway: true,
		Protect:   prefixes(cfg.OwnNetworks),
		Audit: func(c blocklist.Change) {
			log.Warn("dynamic list", "change", string(c.Op), "entry", c.Item.Value, "by", c.By, "why", c.Why, "until", c.Item.Expires.Format(time.RFC3339))
		},
		OnError: func(err error) { log.Error("dynamic list: its store", "error", text(err)) },
	})
	if err != nil {
		return nil, nil, errors.Join(err, closeStore())
	}
	return d, func() {
		if err := errors.Join(d.Close(), closeStore()); err != nil {
			log.Error("dynamic list not kept whole", "error", err.Error())
		}
	}, nil
}

// text is err's, "" for none.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// blockGuesser puts a network that failed on many logins on the dynamic list.
// There are few lockouts a minute, and none waits for the disk.
func blockGuesser(d *blocklist.Dynamic, ttl time.Duration, log *slog.Logger) func(limiter.Lockout) {
	return func(o limiter.Lockout) {
		if ttl == 0 || o.Counter != limiter.ClientFailures && o.Counter != limiter.UnnamedFailures || !o.Client.IsValid() {
			return
		}
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			err := d.AddAuto(ctx, blocklist.Entry{
				Kind: blocklist.Addr, Value: o.Client.String(), Word: blocklist.Block,
				Source: "logins", Reason: "guesses passwords", Expires: time.Now().Add(ttl),
			})
			if err != nil {
				log.Warn("guesser not blocked", "client", o.Client.String(), "error", err.Error())
			}
		}()
	}
}

// makeListsDir makes where fetched lists are kept.
func makeListsDir(dir string) error { return os.MkdirAll(filepath.Join(dir, "lists"), 0o700) }
