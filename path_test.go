package smtpguard

import (
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
)

func TestPathError(t *testing.T) {
	long := strings.Repeat("a", 300)
	for _, tt := range []struct {
		addr string
		utf8 bool
		want int
	}{
		{"a@example.org", false, 0},
		{"a@EXAMPLE.org", false, 0},
		{"a b@c@example.org", false, 0}, // a quoted local part
		{"a@my_host.example", false, 0},
		{"a@[192.0.2.1]", false, 0},
		{"a@[IPv6:2001:db8::1]", false, 0},
		{"a@[ipv6:2001:db8::1]", false, 0},
		{"a@[2001:db8::1]", false, 501},
		{"a@[IPv6:fe80::1%eth0]", false, 501},
		{"a@[192.0.2.1", false, 501},
		{"a@192.0.2.300]", false, 501},
		{"a@" + long + ".example", false, 501},
		{"a@" + strings.Repeat("a", 64) + ".example", false, 501},
		{"a\x00@example.org", false, 501},
		{"a\r@example.org", false, 501},
		{"a\x7f@example.org", false, 501},
		{"a@example.org\x01", false, 501},
		{"a@-example.org", false, 501},
		{"a@example..org", false, 501},
		{"a@example.org.", false, 501},
		{"a@exa(mple.org", false, 501},
		{"é@example.org", false, 553},
		{"é@example.org", true, 0},
		{"a@exämple.org", true, 0},
		{"\xff@example.org", true, 501},
	} {
		err := pathError(tt.addr, tt.utf8, 254, smtp.EnhancedCode{5, 1, 3})
		got := 0
		if err != nil {
			got = err.Code
		}
		if got != tt.want {
			t.Errorf("pathError(%q, %v) = %v, want %d", tt.addr, tt.utf8, err, tt.want)
		}
	}
}

func TestHelloError(t *testing.T) {
	for _, tt := range []struct {
		name         string
		hostile, odd bool
	}{
		{"client.example", false, false},
		{"localhost", false, false},
		{"[192.0.2.1]", false, false},
		{"[IPv6:2001:db8::1]", false, false},
		{"my_pc", false, false},
		{"192.0.2.1", false, false}, // a domain name by its syntax
		{"[192.0.2]", false, true},
		{"a..b", false, true},
		{"-", false, true},
		{"a\tb", true, true},
		{"a\x00b", true, true},
		{"\xc3\xa9.example", true, true},
		{strings.Repeat("a.", 128), true, true},
	} {
		if hostile, odd := helloError(tt.name); hostile != tt.hostile || odd != tt.odd {
			t.Errorf("helloError(%q) = %v, %v, want %v, %v", tt.name, hostile, odd, tt.hostile, tt.odd)
		}
	}
}
