package require

import (
	"net"
	"net/netip"
	"testing"
)

func TestAddr(t *testing.T) {
	seen := map[netip.AddrPort]bool{}
	for range 100 {
		addr := Addr(t)
		if seen[addr] {
			t.Fatalf("%v twice", addr)
		}
		seen[addr] = true
		ln, err := net.Listen("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		if free(addr) {
			t.Errorf("%v is taken, and free", addr)
		}
		ln.Close()
	}
}
