package blocklist

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	patience = 10 * time.Second // for reading the store at the start
	again    = time.Second      // between tries to tell a store that failed and is nobody else's
	flushed  = 100              // changes told to the store in one turn
	behind   = 100_000          // changes taken from it before it is read anew instead
)

// keeping is what a Dynamic has to do with its store. What changes in it is for
// whoever holds the turn.
type keeping struct {
	store Store
	poll  time.Duration
	stop  context.CancelFunc // nil without a store
	done  chan struct{}      // closed when the loop has ended
	wake  chan struct{}      // something is pending

	seq     uint64         // of the last change that is in
	read    time.Time      // when all was last read
	pending map[key]Change // what the store is yet to be told
	removed map[key]uint64 // by the numbers of changes that are yet to come back
	away    bool           // the last try failed
}

// start reads the store, and begins to follow it.
func (k *keeping) start(d *Dynamic) error {
	k.store = d.cfg.Store
	if k.store == nil {
		return nil
	}
	k.poll = k.store.Poll()
	k.pending, k.removed = make(map[key]Change), make(map[key]uint64)
	k.wake, k.done = make(chan struct{}, 1), make(chan struct{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	err := k.readAll(ctx, d)
	cancel()
	if err != nil && !d.cfg.StartAway {
		return fmt.Errorf("blocklist: reading the store: %w", err)
	}
	k.tell(d, err)
	ctx, k.stop = context.WithCancel(context.Background())
	go k.follow(ctx, d)
	return nil
}

func (k *keeping) close(d *Dynamic) error {
	if k.stop == nil {
		return nil
	}
	k.stop()
	<-k.done
	ctx, cancel := context.WithTimeout(context.Background(), again)
	defer cancel()
	if err := d.lock(ctx); err != nil {
		return err
	}
	defer d.unlock()
	var err error
	for len(k.pending) > 0 && err == nil {
		err = k.flush(ctx, d)
	}
	if err != nil {
		return fmt.Errorf("blocklist: the store was not told of %d changes: %w", len(k.pending), err)
	}
	return nil
}

// keep tells the store of c. ErrNotKept means that it will be told later. The
// store is not asked while it is known to be away: those who add wait for nothing.
func (k *keeping) keep(ctx context.Context, d *Dynamic, c Change) (seq uint64, err error) {
	if k.store == nil {
		return 0, nil
	}
	id, why := c.Item.key(), ErrNotKept
	if !k.away {
		seq, err = k.store.Apply(ctx, c)
		switch {
		case err == nil:
			delete(k.pending, id)
			if c.Op == Removed && k.poll > 0 {
				k.removed[id] = seq
			} else {
				delete(k.removed, id)
			}
			return seq, nil
		case errors.Is(err, ErrByHand):
			return 0, fmt.Errorf("%w: %w", ErrProtected, err)
		}
		if ctx.Err() == nil { // else it says nothing of the store
			k.tell(d, err)
		}
		why = fmt.Errorf("%w: %w", ErrNotKept, err)
	}
	if _, ok := k.pending[id]; !ok && len(k.pending) >= d.cfg.Entries {
		return 0, ErrFull
	}
	k.pending[id] = c
	k.remind()
	return 0, why
}

// remind makes the loop come round.
func (k *keeping) remind() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// tell notes whether the store answers, and tells the operator of a change.
func (k *keeping) tell(d *Dynamic, err error) {
	if away := err != nil; away != k.away {
		k.away = away
		d.cfg.OnError(err)
	}
}

// flush tells the store what it could not be told before.
func (k *keeping) flush(ctx context.Context, d *Dynamic) error {
	left := flushed
	for id, c := range k.pending {
		if left--; left < 0 {
			break
		}
		if c.Op == Added && !c.Item.Expires.After(time.Now()) {
			delete(k.pending, id)
			continue
		}
		seq, err := k.store.Apply(ctx, c)
		if err != nil && !errors.Is(err, ErrByHand) {
			return err
		}
		delete(k.pending, id)
		h := d.ix.get(id)
		switch {
		case err != nil:
			k.read = time.Time{} // what the person said passed by here while this was pending
		case h != nil:
			h.seq = seq
		case k.poll > 0:
			k.removed[id] = seq
		}
	}
	return nil
}
