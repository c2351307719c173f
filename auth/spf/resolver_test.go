package spf_test

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"github.com/smtpguard/smtpguard/auth/spf"
)

// serve answers from z on loopback, as a name server does, and returns a
// net.Resolver that asks it. TXT records are cut into short strings, for the
// resolver to join.
func serve(t *testing.T, z zone) *net.Resolver {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	server := &dns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(ready) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		name := q.Question[0].Name
		n := z.find(name)
		head := func(kind uint16) dns.RR_Header {
			return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET}
		}
		switch kind := q.Question[0].Qtype; kind {
		case dns.TypeTXT:
			for _, text := range n.TXT {
				var cut []string
				for len(text) > 10 {
					cut, text = append(cut, text[:10]), text[10:]
				}
				m.Answer = append(m.Answer, &dns.TXT{Hdr: head(kind), Txt: append(cut, text)})
			}
		case dns.TypeMX:
			for _, mx := range n.MX {
				m.Answer = append(m.Answer, &dns.MX{Hdr: head(kind), Preference: mx.Pref, Mx: mx.Host})
			}
		case dns.TypeA:
			for _, a := range n.A {
				m.Answer = append(m.Answer, &dns.A{Hdr: head(kind), A: a.AsSlice()})
			}
		case dns.TypeAAAA:
			for _, a := range n.AAAA {
				m.Answer = append(m.Answer, &dns.AAAA{Hdr: head(kind), AAAA: a.AsSlice()})
			}
		case dns.TypePTR:
			for _, name := range n.PTR {
				m.Answer = append(m.Answer, &dns.PTR{Hdr: head(kind), Ptr: dns.Fqdn(name)})
			}
		}
		switch {
		case len(m.Answer) == 0 && n.Timeout:
			m.Rcode = dns.RcodeServerFailure
		case len(m.Answer) == 0 && len(n.TXT) == 0:
			m.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(m)
	})}
	done := make(chan error, 1)
	go func() { done <- server.ActivateAndServe() }()
	<-ready
	t.Cleanup(func() {
		server.Shutdown()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// TestNetResolver shows that net.Resolver, on the wire, is a Resolver.
func TestNetResolver(t *testing.T) {
	checker := newChecker(t, serve(t, parseZone(t, `
txt.example TXT v=spf1 ip4:192.0.2.0/24 ip4:198.51.100.0/24 -all
txt.example TXT another record of some length
a.example TXT v=spf1 a:six.example a -all
a.example A 192.0.2.3
six.example AAAA 2001:db8::1
mx.example TXT v=spf1 mx -all
mx.example MX 10 a.example
nullmx.example TXT v=spf1 mx ~all
nullmx.example MX 0 
ptr.example TXT v=spf1 ptr -all
host.ptr.example A 192.0.2.3
3.2.0.192.in-addr.arpa PTR host.ptr.example
voids.example TXT v=spf1 a:gone.example mx:gone.example exists:gone.example -all
names.example TXT v=spf1 exists:%{l}.example -all
down.example TIMEOUT
exists.example TXT v=spf1 exists:down.example -all
`)))
	for mailFrom, want := range map[string]spf.Result{
		"ann@txt.example": spf.Pass, "ann@a.example": spf.Pass, "ann@mx.example": spf.Pass, "ann@nullmx.example": spf.SoftFail,
		"ann@ptr.example": spf.Pass, "ann@voids.example": spf.PermError, "ann@gone.example": spf.None, "ann@down.example": spf.TempError,
		"ann@exists.example": spf.TempError, "a b@names.example": spf.Fail, "a@names.example": spf.Pass,
	} {
		got := checker.MailFrom(t.Context(), netip.MustParseAddr("192.0.2.3"), "", mailFrom)
		if got.Result != want {
			t.Errorf("%s: %s (%v), want %s\n%v", mailFrom, got.Result, got.Err, want, got.Trace)
		}
	}
}
