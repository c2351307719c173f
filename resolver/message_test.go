package resolver

import (
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

// What is taken from an answer, and what is not.
func TestParse(t *testing.T) {
	chain := func(n int) (records []string) {
		for i := range n {
			records = append(records, fmt.Sprintf("%s 60 IN CNAME c%d.example.", map[bool]string{true: "example.org.", false: fmt.Sprintf("c%d.example.", i)}[i == 0], i+1))
		}
		return append(records, fmt.Sprintf("c%d.example. 60 IN A 192.0.2.1", n))
	}
	backwards := chain(5)
	slices.Reverse(backwards)
	for _, tt := range []struct {
		name    string
		rcode   int
		records []string
		want    string // kind, addresses and where they are; "error"
	}{
		{"an address", 0, []string{"example.org. 60 IN A 192.0.2.1"}, "1 [192.0.2.1] example.org."},
		{"in capitals", 0, []string{"EXAMPLE.org. 60 IN A 192.0.2.1"}, "1 [192.0.2.1] example.org."},
		{"of another name", 0, []string{"example.net. 60 IN A 192.0.2.1"}, "2 [] example.org."},
		{"of the name above", 0, []string{"org. 60 IN A 192.0.2.1"}, "2 [] example.org."},
		{"of another type", 0, []string{"example.org. 60 IN AAAA 2001:db8::1"}, "2 [] example.org."},
		{"of another class", 0, []string{"example.org. 60 CH A 192.0.2.1"}, "2 [] example.org."},
		{"others beside it", 0, []string{"victim.example. 60 IN A 203.0.113.66", "example.org. 60 IN A 192.0.2.1", "victim.example. 60 IN CNAME example.org."}, "1 [192.0.2.1] example.org."},
		{"a chain", 0, chain(5), "1 [192.0.2.1] c5.example."},
		{"a chain from its end", 0, backwards, "1 [192.0.2.1] c5.example."},
		{"a broken chain", 0, slices.Delete(chain(5), 2, 3), "2 [] example.org."},
		{"a chain of eleven", 0, chain(maxChain - 1), "1 [192.0.2.1] c11.example."},
		{"a chain of twelve", 0, chain(maxChain), "error"},
		{"a circle", 0, []string{"example.org. 60 IN CNAME a.example.", "a.example. 60 IN CNAME example.org."}, "error"},
		{"a chain to no name", dns.RcodeNameError, chain(2)[:2], "3 [] example.org."},
		{"no name, and an address", dns.RcodeNameError, []string{"example.org. 60 IN A 192.0.2.1"}, "3 [] example.org."},
		{"SERVFAIL, and an address", dns.RcodeServerFailure, []string{"example.org. 60 IN A 192.0.2.1"}, "5 [] example.org."},
		{"a code of no use", dns.RcodeNotAuth, nil, "8 [] example.org."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := question{"example.org", dns.TypeA}
			m := code(new(dns.Msg).SetQuestion("example.org.", dns.TypeA), tt.rcode, tt.records...)
			m.Id, m.Compress = 7, true
			msg, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			if !responds(msg, 7, q) || responds(msg, 8, q) || responds(msg, 7, question{"example.org", dns.TypeAAAA}) || responds(msg, 7, question{"xample.org", dns.TypeA}) {
				t.Error("taken for another answer")
			}
			got := "error"
			if a, _, err := parse(msg, q); err == nil {
				got = fmt.Sprint(uint8(a.kind), " ", a.appendAddrs(nil), " ", found{answer: a}.where(q))
			}
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			for n := range msg { // cut short it is an answer no more, or not this one
				responds(msg[:n], 7, q)
				if n >= questionEnd(q) {
					if a, _, err := parse(msg[:n], q); err == nil && a.kind == data {
						t.Errorf("%d of %d octets: %+v", n, len(msg), a)
					}
				}
			}
		})
	}
}

// Hosts of one priority come in the order of chance, weighted.
func TestSortSRV(t *testing.T) {
	first := map[string]int{}
	for range 1000 {
		hosts := []*net.SRV{{Target: "later", Priority: 2, Weight: 9}, {Target: "rare", Priority: 1, Weight: 1}, {Target: "often", Priority: 1, Weight: 9}, {Target: "never", Priority: 1}}
		sortSRV(hosts)
		if hosts[3].Target != "later" {
			t.Fatalf("%s comes last", hosts[3].Target)
		}
		first[hosts[0].Target]++
	}
	if first["often"] < 700 || first["rare"] < 30 || first["often"]+first["rare"]+first["never"] != 1000 {
		t.Errorf("%v", first)
	}
}
