package dnsbl_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/dnsbl"
	"github.com/smtpguard/smtpguard/internal/dnsd"
	"github.com/smtpguard/smtpguard/internal/require"
)

// serveLists starts a list server and returns a resolver that asks it alone.
func serveLists(t testing.TB, zones map[string]string) *net.Resolver {
	t.Helper()
	return dnsd.Resolver(dnsd.Rbldnsd(t, zones))
}

// The suite of rbldnsd itself: its data, served by it, asked by us.
func TestSuiteRbldnsd(t *testing.T) {
	var cases []struct {
		File, Dataset string
		Zone          []string
		Queries       []struct {
			Fn, Arg string
			Txt     *string
		}
	}
	load(t, &cases, "rbldnsd", "cases.json")
	for i, c := range cases {
		t.Run(fmt.Sprintf("%d %s", i, c.File), func(t *testing.T) {
			r := serveLists(t, map[string]string{"list.example:" + c.Dataset: strings.Join(c.Zone, "\n")})
			l := newLists(t, dnsbl.Config{Resolver: r, Zones: []dnsbl.Zone{{Domain: "list.example", Lists: dnsbl.IPv4 | dnsbl.IPv6}}})
			for _, q := range c.Queries {
				res, text := l.Raw(t.Context(), netip.MustParseAddr(q.Arg))
				if len(res.Failures) > 0 || (q.Txt != nil) != (len(res.Listings) == 1) || q.Txt != nil && text != *q.Txt {
					t.Errorf("%s: %+v %q", q.Arg, res, text)
				}
			}
			if len(c.Queries) == 0 {
				t.Error("no queries")
			}
		})
	}
	if len(cases) != 3 {
		t.Errorf("%d cases", len(cases))
	}
}

// RFC 5782: names, points of test and what counts as an answer, against data
// that has just the points.
func TestSuiteRFC5782(t *testing.T) {
	type points struct {
		Listed   string `json:"must_be_listed"`
		Unlisted string `json:"must_not_be_listed"`
		Query    string `json:"query_listed"`
	}
	type example struct{ IP, Query string }
	var facts struct {
		IPv4, IPv6, Domain points
		IPv4Example        example `json:"ipv4_example"`
		IPv6Example        example `json:"ipv6_example"`
	}
	load(t, &facts, "rfc5782", "rfc5782.json")

	w := &world{}
	l := newLists(t, dnsbl.Config{Resolver: w, Zones: []dnsbl.Zone{{Domain: "zone", Lists: dnsbl.IPv4 | dnsbl.IPv6}}})
	for _, e := range []example{facts.IPv4Example, facts.IPv6Example, {facts.IPv4.Listed, facts.IPv4.Query}, {facts.IPv6.Listed, facts.IPv6.Query}} {
		w.asked = nil
		l.Raw(t.Context(), netip.MustParseAddr(e.IP))
		if want := strings.Replace(e.Query, "<zone>", "zone", 1); !slices.Equal(w.asked, []string{want}) {
			t.Errorf("%s: asked %q, want %q", e.IP, w.asked, want)
		}
	}

	domain := strings.TrimSuffix(strings.ToLower(facts.Domain.Listed), ".<zone>")
	unlisted := strings.TrimSuffix(strings.ToLower(facts.Domain.Unlisted), ".<zone>")
	r := serveLists(t, map[string]string{
		"four.example:ip4set": facts.IPv4.Listed, "four-world.example:ip4set": facts.IPv4.Listed + "\n" + facts.IPv4.Unlisted, "four-empty.example:ip4set": "1.2.3.4",
		"six.example:ip6trie": facts.IPv6.Listed, "six-world.example:ip6trie": "::/0", "six-empty.example:ip6trie": "2a00::1",
		"names.example:dnset": domain, "names-world.example:dnset": domain + "\n" + unlisted, "names-empty.example:dnset": "example.com",
		"names-wild.example:dnset": domain + "\n*." + "com\n.net",
	})
	kinds := map[string]dnsbl.Kind{"four": dnsbl.IPv4, "six": dnsbl.IPv6, "names": dnsbl.Domains}
	var zones []dnsbl.Zone
	for _, name := range []string{"four", "four-world", "four-empty", "six", "six-world", "six-empty", "names", "names-world", "names-empty", "names-wild"} {
		kind, _, _ := strings.Cut(name, "-")
		zones = append(zones, dnsbl.Zone{Domain: name + ".example", Lists: kinds[kind]})
	}
	l = newLists(t, dnsbl.Config{Resolver: r, Zones: zones})
	tested(t, l)
	want := map[string]dnsbl.Standing{"": dnsbl.Well, "wild": dnsbl.Well, "world": dnsbl.World, "empty": dnsbl.Empty}
	for _, s := range l.Stats() {
		_, kind, _ := strings.Cut(strings.TrimSuffix(s.Zone, ".example"), "-")
		if s.Standing != want[kind] {
			t.Errorf("%s: %v, %s", s.Zone, s.Standing, s.Why)
		}
	}
}

// tested runs the first round of tests.
func tested(t *testing.T, l *dnsbl.Lists) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	for end := time.Now().Add(30 * time.Second); !l.Tested() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
	if !l.Tested() {
		t.Fatal("zones are not tested in time")
	}
}

// Haraka's configuration of lists names codes that the presets must know.
func TestSuiteHaraka(t *testing.T) {
	data, err := os.ReadFile(require.Suite(t, "dnsbl", "haraka-dns-list", "dns-list.ini"))
	if err != nil {
		t.Fatal(err)
	}
	presets := map[string]dnsbl.Zone{}
	for _, z := range []dnsbl.Zone{dnsbl.SpamhausZEN(), dnsbl.SpamCop(), dnsbl.Barracuda(), dnsbl.PSBL(), dnsbl.UCEPROTECT1(), dnsbl.DNSWL()} {
		presets[z.Domain] = z
	}
	var zones, codes int
	var section string
	hostkarma := dnsbl.Zone{Domain: "hostkarma.junkemailfilter.com", Lists: dnsbl.IPv4}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		switch key, value, _ := strings.Cut(line, "="); {
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
			if _, ok := presets[section]; ok {
				zones++
			}
		case strings.HasPrefix(key, "127.") && section == "zen.spamhaus.org":
			codes++
			res := answered(t, presets[section], key)
			if len(res.Listings) != 1 || !strings.Contains(res.Listings[0].Codes[0].Means, value) {
				t.Errorf("%s %s: %+v, want %s", section, key, res, value)
			}
		case strings.HasPrefix(key, "127.") && section == hostkarma.Domain:
			hostkarma.Codes = append(hostkarma.Codes, dnsbl.Code{Answer: key, Means: value})
		}
	}
	if zones != 6 || codes != 8 || len(hostkarma.Codes) != 11 {
		t.Errorf("%d presets, %d codes and %d of a list of all kinds seen", zones, codes, len(hostkarma.Codes))
	}
	for _, c := range hostkarma.Codes { // 127.0.0.1 is a code there, being named
		if res := answered(t, hostkarma, c.Answer); len(res.Listings) != 1 || res.Listings[0].Codes[0].Means != c.Means {
			t.Errorf("%s: %+v", c.Answer, res)
		}
	}
	for third := 2; third <= 20; third++ { // the comment on list.dnswl.org
		for level, word := range []string{"none", "low", "medium", "high"} {
			res := answered(t, presets["list.dnswl.org"], fmt.Sprintf("127.0.%d.%d", third, level))
			if len(res.Listings) != 1 || res.Listings[0].Codes[0].Means != "trust "+word || res.Score >= 0 || (level == 3) != (res.Accept != smtpguard.NoScope) {
				t.Errorf("127.0.%d.%d: %+v", third, level, res)
			}
		}
	}
	for zone, z := range presets { // rate limited, misspelt, asked through the wrong resolver
		for _, answer := range []string{"127.255.255.252", "127.255.255.254", "127.255.255.255", "127.0.0.255", "127.0.0.1", "93.184.216.34"} {
			if res := answered(t, z, answer); len(res.Listings) != 0 || len(res.Failures) != 1 || res.Action != smtpguard.Continue || res.Score != 0 {
				t.Errorf("%s answers %s: %+v", zone, answer, res)
			}
		}
	}
}

// answered is the result where z answers so.
func answered(t *testing.T, z dnsbl.Zone, answer string) dnsbl.Result {
	t.Helper()
	w := &world{a: map[string]string{"8.7.6.5." + z.Domain: answer, "x.example." + z.Domain: answer}}
	l := newLists(t, dnsbl.Config{Resolver: w, Zones: []dnsbl.Zone{z}})
	if z.Lists == dnsbl.Domains {
		return l.Domain(t.Context(), "x.example")
	}
	return l.Addr(t.Context(), client)
}

func load(t *testing.T, into any, elem ...string) {
	t.Helper()
	data, err := os.ReadFile(require.Suite(t, append([]string{"dnsbl"}, elem...)...))
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The four kinds of data that rbldnsd has, with the answers that operators
// give, under the presets' codes, all the way to a client.
func TestRbldnsd(t *testing.T) {
	r := serveLists(t, map[string]string{
		"zen.example:ip4set": `127.0.0.2 :127.0.0.2:test point
			5.6.7.8 :127.0.0.4:https://check.example/$
			5.6.7.9 :127.255.255.254:Error: open resolver
			5.6.7.11 :127.0.0.77:new code`,
		"zen.example:ip6trie": "2a00:1450::/32 :127.0.0.3:snowshoe",
		"dbl.example:dnset": `test :127.0.1.2:test point
			.bad.example :127.0.1.4:phish`,
		"wl.example:ip4set": "127.0.0.2 :127.0.10.0:\n5.6.7.10 :127.0.9.3:friend",
		"all.example:combined": `$DATASET ip4set:a @
			127.0.0.2
			5.6.7.10
			$DATASET ip6trie:b @
			2a00:1451::1 :127.0.0.2:six
			$DATASET dnset:c @
			combined.example :127.0.0.2:name`,
	})
	zen, dbl, wl := dnsbl.SpamhausZEN(), dnsbl.SpamhausDBL(), dnsbl.DNSWL()
	zen.Domain, dbl.Domain, wl.Domain, dbl.TestListed = "zen.example", "dbl.example", "wl.example", ""
	zen.Text = true
	all := dnsbl.Zone{Domain: "all.example", Lists: dnsbl.IPv4 | dnsbl.IPv6 | dnsbl.Domains}
	l := newLists(t, dnsbl.Config{Resolver: r, Zones: []dnsbl.Zone{zen, dbl, wl, all}})
	tested(t, l)
	for _, s := range l.Stats() {
		if s.Standing != dnsbl.Well {
			t.Errorf("%s: %v, %s", s.Zone, s.Standing, s.Why)
		}
	}
	const open = "HELLO\nC: MAIL FROM:<a@%s>\nS: 250\nC: RCPT TO:<user@example.org>\nS: %s"
	for _, tt := range []struct{ name, client, sender, reply, reason string }{
		{"clean", "5.6.7.7", "good.example", "250", ""},
		{"IPv4", "5.6.7.8", "good.example", "550 5.7.1 Client address [5.6.7.8] is listed by zen.example (XBL, compromised host), see https://check.spamhaus.org/query/ip/5.6.7.8",
			"client 5.6.7.8 is listed by zen.example (XBL, compromised host); zen.example says: https://check.example/5.6.7.8"},
		{"IPv6", "2a00:1450::1", "good.example", "550 5.7.1 Client address [2a00:1450::1] is listed by zen.example (CSS, spam source), *", "client *; zen.example says: snowshoe"},
		{"a code that is not named", "5.6.7.11", "good.example", "250", ""},
		{"domain", "5.6.7.7", "www.bad.example", "550 5.7.1 www.bad.example is listed by dbl.example (phishing domain), *", "sender *"},
		{"friend", "5.6.7.10", "www.bad.example", "250", "*client 5.6.7.10 is listed by wl.example (trust high)*"},
		{"combined, IPv6", "2a00:1451::1", "good.example", "550 5.7.1 Client address [2a00:1451::1] is listed by all.example", "client *"},
		{"combined, domain", "5.6.7.7", "combined.example", "550 5.7.1 Sender domain combined.example is listed by all.example", "sender *"},
		{"refused", "5.6.7.9", "good.example", "250", ""}, // the last one: the list is set aside
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, l.Check())
			s.play(tt.client, fmt.Sprintf(open, tt.sender, tt.reply))
			var reason string
			for _, ev := range s.verdicts("dnsbl") {
				reason = ev.Reason
			}
			if !like(tt.reason, reason) {
				t.Errorf("reason %q, want %q", reason, tt.reason)
			}
		})
	}
	if s := l.Stats()[0]; s.Standing != dnsbl.Refuses || s.Why != "answers 127.255.255.254: asked through a public resolver, or one whose owner cannot be told" {
		t.Errorf("%v: %s", s.Standing, s.Why)
	}
}
