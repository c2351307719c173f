package surbl_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/surbl"
)

// look looks up the links of a text.
func look(t *testing.T, l *surbl.Lists, text string) *surbl.Result {
	t.Helper()
	res, err := l.Message(t.Context(), strings.NewReader("Subject: x\r\n\r\n"+text+"\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func listed(res *surbl.Result) string {
	var list []string
	for i := range res.Listings {
		list = append(list, res.Listings[i].String())
	}
	return strings.Join(list, "; ")
}

func TestLookup(t *testing.T) {
	both(t, func(t *testing.T, kind func(*world) surbl.Resolver) {
		w := &world{a: map[string]string{
			"evil.co.uk.multi.example":     "127.0.0.72",
			"2.0.16.203.multi.example":     "127.0.0.8",
			"bad.host.com.dbl.example":     "127.0.1.4",
			"hosted.com":                   "5.6.7.8",
			"8.7.6.5.ip.example":           "127.0.0.2",
			"ns.evil.net":                  "5.6.7.9",
			"9.7.6.5.ip.example":           "127.0.0.2",
			"error.com.multi.example":      "127.0.0.1",
			"rewritten.com.plain.example":  "198.51.100.1",
			"away.com.other.example":       "servfail",
			"crash.com.other.example":      "panic",
			"unnamed.com.other.example":    "127.0.0.99",
			"google.com.multi.example":     "127.0.0.8",
			"xn--bcher-kva.de.dbl.example": "127.0.1.2",
		}, ns: map[string]string{"served.com": "ns.evil.net."}}
		multi, dbl := surbl.SURBL(), surbl.SpamhausDBL()
		multi.Domain, dbl.Domain = "multi.example", "dbl.example"
		for _, tt := range []struct{ text, want string }{
			{"nothing at clean.com", ""},
			{"see http://www.evil.co.uk/x", "hxxp://www[.]evil[.]co[.]uk/x (plain): evil.co.uk is listed by multi.example (phishing, abuse)"},
			{"mail a@www.evil.co.uk", "a[@]www[.]evil[.]co[.]uk (mail): evil.co.uk is listed by multi.example (phishing, abuse)"},
			{"see http://0xcb.16.2/", "hxxp://203[.]16[.]0[.]2/ (plain, number): 203.16.0.2 is listed by multi.example (phishing)"},
			{"see http://bad.host.com/", "hxxp://bad[.]host[.]com/ (plain): bad.host.com is listed by dbl.example (phishing domain)"},
			{"see http://host.com/", ""},
			{"see http://bücher.de/", "hxxp://xn--bcher-kva[.]de/ (plain): xn--bcher-kva.de is listed by dbl.example (domain of low reputation)"},
			{"see http://hosted.com/", "hxxp://hosted[.]com/ (plain): 5.6.7.8 of hosted.com is listed by ip.example"},
			{"see http://served.com/", "hxxp://served[.]com/ (plain): 5.6.7.9 that serves served.com is listed by ip.example"},
			{"see http://error.com/", ""},
			{"see http://rewritten.com/", ""},
			{"see http://unnamed.com/", ""},
			{"see http://away.com/ http://crash.com", ""},
			{"see http://google.com/", ""},
			{"see http://192.168.1.1/", ""},
		} {
			l := newLists(t, surbl.Config{Resolver: kind(w), Exempt: []string{"google.com"}, Zones: []surbl.Zone{multi, dbl,
				{Domain: "ip.example", Lists: surbl.Hosted | surbl.Served}, {Domain: "plain.example", Lists: surbl.Domain}, {Domain: "other.example", Lists: surbl.Domain}}})
			res := look(t, l, tt.text)
			if got := listed(res); got != tt.want {
				t.Errorf("%s\n got  %s\n want %s", tt.text, got, tt.want)
			}
			if tt.want != "" && res.Action != smtpguard.Reject {
				t.Errorf("%s: %v", tt.text, res.Action)
			}
			fails := strings.Contains(tt.text, "error.com") || strings.Contains(tt.text, "rewritten") || strings.Contains(tt.text, "unnamed") ||
				strings.Contains(tt.text, "away")
			if fails != (len(res.Failures) > 0) {
				t.Errorf("%s: failures %v", tt.text, res.Failures)
			}
		}
		if q := w.questions("203.dbl"); len(q) > 0 {
			t.Errorf("a list of domains was asked for an address: %q", q)
		}
		if q := w.questions("168.192"); len(q) > 0 {
			t.Errorf("asked about a private address: %q", q)
		}
	})
}

func TestHashes(t *testing.T) {
	for _, tt := range []struct {
		hash         surbl.Hash
		address, key string
	}{
		{surbl.Hash{}, "a@evil.com", "923fac6d980474ff00951e21aa4a1abd6eafc9ff"},
		{surbl.Hash{}, "J.o.hn+tag@GoogleMail.com", "9025f6f4ea9e9609ab7cb6fb79e6ae83112be4f8"},
		{surbl.Hash{Sum: surbl.SHA256, Base32: true}, "a@evil.com", "vjetzjew6nsflj6f3lgkxkrkzgrgj3ix6tepg4n5pnmd3xkk63ma"},
		{surbl.Hash{Length: 12}, "a@evil.com", "923fac6d9804"},
	} {
		w := &world{a: map[string]string{}}
		l := newLists(t, surbl.Config{Resolver: w, Zones: []surbl.Zone{{Domain: "hash.example", Prefix: "_email", Key: "secret", Lists: surbl.Address, Hash: tt.hash}}})
		look(t, l, "write to "+tt.address)
		got := w.questions("hash.example")
		if len(got) != 1 || got[0] != tt.key+"._email.secret.hash.example" {
			t.Errorf("%s: asked %q, want %s", tt.address, got, tt.key)
		}
	}
}

func TestBudget(t *testing.T) {
	w := &world{a: map[string]string{}}
	l := newLists(t, surbl.Config{Resolver: w, Lookups: 10, Zones: []surbl.Zone{{Domain: "a.example", Lists: surbl.Domain}, {Domain: "b.example", Lists: surbl.Domain}}})
	var text strings.Builder
	for i := range 20 {
		fmt.Fprintf(&text, "http://host%d.com/ http://www.host%d.com/\r\n", i, i)
	}
	res := look(t, l, text.String())
	if n := len(w.questions(".")); n != 10 || res.Unasked != 60 {
		t.Errorf("%d asked, %d not", n, res.Unasked)
	}
}

func TestLimits(t *testing.T) {
	w := &world{a: map[string]string{"a.com.l.example": "127.0.0.2", "b.com.l.example": "127.0.0.2", "a.com.m.example": "127.0.0.2"}}
	weighs := func(name string) surbl.Zone {
		return surbl.Zone{Domain: name, Lists: surbl.Domain, Codes: []surbl.Code{{Answer: "127.0.0.2", Weight: 2}}}
	}
	l := newLists(t, surbl.Config{Resolver: w, Zones: []surbl.Zone{weighs("l.example"), weighs("m.example")}, Limits: surbl.Limits{Quarantine: 2, Defer: 3, Reject: 4}})
	for text, want := range map[string]smtpguard.Action{
		"c.com": smtpguard.Continue, "b.com": smtpguard.Quarantine, "a.com": smtpguard.Reject, "www.b.com b.com": smtpguard.Quarantine,
	} {
		if res := look(t, l, text); res.Action != want {
			t.Errorf("%s: %v with %g, want %v", text, res.Action, res.Score, want)
		}
	}
}

func TestLocal(t *testing.T) {
	l := newLists(t, surbl.Config{Local: []surbl.Local{{Name: "ours", Find: func(u *surbl.URI) (string, bool) { return "phish", u.Domain == "evil.com" }}}})
	res := look(t, l, "see www.evil.com and www.good.com")
	if got, want := listed(res), "www[.]evil[.]com (plain): www.evil.com is listed by ours (phish)"; got != want || res.Action != smtpguard.Reject {
		t.Errorf("got %s, %v", got, res.Action)
	}
}

func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{a: map[string]string{"evil.com.l.example": "127.0.0.2", "test.l.example": "127.0.0.2"}}
		var mu sync.Mutex
		var told []string
		l := newLists(t, surbl.Config{Resolver: w, Zones: []surbl.Zone{{Domain: "l.example", Lists: surbl.Domain}}, Health: surbl.Health{Errors: 3},
			Observe: func(ev smtpguard.Event) { mu.Lock(); defer mu.Unlock(); told = append(told, ev.Reason) }})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		synctest.Wait()
		count := func(want int) {
			t.Helper()
			if res := look(t, l, "evil.com"); len(res.Listings) != want {
				t.Errorf("%d listings, want %d", len(res.Listings), want)
			}
		}
		count(1)
		w.set("test.l.example", "") // the list has died
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		count(0)
		w.set("test.l.example", "127.0.0.2")
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		count(1)
		both := func(answer string) { // for what is looked up, and for the test that a doubt has made
			w.set("evil.com.l.example", answer)
			w.set("test.l.example", answer)
		}
		both("servfail")
		for range 3 {
			look(t, l, "evil.com")
		}
		synctest.Wait()
		both("127.0.0.2")
		count(0)
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		count(1)
		both("127.255.255.254")
		look(t, l, "evil.com")
		synctest.Wait()
		both("127.0.0.2")
		count(0)
		w.set("invalid.l.example", "127.0.0.2") // lists the world
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		count(0)
		cancel()
		<-done
		want := []string{
			"l.example is set aside: does not list what is always listed: it is dead, or not answering us", "l.example is taken back",
			"l.example is set aside: server misbehaving asking for evil.com.l.example.", "l.example is taken back",
			"l.example is set aside: answers 127.255.255.254: asked through a public resolver, or one whose owner cannot be told",
			"l.example is set aside: lists the world: invalid among it",
		}
		if !slices.Equal(told, want) {
			t.Errorf("told %q", told)
		}
	})
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{a: map[string]string{"evil.com.slow.example": "hang", "evil.com.l.example": "127.0.0.2"}}
		l := newLists(t, surbl.Config{Resolver: w, Zones: []surbl.Zone{{Domain: "slow.example", Lists: surbl.Domain}, {Domain: "l.example", Lists: surbl.Domain}}})
		start := time.Now()
		res := look(t, l, "evil.com")
		if took := time.Since(start); took != 5*time.Second || len(res.Listings) != 1 || len(res.Failures) != 1 {
			t.Errorf("%v, %d listings, %v", took, len(res.Listings), res.Failures)
		}
	})
}

// TestSecrecy has a key nowhere but in the questions.
func TestSecrecy(t *testing.T) {
	for _, answer := range []string{"servfail", "plain"} {
		w := &world{a: map[string]string{"evil.com.s3cret.l.example": answer}}
		z := surbl.Zone{Domain: "l.example", Key: "s3cret", Lists: surbl.Domain}
		l := newLists(t, surbl.Config{Resolver: w, Zones: []surbl.Zone{z}})
		res := look(t, l, "evil.com")
		if len(res.Failures) != 1 || len(w.questions("s3cret")) != 1 {
			t.Fatalf("failures %v", res.Failures)
		}
		asJSON, err := json.Marshal(z)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{res.Failures[0].Err.Error(), fmt.Sprintf("%v %+v %#v", z, z, z), string(asJSON)} {
			if strings.Contains(strings.ToLower(text), "s3cret") {
				t.Error(text)
			}
		}
	}
}

func TestNew(t *testing.T) {
	zone := func(change func(*surbl.Zone)) surbl.Config {
		z := surbl.Zone{Domain: "l.example", Lists: surbl.Domain}
		change(&z)
		return surbl.Config{Resolver: &world{}, Zones: []surbl.Zone{z}}
	}
	for want, cfg := range map[string]surbl.Config{
		"Config.Zones are missing":           {},
		"Config.Resolver is missing":         {Zones: []surbl.Zone{surbl.SURBL()}},
		"Config.Zones[0].Lists":              zone(func(z *surbl.Zone) { z.Lists = 0 }),
		"Config.Zones[0].Domain":             zone(func(z *surbl.Zone) { z.Domain = "a b" }),
		"Config.Zones[0].Key":                zone(func(z *surbl.Zone) { z.Key = "a b" }),
		"Config.Zones[0].Prefix":             zone(func(z *surbl.Zone) { z.Prefix = "a b" }),
		"Config.Zones[0].Name":               zone(func(z *surbl.Zone) { z.Name = "a\nb" }),
		"Config.Zones[0].Codes[0].Answer":    zone(func(z *surbl.Zone) { z.Codes = []surbl.Code{{Answer: "1.2.3.4"}} }),
		"Config.Zones[0].Codes[0].Reply":     zone(func(z *surbl.Zone) { z.Codes = []surbl.Code{{Answer: "127.0.0.2", Reply: "{x}"}} }),
		"Config.Zones[0].Refusals[0].Answer": zone(func(z *surbl.Zone) { z.Refusals = []surbl.Refusal{{Answer: "x"}} }),
		"Config.Zones[0].Hash.Length":        zone(func(z *surbl.Zone) { z.Lists, z.Hash.Sum = surbl.Address, surbl.SHA256 }),
		"Config.Zones[0].TestListed":         zone(func(z *surbl.Zone) { z.TestListed = "a b" }),
		"Config.Zones[1].Name":               {Resolver: &world{}, Zones: []surbl.Zone{surbl.SURBL(), surbl.SURBL()}},
		"Config.Exempt[0]":                   {Resolver: &world{}, Zones: []surbl.Zone{surbl.SURBL()}, Exempt: []string{"a b"}},
		"Config.Local[0].Find":               {Local: []surbl.Local{{Name: "x"}}},
		"Config.Limits.Reject":               {Resolver: &world{}, Zones: []surbl.Zone{surbl.SURBL()}, Limits: surbl.Limits{Reject: -1}},
		"Extraction.URIs":                    {Resolver: &world{}, Zones: []surbl.Zone{surbl.SURBL()}, Extract: surbl.Extraction{URIs: -1}},
	} {
		l, err := surbl.New(cfg)
		if l != nil || err == nil || !strings.Contains(err.Error(), "surbl: "+want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
	if _, err := surbl.New(surbl.Config{Resolver: &world{}, Zones: []surbl.Zone{surbl.SURBL(), surbl.URIBL(), surbl.SpamhausDBL()}}); err != nil {
		t.Error(err)
	}
}

func TestSuffixes(t *testing.T) {
	s, err := surbl.ReadSuffixes(strings.NewReader("// comment\ncom\nuk\nco.uk\n*.ck\n!www.ck\nblogspot.com\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddLevels(strings.NewReader("# SURBL\nfree.com\nx.free.com\n")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"a.b.com": "b.com", "com": "com", "a.b.co.uk": "b.co.uk", "a.b.c.ck": "b.c.ck", "a.www.ck": "www.ck", "ck": "ck",
		"a.b.blogspot.com": "b.blogspot.com", "a.b.free.com": "b.free.com", "a.b.x.free.com": "b.x.free.com", "free.com": "free.com", "a.b.unknown": "b.unknown",
	} {
		if got, _ := s.Registered(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for _, bad := range []string{"", "a b!"} {
		if _, err := surbl.ReadSuffixes(strings.NewReader(bad)); err == nil && bad == "" {
			t.Errorf("%q: no error", bad)
		}
	}
	domains, err := surbl.ReadExempt(strings.NewReader("# mine\nExample.com # yes\n\n"))
	if err != nil || !slices.Equal(domains, []string{"example.com"}) {
		t.Errorf("%q, %v", domains, err)
	}
}
