package resolver

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// fake is servers without sockets, for tests in which time is made up.
type fake struct {
	// answer is the reply to what was asked at address over network; nil is none.
	answer func(query *dns.Msg, network, address string) *dns.Msg

	mu    sync.Mutex
	asked []string // addresses, in order
}

func (f *fake) dial(_ context.Context, network, address string) (net.Conn, error) {
	client, server := net.Pipe()
	replies := make(chan []byte, 256) // a pipe has no room: who writes waits for who reads
	go func() {
		for octets := range replies {
			server.Write(octets)
		}
	}()
	go func() {
		defer server.Close()
		defer close(replies)
		buf := make([]byte, dns.MaxMsgSize)
		for {
			n := 0
			var err error
			if network == "tcp" {
				if _, err = io.ReadFull(server, buf[:2]); err == nil {
					n, err = io.ReadFull(server, buf[:binary.BigEndian.Uint16(buf)])
				}
			} else {
				n, err = server.Read(buf)
			}
			if err != nil {
				return
			}
			query := new(dns.Msg)
			if query.Unpack(buf[:n]) != nil {
				return
			}
			f.mu.Lock()
			f.asked = append(f.asked, address)
			f.mu.Unlock()
			reply := f.answer(query, network, address)
			if reply == nil {
				continue
			}
			octets, err := reply.Pack()
			if err != nil {
				return
			}
			if network == "tcp" {
				octets = append(binary.BigEndian.AppendUint16(nil, uint16(len(octets))), octets...)
			}
			replies <- octets
		}
	}()
	return client, nil
}

// count returns how often any server was asked.
func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

func (f *fake) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = f.asked[:0]
}

// servers returns where they are: 192.0.2.1 and up.
func servers(n int) []Server {
	list := make([]Server, n)
	for i := range list {
		list[i].Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 0)
	}
	return list
}

// newFake returns a resolver that asks f.
func newFake(t testing.TB, f *fake, cfg Config) *Resolver {
	t.Helper()
	cfg.Dial = f.dial
	if cfg.Servers == nil {
		cfg.Servers = servers(1)
	}
	return mustNew(t, cfg)
}

// reply answers query with records in the format of zones.
func reply(query *dns.Msg, records ...string) *dns.Msg {
	m := new(dns.Msg).SetReply(query)
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		if rr.Header().Rrtype == dns.TypeSOA {
			m.Ns = append(m.Ns, rr)
		} else {
			m.Answer = append(m.Answer, rr)
		}
	}
	return m
}

// code answers query with a response code and records.
func code(query *dns.Msg, rcode int, records ...string) *dns.Msg {
	m := reply(query, records...)
	m.Rcode = rcode
	return m
}
