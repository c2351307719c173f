package resolver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/smtpguard/smtpguard/internal/dnszone"
)

const zone = `
	$ORIGIN example.org.
	@        300 IN SOA   ns hostmaster 1 3600 600 86400 60
	@        300 IN TXT   "v=spf1 " "-all"
	@        300 IN TXT   "other"
	@        300 IN MX    20 mail2
	@        300 IN MX    10 mail
	@        300 IN NS    ns
	mail     300 IN A     192.0.2.1
	mail     200 IN A     192.0.2.2
	mail     300 IN AAAA  2001:db8::1
	mail2    300 IN A     192.0.2.3
	www      100 IN CNAME mail
	*.wild   300 IN A     192.0.2.4
	null     300 IN MX    0 .
	odd      300 IN MX    10 mail
	odd      300 IN MX    20 a\032b
	_x._tcp  300 IN SRV   1 0 25 mail
	_x._tcp  300 IN SRV   0 5 26 mail2
	_25._tcp.mail 300 IN TLSA 3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
	long     300 IN CNAME c1
	c1 300 IN CNAME c2
	c2 300 IN CNAME c3
	c3 300 IN CNAME c4
	c4 300 IN CNAME c5
	c5 300 IN CNAME c6
	c6 300 IN CNAME c7
	c7 300 IN CNAME c8
	c8 300 IN CNAME c9
	c9 300 IN CNAME mail
	circle   300 IN CNAME circle
	dangling 300 IN CNAME none
	$ORIGIN 2.0.192.in-addr.arpa.
	@        300 IN SOA   ns hostmaster 1 3600 600 86400 60
	1        300 IN PTR   mail.example.org.
	1        300 IN PTR   mail2.example.org.
	2        300 IN PTR   bad\000name.example.org.`

// newResolver asks srv alone.
func newResolver(t testing.TB, srv *dnszone.Server, cfg Config) *Resolver {
	t.Helper()
	cfg.Servers = []Server{{Addr: srv.Addr()}}
	return mustNew(t, cfg)
}

func mustNew(t testing.TB, cfg Config) *Resolver {
	t.Helper()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// The standard library's resolver and ours say the same.
func TestAsNetResolver(t *testing.T) {
	srv := dnszone.Start(t, zone)
	r, std := newResolver(t, srv, Config{}), srv.Resolver()
	ctx := t.Context()
	hosts := func(list []*net.MX, err error) string {
		var out []string
		for _, h := range list {
			out = append(out, fmt.Sprintf("%d %s", h.Pref, h.Host))
		}
		return fmt.Sprint(out, told(err))
	}
	sorted := func(list []string, err error) string {
		slices.Sort(list)
		return fmt.Sprint(list, told(err))
	}
	for _, name := range []string{
		"example.org.", "EXAMPLE.org.", "mail.example.org.", "www.example.org.", "none.example.org.", "x.wild.example.org.",
		"null.example.org.", "odd.example.org.", "a b.example.org.", "a..example.org.", "long.example.org.", "dangling.example.org.",
		strings.Repeat("a", 64) + ".example.org.",
	} {
		for _, tt := range []struct {
			what      string
			got, want string
		}{
			{"TXT", sorted(r.LookupTXT(ctx, name)), sorted(std.LookupTXT(ctx, name))},
			{"MX", hosts(r.LookupMX(ctx, name)), hosts(std.LookupMX(ctx, name))},
			{"host", sorted(r.LookupHost(ctx, name)), sorted(std.LookupHost(ctx, name))},
			{"ip4", addrs(r.LookupNetIP(ctx, "ip4", name)), addrs(std.LookupNetIP(ctx, "ip4", name))},
			{"ip6", addrs(r.LookupNetIP(ctx, "ip6", name)), addrs(std.LookupNetIP(ctx, "ip6", name))},
		} {
			if tt.got != tt.want {
				t.Errorf("%s of %q: %s, and net says %s", tt.what, name, tt.got, tt.want)
			}
		}
	}
	for _, addr := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.9", "2001:db8::1", "::ffff:192.0.2.1"} {
		if got, want := sorted(r.LookupAddr(ctx, addr)), sorted(std.LookupAddr(ctx, addr)); got != want {
			t.Errorf("names of %q: %s, and net says %s", addr, got, want)
		}
	}
	for _, literal := range []string{"192.0.2.1", "2001:db8::1"} {
		if got, want := sorted(r.LookupHost(ctx, literal)), sorted(std.LookupHost(ctx, literal)); got != want {
			t.Errorf("%s: %s, and net says %s", literal, got, want)
		}
	}
	if _, err := r.LookupNetIP(ctx, "ip6", "192.0.2.1"); !errors.Is(err, ErrNoData) {
		t.Error(err)
	}
	if _, err := r.LookupAddr(ctx, "host"); !errors.Is(err, ErrName) {
		t.Error(err)
	}
	cname, err := r.LookupCNAME(ctx, "www.example.org")
	wantName, wantErr := std.LookupCNAME(ctx, "www.example.org.")
	if cname != wantName || err != nil || wantErr != nil {
		t.Errorf("CNAME %q, %v, and net says %q, %v", cname, err, wantName, wantErr)
	}
	_, list, err := r.LookupSRV(ctx, "x", "tcp", "example.org")
	_, want, wantErr := std.LookupSRV(ctx, "x", "tcp", "example.org.")
	if err != nil || wantErr != nil || len(list) != 2 || *list[0] != *want[0] || *list[1] != *want[1] {
		t.Errorf("SRV %v, %v", list, err)
	}
	ns, err := r.LookupNS(ctx, "example.org")
	if err != nil || len(ns) != 1 || ns[0].Host != "ns.example.org." {
		t.Errorf("NS %v, %v", ns, err)
	}
	ips, err := r.LookupIPAddr(ctx, "mail.example.org")
	if err != nil || len(ips) != 3 || ips[2].IP.String() != "2001:db8::1" {
		t.Errorf("addresses %v, %v", ips, err)
	}
	ip6, err := r.LookupIP(ctx, "ip6", "mail.example.org")
	if err != nil || len(ip6) != 1 {
		t.Errorf("IPv6 addresses %v, %v", ip6, err)
	}
}

// told is what an error says to who only knows net.
func told(err error) string {
	if err == nil {
		return ""
	}
	var d *net.DNSError
	if !errors.As(err, &d) {
		return "another error"
	}
	return fmt.Sprintf("not found %t, timeout %t", d.IsNotFound, d.IsTimeout)
}

func addrs(list []netip.Addr, err error) string {
	for i := range list {
		list[i] = list[i].Unmap()
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return fmt.Sprint(list, told(err))
}

func TestLookup(t *testing.T) {
	srv := dnszone.Start(t, zone)
	r := newResolver(t, srv, Config{})
	ctx := t.Context()
	a, err := r.Lookup(ctx, "WWW.example.org", dns.TypeA)
	if err != nil || a.Name != "www.example.org" || a.Canonical != "mail.example.org" || a.TTL < 99*time.Second || a.TTL > 100*time.Second || len(a.Addrs()) != 2 || a.Authentic {
		t.Errorf("%+v, %v", a, err)
	}
	a, err = r.Lookup(ctx, "_25._tcp.mail.example.org", dns.TypeTLSA)
	if d := a.Data(); err != nil || len(d) != 1 || len(d[0]) != 35 || d[0][0] != 3 || d[0][34] != 0xff {
		t.Errorf("TLSA %+v, %v", a, err)
	}
	a, err = r.Lookup(ctx, "example.org", dns.TypeMX)
	if d := a.Data(); err != nil || len(d) != 2 || len(a.MX()) != 2 || string(d[0][2:]) != "\x05mail2\x07example\x03org\x00" {
		t.Errorf("MX %q, %v", a.Data(), err)
	}
	a, err = r.Lookup(ctx, "example.org", dns.TypeSOA)
	if d := a.Data(); err != nil || len(d) != 1 || !strings.HasPrefix(string(d[0]), "\x02ns\x07example\x03org\x00\x0ahostmaster\x07example\x03org\x00\x00\x00\x00\x01") {
		t.Errorf("SOA %q, %v", a.Data(), err)
	}
	a, err = r.Lookup(ctx, "none.example.org", dns.TypeA)
	if !errors.Is(err, ErrNoName) || a.TTL < 59*time.Second || a.TTL > 60*time.Second || a.Addrs() != nil && len(a.Addrs()) > 0 {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err = r.Lookup(ctx, "mail.example.org", dns.TypeTXT); !errors.Is(err, ErrNoData) {
		t.Error(err)
	}
	if a, err = r.Lookup(ctx, "dangling.example.org", dns.TypeA); !errors.Is(err, ErrNoName) {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err = r.Lookup(ctx, "circle.example.org", dns.TypeA); !errors.Is(err, ErrBroken) {
		t.Errorf("%+v, %v", a, err)
	}
	texts, err := r.LookupTXT(ctx, "example.org")
	if slices.Sort(texts); err != nil || !slices.Equal(texts, []string{"other", "v=spf1 -all"}) {
		t.Errorf("%q, %v", texts, err)
	}
}

func TestLookupEach(t *testing.T) {
	srv := dnszone.Start(t, zone)
	r := newResolver(t, srv, Config{})
	hosts := []string{"mail.example.org", "a b", "none.example.org", "mail.example.org", "www.example.org"}
	for i := range 100 {
		hosts = append(hosts, fmt.Sprintf("x%d.wild.example.org", i))
	}
	for range 2 { // the second time from the cache
		got := make([]string, len(hosts))
		r.LookupEach(t.Context(), hosts, func(i int, list []netip.Addr, err error) bool {
			if got[i] != "" {
				t.Errorf("answered %d twice", i)
			}
			got[i] = addrs(list, err)
			return true
		})
		for i := range hosts {
			want := "[192.0.2.4]"
			switch i {
			case 0, 3, 4:
				want = "[192.0.2.1 192.0.2.2]"
			case 1, 2:
				want = "[]not found true, timeout false"
			}
			if got[i] != want {
				t.Errorf("%s: %q, want %q", hosts[i], got[i], want)
			}
		}
	}
	if n := srv.Total(); n != 103 {
		t.Errorf("%d questions, want 103", n)
	}
	n := 0
	r.LookupEach(t.Context(), []string{"s1.wild.example.org", "s2.wild.example.org", "s3.wild.example.org"}, func(int, []netip.Addr, error) bool {
		n++
		return false
	})
	if n != 1 {
		t.Errorf("called %d times after it said stop", n)
	}
}

func TestNew(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("search example.org\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := []Server{{Addr: netip.MustParseAddrPort("127.0.0.1:53")}}
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{Servers: make([]Server, 1)}, "resolver: Config.Servers[0] has no address"},
		{Config{Servers: slices.Repeat(good, 9)}, "resolver: Config.Servers has 9, more than 8"},
		{Config{Servers: []Server{{Addr: good[0].Addr, TLSName: "a b"}}}, "resolver: Config.Servers[0] has a TLSName that is no name"},
		{Config{Servers: good, Wait: -1}, "resolver: Config.Wait is negative"},
		{Config{Servers: good, Attempts: 11}, "resolver: Config.Attempts is 11, not from 1 to 10"},
		{Config{Servers: good, Sockets: -1}, "resolver: Config.Sockets is -1, not from 1 to 65535"},
		{Config{Servers: good, Cache: Cache{Octets: -1}}, "resolver: Config.Cache.Octets is negative"},
		{Config{Servers: good, Cache: Cache{Failure: time.Hour}}, "resolver: Config.Cache.Failure is more than 5 minutes"},
		{Config{Servers: good, Cache: Cache{Floor: 2, Ceiling: 1}}, "resolver: Config.Cache.Floor is above Cache.Ceiling"},
		{Config{Servers: good, Trusted: make([]netip.Prefix, 1)}, "resolver: Config.Trusted[0] is not valid"},
		{Config{ResolvConf: conf}, "resolver: Config.ResolvConf: " + conf + " names no server"},
		{Config{ResolvConf: conf + "x"}, "resolver: Config.ResolvConf: stat " + conf + "x: no such file or directory"},
	} {
		if _, err := New(tt.cfg); err == nil || err.Error() != tt.want {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
}
