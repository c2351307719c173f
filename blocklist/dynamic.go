package blocklist

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// DynamicConfig says how entries are kept that are added at run time. The zero
// value of a field means its default; the zero DynamicConfig keeps 100,000
// entries in memory, and nothing after a restart.
type DynamicConfig struct {
	// Store keeps the entries. It is the caller's to close, after
	// [Dynamic.Close]. With nil they are in memory alone.
	Store Store

	// StartAway starts without the entries when the store does not answer, and
	// takes them in once it does. Otherwise [NewDynamic] fails.
	StartAway bool

	TTL        time.Duration // of an entry that does not say when it expires; 7 days
	MaxTTL     time.Duration // 1 year; Add refuses what is to stay longer
	AutoTTL    time.Duration // of an automatic one that does not say; 1 h
	MaxAutoTTL time.Duration // 24 h; AddAuto shortens what is to stay longer

	// Entries bounds how many there are, 100,000; AutoEntries how many of them
	// are automatic, nine tenths: an attack that fills its part leaves room for
	// people. What has expired makes room. Else a new entry is refused, and none
	// that is there gives way.
	Entries     int
	AutoEntries int

	// AutoBits4 and AutoBits6 are the shortest prefixes that automatic entries
	// may have: 32, one address, and 64, one network (RFC 6177, section 2).
	AutoBits4, AutoBits6 int

	// Protect are networks that nothing automatic blocks: our own, say.
	Protect []netip.Prefix

	// Allowed is asked about whom an automatic entry blocks, when it is added and
	// whenever it would; its Allow keeps the client free, however wide. It must
	// not ask this Dynamic, whose own Allow entries count without that.
	Allowed Source

	// Audit hears of every change made here, in order. It must not block and not
	// change anything itself.
	Audit func(Change)

	// OnError hears that the store failed, once until it works again: then of a nil
	// error.
	OnError func(error)

	// Reread is how often a store that others write to is read anew, whatever
	// became of the news of changes; 5 min.
	Reread time.Duration
}

// Dynamic is a list of entries that are added and removed at run time: by
// people ([Dynamic.Add]), by traps and lockouts ([Dynamic.AddAuto]). Each
// expires. Lookups are answered from memory. It is a [Source], and safe for
// concurrent use.
//
// Changes are in force, and in the store, when the method that makes them has
// returned. Where the store does not answer, they are in force in this process,
// the method says [ErrNotKept], and the store is told when it answers again.
// Lookups go on from what is known. A store of several machines brings their
// changes here within its Poll.
type Dynamic struct {
	cfg DynamicConfig

	turn chan struct{} // held by whoever makes a change
	mu   sync.RWMutex
	ix   *index // guarded by mu; written to with the turn and mu held

	keeping keeping
}

var _ Source = (*Dynamic)(nil)

// NewDynamic reads the entries from cfg.Store. It reports everything that is
// wrong with cfg.
func NewDynamic(cfg DynamicConfig) (*Dynamic, error) {
	cfg, err := cfg.filled()
	if err != nil {
		return nil, err
	}
	d := &Dynamic{cfg: cfg, turn: make(chan struct{}, 1), ix: newIndex()}
	if err := d.keeping.start(d); err != nil {
		return nil, err
	}
	return d, nil
}

// filled returns cfg with defaults, or what is wrong with it.
func (cfg DynamicConfig) filled() (DynamicConfig, error) {
	var errs []error
	bad := func(field string, v any, why string) {
		errs = append(errs, fmt.Errorf("blocklist: DynamicConfig.%s is %v: %s", field, v, why))
	}
	for _, f := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{
		{"TTL", &cfg.TTL, 7 * 24 * time.Hour},
		{"MaxTTL", &cfg.MaxTTL, 365 * 24 * time.Hour},
		{"AutoTTL", &cfg.AutoTTL, time.Hour},
		{"MaxAutoTTL", &cfg.MaxAutoTTL, 24 * time.Hour},
		{"Reread", &cfg.Reread, 5 * time.Minute},
	} {
		if *f.v == 0 {
			*f.v = f.def
		}
		if *f.v < 0 {
			bad(f.name, *f.v, "must not be negative")
		}
	}
	if cfg.TTL > cfg.MaxTTL {
		bad("TTL", cfg.TTL, fmt.Sprintf("is over MaxTTL, %v", cfg.MaxTTL))
	}
	if cfg.AutoTTL > cfg.MaxAutoTTL {
		bad("AutoTTL", cfg.AutoTTL, fmt.Sprintf("is over MaxAutoTTL, %v", cfg.MaxAutoTTL))
	}
	if cfg.Entries == 0 {
		cfg.Entries = 100_000
	}
	if cfg.AutoEntries == 0 {
		cfg.AutoEntries = cfg.Entries - (cfg.Entries+9)/10
	}
	if cfg.Entries < 0 {
		bad("Entries", cfg.Entries, "must not be negative")
	}
	if cfg.AutoEntries < 0 || cfg.AutoEntries > cfg.Entries {
		bad("AutoEntries", cfg.AutoEntries, "must be between 0 and Entries")
	}
	if cfg.AutoBits4 == 0 {
		cfg.AutoBits4 = 32
	}
	if cfg.AutoBits6 == 0 {
		cfg.AutoBits6 = 64
	}
	if cfg.AutoBits4 < 8 || cfg.AutoBits4 > 32 {
		bad("AutoBits4", cfg.AutoBits4, "must be between 8 and 32")
	}
	if cfg.AutoBits6 < 16 || cfg.AutoBits6 > 128 {
		bad("AutoBits6", cfg.AutoBits6, "must be between 16 and 128")
	}
	cfg.Protect = slices.Clone(cfg.Protect)
	for i, p := range cfg.Protect {
		n, err := foldPrefix(p)
		if err != nil {
			bad(fmt.Sprintf("Protect[%d]", i), p, err.Error())
		}
		cfg.Protect[i] = n
	}
	if cfg.Audit == nil {
		cfg.Audit = func(Change) {}
	}
	if cfg.OnError == nil {
		cfg.OnError = func(error) {}
	}
	return cfg, errors.Join(errs...)
}

// Close ends the work with the store, after one last try to tell it what it
// could not be told yet. An error says what it was not told.
func (d *Dynamic) Close() error { return d.keeping.close(d) }

// Find returns the entry that counts for q: the most specific one, Allow before
// Block. An automatic one counts for nobody whom Protect, Allowed or a person's
// Allow in this list covers.
func (d *Dynamic) Find(q Query) (m Match, ok bool) {
	q, ok = q.normal()
	if !ok {
		return m, false
	}
	d.mu.RLock()
	h := d.ix.find(q)
	d.mu.RUnlock()
	if h == nil || h.Auto && d.spared(q) {
		return m, false
	}
	return Match{Entry: h.Entry, Rank: h.rank()}, true
}

// spared reports whether an automatic entry must not count for q.
func (d *Dynamic) spared(q Query) bool {
	for _, p := range d.cfg.Protect {
		if p.Contains(q.Addr) {
			return true
		}
	}
	if d.cfg.Allowed == nil {
		return false
	}
	m, ok := d.cfg.Allowed.Find(q)
	return ok && m.Entry.Word == Allow
}

// Get returns the entry for exactly this value, in any form that its kind has.
func (d *Dynamic) Get(kind Kind, value string) (it Item, ok bool) {
	e, err := Entry{Kind: kind, Value: value, Word: Block}.normal()
	if err != nil {
		return it, false
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	h := d.ix.get(e.key())
	if h == nil || !h.Expires.After(time.Now()) {
		return it, false
	}
	return h.Item, true
}

// List returns all entries, what was added last at the end.
func (d *Dynamic) List() []Item {
	now := time.Now()
	d.mu.RLock()
	items := make([]Item, 0, d.ix.len())
	for _, h := range d.ix.soon {
		if h.Expires.After(now) {
			items = append(items, h.Item)
		}
	}
	d.mu.RUnlock()
	slices.SortFunc(items, func(a, b Item) int {
		if c := a.Added.Compare(b.Added); c != 0 {
			return c
		}
		if a.Kind != b.Kind {
			return int(a.Kind) - int(b.Kind)
		}
		return strings.Compare(a.Value, b.Value)
	})
	return items
}

// lock waits for the turn.
func (d *Dynamic) lock(ctx context.Context) error {
	select {
	case d.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for other changes: %w", ctx.Err())
	}
}

func (d *Dynamic) unlock() { <-d.turn }
