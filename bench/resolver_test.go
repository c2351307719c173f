package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/smtpguard/smtpguard/resolver"
	"golang.org/x/net/ipv4"
)

// listServer answers every question for an address as a DNS list does, with as
// little work as can be: 127.0.0.2 for names that begin with an even digit, no
// such name and an SOA for others. It returns where it listens.
func listServer(b *testing.B) netip.AddrPort {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	conn.SetReadBuffer(4 << 20)
	var loop sync.WaitGroup
	b.Cleanup(func() {
		conn.Close()
		loop.Wait()
	})
	loop.Go(func() {
		batch := ipv4.NewPacketConn(conn) // many packets a system call
		in := make([]ipv4.Message, 64)
		for i := range in {
			in[i].Buffers = [][]byte{make([]byte, 1024)}
		}
		out := make([]ipv4.Message, 0, len(in))
		for {
			n, err := batch.ReadBatch(in, 0)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			out = out[:0]
			for _, m := range in[:max(n, 0)] {
				if m.N > 17 {
					out = append(out, ipv4.Message{Buffers: [][]byte{listAnswer(m.Buffers[0], m.N)}, Addr: m.Addr})
				}
			}
			for sent := 0; sent < len(out); {
				n, err := batch.WriteBatch(out[sent:], 0)
				if err != nil {
					n = 1 // who asked is gone
				}
				sent += n
			}
		}
	})
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// listAnswer makes the query in the first n octets of buf its answer.
func listAnswer(buf []byte, n int) []byte {
	end := 12
	for end < n && buf[end] != 0 {
		end += 1 + int(buf[end])
	}
	end += 5
	if end > n {
		return nil
	}
	out := buf[:end]
	clear(out[6:12])
	out[2], out[3] = 0x84|out[2]&1, 0x80
	if out[13]%2 == 0 {
		out[7] = 1
		return append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 127, 0, 0, 2)
	}
	out[3] |= dns.RcodeNameError
	out[9] = 1
	const example = "\x07example\x00"
	zone := uint16(end - 4 - len(example))
	out = append(binary.BigEndian.AppendUint16(out, 0xc000|zone), 0, 6, 0, 1, 0, 0, 1, 44, 0, 24, 0xc0, 12, 0xc0, 12)
	for range 5 {
		out = binary.BigEndian.AppendUint32(out, 300)
	}
	return out
}

// lister asks DNS lists.
type lister interface {
	one(ctx context.Context, name string) error
	all(ctx context.Context, names []string) error
}

type cached struct{ *resolver.Resolver }

func notFound(err error) bool {
	if err == nil {
		return true
	}
	d, ok := errors.AsType[*net.DNSError](err)
	return ok && d.IsNotFound
}

func (o cached) one(ctx context.Context, name string) error {
	_, err := o.LookupNetIP(ctx, "ip4", name)
	if notFound(err) {
		return nil
	}
	return err
}

func (o cached) all(ctx context.Context, names []string) (failed error) {
	n := 0
	o.LookupEach(ctx, names, func(_ int, _ []netip.Addr, err error) bool {
		n++
		if !notFound(err) {
			failed = err
		}
		return true
	})
	if n != len(names) {
		return fmt.Errorf("%d answers", n)
	}
	return failed
}

type standard struct{ *net.Resolver }

func (s standard) one(ctx context.Context, name string) error {
	_, err := s.LookupNetIP(ctx, "ip4", name)
	if notFound(err) {
		return nil
	}
	return err
}

func (s standard) all(ctx context.Context, names []string) error {
	return sideBySide(ctx, s.one, names)
}

type miekg struct {
	client *dns.Client
	addr   string
}

func (m miekg) one(ctx context.Context, name string) error {
	r, _, err := m.client.ExchangeContext(ctx, new(dns.Msg).SetQuestion(name, dns.TypeA), m.addr)
	if err == nil && r.Rcode != dns.RcodeSuccess && r.Rcode != dns.RcodeNameError {
		err = fmt.Errorf("rcode %d", r.Rcode)
	}
	return err
}

func (m miekg) all(ctx context.Context, names []string) error { return sideBySide(ctx, m.one, names) }

func sideBySide(ctx context.Context, ask func(context.Context, string) error, names []string) error {
	errs := make(chan error, len(names))
	for _, name := range names {
		go func() { errs <- ask(ctx, name) }()
	}
	var failed error
	for range names {
		if err := <-errs; err != nil {
			failed = err
		}
	}
	return failed
}

// resolvers are who asks addr, each question anew.
func resolvers(b *testing.B, addr netip.AddrPort) []struct {
	name string
	lister
} {
	r, err := resolver.New(resolver.Config{Servers: []resolver.Server{{Addr: addr}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { r.Close() })
	return []struct {
		name string
		lister
	}{
		{"smtpguard", cached{r}},
		{"net", standard{&net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, addr.String())
		}}}},
		{"miekg", miekg{new(dns.Client), addr.String()}},
	}
}

// BenchmarkResolver asks for addresses of DNS lists. uncached is a question that
// nobody has asked yet, zones10 ten of them together, both from 32 callers; the
// names are absolute, and each is asked over a fresh socket, cached over one for a
// check. cached is a question asked before: an address, a name that does not exist,
// and ten of the latter together. million is the memory of as many different ones.
func BenchmarkResolver(b *testing.B) {
	var counter atomic.Uint64
	name := func(n uint64, zone int) string {
		return fmt.Sprintf("%d.%d.%d.%d.zone%d.example.", n&255, n>>8&255, n>>16&255, n>>24&255, zone)
	}
	b.Run("uncached", func(b *testing.B) {
		for _, who := range resolvers(b, listServer(b)) {
			b.Run(who.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetParallelism(32 / runtime.GOMAXPROCS(0))
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := who.one(context.Background(), name(counter.Add(1), 0)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	})
	b.Run("zones10", func(b *testing.B) {
		for _, who := range resolvers(b, listServer(b)) {
			b.Run(who.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetParallelism(32 / runtime.GOMAXPROCS(0))
				b.RunParallel(func(pb *testing.PB) {
					names := make([]string, 10)
					for pb.Next() {
						n := counter.Add(1)
						for i := range names {
							names[i] = name(n, i)
						}
						if err := who.all(context.Background(), names); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	})
	r := resolvers(b, listServer(b))[0].lister.(cached)
	tenZones := make([]string, 10) // an address on none of them
	for i := range tenZones {
		tenZones[i] = fmt.Sprintf("1.0.0.127.zone%d.example", i)
	}
	for _, tt := range []struct {
		name string
		ask  func(context.Context) error
	}{
		{"cached", func(ctx context.Context) error {
			_, err := r.LookupNetIP(ctx, "ip4", "2.0.0.127.zone.example")
			return err
		}},
		{"cached-zones10", func(ctx context.Context) error { return r.all(ctx, tenZones) }},
		{"cached-none", func(ctx context.Context) error { return r.one(ctx, "1.0.0.127.zone.example") }},
	} {
		b.Run(tt.name, func(b *testing.B) {
			b.Run("smtpguard", func(b *testing.B) {
				ctx := context.Background()
				b.ReportAllocs()
				for b.Loop() {
					if err := tt.ask(ctx); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
	b.Run("million", func(b *testing.B) {
		b.Run("smtpguard", func(b *testing.B) {
			for b.Loop() {
				fill(b)
			}
		})
	})
}

// fill has a resolver remember a million answers, half of them that a name does
// not exist, and reports what each takes.
func fill(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r, err := resolver.New(resolver.Config{
		Servers: []resolver.Server{{Addr: netip.MustParseAddrPort("127.0.0.1:53")}},
		Dial:    func(context.Context, string, string) (net.Conn, error) { return new(echo), nil },
		Cache:   resolver.Cache{Entries: 2 * million, Octets: 1 << 40},
	})
	if err != nil {
		b.Fatal(err)
	}
	for i := range million {
		if err := (cached{r}).one(context.Background(), fmt.Sprintf("%d.%d.%d.%d.zone.example", i&255, i>>8&255, i>>16, 127)); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := r.Stats().Entries; n != million {
		b.Fatalf("%d entries", n)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/million, "B/entry")
	r.Close()
}

// echo is a list server as a connection.
type echo struct {
	net.Conn
	buf [512]byte
	n   int
}

func (e *echo) Write(p []byte) (int, error) {
	e.n = copy(e.buf[:], p)
	return len(p), nil
}
func (e *echo) Read(p []byte) (int, error)  { return copy(p, listAnswer(e.buf[:], e.n)), nil }
func (e *echo) SetDeadline(time.Time) error { return nil }
func (e *echo) Close() error                { return nil }
