package blocklist_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smtpguard/smtpguard/blocklist"
	"github.com/smtpguard/smtpguard/blocklist/storetest"
)

func dynamic(t *testing.T, cfg blocklist.DynamicConfig) *blocklist.Dynamic {
	t.Helper()
	d, err := blocklist.NewDynamic(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func block(value string) blocklist.Entry {
	return blocklist.Entry{Kind: blocklist.Addr, Value: value, Word: blocklist.Block, Source: "ann"}
}

func allow(value string) blocklist.Entry {
	e := block(value)
	e.Word = blocklist.Allow
	return e
}

func lasting(e blocklist.Entry, d time.Duration) blocklist.Entry {
	e.Expires = time.Now().Add(d)
	return e
}

// asks returns what s says of an address: a word, and the entry's value.
func asks(s blocklist.Source, addr string) string {
	m, ok := s.Find(blocklist.Query{Kind: blocklist.Addr, Addr: netip.MustParseAddr(addr)})
	if !ok {
		return "-"
	}
	return m.Entry.Word.String() + " " + m.Entry.Value
}

func TestDynamicConfig(t *testing.T) {
	for _, tt := range []struct {
		cfg   blocklist.DynamicConfig
		field string
	}{
		{blocklist.DynamicConfig{TTL: -1}, "TTL"},
		{blocklist.DynamicConfig{TTL: 3 * time.Hour, MaxTTL: time.Hour}, "TTL"},
		{blocklist.DynamicConfig{MaxTTL: -1}, "MaxTTL"},
		{blocklist.DynamicConfig{AutoTTL: 48 * time.Hour}, "AutoTTL"},
		{blocklist.DynamicConfig{MaxAutoTTL: -1}, "MaxAutoTTL"},
		{blocklist.DynamicConfig{Entries: -1}, "Entries"},
		{blocklist.DynamicConfig{Entries: 10, AutoEntries: 11}, "AutoEntries"},
		{blocklist.DynamicConfig{AutoBits4: 7}, "AutoBits4"},
		{blocklist.DynamicConfig{AutoBits4: 33}, "AutoBits4"},
		{blocklist.DynamicConfig{AutoBits6: 129}, "AutoBits6"},
		{blocklist.DynamicConfig{Reread: -1}, "Reread"},
		{blocklist.DynamicConfig{Protect: []netip.Prefix{{}}}, "Protect[0]"},
	} {
		if _, err := blocklist.NewDynamic(tt.cfg); err == nil || !strings.Contains(err.Error(), "blocklist: DynamicConfig."+tt.field+" ") {
			t.Errorf("error %v does not name %s", err, tt.field)
		}
	}
}

// What counts for a query, among entries of all kinds.
func TestDynamicFind(t *testing.T) {
	d := dynamic(t, blocklist.DynamicConfig{})
	for _, e := range []blocklist.Entry{
		block("192.0.2.0/24"), allow("192.0.2.64/26"), block("192.0.2.65"),
		block("2001:db8::/32"), allow("2001:db8:1::/48"),
		{Kind: blocklist.Domain, Value: "*.example.org", Word: blocklist.Block},
		{Kind: blocklist.Domain, Value: ".example.org", Word: blocklist.Allow},
		{Kind: blocklist.Domain, Value: "bad.example.org", Word: blocklist.Block},
		{Kind: blocklist.Domain, Value: ".tie.example", Word: blocklist.Block},
		{Kind: blocklist.Domain, Value: "*.tie.example", Word: blocklist.Allow},
		{Kind: blocklist.Domain, Value: "*.org", Word: blocklist.Block},
		{Kind: blocklist.Hello, Value: "ylmf-pc", Word: blocklist.Block},
		{Kind: blocklist.Hello, Value: "[192.0.2.1]", Word: blocklist.Block},
		{Kind: blocklist.Hello, Value: "*.dyn.example", Word: blocklist.Block},
		{Kind: blocklist.Mailbox, Value: "ann@example.org", Word: blocklist.Allow},
		{Kind: blocklist.Mailbox, Value: "@example.org", Word: blocklist.Block},
		{Kind: blocklist.Mailbox, Value: "offers@", Word: blocklist.Block},
		{Kind: blocklist.Fingerprint, Value: strings.Repeat("0A", 32), Word: blocklist.Block},
	} {
		e.Source = "ann"
		if err := d.Add(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	for addr, want := range map[string]string{
		"192.0.2.1":        "block 192.0.2.0/24",
		"::ffff:192.0.2.1": "block 192.0.2.0/24",
		"192.0.2.64":       "allow 192.0.2.64/26",
		"192.0.2.65":       "block 192.0.2.65",
		"192.0.3.1":        "-",
		"2001:db8::1":      "block 2001:db8::/32",
		"2001:db8:1:2::1":  "allow 2001:db8:1::/48",
		"2001:db9::1":      "-",
	} {
		if got := asks(d, addr); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	for _, tt := range []struct {
		kind        blocklist.Kind
		value, want string
		rank        int
	}{
		{blocklist.Domain, "Example.org.", "allow .example.org", 4},
		{blocklist.Domain, "a.b.example.org", "allow .example.org", 4},
		{blocklist.Domain, "bad.example.org", "block bad.example.org", 7},
		{blocklist.Domain, "x.bad.example.org", "allow .example.org", 4},
		{blocklist.Domain, "x.tie.example", "allow *.tie.example", 4},
		{blocklist.Domain, "tie.example", "block .tie.example", 4},
		{blocklist.Domain, "example2.org", "block *.org", 2},
		{blocklist.Domain, "org", "-", 0},
		{blocklist.Domain, "not a domain", "-", 0},
		{blocklist.Hello, "YLMF-PC", "block ylmf-pc", 3},
		{blocklist.Hello, "192.0.2.1", "block 192.0.2.1", 1},
		{blocklist.Hello, "a.dyn.example", "block *.dyn.example", 4},
		{blocklist.Hello, "dyn.example", "-", 0},
		{blocklist.Hello, "a.example.org", "-", 0},
		{blocklist.Mailbox, "Ann@example.org", "allow ann@example.org", 3},
		{blocklist.Mailbox, "bob@example.org", "block @example.org", 2},
		{blocklist.Mailbox, "offers@shop.example", "block offers@", 1},
		{blocklist.Mailbox, "bob@sub.example.org", "-", 0},
		{blocklist.Mailbox, "", "-", 0},
		{blocklist.Fingerprint, strings.Repeat("0a", 32), "block " + strings.Repeat("0a", 32), 1},
		{blocklist.Fingerprint, strings.Repeat("0b", 32), "-", 0},
		{0, "example.org", "-", 0},
	} {
		m, ok := d.Find(blocklist.Query{Kind: tt.kind, Value: tt.value})
		got := m.Entry.Word.String() + " " + m.Entry.Value
		if !ok {
			got = "-"
		}
		if got != tt.want || m.Rank != tt.rank {
			t.Errorf("%v %s: %s, rank %d, want %s, %d", tt.kind, tt.value, got, m.Rank, tt.want, tt.rank)
		}
	}
}

func TestDynamicFindDoesNotAllocate(t *testing.T) {
	d := dynamic(t, blocklist.DynamicConfig{})
	if err := errors.Join(d.Add(t.Context(), block("192.0.2.0/24")), d.Add(t.Context(), block("2001:db8::/32")),
		d.Add(t.Context(), blocklist.Entry{Kind: blocklist.Domain, Value: "*.example.com", Word: blocklist.Block, Source: "ann"}),
		d.Add(t.Context(), blocklist.Entry{Kind: blocklist.Mailbox, Value: "@example.com", Word: blocklist.Block, Source: "ann"})); err != nil {
		t.Fatal(err)
	}
	for _, q := range []blocklist.Query{
		{Kind: blocklist.Addr, Addr: netip.MustParseAddr("198.51.100.1")},
		{Kind: blocklist.Addr, Addr: netip.MustParseAddr("192.0.2.1")},
		{Kind: blocklist.Addr, Addr: netip.MustParseAddr("2001:db9::1")},
		{Kind: blocklist.Domain, Value: "mail.example.org"},
		{Kind: blocklist.Domain, Value: "mail.example.com"},
		{Kind: blocklist.Hello, Value: "mail.example.org"},
		{Kind: blocklist.Mailbox, Value: "ann@example.org"},
	} {
		if n := testing.AllocsPerRun(100, func() { d.Find(q) }); n > 0 {
			t.Errorf("%+v: %v allocations", q, n)
		}
	}
}

func TestDynamicAdd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dynamic(t, blocklist.DynamicConfig{MaxTTL: 30 * 24 * time.Hour})
		for _, tt := range []struct {
			e   blocklist.Entry
			err string
		}{
			{blocklist.Entry{}, "is neither Block nor Allow"},
			{block("example.org"), "is neither an address nor a prefix"},
			{block("0.0.0.0/0"), "fits every address"},
			{blocklist.Entry{Kind: blocklist.Addr, Value: "192.0.2.1", Word: blocklist.Block}, "has no Source"},
			{lasting(block("192.0.2.1"), -time.Second), "has expired already"},
			{lasting(block("192.0.2.1"), 31*24*time.Hour), "stays longer than MaxTTL, 720h0m0s"},
		} {
			err := d.Add(t.Context(), tt.e)
			if err == nil || !strings.HasPrefix(err.Error(), "blocklist: ") || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%+v: error %v, want %q", tt.e, err, tt.err)
			}
		}
		if d.Len() != 0 {
			t.Errorf("%d entries", d.Len())
		}
		start := time.Now()
		e := lasting(block("192.0.2.7/24"), time.Hour)
		e.Reason = "line one\r\nline two"
		if err := errors.Join(d.Add(t.Context(), e), d.Add(t.Context(), block("192.0.2.1"))); err != nil {
			t.Fatal(err)
		}
		it, ok := d.Get(blocklist.Addr, "192.0.2.99/24")
		if !ok || it.Value != "192.0.2.0/24" || it.Reason != "line one  line two" || !it.Added.Equal(start) || !it.Expires.Equal(start.Add(time.Hour)) || it.Auto {
			t.Errorf("%+v, %v", it, ok)
		}
		if it, _ := d.Get(blocklist.Addr, "192.0.2.1"); !it.Expires.Equal(start.Add(7 * 24 * time.Hour)) {
			t.Errorf("expires %v", it.Expires)
		}
		time.Sleep(time.Minute)
		if err := d.Add(t.Context(), lasting(allow("192.0.2.1"), time.Minute)); err != nil { // replaces, and may shorten
			t.Fatal(err)
		}
		if got := fmt.Sprint(values(d)); got != "[192.0.2.0/24 192.0.2.1]" {
			t.Errorf("list %s", got)
		}
		if got := asks(d, "192.0.2.1"); got != "allow 192.0.2.1" {
			t.Error(got)
		}
		time.Sleep(time.Minute)
		if got := asks(d, "192.0.2.1"); got != "block 192.0.2.0/24" {
			t.Errorf("a minute later: %s", got)
		}
		if _, ok := d.Get(blocklist.Addr, "192.0.2.1"); ok {
			t.Error("still there")
		}
		time.Sleep(time.Hour)
		if got := asks(d, "192.0.2.1"); got != "-" {
			t.Errorf("an hour later: %s", got)
		}
		if len(d.List()) != 0 {
			t.Errorf("an hour later: %v", d.List())
		}
	})
}

func values(d *blocklist.Dynamic) (all []string) {
	for _, it := range d.List() {
		all = append(all, it.Value)
	}
	return all
}

func TestDynamicRemove(t *testing.T) {
	var log []string
	d := dynamic(t, blocklist.DynamicConfig{Audit: func(c blocklist.Change) {
		log = append(log, fmt.Sprintf("%s %s by %s: %s", c.Op, c.Item.Value, c.By, c.Why))
	}})
	e := block("2001:DB8::/64")
	e.Reason = "spam"
	if err := d.Add(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(t.Context(), blocklist.Addr, "2001:db8::/64", "", ""); err == nil {
		t.Error("nobody removed it")
	}
	if err := d.Remove(t.Context(), blocklist.Addr, "2001:db8::1/64", "bob", "a mistake\n"); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(t.Context(), blocklist.Addr, "2001:db8::/64", "bob", ""); !errors.Is(err, blocklist.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if err := d.Remove(t.Context(), blocklist.Addr, "example.org", "bob", ""); err == nil || errors.Is(err, blocklist.ErrNotFound) {
		t.Errorf("no address: %v", err)
	}
	if got := asks(d, "2001:db8::1"); got != "-" {
		t.Error(got)
	}
	if got, want := fmt.Sprint(log), "[add 2001:db8::/64 by ann: spam remove 2001:db8::/64 by bob: a mistake ]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if _, err := d.Audit(t.Context(), 10); err == nil {
		t.Error("a record without a store")
	}
}

// Automatic entries block one address for a while, and nothing that is ours.
func TestDynamicAuto(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		friends := dynamic(t, blocklist.DynamicConfig{})
		if err := errors.Join(friends.Add(t.Context(), allow("203.0.113.0/24")), friends.Add(t.Context(), block("203.0.113.66"))); err != nil {
			t.Fatal(err)
		}
		d := dynamic(t, blocklist.DynamicConfig{
			Protect: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:1:2:3::/80"), netip.MustParsePrefix("::ffff:10.0.0.0/104")},
			Allowed: friends,
		})
		if err := errors.Join(d.Add(t.Context(), allow("192.0.2.128/25")), d.Add(t.Context(), allow("2001:db8:2::25")), d.Add(t.Context(), block("192.0.2.0/28"))); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			e    blocklist.Entry
			is   error
			text string
		}{
			{block("198.51.100.1"), blocklist.ErrProtected, "198.51.100.0/24 is in Protect"},
			{block("::ffff:198.51.100.1"), blocklist.ErrProtected, "198.51.100.0/24"},
			{block("10.1.2.3"), blocklist.ErrProtected, "10.0.0.0/8"},
			{block("2001:db8:1:2::/64"), blocklist.ErrProtected, "2001:db8:1:2:3::/80"},
			{block("192.0.2.200"), blocklist.ErrProtected, "allowed by 192.0.2.128/25 of ann"},
			{block("2001:db8:2::/64"), blocklist.ErrProtected, "allowed by 2001:db8:2::25"},
			{block("203.0.113.1"), blocklist.ErrProtected, "allowed by 203.0.113.0/24 of ann"},
			{block("192.0.3.0/31"), nil, "wider than /32"},
			{block("2001:db8:3::/63"), nil, "wider than /64"},
			{allow("192.0.3.1"), nil, "may only block an address"},
			{blocklist.Entry{Kind: blocklist.Domain, Value: "example.org", Word: blocklist.Block, Source: "trap"}, nil, "may only block an address"},
		} {
			err := d.AddAuto(t.Context(), tt.e)
			if err == nil || !strings.Contains(err.Error(), tt.text) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%s: error %v, want %q", tt.e.Value, err, tt.text)
			}
		}
		// A list of friends that blocks the one is no protection.
		if err := d.AddAuto(t.Context(), block("203.0.113.66")); err != nil {
			t.Error(err)
		}
		start := time.Now()
		for value, lasts := range map[string]time.Duration{"192.0.3.1": 0, "192.0.3.2": time.Minute, "192.0.3.3": 48 * time.Hour} {
			e := block(value)
			if lasts > 0 {
				e = lasting(e, lasts)
			}
			if err := d.AddAuto(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		for value, want := range map[string]time.Duration{"192.0.3.1": time.Hour, "192.0.3.2": time.Minute, "192.0.3.3": 24 * time.Hour} {
			if it, ok := d.Get(blocklist.Addr, value); !ok || !it.Auto || it.Expires.Sub(start) != want {
				t.Errorf("%s: %+v, %v, want %v", value, it, ok, want)
			}
		}
		// The later end counts, and a person's word stays.
		if err := errors.Join(d.AddAuto(t.Context(), lasting(block("192.0.3.1"), time.Minute)), d.AddAuto(t.Context(), block("192.0.3.2")), d.AddAuto(t.Context(), block("192.0.2.0/28"))); err == nil {
			t.Error("a /28 is one address")
		}
		for value, want := range map[string]time.Duration{"192.0.3.1": time.Hour, "192.0.3.2": time.Hour} {
			if it, _ := d.Get(blocklist.Addr, value); it.Expires.Sub(start) != want {
				t.Errorf("%s: expires after %v, want %v", value, it.Expires.Sub(start), want)
			}
		}
		if err := errors.Join(d.Add(t.Context(), lasting(block("192.0.3.1"), time.Minute)), d.AddAuto(t.Context(), block("192.0.3.1"))); err != nil {
			t.Fatal(err)
		}
		if it, _ := d.Get(blocklist.Addr, "192.0.3.1"); it.Auto || it.Expires.Sub(start) != time.Minute {
			t.Errorf("a person's word was overruled: %+v", it)
		}
		// Friends come before what was found earlier, however wide their entry.
		if err := errors.Join(d.Add(t.Context(), allow("192.0.3.0/29")), friends.Add(t.Context(), allow("192.0.3.2"))); err != nil {
			t.Fatal(err)
		}
		for addr, want := range map[string]string{
			"192.0.3.1": "block 192.0.3.1", // a person's, and the more specific
			"192.0.3.2": "allow 192.0.3.0/29",
			"192.0.3.3": "allow 192.0.3.0/29",
		} {
			if got := asks(d, addr); got != want {
				t.Errorf("%s: %s, want %s", addr, got, want)
			}
		}
		if err := d.AddAuto(t.Context(), block("192.0.4.1")); err != nil {
			t.Fatal(err)
		}
		if got := asks(d, "192.0.4.1"); got != "block 192.0.4.1" {
			t.Error(got)
		}
		if err := friends.Add(t.Context(), allow("192.0.4.0/24")); err != nil {
			t.Fatal(err)
		}
		if got := asks(d, "192.0.4.1"); got != "-" {
			t.Errorf("an automatic entry against a friend: %s", got)
		}
	})
}

// Automatic entries may be wider where that is allowed, but protect as before.
func TestDynamicAutoBits(t *testing.T) {
	d := dynamic(t, blocklist.DynamicConfig{AutoBits4: 24, AutoBits6: 56, Protect: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}})
	if err := errors.Join(d.AddAuto(t.Context(), block("192.0.3.0/24")), d.AddAuto(t.Context(), block("2001:db8::/56"))); err != nil {
		t.Error(err)
	}
	if err := d.AddAuto(t.Context(), block("192.0.2.0/24")); !errors.Is(err, blocklist.ErrProtected) {
		t.Errorf("around a protected address: %v", err)
	}
}

// A full list refuses what is new, and lets nothing go that has not expired.
func TestDynamicFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dynamic(t, blocklist.DynamicConfig{Entries: 10})
		for i := range 9 {
			if err := d.AddAuto(t.Context(), lasting(block(fmt.Sprintf("192.0.2.%d", i)), time.Duration(i+1)*time.Minute)); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.AddAuto(t.Context(), block("192.0.2.100")); !errors.Is(err, blocklist.ErrFull) {
			t.Errorf("a tenth automatic entry: %v", err)
		}
		if err := errors.Join(d.AddAuto(t.Context(), block("192.0.2.8")), d.Add(t.Context(), allow("192.0.2.101"))); err != nil {
			t.Errorf("one that is there, or a person's: %v", err)
		}
		if err := d.Add(t.Context(), block("192.0.2.102")); !errors.Is(err, blocklist.ErrFull) {
			t.Errorf("an eleventh: %v", err)
		}
		if err := d.Add(t.Context(), block("192.0.2.8")); err != nil {
			t.Errorf("in place of another: %v", err)
		}
		if len(values(d)) != 10 {
			t.Error(values(d))
		}
		time.Sleep(time.Minute)
		if err := d.AddAuto(t.Context(), block("192.0.2.103")); err != nil {
			t.Errorf("in the room of what has expired: %v", err)
		}
		if asks(d, "192.0.2.0") != "-" || asks(d, "192.0.2.1") == "-" || asks(d, "192.0.2.103") == "-" {
			t.Error(values(d))
		}
	})
}

// Many at once, for the race detector.
func TestDynamicConcurrent(t *testing.T) {
	m := &storetest.Memory{Every: time.Millisecond}
	d, other := dynamic(t, blocklist.DynamicConfig{Store: m}), dynamic(t, blocklist.DynamicConfig{Store: m})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				value := fmt.Sprintf("192.0.%d.%d", i%3, i%7)
				var err error
				switch (g + i) % 4 {
				case 0:
					err = d.Add(t.Context(), block(value))
				case 1:
					err = other.AddAuto(t.Context(), block(value))
				case 2:
					err = d.Remove(t.Context(), blocklist.Addr, value, "bob", "")
				default:
					asks(d, value)
					d.List()
					d.Get(blocklist.Addr, value)
				}
				if err != nil && !errors.Is(err, blocklist.ErrNotFound) && !errors.Is(err, blocklist.ErrProtected) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	// Both end up with what the store has.
	deadline := time.Now().Add(30 * time.Second)
	for {
		var want []string
		m.Load(t.Context(), func(it blocklist.Item) error { want = append(want, it.Value); return nil })
		if sorted(want) == sorted(values(d)) && sorted(want) == sorted(values(other)) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("store %v\nhere  %v\nother %v", sorted(want), sorted(values(d)), sorted(values(other)))
		}
		time.Sleep(time.Millisecond)
	}
}
