package blocklist

import (
	"context"
	"fmt"
	"time"
)

// follow brings others' changes here, and ours to the store where it did not
// answer, until ctx ends.
func (k *keeping) follow(ctx context.Context, d *Dynamic) {
	defer close(k.done)
	wait := k.poll
	if wait == 0 {
		wait = again
		if k.read.IsZero() {
			k.remind()
		}
	}
	for {
		if k.poll == 0 { // nothing to do but what is left undone
			select {
			case <-k.wake:
			case <-ctx.Done():
				return
			}
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
			k.sync(ctx, d)
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// sync is one round. It asks the store without holding the turn, so that no
// slow answer holds up a change. Only this goroutine writes seq and read.
func (k *keeping) sync(ctx context.Context, d *Dynamic) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := k.catchUp(ctx, d)
	if d.lock(ctx) != nil {
		return
	}
	defer d.unlock()
	if err == nil {
		err = k.flush(ctx, d)
	}
	d.mu.Lock()
	d.ix.purge(time.Now(), purged)
	d.mu.Unlock()
	k.tell(d, err)
	if len(k.pending) > 0 || k.read.IsZero() {
		k.remind()
	}
}

// catchUp takes in what others have changed.
func (k *keeping) catchUp(ctx context.Context, d *Dynamic) error {
	if k.read.IsZero() || k.poll > 0 && time.Since(k.read) >= d.cfg.Reread {
		return k.readAll(ctx, d)
	}
	for k.poll > 0 {
		cs, last, err := k.store.Changes(ctx, k.seq)
		if err != nil {
			return err
		}
		if last == k.seq {
			break
		}
		if last < k.seq || len(cs) == 0 || cs[0].Seq != k.seq+1 || last-k.seq > behind {
			return k.readAll(ctx, d) // it has lost its memory, or we have lost track
		}
		if err := d.lock(ctx); err != nil {
			return err
		}
		for _, c := range cs {
			k.take(d, c)
		}
		k.forget()
		d.unlock()
	}
	return nil
}

// take takes in one change. Callers hold the turn.
func (k *keeping) take(d *Dynamic, c Change) {
	k.seq = c.Seq
	e, err := c.Item.normal()
	if err != nil {
		d.cfg.OnError(fmt.Errorf("blocklist: change %d of the store: entry %v %.80q: %w", c.Seq, c.Item.Kind, c.Item.Value, err))
		return
	}
	c.Item.Entry = e
	id := e.key()
	h := d.ix.get(id)
	_, ours := k.pending[id]
	if ours || k.removed[id] >= c.Seq || h != nil && h.seq >= c.Seq {
		return // what we have is later
	}
	if c.Op == Added && h == nil && !k.fits(d, c.Item.Auto, d.ix.autos, d.ix.len()) {
		d.cfg.OnError(fmt.Errorf("blocklist: change %d of the store: %w", c.Seq, ErrFull))
		return
	}
	d.enforce(c, c.Seq)
}

// fits reports whether there is room for what others have added: they may have
// more than we would add ourselves, but not without bound.
func (k *keeping) fits(d *Dynamic, auto bool, autos, all int) bool {
	return all < 2*d.cfg.Entries && (!auto || autos < 2*d.cfg.AutoEntries)
}

// forget drops the removals that have come back. Callers hold the turn.
func (k *keeping) forget() {
	for id, seq := range k.removed {
		if seq <= k.seq {
			delete(k.removed, id)
		}
	}
}

// readAll makes what is here what the store has.
func (k *keeping) readAll(ctx context.Context, d *Dynamic) error {
	there := make(map[key]Item)
	autos, dropped := 0, 0
	now := time.Now()
	seq, err := k.store.Load(ctx, func(it Item) error {
		e, err := it.normal()
		switch {
		case err != nil || !k.fits(d, it.Auto, autos, len(there)):
			dropped++
		case e.Expires.After(now):
			it.Entry = e
			if old, ok := there[e.key()]; ok && old.Auto {
				autos--
			}
			if it.Auto {
				autos++
			}
			there[e.key()] = it
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := d.lock(ctx); err != nil {
		return err
	}
	defer d.unlock()
	if dropped > 0 {
		d.cfg.OnError(fmt.Errorf("blocklist: %d entries of the store make no sense, or are too many", dropped))
	}
	lost := seq < k.seq // the store begins anew: we still know
	var gone []*held
	for _, h := range d.ix.soon { // nobody else writes to it while we have the turn
		id := h.key()
		_, ours := k.pending[id]
		if lost {
			h.seq = 0
		}
		if it, ok := there[id]; ok && it == h.Item || ours || h.seq > seq {
			delete(there, id)
			continue
		} else if ok {
			continue // replaced below
		}
		if lost && len(k.pending) < d.cfg.Entries {
			k.pending[id] = Change{Time: h.Added, Op: Added, Item: h.Item, By: h.Source, Why: h.Reason}
			continue
		}
		gone = append(gone, h)
	}
	for _, h := range gone {
		d.enforce(Change{Op: Removed, Item: h.Item}, 0)
	}
	if lost {
		clear(k.removed)
	}
	for id, it := range there {
		_, ours := k.pending[id]
		if !ours && k.removed[id] <= seq {
			d.enforce(Change{Op: Added, Item: it}, seq)
		}
	}
	k.seq, k.read = seq, time.Now()
	k.forget()
	return nil
}
