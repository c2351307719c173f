package resolver

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smtpguard/smtpguard/internal/domain"
)

// Server is a recursive server.
type Server struct {
	Addr    netip.AddrPort // port 0 is 53, with a TLSName 853
	TLSName string         // it is asked by DNS over TLS, and its certificate must be for this name
}

// ParseServer reads a server as configurations write it: "192.0.2.1",
// "[2001:db8::1]:5353", or with the name for TLS, "192.0.2.1#dns.example.net".
func ParseServer(s string) (Server, error) {
	text, name, named := strings.Cut(s, "#")
	srv := Server{TLSName: name}
	var err error
	if srv.Addr, err = netip.ParseAddrPort(text); err != nil {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return Server{}, fmt.Errorf("resolver: server %.300q is no address, with or without a port", s)
		}
		srv.Addr = netip.AddrPortFrom(addr, 0)
	}
	if err := srv.check(); err != nil || named && name == "" {
		return Server{}, fmt.Errorf("resolver: server %.300q has no name for TLS behind '#'", s)
	}
	return srv, nil
}

// String writes a server as [ParseServer] reads it.
func (s Server) String() string {
	text := s.Addr.String()
	if s.Addr.Port() == 0 {
		text = s.Addr.Addr().String()
	}
	if s.TLSName != "" {
		text += "#" + s.TLSName
	}
	return text
}

func (s Server) check() error {
	if !s.Addr.Addr().IsValid() {
		return errors.New("has no address")
	}
	if s.TLSName != "" {
		if _, err := domain.Normal(s.TLSName); err != nil {
			return errors.New("has a TLSName that is no name")
		}
	}
	return nil
}

// downTime is how long a server that did not answer is asked last.
const downTime = 10 * time.Second

// server is one of those that are asked, and what is known of it.
type server struct {
	Server
	trusted bool
	address string // to connect to
	udp     *net.UDPAddr
	down    atomic.Int64 // until when it is asked last, in the time of Resolver.now

	streams chan struct{} // room for connections
	mu      sync.Mutex
	idle    []*stream
	closed  bool
}

func newServer(s Server, trusted bool) *server {
	addr := s.Addr
	if addr.Port() == 0 {
		port := uint16(53)
		if s.TLSName != "" {
			port = 853
		}
		addr = netip.AddrPortFrom(addr.Addr(), port)
	}
	return &server{Server: s, trusted: trusted, address: addr.String(), udp: net.UDPAddrFromAddrPort(addr), streams: make(chan struct{}, maxStreams)}
}

// lookEvery is how often ResolvConf is looked at.
const lookEvery = 5 * time.Second

// fileState tells whether a file has changed.
type fileState struct {
	modified time.Time
	size     int64
}

// firstServers sets the servers, from ResolvConf where none are given.
func (r *Resolver) firstServers() error {
	if len(r.cfg.Servers) > 0 {
		r.setServers(r.cfg.Servers, false)
		return nil
	}
	return r.readServers()
}

// readServers reads ResolvConf if it has changed. When it cannot be read, or
// names no server, the servers stay as they are.
func (r *Resolver) readServers() error {
	info, err := os.Stat(r.cfg.ResolvConf)
	if err != nil {
		return err
	}
	state := fileState{info.ModTime(), info.Size()}
	r.list.Lock()
	same := r.list.read == state
	r.list.Unlock()
	if same {
		return nil
	}
	f, err := os.Open(r.cfg.ResolvConf)
	if err != nil {
		return err
	}
	defer f.Close()
	servers, trust, err := parseResolvConf(io.LimitReader(f, 1<<20))
	if err != nil {
		return err
	}
	if len(servers) == 0 {
		return fmt.Errorf("%s names no server", r.cfg.ResolvConf)
	}
	r.setServers(servers, trust)
	r.list.Lock()
	r.list.read = state
	r.list.Unlock()
	return nil
}

// parseResolvConf returns the nameservers of a resolv.conf(5), and whether they
// are all trusted. Lines that it does not know are nothing to it.
func parseResolvConf(file io.Reader) (servers []Server, trust bool, err error) {
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := bytes.Fields(lines.Bytes())
		if len(fields) < 2 {
			continue
		}
		switch string(fields[0]) {
		case "nameserver":
			if addr, err := netip.ParseAddr(string(fields[1])); err == nil && len(servers) < maxServers {
				servers = append(servers, Server{Addr: netip.AddrPortFrom(addr, 0)})
			}
		case "options":
			trust = trust || slices.ContainsFunc(fields[1:], func(f []byte) bool { return string(f) == "trust-ad" })
		}
	}
	return servers, trust, lines.Err()
}

// setServers replaces the servers. What is known of one that was there stays.
func (r *Resolver) setServers(list []Server, trust bool) {
	r.list.Lock()
	defer r.list.Unlock()
	old := r.list.servers
	next := make([]*server, len(list))
	for i, s := range list {
		addr := s.Addr.Addr().Unmap()
		trusted := trust || slices.ContainsFunc(r.cfg.Trusted, func(p netip.Prefix) bool { return p.Contains(addr) })
		if at := slices.IndexFunc(old, func(o *server) bool { return o.Server == s && o.trusted == trusted }); at >= 0 {
			next[i] = old[at]
		} else {
			next[i] = newServer(s, trusted)
		}
	}
	for _, o := range old {
		if !slices.Contains(next, o) {
			o.close()
		}
	}
	r.list.servers = next
}

// current returns the servers as they are now. Nobody changes the slice.
func (r *Resolver) current() []*server {
	if len(r.cfg.Servers) == 0 {
		now, looked := int64(r.now()), r.looked.Load()
		if now-looked >= int64(lookEvery) && r.looked.CompareAndSwap(looked, now) {
			if err := r.readServers(); err != nil {
				r.counts.unread.Add(1)
			}
		}
	}
	r.list.Lock()
	defer r.list.Unlock()
	return r.list.servers
}

// Servers returns whom is asked, in order.
func (r *Resolver) Servers() []Server {
	var list []Server
	for _, s := range r.current() {
		list = append(list, s.Server)
	}
	return list
}

// order returns the servers for one lookup: from the one whose turn it is, those
// that do not answer last.
func (r *Resolver) order(room []*server) []*server {
	all := r.current()
	if len(all) == 1 {
		return all
	}
	first := 0
	if r.cfg.Rotate {
		first = int(r.turn.Add(1)-1) % len(all)
	}
	now := int64(r.now())
	list := room[:0]
	for _, down := range []bool{false, true} {
		for i := range all {
			if s := all[(first+i)%len(all)]; (s.down.Load() > now) == down {
				list = append(list, s)
			}
		}
	}
	return list
}
