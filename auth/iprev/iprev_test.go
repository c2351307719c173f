package iprev_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth/iprev"
)

// world is a resolver of records "PTR 5.6.7.8", "A name" and "MX name", whose
// values are words, or "servfail", "panic" or "hang". Anything else does not
// exist.
type world struct {
	mu    sync.Mutex
	has   map[string]string
	asked int
}

func (w *world) find(ctx context.Context, what, name string) ([]string, error) {
	w.mu.Lock()
	w.asked++
	value, ok := w.has[what+" "+strings.TrimSuffix(name, ".")]
	w.mu.Unlock()
	switch {
	case !ok:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case value == "servfail":
		return nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	case value == "panic":
		panic("resolver")
	case value == "hang":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return strings.Fields(value), nil
}

func (w *world) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	names, err := w.find(ctx, "PTR", addr)
	if i := slices.Index(names, "malformed"); i >= 0 { // as net.Resolver reports what it left out
		return slices.Delete(names, i, i+1), &net.DNSError{Err: "DNS response contained records which contain invalid names", Name: addr}
	}
	return names, err
}

func (w *world) LookupNetIP(ctx context.Context, network, host string) (list []netip.Addr, err error) {
	if network != "ip" || !strings.HasSuffix(host, ".") {
		return nil, errors.New("asked for " + network + " of " + host)
	}
	words, err := w.find(ctx, "A", host)
	for _, a := range words {
		list = append(list, netip.MustParseAddr(a))
	}
	return list, err
}

func (w *world) LookupMX(ctx context.Context, name string) (list []*net.MX, err error) {
	words, err := w.find(ctx, "MX", name)
	for _, mx := range words {
		var pref uint16
		pr, host, _ := strings.Cut(mx, ":")
		fmt.Sscan(pr, &pref)
		list = append(list, &net.MX{Host: host, Pref: pref})
	}
	return list, err
}

func checker(t testing.TB, has map[string]string, change ...func(*iprev.Config)) *iprev.Checker {
	t.Helper()
	cfg := iprev.Config{
		Resolver: &world{has: has}, OurNames: []string{"MX.Example.org."},
		OurAddrs: []netip.Prefix{netip.MustParsePrefix("5.5.5.0/24"), netip.MustParsePrefix("2a00:5::/32")},
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := iprev.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var client = netip.MustParseAddr("5.6.7.8")

func TestReverse(t *testing.T) {
	many := make([]string, 40)
	has := map[string]string{}
	for i := range many {
		many[i] = fmt.Sprintf("n%02d.isp.example.", i)
		has["A "+fmt.Sprintf("n%02d.isp.example", i)] = "1.2.3.4"
	}
	has["A n39.isp.example"] = "5.6.7.8"
	has["PTR 5.6.7.8"] = strings.Join(many, " ")
	for _, tt := range []struct {
		name, addr string
		has        map[string]string
		want       string // status, confirmed names, class, findings
	}{
		{"confirmed", "5.6.7.8", map[string]string{"PTR 5.6.7.8": "Host.Example.", "A host.example": "1.1.1.1 ::ffff:5.6.7.8"}, "pass [host.example]  []"},
		{"IPv6", "2a00::1", map[string]string{"PTR 2a00::1": "host.example.", "A host.example": "2a00::1"}, "pass [host.example]  []"},
		{"mapped", "::ffff:5.6.7.8", map[string]string{"PTR 5.6.7.8": "host.example.", "A host.example": "5.6.7.8"}, "pass [host.example]  []"},
		{"one of several", "5.6.7.8", map[string]string{"PTR 5.6.7.8": "a.example. b.example. c.example.", "A a.example": "servfail", "A b.example": "5.6.7.8"}, "pass [b.example]  []"},
		{"not confirmed", "5.6.7.8", map[string]string{"PTR 5.6.7.8": "a.example.", "A a.example": "5.6.7.9"}, "fail []  [reverse-mismatch]"},
		{"name without address", "5.6.7.8", map[string]string{"PTR 5.6.7.8": "a.example."}, "fail []  [reverse-mismatch]"},
		{"name that is none", "5.6.7.8", map[string]string{"PTR 5.6.7.8": "5.6.7.8. a..b ."}, "fail []  [reverse-mismatch]"},
		{"beside malformed ones", "5.6.7.8", map[string]string{"PTR 5.6.7.8": "malformed host.example.", "A host.example": "5.6.7.8"}, "pass [host.example]  []"},
		{"no name", "5.6.7.8", nil, "permerror []  [reverse-none]"},
		{"an empty answer", "5.6.7.8", map[string]string{"PTR 5.6.7.8": ""}, "permerror []  [reverse-none]"},
		{"broken", "5.6.7.8", map[string]string{"PTR 5.6.7.8": "servfail"}, "temperror []  [reverse-temporary]"},
		{"broken forwards", "5.6.7.8", map[string]string{"PTR 5.6.7.8": "a.example. b.example.", "A a.example": "servfail"}, "temperror []  [reverse-temporary]"},
		{"a resolver that panics", "5.6.7.8", map[string]string{"PTR 5.6.7.8": "panic"}, "temperror []  [reverse-temporary]"},
		{"that panics later", "5.6.7.8", map[string]string{"PTR 5.6.7.8": "a.example. b.example.", "A a.example": "panic"}, "temperror []  [reverse-temporary]"},
		{"too many names", "5.6.7.8", has, "fail []  [reverse-mismatch]"},
		{"generic", "5.6.7.8", map[string]string{"PTR 5.6.7.8": "5-6-7-8.isp.example.", "A 5-6-7-8.isp.example": "5.6.7.8"}, "pass [5-6-7-8.isp.example] generic [reverse-generic]"},
		{"dynamic", "5.6.7.8", map[string]string{"PTR 5.6.7.8": "5-6-7-8.dyn.isp.example.", "A 5-6-7-8.dyn.isp.example": "5.6.7.8"}, "pass [5-6-7-8.dyn.isp.example] dynamic [reverse-dynamic]"},
		{"generic, and not confirmed", "5.6.7.8", map[string]string{"PTR 5.6.7.8": "5-6-7-8.isp.example."}, "fail [] generic [reverse-mismatch reverse-generic]"},
		{"generic, and another", "5.6.7.8", map[string]string{"PTR 5.6.7.8": "5-6-7-8.isp.example. mail.example.", "A 5-6-7-8.isp.example": "5.6.7.8", "A mail.example": "5.6.7.8"},
			"pass [5-6-7-8.isp.example mail.example]  []"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := checker(t, tt.has).Reverse(t.Context(), netip.MustParseAddr(tt.addr))
			if got := fmt.Sprintf("%s %v %v %v", r.Status, r.Names, r.Generic, r.Findings()); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if len(r.Claimed) > 10 || (r.Status == iprev.TempError) != (r.Err != nil) {
				t.Errorf("%+v", r)
			}
		})
	}
	if r := checker(t, nil).Reverse(t.Context(), netip.Addr{}); r.Status != iprev.PermError {
		t.Errorf("%+v", r)
	}
}

func TestHello(t *testing.T) {
	has := map[string]string{
		"A host.example.com": "1.2.3.4 5.6.7.8", "A other.example.com": "9.9.9.9", "A inside.example.com": "10.0.0.1 fd00::1",
		"A broken.example.com": "servfail", "A mx.example.org": "5.5.5.1", "A 5-6-7-8.isp.example.com": "5.6.7.8",
		"A 8.7.6.5.dsl.isp.example.com": "9.9.9.9", "A xn--bcher-kva.example.com": "5.6.7.8",
	}
	for _, tt := range []struct{ hello, addr, want string }{
		{"host.example.com", "", "client []"},
		{"HOST.Example.COM.", "", "client []"},
		{"bücher.example.com", "", "client []"},
		{"other.example.com", "", "[hello-mismatch]"},
		{"inside.example.com", "", "[hello-bogon]"},
		{"nowhere.example.com", "", "[hello-unknown]"},
		{"broken.example.com", "", "[hello-temporary]"},
		{"mx.example.org", "", "ours [hello-ours]"},
		{"mx.example.org", "5.5.5.1", "client []"},
		{"mx.example.org", "5.5.5.2", "[hello-mismatch]"},
		{"sub.mx.example.org", "", "[hello-unknown]"},
		{"[5.6.7.8]", "", "client []"},
		{"[IPv6:2a00::1]", "2a00:0::1", "client []"},
		{"[ipv6:::ffff:5.6.7.8]", "", "client []"},
		{"[5.6.7.9]", "", "[hello-not-client]"},
		{"[5.5.5.9]", "", "ours [hello-ours]"},
		{"[IPv6:2a00:5::9]", "", "ours [hello-ours]"},
		{"[5.5.5.9]", "5.5.5.9", "client []"},
		{"5.6.7.8", "", "[hello-bare-address]"},
		{"5.5.5.9", "", "ours [hello-ours hello-bare-address]"},
		{"2a00::1", "", "[hello-bare-address]"},
		{"[2a00::1]", "", "[hello-bare-address]"},
		{"localhost", "", "[hello-unqualified]"},
		{"WIN-1A2B3C", "", "[hello-unqualified]"},
		{"pc.fritz.local", "", "[hello-unqualified]"},
		{"nas.home.arpa", "", "[hello-unqualified]"},
		{"", "", "[hello-syntax]"},
		{"a..b", "", "[hello-syntax]"},
		{"-a.example.com", "", "[hello-syntax]"},
		{"a b.example.com", "", "[hello-syntax]"},
		{"[host.example.com]", "", "[hello-syntax]"},
		{"256.1.1.1", "", "[hello-syntax]"},
		{"1.2.3", "", "[hello-syntax]"},
		{strings.Repeat("a.", 140) + "example", "", "[hello-syntax]"},
		{"5-6-7-8.isp.example.com", "", "client [hello-generic]"},
		{"8.7.6.5.dsl.isp.example.com", "", "[hello-dynamic hello-mismatch]"},
	} {
		addr := client
		if tt.addr != "" {
			addr = netip.MustParseAddr(tt.addr)
		}
		h := checker(t, has).Hello(t.Context(), tt.hello, addr)
		got := fmt.Sprint(h.Findings)
		if h.Client {
			got = "client " + got
		}
		if h.Ours {
			got = "ours " + got
		}
		if got != tt.want {
			t.Errorf("%q from %v: %s, want %s", tt.hello, addr, got, tt.want)
		}
	}
}

func TestSender(t *testing.T) {
	has := map[string]string{
		"MX ok.example": "20:mx2.example. 10:mx1.example.", "A mx1.example": "1.1.1.1", "A mx2.example": "10.0.0.1",
		"MX null.example":          "0:.",
		"MX nullplus.example":      "0:. 10:mx1.example.",
		"A implicit.example":       "1.1.1.1",
		"A bogon.example":          "127.0.0.1 fe80::1",
		"MX inside.example":        "10:mx2.example.",
		"MX gone.example":          "10:nowhere.example.",
		"MX literal.example":       "10:1.2.3.4.",
		"MX broken.example":        "servfail",
		"MX half.example":          "10:halfmx.example. 20:mx1.example.",
		"A halfmx.example":         "servfail",
		"MX badmx.example":         "10:halfmx.example. 20:mx2.example.",
		"A badaddr.example":        "servfail",
		"MX panic.example":         "panic",
		"MX xn--bcher-kva.example": "10:mx1.example.",
	}
	for _, tt := range []struct{ domain, want string }{
		{"ok.example", "0 [mx1.example mx2.example]"},
		{"OK.example.", "0 [mx1.example mx2.example]"},
		{"bücher.example", "0 [mx1.example]"},
		{"implicit.example", "0 [implicit.example]"},
		{"null.example", "sender-null-mx []"},
		{"nullplus.example", "0 [mx1.example]"},
		{"nowhere.example", "sender-no-mail []"},
		{"bogon.example", "sender-bogon [bogon.example]"},
		{"inside.example", "sender-bogon [mx2.example]"},
		{"gone.example", "sender-unknown [nowhere.example]"},
		{"literal.example", "sender-unknown []"},
		{"broken.example", "sender-temporary []"},
		{"half.example", "0 [halfmx.example mx1.example]"},
		{"badmx.example", "sender-temporary [halfmx.example mx2.example]"},
		{"badaddr.example", "sender-temporary [badaddr.example]"},
		{"panic.example", "sender-temporary []"},
		{"[5.6.7.8]", "0 []"},
		{"[IPv6:2a00::1]", "0 []"},
		{"[127.0.0.1]", "sender-bogon []"},
		{"[x]", "sender-invalid []"},
		{"a..b", "sender-invalid []"},
		{"1.2.3.4", "sender-invalid []"},
		{"", "sender-invalid []"},
	} {
		s := checker(t, has).Sender(t.Context(), tt.domain)
		finding := "0"
		if s.Finding != 0 {
			finding = s.Finding.String()
		}
		if got := fmt.Sprintf("%s %v", finding, s.Hosts); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.domain, got, tt.want)
		}
		if (s.Finding == iprev.SenderTemporary) != (s.Err != nil) {
			t.Errorf("%q: %v", tt.domain, s.Err)
		}
	}
}

// Nothing waits longer than Config.Timeout.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := checker(t, map[string]string{
			"PTR 5.6.7.8": "a.example. b.example.", "A a.example": "hang", "A b.example": "5.6.7.8",
			"PTR 5.6.7.9": "hang", "A slow.example.com": "hang", "MX slow.example.com": "hang",
		}, func(c *iprev.Config) { c.Timeout = 3 * time.Second })
		for _, look := range []func() string{
			func() string { return string(c.Reverse(t.Context(), client).Status) + " pass" },
			func() string {
				return string(c.Reverse(t.Context(), netip.MustParseAddr("5.6.7.9")).Status) + " temperror"
			},
			func() string {
				return fmt.Sprint(c.Hello(t.Context(), "slow.example.com", client).Findings) + " [hello-temporary]"
			},
			func() string {
				return fmt.Sprint(c.Sender(t.Context(), "slow.example.com").Finding) + " sender-temporary"
			},
		} {
			start := time.Now()
			got, want, _ := strings.Cut(look(), " ")
			if took := time.Since(start); got != want || took != 3*time.Second {
				t.Errorf("%s, want %s, after %v", got, want, took)
			}
		}
	})
}

func TestConfigErrors(t *testing.T) {
	_, err := iprev.New(iprev.Config{
		OurNames: []string{"a..b"}, OurAddrs: []netip.Prefix{{}}, Judge: smtpguard.StageData, Timeout: -1,
		Rules:    map[iprev.Finding]iprev.Rule{99: {}, iprev.HelloOurs: {Action: 9}},
		Patterns: []iprev.Pattern{{Word: "a-b"}},
	})
	for _, want := range []string{"Resolver is missing", `OurNames[0] "a..b"`, "OurAddrs[0]", "Judge is data", "Timeout must", "finding 99", "Rules[hello-ours].Action", "Patterns has"} {
		if err == nil || !strings.Contains(err.Error(), "iprev: Config.") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	for _, p := range []iprev.Pattern{{Class: 9, Word: "a"}, {Word: ""}, {Word: "*"}, {Word: "A"}} {
		if _, err := iprev.New(iprev.Config{Resolver: net.DefaultResolver, Patterns: []iprev.Pattern{p}}); err == nil {
			t.Errorf("%+v is taken", p)
		}
	}
}

func TestFindings(t *testing.T) {
	seen := map[string]bool{}
	for f := iprev.ReverseNone; f <= iprev.SenderTemporary; f++ {
		var back iprev.Finding
		text, _ := f.MarshalText()
		if err := back.UnmarshalText(text); err != nil || back != f || seen[f.String()] {
			t.Errorf("%d is %s, and back %d, %v", f, text, back, err)
		}
		seen[f.String()] = true
	}
	var f iprev.Finding
	if err := f.UnmarshalText([]byte("nonsense")); err == nil || iprev.Finding(0).String() != "invalid" || iprev.Finding(200).String() != "invalid" {
		t.Error("nonsense is a finding")
	}
}
