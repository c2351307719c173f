package blocklist

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/smtpguard/smtpguard/internal/require"
)

// setOfFile is what a list makes of text.
func setOfFile(t *testing.T, format Format, text string) *Set {
	t.Helper()
	var b Builder
	report, err := Parse(strings.NewReader(text), ParseConfig{Format: format}, func(e Entry) error {
		if err := b.Add(e); err != nil {
			return fmt.Errorf("%w: %w", ErrEntry, err)
		}
		return nil
	})
	if err != nil || report.Bad > 0 {
		t.Fatalf("%v, %v", err, report.Problems)
	}
	return b.Set()
}

// rbldnsd asks a real rbldnsd whether names are listed.
type rbldnsd struct {
	t  *testing.T
	nc net.Conn
}

func startRbldnsd(t *testing.T, files map[Format]string) *rbldnsd {
	t.Helper()
	program := require.Program(t, "rbldnsd")
	dir, err := os.MkdirTemp("", "rbldnsd-") // t.TempDir lies in a folder that is root's alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	probe, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := probe.LocalAddr().(*net.UDPAddr)
	probe.Close()
	args := []string{"-n", "-f", "-b", fmt.Sprintf("127.0.0.1/%d", addr.Port)}
	if os.Geteuid() == 0 {
		args = append(args, "-u", "nobody")
	}
	for format, text := range files {
		file := filepath.Join(dir, string(format))
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, fmt.Sprintf("%s.test:%s:%s", format, format, file))
	}
	cmd := exec.Command(program, args...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("rbldnsd:\n%s", said.String())
		}
	})
	nc, err := net.Dial("udp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	r := &rbldnsd{t, nc}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := r.ask("1.0.0.0.ip4set.test."); err == nil {
			return r
		} else if time.Now().After(end) {
			t.Fatalf("rbldnsd does not answer: %v\n%s", err, said.String())
		}
	}
}

func (r *rbldnsd) listed(name string) bool {
	r.t.Helper()
	ok, err := r.ask(name)
	if err != nil {
		r.t.Fatalf("%s: %v", name, err)
	}
	return ok
}

func (r *rbldnsd) ask(name string) (listed bool, err error) {
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return false, err
	}
	id := uint16(rand.N(1 << 16))
	q := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id},
		Questions: []dnsmessage.Question{{Name: n, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	b, err := q.Pack()
	if err != nil {
		return false, err
	}
	if _, err := r.nc.Write(b); err != nil {
		return false, err
	}
	if err := r.nc.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return false, err
	}
	buf := make([]byte, 1500)
	for {
		n, err := r.nc.Read(buf)
		if err != nil {
			return false, err
		}
		var m dnsmessage.Message
		if err := m.Unpack(buf[:n]); err != nil || m.ID != id {
			continue
		}
		switch m.RCode {
		case dnsmessage.RCodeSuccess, dnsmessage.RCodeNameError:
			return len(m.Answers) > 0, nil
		}
		return false, fmt.Errorf("answer %v", m.RCode)
	}
}

// under4 is the name to ask for a under a zone.
func under4(a netip.Addr, zone string) string {
	b := a.As4()
	return fmt.Sprintf("%d.%d.%d.%d.%s.test.", b[3], b[2], b[1], b[0], zone)
}

func under6(a netip.Addr, zone string) string {
	var s strings.Builder
	for _, c := range slices.Backward(a.AsSlice()) {
		fmt.Fprintf(&s, "%x.%x.", c&15, c>>4)
	}
	return s.String() + zone + ".test."
}

// TestLikeRbldnsd: what a real rbldnsd lists of a file, we do.
func TestLikeRbldnsd(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var ip4, ip6, dn strings.Builder
	ip4.WriteString(":127.0.0.2:listed\n# comment\n10.1\n!10.1.2\n10.1.2.3\n!10.1.9.0/25\n10.2.0.0/15\n10.4.5.6-9\n10.5.0.250-10.5.3.4\n!10.2.7.7\n10.6.0.0/22 :127.0.0.3:x\n")
	for range 200 {
		fmt.Fprintf(&ip4, "10.%d.%d.%d\n", 8+rnd.IntN(2), rnd.IntN(4), rnd.IntN(256))
		fmt.Fprintf(&ip4, "10.%d.%d.%d/30\n", 8+rnd.IntN(2), rnd.IntN(4), rnd.IntN(64)*4)
	}
	ip6.WriteString(":2:listed\n2001:db8::/32\n!2001:db8:1::/48\n2001:db8:1:2::/64\n!2001:db8:2:3::5\n2001:db9:1\n")
	dn.WriteString(":2:listed\nspam.example\n.all.example\n*.below.example\n!ok.all.example\n!*.fine.all.example\n.deep.fine.all.example\n")
	files := map[Format]string{IP4Set: ip4.String(), IP6Trie: ip6.String(), DNSet: dn.String()}
	r := startRbldnsd(t, files)

	set := setOfFile(t, IP4Set, files[IP4Set])
	asked := []string{"10.1.0.0", "10.1.255.255", "10.1.2.0", "10.1.2.3", "10.1.9.1", "10.1.9.128", "10.3.9.9", "10.2.7.7", "10.4.5.5", "10.4.5.6", "10.4.5.9",
		"10.4.5.10", "10.5.0.249", "10.5.0.250", "10.5.3.4", "10.5.3.5", "10.6.3.255", "10.6.4.0", "192.0.2.1"}
	for range 500 {
		asked = append(asked, fmt.Sprintf("10.%d.%d.%d", 8+rnd.IntN(2), rnd.IntN(4), rnd.IntN(256)))
	}
	for _, s := range asked {
		a := netip.MustParseAddr(s)
		if got, want := lists(set, s), r.listed(under4(a, "ip4set")); got != want {
			t.Errorf("%s: listed %v, by rbldnsd %v", s, got, want)
		}
	}
	set = setOfFile(t, IP6Trie, files[IP6Trie])
	for _, s := range []string{"2001:db8::1", "2001:db8:1::1", "2001:db8:1:2::1", "2001:db8:2:3::5", "2001:db8:2:3::6", "2001:db9:1::", "2001:db9:2::", "2001:dba::"} {
		a := netip.MustParseAddr(s)
		if got, want := lists(set, s), r.listed(under6(a, "ip6trie")); got != want {
			t.Errorf("%s: listed %v, by rbldnsd %v", s, got, want)
		}
	}
	set = setOfFile(t, DNSet, files[DNSet])
	for _, s := range []string{"spam.example", "a.spam.example", "all.example", "a.all.example", "b.a.all.example", "below.example", "a.below.example", "b.a.below.example",
		"ok.all.example", "a.ok.all.example", "fine.all.example", "a.fine.all.example", "deep.fine.all.example", "x.deep.fine.all.example", "other.example"} {
		m, ok := set.Find(Query{Kind: Domain, Value: s})
		if got, want := ok && m.Entry.Word == Block, r.listed(s+".dnset.test."); got != want {
			t.Errorf("%s: listed %v, by rbldnsd %v", s, got, want)
		}
	}
}

// TestLikePostmap: what a real Postfix finds in a cidr table, we do.
func TestLikePostmap(t *testing.T) {
	postmap := require.Program(t, "postmap")
	const table = `# first match wins
192.0.2.7        OK
192.0.2.0/24     REJECT go
  away
192.0.2.8        OK
198.51.100.0/25  DUNNO
198.51.100.0/24  550 5.7.1 no
2001:db8:1::/48  OK
2001:db8::/32    REJECT
[2001:db9::]/32  REJECT
10.0.0.0/8       REJECT
10.1.0.0/16      OK
`
	dir := t.TempDir()
	file := filepath.Join(dir, "clients.cidr")
	if err := os.WriteFile(file, []byte(table), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.cf"), []byte("compatibility_level = 3.6\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	set := setOfFile(t, PostfixCIDR, table)
	for _, s := range []string{"192.0.2.7", "192.0.2.8", "192.0.2.9", "198.51.100.1", "198.51.100.200", "2001:db8:1::5", "2001:db8:2::5", "2001:db9::1", "10.1.2.3", "10.2.2.3", "203.0.113.1"} {
		out, err := exec.Command(postmap, "-c", dir, "-q", s, "cidr:"+file).CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1 && len(out) == 0) { // 1 is: not found
			t.Fatalf("postmap: %v\n%s", err, out)
		}
		want := None
		if action := strings.TrimSpace(string(out)); action != "" {
			if want, _, err = postfixAction(action); err != nil {
				t.Fatal(err)
			}
		}
		if want == Except {
			want = None
		}
		m, _ := set.Find(Query{Kind: Addr, Addr: netip.MustParseAddr(s)})
		if m.Entry.Word != want {
			t.Errorf("%s: %v, by Postfix %v (%s)", s, m.Entry.Word, want, out)
		}
	}
}
