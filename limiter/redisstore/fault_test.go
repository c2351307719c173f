package redisstore

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/smtpguard/smtpguard/limiter"
)

// TestMain is also the program of the machines in TestFaults.
func TestMain(m *testing.M) {
	if addr := os.Getenv("SMTPGUARD_TEST_REDIS"); addr != "" {
		if err := machine(addr); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const (
	machines     = 4
	faultTimeout = 100 * time.Millisecond
	faultBurst   = 2000
	faultLost    = 3 * 8 * machines // Takes under way in the round trips that fail
)

// faultLimit regains next to nothing while a test lasts.
var faultLimit = limiter.Limit{N: 60, Per: time.Hour, Burst: faultBurst}

// report is what a machine has seen.
type report struct {
	Admitted, Refused, Failed int64
	Slowest                   time.Duration
}

// machine is one of several processes that all take from one key as fast as they
// are let, from eight goroutines. It writes a line for each change of the server,
// and when its standard input ends its report.
func machine(addr string) error {
	var lines sync.Mutex
	say := func(line string) {
		lines.Lock()
		defer lines.Unlock()
		fmt.Println(line)
	}
	s, err := New(Config{
		Redis: redis.UniversalOptions{Addrs: []string{addr}}, Timeout: faultTimeout, Probe: 50 * time.Millisecond, Away: Local, Machines: machines,
		Observe: func(ev Event) {
			if ev.Kind == KindAway || ev.Kind == KindBack {
				say(string(ev.Kind))
			}
		},
	})
	if err != nil {
		return err
	}
	defer s.Close()
	var admitted, refused, failed, slowest atomic.Int64
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				begin := time.Now()
				states, err := s.Take(context.Background(), []limiter.Ask{{Key: "hot", Limit: faultLimit, N: 1}})
				took := int64(time.Since(begin))
				for old := slowest.Load(); took > old && !slowest.CompareAndSwap(old, took); old = slowest.Load() {
				}
				switch {
				case err != nil:
					failed.Add(1)
				case states[0].OK:
					admitted.Add(1)
				default:
					refused.Add(1)
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	say("ready")
	io.Copy(io.Discard, os.Stdin)
	stop()
	wg.Wait()
	return json.NewEncoder(os.Stdout).Encode(report{admitted.Load(), refused.Load(), failed.Load(), time.Duration(slowest.Load())})
}

// fleet are the machines of a test.
type fleet struct {
	t       *testing.T
	began   time.Time
	in      []io.Closer
	out     []*bufio.Reader
	running []*exec.Cmd
}

func startFleet(t *testing.T, srv *server) *fleet {
	t.Helper()
	f := &fleet{t: t, began: time.Now()}
	for range machines {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), "SMTPGUARD_TEST_REDIS="+srv.addr)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill() })
		f.in, f.out, f.running = append(f.in, in), append(f.out, bufio.NewReader(out)), append(f.running, cmd)
	}
	f.all("ready")
	return f
}

// all waits until each machine has said line, whatever else it says.
func (f *fleet) all(line string) {
	f.t.Helper()
	for i, out := range f.out {
		watch := time.AfterFunc(slow, func() { f.running[i].Process.Kill() })
		for {
			got, err := out.ReadString('\n')
			if err != nil {
				f.t.Fatalf("machine %d ended before it said %s: %s", i, line, got)
			}
			if got == line+"\n" {
				break
			}
		}
		watch.Stop()
	}
}

// end ends the machines and sums up what they have seen.
func (f *fleet) end() (sum report) {
	f.t.Helper()
	for i := range f.running {
		f.in[i].Close()
		var r report
		for {
			line, err := f.out[i].ReadBytes('\n')
			if err != nil {
				f.t.Fatalf("machine %d: no report: %v", i, err)
			}
			if line[0] == '{' {
				if err := json.Unmarshal(line, &r); err != nil {
					f.t.Fatal(err)
				}
				break
			}
		}
		if err := f.running[i].Wait(); err != nil {
			f.t.Errorf("machine %d: %v", i, err)
		}
		f.t.Logf("machine %d: %+v", i, r)
		sum.Admitted += r.Admitted
		sum.Refused += r.Refused
		sum.Failed += r.Failed
		sum.Slowest = max(sum.Slowest, r.Slowest)
	}
	return sum
}

// TestFaults has four machines go on while the server is killed, stalls and is
// restarted. What they admit together stays within the bound that the package
// comment states, and no Take lasts.
func TestFaults(t *testing.T) {
	t.Parallel()
	spent := func(srv *server, part int) func() bool { // part of what the server gives, in hundredths
		s := srv.store(Config{Timeout: slow})
		return func() bool { return takeOne(t, s, "hot", faultLimit, 0).Left <= faultBurst*(100-part)/100 }
	}
	for _, tt := range []struct {
		name    string
		args    []string
		fault   func(*fleet, *server)
		forgets int // times that the server forgets
		lost    int // Takes that may have been given up and be spent nevertheless
	}{
		{"killed and started empty", nil, func(f *fleet, srv *server) {
			srv.kill()
			f.all("away")
			time.Sleep(time.Second) // for the machines to spend their shares
			srv.start()
			f.all("back")
		}, 1, 1},
		{"killed and started with its data", []string{"--appendonly", "yes", "--appendfsync", "no"}, func(f *fleet, srv *server) {
			srv.kill()
			f.all("away")
			time.Sleep(time.Second)
			srv.start()
			f.all("back")
		}, 0, 1},
		{"stalled", nil, func(f *fleet, srv *server) {
			srv.stall()
			f.all("away")
			time.Sleep(time.Second)
			srv.goOn()
			f.all("back")
		}, 0, 1},
		{"all of them", nil, func(f *fleet, srv *server) {
			for range 2 {
				srv.stall()
				f.all("away")
				srv.goOn()
				f.all("back")
			}
			srv.kill()
			f.all("away")
			time.Sleep(time.Second)
			srv.start()
			f.all("back")
			srv.stall()
			f.all("away")
			srv.goOn()
			f.all("back")
		}, 1, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := start(t, tt.args...)
			f := startFleet(t, srv)
			waitUntil(t, "half of the bucket is spent", spent(srv, 50))
			tt.fault(f, srv)
			waitUntil(t, "the bucket is spent", spent(srv, 100))
			time.Sleep(200 * time.Millisecond) // and refuses
			got := f.end()

			// The server's bucket, the machines' own, and the server's again whenever it
			// forgets: half of it had been spent then.
			regained := int(time.Since(f.began)/time.Minute) + 1
			bound := 2*(faultBurst+regained) + tt.forgets*faultBurst
			least := 2*faultBurst + tt.forgets*faultBurst/2 - tt.lost*faultLost
			t.Logf("admitted %d, at least %d and at most %d; the slowest Take took %v", got.Admitted, least, bound, got.Slowest)
			if int(got.Admitted) > bound || int(got.Admitted) < least {
				t.Errorf("admitted %d, want %d to %d", got.Admitted, least, bound)
			}
			if got.Failed != 0 {
				t.Errorf("%d Takes failed", got.Failed)
			}
			if got.Slowest > 20*time.Second {
				t.Errorf("a Take took %v", got.Slowest)
			}
		})
	}
}
