package require

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
)

// Ports that the system gives to clients begin at 32768. One that it has given to
// a test before may be anybody's before a program listens there.
const firstPort, endPort = 10240, 32768

var given struct {
	sync.Mutex
	ports map[uint16]bool
}

// Addr returns an address on loopback for a program to listen on, TCP and UDP, that
// has to be told where. Nobody listens there now, and no call of this process has
// returned it before.
func Addr(t testing.TB) netip.AddrPort {
	t.Helper()
	given.Lock()
	defer given.Unlock()
	if given.ports == nil {
		given.ports = make(map[uint16]bool)
	}
	for range 1000 {
		port := uint16(firstPort + rand.IntN(endPort-firstPort))
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
		if given.ports[port] || !free(addr) {
			continue
		}
		given.ports[port] = true
		return addr
	}
	t.Fatal("require: no free port")
	return netip.AddrPort{}
}

func free(addr netip.AddrPort) bool {
	ln, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(addr))
	if err != nil {
		return false
	}
	defer ln.Close()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return false
	}
	return conn.Close() == nil
}
