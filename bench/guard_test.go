package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/smtpguard/smtpguard"
)

// sizes are those of the messages.
var sizes = []struct {
	name   string
	octets int
}{{"4K", 4 << 10}, {"100K", 100 << 10}}

// content is a message of about n octets, dot-stuffed and ended.
func content(n int) []byte {
	var b bytes.Buffer
	b.WriteString("From: a@client.example\r\nTo: b@example.org\r\nSubject: bench\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n" +
		"Message-ID: <1@client.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n")
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%06d The quick brown fox jumps over the lazy dog, and then does so again.\r\n", i)
	}
	b.WriteString(".\r\n")
	return b.Bytes()
}

// client is one end of a connection in memory. It waits for each reply, as a
// client has to, and costs next to nothing itself: what it sends lies ready.
type client struct {
	net.Conn
	r *bufio.Reader
}

// want reads a reply.
func (c *client) want(code string) {
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil || string(line[:3]) != code {
			panic(fmt.Sprintf("got %q, %v, want %s", line, err, code))
		}
		if line[3] == ' ' {
			return
		}
	}
}

func (c *client) say(line, code string) {
	io.WriteString(c, line)
	c.want(code)
}

// session delivers messages, one after another.
func (c *client) session(messages int, body []byte) {
	c.want("220")
	c.say("EHLO client.example\r\n", "250")
	for range messages {
		c.say("MAIL FROM:<a@client.example>\r\n", "250")
		c.say("RCPT TO:<b@example.org>\r\n", "250")
		c.say("DATA\r\n", "354")
		c.Write(body)
		c.want("250")
	}
	c.say("QUIT\r\n", "221")
	c.Close()
}

// end is the server's end: it has an address.
type end struct{ net.Conn }

func (end) LocalAddr() net.Addr  { return peer }
func (end) RemoteAddr() net.Addr { return peer }

var peer = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 40000}

// memory is a listener of connections in memory.
type memory chan net.Conn

func (m memory) Accept() (net.Conn, error) {
	if c, ok := <-m; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (m memory) Close() error   { return nil }
func (m memory) Addr() net.Addr { return peer }

type discard struct{}

func (discard) NewSession(*smtp.Conn) (smtp.Session, error) { return discard{}, nil }
func (discard) Reset()                                      {}
func (discard) Logout() error                               { return nil }
func (discard) Mail(string, *smtp.MailOptions) error        { return nil }
func (discard) Rcpt(string, *smtp.RcptOptions) error        { return nil }
func (discard) Data(r io.Reader) error                      { _, err := io.Copy(io.Discard, r); return err }

// plain is a go-smtp server that discards what it gets.
func plain() *smtp.Server {
	s := smtp.NewServer(discard{})
	s.Domain = "mx.example.org"
	s.ErrorLog = log.New(io.Discard, "", 0)
	s.ReadTimeout, s.WriteTimeout, s.MaxLineLength, s.MaxMessageBytes = time.Minute, time.Minute, 12288, 32<<20
	return s
}

// guard serves ln by the same server behind a guard.
func guard(tb testing.TB, ln net.Listener, cfg smtpguard.ListenConfig, checks ...smtpguard.Check) {
	tb.Helper()
	g, err := smtpguard.New(smtpguard.Config{}, checks...)
	if err != nil {
		tb.Fatal(err)
	}
	s := plain()
	s.Backend = g.Wrap(s.Backend)
	if err := smtpguard.Harden(s); err != nil {
		tb.Fatal(err)
	}
	l, err := g.Listen(s, ln, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	go l.Serve()
}

func server(tb testing.TB, guarded bool) memory {
	tb.Helper()
	ln := make(memory)
	if guarded {
		guard(tb, ln, smtpguard.ListenConfig{})
	} else {
		go plain().Serve(ln)
	}
	tb.Cleanup(func() { close(ln) })
	return ln
}

// deliver makes n sessions, one after another, of as many messages each.
func (m memory) deliver(n, messages int, body []byte) {
	for range n {
		a, b := net.Pipe()
		m <- end{b}
		c := &client{a, bufio.NewReaderSize(a, 512)}
		c.session(messages, body)
	}
}

// BenchmarkGuard is a guard without checks beside bare go-smtp: a new session
// a message, and a session of a hundred.
func BenchmarkGuard(b *testing.B) {
	for _, size := range sizes {
		body := content(size.octets)
		for _, who := range []string{"go-smtp", "smtpguard"} {
			b.Run(size.name+"/"+who, func(b *testing.B) {
				ln := server(b, who == "smtpguard")
				b.ReportAllocs()
				b.SetBytes(int64(len(body)))
				b.ResetTimer()
				ln.deliver(b.N, 1, body)
			})
		}
		for _, who := range []string{"go-smtp", "smtpguard"} {
			b.Run(size.name+"-stream/"+who, func(b *testing.B) {
				ln := server(b, who == "smtpguard")
				b.ReportAllocs()
				b.SetBytes(int64(len(body)))
				b.ResetTimer()
				for left := b.N; left > 0; left -= 100 {
					ln.deliver(1, min(left, 100), body)
				}
			})
		}
		// Machines are shared and noisy: many short pairs, side by side, say more
		// than two long runs.
		b.Run(size.name+"-pairs/smtpguard", func(b *testing.B) {
			bare, guarded := server(b, false), server(b, true)
			n := max(1, (2<<20)/len(body))
			var rates, cpus []float64
			for range max(b.N, 1) {
				t0, c0 := measure(func() { bare.deliver(n, 1, body) })
				t1, c1 := measure(func() { guarded.deliver(n, 1, body) })
				rates = append(rates, t0.Seconds()/t1.Seconds())
				cpus = append(cpus, c1.Seconds()/c0.Seconds())
			}
			b.ReportMetric(median(rates), "rate/bare")
			b.ReportMetric(median(cpus), "cpu/bare")
		})
	}
}

// measure returns the time f takes, on the clock and of the processor.
func measure(f func()) (clock, cpu time.Duration) {
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	start := time.Now()
	f()
	clock = time.Since(start)
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	used := func(r *syscall.Rusage) time.Duration { return time.Duration(r.Utime.Nano() + r.Stime.Nano()) }
	return clock, used(&after) - used(&before)
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
