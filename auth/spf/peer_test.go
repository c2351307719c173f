package spf_test

import (
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	peer "blitiri.com.ar/go/spf"

	"github.com/smtpguard/smtpguard/auth/spf"
	"github.com/smtpguard/smtpguard/internal/require"
)

// disagreement says why blitiri.com.ar/go/spf v1.6.0 may come to another result
// than we do, in the words of RFC 7208; "" is a bug of ours until it is listed.
func disagreement(records []string, sender string, got spf.Outcome, theirs peer.Result) string {
	all := strings.ToLower(strings.Join(records, "\n"))
	macros := strings.Contains(all, "%{")
	switch {
	case got.Result == spf.PermError && isSyntax(got.Err):
		return "4.6: errors anywhere in the record are permerrors; 7.1 and 12: the grammar of terms and domains"
	case strings.Contains(all, "%{p"):
		return "7.3: p is a validated name, not always unknown"
	case strings.Contains(all, "%%") || strings.Contains(all, "%_") || strings.Contains(all, "%-"):
		return "7.1: %%, %_ and %- are octets of a domain and may end it"
	case theirs == peer.PermError && strings.Contains(all, "/"):
		return "7.1: slashes are octets of a domain and of a macro's delimiters too"
	case strings.Count(sender, "@") > 1:
		return "4.3 and RFC 5321, section 2.3.11: the domain stands behind the last '@'"
	case macros && !plainLocal.MatchString(sender):
		return "4.3: no local part is postmaster; 7.3: empty parts stay; RFC 8616, section 4: not outside ASCII"
	case got.Voids > 0 && (got.Result == spf.PermError || theirs == peer.PermError):
		return "4.6.4 and 5: a term is void once, by its own query, for the client's address family"
	}
	return ""
}

var plainLocal = regexp.MustCompile(`^[a-z0-9]+([.+-][a-z0-9]+)*@`)

func isSyntax(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "spf: record of ")
}

const peerZone = `
a.example A 192.0.2.3
a.example AAAA 2001:db8::3
b.example A 198.51.100.7
mx.example MX 10 a.example
mx.example MX 20 gone.example
mx.example MX 30 six.example
mx.example A 203.0.113.1
six.example AAAA 2001:db8::6
ptr.example A 192.0.2.3
x.ptr.example AAAA 2001:db8::3
3.2.0.192.in-addr.arpa PTR ptr.example.
3.2.0.192.in-addr.arpa PTR a.example.
3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR x.ptr.example.
down.example TIMEOUT
pass.example TXT v=spf1 +all
fail.example TXT v=spf1 -all
soft.example TXT v=spf1 a:b.example ~all
none.example TXT nothing
self.example TXT v=spf1 include:self.example -all
two.example TXT v=spf1 -all
two.example TXT v=spf1 +all
`

// compare checks one policy with both, and reports what is not accounted for.
func compare(t *testing.T, record, inner, sender string, addr netip.Addr) {
	z := parseZone(t, peerZone)
	z["dom.example"] = &node{TXT: []string{record}, A: []netip.Addr{netip.MustParseAddr("198.51.100.9")}}
	z["inner.example"] = &node{TXT: []string{inner}}
	got := newChecker(t, z).MailFrom(t.Context(), addr, "helo.example", sender)
	sound(t, got)
	theirs, err := peer.CheckHostWithSender(net.IP(addr.AsSlice()), "helo.example", sender, peer.WithResolver(z), peer.WithContext(t.Context()))
	if string(theirs) == string(got.Result) {
		return
	}
	if disagreement([]string{record, inner}, sender, got, theirs) == "" {
		t.Errorf("record %q, inner %q, sender %q, client %s:\nwe say     %s (%v)\nblitiri    %s (%v)\n%v", record, inner, sender, addr, got.Result, got.Err, theirs, err, got.Trace)
	}
}

// FuzzPeer compares with blitiri.com.ar/go/spf. A record is made of terms that
// parse as well as of octets as they come.
func FuzzPeer(f *testing.F) {
	for _, seed := range []string{
		"v=spf1 a:a.example mx:mx.example ptr:ptr.example include:inner.example -all",
		"v=spf1 -mx:mx.example/24//48 ~a/24 redirect=inner.example",
		"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ?exists:b.example +all exp=gone.example",
		"v=spf1 include:pass.example", "v=spf1 include:none.example -all", "v=spf1 include:down.example", "v=spf1 include:self.example",
		"v=spf1 redirect=two.example", "v=spf1 include:fail.example include:soft.example a:down.example", "v=spf1 exists:%{i}.%{d2}.example",
	} {
		f.Add(seed, "v=spf1 a ?all", "ann@dom.example", true)
		f.Add("v=spf1 include:inner.example ~all", seed, "ann@dom.example", false)
	}
	f.Fuzz(func(t *testing.T, record, inner, sender string, is4 bool) {
		if len(sender) > 200 || len(record) > 2000 || len(inner) > 2000 {
			return
		}
		if !strings.HasSuffix(sender, "@dom.example") {
			sender += "@dom.example"
		}
		addr := netip.MustParseAddr("2001:db8::3")
		if is4 {
			addr = netip.MustParseAddr("192.0.2.3")
		}
		compare(t, record, inner, sender, addr)
	})
}

// TestPeerTerms compares over every pair of terms that the two read alike.
func TestPeerTerms(t *testing.T) {
	terms := []string{
		"all", "-all", "~all", "?all", "a", "-a:a.example", "a:b.example/24", "a:a.example/8//8", "a:down.example", "a:gone.example", "-a:six.example",
		"mx:mx.example", "~mx:a.example", "mx:down.example", "ptr", "ptr:ptr.example", "-ptr:example", "ip4:192.0.2.3", "-ip4:192.0.2.0/24", "ip6:2001:db8::/32", "ip6:::1",
		"include:pass.example", "-include:pass.example", "include:fail.example", "include:soft.example", "include:none.example", "include:gone.example", "include:down.example", "include:self.example", "include:two.example",
		"exists:a.example", "exists:six.example", "exists:down.example", "exists:gone.example", "redirect=pass.example", "redirect=none.example", "redirect=down.example", "unknown=x", "exp=fail.example", "IP4:192.0.2.3", "A:A.EXAMPLE",
	}
	for _, first := range terms {
		for _, second := range terms {
			for _, addr := range []string{"192.0.2.3", "2001:db8::3"} {
				compare(t, "v=spf1 "+first+" "+second, "v=spf1 -all", "ann@dom.example", netip.MustParseAddr(addr))
			}
		}
	}
}

// TestPeerSeeds compares over the records that blitiri's own fuzzing found.
func TestPeerSeeds(t *testing.T) {
	content, err := os.ReadFile(require.Suite(t, "spf", "blitiri-fuzz", "go-fuzz-seeds.json"))
	if err != nil {
		t.Fatal(err)
	}
	var seeds []struct{ Lines []string }
	if err := json.Unmarshal(content, &seeds); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, seed := range seeds {
		for _, line := range seed.Lines {
			literal, ok := strings.CutPrefix(line, "string(")
			if !ok {
				continue
			}
			text, err := strconv.Unquote(strings.TrimSuffix(literal, ")"))
			if err != nil {
				t.Fatal(err)
			}
			n++
			for _, record := range []string{text, strings.TrimSpace(text)} {
				compare(t, record, record, "ann@dom.example", netip.MustParseAddr("192.0.2.3"))
				compare(t, record, record, "ann@dom.example", netip.MustParseAddr("2001:db8::3"))
			}
		}
	}
	if n < 200 {
		t.Errorf("%d seeds", n)
	}
}

// asked notes the names whose addresses are asked for.
type asked struct {
	zone
	names []string
}

func (a *asked) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	a.names = append(a.names, strings.TrimSuffix(host, "."))
	return a.zone.LookupNetIP(ctx, network, host)
}

func (a *asked) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	a.names = append(a.names, host)
	return a.zone.LookupIPAddr(ctx, host)
}

// TestPeerMacros compares the names that macros expand to. The slash is left out
// of the delimiters: theirs reads it as a network's.
func TestPeerMacros(t *testing.T) {
	n := 0
	for _, letter := range strings.Split("slodihvSLODIHV", "") {
		for _, digits := range []string{"", "1", "2", "3", "9"} {
			for _, reverse := range []string{"", "r"} {
				for _, delims := range []string{"", ".", "-", "+-", "=,_"} {
					for _, sender := range []string{"ann@dom.example", "a-b+c.d@x-y.dom.example", "a=b,c/d_e@dom.example"} {
						macro := "%{" + letter + digits + reverse + delims + "}.m.example"
						z := zone{}
						_, name, _ := strings.Cut(sender, "@")
						z[name] = &node{TXT: []string{"v=spf1 exists:" + macro}}
						ours, theirs := &asked{zone: z}, &asked{zone: z}
						addr := netip.MustParseAddr("192.0.2.3")
						newChecker(t, ours).MailFrom(t.Context(), addr, "helo.example", sender)
						peer.CheckHostWithSender(net.IP(addr.AsSlice()), "helo.example", sender, peer.WithResolver(theirs), peer.WithContext(t.Context()))
						n++
						if !slices.Equal(ours.names, theirs.names) {
							t.Errorf("%s of %s: %q, blitiri %q", macro, sender, ours.names, theirs.names)
						}
					}
				}
			}
		}
	}
}
