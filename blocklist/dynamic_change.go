package blocklist

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// purged bounds how many expired entries one change removes, because lookups
// wait for that.
const purged = 1000

// Add adds what a person says, in place of what stood for the same value. e is
// to have a Source, who it is; when it has no Expires, TTL counts. An entry is
// refused with [ErrFull] when there are too many; with [ErrNotKept] it is in
// force here.
func (d *Dynamic) Add(ctx context.Context, e Entry) error {
	return d.add(ctx, Item{Entry: e})
}

// AddAuto adds what a program finds, which is to be undone by time alone: it
// blocks one address or network, never one that is protected ([ErrProtected]),
// and does not change what a person has said. One that is there already stays at
// least as long as it was to.
func (d *Dynamic) AddAuto(ctx context.Context, e Entry) error {
	return d.add(ctx, Item{Entry: e, Auto: true})
}

func (d *Dynamic) add(ctx context.Context, it Item) error {
	err := d.tryAdd(ctx, it)
	if err != nil {
		return fmt.Errorf("blocklist: entry %v %.80q: %w", it.Kind, it.Value, err)
	}
	return nil
}

// tryAdd is add without a prefix to its errors.
func (d *Dynamic) tryAdd(ctx context.Context, it Item) error {
	it, err := d.vet(it, time.Now())
	if err != nil {
		return err
	}
	if err := d.lock(ctx); err != nil {
		return err
	}
	defer d.unlock()
	done, err := d.admit(it)
	if err != nil || done {
		return err
	}
	return d.carryOut(ctx, Change{Time: it.Added, Op: Added, Item: it, By: it.Source, Why: it.Reason})
}

// vet returns it in normal form, with the time it has. Its errors are without
// a prefix.
func (d *Dynamic) vet(it Item, now time.Time) (Item, error) {
	e, err := it.normal()
	if err != nil {
		return it, err
	}
	it.Entry = e
	if it.Source == "" {
		return it, errors.New("has no Source: who adds it?")
	}
	it.Added = now.Round(0).UTC() // without a monotonic clock, as it will be read back
	ttl, max := d.cfg.TTL, d.cfg.MaxTTL
	if it.Auto {
		ttl, max = d.cfg.AutoTTL, d.cfg.MaxAutoTTL
	}
	latest := it.Added.Add(max)
	switch it.Expires = it.Expires.Round(0).UTC(); {
	case it.Expires.IsZero():
		it.Expires = it.Added.Add(ttl)
	case !it.Expires.After(it.Added):
		return it, errors.New("has expired already")
	case it.Expires.After(latest) && it.Auto:
		it.Expires = latest
	case it.Expires.After(latest):
		return it, fmt.Errorf("stays longer than MaxTTL, %v", max)
	}
	if it.Auto {
		return it, d.vetAuto(it)
	}
	return it, nil
}

// vetAuto says what is wrong with an automatic entry.
func (d *Dynamic) vetAuto(it Item) error {
	if it.Kind != Addr || it.Word != Block {
		return errors.New("is automatic, and may only block an address")
	}
	p, err := normalPrefix(it.Value)
	if err != nil {
		return err
	}
	shortest := d.cfg.AutoBits4
	if p.Addr().Is6() {
		shortest = d.cfg.AutoBits6
	}
	if p.Bits() < shortest {
		return fmt.Errorf("is automatic, and wider than /%d", shortest)
	}
	for _, own := range d.cfg.Protect {
		if own.Overlaps(p) {
			return fmt.Errorf("%w: %v is in Protect", ErrProtected, own)
		}
	}
	if d.cfg.Allowed != nil {
		if m, ok := d.cfg.Allowed.Find(Query{Kind: Addr, Addr: p.Addr()}); ok && m.Entry.Word == Allow {
			return fmt.Errorf("%w: allowed by %s of %s", ErrProtected, m.Entry.Value, m.Entry.Source)
		}
	}
	return nil
}

// admit reports whether there is nothing left to do for it, or why it can not
// be added. Callers hold the turn.
func (d *Dynamic) admit(it Item) (done bool, err error) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ix.purge(now, purged)
	old := d.ix.get(it.key())
	if old != nil && !old.Expires.After(now) {
		d.ix.remove(old)
		old = nil
	}
	if it.Auto {
		p, _ := normalPrefix(it.Value)
		for h := range d.ix.allows {
			if h.prefix.Overlaps(p) && h.Expires.After(now) {
				return false, fmt.Errorf("%w: allowed by %s of %s", ErrProtected, h.Value, h.Source)
			}
		}
		if old != nil && (!old.Auto || !it.Expires.After(old.Expires)) {
			return true, nil
		}
		if old == nil && d.ix.autos >= d.cfg.AutoEntries {
			return false, ErrFull
		}
	}
	if old == nil && d.ix.len() >= d.cfg.Entries {
		return false, ErrFull
	}
	return false, nil
}

// Remove removes the entry for value, in any form that its kind has; by and why
// are for the record.
func (d *Dynamic) Remove(ctx context.Context, kind Kind, value, by, why string) error {
	err := d.tryRemove(ctx, kind, value, by, why)
	if err != nil {
		return fmt.Errorf("blocklist: entry %v %.80q: %w", kind, value, err)
	}
	return nil
}

// tryRemove is Remove without a prefix to its errors.
func (d *Dynamic) tryRemove(ctx context.Context, kind Kind, value, by, why string) error {
	e, err := Entry{Kind: kind, Value: value, Word: Block}.normal()
	if err != nil {
		return err
	}
	if by == "" {
		return errors.New("nobody says who removes it")
	}
	if err := d.lock(ctx); err != nil {
		return err
	}
	defer d.unlock()
	now := time.Now()
	d.mu.RLock()
	h := d.ix.get(e.key())
	d.mu.RUnlock()
	if h == nil || !h.Expires.After(now) {
		return ErrNotFound
	}
	return d.carryOut(ctx, Change{Time: now.Round(0).UTC(), Op: Removed, Item: h.Item, By: oneLine(by), Why: oneLine(why)})
}

// carryOut puts c in the store and in force. Callers hold the turn.
func (d *Dynamic) carryOut(ctx context.Context, c Change) error {
	seq, err := d.keeping.keep(ctx, d, c)
	if err != nil && !errors.Is(err, ErrNotKept) {
		return err
	}
	d.enforce(c, seq)
	c.Seq = seq
	d.cfg.Audit(c)
	return err
}

// enforce makes c count for lookups. Callers hold the turn.
func (d *Dynamic) enforce(c Change, seq uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.Op == Added {
		d.ix.put(c.Item, seq)
	} else if h := d.ix.get(c.Item.key()); h != nil {
		d.ix.remove(h)
	}
}
