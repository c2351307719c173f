package dnsbl_test

import (
	"context"
	"net/netip"
	"testing"

	"github.com/smtpguard/smtpguard/dnsbl"
)

var receivedFields = map[string]string{
	"from mail.example (mail.example [5.6.7.8]) by mx.example with ESMTP id 1; Mon, 1 Jan 2024": "5.6.7.8",
	"from [10.0.0.1] (rdns.example [5.6.7.8]) by mx.example":                                    "5.6.7.8",
	"from [5.6.7.8] (helo=x) by mx.example":                                                     "5.6.7.8",
	"from x ([IPv6:2a00::1]) by mx.example":                                                     "2a00::1",
	"from X (2a00::1) by Y (2a00::2) with Microsoft SMTP Server":                                "2a00::1",
	"from x (HELO y) (5.6.7.8) by z":                                                            "5.6.7.8",
	"FROM x (x [::ffff:5.6.7.8])\tby z":                                                         "5.6.7.8",
	"from x by [5.6.7.8]":                                                                       "",
	"by x with local":                                                                           "",
	"from":                                                                                      "",
	"from x (x [fe80::1%eth0]) by y":                                                            "",
	"":                                                                                          "",
}

func TestReceivedFrom(t *testing.T) {
	for value, want := range receivedFields {
		addr, ok := dnsbl.ReceivedFrom(value)
		if ok != (want != "") || ok && addr != netip.MustParseAddr(want) {
			t.Errorf("%q: %v %v, want %s", value, addr, ok, want)
		}
	}
}

func FuzzReceivedFrom(f *testing.F) {
	for value := range receivedFields {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		addr, ok := dnsbl.ReceivedFrom(value)
		if ok != addr.IsValid() || addr.Is4In6() || addr.Zone() != "" {
			t.Errorf("%v %v", addr, ok)
		}
	})
}

// Whatever a zone answers, nothing is a listing that is outside 127.0.0.0/8 or
// that no code names, and a listing has codes.
func FuzzAnswers(f *testing.F) {
	f.Add("127.0.0.&8", []byte{127, 0, 0, 8})
	f.Add("127.0.2-20.*", []byte{127, 0, 9, 255, 127, 0, 0, 1})
	f.Add("127.0.0.1", []byte{127, 0, 0, 1})
	f.Add("*.*.*.*", []byte{10, 0, 0, 1})
	f.Fuzz(func(t *testing.T, pattern string, answer []byte) {
		w := &oneAnswer{}
		named := true
		for ; len(answer) >= 4; answer = answer[4:] {
			w.addrs = append(w.addrs, netip.AddrFrom4([4]byte(answer)))
			named = named && answer[0] == 127 && (answer[1] != 255 || answer[2] != 255)
		}
		l, err := dnsbl.New(dnsbl.Config{Resolver: w, Zones: []dnsbl.Zone{zone("a", dnsbl.Code{Answer: pattern, Weight: 1})}})
		if err != nil {
			return
		}
		res := l.Addr(t.Context(), client)
		if len(res.Listings)+len(res.Failures) != 1 {
			t.Fatalf("%+v", res)
		}
		if len(res.Listings) == 1 && (!named || len(res.Listings[0].Codes) != 1 || res.Score != 1) {
			t.Errorf("%v is a listing: %+v", w.addrs, res)
		}
	})
}

// oneAnswer is a resolver that has one answer for everything.
type oneAnswer struct {
	world
	addrs []netip.Addr
}

func (a *oneAnswer) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return a.addrs, nil
}
