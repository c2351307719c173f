package follow

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// zone is a resolver that knows a few names.
type zone map[string]string

func (z zone) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if network != "ip" || !strings.HasSuffix(host, ".") {
		return nil, errors.New("asked for " + host + " " + network)
	}
	answer, ok := z[strings.TrimSuffix(host, ".")]
	switch {
	case !ok:
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	case answer == "panic":
		panic("resolver")
	}
	var addrs []netip.Addr
	for a := range strings.FieldsSeq(answer) {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	return addrs, nil
}

// names are public addresses, except where they say otherwise.
var names = zone{
	"s.example":       "93.184.216.34",
	"six.example":     "2606:2800:220:1::1",
	"dead.example":    "93.184.216.99",
	"second.example":  "93.184.216.99 93.184.216.34",
	"mixed.example":   "127.0.0.1 10.0.0.1 93.184.216.34",
	"local.example":   "127.0.0.1",
	"meta.example":    "169.254.169.254",
	"private.example": "10.1.2.3 fd00::1 fe80::1 ::1",
	"mapped.example":  "::ffff:127.0.0.1",
	"nat64.example":   "64:ff9b::7f00:1",
	"empty.example":   "",
	"panic.example":   "panic",
}

// site is a web server that public addresses lead to, and what was connected to.
type site struct {
	mu        sync.Mutex
	connected []string
	requests  []string
}

// follower has http on plain served at what names lead to, and https.
func follower(t *testing.T, cfg Config, handler http.Handler) (*Follower, *site) {
	t.Helper()
	cfg.Resolver = names
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{}
	seen := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b strings.Builder
		_ = r.Write(&b)
		s.mu.Lock()
		s.requests = append(s.requests, b.String())
		s.mu.Unlock()
		handler.ServeHTTP(w, r)
	})
	plain := httptest.NewServer(seen)
	t.Cleanup(plain.Close)
	secure := httptest.NewUnstartedServer(seen)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	f.connect = func(ctx context.Context, network, address string) (net.Conn, error) {
		s.mu.Lock()
		s.connected = append(s.connected, address)
		s.mu.Unlock()
		server := plain
		switch {
		case strings.HasPrefix(address, "93.184.216.99:"):
			return nil, errors.New("refused")
		case strings.HasSuffix(address, ":443"):
			server = secure
		}
		var d net.Dialer
		return d.DialContext(ctx, network, server.Listener.Addr().String())
	}
	return f, s
}

func TestNext(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 1<<20))
	_ = z.Close()
	f, s := follower(t, Config{Timeout: time.Minute}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "a=b")
		switch r.URL.Path {
		case "/301":
			http.Redirect(w, r, "http://evil.example/x?y=z", http.StatusMovedPermanently)
		case "/308":
			http.Redirect(w, r, "https://evil.example/", http.StatusPermanentRedirect)
		case "/relative":
			w.Header().Set("Location", "next?a")
			w.WriteHeader(http.StatusFound)
		case "/scheme":
			w.Header().Set("Location", "//evil.example/")
			w.WriteHeader(http.StatusFound)
		case "/mail":
			w.Header().Set("Location", "mailto:a@evil.example")
			w.WriteHeader(http.StatusFound)
		case "/long":
			w.Header().Set("Location", "http://evil.example/"+strings.Repeat("x", 3000))
			w.WriteHeader(http.StatusFound)
		case "/200":
			w.Header().Set("Location", "http://evil.example/")
			fmt.Fprint(w, "hello")
		case "/page":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, `<html><a href="http://other.example/"><meta http-equiv="refresh" content="0; url=http://evil.example/">`)
		case "/field":
			w.Header().Set("Refresh", `0; url=http://evil.example/?a=1&b=2`)
		case "/picture":
			w.Header().Set("Content-Type", "image/png")
			fmt.Fprint(w, `<meta http-equiv="refresh" content="0; url=http://evil.example/">`)
		case "/late":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, strings.Repeat(" ", 20<<10)+`<meta http-equiv="refresh" content="0; url=http://evil.example/">`)
		case "/header":
			w.Header().Set("X", strings.Repeat("x", 40<<10))
		case "/gzip":
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat(" ", 4096)); err != nil {
					return
				}
			}
		default:
			http.NotFound(w, r)
		}
	}))
	for _, tt := range []struct {
		uri, want string
		err       error
	}{
		{"http://s.example/301", "http://evil.example/x?y=z", nil},
		{"http://S.Example:80/308", "https://evil.example/", nil},
		{"http://six.example/301", "http://evil.example/x?y=z", nil},
		{"http://second.example/301", "http://evil.example/x?y=z", nil},
		{"http://93.184.216.34/301", "http://evil.example/x?y=z", nil},
		{"http://user:secret@s.example/301#fragment", "http://evil.example/x?y=z", nil},
		{"http://s.example/relative", "http://s.example/next?a", nil},
		{"http://s.example/scheme", "http://evil.example/", nil},
		{"http://s.example/mail", "", ErrTarget},
		{"http://s.example/long", "", ErrTarget},
		{"http://s.example/200", "", nil},
		{"http://s.example/404", "", nil},
		{"http://s.example/page", "http://evil.example/", nil},
		{"http://s.example/field", "http://evil.example/?a=1&b=2", nil},
		{"http://s.example/picture", "", nil},
		{"http://s.example/late", "", nil},
		{"http://s.example/header", "", errAny},
		{"http://s.example/gzip", "", nil},
		{"http://s.example/endless", "", nil},
		{"https://s.example/301", "", errCertificate},
		{"http://dead.example/", "", errAny},
		{"http://unknown.example/", "", errAny},
		{"http://panic.example/", "", errAny},
		{"http://mixed.example/301", "http://evil.example/x?y=z", nil},

		{"http://local.example/", "", ErrAddress},
		{"http://meta.example/latest/meta-data/", "", ErrAddress},
		{"http://private.example/", "", ErrAddress},
		{"http://mapped.example/", "", ErrAddress},
		{"http://nat64.example/", "", ErrAddress},
		{"http://empty.example/", "", ErrAddress},
		{"http://127.0.0.1/", "", ErrAddress},
		{"http://169.254.169.254/", "", ErrAddress},
		{"http://[::ffff:127.0.0.1]/", "", ErrAddress},
		{"http://[::1]/", "", ErrAddress},
		{"http://[fe80::1%25eth0]/", "", ErrAddress},
		{"http://2130706433/", "", ErrURI},
		{"http://0x7f000001/", "", ErrURI},
		{"http://127.1/", "", ErrURI},
		{"http://0177.0.0.1/", "", ErrURI},
		{"http://0.0.0.0/", "", ErrAddress},

		{"http://s.example:22/", "", ErrPort},
		{"http://s.example:8080/", "", ErrPort},
		{"ftp://s.example/", "", ErrURI},
		{"file:///etc/passwd", "", ErrURI},
		{"gopher://s.example:80/", "", ErrURI},
		{"http:s.example", "", ErrURI},
		{"http://", "", ErrURI},
		{"http://a b/", "", ErrURI},
		{"http://s.example/\r\nX: y", "", ErrURI},
		{"s.example", "", ErrURI},
		{"http://s.example/" + strings.Repeat("x", 3000), "", ErrURI},
	} {
		got, err := f.Next(t.Context(), tt.uri)
		if got != tt.want || !matches(err, tt.err) {
			t.Errorf("%.60s: %q, error %v", tt.uri, got, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, address := range s.connected {
		host, port, _ := net.SplitHostPort(address)
		if !strings.HasPrefix(host, "93.184.216.") && host != "2606:2800:220:1::1" || port != "80" && port != "443" {
			t.Errorf("connected to %s", address)
		}
	}
	for _, request := range s.requests {
		for _, word := range []string{"secret", "Cookie", "Authorization", "Referer", "fragment", "Accept-Encoding"} {
			if strings.Contains(request, word) {
				t.Errorf("request has %s:\n%s", word, request)
			}
		}
		if !strings.Contains(request, "User-Agent: Mozilla/5.0 (compatible; smtpguard)\r\n") || !strings.HasPrefix(request, "GET ") {
			t.Errorf("request:\n%s", request)
		}
	}
}

var errAny, errCertificate = errors.New("any"), errors.New("certificate")

// matches reports whether err is of the kind of want.
func matches(err, want error) bool {
	switch want {
	case errAny:
		return err != nil && strings.HasPrefix(err.Error(), "follow: ")
	case errCertificate:
		var unknown *tls.CertificateVerificationError
		var authority x509.UnknownAuthorityError
		return errors.As(err, &unknown) || errors.As(err, &authority)
	}
	return errors.Is(err, want)
}

// TestCertificate has https followed where the certificate is good.
func TestCertificate(t *testing.T) {
	f, _ := follower(t, Config{Timeout: time.Minute}, http.RedirectHandler("http://evil.example/", http.StatusFound))
	server := httptest.NewTLSServer(nil) // has the same certificate as all
	defer server.Close()
	f.transport.TLSClientConfig.RootCAs = x509.NewCertPool()
	f.transport.TLSClientConfig.RootCAs.AddCert(server.Certificate())
	names := zone{"example.com": "93.184.216.34", "other.example": "93.184.216.34"}
	f.cfg.Resolver = names
	if got, err := f.Next(t.Context(), "https://example.com/"); got != "http://evil.example/" || err != nil {
		t.Errorf("%q, error %v", got, err)
	}
	if got, err := f.Next(t.Context(), "https://other.example/"); got != "" || !matches(err, errCertificate) {
		t.Errorf("the certificate of another: %q, error %v", got, err)
	}
}

// TestRebinding has a name judged by the addresses that are connected to, each
// time.
func TestRebinding(t *testing.T) {
	f, s := follower(t, Config{Timeout: time.Minute}, http.RedirectHandler("http://evil.example/", http.StatusFound))
	moving := &turning{answers: []string{"93.184.216.34", "127.0.0.1"}}
	f.cfg.Resolver = moving
	if got, err := f.Next(t.Context(), "http://s.example/1"); got != "http://evil.example/" || err != nil {
		t.Errorf("%q, error %v", got, err)
	}
	if got, err := f.Next(t.Context(), "http://s.example/2"); got != "" || !errors.Is(err, ErrAddress) {
		t.Errorf("%q, error %v", got, err)
	}
	if len(s.connected) != 1 || moving.asked != 2 {
		t.Errorf("connected to %q, resolved %d times", s.connected, moving.asked)
	}
}

// turning is a resolver that has another answer each time.
type turning struct {
	answers []string
	asked   int
}

func (t *turning) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	t.asked++
	return []netip.Addr{netip.MustParseAddr(t.answers[(t.asked-1)%len(t.answers)])}, nil
}

// piped is a follower whose connections are to serve, without a network, so that
// time can be that of a test.
func piped(t *testing.T, cfg Config, serve func(net.Conn)) *Follower {
	t.Helper()
	cfg.Resolver = names
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.connect = func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go serve(server)
		return client, nil
	}
	return f
}

func TestSlow(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"silent": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"a header without end": func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096)) // the request, which comes whole
			go func() { _, _ = io.Copy(io.Discard, c) }()
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for i := 0; ; i++ {
				time.Sleep(time.Second)
				if _, err := fmt.Fprintf(c, "X-%d: y\r\n", i); err != nil {
					return
				}
			}
		},
		"a page without end": func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096)) // the request, which comes whole
			go func() { _, _ = io.Copy(io.Discard, c) }()
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
			for {
				time.Sleep(time.Second)
				if _, err := io.WriteString(c, "."); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := piped(t, Config{Timeout: 3 * time.Second}, serve)
				start := time.Now()
				got, err := f.Next(t.Context(), "http://s.example/")
				if took := time.Since(start); got != "" || err == nil || took != 3*time.Second {
					t.Errorf("%q after %v, error %v", got, took, err)
				}
				if s := f.Stats(); s.Requests != 1 || s.Failed != 1 {
					t.Errorf("%+v", s)
				}
				time.Sleep(time.Minute) // for the server to see it
			})
		})
	}
}

// answering is a server that redirects to what was asked for, with "x" before it.
func answering(c net.Conn) {
	defer c.Close()
	b := make([]byte, 4096)
	n, _ := c.Read(b)
	path := strings.Fields(string(b[:n]))[1]
	fmt.Fprintf(c, "HTTP/1.1 302 Found\r\nLocation: http://x.example%s\r\nContent-Length: 0\r\n\r\n", path)
}

func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := piped(t, Config{Keep: time.Hour, Cache: 10}, answering)
		next := func(uri, want string) {
			t.Helper()
			if got, err := f.Next(t.Context(), uri); got != want || (err == nil) != (want != "") {
				t.Errorf("%s: %q, error %v", uri, got, err)
			}
		}
		var group sync.WaitGroup
		for range 10 { // at once
			group.Go(func() { next("http://s.example/a", "http://x.example/a") })
		}
		group.Wait()
		next("http://s.example/a#b", "http://x.example/a")
		next("http://unknown.example/a", "")
		next("http://unknown.example/a", "")
		if got, want := f.Stats(), (Stats{Requests: 2, Redirected: 1, Failed: 1, Cached: 11}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		time.Sleep(10 * time.Minute)
		next("http://s.example/a", "http://x.example/a")
		next("http://unknown.example/a", "")
		time.Sleep(time.Hour)
		next("http://s.example/a", "http://x.example/a")
		if got := f.Stats().Requests; got != 4 {
			t.Errorf("%d requests, want 4", got)
		}
		for i := range 1000 {
			next(fmt.Sprintf("http://s.example/%d", i), fmt.Sprintf("http://x.example/%d", i))
		}
		if n := len(f.cache.young) + len(f.cache.old); n > 10 {
			t.Errorf("%d answers kept", n)
		}
	})
}

func TestPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := piped(t, Config{Pending: 2, Timeout: time.Minute}, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var group sync.WaitGroup
		for _, uri := range []string{"http://s.example/1", "http://s.example/2"} {
			group.Go(func() {
				if _, err := f.Next(ctx, uri); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v", err)
				}
			})
		}
		synctest.Wait()
		if _, err := f.Next(ctx, "http://s.example/3"); !errors.Is(err, ErrPending) {
			t.Errorf("error %v", err)
		}
		group.Wait()
		time.Sleep(2 * time.Minute)
		if s := f.Stats(); s.Refused != 1 || s.Failed != 2 || len(f.running) != 0 {
			t.Errorf("%+v, %d under way", s, len(f.running))
		}
	})
}

func TestNew(t *testing.T) {
	for want, cfg := range map[string]Config{
		"Config.Resolver": {},
		"Config.Bytes":    {Resolver: names, Bytes: -1},
		"Config.Timeout":  {Resolver: names, Timeout: -1},
		"Config.Agent":    {Resolver: names, Agent: "a\r\nb"},
	} {
		if f, err := New(cfg); f != nil || err == nil || !strings.HasPrefix(err.Error(), "follow: "+want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}

// FuzzVet has nothing asked for that is not what it says.
func FuzzVet(f *testing.F) {
	for _, s := range []string{"http://s.example/", "https://u:p@[2606:2800::1]:443/x?y#z", "http://127.0.0.1:80", "http://0x7f.1", "http://bücher.de", "http://a..b/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		u, err := vet(uri)
		if err != nil {
			return
		}
		if again, err := vet(u.String()); err != nil || again.String() != u.String() {
			t.Errorf("%q: %v, then %v, error %v", uri, u, again, err)
		}
		if p := u.Port(); u.User != nil || p != "" && p != "80" && p != "443" || u.Scheme != "http" && u.Scheme != "https" {
			t.Errorf("%q: %+v", uri, u)
		}
	})
}
