package resolver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/smtpguard/smtpguard/internal/dnszone"
	"github.com/smtpguard/smtpguard/internal/require"
)

// What a server that misbehaves makes of a lookup. Nothing that was forged is
// ever in it.
func TestFaults(t *testing.T) {
	srv := dnszone.Start(t, zone)
	for _, tt := range []struct {
		name  string
		fault dnszone.Fault
		want  error // nil: the right answer all the same
	}{
		{"never", dnszone.Never, ErrTimeout},
		{"truncated", dnszone.Truncated, nil},
		{"wrong id", dnszone.WrongID, ErrTimeout},
		{"wrong question", dnszone.WrongQuestion, ErrTimeout},
		{"wrong source", dnszone.WrongSource, ErrTimeout},
		{"forged answers before the right one", dnszone.Forged, nil},
		{"compression loop", dnszone.Loop, ErrBroken},
		{"4,096 answers", dnszone.Many, ErrBroken},
		{"SERVFAIL", dnszone.Servfail, ErrServfail},
		{"REFUSED", dnszone.Refused, ErrRefused},
		{"no EDNS", dnszone.Formerr, nil},
		{"garbage", dnszone.Garbage, ErrTimeout},
		{"empty", dnszone.Empty, ErrNoData},
		{"poison", dnszone.Poison, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			name := fmt.Sprintf("f%d.wild.example.org", tt.fault)
			srv.Fault(name, tt.fault)
			cfg := Config{Wait: 5 * time.Second, Attempts: 2}
			if tt.want == ErrTimeout {
				cfg.Wait = 50 * time.Millisecond
			}
			r := newResolver(t, srv, cfg)
			list, err := r.LookupNetIP(t.Context(), "ip4", name)
			if !errors.Is(err, tt.want) {
				t.Fatalf("%v, want %v", err, tt.want)
			}
			var d *net.DNSError
			if tt.want == nil {
				if !slices.Equal(list, []netip.Addr{netip.MustParseAddr("192.0.2.4")}) {
					t.Errorf("%v", list)
				}
			} else if !errors.As(err, &d) || d.IsTimeout != (tt.want == ErrTimeout) || d.IsNotFound != (tt.want == ErrNoData) || d.IsTemporary == d.IsNotFound || d.Name != name {
				t.Errorf("%+v", d)
			}
			before := srv.Total()
			if _, err := r.LookupNetIP(t.Context(), "ip4", "victim.example"); tt.fault == dnszone.Poison && (!errors.Is(err, ErrNoName) || srv.Total() == before) {
				t.Errorf("poisoned: %v", err)
			}
		})
	}
	t.Run("late", func(t *testing.T) {
		t.Parallel()
		srv.Delay("late.wild.example.org", 20*time.Millisecond)
		r := newResolver(t, srv, Config{})
		if list, err := r.LookupNetIP(t.Context(), "ip4", "late.wild.example.org"); err != nil || len(list) != 1 {
			t.Errorf("%v, %v", list, err)
		}
		// A list that is late does not hold up those that are not.
		n := 0
		srv.Delay("later.wild.example.org", time.Minute)
		r.LookupEach(t.Context(), []string{"later.wild.example.org", "soon.wild.example.org"}, func(i int, _ []netip.Addr, err error) bool {
			if n++; i != 1 || err != nil {
				t.Errorf("%d: %v", i, err)
			}
			return false
		})
		if n != 1 {
			t.Errorf("called %d times", n)
		}
	})
}

// Who floods a socket with guesses gets only so many: then it is another port.
func TestFlood(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	ports := make(chan uint16, 10)
	done := make(chan bool)
	go func() {
		defer close(done)
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			ports <- from.Port()
			q := new(dns.Msg)
			if q.Unpack(buf[:n]) != nil {
				continue
			}
			for i := range 200 {
				m := reply(q, "example.org. 60 IN A 203.0.113.66")
				m.Id += uint16(1 + i)
				octets, _ := m.Pack()
				conn.WriteToUDPAddrPort(octets, from)
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	r := mustNew(t, Config{Servers: []Server{{Addr: conn.LocalAddr().(*net.UDPAddr).AddrPort()}}, Wait: time.Minute})
	_, err = r.LookupNetIP(t.Context(), "ip4", "example.org")
	if !errors.Is(err, ErrBroken) {
		t.Errorf("%v", err)
	}
	if st := r.Stats(); st.Ignored != 3*maxJunk || st.Queries != 3 {
		t.Errorf("%+v", st)
	}
	if a, b, c := <-ports, <-ports, <-ports; a == b && b == c {
		t.Errorf("port %d every time", a)
	}
}

func TestUnreachable(t *testing.T) {
	addr := require.Addr(t)
	r := mustNew(t, Config{Servers: []Server{{Addr: addr}}, Wait: time.Minute, Timeout: time.Hour})
	_, err := r.LookupTXT(t.Context(), "example.org")
	var d *net.DNSError
	if !errors.Is(err, ErrUnreachable) || !errors.As(err, &d) || !d.IsTemporary || d.IsTimeout || d.Server != addr.String() || !strings.Contains(d.Err, "connection refused") {
		t.Error(err)
	}
	// Another server serves at once.
	srv := dnszone.Start(t, zone)
	r = mustNew(t, Config{Servers: []Server{{Addr: addr}, {Addr: srv.Addr()}}, Wait: time.Minute})
	if _, err := r.LookupTXT(t.Context(), "example.org"); err != nil {
		t.Error(err)
	}
}

// A connection by TCP serves again, until the server has closed it.
func TestStreamReuse(t *testing.T) {
	srv := dnszone.Start(t, zone)
	srv.Fault(".", dnszone.Truncated)
	r := newResolver(t, srv, Config{})
	for i := range 5 {
		if _, err := r.LookupNetIP(t.Context(), "ip4", fmt.Sprintf("%d.wild.example.org", i)); err != nil {
			t.Fatal(err)
		}
	}
	if st := r.Stats(); st.Connections != 1 || st.Streamed != 5 {
		t.Errorf("%+v", st)
	}
	for _, st := range r.list.servers[0].idle {
		st.Close() // as the server may at any time
	}
	if _, err := r.LookupNetIP(t.Context(), "ip4", "again.wild.example.org"); err != nil {
		t.Error(err)
	}
	hosts := []string{"a.wild.example.org", "b.wild.example.org", "c.wild.example.org"}
	r.LookupEach(t.Context(), hosts, func(i int, _ []netip.Addr, err error) bool {
		if err != nil {
			t.Errorf("%s: %v", hosts[i], err)
		}
		return true
	})
	if st := r.Stats(); st.Connections != 2 || st.Streamed < 9 {
		t.Errorf("%+v", st)
	}
}

func TestTLS(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate, which is for example.com
	defer web.Close()
	pool := x509.NewCertPool()
	pool.AddCert(web.Certificate())
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: web.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	srv := dnszone.Start(t, zone)
	srv.ServeStream(ln)
	addr := netip.MustParseAddrPort(ln.Addr().String())
	r := mustNew(t, Config{Servers: []Server{{Addr: addr, TLSName: "example.com"}}, TLS: &tls.Config{RootCAs: pool}})
	for range 2 {
		texts, err := r.LookupTXT(t.Context(), "example.org")
		if err != nil || len(texts) != 2 {
			t.Errorf("%v, %v", texts, err)
		}
		if _, err := r.LookupMX(t.Context(), "example.org"); err != nil {
			t.Error(err)
		}
	}
	if st := r.Stats(); st.Connections != 1 || st.Streamed != 2 || st.Queries != 0 {
		t.Errorf("%+v", st)
	}
	for name, r := range map[string]*Resolver{
		"a certificate for another name":  mustNew(t, Config{Servers: []Server{{Addr: addr, TLSName: "dns.example.net"}}, TLS: &tls.Config{RootCAs: pool}}),
		"a certificate of nobody we know": mustNew(t, Config{Servers: []Server{{Addr: addr, TLSName: "example.com"}}}),
		"a server that speaks no TLS":     mustNew(t, Config{Servers: []Server{{Addr: srv.Addr(), TLSName: "example.com"}}, Wait: 100 * time.Millisecond, Attempts: 1}),
	} {
		before := srv.Total()
		if _, err := r.LookupTXT(t.Context(), "example.org"); err == nil || srv.Total() != before {
			t.Errorf("%s: %v", name, err)
		}
	}
	srv.Fault(".", dnszone.Never)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.LookupTXT(ctx, "mail.example.org"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// A lookup that its caller gives up ends at once.
func TestCancel(t *testing.T) {
	srv := dnszone.Start(t, zone)
	for _, fault := range []dnszone.Fault{dnszone.Never, dnszone.Truncated} {
		srv.Fault(".", fault)
		srv.Delay(".", time.Minute)
		r := newResolver(t, srv, Config{Wait: time.Minute, Timeout: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		_, err := r.LookupTXT(ctx, "example.org")
		var d *net.DNSError
		if !errors.Is(err, context.Canceled) || !errors.As(err, &d) || d.IsTimeout || d.IsNotFound {
			t.Error(err)
		}
	}
}
