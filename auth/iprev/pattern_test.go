package iprev_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/auth/iprev"
)

// classOf is what the default patterns make of a name without addresses.
func classOf(t testing.TB, name, addr string) string {
	t.Helper()
	a := netip.MustParseAddr(addr)
	return checker(t, map[string]string{"PTR " + a.String(): name + "."}).Reverse(t.Context(), a).Generic.String()
}

func TestDefaultPatterns(t *testing.T) {
	for _, tt := range []struct{ name, addr, want string }{
		{"mail.example.com", "5.6.7.8", ""},
		{"mx1.static.example.com", "5.6.7.8", ""},
		{"smtp-5-6-7-8.example.com", "5.6.7.8", ""},
		{"example.com", "5.6.7.8", ""},
		{"dynamic.example", "5.6.7.8", ""}, // the provider's own name
		{"www.dsl-provider.example", "5.6.7.8", ""},
		{"dynamo.example.com", "5.6.7.8", ""},
		{"srv12.example.com", "5.6.7.8", ""},
		{"host1.example.com", "5.6.7.8", ""},
		{"a5.6.7.80.example.com", "5.6.7.8", ""},
		{"5-6-7-8.example.com", "5.6.7.8", "generic"},
		{"a8.7.6.5.example.com", "5.6.7.8", "generic"},
		{"a005006007008.example.com", "5.6.7.8", "generic"},
		{"x05060708.example.com", "5.6.7.8", "generic"},
		{"static-5-6-7-8.example.com", "5.6.7.8", "generic"},
		{"vps1234.example.com", "5.6.7.8", "generic"},
		{"p5B01A2C3.dip0.dialin.isp.example", "91.1.162.195", "dynamic"},
		{"cpe-5-6-7-8.cable.isp.example", "5.6.7.8", "dynamic"},
		{"dhcp-192.isp.example.com", "5.6.7.8", "dynamic"},
		{"adsl_pool12.isp.example.com", "5.6.7.8", "dynamic"},
		{"2a00-1450-4001-0-1234-5678-9abc-def0.isp.example.com", "2a00:1450:4001::1234:5678:9abc:def0", "generic"},
		{"2a00145040010000123456789abcdef0.isp.example.com", "2a00:1450:4001::1234:5678:9abc:def0", "generic"},
		{"1234-5678-9abc-def1.isp.example.com", "2a00:1450:4001::1234:5678:9abc:def0", ""},
	} {
		if got := classOf(t, tt.name, tt.addr); got != tt.want {
			t.Errorf("%s of %s is %q, want %q", tt.name, tt.addr, got, tt.want)
		}
	}
	if len(iprev.DefaultPatterns()) < 40 {
		t.Error("few patterns")
	}
}

func TestParsePatterns(t *testing.T) {
	list, err := iprev.ParsePatterns("# nothing\n\ndynamic dyn pool* # lines\ngeneric {address}\nserver mx\n")
	if err != nil || len(list) != 4 || list[1] != (iprev.Pattern{Class: iprev.Dynamic, Word: "pool*"}) || list[3].Class != iprev.NoClass {
		t.Errorf("%v %v", list, err)
	}
	if _, err := iprev.ParsePatterns("\nodd word"); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Error(err)
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"5-6-7-8.isp.example.com", "[IPv6:2a00::1]", "8.7.6.5.dsl.isp.example.com", "0x7f.1", "a.\u3002b", "xn--a.example"} {
		f.Add(s, []byte{5, 6, 7, 8})
		f.Add(s, []byte("0123456789abcdef"))
	}
	c := checker(f, nil)
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		addr, _ := netip.AddrFromSlice(b)
		h := c.Hello(t.Context(), name, addr)
		if h.Name != "" && h.Literal.IsValid() || len(h.Findings) == 0 && !h.Client || len(h.Findings) > 3 {
			t.Errorf("%q from %v: %+v", name, addr, h)
		}
		if s := c.Sender(t.Context(), name); s.Finding == 0 && s.Domain != "" {
			t.Errorf("%q takes mail: %+v", name, s)
		}
	})
}
