package smtpguard

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener in memory, so that a server runs on the bubble's clock.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { close(p.done); return nil }

func (p *pipes) Addr() net.Addr { return unknownAddr{} }

func (p *pipes) dial(t *testing.T) *wireClient {
	client, server := net.Pipe()
	p.conns <- server
	c := newWireClient(t, client)
	c.SetDeadline(time.Time{}) // the bubble's clock leaps
	return c
}

// inTime runs f with a server on the bubble's clock.
func inTime(t *testing.T, f func(*testing.T, *wireServer, *wireClient), opts ...wireOption) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		s := startWireOn(t, ln, opts...)
		f(t, s, ln.dial(t))
	})
}

// body opens a transaction up to its content.
func (c *wireClient) body() {
	c.t.Helper()
	c.hello()
	c.do("MAIL FROM:<a@example.com>", "250 ")
	c.do("RCPT TO:<b@example.org>", "250 ")
	c.do("DATA", "354 ")
}

// within wants d to be from least to most.
func within(t *testing.T, what string, d, least, most time.Duration) {
	t.Helper()
	if d < least || d > most {
		t.Errorf("%s after %v, want from %v to %v", what, d, least, most)
	}
}

// After a timeout amid the content the rest of it is never read as commands.
func TestBodyTimeout(t *testing.T) {
	inTime(t, func(t *testing.T, s *wireServer, c *wireClient) {
		c.body()
		c.send("half of\r\n")
		start := time.Now()
		c.expect("554 ", "421 ")
		within(t, "timeout", time.Since(start), 7*time.Minute*3/8, 3*time.Minute)
		if _, err := io.WriteString(c, "RSET\r\nMAIL FROM:<smuggled@example.com>\r\n"); err == nil {
			t.Error("the server reads on")
		}
		c.expectEnd()
	})
}

// A read error stays, whatever deadline is set after it.
func TestReadErrorStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		g, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		l := &Listener{guard: g, cfg: ListenConfig{}.filled()}
		w := newWire(server, l)
		defer server.Close()
		buf := make([]byte, 100)
		w.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := w.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("Read: %v, want a timeout", err)
		}
		go client.Write([]byte("RSET\r\n"))
		for range 2 {
			w.SetReadDeadline(time.Now().Add(time.Hour))
			if n, err := w.Read(buf); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("Read: %d, %v, want the same timeout", n, err)
			}
		}
	})
}

// go-smtp's own deadline is for all of the content; ours moves along.
func TestBodyMayTakeLong(t *testing.T) {
	for _, bdat := range []bool{false, true} {
		inTime(t, func(t *testing.T, s *wireServer, c *wireClient) {
			line := strings.Repeat("x", 198) + "\r\n"
			c.hello()
			c.do("MAIL FROM:<a@example.com>", "250 ")
			c.do("RCPT TO:<b@example.org>", "250 ")
			if bdat {
				for range 10 { // between chunks too
					c.do("BDAT 200\r\n"+strings.TrimSuffix(line, "\r\n"), "250 ")
					time.Sleep(2 * time.Minute)
				}
				c.do("BDAT 2 LAST\r\n", "250 ")
			} else {
				c.do("DATA", "354 ")
				for range 10 {
					c.send(line)
					time.Sleep(2 * time.Minute)
				}
				c.do(".", "250 ")
			}
			if got := s.received(); len(got) != 1 || len(got[0]) < 2000 {
				t.Errorf("received %q", got)
			}
			// Afterwards command lines have go-smtp's timeout again.
			start := time.Now()
			c.expect("421 ")
			within(t, "timeout", time.Since(start), 5*time.Minute, 5*time.Minute)
		}, func(_ *wireServer, _ *Config, lc *ListenConfig) { lc.MinRate = 1 })
	}
}

// At 50 octets a second of the 100 that are due, the grace of three minutes
// lasts for six.
func TestMinRate(t *testing.T) {
	inTime(t, func(t *testing.T, s *wireServer, c *wireClient) {
		c.body()
		start := time.Now()
		end := make(chan string)
		go func() {
			said, _ := io.ReadAll(c.r)
			end <- string(said)
		}()
		for time.Since(start) < 10*time.Minute {
			if _, err := io.WriteString(c, strings.Repeat("x", 48)+"\r\n"); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		within(t, "end", time.Since(start), 5*time.Minute, 6*time.Minute+time.Second)
		if said := <-end; !strings.HasPrefix(said, "554 ") || len(s.received()) > 0 {
			t.Errorf("the server said %q and took %d messages", said, len(s.received()))
		}
	})
}

// A shorter patience counts at once, for the wait under way too, and is lifted
// for the ones to come.
func TestPatience(t *testing.T) {
	var conn *Conn
	know := func(s *wireServer, _ *Config, _ *ListenConfig) {
		s.checks = append(s.checks, Check{Name: "know", Connect: func(_ context.Context, c *Conn) (Verdict, error) {
			conn = c
			return Verdict{}, nil
		}})
	}
	t.Run("command", func(t *testing.T) {
		inTime(t, func(t *testing.T, s *wireServer, c *wireClient) {
			c.hello()
			synctest.Wait()
			start := time.Now()
			conn.SetPatience(10 * time.Second)
			c.expect("421 ")
			within(t, "end", time.Since(start), 10*time.Second, 10*time.Second)
		}, know)
	})
	t.Run("content", func(t *testing.T) {
		inTime(t, func(t *testing.T, s *wireServer, c *wireClient) {
			c.body()
			conn.SetPatience(10 * time.Second)
			for range 5 {
				c.send("x\r\n")
				time.Sleep(5 * time.Second)
			}
			start := time.Now()
			c.expect("554 ", "421 ")
			within(t, "end", time.Since(start), 0, 5*time.Second)
		}, know)
	})
	t.Run("lifted", func(t *testing.T) {
		inTime(t, func(t *testing.T, s *wireServer, c *wireClient) {
			c.hello()
			synctest.Wait()
			conn.SetPatience(10 * time.Second)
			conn.SetPatience(0)
			time.Sleep(5 * time.Second)
			c.do("NOOP", "250 ")
			start := time.Now()
			c.expect("421 ")
			within(t, "end", time.Since(start), 5*time.Minute, 5*time.Minute)
		}, know)
	})
}

func TestLifetime(t *testing.T) {
	inTime(t, func(t *testing.T, s *wireServer, c *wireClient) {
		start := time.Now()
		c.hello()
		for {
			c.send("NOOP\r\n")
			line, err := c.reply()
			if err != nil || strings.HasPrefix(line, "421 ") {
				break
			}
			synctest.Wait() // the next command comes while the server waits
			time.Sleep(time.Minute)
			if time.Since(start) >= 10*time.Minute {
				c.expect("421 ")
				break
			}
		}
		within(t, "end", time.Since(start), 10*time.Minute, 10*time.Minute)
		c.expectEnd()
	}, func(_ *wireServer, _ *Config, lc *ListenConfig) { lc.Lifetime = 10 * time.Minute })
}

func TestSTARTTLSHandshakeTimeout(t *testing.T) {
	serverTLS, _ := tlsPair(t)
	inTime(t, func(t *testing.T, s *wireServer, c *wireClient) {
		c.hello()
		c.do("STARTTLS", "220 ")
		start := time.Now()
		c.expectEnd()
		within(t, "end", time.Since(start), 30*time.Second, 30*time.Second)
	}, func(s *wireServer, _ *Config, _ *ListenConfig) { s.TLSConfig = serverTLS })
}

func TestImplicitTLSHandshakeTimeout(t *testing.T) {
	serverTLS, _ := tlsPair(t)
	inTime(t, func(t *testing.T, s *wireServer, c *wireClient) {
		start := time.Now()
		c.expectEnd()
		within(t, "end", time.Since(start), 30*time.Second, 30*time.Second)
	}, func(_ *wireServer, _ *Config, lc *ListenConfig) { lc.TLS = serverTLS })
}

// Replies without purpose slow down at half the budget: each of the last 20 by
// a second.
func TestSlowReplies(t *testing.T) {
	inTime(t, func(t *testing.T, s *wireServer, c *wireClient) {
		c.hello() // two
		start := time.Now()
		for range 18 {
			c.do("NOOP", "250 ")
		}
		within(t, "18 replies", time.Since(start), 0, 0)
		for range 20 {
			c.do("RSET", "250 ")
		}
		within(t, "20 more", time.Since(start), 20*time.Second, 20*time.Second)
		c.do("NOOP", "250 ")
		c.expect("421 4.7.0 Too many commands")
		c.expectEnd()
	}, func(_ *wireServer, cfg *Config, _ *ListenConfig) {
		cfg.Limits.Idle, cfg.Limits.Slow = 40, time.Second
	})
}

// A delayed reply does not hold up a shutdown.
func TestSlowReplyEndsWithConnection(t *testing.T) {
	inTime(t, func(t *testing.T, s *wireServer, c *wireClient) {
		c.hello()
		for range 19 {
			c.send("NOOP\r\n")
			if _, err := c.reply(); err != nil {
				t.Fatal(err)
			}
		}
		c.send("NOOP\r\n")
		synctest.Wait()
		start := time.Now()
		s.Server.Close()
		s.listener.Close()
		<-s.listener.empty
		within(t, "end", time.Since(start), 0, 0)
	}, func(_ *wireServer, cfg *Config, _ *ListenConfig) {
		cfg.Limits.Idle, cfg.Limits.Slow = 40, time.Minute
	})
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		startWireOn(t, ln, func(_ *wireServer, _ *Config, lc *ListenConfig) { lc.Wait = 10 * time.Second })
		start := time.Now()
		a, b := ln.dial(t), ln.dial(t) // side by side
		b.hello()
		a.hello()
		within(t, "banner", time.Since(start), 10*time.Second, 10*time.Second+2*glance)
		a.do("QUIT", "221 ")
	})
}

// The Data of a BDAT transfer that was aborted may begin and end beside the
// content of the message after it.
func TestAbortedBDATBesideContent(t *testing.T) {
	server, client := net.Pipe()
	defer server.Close()
	defer client.Close()
	w := &wire{Conn: server, listener: &Listener{cfg: ListenConfig{}.filled()}}
	for name, steps := range map[string][]func(){
		"began before": {func() { w.enterBody(true) }, func() { w.enterBody(false) }, w.leaveBody},
		"begins late":  {func() { w.enterBody(false) }, func() { w.enterBody(true) }, w.leaveBody},
	} {
		for _, f := range steps {
			f()
		}
		if w.deadlines.mode != dataBody {
			t.Errorf("%s: the deadline moves no more with the content", name)
		}
		w.SetReadDeadline(time.Now())
		if w.deadlines.mode != noBody || w.deadlines.bdats != 0 {
			t.Errorf("%s: mode %d after it, %d transfers", name, w.deadlines.mode, w.deadlines.bdats)
		}
	}
}
