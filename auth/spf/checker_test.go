package spf_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/smtpguard/smtpguard/auth/spf"
)

var client = netip.MustParseAddr("192.0.2.3")

func TestConfig(t *testing.T) {
	_, err := spf.New(spf.Config{Receiver: "mx_.example.net-", Timeout: -1})
	for _, want := range []string{"spf: Receiver", "spf: Timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v has no %q", err, want)
		}
	}
	if _, err := spf.New(spf.Config{}); err != nil {
		t.Errorf("the zero Config: %v", err)
	}
}

// TestOutcome asserts what an outcome carries besides its result.
func TestOutcome(t *testing.T) {
	z := parseZone(t, `
ann.example TXT v=spf1 ip4:198.51.100.1 a:host.example include:other.example ~all
other.example TXT v=spf1 ip4:192.0.2.0/24 -all
host.example A 198.51.100.2
moved.example TXT v=spf1 redirect=ann.example
soft.example TXT v=spf1 include:none.example ~all
void.example TXT v=spf1 a:gone.example ?include:fail.example
fail.example TXT v=spf1 -all exp=why.fail.example
why.fail.example TXT %{i} is not %{d}'s
down.example TIMEOUT
xn--bcher-kva.example TXT v=spf1 exists:%{o}.%{d} -all
xn--bcher-kva.example.xn--bcher-kva.example A 127.0.0.2
local.example TXT v=spf1 -exists:%{l}.local.example +all
`)
	checker := newChecker(t, z)
	for _, tt := range []struct {
		name, client, helo, mailFrom string
		want                         string // result, mechanism @ where, sender, domain, lookups/voids, trace
		err, explanation             string
	}{
		{"include", "192.0.2.3", "", "Ann@ANN.example", "pass include:other.example@ann.example Ann@ANN.example ann.example 2/0", "", ""},
		{"mapped", "::ffff:192.0.2.3", "", "ann@ann.example", "pass include:other.example@ann.example ann@ann.example ann.example 2/0", "", ""},
		{"redirect", "203.0.113.1", "", "ann@moved.example", "softfail ~all@ann.example ann@moved.example moved.example 3/0", "", ""},
		{"null reverse-path", "198.51.100.1", "ann.example", "", "pass ip4:198.51.100.1@ann.example postmaster@ann.example ann.example 0/0", "", ""},
		{"no local part", "198.51.100.1", "", "@ann.example", "pass ip4:198.51.100.1@ann.example postmaster@ann.example ann.example 0/0", "", ""},
		{"an '@' in quotes", "198.51.100.1", "", `"x@fail.example"@ann.example`, `pass ip4:198.51.100.1@ann.example "x@fail.example"@ann.example ann.example 0/0`, "", ""},
		{"default", "192.0.2.3", "", "ann@void.example", "neutral @ ann@void.example void.example 2/1", "", ""},
		{"a fail", "192.0.2.3", "", "ann@fail.example", "fail -all@fail.example ann@fail.example fail.example 0/0", "", "192.0.2.3 is not fail.example's"},
		{"U-labels", "192.0.2.3", "", "ann@Bücher.example", "pass exists:%{o}.%{d}@xn--bcher-kva.example ann@xn--bcher-kva.example xn--bcher-kva.example 1/0", "", ""},
		{"a local part outside ASCII matches nothing", "192.0.2.3", "", "änn@local.example", "pass +all@local.example änn@local.example local.example 1/0", "", ""},
		{"no policy", "192.0.2.3", "", "ann@gone.example", "none @ ann@gone.example gone.example 0/0", "spf: the domain has no policy", ""},
		{"a literal", "192.0.2.3", "", "ann@[192.0.2.3]", "none @ ann@[192.0.2.3] [192.0.2.3] 0/0", "spf: not a fully qualified domain name", ""},
		{"nothing at all", "192.0.2.3", "", "", "none @ postmaster@  0/0", "spf: not a fully qualified domain name", ""},
		{"DNS down", "192.0.2.3", "", "ann@down.example", "temperror @ ann@down.example down.example 0/0", `spf: TXT lookup of "down.example": lookup down.example.: i/o timeout`, ""},
		{"a dead end", "192.0.2.3", "", "ann@soft.example", "permerror @ ann@soft.example soft.example 1/0", `spf: "include:none.example" in the record of soft.example leads to no policy`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := checker.MailFrom(t.Context(), netip.MustParseAddr(tt.client), tt.helo, tt.mailFrom)
			text := fmt.Sprintf("%s %s@%s %s %s %d/%d", got.Result, got.Mechanism, got.Where, got.Sender, got.Domain, got.Lookups, got.Voids)
			if text != tt.want {
				t.Errorf("got  %s\nwant %s", text, tt.want)
			}
			if err := fmt.Sprint(got.Err); err != tt.err && (got.Err != nil || tt.err != "") {
				t.Errorf("error %s, want %s", err, tt.err)
			}
			if got.Explanation != tt.explanation {
				t.Errorf("explanation %q", got.Explanation)
			}
			if got.Identity != spf.MailFrom {
				t.Errorf("identity %s", got.Identity)
			}
			sound(t, got)
		})
	}
	t.Run("HELO", func(t *testing.T) {
		got := checker.Helo(t.Context(), client, "fail.example")
		if got.Result != spf.Fail || got.Identity != spf.Helo || got.Sender != "postmaster@fail.example" {
			t.Errorf("%+v", got)
		}
	})
	t.Run("an '@' in HELO", func(t *testing.T) {
		if got := checker.Helo(t.Context(), client, "x@fail.example"); got.Result != spf.None || got.Domain != "x@fail.example" {
			t.Errorf("%+v", got)
		}
	})
	t.Run("no client", func(t *testing.T) {
		if got := checker.Helo(t.Context(), netip.Addr{}, "fail.example"); got.Result != spf.None || got.Err == nil {
			t.Errorf("%+v", got)
		}
	})
	t.Run("an endless identity", func(t *testing.T) {
		got := checker.MailFrom(t.Context(), client, "", strings.Repeat("a", 1<<20)+"@fail.example")
		if got.Result != spf.None || got.Err == nil || len(got.Sender) > 2000 {
			t.Errorf("%s %v", got.Result, got.Err)
		}
	})
}

func TestTrace(t *testing.T) {
	checker := newChecker(t, parseZone(t, `
ann.example TXT v=spf1 ip4:198.51.100.1 a:gone.example mx:host.example include:other.example redirect=end.example
other.example TXT v=spf1 -a:host.example ?all
host.example A 198.51.100.2
host.example MX 1 host.example
end.example TXT v=spf1 exists:down.example
down.example TIMEOUT
`))
	got := checker.MailFrom(t.Context(), client, "", "ann@ann.example")
	var b strings.Builder
	for _, s := range got.Trace {
		fmt.Fprintln(&b, s)
	}
	want := `ann.example: "v=spf1 ip4:198.51.100.1 a:gone.example mx:host.example include:other.example redirect=end.example": record
ann.example: "a:gone.example": void
ann.example: "mx:host.example": no match
ann.example: "include:other.example": follow
other.example: "v=spf1 -a:host.example ?all": record
other.example: "-a:host.example": no match
other.example: "?all": match
ann.example: "include:other.example": no match
ann.example: "redirect=end.example": follow
end.example: "v=spf1 exists:down.example": record
end.example: "exists:down.example": error
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
	evil := spf.Step{Domain: "a.example", Term: "a\r\n\x1b[31m" + strings.Repeat("x", 1000), Note: spf.NoMatch}
	if s := evil.String(); strings.ContainsAny(s, "\r\n\x1b") || len(s) > 300 {
		t.Errorf("%q", s)
	}
}

// stuck answers nobody: it waits for the end of the context.
type stuck struct{ zone }

func (stuck) LookupTXT(ctx context.Context, _ string) ([]string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		got := newChecker(t, stuck{}).MailFrom(t.Context(), client, "", "ann@ann.example")
		if got.Result != spf.TempError || !errors.Is(got.Err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", got.Result, got.Err)
		}
		if took := time.Since(start); took != 20*time.Second {
			t.Errorf("took %v", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		newChecker(t, stuck{}).MailFrom(ctx, client, "", "ann@ann.example")
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v with a context of a second", took)
		}
	})
}

// odd answers as resolvers do at their edges.
type odd struct {
	zone
	mx    []*net.MX
	addrs []netip.Addr
	err   error
	asked context.Context
}

func (o *odd) LookupMX(ctx context.Context, _ string) ([]*net.MX, error) {
	o.asked = ctx
	return o.mx, o.err
}
func (o *odd) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return o.addrs, o.err
}

func TestOddAnswers(t *testing.T) {
	z := parseZone(t, `
mx.example TXT v=spf1 mx ~all
a.example TXT v=spf1 a ~all`)
	malformed := &net.DNSError{Err: "DNS response contained records which contain invalid names"}
	for _, tt := range []struct {
		name   string
		domain string
		answer odd
		want   spf.Result
	}{
		{"the null MX", "mx.example", odd{mx: []*net.MX{{Host: "."}}}, spf.SoftFail},
		{"some invalid MX names", "mx.example", odd{mx: []*net.MX{{Host: "."}}, err: malformed}, spf.SoftFail},
		{"only invalid MX names", "mx.example", odd{err: malformed}, spf.TempError},
		{"no answer and no error", "a.example", odd{}, spf.SoftFail},
		{"the other family only", "a.example", odd{err: &net.AddrError{Err: "no suitable address found"}}, spf.SoftFail},
		{"a mapped address", "a.example", odd{addrs: []netip.Addr{netip.MustParseAddr("::ffff:192.0.2.3")}}, spf.Pass},
		{"another error", "a.example", odd{err: errors.New("out of order")}, spf.TempError},
		{"a wrapped one", "a.example", odd{err: fmt.Errorf("wrapped: %w", &net.DNSError{IsNotFound: true})}, spf.SoftFail},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.answer.zone = z
			got := newChecker(t, &tt.answer).MailFrom(t.Context(), client, "", "ann@"+tt.domain)
			if got.Result != tt.want {
				t.Errorf("%s (%v), want %s", got.Result, got.Err, tt.want)
			}
			if ctx := tt.answer.asked; ctx != nil {
				if _, ok := ctx.Deadline(); !ok {
					t.Error("no deadline")
				}
				if ctx.Err() == nil {
					t.Error("the context outlives the check")
				}
				<-ctx.Done()
			}
		})
	}
}

// TestMacros asserts the examples of RFC 7208, section 7.4, and what section 7.3
// adds.
func TestMacros(t *testing.T) {
	for _, tt := range []struct{ client, macro, want string }{
		{"192.0.2.3", "%{s}", "strong-bad@email.example.com"},
		{"192.0.2.3", "%{o}", "email.example.com"},
		{"192.0.2.3", "%{d}", "email.example.com"},
		{"192.0.2.3", "%{d4}", "email.example.com"},
		{"192.0.2.3", "%{d3}", "email.example.com"},
		{"192.0.2.3", "%{d2}", "example.com"},
		{"192.0.2.3", "%{d1}", "com"},
		{"192.0.2.3", "%{dr}", "com.example.email"},
		{"192.0.2.3", "%{d2r}", "example.email"},
		{"192.0.2.3", "%{l}", "strong-bad"},
		{"192.0.2.3", "%{l-}", "strong.bad"},
		{"192.0.2.3", "%{lr}", "strong-bad"},
		{"192.0.2.3", "%{lr-}", "bad.strong"},
		{"192.0.2.3", "%{l1r-}", "strong"},
		{"192.0.2.3", "%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"},
		{"192.0.2.3", "%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"},
		{"192.0.2.3", "%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"},
		{"192.0.2.3", "%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"},
		{"192.0.2.3", "%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"},
		{"2001:db8::cb01", "%{ir}.%{v}._spf.%{d2}", "1.0.B.C.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6._spf.example.com"},
		{"2001:db8::cb01", "%{c}", "2001:db8::cb01"},
		{"::ffff:192.0.2.3", "%{c} %{i}", "192.0.2.3 192.0.2.3"},
		{"192.0.2.3", "%{h} %{r} %{p}", "mail.example.org unknown unknown"},
		{"192.0.2.3", "%{S}%%%_%-", "strong-bad%40email.example.com% %20"},
		{"192.0.2.3", "%{l9999999999999999999r-}", "bad.strong"},
		{"192.0.2.3", "%{q}", ""},
		{"192.0.2.3", "100% sure", ""},
		{"192.0.2.3", "bell \a", ""},
		{"192.0.2.3", "two\r\nlines", ""},
		{"192.0.2.3", "é", ""},
		{"192.0.2.3", strings.Repeat("x", 1000), strings.Repeat("x", 450)},
	} {
		z := parseZone(t, "email.example.com TXT v=spf1 -all exp=why.example.com")
		z["why.example.com"] = &node{TXT: []string{tt.macro}}
		got := newChecker(t, z).MailFrom(t.Context(), netip.MustParseAddr(tt.client), "mail.example.org", "strong-bad@email.example.com")
		if got.Result != spf.Fail || got.Explanation != tt.want {
			t.Errorf("%q is %q, want %q", tt.macro, got.Explanation, tt.want)
		}
	}
	z := parseZone(t, `email.example.com TXT v=spf1 -all exp=why.example.com
why.example.com TXT one
why.example.com TXT two`)
	if got := newChecker(t, z).Helo(t.Context(), client, "email.example.com"); got.Explanation != "" {
		t.Errorf("of several explanations, %q", got.Explanation)
	}
	z = parseZone(t, `email.example.com TXT v=spf1 -all exp=why.example.com
why.example.com TXT %{r} at %{t}`)
	checker, err := spf.New(spf.Config{Resolver: z, Receiver: "MX.example.net"})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		got := checker.Helo(t.Context(), client, "email.example.com")
		if want := fmt.Sprintf("mx.example.net at %d", time.Now().Unix()); got.Explanation != want {
			t.Errorf("%q, want %q", got.Explanation, want)
		}
	})
}

// counting counts what a check asks for.
type counting struct {
	zone
	n int
}

func (c *counting) LookupTXT(ctx context.Context, name string) ([]string, error) {
	c.n++
	return c.zone.LookupTXT(ctx, name)
}
func (c *counting) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	c.n++
	return c.zone.LookupMX(ctx, name)
}
func (c *counting) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	c.n++
	return c.zone.LookupNetIP(ctx, network, host)
}
func (c *counting) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	c.n++
	return c.zone.LookupAddr(ctx, addr)
}

// TestHostilePolicies asserts the bounds of section 4.6.4 on what a policy can
// make its reader do: ten terms, ten hosts in each.
func TestHostilePolicies(t *testing.T) {
	z := parseZone(t, `
mx.example TXT v=spf1 mx mx mx mx mx mx mx mx mx mx mx mx +all
ptr.example TXT v=spf1 ptr:a.example ptr:b.example ptr:c.example exists:%{p}.example exists:%{p1}.%{p2}.%{p3}.example -all
tree.example TXT v=spf1 include:tree2.example include:tree2.example include:tree2.example -all
tree2.example TXT v=spf1 include:tree3.example include:tree3.example include:tree3.example ?all
tree3.example TXT v=spf1 a:host.example mx:mx.example ?all
host.example A 198.51.100.1
`)
	for i := range 10 {
		host := fmt.Sprintf("mx%d.example", i)
		for _, record := range [][3]string{{"mx.example", "MX", "1 " + host}, {host, "A", "198.51.100.1"}, {reverseName(client), "PTR", host + "."}} {
			if err := z.add(record[0], record[1], record[2]); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 100 {
		if err := z.add(reverseName(client), "PTR", fmt.Sprintf("more%d.a.example", i)); err != nil {
			t.Fatal(err)
		}
	}
	z["terms.example"] = &node{TXT: []string{"v=spf1" + strings.Repeat(" a:host.example", 4000)}}
	z["networks.example"] = &node{TXT: []string{"v=spf1" + strings.Repeat(" ip4:1.1.1.1", 5000) + " a -all"}}
	for name := range z {
		if z[name].TXT == nil {
			continue
		}
		counter := &counting{zone: z}
		got := newChecker(t, counter).MailFrom(t.Context(), client, "", "ann@"+name)
		if counter.n > 112 {
			t.Errorf("%s: %d queries", name, counter.n)
		}
		sound(t, got)
	}
}

func TestConcurrent(t *testing.T) {
	checker := newChecker(t, exampleZone())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if got := checker.MailFrom(t.Context(), client, "", "ann@example.org"); got.Result != spf.Fail {
					t.Errorf("%s: %v", got.Result, got.Err)
				}
			}
		})
	}
	wg.Wait()
}

func TestZeroChecker(t *testing.T) {
	var zero spf.Checker
	if got := zero.Helo(t.Context(), client, "example.org"); got.Result != spf.TempError || got.Err == nil {
		t.Errorf("%+v", got)
	}
	if got := zero.Lint(t.Context(), "example.org"); len(got.Findings) != 1 {
		t.Errorf("%+v", got)
	}
}

// static answers TXT queries without allocating, as a warm cache can.
type static struct {
	zone
	txt map[string][]string
}

func (s static) LookupTXT(_ context.Context, name string) ([]string, error) { return s.txt[name], nil }

// TestAllocations asserts that a check of known records costs next to nothing.
func TestAllocations(t *testing.T) {
	networks := strings.Repeat(" ip4:198.51.100.0/24", 20)
	z := static{txt: map[string][]string{
		"first.example.": {"v=spf1 ip4:192.0.2.0/24" + networks + " -all"},
		"five.example.":  {"v=spf1 include:a.example include:b.example include:c.example include:d.example include:e.example -all"},
	}}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		z.txt[name+".example."] = []string{"v=spf1" + networks + " ~all"}
	}
	checker := newChecker(t, z)
	for sender, most := range map[string]float64{"ann@first.example": 3, "ann@five.example": 5} {
		n := testing.AllocsPerRun(100, func() {
			if got := checker.MailFrom(t.Context(), client, "mail.example", sender); got.Err != nil {
				t.Error(got.Err)
			}
		})
		if n > most {
			t.Errorf("%s: %v allocations", sender, n)
		}
	}
}
