package blocklist

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/smtpguard/smtpguard/internal/require"
)

// rbldnsd serves files, named for their dataset types, as zones of that name
// below "test", and returns what tells whether a name there is listed.
func rbldnsd(t *testing.T, files map[string]string) (listed func(name string) bool) {
	t.Helper()
	program := require.Program(t, "rbldnsd")
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		os.Chmod(d, 0o755) // it reads as another user
	}
	addr := require.Addr(t)
	args := []string{"-n", "-b", "127.0.0.1/" + strconv.Itoa(int(addr.Port()))}
	if os.Getuid() == 0 {
		args = append(args, "-u", "nobody")
	}
	for dataset, text := range files {
		name := filepath.Join(dir, dataset)
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, dataset+".test:"+dataset+":"+name)
	}
	var log strings.Builder
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	id := uint16(0)
	ask := func(name string, wait time.Duration) (listed bool, err error) {
		id++
		// RFC 1035, section 4.1: a question for an A record.
		msg := binary.BigEndian.AppendUint16(nil, id)
		msg = append(msg, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)
		for label := range strings.SplitSeq(name, ".") {
			msg = append(append(msg, byte(len(label))), label...)
		}
		msg = append(msg, 0, 0, 1, 0, 1)
		if _, err := conn.Write(msg); err != nil {
			return false, err
		}
		conn.SetReadDeadline(time.Now().Add(wait))
		var answer [1500]byte
		for {
			n, err := conn.Read(answer[:])
			if err != nil {
				return false, err
			}
			if n >= 12 && binary.BigEndian.Uint16(answer[:]) == id {
				if rcode := answer[3] & 15; rcode != 0 && rcode != 3 {
					return false, fmt.Errorf("%s: rcode %d", name, rcode)
				}
				return binary.BigEndian.Uint16(answer[6:]) > 0, nil
			}
		}
	}
	up := time.Now().Add(30 * time.Second)
	for name := range files {
		for {
			_, err := ask("x."+name+".test", 100*time.Millisecond)
			if err == nil {
				break
			}
			if time.Now().After(up) {
				t.Fatalf("rbldnsd does not answer: %v", err)
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				time.Sleep(20 * time.Millisecond) // refused: the socket is not there yet
			}
		}
	}
	return func(name string) bool {
		t.Helper()
		is, err := ask(name, 20*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
}

// reversed is an address as DNS lists have it.
func reversed(a netip.Addr) string {
	var labels []string
	if a.Is4() {
		for _, octet := range a.As4() {
			labels = append(labels, strconv.Itoa(int(octet)))
		}
	} else {
		for _, digit := range strings.ReplaceAll(a.StringExpanded(), ":", "") {
			labels = append(labels, string(digit))
		}
	}
	slices.Reverse(labels)
	return strings.Join(labels, ".")
}

// rbldnsd lists what a set of the same file does.
func TestAgainstRbldnsd(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var ip4, ip6, dn strings.Builder
	ip4.WriteString(`$SOA 3000 ns.example admin.example 0 1h 1h 1w 1h
:127.0.0.2:text
192.0.2
172.16/12 text
!172.16.3.4 out
!172.17
172.17.4
192.0.2.1-6 :4:text
198.51.100.1:5:text
10.1-2
10.3.0-1
10.4.0-10.4.1
10.5.0.0-10.5.0.9
10.6.0.1-9 ; comment
10
10.7.0.0-5.0
10.0.0.256
10.8.0.1.1
10.9.0.1x
11/8
`)
	for range 100 {
		a := fmt.Sprintf("20.%d.%d.%d", r.IntN(2), r.IntN(4), r.IntN(256))
		switch r.IntN(5) {
		case 0: // rbldnsd lets exclusions go first among what ends in the same octet, we the narrower: here they agree
			p, _ := netip.MustParseAddr(a).Prefix([]int{32, 32, 24, 16}[r.IntN(4)])
			fmt.Fprintf(&ip4, "!%v\n", p)
		case 1:
			fmt.Fprintf(&ip4, "%s-%d\n", a, r.IntN(256))
		case 2:
			fmt.Fprintln(&ip4, a)
		default:
			p, _ := netip.MustParseAddr(a).Prefix(15 + r.IntN(18))
			fmt.Fprintln(&ip4, p)
		}
	}
	ip6.WriteString(`:2:text
2001:21ab:c000/36
2001:21ab:def7:4242 :127.0.1.3: This one smells funny
2605:6001:42::/52
::1 # localhost
!2605:6001:42::bead # exclusion
2001:db8::1/64
2001
2002/16
1:2:3:4:5:6:7:8
`)
	seen := make(map[netip.Prefix]bool)
	for range 100 {
		p, _ := random{r}.addr().Prefix(20)
		if a := (random{r}).addr(); a.Is6() {
			p, _ = a.Prefix(24 + r.IntN(105))
		}
		if p.Addr().Is6() && !seen[p] {
			seen[p] = true
			fmt.Fprintf(&ip6, "%s%v\n", []string{"", "", "!"}[r.IntN(3)], p)
		}
	}
	for range 60 {
		fmt.Fprintf(&dn, "%s%s\n", random{r}.pick("", "", "*.", ".", "!", "!*."), random{r}.name())
	}

	files := map[string]string{"ip4set": ip4.String(), "ip6trie": ip6.String(), "dnset": dn.String()}
	listed := rbldnsd(t, files)
	sets := make(map[string]*Set)
	for dataset, text := range files {
		var b Builder
		if _, err := Parse(strings.NewReader(text), ParseConfig{Name: dataset, Format: Format(dataset)}, b.Add); err != nil {
			t.Fatal(err)
		}
		sets[dataset] = b.Set()
	}
	yes := make(map[string]int)
	check := func(dataset, name string, q Query) {
		t.Helper()
		_, got := sets[dataset].Find(q)
		if want := listed(name + "." + dataset + ".test"); got != want {
			t.Errorf("%s: %s: listed %v, rbldnsd says %v", dataset, name, got, want)
		}
		if got {
			yes[dataset]++
		}
	}
	var addrs []netip.Addr
	for _, s := range []string{
		"192.0.2.0", "192.0.2.255", "192.0.3.0", "172.16.3.4", "172.16.3.5", "172.31.255.255", "172.32.0.0", "172.17.0.1", "172.17.4.1", "172.17.5.0",
		"198.51.100.1", "10.1.0.0", "10.2.255.255", "10.3.1.255", "10.3.2.0", "10.4.1.9", "10.4.2.0", "10.5.0.9", "10.5.0.10", "10.6.0.9", "10.6.0.10",
		"10.0.0.0", "10.0.0.10", "10.7.0.1", "10.7.4.1", "10.0.0.25", "10.8.0.1", "10.9.0.1", "11.0.0.1", "12.0.0.1",
		"2001:21ab:c000::1", "2001:21ab:d000::1", "2001:21ab:e000::1", "2001:21ab:def7:4242::9", "2605:6001:42::1", "2605:6001:42::bead", "::1", "::2",
		"2001:db8::1", "2001::1", "2001:1::1", "2002::1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:9",
	} {
		addrs = append(addrs, netip.MustParseAddr(s))
	}
	for range 400 {
		addrs = append(addrs, netip.AddrFrom4([4]byte{20, byte(r.IntN(2)), byte(r.IntN(5)), byte(r.IntN(256))}))
		if a := (random{r}).addr(); a.Is6() {
			addrs = append(addrs, a)
		}
	}
	for _, a := range addrs {
		dataset := "ip4set"
		if a.Is6() {
			dataset = "ip6trie"
		}
		check(dataset, reversed(a), Query{Kind: Addr, Addr: a})
	}
	for range 400 {
		name := random{r}.name()
		check("dnset", name, Query{Kind: Domain, Value: name})
	}
	for dataset := range files {
		if yes[dataset] < 50 {
			t.Errorf("%s: only %d are listed", dataset, yes[dataset])
		}
	}
}
