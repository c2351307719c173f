package blocklist_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smtpguard/smtpguard/blocklist"
	"github.com/smtpguard/smtpguard/blocklist/storetest"
)

func sorted(all []string) string {
	all = slices.Clone(all)
	slices.Sort(all)
	return strings.Join(all, " ")
}

// flaky is a store that is away when told to be.
type flaky struct {
	storetest.Memory
	away atomic.Bool
}

func newFlaky(every time.Duration) *flaky {
	f := new(flaky)
	f.Every = every
	return f
}

var errAway = errors.New("store away")

func (f *flaky) Apply(ctx context.Context, c blocklist.Change) (uint64, error) {
	if f.away.Load() {
		return 0, errAway
	}
	return f.Memory.Apply(ctx, c)
}

func (f *flaky) Load(ctx context.Context, each func(blocklist.Item) error) (uint64, error) {
	if f.away.Load() {
		return 0, errAway
	}
	return f.Memory.Load(ctx, each)
}

func (f *flaky) Changes(ctx context.Context, after uint64) ([]blocklist.Change, uint64, error) {
	if f.away.Load() {
		return nil, 0, errAway
	}
	return f.Memory.Changes(ctx, after)
}

// kept returns what the store has.
func (f *flaky) kept(t *testing.T) string {
	t.Helper()
	var all []string
	if _, err := f.Memory.Load(t.Context(), func(it blocklist.Item) error { all = append(all, it.Value); return nil }); err != nil {
		t.Fatal(err)
	}
	return sorted(all)
}

func TestDynamicSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(storetest.Memory)
		d := dynamic(t, blocklist.DynamicConfig{Store: store})
		if err := errors.Join(d.Add(t.Context(), lasting(allow("192.0.2.0/24"), time.Minute)), d.AddAuto(t.Context(), block("198.51.100.1")),
			d.Add(t.Context(), block("192.0.2.1")), d.Remove(t.Context(), blocklist.Addr, "192.0.2.1", "bob", "mistake")); err != nil {
			t.Fatal(err)
		}
		before := fmt.Sprint(d.List())
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		d = dynamic(t, blocklist.DynamicConfig{Store: store})
		if after := fmt.Sprint(d.List()); after != before {
			t.Errorf("after a restart %s, before %s", after, before)
		}
		cs, err := d.Audit(t.Context(), 3)
		if err != nil || len(cs) != 3 {
			t.Fatalf("%v, %v", cs, err)
		}
		for i, want := range []string{"4 remove 192.0.2.1 bob mistake", "3 add 192.0.2.1 ann ", "2 add 198.51.100.1 ann "} {
			if got := fmt.Sprintf("%d %s %s %s %s", cs[i].Seq, cs[i].Op, cs[i].Item.Value, cs[i].By, cs[i].Why); got != want {
				t.Errorf("record: %s, want %s", got, want)
			}
		}
	})
}

// A store that cannot be read is an error, unless that is allowed for.
func TestDynamicStartAway(t *testing.T) {
	for _, every := range []time.Duration{0, 500 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			store := newFlaky(every)
			d := dynamic(t, blocklist.DynamicConfig{Store: store})
			if err := d.Add(t.Context(), block("192.0.2.1")); err != nil {
				t.Fatal(err)
			}
			d.Close()
			store.away.Store(true)
			if _, err := blocklist.NewDynamic(blocklist.DynamicConfig{Store: store}); err == nil || !strings.Contains(err.Error(), "store away") {
				t.Errorf("started: %v", err)
			}
			var told []error
			d = dynamic(t, blocklist.DynamicConfig{Store: store, StartAway: true, OnError: func(err error) { told = append(told, err) }})
			if len(told) != 1 || told[0] == nil {
				t.Errorf("told %v", told)
			}
			if err := d.AddAuto(t.Context(), block("192.0.2.2")); !errors.Is(err, blocklist.ErrNotKept) {
				t.Errorf("added: %v", err)
			}
			time.Sleep(10 * time.Second)
			store.away.Store(false)
			time.Sleep(3 * time.Second)
			synctest.Wait()
			if got := sorted(values(d)); got != "192.0.2.1 192.0.2.2" || store.kept(t) != got {
				t.Errorf("here %s, store %s", got, store.kept(t))
			}
			if len(told) != 2 || told[1] != nil {
				t.Errorf("told %v", told)
			}
		})
	}
}

// While the store is away changes are in force here, and told to it later.
func TestDynamicStoreAway(t *testing.T) {
	for _, every := range []time.Duration{0, 500 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			store := newFlaky(every)
			var told []error
			var log []string
			d := dynamic(t, blocklist.DynamicConfig{
				Store:   store,
				OnError: func(err error) { told = append(told, err) },
				Audit:   func(c blocklist.Change) { log = append(log, fmt.Sprintf("%s %s %d", c.Op, c.Item.Value, c.Seq)) },
			})
			if err := errors.Join(d.Add(t.Context(), block("192.0.2.1")), d.Add(t.Context(), block("192.0.2.2"))); err != nil {
				t.Fatal(err)
			}
			store.away.Store(true)
			for i, err := range []error{
				d.Add(t.Context(), block("192.0.2.3")),
				d.AddAuto(t.Context(), block("192.0.2.4")),
				d.AddAuto(t.Context(), lasting(block("192.0.2.5"), time.Second)),
				d.Remove(t.Context(), blocklist.Addr, "192.0.2.1", "bob", ""),
				d.Add(t.Context(), block("192.0.2.6")),
				d.Remove(t.Context(), blocklist.Addr, "192.0.2.6", "bob", ""),
			} {
				if !errors.Is(err, blocklist.ErrNotKept) {
					t.Errorf("change %d: %v", i, err)
				}
			}
			if got := sorted(values(d)); got != "192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5" {
				t.Error(got)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if len(told) != 1 || told[0] == nil || store.kept(t) != "192.0.2.1 192.0.2.2" {
				t.Errorf("told %v, store %s", told, store.kept(t))
			}
			store.away.Store(false)
			time.Sleep(3 * time.Second)
			synctest.Wait()
			if got := sorted(values(d)); got != "192.0.2.2 192.0.2.3 192.0.2.4" || store.kept(t) != got {
				t.Errorf("here %s, store %s", got, store.kept(t))
			}
			if len(told) != 2 || told[1] != nil {
				t.Errorf("told %v", told)
			}
			if err := d.Add(t.Context(), block("192.0.2.7")); err != nil {
				t.Error(err)
			}
			want := "[add 192.0.2.1 1 add 192.0.2.2 2 add 192.0.2.3 0 add 192.0.2.4 0 add 192.0.2.5 0 remove 192.0.2.1 0 add 192.0.2.6 0 remove 192.0.2.6 0 add 192.0.2.7 7]"
			if got := fmt.Sprint(log); got != want {
				t.Errorf("%s\nwant %s", got, want)
			}
		})
	}
}

// Close makes one last try, and says what is lost.
func TestDynamicClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFlaky(0)
		d := dynamic(t, blocklist.DynamicConfig{Store: store})
		store.away.Store(true)
		d.Add(t.Context(), block("192.0.2.1"))
		if err := d.Close(); err == nil || !strings.Contains(err.Error(), "was not told of 1 changes: store away") {
			t.Errorf("closed: %v", err)
		}
		store.away.Store(false)
		if err := d.Close(); err != nil || store.kept(t) != "192.0.2.1" {
			t.Errorf("closed: %v, store %s", err, store.kept(t))
		}
	})
}

// Who has gone does not make the store count as away.
func TestDynamicCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFlaky(0)
		store.Fail = func(op string) error {
			if op == "apply" {
				time.Sleep(10 * time.Second)
			}
			return nil
		}
		d := dynamic(t, blocklist.DynamicConfig{Store: store, OnError: func(err error) { t.Errorf("told %v", err) }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		done := make(chan error)
		go func() { done <- d.Add(t.Context(), block("192.0.2.1")) }()
		synctest.Wait()
		if err := d.Add(ctx, block("192.0.2.2")); !errors.Is(err, ctx.Err()) || err == nil {
			t.Errorf("waited for the turn: %v", err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Two processes on one store hear of each other within its Poll.
func TestDynamicShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFlaky(500 * time.Millisecond)
		a, b := dynamic(t, blocklist.DynamicConfig{Store: store}), dynamic(t, blocklist.DynamicConfig{Store: store})
		if err := errors.Join(a.Add(t.Context(), block("192.0.2.1")), b.AddAuto(t.Context(), block("192.0.2.2"))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(501 * time.Millisecond)
		synctest.Wait()
		if asks(a, "192.0.2.2") == "-" || asks(b, "192.0.2.1") == "-" {
			t.Error(values(a), values(b))
		}
		// A person's word elsewhere, that is not known here yet, stands.
		if err := a.Add(t.Context(), allow("192.0.2.3")); err != nil {
			t.Fatal(err)
		}
		if err := b.AddAuto(t.Context(), block("192.0.2.3")); !errors.Is(err, blocklist.ErrProtected) {
			t.Errorf("over a person's word: %v", err)
		}
		if err := b.Remove(t.Context(), blocklist.Addr, "192.0.2.1", "bob", ""); err != nil {
			t.Fatal(err)
		}
		if err := b.Add(t.Context(), block("192.0.2.2")); err != nil {
			t.Fatal(err)
		}
		if asks(b, "192.0.2.1") != "-" {
			t.Error("removed, and there")
		}
		time.Sleep(501 * time.Millisecond)
		synctest.Wait()
		if x, y := fmt.Sprint(a.List()), fmt.Sprint(b.List()); x != y || sorted(values(a)) != "192.0.2.2 192.0.2.3" {
			t.Errorf("%s\n%s", x, y)
		}
	})
}

// What a process has missed, it reads anew.
func TestDynamicRereads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFlaky(500 * time.Millisecond)
		store.Limit = 3
		a, b := dynamic(t, blocklist.DynamicConfig{Store: store}), dynamic(t, blocklist.DynamicConfig{Store: store})
		if err := a.Add(t.Context(), block("192.0.2.99")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		for i := range 10 { // more than the store remembers, between two polls
			if err := a.Add(t.Context(), block(fmt.Sprintf("192.0.2.%d", i))); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Remove(t.Context(), blocklist.Addr, "192.0.2.99", "ann", ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(501 * time.Millisecond)
		synctest.Wait()
		if x, y := sorted(values(a)), sorted(values(b)); x != y || b.Len() != 10 {
			t.Errorf("%s\n%s", x, y)
		}
		// A store that has lost its memory gets it back.
		if err := b.AddAuto(t.Context(), block("198.51.100.1")); err != nil {
			t.Fatal(err)
		}
		want := sorted(append(values(a), "198.51.100.1"))
		store.Forget()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if x, y := sorted(values(a)), sorted(values(b)); x != want || y != want || store.kept(t) != want {
			t.Errorf("%s\n%s\nstore %s\nwant %s", x, y, store.kept(t), want)
		}
	})
}

// News that never came is made up for by reading all at times.
func TestDynamicMissedNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFlaky(500 * time.Millisecond)
		a := dynamic(t, blocklist.DynamicConfig{Store: store})
		b := dynamic(t, blocklist.DynamicConfig{Store: deaf{store}, Reread: time.Minute})
		if err := a.Add(t.Context(), block("192.0.2.1")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		if asks(b, "192.0.2.1") != "-" {
			t.Error("heard")
		}
		time.Sleep(31 * time.Second)
		if asks(b, "192.0.2.1") == "-" {
			t.Error("not read anew")
		}
		if err := a.Remove(t.Context(), blocklist.Addr, "192.0.2.1", "ann", ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Second)
		if asks(b, "192.0.2.1") != "-" {
			t.Error("removed, and there")
		}
	})
}

// deaf is a store whose news never comes.
type deaf struct{ *flaky }

func (d deaf) Changes(_ context.Context, after uint64) ([]blocklist.Change, uint64, error) {
	return nil, after, nil
}

// What others put into the store is not believed unseen.
func TestDynamicDistrusts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFlaky(500 * time.Millisecond)
		put := func(value string) {
			it := blocklist.Item{Entry: block(value), Auto: true}
			it.Expires = time.Now().Add(time.Hour)
			if _, err := store.Apply(t.Context(), blocklist.Change{Time: time.Now(), Op: blocklist.Added, Item: it}); err != nil {
				t.Fatal(err)
			}
		}
		put("no address")
		put("192.0.2.1")
		var told []string
		d := dynamic(t, blocklist.DynamicConfig{Store: store, Entries: 10, OnError: func(err error) { told = append(told, fmt.Sprint(err)) }})
		put("nor this")
		for i := range 40 {
			put(fmt.Sprintf("198.51.100.%d", i))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if d.Len() != 18 { // twice nine
			t.Errorf("%d entries", d.Len())
		}
		if len(told) != 1+1+23 || !strings.Contains(told[0], "1 entries of the store make no sense") || !strings.Contains(told[1], `"nor this"`) {
			t.Errorf("told %d: %q", len(told), told)
		}
	})
}
