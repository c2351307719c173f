package bench

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard"
	"github.com/smtpguard/smtpguard/auth"
)

const (
	guessers = 200
	mailers  = 10
	window   = 2 * time.Second
)

// logins serves a submission service without TLS, whose handshakes are not the
// matter here. ann's password is hashed as new ones are: argon2id, 19 MiB.
func logins(b *testing.B) (memory, *auth.File) {
	b.Helper()
	hash, err := auth.NewHash(auth.Argon2id, "secret")
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "passwords")
	if err := os.WriteFile(path, []byte("ann@example.org:"+hash.String()+"\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	store, err := auth.OpenFile(auth.FileConfig{Path: path})
	if err != nil {
		b.Fatal(err)
	}
	a, err := auth.New(auth.Config{Store: store, Listeners: []string{"*"}, Insecure: true, Gate: auth.Gate{Slots: runtime.NumCPU()}})
	if err != nil {
		b.Fatal(err)
	}
	g, err := smtpguard.New(smtpguard.Config{Limits: smtpguard.Limits{Slow: -1}})
	if err != nil {
		b.Fatal(err)
	}
	s := plain()
	s.AllowInsecureAuth = true
	s.Backend = g.Wrap(a.Wrap(s.Backend))
	if err := smtpguard.Harden(s); err != nil {
		b.Fatal(err)
	}
	ln := make(memory)
	l, err := g.Listen(s, ln, smtpguard.ListenConfig{})
	if err != nil {
		b.Fatal(err)
	}
	go l.Serve()
	b.Cleanup(func() { close(ln); store.Close() })
	return ln, store
}

// flood is clients that guess passwords while it is on.
type flood struct {
	ln      memory
	mu      sync.Mutex
	on      *sync.Cond
	flowing bool
	over    bool
	busy    atomic.Int64
	all     sync.WaitGroup
}

func newFlood(ln memory, n int) *flood {
	f := &flood{ln: ln}
	f.on = sync.NewCond(&f.mu)
	for range n {
		f.all.Go(f.guess)
	}
	return f
}

// set begins or ends the flood. It returns when that has come about.
func (f *flood) set(on bool) {
	f.mu.Lock()
	f.flowing = on
	f.on.Broadcast()
	f.mu.Unlock()
	for want := on; (f.busy.Load() > 0) != want; {
		time.Sleep(time.Millisecond)
	}
}

func (f *flood) wait() (goOn bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.flowing && !f.over {
		f.on.Wait()
	}
	return !f.over
}

func (f *flood) end() {
	f.mu.Lock()
	f.over = true
	f.on.Broadcast()
	f.mu.Unlock()
	f.all.Wait()
}

// guess tries one password after another, on a new connection when the old one
// is closed.
func (f *flood) guess() {
	var c *client
	for n := 0; f.wait(); n++ {
		f.busy.Add(1)
		if c == nil {
			x, y := net.Pipe()
			f.ln <- end{y}
			c = &client{x, bufio.NewReaderSize(x, 512)}
			c.want("220")
			c.say("EHLO guesser.example\r\n", "250")
		}
		message := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "\x00ann@example.org\x00guess-%d", n))
		fmt.Fprintf(c, "AUTH PLAIN %s\r\n", message)
		if line, err := c.r.ReadString('\n'); err != nil || strings.HasPrefix(line, "421") {
			c.Close()
			c = nil
		}
		f.busy.Add(-1)
	}
	if c != nil {
		c.Close()
	}
}

// deliveries are what the mailers did in one window.
type deliveries struct {
	second, cpu float64 // messages a second, on the clock and of the processor
}

func mail(ln memory, body []byte) (d deliveries) {
	var sent atomic.Int64
	clock, cpu := measure(func() {
		var all sync.WaitGroup
		start := time.Now()
		for range mailers {
			all.Go(func() {
				for time.Since(start) < window {
					ln.deliver(1, 1, body)
					sent.Add(1)
				}
			})
		}
		all.Wait()
	})
	n := float64(sent.Load())
	return deliveries{n / clock.Seconds(), n / cpu.Seconds()}
}

// BenchmarkAuth is what mail is left with while 200 clients guess passwords, and
// what memory that takes. Its windows are side by side: calm, flood, calm. ratio
// compares messages a second, ratio-cpu messages a second of our processor time,
// which other programs on the machine disturb less. live-MiB is by how much the heap
// grows that is in use.
func BenchmarkAuth(b *testing.B) {
	b.Run("flood-argon2id/smtpguard", func(b *testing.B) {
		ln, store := logins(b)
		body := content(4 << 10)
		f := newFlood(ln, guessers)
		defer f.end()
		mail(ln, body)
		var ratios, cpus, guesses, grown []float64
		for range max(b.N, 1) {
			before := mail(ln, body)
			f.set(true)
			derived, start := store.Derivations(), time.Now()
			during := mail(ln, body)
			guesses = append(guesses, float64(store.Derivations()-derived)/time.Since(start).Seconds())
			most := live(time.Second)
			f.set(false)
			grown = append(grown, most-live(0))
			after := mail(ln, body)
			ratios = append(ratios, 2*during.second/(before.second+after.second))
			cpus = append(cpus, 2*during.cpu/(before.cpu+after.cpu))
		}
		b.ReportMetric(median(ratios), "ratio")
		b.ReportMetric(median(cpus), "ratio-cpu")
		b.ReportMetric(median(guesses), "guesses/s")
		b.ReportMetric(median(grown), "live-MiB")
	})
}

// live is how many MiB of the heap are in use at most in a time, garbage aside.
func live(d time.Duration) float64 {
	var most uint64
	for end := time.Now().Add(d); ; {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapAlloc)
		if time.Now().After(end) {
			return float64(most) / (1 << 20)
		}
	}
}
