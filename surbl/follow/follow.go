// Package follow answers: where does a shortener lead to?
//
//	follower, err := follow.New(follow.Config{Resolver: resolver})
//	lists, err := surbl.New(surbl.Config{
//		Follow: surbl.Following{Follower: follower},
//		…
//	})
//
// It asks over HTTP for one URI at a time and reads where that redirects to
// (RFC 9110, section 15.4), or where its page sends who loads it, by a refresh.
// The URIs come from senders, who would like to have a mail server send requests
// where they cannot: so a name is resolved by the one resolver that is
// configured, the connection goes to an address that it gave and that has a
// public meaning, to port 80 or 443, and to nothing else; there is no proxy, no
// cookie, no credential and no word of the mail in a request besides the URI;
// what comes back is bounded in octets and in time, never decompressed, and
// believed only as a URI that is looked up. JavaScript is not run.
//
// Who is asked learns that the mail has come, and where to.
package follow

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/smtpguard/smtpguard/internal/bogon"
	"github.com/smtpguard/smtpguard/internal/domain"
	"github.com/smtpguard/smtpguard/surbl"
)

// Errors of [Follower.Next].
var (
	ErrURI     = errors.New("follow: no URI of http or https")
	ErrPort    = errors.New("follow: neither port 80 nor 443")
	ErrAddress = errors.New("follow: no public address")
	ErrPending = errors.New("follow: over Config.Pending")
	ErrTarget  = errors.New("follow: redirects to what is no URI")
)

// Resolver finds the addresses of hosts.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

var _ Resolver = (*net.Resolver)(nil)

// Config says how URIs are asked for. The zero value of a field means its
// default.
type Config struct {
	Resolver Resolver      // required
	Timeout  time.Duration // of one request, from its name to its last octet; 5 s
	Bytes    int           // of a page that are read; 16 KiB
	Pending  int           // requests under way, beyond which none is made; 64
	Cache    int           // answers kept, of up to 4 KiB each; 4,096
	Keep     time.Duration // for so long; failures for a tenth of it; 1 hour
	Agent    string        // the User-Agent field; "Mozilla/5.0 (compatible; smtpguard)"
}

// Follower asks for URIs. It is safe for concurrent use.
type Follower struct {
	cfg       Config
	transport *http.Transport
	pages     *surbl.Extractor
	cache     cache

	mu      sync.Mutex
	running map[string]*request
	stats   Stats

	// connect dials an address that was found to be public. Only tests of this
	// package have another than the network's.
	connect func(ctx context.Context, network, address string) (net.Conn, error)
}

var _ surbl.Follower = (*Follower)(nil)

// Stats counts since [New].
type Stats struct {
	Requests   int // made
	Redirected int // of those, that lead elsewhere
	Failed     int // of those, without an answer
	Cached     int // questions whose answer was known, or on its way
	Refused    int // questions that no request was made for: what is no URI, or over Config.Pending
}

// New reports what is wrong with cfg. It asks nothing.
func New(cfg Config) (*Follower, error) {
	if cfg.Resolver == nil {
		return nil, errors.New("follow: Config.Resolver is missing")
	}
	for _, f := range []struct {
		name     string
		value    *int
		fallback int
	}{{"Bytes", &cfg.Bytes, 16 << 10}, {"Pending", &cfg.Pending, 64}, {"Cache", &cfg.Cache, 4096}} {
		if *f.value < 0 || *f.value > 1<<24 {
			return nil, fmt.Errorf("follow: Config.%s must be between 0 and 16,777,216", f.name)
		}
		if *f.value == 0 {
			*f.value = f.fallback
		}
	}
	for _, f := range []struct {
		name     string
		value    *time.Duration
		fallback time.Duration
	}{{"Timeout", &cfg.Timeout, 5 * time.Second}, {"Keep", &cfg.Keep, time.Hour}} {
		if *f.value < 0 {
			return nil, fmt.Errorf("follow: Config.%s must not be negative", f.name)
		}
		if *f.value == 0 {
			*f.value = f.fallback
		}
	}
	if cfg.Agent == "" {
		cfg.Agent = "Mozilla/5.0 (compatible; smtpguard)"
	}
	if strings.ContainsFunc(cfg.Agent, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, errors.New("follow: Config.Agent has characters that a field cannot have")
	}
	pages, err := surbl.NewExtractor(surbl.Extraction{})
	if err != nil {
		return nil, fmt.Errorf("follow: %w", err)
	}
	f := &Follower{cfg: cfg, pages: pages, running: make(map[string]*request), connect: (&net.Dialer{}).DialContext}
	f.cache.most = cfg.Cache
	f.transport = &http.Transport{
		Proxy:                  nil, // nor one from the environment
		DialContext:            f.dial,
		TLSHandshakeTimeout:    cfg.Timeout,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1 alone: one response, no streams
	}
	return f, nil
}

const (
	maxHeader = 16 << 10 // octets of the header section of a response
	maxURI    = 2048     // octets of a URI, asked for or found
	maxAddrs  = 3        // of a host that are tried
)

// Stats returns what was counted so far.
func (f *Follower) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}

func (f *Follower) count(n *int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*n++
}

// vet returns the URL that is asked for: without user information and fragment,
// its host an address or a name as DNS has it.
func vet(uri string) (*url.URL, error) {
	if len(uri) > maxURI {
		return nil, ErrURI
	}
	u, err := url.Parse(uri)
	if err != nil || u.Opaque != "" || u.Hostname() == "" {
		return nil, ErrURI
	}
	port := ""
	switch u.Scheme {
	case "http":
		port = "80"
	case "https":
		port = "443"
	default:
		return nil, ErrURI
	}
	if p := u.Port(); p != "" && p != "80" && p != "443" {
		return nil, ErrPort
	} else if p != "" {
		port = p
	}
	host := u.Hostname()
	if addr, err := netip.ParseAddr(host); err == nil {
		if bogon.Is(addr) || addr.Zone() != "" {
			return nil, ErrAddress
		}
	} else if host, err = domain.Normal(host); err != nil {
		return nil, ErrURI // addresses in the forms that only some programs take for one among it
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	u.Host = net.JoinHostPort(host, port)
	if port == "80" && u.Scheme == "http" || port == "443" && u.Scheme == "https" {
		u.Host = strings.TrimSuffix(u.Host, ":"+port)
	}
	return u, nil
}

// dial connects to a host. What the resolver says is judged here, and nothing
// resolves the name again.
func (f *Follower) dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil { // of the resolver, in a goroutine of net/http
			err = fmt.Errorf("resolver panicked: %v", p)
		}
	}()
	host, port, err := net.SplitHostPort(address)
	if err != nil || port != "80" && port != "443" {
		return nil, ErrPort
	}
	var addrs []netip.Addr
	if addr, err := netip.ParseAddr(host); err == nil {
		addrs = []netip.Addr{addr}
	} else if addrs, err = f.cfg.Resolver.LookupNetIP(ctx, "ip", host+"."); err != nil {
		return nil, err
	}
	err = ErrAddress
	tried := 0
	for _, addr := range addrs {
		if bogon.Is(addr) || addr.Zone() != "" {
			continue
		}
		if tried++; tried > maxAddrs {
			break
		}
		if c, err = f.connect(ctx, network, net.JoinHostPort(addr.Unmap().String(), port)); err == nil {
			return c, nil
		}
	}
	return nil, err
}
