package smtpguard

import (
	"net"

	"github.com/pires/go-proxyproto"
)

// proxied reads the PROXY header of pc, which takes its client's time, and
// returns whom it names: the proxy itself where it speaks for nobody (LOCAL, a
// health check), and unknownAddr where it does not know.
func proxied(pc *proxyproto.Conn) (remote, local net.Addr, err error) {
	remote, local = pc.Raw().RemoteAddr(), pc.Raw().LocalAddr()
	h := pc.ProxyHeader()
	switch {
	case h == nil:
		_, err = pc.Read(nil) // says why, without reading
		return remote, local, err
	case h.Version == 2 && h.Command.IsLocal():
		return remote, local, nil
	case h.SourceAddr == nil:
		return unknownAddr{}, local, nil
	}
	if h.DestinationAddr != nil {
		local = h.DestinationAddr
	}
	return h.SourceAddr, local, nil
}

// unknownAddr is the address of a client that its proxy does not know.
type unknownAddr struct{}

func (unknownAddr) Network() string { return "unknown" }
func (unknownAddr) String() string  { return "unknown" }
