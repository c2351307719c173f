package resolver

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/smtpguard/smtpguard/internal/dnszone"
)

// Whatever comes back, it is told apart without harm, and what is taken from it
// is what a full parser finds there too.
func FuzzResponse(f *testing.F) {
	srv := dnszone.Start(f, zone)
	for _, name := range []string{"example.org", "www.example.org", "mail.example.org", "none.example.org", "long.example.org", "circle.example.org", "_x._tcp.example.org", "_25._tcp.mail.example.org"} {
		for _, typ := range []uint16{dns.TypeA, dns.TypeTXT, dns.TypeMX, dns.TypeSRV, dns.TypeTLSA, dns.TypeSOA, dns.TypeNS} {
			for _, fault := range []dnszone.Fault{dnszone.None, dnszone.Loop, dnszone.Poison, dnszone.Truncated} {
				srv.Fault(".", fault)
				conn, err := net.Dial("udp", srv.Addr().String())
				if err != nil {
					f.Fatal(err)
				}
				conn.Write(appendQuery(nil, 1, question{name, typ}, true, true))
				buf := make([]byte, packetLen)
				n, err := conn.Read(buf)
				conn.Close()
				if err != nil {
					f.Fatal(err)
				}
				f.Add(buf[:n], name, typ)
			}
		}
	}
	f.Fuzz(func(t *testing.T, msg []byte, name string, typ uint16) {
		name, err := normal(name)
		if err != nil || len(msg) > dns.MaxMsgSize {
			return
		}
		q := question{name, typ}
		if !responds(msg, 1, q) || rcode(msg) == dns.RcodeFormatError {
			return
		}
		a, _, err := parse(bytes.Clone(msg), q)
		if err != nil {
			return
		}
		if (a.kind == data) != (a.data != "") || a.ttl > 1<<31-1 {
			t.Fatalf("%+v", a)
		}
		_, n := a.records()
		if n > maxRecords || len(a.data) > 8*dns.MaxMsgSize {
			t.Fatalf("%d records in %d octets", n, len(a.data))
		}
		pub := Answer{Name: q.name, Type: q.typ, data: a.data}
		datas := pub.Data()
		pub.MX()
		if where := (found{answer: a}).where(q); !strings.HasSuffix(where, ".") {
			t.Fatalf("ends at %q", where)
		}
		fixed := 0
		switch typ {
		case dns.TypeA, dns.TypeAAAA:
			if len(pub.Addrs()) != n {
				t.Fatalf("%d addresses of %d records", len(pub.Addrs()), n)
			}
		case dns.TypeTXT:
			if len(pub.Texts()) != n {
				t.Fatalf("%d texts of %d records", len(pub.Texts()), n)
			}
		case dns.TypeSRV:
			fixed = 6
			fallthrough
		case dns.TypeNS, dns.TypePTR, dns.TypeCNAME:
			a.names(fixed, func(_, host string) {
				if strings.ContainsAny(host, " \t\r\n\\\"") || !strings.HasSuffix(host, ".") {
					t.Fatalf("handed on %q", host)
				}
			})
		}
		full := new(dns.Msg)
		if full.Unpack(msg) != nil {
			return
		}
		var known [][]byte
		for _, rr := range full.Answer {
			if rr.Header().Rrtype == typ && rr.Header().Class == dns.ClassINET {
				out := make([]byte, dns.MaxMsgSize)
				rr.Header().Name = "."
				if end, err := dns.PackRR(rr, out, 0, nil, false); err == nil {
					known = append(known, out[11:end])
				}
			}
		}
		for _, d := range datas {
			if !slices.ContainsFunc(known, func(k []byte) bool { return bytes.Equal(k, d) }) {
				t.Fatalf("%q is not in %v", d, full)
			}
		}
	})
}

// What is asked is what was meant, or nothing is asked.
func FuzzName(f *testing.F) {
	for _, name := range []string{"example.org", "EXAMPLE.org.", "bücher.example", "a+b._spf.example", "a..b", `a\.b`, "xn--bcher-kva.example", ".", "\x00"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		n, err := normal(name)
		if err != nil {
			return
		}
		if again, err := normal(n); err != nil || again != n {
			t.Fatalf("%q of %q is no normal form: %q, %v", n, name, again, err)
		}
		m := new(dns.Msg)
		if err := m.Unpack(appendQuery(nil, 1, question{n, dns.TypeA}, true, false)); err != nil {
			t.Fatalf("%q: %v", n, err)
		}
		if got := m.Question[0].Name; ownerName(got) != ownerName(dns.Fqdn(n)) && ownerName(strings.ReplaceAll(got, `\`, "")) != n {
			t.Fatalf("asked for %q, meant %q", got, n)
		}
	})
}

func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 192.0.2.1\nnameserver fe80::1%eth0\noptions trust-ad\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, _, _ := parseResolvConf(strings.NewReader(text))
		if len(list) > maxServers {
			t.Fatalf("%d servers", len(list))
		}
		for _, s := range list {
			if err := s.check(); err != nil {
				t.Fatalf("%v: %v", s, err)
			}
		}
	})
}
