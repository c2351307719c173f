package dnszone_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/smtpguard/smtpguard/internal/dnszone"
)

const zone = `
	$ORIGIN example.org.
	@       300 IN SOA   ns hostmaster 1 3600 600 86400 60
	@       300 IN TXT   "v=spf1 -all"
	@       300 IN MX    10 mail
	mail    300 IN A     192.0.2.1
	www     300 IN CNAME mail
	*.wild  300 IN A     192.0.2.2
	a.b.wild 300 IN A    192.0.2.3
	a.empty 300 IN A     192.0.2.4
	circle  300 IN CNAME circle`

func ask(t *testing.T, srv *dnszone.Server, network, name string, typ uint16) (*dns.Msg, error) {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, typ)
	c := dns.Client{Net: network, Timeout: 200 * time.Millisecond}
	r, _, err := c.Exchange(m, srv.Addr().String())
	return r, err
}

func TestAnswers(t *testing.T) {
	srv := dnszone.Start(t, zone)
	for _, tt := range []struct {
		name    string
		typ     uint16
		rcode   int
		answers int
		soa     int
	}{
		{"example.org.", dns.TypeTXT, dns.RcodeSuccess, 1, 0},
		{"WWW.example.org.", dns.TypeA, dns.RcodeSuccess, 2, 0},
		{"www.example.org.", dns.TypeTXT, dns.RcodeSuccess, 1, 1},
		{"none.example.org.", dns.TypeA, dns.RcodeNameError, 0, 1},
		{"mail.example.org.", dns.TypeAAAA, dns.RcodeSuccess, 0, 1},
		{"empty.example.org.", dns.TypeA, dns.RcodeSuccess, 0, 1},
		{"x.y.wild.example.org.", dns.TypeA, dns.RcodeSuccess, 1, 0},
		{"x.b.wild.example.org.", dns.TypeA, dns.RcodeNameError, 0, 1},
		{"circle.example.org.", dns.TypeA, dns.RcodeSuccess, 16, 0},
		{"example.net.", dns.TypeA, dns.RcodeNameError, 0, 0},
	} {
		for _, network := range []string{"udp", "tcp"} {
			r, err := ask(t, srv, network, tt.name, tt.typ)
			if err != nil {
				t.Fatalf("%s %s: %v", network, tt.name, err)
			}
			if r.Rcode != tt.rcode || len(r.Answer) != tt.answers || len(r.Ns) != tt.soa {
				t.Errorf("%s: got %v", tt.name, r)
			}
		}
	}
	if n := srv.Asked("www.example.org", dns.TypeA); n != 2 {
		t.Errorf("counted %d questions, want 2", n)
	}
	addrs, err := srv.Resolver().LookupHost(context.Background(), "www.example.org.")
	if err != nil || !slices.Equal(addrs, []string{"192.0.2.1"}) {
		t.Errorf("%v, %v", addrs, err)
	}
}

func TestFaults(t *testing.T) {
	srv := dnszone.Start(t, zone)
	const name = "mail.example.org."
	try := func(f dnszone.Fault, network string) (*dns.Msg, error) {
		srv.Fault("example.org", f)
		return ask(t, srv, network, name, dns.TypeA)
	}
	for _, f := range []dnszone.Fault{dnszone.Never, dnszone.WrongID, dnszone.WrongSource, dnszone.Garbage, dnszone.Loop} {
		if r, err := try(f, "udp"); err == nil {
			t.Errorf("fault %d: %v", f, r)
		}
	}
	for f, rcode := range map[dnszone.Fault]int{dnszone.Servfail: dns.RcodeServerFailure, dnszone.Refused: dns.RcodeRefused, dnszone.Formerr: dns.RcodeSuccess} {
		if r, err := try(f, "udp"); err != nil || r.Rcode != rcode {
			t.Errorf("fault %d: %v, %v", f, r, err)
		}
	}
	if r, err := try(dnszone.Truncated, "udp"); err != nil || !r.Truncated || len(r.Answer) != 0 {
		t.Errorf("truncated: %v, %v", r, err)
	}
	for _, f := range []dnszone.Fault{dnszone.Truncated, dnszone.None, dnszone.Forged} {
		if r, err := try(f, "tcp"); f != dnszone.Forged && (err != nil || len(r.Answer) != 1) {
			t.Errorf("fault %d by TCP: %v, %v", f, r, err)
		}
	}
	if r, err := try(dnszone.Many, "tcp"); err != nil || len(r.Answer) != 4096 {
		t.Errorf("many: %v", err)
	}
	if r, err := try(dnszone.Poison, "udp"); err != nil || len(r.Answer) != 2 || len(r.Extra) != 1 {
		t.Errorf("poison: %v, %v", r, err)
	}
	srv.Fault("example.org", dnszone.None)
	srv.Delay(".", 50*time.Millisecond)
	start := time.Now()
	if _, err := ask(t, srv, "udp", name, dns.TypeA); err != nil || time.Since(start) < 50*time.Millisecond {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}

func TestTLS(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	srv := dnszone.Start(t, zone)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: web.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	srv.ServeStream(ln)
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	co := &dns.Conn{Conn: conn}
	if err := co.WriteMsg(new(dns.Msg).SetQuestion("example.org.", dns.TypeTXT)); err != nil {
		t.Fatal(err)
	}
	if r, err := co.ReadMsg(); err != nil || len(r.Answer) != 1 {
		t.Errorf("%v, %v", r, err)
	}
}
