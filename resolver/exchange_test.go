package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// Every time round the servers, the wait for an answer doubles.
func TestRetries(t *testing.T) {
	for _, tt := range []struct {
		servers int
		cfg     Config
		asked   string
		took    time.Duration
	}{
		{1, Config{}, "1 1 1", 7 * time.Second},
		{2, Config{Wait: 100 * time.Millisecond}, "1 2 1 2 1 2", 1400 * time.Millisecond},
		{3, Config{Attempts: 1, Wait: 2 * time.Second}, "1 2 3", 6 * time.Second},
		{1, Config{Timeout: 2 * time.Second}, "1 1", 2 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{answer: func(*dns.Msg, string, string) *dns.Msg { return nil }}
			tt.cfg.Servers = servers(tt.servers)
			r := newFake(t, f, tt.cfg)
			start := time.Now()
			_, err := r.LookupTXT(t.Context(), "example.org")
			if took := time.Since(start); took != tt.took || f.order() != tt.asked || !errors.Is(err, ErrTimeout) {
				t.Errorf("%+v: asked %s in %v: %v", tt, f.order(), took, err)
			}
		})
	}
}

// order returns the last octets of whom was asked.
func (f *fake) order() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, a := range f.asked {
		host, _, _ := net.SplitHostPort(a)
		list = append(list, host[strings.LastIndexByte(host, '.')+1:])
	}
	return strings.Join(list, " ")
}

func TestServers(t *testing.T) {
	servfail := func(q *dns.Msg) *dns.Msg { return code(q, dns.RcodeServerFailure) }
	for _, tt := range []struct {
		name   string
		rotate bool
		first  func(q *dns.Msg) *dns.Msg // what the first server says; the others know
		asked  string                    // for four questions
	}{
		{"in order", false, func(q *dns.Msg) *dns.Msg { return reply(q, "a. 60 IN TXT x") }, "1 1 1 1"},
		{"in turn", true, func(q *dns.Msg) *dns.Msg { return reply(q, "a. 60 IN TXT x") }, "1 2 3 1"},
		{"SERVFAIL, which another may know better", false, servfail, "1 2 1 2 1 2 1 2"},
		{"silence, then asked last", false, func(*dns.Msg) *dns.Msg { return nil }, "1 2 2 2 2"},
		{"silence in turn", true, func(*dns.Msg) *dns.Msg { return nil }, "1 2 2 3 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{answer: func(q *dns.Msg, _, address string) *dns.Msg {
					q.Question[0].Name = strings.ToUpper(q.Question[0].Name) // who compares must not mind
					m := reply(q, "a. 60 IN TXT x")
					if strings.HasPrefix(address, "192.0.2.1:") {
						m = tt.first(q)
					}
					if m != nil {
						for _, rr := range m.Answer {
							rr.Header().Name = q.Question[0].Name
						}
					}
					return m
				}}
				r := newFake(t, f, Config{Servers: servers(3), Rotate: tt.rotate})
				for i := range 4 {
					if _, err := r.LookupTXT(t.Context(), fmt.Sprintf("%d.example", i)); err != nil {
						t.Error(err)
					}
				}
				if f.order() != tt.asked {
					t.Errorf("asked %s, want %s", f.order(), tt.asked)
				}
			})
		})
	}
	t.Run("all say different things", func(t *testing.T) {
		f := &fake{answer: func(q *dns.Msg, _, address string) *dns.Msg {
			if strings.HasPrefix(address, "192.0.2.1:") {
				return code(q, dns.RcodeServerFailure)
			}
			return code(q, dns.RcodeRefused)
		}}
		_, err := newFake(t, f, Config{Servers: servers(2)}).LookupTXT(t.Context(), "example.org")
		if !errors.Is(err, ErrRefused) || f.order() != "1 2" {
			t.Errorf("asked %s: %v", f.order(), err)
		}
	})
	t.Run("a silent server is asked again after a while", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var silent atomic.Bool
			silent.Store(true)
			f := &fake{answer: func(q *dns.Msg, _, address string) *dns.Msg {
				if silent.Load() && strings.HasPrefix(address, "192.0.2.1:") {
					return nil
				}
				return reply(q)
			}}
			r := newFake(t, f, Config{Servers: servers(2)})
			r.LookupTXT(t.Context(), "a.example")
			silent.Store(false)
			r.LookupTXT(t.Context(), "b.example")
			time.Sleep(downTime)
			r.LookupTXT(t.Context(), "c.example")
			if f.order() != "1 2 2 1" {
				t.Errorf("asked %s", f.order())
			}
		})
	})
}

// The query is as it should be, and servers without EDNS are asked without.
func TestQuery(t *testing.T) {
	var queries []*dns.Msg
	f := &fake{answer: func(q *dns.Msg, _, _ string) *dns.Msg {
		queries = append(queries, q)
		if q.IsEdns0() != nil {
			m := new(dns.Msg)
			m.Id, m.Response, m.Rcode = q.Id, true, dns.RcodeFormatError // no question: it was not read
			return m
		}
		return reply(q, "example.org. 60 IN TXT found")
	}}
	r := newFake(t, f, Config{Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	texts, err := r.LookupTXT(t.Context(), "Example.ORG.")
	if err != nil || len(texts) != 1 || len(queries) != 2 {
		t.Fatalf("%v, %v, %d queries", texts, err, len(queries))
	}
	q := queries[0]
	if opt := q.IsEdns0(); opt == nil || opt.UDPSize() != 1232 || opt.Do() || !q.RecursionDesired || !q.AuthenticatedData || q.Question[0] != (dns.Question{Name: "example.org.", Qtype: dns.TypeTXT, Qclass: dns.ClassINET}) {
		t.Errorf("%v", q)
	}
	if queries[1].Id == q.Id {
		t.Error("the same id twice")
	}
}

func TestHostileNames(t *testing.T) {
	f := &fake{answer: func(q *dns.Msg, _, _ string) *dns.Msg { return reply(q) }}
	r := newFake(t, f, Config{})
	label := strings.Repeat("a", 63)
	for _, name := range []string{
		"", ".", "..", "a..example", ".example", "a b.example", "a\x00.example", "a\r\nb.example", `a\.example`, `a"b.example`, "a(b).example",
		label + "a.example", strings.Repeat(label+".", 4) + "example", "\xff.example", "a\u200b\u202e.example", "xn--a\u00fc.example", strings.Repeat("ü", 300) + ".example", "a;b.example", "<a>.example", "a\x7f.example",
	} {
		_, err := r.LookupTXT(t.Context(), name)
		var d *net.DNSError
		if !errors.As(err, &d) || !d.IsNotFound || d.IsTemporary || !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\x00\r\n\x7f\u202e") {
			t.Errorf("%q in an error", err)
		}
	}
	if n := f.count(); n != 0 {
		t.Errorf("%d packets", n)
	}
	for name, want := range map[string]string{
		"BÜCHER.example": "xn--bcher-kva.example", "_dmarc.Example.": "_dmarc.example", "com": "com",
		"user+tag=x._spf.example": "user+tag=x._spf.example", "2.0.0.127.zen.example": "2.0.0.127.zen.example",
		strings.Repeat(label+".", 3) + label[2:]: strings.Repeat(label+".", 3) + label[2:],
	} {
		if a, err := r.Lookup(t.Context(), name, dns.TypeTXT); a.Name != want || !errors.Is(err, ErrNoData) {
			t.Errorf("%q: %q, %v", name, a.Name, err)
		}
	}
}

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: func(q *dns.Msg, _, _ string) *dns.Msg {
			if strings.HasPrefix(q.Question[0].Name, "slow") {
				time.Sleep(300 * time.Millisecond)
			}
			if strings.HasPrefix(q.Question[0].Name, "never") {
				return nil
			}
			return reply(q, q.Question[0].Name+" 60 IN TXT x")
		}}
		r := newFake(t, f, Config{})
		spend := func(b *Budget, check string, names ...string) error {
			ctx := WithCheck(WithBudget(t.Context(), b), check)
			for _, name := range names {
				if _, err := r.LookupTXT(ctx, name); err != nil {
					return err
				}
			}
			return nil
		}
		b := &Budget{Queries: 3}
		if err := spend(b, "spf", "a.example", "b.example", "a.example"); err != nil { // a.example is known
			t.Fatal(err)
		}
		err := spend(b, "dkim", "c.example", "d.example")
		var d *net.DNSError
		if !errors.Is(err, ErrBudget) || !errors.As(err, &d) || !d.IsTemporary || d.IsTimeout || d.IsNotFound || !strings.Contains(err.Error(), "3 queries (dkim 1, spf 2)") {
			t.Error(err)
		}
		const packet = len("a.example") + 2 + 12 + 4
		if got := fmt.Sprint(b.Spent()); got != fmt.Sprintf("[{dkim 1 0s %d} {spf 2 0s %d}]", octetsOf(1), octetsOf(2)) {
			t.Errorf("%s, a question being %d octets", got, packet)
		}
		if err := spend(b, "dkim", "a.example"); err != nil {
			t.Errorf("what is known costs nothing: %v", err)
		}
		// Whose budget is not spent is not hindered.
		if err := spend(nil, "", "d.example"); err != nil {
			t.Error(err)
		}
		if _, err := r.LookupTXT(t.Context(), "e.example"); err != nil {
			t.Error(err)
		}

		b = &Budget{Octets: 150}
		if err := spend(b, "spf", "f.example", "g.example", "h.example", "i.example"); !errors.Is(err, ErrBudget) || !strings.Contains(err.Error(), "150 octets") {
			t.Error(err)
		}

		b = &Budget{Time: 500 * time.Millisecond}
		start := time.Now()
		if err := spend(b, "spf", "slow1.example", "never.example"); !errors.Is(err, ErrBudget) || !strings.Contains(err.Error(), "500ms (spf 300ms)") && !strings.Contains(err.Error(), "500ms (spf 500ms)") {
			t.Error(err)
		}
		if took := time.Since(start); took != 500*time.Millisecond || b.Total().Time != took {
			t.Errorf("%v, of which %v are in the books", took, b.Total().Time)
		}
		if err := spend(b, "dkim", "j.example"); !errors.Is(err, ErrBudget) {
			t.Error(err)
		}
		// A budget's end is not remembered of the name.
		if err := spend(nil, "", "j.example"); err != nil {
			t.Error(err)
		}

		// Who waits for what another asked for pays with time alone.
		b = &Budget{Time: 100 * time.Millisecond}
		other := make(chan error)
		go func() { other <- spend(nil, "", "slow.shared.example") }()
		synctest.Wait()
		start = time.Now()
		if err := spend(b, "spf", "slow.shared.example"); !errors.Is(err, ErrBudget) || time.Since(start) != b.Time || b.Total().Queries != 0 {
			t.Errorf("%v after %v, %+v", err, time.Since(start), b.Total())
		}
		if err := <-other; err != nil {
			t.Error(err)
		}

		// Side by side the time counts once, but for each check.
		b = &Budget{Time: time.Second}
		done := make(chan error)
		for i := range 5 {
			go func() { done <- spend(b, fmt.Sprint("check", i), fmt.Sprintf("slow%d.other.example", i)) }()
		}
		for range 5 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if total := b.Total(); total.Time != 300*time.Millisecond || total.Queries != 5 || len(b.Spent()) != 5 || b.Spent()[4].Time != 300*time.Millisecond {
			t.Errorf("%+v, %+v", total, b.Spent())
		}
	})
}

// octetsOf is what n questions for a.example and their answers take.
func octetsOf(n int) int {
	q := new(dns.Msg).SetQuestion("a.example.", dns.TypeTXT)
	q.SetEdns0(payload, false)
	r := reply(q, "a.example. 60 IN TXT x")
	return n * (q.Len() + r.Len())
}

func TestResolvConf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conf := filepath.Join(t.TempDir(), "resolv.conf")
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(conf+"~", []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(conf+"~", conf); err != nil {
				t.Fatal(err)
			}
		}
		write("# ours\nnameserver 192.0.2.1\nnameserver nonsense\n; nameserver 192.0.2.9\nsearch example.org\n")
		f := &fake{answer: func(q *dns.Msg, _, _ string) *dns.Msg {
			m := reply(q, q.Question[0].Name+" 60 IN TXT x")
			m.AuthenticatedData = true
			return m
		}}
		r := mustNew(t, Config{ResolvConf: conf, Dial: f.dial})
		n := 0
		ask := func() bool {
			t.Helper()
			n++
			a, err := r.Lookup(t.Context(), fmt.Sprintf("%d.example", n), dns.TypeTXT)
			if err != nil {
				t.Error(err)
			}
			return a.Authentic
		}
		ask()
		write("nameserver 192.0.2.22\nnameserver 2001:db8::3\noptions ndots:2 trust-ad\n")
		ask() // it is not looked at every time
		time.Sleep(lookEvery)
		if !ask() {
			t.Error("trust-ad does not trust")
		}
		os.Remove(conf)
		time.Sleep(lookEvery)
		ask()
		write("nothing here\n")
		time.Sleep(lookEvery)
		ask()
		write("nameserver 192.0.2.254\n")
		time.Sleep(lookEvery)
		if ask() {
			t.Error("trusted without trust-ad")
		}
		if f.order() != "1 1 22 22 22 254" || r.Stats().Unread != 2 {
			t.Errorf("asked %s, %+v", f.order(), r.Stats())
		}
		if got := r.Servers(); !slices.Equal(got, []Server{{Addr: netip.MustParseAddrPort("192.0.2.254:0")}}) {
			t.Errorf("%v", got)
		}
	})
}

func TestParseServer(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1": "", "192.0.2.1:53": "", "[2001:db8::1]:5353": "", "2001:db8::1": "", "192.0.2.1#dns.example.net": "", "[2001:db8::1]:853#dns.example.net": "",
		"":              `resolver: server "" is no address, with or without a port`,
		"dns.example":   `resolver: server "dns.example" is no address, with or without a port`,
		"192.0.2.1#":    `resolver: server "192.0.2.1#" has no name for TLS behind '#'`,
		"192.0.2.1#a b": `resolver: server "192.0.2.1#a b" has no name for TLS behind '#'`,
	} {
		s, err := ParseServer(text)
		switch {
		case want == "" && (err != nil || s.String() != text):
			t.Errorf("%q: %v, %v", text, s, err)
		case want != "" && (err == nil || err.Error() != want):
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Ten thousand ask a server that does not answer, half of them the same. Each
// gets its error when its time is over, if not before.
func TestStalledServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: func(*dns.Msg, string, string) *dns.Msg { return nil }}
		r := newFake(t, f, Config{Sockets: 100})
		const callers = 10_000
		took := make(chan time.Duration, callers)
		for i := range callers {
			go func() {
				limit := time.Duration(1+i%50) * 100 * time.Millisecond
				ctx, cancel := context.WithTimeout(context.Background(), limit)
				defer cancel()
				name := "same.example"
				if i%2 == 0 {
					name = fmt.Sprintf("%d.example", i)
				}
				start := time.Now()
				_, err := r.LookupTXT(ctx, name)
				var d *net.DNSError
				if !errors.As(err, &d) || !d.IsTimeout {
					t.Errorf("%v", err)
				}
				took <- time.Since(start) - limit
			}()
		}
		for range callers {
			if late := <-took; late > 0 {
				t.Fatalf("%v late", late)
			}
		}
		if n := r.Stats().Entries; n > 1 {
			t.Errorf("%d entries of what nobody said", n)
		}
	})
}

// Who finds no socket free has waited in vain, which says nothing of the servers.
func TestNoSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var silent atomic.Bool
		silent.Store(true)
		f := &fake{answer: func(q *dns.Msg, _, _ string) *dns.Msg {
			if silent.Load() {
				return nil
			}
			return reply(q, q.Question[0].Name+" 60 IN TXT x")
		}}
		r := newFake(t, f, Config{Sockets: 1, Wait: 10 * time.Second, Attempts: 1, Timeout: 3 * time.Second})
		go r.LookupTXT(t.Context(), "first.example")
		synctest.Wait()
		time.Sleep(time.Second)
		go func() {
			time.Sleep(2500 * time.Millisecond)
			silent.Store(false)
		}()
		go r.LookupTXT(t.Context(), "second.example") // takes the socket when the first is done
		synctest.Wait()
		_, err := r.LookupTXT(t.Context(), "third.example")
		if !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "no socket") {
			t.Error(err)
		}
		synctest.Wait()
		if _, err := r.LookupTXT(t.Context(), "third.example"); err != nil {
			t.Error(err)
		}
	})
}

// Many who ask for the same together ask once, and a caller that panics leaves
// nothing behind.
func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: func(q *dns.Msg, _, _ string) *dns.Msg {
			time.Sleep(10 * time.Millisecond)
			return reply(q, q.Question[0].Name+" 60 IN A 127.0.0.2")
		}}
		r := newFake(t, f, Config{Sockets: 2})
		hosts := []string{"a.example", "b.example", "c.example", "a.example"}
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				n := 0
				mine := append(slices.Clone(hosts[i%3:]), hosts[:i%3]...)
				r.LookupEach(t.Context(), mine, func(_ int, list []netip.Addr, err error) bool {
					n++
					if err != nil || len(list) != 1 {
						t.Errorf("%v, %v", list, err)
					}
					return true
				})
				if n != len(hosts) {
					t.Errorf("%d answers", n)
				}
			})
		}
		all.Wait()
		if n := f.count(); n != 3 {
			t.Errorf("asked %d times, want 3", n)
		}
		for i := range 3 {
			func() {
				defer func() { recover() }()
				r.LookupEach(t.Context(), []string{fmt.Sprintf("x%d.example", i), "y.example"}, func(int, []netip.Addr, error) bool { panic("caller") })
			}()
		}
		if list, err := r.LookupNetIP(t.Context(), "ip4", "y.example"); err != nil || len(list) != 1 {
			t.Errorf("%v, %v", list, err)
		}
	})
}
