package resolver

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"

	"github.com/miekg/dns"
)

// Under AtHand what is remembered is answered, and nothing is asked.
func TestAtHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: func(q *dns.Msg, _, _ string) *dns.Msg {
			switch q.Question[0].Name {
			case "example.org.":
				return reply(q, "example.org. 60 IN TXT text")
			case "mail.example.org.":
				if q.Question[0].Qtype == dns.TypeA {
					return reply(q, "mail.example.org. 60 IN A 192.0.2.1")
				}
				return code(q, 0, soa)
			}
			return code(q, dns.RcodeNameError, soa)
		}}
		r := newFake(t, f, Config{})
		ctx, missed := r.AtHand(t.Context())
		if _, err := r.LookupTXT(ctx, "example.org"); !temporary(err) || !missed() || f.count() != 0 {
			t.Errorf("%v, missed %t, asked %d times", err, missed(), f.count())
		}
		r.LookupTXT(t.Context(), "example.org")
		r.LookupTXT(t.Context(), "none.example.org")
		r.LookupNetIP(t.Context(), "ip", "mail.example.org")
		asked := f.count()

		ctx, missed = r.AtHand(context.WithoutCancel(t.Context()))
		below, cancel := context.WithCancel(ctx)
		defer cancel()
		if texts, err := r.LookupTXT(below, "Example.org."); err != nil || len(texts) != 1 {
			t.Errorf("%v, %v", texts, err)
		}
		if _, err := r.LookupTXT(below, "none.example.org"); !errors.Is(err, ErrNoName) {
			t.Error(err)
		}
		if addrs, err := r.LookupNetIP(below, "ip", "mail.example.org"); err != nil || len(addrs) != 1 {
			t.Errorf("%v, %v", addrs, err)
		}
		if missed() {
			t.Error("missed")
		}
		if _, err := r.LookupNetIP(below, "ip", "example.org"); !temporary(err) || !missed() {
			t.Error(err)
		}
		if f.count() != asked {
			t.Error("asked")
		}
	})
}

func temporary(err error) bool {
	d, ok := errors.AsType[*net.DNSError](err)
	return ok && d.IsTemporary && errors.Is(err, errNotAtHand)
}
