package ldapstore

import (
	"bytes"
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/auth"
)

// Without TLS that was asked for, no password is sent: not when the server
// refuses StartTLS, not when somebody answers what was not asked yet.
func TestNoTLSNoPassword(t *testing.T) {
	var (
		refused  = []byte{0x30, 0x0c, 0x02, 0x01, 0x01, 0x78, 0x07, 0x0a, 0x01, 0x02, 0x04, 0x00, 0x04, 0x00}
		accepted = []byte{0x30, 0x0c, 0x02, 0x01, 0x01, 0x78, 0x07, 0x0a, 0x01, 0x00, 0x04, 0x00, 0x04, 0x00}
		bound    = []byte{0x30, 0x0c, 0x02, 0x01, 0x02, 0x61, 0x07, 0x0a, 0x01, 0x00, 0x04, 0x00, 0x04, 0x00}
	)
	for name, answer := range map[string][]byte{
		"refused":              refused,
		"accepted, and no TLS": accepted,
		"answered beforehand":  append(bytes.Clone(accepted), bound...),
		"nothing":              nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var seen []byte
			url := serve(t, func(c net.Conn) {
				for b := make([]byte, 4096); ; {
					n, err := c.Read(b)
					if err != nil {
						return
					}
					mu.Lock()
					first := len(seen) == 0
					seen = append(seen, b[:n]...)
					mu.Unlock()
					if first {
						c.Write(answer)
					} else {
						c.Write(bound)
					}
				}
			})
			store, err := New(Config{URLs: []string{url}, StartTLS: true, DN: "uid={login},dc=example", Timeout: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			id, err := store.Verify(t.Context(), "ann", "correct horse")
			if id != nil || err == nil || errors.Is(err, auth.ErrCredentials) {
				t.Errorf("got %+v, %v", id, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(seen) == 0 || bytes.Contains(seen, []byte("correct horse")) || bytes.Contains(seen, []byte("uid=ann")) {
				t.Errorf("the server has seen %q", seen)
			}
		})
	}
}

// A silent server holds up nobody for longer than Timeout, however many wait for
// its connections, and nothing is left of them.
func TestNothingIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	url := serve(t, func(c net.Conn) {
		for b := make([]byte, 4096); ; {
			if _, err := c.Read(b); err != nil {
				return
			}
		}
	})
	store, err := New(Config{URLs: []string{url}, Insecure: true, DN: "uid={login},dc=example", Conns: 2, Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if id, err := store.Verify(t.Context(), "ann", "secret"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %+v, %v", id, err)
			}
		})
	}
	wg.Wait()
	store.Close()
	for begin := time.Now(); runtime.NumGoroutine() > before+1; time.Sleep(10 * time.Millisecond) { // one accepts
		if time.Since(begin) > 20*time.Second {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
		}
	}
}

// Who is in, and whose entry cannot be read then, is not refused: the password
// was right.
func TestOwnEntry(t *testing.T) {
	bound := []byte{0x30, 0x0c, 0x02, 0x01, 0x01, 0x61, 0x07, 0x0a, 0x01, 0x00, 0x04, 0x00, 0x04, 0x00}
	for name, second := range map[string][]byte{
		"no such object": {0x30, 0x0c, 0x02, 0x01, 0x02, 0x65, 0x07, 0x0a, 0x01, 0x20, 0x04, 0x00, 0x04, 0x00},
		"hangs up":       nil,
	} {
		url := serve(t, func(c net.Conn) {
			b := make([]byte, 4096)
			c.Read(b)
			c.Write(bound)
			c.Read(b)
			if second != nil {
				c.Write(second)
				c.Read(b)
			}
		})
		store, err := New(Config{URLs: []string{url}, Insecure: true, DN: "uid={login},dc=example", Senders: []string{"mail"}, Timeout: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if id, err := store.Verify(t.Context(), "ann", "secret"); id != nil || err == nil || errors.Is(err, auth.ErrCredentials) {
			t.Errorf("%s: got %+v, %v", name, id, err)
		}
		if n := len(store.binders.free); n != map[bool]int{true: 1}[second != nil] {
			t.Errorf("%s: %d connections are kept", name, n)
		}
		store.Close()
	}
}
