package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/internal/require"
)

// rspamd is one with nothing but its modules for SPF, DKIM, ARC and DMARC, and a
// worker for each of two processors.
type rspamd struct {
	socket string
	main   int // process
}

// rspamdConf has the place of the directory it runs in, and the port of DNS. Of
// public suffixes it has those of the messages: it would take half a minute to
// prepare all.
const rspamdConf = `
options {
	pidfile = "%[1]s/pid"; control_socket = "%[1]s/control mode=0600"; tempdir = "%[1]s"; hs_cache_dir = "%[1]s/";
	cache_file = "%[1]s/cache"; stats_file = "%[1]s/stats"; url_tld = "%[1]s/suffixes";
	filters = "dkim"; local_addrs = []; history_rows = 10;
	dns { nameserver = ["127.0.0.1:%[2]d:1"]; timeout = 2s; retransmits = 3; }
}
logging { type = "file"; filename = "%[1]s/log"; level = "error"; }
worker "normal" { bind_socket = "%[1]s/socket mode=0600"; count = 2; }
modules { path = "%[1]s/plugins/"; }
actions { reject = 1000; }
group "policies" { .include "/etc/rspamd/scores.d/policies_group.conf" }
spf { spf_cache_size = 2k; } dkim { dkim_cache_size = 2k; } arc { sign_inbound = false; } dmarc { enabled = true; }
`

// newRspamd starts one for in, or skips b.
func newRspamd(b *testing.B, in *inbox) *rspamd {
	b.Helper()
	program := require.Program(b, "rspamd")
	dir, err := os.MkdirTemp("", "rspamd") // short: the name of a socket has 108 octets at most
	if err != nil {
		b.Fatal(err)
	}
	in.b.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Mkdir(filepath.Join(dir, "plugins"), 0o700); err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"spf", "arc", "dmarc"} {
		if err := os.Symlink("/usr/share/rspamd/plugins/"+name+".lua", filepath.Join(dir, "plugins", name+".lua")); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "suffixes"), []byte("com\nnet\norg\nexample\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	conf := filepath.Join(dir, "rspamd.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, rspamdConf, dir, in.at.Port()), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(program, "-f", "-i", "-c", conf)
	cmd.Dir = dir
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	in.b.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	})
	r := &rspamd{socket: filepath.Join(dir, "socket"), main: cmd.Process.Pid}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if c, err := net.Dial("unix", r.socket); err == nil {
			c.Close()
			return r
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			b.Skipf("rspamd does not come up: %s%s", out.String(), text)
		}
	}
}

// check has message looked at, and returns what was found.
func (r *rspamd) check(request string) (string, error) {
	c, err := net.Dial("unix", r.socket)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(bufio.NewReader(c))
	return string(answer), err
}

func rspamdRequest(message string) string {
	return "POST /checkv2 HTTP/1.0\r\nIP: " + sender.String() + "\r\nHelo: mail.example.com\r\nFrom: ann@example.com\r\nRcpt: bob@example.org\r\n" +
		"Content-Length: " + strconv.Itoa(len(message)) + "\r\n\r\n" + message
}

// cpu is what the main process and its workers have used.
func (r *rspamd) cpu() (used time.Duration) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		text, _ := os.ReadFile(name)
		_, rest, _ := strings.Cut(string(text), ") ")
		f := strings.Fields(rest)
		if len(f) < 13 {
			continue
		}
		if f[1] != strconv.Itoa(r.main) && filepath.Base(filepath.Dir(name)) != strconv.Itoa(r.main) {
			continue
		}
		for _, ticks := range f[11:13] {
			n, _ := strconv.Atoi(ticks)
			used += time.Duration(n) * (time.Second / 100)
		}
	}
	return used
}

// deliver has it look at so many messages, four at a time.
func (r *rspamd) deliver(b *testing.B, request string, messages int, symbols []string) {
	var left atomic.Int64
	left.Store(int64(messages))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				answer, err := r.check(request)
				for _, s := range symbols {
					if err != nil || !strings.Contains(answer, `"`+s+`"`) {
						b.Errorf("no %s: %v %s", s, err, answer)
						return
					}
				}
			}
		})
	}
	all.Wait()
}

// verifyRspamd is rspamd beside smtpguard, each on two processors. It asks the DNS
// server that smtpguard's cache has been filled by, and has caches of its own for
// SPF records and keys. It also reads the words of the text, which it cannot be told
// to leave. What it takes of the processor is told apart from what it
// takes to ask it.
func verifyRspamd(b *testing.B, in *inbox, name, message string, ours func(string), symbols ...string) {
	request := rspamdRequest(message)
	each := func(n string, run func(b *testing.B, r *rspamd)) {
		b.Run(name+n, func(b *testing.B) {
			if in.rspamd == nil {
				in.rspamd = newRspamd(b, in)
			}
			in.rspamd.deliver(b, request, 8, symbols)
			run(b, in.rspamd)
		})
	}
	each("/rspamd", func(b *testing.B, r *rspamd) {
		b.SetBytes(int64(len(message)))
		b.ResetTimer()
		r.deliver(b, request, b.N, symbols)
	})
	each("-rspamd-turns/smtpguard", func(b *testing.B, r *rspamd) {
		const messages = 100
		var rates []float64
		var mine, its time.Duration
		for range max(b.N, 1) {
			clock, cpu := measure(func() { everywhere(messages, func() { ours(message) }) })
			mine += cpu
			before := r.cpu()
			other, _ := measure(func() { r.deliver(b, request, messages, symbols) })
			its += r.cpu() - before
			rates = append(rates, other.Seconds()/clock.Seconds())
		}
		b.ReportMetric(median(rates), "x/rspamd")
		b.ReportMetric(its.Seconds()/mine.Seconds(), "cpu-x/rspamd")
	})
}
