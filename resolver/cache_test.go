package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

const soa = "example.org. 600 IN SOA ns hostmaster 1 3600 600 86400 90"

// How long answers are kept, to the second.
func TestKept(t *testing.T) {
	long := fmt.Sprintf("example.org. %d IN A 192.0.2.1", 1<<31-1)
	for _, tt := range []struct {
		name  string
		cache Cache
		rcode int
		reply []string
		want  time.Duration
	}{
		{"its TTL", Cache{}, 0, []string{"example.org. 300 IN A 192.0.2.1"}, 300 * time.Second},
		{"the least of a set", Cache{}, 0, []string{"example.org. 300 IN A 192.0.2.1", "example.org. 30 IN A 192.0.2.2"}, 30 * time.Second},
		{"the least of a chain", Cache{}, 0, []string{"example.org. 20 IN CNAME a.example.", "a.example. 30 IN A 192.0.2.2"}, 20 * time.Second},
		{"no time", Cache{}, 0, []string{"example.org. 0 IN A 192.0.2.1"}, 0},
		{"floor", Cache{Floor: time.Minute}, 0, []string{"example.org. 5 IN A 192.0.2.1"}, time.Minute},
		{"ceiling", Cache{}, 0, []string{long}, 24 * time.Hour},
		{"a smaller ceiling", Cache{Ceiling: time.Minute}, 0, []string{long}, time.Minute},
		{"no name, by the SOA's minimum", Cache{}, dns.RcodeNameError, []string{soa}, 90 * time.Second},
		{"no name, by the SOA's TTL", Cache{}, dns.RcodeNameError, []string{strings.Replace(soa, "600", "60", 1)}, time.Minute},
		{"no data", Cache{}, 0, []string{soa}, 90 * time.Second},
		{"no data, bounded", Cache{Negative: 10 * time.Second}, 0, []string{soa}, 10 * time.Second},
		{"no name, with the SOA of elsewhere", Cache{}, dns.RcodeNameError, []string{strings.Replace(soa, "example.org", "victim.example", 1)}, 5 * time.Second},
		{"no name, without an SOA", Cache{}, dns.RcodeNameError, nil, 5 * time.Second},
		{"SERVFAIL", Cache{}, dns.RcodeServerFailure, nil, 5 * time.Second},
		{"REFUSED", Cache{Failure: time.Minute}, dns.RcodeRefused, nil, time.Minute},
		{"failure, not at all", Cache{Failure: -1}, dns.RcodeServerFailure, nil, 0},
		{"nothing is kept", Cache{Entries: -1}, 0, []string{"example.org. 300 IN A 192.0.2.1"}, 0},
		{"no room", Cache{Octets: 100}, 0, []string{"example.org. 300 IN A 192.0.2.1"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{answer: func(q *dns.Msg, _, _ string) *dns.Msg { return code(q, tt.rcode, tt.reply...) }}
				tt.cache.Prefetch = -1
				r := newFake(t, f, Config{Cache: tt.cache})
				first, err := r.Lookup(t.Context(), "example.org", dns.TypeA)
				if tt.want > 0 {
					time.Sleep(tt.want - time.Nanosecond)
					again, err2 := r.Lookup(t.Context(), "example.org", dns.TypeA)
					if n := f.count(); n != 1 {
						t.Errorf("asked %d times while it was kept", n)
					}
					if fmt.Sprint(err) != fmt.Sprint(err2) || fmt.Sprint(first.Addrs()) != fmt.Sprint(again.Addrs()) || first.TTL != tt.want || again.TTL != 0 {
						t.Errorf("%+v, %v, then %+v, %v", first, err, again, err2)
					}
					time.Sleep(time.Nanosecond)
				}
				r.Lookup(t.Context(), "example.org", dns.TypeA)
				if n := f.count(); n != 2 {
					t.Errorf("asked %d times, want 2", n)
				}
			})
		})
	}
}

// A cached answer serves when the servers fail, in whichever way, for as long as
// it may; and the servers are not asked again at once.
func TestStale(t *testing.T) {
	for name, failure := range map[string]func(q *dns.Msg) *dns.Msg{
		"SERVFAIL": func(q *dns.Msg) *dns.Msg { return code(q, dns.RcodeServerFailure) },
		"silence":  func(*dns.Msg) *dns.Msg { return nil },
	} {
		for _, short := range []bool{false, true} { // the caller has less time than the servers get
			t.Run(fmt.Sprintf("%s, short %t", name, short), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var fails atomic.Bool
					f := &fake{answer: func(q *dns.Msg, _, _ string) *dns.Msg {
						if fails.Load() {
							return failure(q)
						}
						return reply(q, "example.org. 60 IN TXT old")
					}}
					r := newFake(t, f, Config{Cache: Cache{Stale: time.Hour}})
					ask := func() (Answer, error) {
						ctx := t.Context()
						if short {
							c, cancel := context.WithTimeout(ctx, 2*time.Second)
							defer cancel()
							ctx = c
						}
						return r.Lookup(ctx, "example.org", dns.TypeTXT)
					}
					ask()
					fails.Store(true)
					time.Sleep(time.Minute)
					for range 3 {
						if a, err := ask(); err != nil || !a.Stale || len(a.Texts()) != 1 {
							t.Fatalf("%+v, %v", a, err)
						}
					}
					n := f.count()
					ask()
					if f.count() != n {
						t.Error("asked again at once")
					}
					time.Sleep(5 * time.Second)
					if a, err := ask(); err != nil || !a.Stale || f.count() == n {
						t.Errorf("%+v, %v", a, err)
					}
					fails.Store(false)
					time.Sleep(5 * time.Second)
					if a, err := ask(); err != nil || a.Stale || a.TTL != time.Minute {
						t.Errorf("%+v, %v", a, err)
					}
					fails.Store(true)
					time.Sleep(time.Minute + time.Hour)
					if a, err := ask(); err == nil {
						t.Errorf("%+v after its last hour", a)
					}
				})
			})
		}
	}
}

func TestPrefetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		version := 0
		f := &fake{answer: func(q *dns.Msg, _, _ string) *dns.Msg {
			version++
			return reply(q, fmt.Sprintf("%s 100 IN TXT v%d", q.Question[0].Name, version))
		}}
		r := newFake(t, f, Config{})
		ask := func(name string) string {
			texts, err := r.LookupTXT(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			return texts[0]
		}
		ask("hot.example")
		ask("cold.example")
		ask("hot.example")
		ask("hot.example")
		time.Sleep(91 * time.Second)
		if got := ask("hot.example"); got != "v1" {
			t.Errorf("%s while it is good", got)
		}
		ask("cold.example")
		synctest.Wait()
		if n := f.count(); n != 3 {
			t.Errorf("asked %d times, want 3", n)
		}
		time.Sleep(10 * time.Second)
		if got := ask("hot.example"); got != "v3" || f.count() != 3 {
			t.Errorf("%s, asked %d times", got, f.count())
		}
		if n := r.Stats().Refreshes; n != 1 {
			t.Errorf("%d refreshes", n)
		}
	})
}

// Of many who ask the same, one asks the servers. When it goes away, another
// takes over.
func TestOneInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var silent atomic.Bool
		silent.Store(true)
		f := &fake{answer: func(q *dns.Msg, _, _ string) *dns.Msg {
			if silent.Load() {
				return nil
			}
			return reply(q, "example.org. 60 IN TXT found")
		}}
		r := newFake(t, f, Config{})
		first, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			_, err := r.LookupTXT(first, "example.org")
			if !errors.Is(err, context.Canceled) {
				t.Errorf("who went away got %v", err)
			}
		})
		synctest.Wait()
		for range 1000 {
			all.Go(func() {
				if texts, err := r.LookupTXT(t.Context(), "example.org"); err != nil || texts[0] != "found" {
					t.Errorf("%v, %v", texts, err)
				}
			})
		}
		impatient, done := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer done()
		all.Go(func() {
			_, err := r.LookupTXT(impatient, "example.org")
			var d *net.DNSError
			if !errors.As(err, &d) || !d.IsTimeout || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("who had no time got %v", err)
			}
		})
		time.Sleep(20 * time.Millisecond)
		if n := f.count(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		silent.Store(false)
		cancel()
		all.Wait()
		if n := f.count(); n != 2 {
			t.Errorf("asked %d times, want 2", n)
		}
		if st := r.Stats(); st.Shared+st.Hits != 999 {
			t.Errorf("%+v", st)
		}
	})
}

// Nothing of what was asked for once stays beyond the bounds, and what is used
// stays longest.
func TestStorm(t *testing.T) {
	f := &fake{answer: func(q *dns.Msg, _, _ string) *dns.Msg {
		if q.Question[0].Qtype == dns.TypeTXT {
			return reply(q, "used.example. 86400 IN TXT used")
		}
		return code(q, dns.RcodeNameError, soa)
	}}
	r := newFake(t, f, Config{Cache: Cache{Entries: 500, Octets: 1 << 30}})
	octets := newFake(t, f, Config{Cache: Cache{Octets: 10 * overhead * shards}})
	for i := range 2000 {
		name := fmt.Sprintf("%d.unique.example.org", i)
		for _, r := range []*Resolver{r, octets} {
			if _, err := r.LookupNetIP(t.Context(), "ip4", name); !errors.Is(err, ErrNoName) {
				t.Fatal(err)
			}
		}
		if i%50 == 0 {
			if _, err := r.LookupTXT(t.Context(), "used.example"); err != nil {
				t.Fatal(err)
			}
		}
		f.forget()
	}
	st := r.Stats()
	if st.Entries != 500 || st.Evicted != 1501 || st.Hits != 39 {
		t.Errorf("%+v", st)
	}
	if st := octets.Stats(); st.Octets > 10*overhead*shards || st.Entries > 10*shards || st.Entries < 5*shards {
		t.Errorf("%+v", st)
	}
	for _, r := range []*Resolver{r, octets} {
		for i := range r.cache.shards {
			s := &r.cache.shards[i]
			var sum int64
			n := 0
			for e := s.ring.next; e != &s.ring; e = e.next {
				n++
				sum += int64(overhead + len(e.name) + len(e.data))
			}
			if n != len(s.entries) || sum != s.octets || len(s.flights) != 0 {
				t.Errorf("%d entries of %d octets on the ring, %d of %d in the books, %d flights", n, sum, len(s.entries), s.octets, len(s.flights))
			}
		}
	}
}
