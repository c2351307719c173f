package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/miekg/dns"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/dnsbl"
	"github.com/smtpguard/smtpguard/resolver"
)

// tenZones are ten lists of addresses.
func tenZones() (zones []dnsbl.Zone) {
	for i := range 10 {
		zones = append(zones, dnsbl.Zone{
			Domain: fmt.Sprintf("list%d.example", i), Lists: dnsbl.IPv4,
			Codes: []dnsbl.Code{{Answer: "127.0.0.2", Means: "spam source", Weight: 1}, {Answer: "127.0.0.4-7", Action: smtpguard.Reject}},
		})
	}
	return zones
}

// warm is a resolver whose cache has everything: a map, of which every answer
// is shared.
type warm map[string]warmAnswer

type warmAnswer struct {
	addrs []netip.Addr
	err   error
}

func (w warm) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	a := w[host]
	return a.addrs, a.err
}

func (w warm) LookupEach(_ context.Context, hosts []string, answer func(int, []netip.Addr, error) bool) {
	for i, host := range hosts {
		if a := w[host]; !answer(i, a.addrs, a.err) {
			return
		}
	}
}

func (warm) LookupTXT(context.Context, string) ([]string, error) { return nil, errNoName }

var errNoName = &net.DNSError{Err: "no such host", IsNotFound: true}

func warmed(client netip.Addr, listed int) warm {
	w := warm{}
	a := client.As4()
	for i, z := range tenZones() {
		answer := warmAnswer{err: errNoName}
		if i < listed {
			answer = warmAnswer{addrs: []netip.Addr{netip.MustParseAddr("127.0.0.2")}}
		}
		w[fmt.Sprintf("%d.%d.%d.%d.%s.", a[3], a[2], a[1], a[0], z.Domain)] = answer
	}
	return w
}

// slowServer answers every question after a while with NXDOMAIN, until the
// benchmark ends, and returns its address.
func slowServer(b *testing.B, latency time.Duration) string {
	b.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		time.Sleep(latency)
		m := new(dns.Msg)
		m.SetRcode(q, dns.RcodeNameError)
		_ = w.WriteMsg(m)
	})}
	go srv.ActivateAndServe()
	b.Cleanup(func() { srv.Shutdown() })
	return conn.LocalAddr().String()
}

// BenchmarkDNSBL has one client looked up in ten zones: from a warm cache, and
// from a server that takes 20 ms, where "roundtrips" is the time in units of a
// bare question's, measured just before.
func BenchmarkDNSBL(b *testing.B) {
	client := netip.MustParseAddr("5.6.7.8")
	for _, listed := range []int{0, 3, -1} {
		name := fmt.Sprintf("warm_listed_%d/smtpguard", listed)
		var r dnsbl.Resolver = warmed(client, listed)
		if listed < 0 { // as it is with a resolver that is asked name by name
			name, listed, r = "warm_one_by_one/smtpguard", 0, struct{ dnsbl.Resolver }{r}
		}
		b.Run(name, func(b *testing.B) {
			l, err := dnsbl.New(dnsbl.Config{Resolver: r, Zones: tenZones()})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if res := l.Addr(b.Context(), client); len(res.Listings) != listed || len(res.Failures) != 0 {
					b.Fatalf("%+v", res)
				}
			}
		})
	}
	b.Run("warm_resolver/smtpguard", func(b *testing.B) { // package resolver, and a server that lists nobody
		server, err := resolver.ParseServer(slowServer(b, 0))
		if err != nil {
			b.Fatal(err)
		}
		r, err := resolver.New(resolver.Config{Servers: []resolver.Server{server}})
		if err != nil {
			b.Fatal(err)
		}
		defer r.Close()
		l, err := dnsbl.New(dnsbl.Config{Resolver: r, Zones: tenZones()})
		if err != nil {
			b.Fatal(err)
		}
		if res := l.Addr(b.Context(), client); len(res.Failures) != 0 {
			b.Fatalf("%+v", res)
		}
		b.ReportAllocs()
		for b.Loop() {
			if res := l.Addr(b.Context(), client); len(res.Failures) != 0 {
				b.Fatalf("%+v", res)
			}
		}
	})
	b.Run("latency_20ms/smtpguard", func(b *testing.B) {
		r := goResolver(slowServer(b, 20*time.Millisecond))
		l, err := dnsbl.New(dnsbl.Config{Resolver: r, Zones: tenZones()})
		if err != nil {
			b.Fatal(err)
		}
		benchRoundTrips(b, r, func() {
			if res := l.Addr(b.Context(), client); len(res.Failures) != 0 {
				b.Fatalf("%+v", res)
			}
		})
	})
	b.Run("connect_stage_20ms/smtpguard", func(b *testing.B) {
		r := goResolver(slowServer(b, 20*time.Millisecond))
		l, err := dnsbl.New(dnsbl.Config{Resolver: r, Zones: tenZones(), Judge: smtpguard.StageConnect})
		if err != nil {
			b.Fatal(err)
		}
		addr := greeter(b, l.Check())
		benchRoundTrips(b, r, func() { greeted(b, addr) })
		if s := l.Stats()[0]; s.Asked == 0 || s.Errors != 0 {
			b.Fatalf("%+v", s)
		}
	})
}

// goResolver is a net.Resolver that asks only the server at addr.
func goResolver(addr string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
}

// benchRoundTrips measures f in units of a question in one zone.
func benchRoundTrips(b *testing.B, r *net.Resolver, f func()) {
	start := time.Now()
	for range 10 {
		r.LookupNetIP(b.Context(), "ip4", "9.7.6.5.list0.example.")
	}
	trip := time.Since(start) / 10
	b.ResetTimer()
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(trip), "roundtrips")
}

// greeter is a server with check, for clients that the PROXY protocol announces.
func greeter(b *testing.B, check smtpguard.Check) string {
	b.Helper()
	guard, err := smtpguard.New(smtpguard.Config{}, check)
	if err != nil {
		b.Fatal(err)
	}
	srv := smtp.NewServer(guard.Wrap(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return nil, smtp.ErrServerClosed })))
	srv.Domain, srv.ErrorLog = "mx.example.org", log.New(io.Discard, "", 0)
	if err := smtpguard.Harden(srv); err != nil {
		b.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ln, err := guard.Listen(srv, tcp, smtpguard.ListenConfig{Proxy: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if err != nil {
		b.Fatal(err)
	}
	go ln.Serve()
	b.Cleanup(func() { srv.Close() })
	return tcp.Addr().String()
}

// greeted connects as 5.6.7.8 and waits for the banner.
func greeted(b *testing.B, addr string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, "PROXY TCP4 5.6.7.8 127.0.0.1 2525 25\r\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.HasPrefix(line, "220 ") {
		b.Fatalf("%q %v", line, err)
	}
}
