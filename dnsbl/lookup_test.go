package dnsbl_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/dnsbl"
)

var client = netip.MustParseAddr("5.6.7.8")

// under is the name asked for about client.
func under(zone string) string { return "8.7.6.5." + zone + ".example" }

func TestAnswers(t *testing.T) { both(t, lookAnswers) }

func lookAnswers(t *testing.T, kind func(*world) dnsbl.Resolver) {
	codes := []dnsbl.Code{
		{Answer: "127.0.0.2", Means: "source", Action: smtpguard.Reject},
		{Answer: "127.0.0.4-7", Means: "exploited", Action: smtpguard.Reject},
		{Answer: "127.0.2-5.3", Means: "category", Weight: 1},
	}
	bits := []dnsbl.Code{
		{Answer: "127.0.0.&1", Means: "one"}, {Answer: "127.0.0.&2", Means: "two"},
		{Answer: "127.0.0.&8", Means: "eight"}, {Answer: "127.0.1.&255", Means: "all"},
	}
	for _, tt := range []struct {
		name, answer string
		codes        []dnsbl.Code
		means        string // of the listing, or the failure behind "!"
	}{
		{"not listed", "", codes, ""},
		{"single", "127.0.0.2", codes, "source"},
		{"mapped, as net.Resolver may have it", "::ffff:127.0.0.2", codes, "source"},
		{"range", "127.0.0.6", codes, "exploited"},
		{"middle range", "127.0.4.3", codes, "category"},
		{"several", "127.0.0.4 127.0.0.2", codes, "source, exploited"},
		{"beside one that no code names", "127.0.0.99 127.0.0.2", codes, "source"},
		{"no code names it", "127.0.0.8", codes, "!answers 127.0.0.8: no code names it"},
		{"of another octet", "127.0.6.3", codes, "!answers 127.0.6.3: no code names it"},
		{"parked", "203.0.113.7", codes, "!answers 203.0.113.7: outside 127.0.0.0/8: *"},
		{"rewritten beside a listing", "127.0.0.2 198.51.100.1", codes, "!answers 198.51.100.1: outside *"},
		{"IPv6", "2001:db8::1", codes, "!answers 2001:db8::1: outside *"},
		{"misspelt", "127.255.255.252", codes, "!*the zone's name is misspelt"},
		{"public resolver", "127.255.255.254", codes, "!*asked through a public resolver*"},
		{"too many", "127.255.255.255", codes, "!*too many questions"},
		{"other error", "127.255.255.7", codes, "!*the operator does not answer us"},
		{"error beside a listing", "127.0.0.2 127.255.255.254", codes, "!*public resolver*"},
		{"blocked", "127.0.0.1", codes, "!*blocked the resolver"},
		{"blocked is not bit 1", "127.0.0.1", bits, "!*blocked the resolver"},
		{"blocked is not in a range", "127.0.0.1", []dnsbl.Code{{Answer: "127.0.0.0-9"}}, "!*blocked the resolver"},
		{"127.0.0.1 named", "127.0.0.1", []dnsbl.Code{{Answer: "127.0.0.1", Means: "white"}}, "white"},
		{"over the limit", "127.0.0.255", []dnsbl.Code{{Answer: "127.0.*.*"}}, "!*too many questions"},
		{"over the limit is not all bits", "127.0.0.255", bits, "!*too many questions"},
		{"an address in a list of domains", "127.0.1.255", bits, "!*list of domains"},
		{"bits", "127.0.0.10", bits, "two, eight"},
		{"bits with ones that no code names", "127.0.0.6", bits, "two"},
		{"only such bits", "127.0.0.4", bits, "!*no code names it"},
		{"default code", "127.0.0.2", nil, ""},
		{"not the default code", "127.0.0.3", nil, "!*no code names it"},
		{"endless", strings.Repeat("127.0.0.2 ", 33), codes, "!answers with 33 addresses"},
		{"timeout", "timeout", codes, "!lookup a.example: i/o timeout*"},
		{"broken", "servfail", codes, "!lookup a.example: server misbehaving"},
		{"other error of a resolver", "plain", codes, "!no way to *"},
		{"a resolver that panics", "panic", codes, "!dnsbl: the resolver panicked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &world{a: map[string]string{under("a"): tt.answer}}
			l := newLists(t, dnsbl.Config{Resolver: kind(w), Zones: []dnsbl.Zone{zone("a", tt.codes...)}})
			res := l.Addr(t.Context(), client)
			got := "none"
			switch {
			case len(res.Failures) == 1 && len(res.Listings) == 0:
				got = "!" + res.Failures[0].Err.Error()
			case len(res.Listings) == 1 && len(res.Failures) == 0:
				var means []string
				for _, c := range res.Listings[0].Codes {
					means = append(means, c.Means)
				}
				got = strings.Join(means, ", ")
			case len(res.Listings) == 0:
				got = ""
			}
			if !like(tt.means, got) {
				t.Errorf("got %q, want %q", got, tt.means)
			}
			if listed := tt.answer != "" && !strings.HasPrefix(tt.means, "!"); listed != (len(res.Listings) == 1) {
				t.Errorf("listed: %v", !listed)
			}
			if strings.HasPrefix(tt.means, "!") && (res.Action != smtpguard.Continue || res.Score != 0) {
				t.Errorf("an error does %v and scores %g", res.Action, res.Score)
			}
		})
	}
}

// like compares, "*" in want being any text.
func like(want, got string) bool {
	parts := strings.Split(want, "*")
	if len(parts) == 1 {
		return want == got
	}
	if !strings.HasPrefix(got, parts[0]) || !strings.HasSuffix(got, parts[len(parts)-1]) {
		return false
	}
	for _, p := range parts {
		i := strings.Index(got, p)
		if i < 0 {
			return false
		}
		got = got[i+len(p):]
	}
	return true
}

func TestWhatIsAsked(t *testing.T) {
	w := &world{}
	l := newLists(t, dnsbl.Config{Resolver: w, Zones: []dnsbl.Zone{
		{Domain: "four.example", Lists: dnsbl.IPv4},
		{Domain: "Six.Example.", Lists: dnsbl.IPv6},
		{Domain: "names.example", Lists: dnsbl.Domains},
		{Domain: "all.example", Key: "S3cret", Lists: dnsbl.IPv4 | dnsbl.IPv6 | dnsbl.Domains},
	}})
	ask := func(what string, want ...string) {
		t.Helper()
		w.asked = nil
		if addr, err := netip.ParseAddr(what); err == nil {
			l.Addr(t.Context(), addr)
		} else {
			l.Domain(t.Context(), what)
		}
		if len(w.asked) != len(want) {
			t.Errorf("%s: asked %q, want %q", what, w.asked, want)
		}
		for _, name := range want {
			if w.questions(name) != 1 {
				t.Errorf("%s: asked %q, and not %s once", what, w.asked, name)
			}
		}
	}
	ask("5.6.7.8", "8.7.6.5.four.example", "8.7.6.5.s3cret.all.example")
	ask("::ffff:5.6.7.8", "8.7.6.5.four.example", "8.7.6.5.s3cret.all.example") // IPv4 to everybody
	six := "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.5.4.1.0.0.a.2."
	ask("2a00:1450:1:2:3:4:567:89ab", six+"six.example", six+"s3cret.all.example")
	ask("Mail.BÜCHER.example.", "mail.xn--bcher-kva.example.names.example", "mail.xn--bcher-kva.example.s3cret.all.example")
	for _, nothing := range []string{
		"10.1.2.3", "127.0.0.1", "192.0.2.1", "fe80::1%eth0", "fd00::1", "2001:db8::1", "::ffff:192.168.0.1", "::", // no public meaning
		"", ".", "[5.6.7.8]", "a..b", "-", "5.6.7.8.", "1.2.3", "a b", strings.Repeat("a.", 126) + "a", "x.*",
	} {
		ask(nothing)
	}
	if res := l.Addr(t.Context(), netip.Addr{}); len(res.Failures)+len(res.Listings) != 0 {
		t.Errorf("the zero Addr: %+v", res)
	}
}

func TestOutcome(t *testing.T) {
	reject := dnsbl.Code{Answer: "127.0.0.2", Action: smtpguard.Reject}
	deferred := dnsbl.Code{Answer: "127.0.0.2", Action: smtpguard.Defer}
	weight := func(w float64) dnsbl.Code { return dnsbl.Code{Answer: "127.0.0.2", Weight: w} }
	friend := dnsbl.Code{Answer: "127.0.0.2", Weight: -3, Accept: smtpguard.ScopeTransaction}
	for _, tt := range []struct {
		name   string
		limits dnsbl.Limits
		zones  []dnsbl.Code // all of which list
		want   string
	}{
		{"one", dnsbl.Limits{}, []dnsbl.Code{reject}, "reject  0"},
		{"the strongest", dnsbl.Limits{}, []dnsbl.Code{deferred, reject, weight(1)}, "reject  1"},
		{"a friend comes first", dnsbl.Limits{Reject: 1}, []dnsbl.Code{reject, friend, weight(9)}, "continue transaction 6"},
		{"weights alone do nothing", dnsbl.Limits{}, []dnsbl.Code{weight(99)}, "continue  99"},
		{"weights below", dnsbl.Limits{Defer: 5}, []dnsbl.Code{weight(3), weight(1.9)}, "continue  4.9"},
		{"weights reach", dnsbl.Limits{Quarantine: 2, Defer: 5, Reject: 6}, []dnsbl.Code{weight(3), weight(2)}, "defer  5"},
		{"weights against", dnsbl.Limits{Quarantine: 2, Defer: 5}, []dnsbl.Code{weight(6), weight(-4)}, "quarantine  2"},
		{"fractions", dnsbl.Limits{Reject: 0.8}, []dnsbl.Code{weight(0.7), weight(0.1)}, "reject  0.8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &world{a: map[string]string{}}
			cfg := dnsbl.Config{Resolver: w, Limits: tt.limits}
			for i, c := range tt.zones {
				name := fmt.Sprintf("z%d", i)
				w.set(under(name), "127.0.0.2")
				cfg.Zones = append(cfg.Zones, zone(name, c))
			}
			cfg.Complete = true
			res := newLists(t, cfg).Addr(t.Context(), client)
			if got := fmt.Sprintf("%v %v %g", res.Action, res.Accept, res.Score); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// A decision is made as soon as no answer that is missing can change it, and
// not before.
func TestEarlyDecision(t *testing.T) { both(t, lookEarlyDecision) }

func lookEarlyDecision(t *testing.T, kind func(*world) dnsbl.Resolver) {
	reject := dnsbl.Code{Answer: "127.0.0.2", Action: smtpguard.Reject}
	hangUp := dnsbl.Code{Answer: "127.0.0.2", Action: smtpguard.Disconnect}
	weight := func(w float64) dnsbl.Code { return dnsbl.Code{Answer: "127.0.0.2", Weight: w} }
	friend := dnsbl.Code{Answer: "127.0.0.2", Accept: smtpguard.ScopeTransaction}
	bigFriend := dnsbl.Code{Answer: "127.0.0.2", Accept: smtpguard.ScopeConnection}
	for _, tt := range []struct {
		name     string
		limits   dnsbl.Limits
		complete bool
		lists    []dnsbl.Code // these list
		hangs    []dnsbl.Code // these do not answer
		early    bool
	}{
		{"a reject is final", dnsbl.Limits{}, false, []dnsbl.Code{reject}, []dnsbl.Code{reject, weight(3)}, true},
		{"unless counters want all", dnsbl.Limits{}, true, []dnsbl.Code{reject}, []dnsbl.Code{reject}, false},
		{"but for a disconnect", dnsbl.Limits{}, false, []dnsbl.Code{reject}, []dnsbl.Code{hangUp}, false},
		{"but for a friend", dnsbl.Limits{}, false, []dnsbl.Code{reject}, []dnsbl.Code{friend}, false},
		{"a friend is final", dnsbl.Limits{}, false, []dnsbl.Code{friend}, []dnsbl.Code{reject, friend}, true},
		{"but for a better one", dnsbl.Limits{}, false, []dnsbl.Code{friend}, []dnsbl.Code{bigFriend}, false},
		{"a sum is final", dnsbl.Limits{Reject: 5}, false, []dnsbl.Code{weight(3), weight(2)}, []dnsbl.Code{weight(4)}, true},
		{"but for weights against it", dnsbl.Limits{Reject: 5}, false, []dnsbl.Code{weight(3), weight(2)}, []dnsbl.Code{weight(-1)}, false},
		{"unless they are too light", dnsbl.Limits{Reject: 5}, false, []dnsbl.Code{weight(3), weight(3)}, []dnsbl.Code{weight(-1)}, true},
		{"but for a higher limit", dnsbl.Limits{Defer: 5, Reject: 8}, false, []dnsbl.Code{weight(5)}, []dnsbl.Code{weight(3)}, false},
		{"out of reach", dnsbl.Limits{Defer: 5, Reject: 9}, false, []dnsbl.Code{weight(5)}, []dnsbl.Code{weight(3)}, true},
		{"a score is wanted whole", dnsbl.Limits{}, false, []dnsbl.Code{weight(5)}, []dnsbl.Code{weight(3)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{a: map[string]string{}}
				cfg := dnsbl.Config{Resolver: kind(w), Limits: tt.limits, Complete: tt.complete, Timeout: 3 * time.Second}
				for i, c := range append(append([]dnsbl.Code(nil), tt.hangs...), tt.lists...) {
					name := fmt.Sprintf("z%d", i)
					w.set(under(name), "127.0.0.2")
					if i < len(tt.hangs) {
						w.set(under(name), "hang")
					}
					cfg.Zones = append(cfg.Zones, zone(name, c))
				}
				l := newLists(t, cfg)
				start := time.Now()
				res := l.Addr(t.Context(), client)
				if took := time.Since(start); res.Early != tt.early || took != 0 && tt.early || took != cfg.Timeout && !tt.early {
					t.Errorf("early %v after %v", res.Early, took)
				}
				if !tt.early && len(res.Failures) != len(tt.hangs) {
					t.Errorf("failures: %v", res.Failures)
				}
				var wrong uint64
				for _, s := range l.Stats() {
					wrong += s.Errors
				}
				if tt.early && wrong != 0 {
					t.Error("what was not waited for counts as an error")
				}
			})
		})
	}
}

func TestDeadlines(t *testing.T) { both(t, lookDeadlines) }

func lookDeadlines(t *testing.T, kind func(*world) dnsbl.Resolver) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{a: map[string]string{under("a"): "hang", under("b"): "127.0.0.2"}}
		l := newLists(t, dnsbl.Config{Resolver: kind(w), Zones: []dnsbl.Zone{zone("a"), zone("b", dnsbl.Code{Answer: "127.0.0.2", Weight: 1})}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		res := l.Addr(ctx, client)
		if time.Since(start) != time.Second || len(res.Failures) != 1 || !late(res.Failures[0].Err) || res.Score != 1 {
			t.Errorf("after %v: %+v", time.Since(start), res)
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		l.Addr(ctx, client)
		if s := l.Stats()[0]; s.Errors != 1 || s.Asked != 2 {
			t.Errorf("that the client went away counts against the zone: %+v", s)
		}
	})
}

// late reports whether err says that time was up.
func late(err error) bool {
	var dns *net.DNSError
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &dns) && dns.IsTimeout
}

func TestPending(t *testing.T) {
	w := &world{a: map[string]string{under("a"): "hang"}}
	l := newLists(t, dnsbl.Config{Resolver: w, Pending: 2, Zones: []dnsbl.Zone{zone("a")}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan dnsbl.Result)
	for range 2 {
		go func() { done <- l.Addr(ctx, client) }()
	}
	for w.questions("a.example") < 2 {
		time.Sleep(time.Millisecond)
	}
	res := l.Addr(t.Context(), client)
	if len(res.Failures) != 1 || res.Failures[0].Err != dnsbl.ErrBusy {
		t.Errorf("%+v", res)
	}
	cancel()
	<-done
	<-done
	if s := l.Stats()[0]; s.Busy != 1 || s.Errors != 0 || s.Standing != dnsbl.Well {
		t.Errorf("%+v", s)
	}
	w.set(under("a"), "")
	for range 1000 { // what was abandoned gives its place back soon
		if res = l.Addr(t.Context(), client); len(res.Failures) == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("still busy: %+v", res)
}

// A paid key is nobody's business.
func TestKeyStaysSecret(t *testing.T) {
	const key = "s3cr3tkey"
	z := zone("paid", dnsbl.Code{Answer: "127.0.0.2", Action: smtpguard.Reject, Reply: "{zone} {subject} {means} {text}"})
	z.Key, z.Text = "S3cr3tKey", true
	name := "8.7.6.5." + key + ".paid.example"
	w := &world{a: map[string]string{}, txt: map[string]string{name: "see https://paid.example/S3CR3TKEY/5.6.7.8\x00"}}
	var d diary
	var said strings.Builder
	for _, answer := range []string{"127.0.0.2", "127.0.0.99", "127.255.255.254", "plain", "servfail", "timeout", "hang", "panic"} {
		l := newLists(t, dnsbl.Config{Resolver: w, Judge: smtpguard.StageConnect, Zones: []dnsbl.Zone{z}, Health: dnsbl.Health{Errors: 1},
			Timeout: 50 * time.Millisecond, Observe: d.observe})
		w.set(name, answer)
		script := "S: 220"
		if answer == "127.0.0.2" {
			script = "S: 554 5.7.1 paid.example 5.6.7.8  see https://paid.example/***/5.6.7.8?"
		}
		s := newSite(t, l.Check())
		s.play("5.6.7.8", script)
		if verdicts := s.verdicts("dnsbl"); len(verdicts) != 1 || len(verdicts[0].Facts) != 1 {
			t.Errorf("%s: %+v", answer, s.all())
		}
		fmt.Fprintf(&said, "%+v %+v", s.all(), l.Stats())
	}
	text, _ := json.Marshal(z)
	events := d.told()
	all := fmt.Sprintf("%s %+v %#v %v %s", &said, events, z, z, text)
	if i := strings.Index(strings.ToLower(all), key); i >= 0 {
		t.Errorf("the key is out: %s", all[max(0, i-200):min(len(all), i+100)])
	}
	if len(events) != 6 || w.questions(key) == 0 { // one for each failure, and not for what asks for a test
		t.Errorf("little was said: %v", events)
	}
}
