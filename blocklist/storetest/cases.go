package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/smtpguard/smtpguard/blocklist"
)

// Cases are all cases.
func Cases() []Case {
	return []Case{
		{"Empty", empty},
		{"Keeps", keeps},
		{"Replaces", replaces},
		{"Removes", removes},
		{"ByHand", byHand},
		{"Expires", expires},
		{"Numbers", numbers},
		{"Concurrent", concurrent},
		{"Cancelled", cancelled},
		{"LoadEnds", loadEnds},
	}
}

func empty(b *bench) error {
	if err := b.holds(); err != nil {
		return err
	}
	_, seq, err := b.load()
	if err != nil {
		return err
	}
	cs, last, err := b.store.Changes(b.ctx, 0)
	if err != nil {
		return err
	}
	if seq != 0 || last != 0 || len(cs) != 0 {
		return fmt.Errorf("an empty store has %d changes, and numbers %d and %d", len(cs), seq, last)
	}
	if b.store.Poll() < 0 {
		return fmt.Errorf("Poll is %v", b.store.Poll())
	}
	return nil
}

// everything is an entry of each kind, with all that it can have.
func everything() []blocklist.Item {
	var all []blocklist.Item
	for kind, value := range map[blocklist.Kind]string{
		blocklist.Addr:        "2001:db8::/64",
		blocklist.Domain:      "*.xn--bcher-kva.example",
		blocklist.Hello:       "192.0.2.1",
		blocklist.Mailbox:     "jörg \"x\"@b@example.org",
		blocklist.Fingerprint: strings.Repeat("0a", 32),
	} {
		it := item(value)
		it.Kind, it.Word = kind, blocklist.Allow
		it.Reason = strings.Repeat("<ü&'\\>", 70)
		it.Expires = it.Added.Add(time.Hour + time.Nanosecond)
		it.Auto = kind == blocklist.Addr
		all = append(all, it)
	}
	// Of another kind, but with the value of one that is there.
	it := item("192.0.2.1")
	it.Source = ""
	return append(all, it)
}

func keeps(b *bench) error {
	all := everything()
	for i, it := range all {
		if err := b.apply(added(it), uint64(i+1)); err != nil {
			return err
		}
	}
	if err := b.holds(all...); err != nil {
		return err
	}
	if err := b.reopen(); err != nil {
		return err
	}
	if err := b.holds(all...); err != nil {
		return fmt.Errorf("opened again: %w", err)
	}
	return b.apply(added(item("192.0.2.2")), uint64(len(all)+1))
}

func replaces(b *bench) error {
	it := item("192.0.2.1")
	if err := b.apply(added(it), 1); err != nil {
		return err
	}
	it.Reason, it.Source, it.Word, it.Expires = "another", "bob", blocklist.Allow, it.Expires.Add(-time.Minute)
	if err := b.apply(added(it), 2); err != nil {
		return err
	}
	if err := b.holds(it); err != nil {
		return err
	}
	it.Expires = it.Expires.Add(time.Hour)
	if err := b.apply(added(it), 3); err != nil {
		return err
	}
	return b.holds(it)
}

func removes(b *bench) error {
	one, two := item("192.0.2.1"), item("192.0.2.2")
	for i, c := range []blocklist.Change{added(one), added(two), removed(one), removed(one)} {
		if err := b.apply(c, uint64(i+1)); err != nil {
			return err
		}
	}
	if err := b.holds(two); err != nil {
		return err
	}
	if err := b.reopen(); err != nil {
		return err
	}
	if err := b.holds(two); err != nil {
		return fmt.Errorf("opened again: %w", err)
	}
	if err := b.apply(added(one), 5); err != nil {
		return err
	}
	return b.holds(one, two)
}

// byHand: what is automatic never replaces a person's word.
func byHand(b *bench) error {
	hand := item("192.0.2.1")
	hand.Word = blocklist.Allow
	if err := b.apply(added(hand), 1); err != nil {
		return err
	}
	auto := item("192.0.2.1")
	auto.Auto, auto.Expires = true, auto.Expires.Add(time.Hour)
	if seq, err := b.store.Apply(b.ctx, added(auto)); !errors.Is(err, blocklist.ErrByHand) {
		return fmt.Errorf("an automatic entry over a person's: number %d, error %v, want ErrByHand", seq, err)
	}
	if err := b.holds(hand); err != nil {
		return err
	}
	if cs, last, err := b.store.Changes(b.ctx, 0); err != nil || len(cs) != 1 || last != 1 {
		return fmt.Errorf("what was refused is written down: %d changes, last %d, error %v", len(cs), last, err)
	}
	// But a person replaces what is automatic, time does, and a removal does.
	auto.Value = "192.0.2.2"
	hand.Value = auto.Value
	for i, c := range []blocklist.Change{added(auto), added(auto), added(hand), removed(hand), added(auto)} {
		if err := b.apply(c, uint64(i+2)); err != nil {
			return err
		}
	}
	past := hand
	past.Value = "192.0.2.3"
	past.Expires = past.Added.Add(-time.Second)
	over := auto
	over.Value = past.Value
	if err := b.apply(added(past), 7); err != nil {
		return err
	}
	if err := b.apply(added(over), 8); err != nil {
		return fmt.Errorf("over a person's entry that has expired: %w", err)
	}
	first := hand
	first.Value = "192.0.2.1"
	return b.holds(first, auto, over)
}

func expires(b *bench) error {
	stays, goes, gone := item("192.0.2.1"), item("192.0.2.2"), item("192.0.2.3")
	goes.Expires = time.Now().Add(150 * time.Millisecond).Round(0).UTC()
	gone.Expires = gone.Added.Add(-time.Hour)
	for i, it := range []blocklist.Item{stays, goes, gone} {
		if err := b.apply(added(it), uint64(i+1)); err != nil {
			return err
		}
	}
	var err error
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = b.holds(stays); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	// Written to, a store forgets too; and what expired does not come back.
	goes.Expires = goes.Added.Add(time.Hour)
	if err := b.apply(added(goes), 4); err != nil {
		return err
	}
	last := item("192.0.2.4")
	if err := b.apply(added(last), 5); err != nil {
		return err
	}
	return b.holds(stays, goes, last)
}

// numbers: changes come back complete, in order and as they were.
func numbers(b *bench) error {
	var all []blocklist.Change
	for i := range 30 {
		c := added(item(fmt.Sprintf("192.0.2.%d", i)))
		if i%3 == 2 {
			c = removed(item(fmt.Sprintf("192.0.2.%d", i-1)))
		}
		c.Seq = uint64(i + 1)
		all = append(all, c)
		if err := b.apply(c, c.Seq); err != nil {
			return err
		}
	}
	if err := b.reopen(); err != nil {
		return err
	}
	for _, after := range []uint64{0, 1, 17, 29, 30, 31, 1000} {
		var got []blocklist.Change
		for at := after; ; at = got[len(got)-1].Seq {
			cs, last, err := b.store.Changes(b.ctx, at)
			if err != nil {
				return err
			}
			if last != 30 {
				return fmt.Errorf("after %d: the last change is %d, want 30", at, last)
			}
			if got = append(got, cs...); at >= last || len(got) > 0 && got[len(got)-1].Seq == last {
				break
			}
			if len(cs) == 0 {
				return fmt.Errorf("after %d: nothing, and the last is %d", at, last)
			}
		}
		want := all[min(after, 30):]
		if len(got) != len(want) {
			return fmt.Errorf("after %d: %d changes, want %d", after, len(got), len(want))
		}
		for i, c := range got {
			if c.Seq != want[i].Seq || c.Op != want[i].Op || !c.Time.Equal(want[i].Time) || c.By != want[i].By || c.Why != want[i].Why {
				return fmt.Errorf("after %d: got %+v, want %+v", after, c, want[i])
			}
			if err := same(c.Item, want[i].Item); err != nil {
				return fmt.Errorf("after %d: change %d: %w", after, c.Seq, err)
			}
		}
	}
	_, seq, err := b.load()
	if err == nil && seq != 30 {
		err = fmt.Errorf("loaded as of %d, want 30", seq)
	}
	return err
}

// concurrent: nothing is lost among many writers.
func concurrent(b *bench) error {
	const writers, each = 8, 10
	var mu sync.Mutex
	var wg sync.WaitGroup
	seqs := make(map[uint64]bool)
	var errs []error
	var all []blocklist.Item
	for w := range writers {
		for i := range each {
			all = append(all, item(fmt.Sprintf("198.51.%d.%d", w, i)))
		}
	}
	for w := range writers {
		wg.Go(func() {
			for _, it := range all[w*each : (w+1)*each] {
				seq, err := b.store.Apply(b.ctx, added(it))
				if err == nil {
					_, err = b.store.Load(b.ctx, func(blocklist.Item) error { return nil })
				}
				mu.Lock()
				seqs[seq] = true
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i := range uint64(writers * each) {
		if !seqs[i+1] {
			return fmt.Errorf("no change has number %d", i+1)
		}
	}
	return b.holds(all...)
}

// cancelled: who has gone is not waited for.
func cancelled(b *bench) error {
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	if _, err := b.store.Apply(ctx, added(item("192.0.2.1"))); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("Apply: error %v, want context.Canceled", err)
	}
	if _, err := b.store.Load(ctx, func(blocklist.Item) error { return nil }); !errors.Is(err, context.Canceled) {
		// An empty store may have had nothing to do.
		if err != nil {
			return fmt.Errorf("Load: error %v, want context.Canceled", err)
		}
	}
	return b.apply(added(item("192.0.2.1")), 1)
}

func loadEnds(b *bench) error {
	for i := range 3 {
		if err := b.apply(added(item(fmt.Sprintf("192.0.2.%d", i))), uint64(i+1)); err != nil {
			return err
		}
	}
	enough, calls := errors.New("enough"), 0
	_, err := b.store.Load(b.ctx, func(blocklist.Item) error { calls++; return enough })
	if !errors.Is(err, enough) || calls != 1 {
		return fmt.Errorf("error %v after %d calls, want that of the first", err, calls)
	}
	return nil
}
