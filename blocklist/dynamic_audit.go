package blocklist

import (
	"context"
	"errors"
	"slices"
)

// Len returns how many entries there are.
func (d *Dynamic) Len() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.ix.len()
}

// Audit returns the last n changes that the store remembers, whoever made them,
// newest first. Without a store nothing is remembered, and that is an error.
func (d *Dynamic) Audit(ctx context.Context, n int) ([]Change, error) {
	if d.cfg.Store == nil {
		return nil, errors.New("blocklist: no store that remembers changes")
	}
	var cs []Change
	for after := uint64(0); ; {
		more, last, err := d.cfg.Store.Changes(ctx, after)
		if err != nil {
			return nil, err
		}
		cs = append(cs, more...)
		if extra := len(cs) - n; extra > 0 {
			cs = slices.Delete(cs, 0, extra)
		}
		if len(more) == 0 || more[len(more)-1].Seq >= last {
			slices.Reverse(cs)
			return cs, nil
		}
		after = more[len(more)-1].Seq
	}
}
