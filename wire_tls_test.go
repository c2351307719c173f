package smtpguard

import (
	"bufio"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
)

func TestRecords(t *testing.T) {
	record := func(kind byte, n int) string {
		return string([]byte{kind, 3, 3, byte(n >> 8), byte(n)}) + strings.Repeat("x", n)
	}
	for _, tt := range []struct {
		stream string
		alert  bool
	}{
		{record(22, 300) + record(recordData, 1000), false},
		{record(recordData, 1000) + record(recordAlert, 2), true},
		{record(recordData, 1000) + record(recordData, alertLength), true},
		{record(recordData, alertLength) + record(recordData, 20), false},
		{record(recordAlert, 2) + "\x17\x03", false}, // another has begun
		{record(20, 0) + record(recordData, 18), false},
		{"", false},
	} {
		for seed := range uint64(50) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			var r tlsRecords
			for rest := tt.stream; rest != ""; {
				n := 1 + rnd.IntN(len(rest))
				r.pass([]byte(rest[:n]))
				rest = rest[n:]
			}
			if r.alert() != tt.alert {
				t.Errorf("%q: alert %v", tt.stream, r.alert())
			}
		}
	}
	// A reader that asks how much to read never reaches into the next record.
	var r tlsRecords
	rest := record(22, 100) + record(20, 0) + record(22, 5)
	var sizes []int
	for rest != "" {
		n := r.want(50)
		r.pass([]byte(rest[:n]))
		rest = rest[n:]
		sizes = append(sizes, n)
	}
	want := []int{5, 50, 50, 5, 5, 5}
	for i := range want {
		if i >= len(sizes) || sizes[i] != want[i] {
			t.Fatalf("read %v, want %v", sizes, want)
		}
	}
}

// A callback of the operator's that panics ends its connection, not the process.
func TestPanickingCertificateCallback(t *testing.T) {
	broken := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { panic("no certificate today") }}
	s := startWire(t, func(_ *wireServer, _ *Config, lc *ListenConfig) { lc.TLS = broken })
	for range 2 {
		nc, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			nc.Close()
			t.Fatal("the handshake succeeded")
		}
	}
	waitFor(t, "note of each panic", func() bool { return s.noted(KindNote, "no certificate today") == 2 })
}

// go-smtp would go on in clear text.
func TestFailedSTARTTLS(t *testing.T) {
	serverTLS, _ := tlsPair(t)
	s := startWire(t, func(s *wireServer, _ *Config, _ *ListenConfig) { s.TLSConfig = serverTLS })
	c := dialWire(t, s)
	c.hello()
	c.do("STARTTLS", "220 ")
	c.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n")
	rest, err := io.ReadAll(c.r)
	if err != nil || strings.Contains(string(rest), "250 ") || strings.Contains(string(rest), "550 ") {
		t.Errorf("the server said %q, %v; want no word in clear text", rest, err)
	}
	if n := len(s.recipients()); n > 0 {
		t.Errorf("%d recipients were taken", n)
	}
	if n := s.noted(KindNote, "handshake"); n != 1 {
		t.Errorf("%d notes, want 1", n)
	}
}

// What is sent in clear text along with STARTTLS is refused with it.
func TestSTARTTLSInjection(t *testing.T) {
	serverTLS, _ := tlsPair(t)
	s := startWire(t, func(s *wireServer, _ *Config, _ *ListenConfig) { s.TLSConfig = serverTLS })
	c := dialWire(t, s)
	c.hello()
	c.send("STARTTLS\r\nRSET\r\n")
	c.expect(refusePipelining)
	c.expectEnd()
}

var tlsVersions = []struct {
	name    string
	version uint16
}{{"clear", 0}, {"TLS 1.2", tls.VersionTLS12}, {"TLS 1.3", tls.VersionTLS13}}

// secured is a client that is about to send content over the given version.
func secured(t *testing.T, version uint16) (*wireServer, *wireClient) {
	t.Helper()
	serverTLS, clientTLS := tlsPair(t)
	s := startWire(t, func(s *wireServer, _ *Config, _ *ListenConfig) { s.TLSConfig = serverTLS })
	c := dialWire(t, s)
	c.hello()
	if version != 0 {
		clientTLS.MinVersion, clientTLS.MaxVersion = version, version
		c = c.startTLS(clientTLS)
		c.do("EHLO client.example", "250 ")
	}
	c.do("MAIL FROM:<a@example.com>", "250 ")
	c.do("RCPT TO:<b@example.org>", "250 ")
	return s, c
}

// go-smtp takes the end of the connection for the end of the chunk.
func TestTruncatedBDAT(t *testing.T) {
	for _, tt := range tlsVersions {
		t.Run(tt.name, func(t *testing.T) {
			s, c := secured(t, tt.version)
			c.send("BDAT 100 LAST\r\nhalf of it")
			// The end of TCP itself too, or the server would wait for more.
			if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			c.expect("554 5.6.0")
			if got := s.received(); len(got) > 0 {
				t.Errorf("%q was taken", got)
			}
		})
	}
}

// Octets of the size of a TLS 1.3 alert are looked at, and not lost when they
// come after the reply.
func TestWholeBDAT(t *testing.T) {
	for _, tt := range tlsVersions {
		t.Run(tt.name, func(t *testing.T) {
			s, c := secured(t, tt.version)
			c.send("BDAT 12 LAST\r\nall of it.")
			c.send("\r\n") // a record of 19 octets
			c.expect("250 ")
			c.do("NOOP", "250 ")
			if got := s.received(); len(got) != 1 || got[0] != "all of it.\r\n" {
				t.Errorf("received %q", got)
			}
		})
	}
}

// The probe takes an octet of a command that was pipelined in a record of the
// size of an alert: the message is no worse for it, and the connection ends.
func TestProbeTakesCommand(t *testing.T) {
	serverTLS, clientTLS := tlsPair(t)
	s := startWire(t, func(s *wireServer, _ *Config, _ *ListenConfig) { s.TLSConfig = serverTLS })
	c := dialWire(t, s)
	held := &holding{Conn: c.Conn}
	c.Conn = held
	c.hello()
	clientTLS.MinVersion = tls.VersionTLS13
	c = c.startTLS(clientTLS)
	c.do("EHLO client.example", "250 ")
	c.do("MAIL FROM:<a@example.com>", "250 ")
	c.do("RCPT TO:<b@example.org>", "250 ")
	held.hold = true
	c.send("BDAT 10 LAST\r\nall of it.")
	held.hold = false
	c.send("NO") // in the same segment
	c.expect("250 ")
	c.expectEnd()
	if got := s.received(); len(got) != 1 || got[0] != "all of it." {
		t.Errorf("received %q", got)
	}
}

// Data that came along with the client's Finished is not swallowed: early talk
// under implicit TLS.
func TestEarlyTalkTLS(t *testing.T) {
	for _, tt := range tlsVersions[1:] {
		for _, allow := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				serverTLS, clientTLS := tlsPair(t)
				clientTLS.MinVersion, clientTLS.MaxVersion = tt.version, tt.version
				s := startWire(t, func(_ *wireServer, _ *Config, lc *ListenConfig) {
					lc.TLS, lc.Wait, lc.AllowEarlyTalk = serverTLS, 200*time.Millisecond, allow
				})
				nc, err := net.Dial("tcp", s.addr)
				if err != nil {
					t.Fatal(err)
				}
				// The Finished of TLS 1.3 waits for what follows it.
				held := &holding{Conn: nc}
				if tt.version == tls.VersionTLS13 {
					clientTLS.VerifyConnection = func(tls.ConnectionState) error {
						held.hold = true
						return nil
					}
				}
				tc := tls.Client(held, clientTLS)
				if err := tc.Handshake(); err != nil {
					t.Fatal(err)
				}
				held.hold = false
				c := newWireClient(t, tc)
				c.send("EHLO client.example\r\n")
				if allow {
					c.expect("220 ", "250 ")
					c.do("NOOP", "250 ")
				} else {
					c.expect(refuseEarly)
					c.expectEnd()
				}
				if n := s.noted(KindNote, "before the greeting"); n != 1 {
					t.Errorf("%d notes, want 1", n)
				}
			})
		}
	}
}

// holding keeps writes back while hold is set.
type holding struct {
	net.Conn
	hold bool
	held []byte
}

func (h *holding) Write(p []byte) (int, error) {
	h.held = append(h.held, p...)
	if h.hold {
		return len(p), nil
	}
	_, err := h.Conn.Write(h.held)
	h.held = nil
	return len(p), err
}

// A client that is silent under TLS gets its banner, and a TLS goodbye is no
// talk.
func TestSilentTLS(t *testing.T) {
	serverTLS, clientTLS := tlsPair(t)
	s := startWire(t, func(_ *wireServer, _ *Config, lc *ListenConfig) {
		lc.TLS, lc.Wait = serverTLS, 20*time.Millisecond
	})
	for _, v := range tlsVersions[1:] {
		clientTLS.MinVersion, clientTLS.MaxVersion = v.version, v.version
		nc, err := tls.Dial("tcp", s.addr, clientTLS)
		if err != nil {
			t.Fatal(err)
		}
		c := newWireClient(t, nc)
		c.hello()
		c.do("QUIT", "221 ")
		c.expectEnd()
		gone, err := tls.Dial("tcp", s.addr, clientTLS)
		if err != nil {
			t.Fatal(err)
		}
		gone.CloseWrite()
		io.Copy(io.Discard, bufio.NewReader(gone)) // until the server has noticed
		gone.Close()
	}
	if n := s.noted(KindNote, ""); n != 0 {
		t.Errorf("%d notes, want none: %v", n, s.events)
	}
}
