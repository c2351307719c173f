package bogon

import (
	"net/netip"
	"testing"
)

func TestIs(t *testing.T) {
	for s, want := range map[string]bool{
		"8.8.8.8": false, "1.1.1.1": false, "172.32.0.1": false, "100.128.0.1": false, "223.255.255.1": false,
		"10.1.2.3": true, "172.31.0.1": true, "192.168.0.1": true, "100.64.0.1": true, "127.0.0.2": true,
		"169.254.1.1": true, "0.0.0.0": true, "0.1.2.3": true, "224.0.0.1": true, "240.0.0.1": true, "255.255.255.255": true,
		"192.0.2.1": true, "198.51.100.1": true, "203.0.113.1": true, "198.18.0.1": true, "192.0.0.8": true, "192.88.99.1": true,
		"2a00:1450::1": false, "2001:4860::1": false, "2002:808:808::1": false, "64:ff9b::808:808": false, "::ffff:8.8.8.8": false,
		"2001:db8::1": true, "3fff::1": true, "fe80::1%eth0": true, "fd00::1": true, "ff02::1": true, "::1": true, "::": true,
		"2002:a00:1::1": true, "64:ff9b::a00:1": true, "::ffff:10.0.0.1": true, "2001::1": true, "::8.8.8.8": true,
	} {
		if got := Is(netip.MustParseAddr(s)); got != want {
			t.Errorf("%s: %v, want %v", s, got, want)
		}
	}
	if !Is(netip.Addr{}) {
		t.Error("the zero Addr has public meaning")
	}
}
