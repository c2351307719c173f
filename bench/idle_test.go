package bench

import (
	"bufio"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard"
)

// idlers is how many connections BenchmarkIdle holds open.
const idlers = 2000

// BenchmarkIdle tells what a connection costs that does nothing: after EHLO,
// and while it waits for the banner. The client's socket, in the same process,
// is part of every figure; the case "socket" is that and the server's socket alone.
func BenchmarkIdle(b *testing.B) {
	run := func(name string, greeted bool, listen func(tb testing.TB, ln net.Listener)) {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				listen(b, ln)
				before := inUse()
				conns := make([]net.Conn, idlers)
				r := bufio.NewReaderSize(nil, 512)
				for i := range conns {
					if conns[i], err = net.Dial("tcp", ln.Addr().String()); err != nil {
						b.Fatal(err)
					}
					if greeted {
						r.Reset(conns[i])
						c := &client{conns[i], r}
						c.want("220")
						c.say("EHLO client.example\r\n", "250")
					}
				}
				time.Sleep(50 * time.Millisecond) // the last ones are being accepted
				b.ReportMetric(float64(inUse()-before)/idlers, "B/conn")
				for _, c := range conns {
					c.Close()
				}
				ln.Close()
			}
		})
	}
	run("socket/limit", false, func(tb testing.TB, ln net.Listener) {
		go func() {
			var held []net.Conn
			for {
				c, err := ln.Accept()
				if err != nil {
					for _, c := range held {
						c.Close()
					}
					return
				}
				held = append(held, c)
			}
		}()
	})
	run("after-EHLO/go-smtp", true, func(tb testing.TB, ln net.Listener) {
		go plain().Serve(ln)
	})
	run("after-EHLO/smtpguard", true, func(tb testing.TB, ln net.Listener) { guard(tb, ln, smtpguard.ListenConfig{}) })
	run("pre-greeting/smtpguard", false, func(tb testing.TB, ln net.Listener) {
		guard(tb, ln, smtpguard.ListenConfig{Wait: time.Minute})
	})
}

func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
