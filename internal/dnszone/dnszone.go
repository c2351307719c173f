// Package dnszone is a small authoritative DNS server on loopback for tests: it
// answers from a zone given as text (RFC 1035, section 5), over UDP and TCP,
// and misbehaves on demand.
//
//	srv := dnszone.Start(t, `
//		$ORIGIN example.org.
//		@    300 IN SOA ns hostmaster 1 3600 600 86400 60
//		@    300 IN TXT "v=spf1 -all"
//		mail 300 IN A   192.0.2.1`)
//	srv.Fault("slow.example.org", dnszone.Never)
//	r := srv.Resolver() // a *net.Resolver that asks it
//
// It follows CNAMEs within its zones and knows wildcards; it signs nothing. A
// name that is in none of its zones does not exist.
package dnszone

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Server answers until it is closed. It is safe for concurrent use.
type Server struct {
	udp   *net.UDPConn
	other *net.UDPConn // from which WrongSource answers
	addr  netip.AddrPort
	loops sync.WaitGroup

	mu      sync.Mutex
	zone    zone
	faults  map[string]Fault
	delays  map[string]time.Duration
	asked   map[question]int
	total   int
	streams map[io.Closer]bool
	closed  bool
}

type question struct {
	name string
	typ  uint16
}

// Start serves zones until t ends. What New reports fails the test.
func Start(t testing.TB, zones ...string) *Server {
	t.Helper()
	s, err := New(zones...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// New serves zones on a free port of 127.0.0.1, the same for UDP and TCP, until
// Close. It reports text that is no zone.
func New(zones ...string) (*Server, error) {
	s := &Server{faults: map[string]Fault{}, delays: map[string]time.Duration{}, asked: map[question]int{}, streams: map[io.Closer]bool{}}
	var err error
	if s.zone, err = parse(zones); err != nil {
		return nil, err
	}
	ln, err := s.listen()
	if err != nil {
		return nil, err
	}
	if s.other, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		ln.Close()
		s.udp.Close()
		return nil, err
	}
	s.loops.Go(s.serveUDP)
	s.loops.Go(func() { s.serveStream(ln) })
	return s, nil
}

// Close ends the server, its connections included.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.streams {
		c.Close()
	}
	s.mu.Unlock()
	s.udp.Close()
	s.other.Close()
	s.loops.Wait()
}

// listen takes a port that is free for both.
func (s *Server) listen() (net.Listener, error) {
	var err error
	for range 20 {
		var ln net.Listener
		if ln, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
			return nil, err
		}
		s.addr = ln.Addr().(*net.TCPAddr).AddrPort()
		if s.udp, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(s.addr)); err == nil {
			s.udp.SetReadBuffer(4 << 20) // bursts of tests; less is no fault
			return ln, nil
		}
		ln.Close()
	}
	return nil, err
}

// Addr is where it listens.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Resolver returns a resolver of the standard library that asks only s.
func (s *Server) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, s.addr.String())
	}}
}

// Set replaces the zones. Text that is no zone fails the test.
func (s *Server) Set(t testing.TB, zones ...string) {
	t.Helper()
	z, err := parse(zones)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone = z
}

// Fault makes s misbehave when it is asked for name or what is below it; "." is
// everything. The closest name counts. None ends it.
func (s *Server) Fault(name string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[dns.CanonicalName(name)] = f
}

// Delay makes s late by d with answers to name and what is below it, with or
// without a Fault; 0 ends it.
func (s *Server) Delay(name string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delays[dns.CanonicalName(name)] = d
}

// Asked returns how often s was asked for records of a type at name, by whatever
// transport. It counts the first 10,000 different questions.
func (s *Server) Asked(name string, typ uint16) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[question{dns.CanonicalName(name), typ}]
}

// Total returns how many questions s was asked.
func (s *Server) Total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// ServeStream answers on ln as on its own TCP port, until Close. With a listener
// of crypto/tls that is DNS over TLS (RFC 7858).
func (s *Server) ServeStream(ln net.Listener) {
	s.loops.Go(func() { s.serveStream(ln) })
}

func (s *Server) serveUDP() {
	buf := make([]byte, dns.MaxMsgSize)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // a port that is gone already
			continue
		}
		s.handle(buf[:n], true, func(conn *net.UDPConn, packet []byte) {
			if conn == nil {
				conn = s.udp
			}
			conn.WriteToUDPAddrPort(packet, from)
		})
	}
}

func (s *Server) serveStream(ln net.Listener) {
	if !s.keep(ln) {
		return
	}
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		conns.Go(func() {
			defer conn.Close()
			if s.keep(conn) {
				s.serveConn(conn)
				s.drop(conn)
			}
		})
	}
}

// keep has c closed with the server, or at once when that is closed.
func (s *Server) keep(c io.Closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return false
	}
	s.streams[c] = true
	return true
}

func (s *Server) drop(c io.Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, c)
}

func (s *Server) serveConn(conn net.Conn) {
	var mu sync.Mutex
	buf := make([]byte, dns.MaxMsgSize)
	for {
		if _, err := io.ReadFull(conn, buf[:2]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(buf))
		if _, err := io.ReadFull(conn, buf[:n]); err != nil {
			return
		}
		s.handle(buf[:n], false, func(_ *net.UDPConn, packet []byte) {
			mu.Lock()
			defer mu.Unlock()
			conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...))
		})
	}
}
