package dnsbl_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/dnsbl"
)

// diary keeps events, as "event zone standing".
type diary struct {
	mu    sync.Mutex
	lines []string
	full  []smtpguard.Event
}

func (d *diary) observe(ev smtpguard.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = append(d.full, ev)
	d.lines = append(d.lines, ev.Facts["event"]+" "+ev.Facts["zone"]+" "+ev.Facts["standing"]+ev.Facts["subject"])
}

func (d *diary) read() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines)
}

// told are the events as they are.
func (d *diary) told() []smtpguard.Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.full)
}

// healthy is what a zone of addresses answers for its tests.
func healthy(w *world, zone string) {
	w.set("2.0.0.127."+zone+".example", "127.0.0.2")
}

func TestHealth(t *testing.T) {
	for _, tt := range []struct {
		name string
		zone dnsbl.Zone
		a    map[string]string
		want dnsbl.Standing
		why  string
	}{
		{"well", zone("a"), map[string]string{"2.0.0.127.a.example": "127.0.0.2"}, dnsbl.Well, ""},
		{"listed by a code that is not ours", zone("a"), map[string]string{"2.0.0.127.a.example": "127.0.0.77"}, dnsbl.Well, ""},
		{"dead", zone("a"), nil, dnsbl.Empty, "does not list what is always listed*"},
		{"lists what it must not", zone("a"), map[string]string{"2.0.0.127.a.example": "127.0.0.2", "1.0.0.127.a.example": "127.0.0.2"},
			dnsbl.World, "lists the world: 1.0.0.127 among it"},
		{"lists the world", zone("a"), map[string]string{"*.a.example": "127.0.0.2"}, dnsbl.World, "lists the world: *"},
		{"lists the world by a code that is not ours", zone("a"), map[string]string{"*.a.example": "127.0.0.77"}, dnsbl.World, "lists the world: *"},
		{"parked", zone("a"), map[string]string{"*.a.example": "203.0.113.7"}, dnsbl.Rewritten, "answers 203.0.113.7: outside *"},
		{"NXDOMAIN is rewritten", zone("a"), map[string]string{"*.a.example": "198.51.100.9", "2.0.0.127.a.example": "127.0.0.2", "1.0.0.127.a.example": ""},
			dnsbl.Rewritten, "answers 198.51.100.9: outside *"},
		{"blocks us", zone("a"), map[string]string{"*.a.example": "127.255.255.254"}, dnsbl.Refuses, "*public resolver*"},
		{"blocks us as others do", zone("a"), map[string]string{"*.a.example": "127.0.0.1"}, dnsbl.Refuses, "*blocked the resolver"},
		{"away", zone("a"), map[string]string{"*.a.example": "timeout"}, dnsbl.Away, "no answer in time"},
		{"broken", zone("a"), map[string]string{"*.a.example": "servfail"}, dnsbl.Away, "server misbehaving"},
		{"a resolver that panics", zone("a"), map[string]string{"*.a.example": "panic"}, dnsbl.Away, "*panicked"},
		{"IPv6", dnsbl.Zone{Domain: "a.example", Lists: dnsbl.IPv6},
			map[string]string{"2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.a.example": "127.0.0.2"}, dnsbl.Well, ""},
		{"domains", dnsbl.Zone{Domain: "a.example", Lists: dnsbl.Domains}, map[string]string{"test.a.example": "127.0.0.2"}, dnsbl.Well, ""},
		{"domains, INVALID", dnsbl.Zone{Domain: "a.example", Lists: dnsbl.Domains},
			map[string]string{"test.a.example": "127.0.0.2", "invalid.a.example": "127.0.0.2"}, dnsbl.World, "lists the world: invalid among it"},
		{"points of its own", dnsbl.Zone{Domain: "a.example", Lists: dnsbl.Domains, TestListed: "dbltest.com", TestUnlisted: "-"},
			map[string]string{"dbltest.com.a.example": "127.0.0.2", "invalid.a.example": "127.0.0.2"}, dnsbl.Well, ""},
		{"no points", dnsbl.Zone{Domain: "a.example", Lists: dnsbl.Domains, TestListed: "-", TestUnlisted: "-"}, nil, dnsbl.Well, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if tt.a == nil {
					tt.a = map[string]string{}
				}
				w := &world{a: tt.a}
				l := newLists(t, dnsbl.Config{Resolver: w, Zones: []dnsbl.Zone{tt.zone}})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				l.Run(ctx)
				s := l.Stats()[0]
				if s.Standing != tt.want || !like(tt.why, s.Why) {
					t.Errorf("%v, %q; want %v, %q", s.Standing, s.Why, tt.want, tt.why)
				}
				if s.Asked != 0 {
					t.Error("tests count as lookups")
				}
				before := w.questions("")
				l.Addr(t.Context(), client)
				l.Addr(t.Context(), netip.MustParseAddr("2a00::1"))
				l.Domain(t.Context(), "x.example")
				if asked := w.questions("") > before; asked != (tt.want == dnsbl.Well) {
					t.Errorf("asked: %v", asked)
				}
			})
		})
	}
}

// A zone is set aside by the first test that it fails, tested again the sooner
// the shorter it has been away, and taken back by the first that it passes.
func TestSetAsideAndTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{a: map[string]string{}}
		healthy(w, "a")
		healthy(w, "b")
		var d diary
		l := newLists(t, dnsbl.Config{Resolver: w, Zones: []dnsbl.Zone{zone("a"), zone("b")}, Observe: d.observe})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		step := func(d2 time.Duration, want ...string) {
			t.Helper()
			time.Sleep(d2)
			synctest.Wait()
			if got := d.read(); !slices.Equal(got, want) {
				t.Fatalf("%q, want %q", got, want)
			}
		}
		step(time.Hour)
		tests := w.questions("2.0.0.127.a")
		if tests < 4 || tests > 6 {
			t.Errorf("%d tests in an hour", tests)
		}
		w.set("*.a.example", "127.0.0.2")
		step(19*time.Minute, "aside a.example world")
		if l.Addr(ctx, client); w.questions(under("a")) != 0 || w.questions(under("b")) != 1 {
			t.Error("who is asked is not as it should be")
		}
		before := w.questions("2.0.0.127.a")
		step(time.Hour, "aside a.example world")
		if n := w.questions("2.0.0.127.a") - before; n < 3 || n > 8 {
			t.Errorf("%d tests in the hour set aside", n)
		}
		if l.Addr(ctx, client); w.questions(under("a")) != 0 {
			t.Error("asked while set aside")
		}
		w.set("*.a.example", "")
		step(19*time.Minute, "aside a.example world", "back a.example well")
		if l.Addr(ctx, client); w.questions(under("a")) != 1 {
			t.Error("not asked when taken back")
		}
		if s := l.Stats()[0]; s.Skipped != 2 || s.Standing != dnsbl.Well {
			t.Errorf("%+v", s)
		}
		cancel()
		if err := <-done; err != context.Canceled {
			t.Error(err)
		}
	})
}

// Lookups set a zone aside too, and have doubtful ones tested at once.
func TestLookupsTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{a: map[string]string{under("a"): "127.255.255.254", under("b"): "timeout", under("c"): "203.0.113.9"}}
		for _, z := range []string{"a", "b", "c"} {
			healthy(w, z)
		}
		var d diary
		l := newLists(t, dnsbl.Config{Resolver: w, Zones: []dnsbl.Zone{zone("a"), zone("b"), zone("c")}, Observe: d.observe,
			Health: dnsbl.Health{Errors: 3}})
		for range 4 {
			l.Addr(t.Context(), client)
		}
		if got := d.read(); !slices.Equal(got, []string{"aside a.example refuses", "aside b.example away"}) {
			t.Fatalf("%q", got)
		}
		if a, b, c := w.questions(under("a")), w.questions(under("b")), w.questions(under("c")); a != 1 || b != 3 || c != 4 {
			t.Errorf("asked %d, %d, %d times", a, b, c)
		}
		// Nobody tests: after a while they are asked again, and an answer is proof.
		time.Sleep(time.Minute + time.Second)
		w.set(under("a"), "")
		l.Addr(t.Context(), client)
		if got := d.read()[2:]; !slices.Equal(got, []string{"back a.example well"}) {
			t.Fatalf("%q", got)
		}
		// With tests, one is made as soon as a zone is in doubt.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go l.Run(ctx)
		time.Sleep(time.Minute)
		synctest.Wait()
		tests := w.questions("2.0.0.127.c")
		w.set("*.c.example", "203.0.113.9")
		l.Addr(t.Context(), client)
		synctest.Wait()
		if n := w.questions("2.0.0.127.c") - tests; n != 1 {
			t.Errorf("%d tests of what is in doubt", n)
		}
		if s := l.Stats()[2]; s.Standing != dnsbl.Rewritten {
			t.Errorf("%+v", s)
		}
	})
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{a: map[string]string{}, txt: map[string]string{under("a"): "seen at a trap"}}
		d1 := dnsbl.Zone{Domain: "d.example", Lists: dnsbl.Domains}
		l := newLists(t, dnsbl.Config{Resolver: w, Zones: []dnsbl.Zone{zone("a"), zone("b"), d1}})
		var d diary
		watch, err := dnsbl.NewWatch(dnsbl.WatchConfig{Lists: l, Addrs: []netip.Addr{client}, Domains: []string{"Ours.example"}, Observe: d.observe})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go watch.Run(ctx)
		step := func(want ...string) {
			t.Helper()
			time.Sleep(73 * time.Minute)
			synctest.Wait()
			if got := d.read(); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		}
		step()
		w.set(under("a"), "127.0.0.2")
		w.set("ours.example.d.example", "127.0.0.2")
		all := []string{"listed a.example 5.6.7.8", "listed d.example ours.example"}
		step(all...)
		if got := d.told()[0].Reason; got != "ours: 5.6.7.8 is listed by a.example: seen at a trap" {
			t.Error(got)
		}
		step(all...)
		w.set(under("a"), "servfail") // is no delisting
		step(all...)
		if got := watch.Listed(); len(got) != 2 || got[0].String() != "5.6.7.8 is listed by a.example" {
			t.Errorf("%v", got)
		}
		w.set(under("a"), "")
		step(append(all, "delisted a.example 5.6.7.8")...)
		if got := watch.Listed(); len(got) != 1 {
			t.Errorf("%v", got)
		}
	})
	_, err := dnsbl.NewWatch(dnsbl.WatchConfig{Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Domains: []string{"[x]"}, Every: -1})
	for _, want := range []string{"Lists is missing", "Addrs[0] is 10.0.0.1", `Domains[0] "[x]"`, "Every"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestStats(t *testing.T) {
	w := &world{a: map[string]string{}}
	l := newLists(t, dnsbl.Config{Resolver: w, Complete: true, Zones: []dnsbl.Zone{zone("a"), zone("b"), zone("c")}})
	for i, on := range []string{"ab", "a", "c", "", "abc", "a"} {
		addr := netip.AddrFrom4([4]byte{5, 6, 7, byte(i)})
		for _, z := range on {
			w.set(fmt.Sprintf("%d.7.6.5.%c.example", i, z), "127.0.0.2")
		}
		l.Addr(t.Context(), addr)
	}
	w.set("9.7.6.5.b.example", "servfail")
	l.Addr(t.Context(), netip.AddrFrom4([4]byte{5, 6, 7, 9}))
	var got []string
	for _, s := range l.Stats() {
		got = append(got, fmt.Sprintf("%s asked %d listed %d errors %d unique %d overlap %v", s.Zone, s.Asked, s.Listed, s.Errors, s.Unique, s.Overlap))
		if s.Latency.Answers != 7 || s.Latency.Total <= 0 || s.Latency.Mean() <= 0 || s.Latency.Mean() > s.Latency.Total {
			t.Errorf("%+v", s.Latency)
		}
	}
	want := []string{
		"a.example asked 7 listed 4 errors 0 unique 2 overlap map[b.example:2 c.example:1]",
		"b.example asked 7 listed 2 errors 1 unique 0 overlap map[a.example:2 c.example:1]",
		"c.example asked 7 listed 2 errors 0 unique 1 overlap map[a.example:1 b.example:1]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Ten thousand sessions at once behind a server that does not answer: none waits
// longer than it may, questions are bounded, and the lists are soon set aside.
func TestStormBehindStalledServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{a: map[string]string{"*.a.example": "hang", "*.b.example": "hang"}}
		var d diary
		l := newLists(t, dnsbl.Config{Resolver: w, Zones: []dnsbl.Zone{zone("a"), zone("b")}, Timeout: 2 * time.Second, Pending: 1000, Observe: d.observe})
		start := time.Now()
		var group sync.WaitGroup
		for i := range 10_000 {
			group.Go(func() {
				if res := l.Addr(t.Context(), netip.AddrFrom4([4]byte{5, 6, byte(i >> 8), byte(i)})); len(res.Failures) != 2 || res.Action != smtpguard.Continue {
					t.Errorf("%+v", res)
				}
			})
		}
		group.Wait()
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
		if n := w.questions(""); n != 1000 {
			t.Errorf("%d questions were under way", n)
		}
		got := d.read()
		slices.Sort(got)
		if !slices.Equal(got, []string{"aside a.example away", "aside b.example away"}) {
			t.Errorf("%q", got)
		}
	})
}
