package resolver

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/smtpguard/smtpguard/internal/dnszone"
	"github.com/smtpguard/smtpguard/internal/require"
)

// signed returns a zone with its signatures (RFC 4034), as text, and its key.
// The first record is the SOA.
func signed(t *testing.T, records ...string) (text string, key *dns.DNSKEY) {
	t.Helper()
	sets := map[string]map[uint16][]dns.RR{} // by name and type
	add := func(rr dns.RR) {
		h := rr.Header()
		if sets[h.Name] == nil {
			sets[h.Name] = map[uint16][]dns.RR{}
		}
		sets[h.Name][h.Rrtype] = append(sets[h.Name][h.Rrtype], rr)
	}
	apex := ""
	for _, r := range records {
		rr, err := dns.NewRR(strings.TrimSpace(r))
		if err != nil {
			t.Fatal(err)
		}
		if apex == "" {
			apex = rr.Header().Name
		}
		add(rr)
	}
	header := func(name string, typ uint16) dns.RR_Header {
		return dns.RR_Header{Name: name, Rrtype: typ, Class: dns.ClassINET, Ttl: 300}
	}
	key = &dns.DNSKEY{Hdr: header(apex, dns.TypeDNSKEY), Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: dns.ECDSAP256SHA256}
	private, err := key.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	add(key)
	names := make([]string, 0, len(sets))
	for name := range sets {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int { // by labels from the right (section 6.1)
		a, b := dns.SplitDomainName(x), dns.SplitDomainName(y)
		slices.Reverse(a)
		slices.Reverse(b)
		return slices.Compare(a, b)
	})
	for i, name := range names {
		types := []uint16{dns.TypeRRSIG, dns.TypeNSEC}
		for typ := range sets[name] {
			types = append(types, typ)
		}
		slices.Sort(types)
		add(&dns.NSEC{Hdr: header(name, dns.TypeNSEC), NextDomain: names[(i+1)%len(names)], TypeBitMap: types})
	}
	var out strings.Builder
	now := time.Now()
	for _, name := range names {
		for typ, set := range sets[name] {
			sig := &dns.RRSIG{
				Hdr: header(name, dns.TypeRRSIG), Algorithm: key.Algorithm, KeyTag: key.KeyTag(), SignerName: apex,
				Inception: uint32(now.Add(-time.Hour).Unix()), Expiration: uint32(now.Add(time.Hour).Unix()),
			}
			if err := sig.Sign(private.(crypto.Signer), set); err != nil {
				t.Fatalf("%s %s: %v", name, dns.TypeToString[typ], err)
			}
			for _, rr := range append(set, sig) {
				fmt.Fprintln(&out, rr)
			}
		}
	}
	return out.String(), key
}

// daemon runs a program until the test ends; ready tells when it serves.
func daemon(t *testing.T, ready func() bool, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	log := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan bool)
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	for start := time.Now(); time.Since(start) < 30*time.Second; {
		if ready() {
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended:\n%s", name, log)
		case <-time.After(20 * time.Millisecond):
		}
	}
	cmd.Process.Kill()
	<-ended
	t.Fatalf("%s does not serve:\n%s", name, log)
}

// answers reports whether a server knows a name.
func answers(addr netip.AddrPort, name string, typ uint16) func() bool {
	return func() bool {
		c := dns.Client{Timeout: time.Second}
		r, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, typ), addr.String())
		return err == nil && len(r.Answer) > 0
	}
}

// A real recursive server in front, that validates; a list server and one of a
// zone nobody has signed behind it.
func TestUnbound(t *testing.T) {
	unbound, rbldnsd := require.Program(t, "unbound"), require.Program(t, "rbldnsd")
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := os.Chmod(dir, 0o755); err != nil { // rbldnsd gives up its rights
		t.Fatal(err)
	}

	list := require.Addr(t)
	write("list", ":127.0.0.2:listed, see example.org\n127.0.0.2\n192.0.2.0/24 :127.0.0.4:another reason\n")
	daemon(t, answers(list, "2.0.0.127.bl.example.", dns.TypeA), rbldnsd, "-n", "-f", "-b", fmt.Sprintf("%s/%d", list.Addr(), list.Port()), "-w", dir, "bl.example:ip4set:list")

	unsigned := dnszone.Start(t, strings.ReplaceAll(zone, "example.org", "plain.example"))

	const records = `sec.example. 300 IN SOA ns.sec.example. hostmaster.sec.example. 1 3600 600 86400 60
		sec.example. 300 IN NS ns.sec.example.
		sec.example. 300 IN MX 10 mail.sec.example.
		mail.sec.example. 300 IN A 192.0.2.1
		www.sec.example. 300 IN CNAME mail.sec.example.
		_25._tcp.mail.sec.example. 300 IN TLSA 3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
		ns.sec.example. 300 IN A 127.0.0.1`
	good, goodKey := signed(t, strings.Split(records, "\n")...)
	bad, badKey := signed(t, strings.Split(strings.ReplaceAll(records, "sec.example", "bogus.example"), "\n")...)
	bad = strings.ReplaceAll(bad, "192.0.2.1", "203.0.113.66") // after it was signed

	at := require.Addr(t)
	conf := write("unbound.conf", fmt.Sprintf(`
server:
	directory: %q
	interface: 127.0.0.1@%d
	username: ""
	chroot: ""
	pidfile: ""
	use-syslog: no
	do-daemonize: no
	do-not-query-localhost: no
	num-threads: 1
	module-config: "validator iterator"
	trust-anchor: "%s"
	trust-anchor: "%s"
	domain-insecure: "bl.example"
	domain-insecure: "plain.example"
	local-zone: "example." nodefault
remote-control:
	control-enable: no
auth-zone:
	name: "sec.example"
	zonefile: %q
	for-downstream: no
	fallback-enabled: no
auth-zone:
	name: "bogus.example"
	zonefile: %q
	for-downstream: no
	fallback-enabled: no
stub-zone:
	name: "bl.example"
	stub-addr: %s
stub-zone:
	name: "plain.example"
	stub-addr: %s
`, dir, at.Port(), goodKey.String(), badKey.String(), write("sec.zone", good), write("bogus.zone", bad), unboundAddr(list), unboundAddr(unsigned.Addr())))
	daemon(t, answers(at, "mail.sec.example.", dns.TypeA), unbound, "-d", "-c", conf)

	r := mustNew(t, Config{Servers: []Server{{Addr: at}}, Wait: 10 * time.Second})
	distrust := mustNew(t, Config{Servers: []Server{{Addr: at}}, Wait: 10 * time.Second, Trusted: []netip.Prefix{}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, tt := range []struct {
		name      string
		typ       uint16
		authentic bool
		err       error
	}{
		{"mail.sec.example", dns.TypeA, true, nil},
		{"www.sec.example", dns.TypeA, true, nil},
		{"sec.example", dns.TypeMX, true, nil},
		{"_25._tcp.mail.sec.example", dns.TypeTLSA, true, nil},
		{"mail.sec.example", dns.TypeAAAA, true, ErrNoData},
		{"none.sec.example", dns.TypeA, true, ErrNoName},
		{"mail.bogus.example", dns.TypeA, false, ErrServfail},
		{"mail.plain.example", dns.TypeA, false, nil},
		{"none.plain.example", dns.TypeA, false, ErrNoName},
		{"2.0.0.127.bl.example", dns.TypeTXT, false, nil},
		{"1.0.0.127.bl.example", dns.TypeA, false, ErrNoName},
	} {
		for range 2 { // the second time from the cache
			a, err := r.Lookup(ctx, tt.name, tt.typ)
			if a.Authentic != tt.authentic || !errors.Is(err, tt.err) {
				t.Errorf("%s %s: %+v, %v", tt.name, dns.TypeToString[tt.typ], a, err)
			}
		}
		if a, err := distrust.Lookup(ctx, tt.name, tt.typ); a.Authentic || !errors.Is(err, tt.err) {
			t.Errorf("%s from one that is not trusted: %+v, %v", tt.name, a, err)
		}
	}
	got := map[int]string{}
	r.LookupEach(ctx, []string{"2.0.0.127.bl.example", "1.0.0.127.bl.example", "9.2.0.192.bl.example"}, func(i int, list []netip.Addr, err error) bool {
		got[i] = addrs(list, err)
		return true
	})
	if want := map[int]string{0: "[127.0.0.2]", 1: "[]not found true, timeout false", 2: "[127.0.0.4]"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	texts, err := r.LookupTXT(ctx, "9.2.0.192.bl.example")
	if err != nil || !slices.Equal(texts, []string{"another reason"}) {
		t.Errorf("%q, %v", texts, err)
	}
	if st := r.Stats(); st.Timeouts > 0 || st.Ignored > 0 {
		t.Errorf("%+v", st)
	}
}

func unboundAddr(a netip.AddrPort) string { return fmt.Sprintf("%s@%d", a.Addr(), a.Port()) }
