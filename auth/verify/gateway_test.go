package verify

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

func TestFrom(t *testing.T) {
	for _, tt := range []struct{ value, addr, hello string }{
		{"from a.example (b.example [192.0.2.7]) by mx with ESMTP id 1; Mon, 1 Jan 2026 00:00:00 +0000 (UTC)", "192.0.2.7", "a.example"},
		{"FROM a.example\t(unknown [192.0.2.7])\tBY mx", "192.0.2.7", "a.example"},
		{`from a.example (b.example [192.0.2.7]) (using TLSv1.3 with cipher X (256/256 bits)) (Client CN "c 198.51.100.1 d", Issuer "e" (not verified)) by mx`, "192.0.2.7", "a.example"},
		{"from a.example (IDENT:ann@b.example [192.0.2.7] (may be forged)) by mx", "192.0.2.7", "a.example"},
		{"from a.example ([192.0.2.7]) by mx", "192.0.2.7", "a.example"},
		{"from a.example ([192.0.2.7]:4711 helo=x) by mx", "192.0.2.7", "a.example"},
		{"from [192.0.2.7] (helo=a.example) by mx", "192.0.2.7", "[192.0.2.7]"},
		{"from [192.0.2.7] (port=4711 helo=[198.51.100.1]) by mx", "192.0.2.7", "[192.0.2.7]"},
		{"from [192.0.2.7] (EHLO a_b) by mx", "192.0.2.7", "[192.0.2.7]"},
		{"from unknown (HELO a.example) (192.0.2.7) by 0 with SMTP", "192.0.2.7", "unknown"},
		{"from unknown (HELO [198.51.100.1]) (192.0.2.7) by 0 with SMTP", "192.0.2.7", "unknown"},
		{"from a.example (192.0.2.7) by mx (10.0.0.1) with X", "192.0.2.7", "a.example"},
		{"from a.example (b.example [IPv6:2001:db8::7]) by mx", "2001:db8::7", "a.example"},
		{"from a.example ([2001:db8::7]) by mx", "2001:db8::7", "a.example"},
		{"from a.example (2001:db8::7) by mx", "2001:db8::7", "a.example"},
		{"from a.example ([IPv6:::ffff:192.0.2.7]) by mx", "192.0.2.7", "a.example"},
		{"from [198.51.100.1] (unknown [192.0.2.7]) by mx", "192.0.2.7", "[198.51.100.1]"},
		{"from [IPv6:2001:db8::1] (unknown [192.0.2.7]) by mx", "192.0.2.7", "[IPv6:2001:db8::1]"},
		{"from 198.51.100.1 (unknown [192.0.2.7]) by mx", "192.0.2.7", "198.51.100.1"},

		// Nothing is known.
		{"", "", ""},
		{"by mx with local", "", ""},
		{"from a.example by mx", "", ""},
		{"from [198.51.100.1] by mx", "", ""}, // what the client said, perhaps
		{"from [198.51.100.1] (unknown) by mx", "", ""},
		{"from a.example (unknown) by mx", "", ""},
		{"from (unknown [192.0.2.7]) by mx", "", ""},
		{"from a.example (fe80::1%eth0) by mx", "", ""},
		{"from a.example ([192.0.2.7]", "", ""},
		{"from a.example (b.example [192.0.2.7])", "", ""},

		// What a client might say in EHLO.
		{"from x 198.51.100.1 by y (unknown [192.0.2.7]) by mx", "", ""},
		{"from x [198.51.100.1] (unknown [192.0.2.7]) by mx", "", ""},
		{"from x ([198.51.100.1]) (unknown [192.0.2.7]) by mx", "", ""},
		{"from x([198.51.100.1]) (unknown [192.0.2.7]) by mx", "", ""},
		{"from x ([198.51.100.1]) by y (unknown [192.0.2.7]) by mx", "", ""},
		{"from x ([198.51.100.1]) by y; z (unknown [192.0.2.7]) by mx", "", ""},
		{"from x ([198.51.100.1]) by y ( (unknown [192.0.2.7]) by mx (Postfix)", "", ""},
		{"from x ([198.51.100.1]) by y" + strings.Repeat(" ", maxFrom) + "(unknown [192.0.2.7]) by mx", "", ""},
		{"from [192.0.2.7] (helo=x) ([198.51.100.1]) by mx", "", ""},
		{"from x (198.51.100.1) ([ [192.0.2.7]) by mx", "", ""},
		{"from a.example ([192.0.2.7] helo=x [198.51.100.1]) by mx", "", ""},
		{"from [198.51.100.1] (HELO x) (192.0.2.7) by mx", "", ""}, // nor in its PTR record
	} {
		addr, hello, ok := from(tt.value)
		if want := tt.addr != ""; ok != want || ok && addr.String() != tt.addr || hello != tt.hello {
			t.Errorf("%q: %v, %q, %t; want %s, %q", tt.value, addr, hello, ok, tt.addr, tt.hello)
		}
	}
}

// writers are fields as gateways write them, of what the client said, the name of
// his PTR record, and his address.
var writers = []string{
	"from %[1]s (%[2]s [%[3]s])\r\n\tby mx.example.org (Postfix) with ESMTPS id 1 for <ann@example.org>; Mon, 1 Jan 2026 00:00:00 +0000 (UTC)",
	"from %[1]s (%[2]s [%[3]s])\r\n\t(using TLSv1.3 with cipher X (256/256 bits))\r\n\t(Client CN \"%[2]s\", Issuer \"x\" (not verified))\r\n\tby mx.example.org; Mon, 1 Jan 2026 00:00:00 +0000",
	"from %[1]s (IDENT:ann@%[2]s [%[3]s] (may be forged)) by mx.example.org (8.18.1/8.18.1) with ESMTP id 1; Mon, 1 Jan 2026 00:00:00 +0000",
	"from %[2]s ([%[3]s]:25 helo=%[1]s) by mx.example.org with esmtp (Exim 4.98) id 1; Mon, 1 Jan 2026 00:00:00 +0000",
	"from [%[3]s] (helo=%[1]s) by mx.example.org with esmtp (Exim 4.98) id 1; Mon, 1 Jan 2026 00:00:00 +0000",
	"from [%[3]s] (port=25 helo=%[1]s) by mx.example.org with esmtp (Exim 4.98) id 1; Mon, 1 Jan 2026 00:00:00 +0000",
	"from %[2]s (HELO %[1]s) (%[3]s) by 0 with SMTP; 1 Jan 2026 00:00:00 -0000",
	"from %[1]s (%[3]s) by mx.example.org (10.0.0.1) with Microsoft SMTP Server id 1; Mon, 1 Jan 2026 00:00:00 +0000",
	"from %[1]s ([%[3]s]) by mx.example.org with ESMTP id 1; Mon, 1 Jan 2026 00:00:00 +0000",
	"from [%[3]s] (EHLO %[1]s) by mx.example.org with ESMTP id 1; Mon, 1 Jan 2026 00:00:00 +0000",
}

// FuzzFrom asserts that whatever a client says in EHLO, it is never taken to come
// from another address than it does, by gateways who pass on its words as they are.
func FuzzFrom(f *testing.F) {
	for _, hello := range []string{"a.example", "[198.51.100.1]", "x ([198.51.100.1]) by y (", "x) ([198.51.100.1]", "x\\", "x) ([198.51.100.1]) (\\", "x ([198.51.100.1]) by y;", "(", "", "x [198.51.100.1]", "x 198.51.100.1 by", "x (198.51.100.1)"} {
		f.Add(hello, "b.example")
		f.Add("a.example", hello)
	}
	f.Add("x (198.51.100.1)", "[")
	client := netip.MustParseAddr("192.0.2.7")
	f.Fuzz(func(t *testing.T, hello, name string) {
		if strings.ContainsAny(hello+name, "\r\n") || strings.Contains(hello, client.String()) || len(hello) > 600 {
			return
		}
		if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`()\"`, r) }) {
			name = "unknown" // as all of them have it for what is no name
		}
		for _, w := range writers {
			value := fmt.Sprintf(w, hello, name, client)
			value = strings.ReplaceAll(value, "\r\n", "")
			if got, _, ok := from(value); ok && got != client {
				t.Fatalf("%q: %v", value, got)
			}
		}
	})
}

// Whatever is said politely is understood.
func TestFromWriters(t *testing.T) {
	for _, w := range writers {
		for _, addr := range []string{"192.0.2.7", "2001:db8::7"} {
			value := strings.ReplaceAll(fmt.Sprintf(w, "a.example", "b.example", addr), "\r\n", "")
			if got, _, ok := from(value); !ok || got.String() != addr {
				t.Errorf("%q: %v, %t", value, got, ok)
			}
		}
	}
}

// TestFromHostile goes through what can be said with the words that matter.
func TestFromHostile(t *testing.T) {
	tokens := []string{"x", " ", "(", ")", "[198.51.100.1]", "198.51.100.1", "by", "\\", ";", "helo=", "HELO", `"`}
	client := netip.MustParseAddr("192.0.2.7")
	try := func(hello string) {
		for _, w := range writers {
			value := strings.ReplaceAll(fmt.Sprintf(w, hello, "b.example", client), "\r\n", "")
			if got, _, ok := from(value); ok && got != client {
				t.Fatalf("%q: %v", value, got)
			}
		}
	}
	var all func(prefix string, n int)
	all = func(prefix string, n int) {
		try(prefix)
		if n > 0 {
			for _, s := range tokens {
				all(prefix+s, n-1)
			}
		}
	}
	all("", 3)
	random := rand.New(rand.NewPCG(5321, 1))
	for range 10000 {
		var b strings.Builder
		for range 4 + random.IntN(12) {
			b.WriteString(tokens[random.IntN(len(tokens))])
		}
		try(b.String())
	}
}
