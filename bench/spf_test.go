package bench

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	blitiri "blitiri.com.ar/go/spf"
	"github.com/smtpguard/smtpguard/auth/spf"
)

// spfZone answers at once and without allocating, as a warm cache does: for
// smtpguard and for blitiri alike, with or without a trailing dot.
type spfZone struct {
	txt map[string][]string
	ip  map[string][]netip.Addr
}

func (z *spfZone) LookupTXT(_ context.Context, name string) ([]string, error) {
	if found := z.txt[strings.TrimSuffix(name, ".")]; found != nil {
		return found, nil
	}
	return nil, errNoName
}

func (z *spfZone) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if found := z.ip[strings.TrimSuffix(host, ".")]; found != nil {
		return found, nil
	}
	return nil, errNoName
}

func (*spfZone) LookupMX(context.Context, string) ([]*net.MX, error)        { return nil, errNoName }
func (*spfZone) LookupAddr(context.Context, string) ([]string, error)       { return nil, errNoName }
func (*spfZone) LookupIPAddr(context.Context, string) ([]net.IPAddr, error) { return nil, errNoName }

// bare reports whether a record of names has client, by its text.
func (z *spfZone) bare(ctx context.Context, names []string, parsed map[string][]netip.Prefix, client netip.Addr) bool {
	for _, name := range names {
		texts, _ := z.LookupTXT(ctx, name)
		for _, text := range texts {
			for _, p := range parsed[text] {
				if p.Contains(client) {
					return true
				}
			}
		}
	}
	return false
}

// BenchmarkSPF checks the MAIL FROM identity: of records whose first mechanism
// matches, with two more behind it or with twenty, and of one with five includes,
// as big senders have them, that all miss.
func BenchmarkSPF(b *testing.B) {
	networks := func(from byte) string {
		var s strings.Builder
		for i := range byte(10) {
			s.WriteString(" ip4:" + netip.AddrFrom4([4]byte{198, from + i, 0, 0}).String() + "/17")
		}
		return s.String()
	}
	z := &spfZone{txt: map[string][]string{
		"first.example":    {"verification=1234", "v=spf1 ip4:192.0.2.0/24 include:_spf1.example ~all"},
		"long.example":     {"v=spf1 ip4:192.0.2.0/24" + networks(10) + networks(20) + " -all"},
		"includes.example": {"v=spf1 include:_spf1.example include:_spf2.example include:_spf3.example include:_spf4.example include:_spf5.example -all"},
		"_spf1.example":    {"v=spf1" + networks(10) + " ~all"},
		"_spf2.example":    {"v=spf1" + networks(20) + " ~all"},
		"_spf3.example":    {"v=spf1" + networks(30) + " ~all"},
		"_spf4.example":    {"v=spf1" + networks(40) + " ~all"},
		"_spf5.example":    {"v=spf1" + networks(50) + " ~all"},
	}}
	client := netip.MustParseAddr("192.0.2.3")
	parsed := make(map[string][]netip.Prefix)
	for _, texts := range z.txt {
		for _, text := range texts {
			for _, term := range strings.Fields(text) {
				if network, ok := strings.CutPrefix(term, "ip4:"); ok {
					parsed[text] = append(parsed[text], netip.MustParsePrefix(network))
				}
			}
		}
	}
	for _, bb := range []struct {
		name, sender string
		want         spf.Result
		names        []string // of records
	}{
		{"first-mechanism", "ann@first.example", spf.Pass, []string{"first.example."}},
		{"first-of-many", "ann@long.example", spf.Pass, []string{"long.example."}},
		{"five-includes", "ann@includes.example", spf.Fail,
			[]string{"includes.example.", "_spf1.example.", "_spf2.example.", "_spf3.example.", "_spf4.example.", "_spf5.example."}},
	} {
		b.Run(bb.name+"/smtpguard", func(b *testing.B) {
			checker, err := spf.New(spf.Config{Resolver: z})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if got := checker.MailFrom(b.Context(), client, "mail.example", bb.sender); got.Result != bb.want {
					b.Fatal(got.Result, got.Err)
				}
			}
		})
		// What cannot be done without: a question for each record, and a comparison
		// with each network in it up to the one that matches.
		b.Run(bb.name+"/limit", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if matched := z.bare(b.Context(), bb.names, parsed, client); matched != (bb.want == spf.Pass) {
					b.Fatal(matched)
				}
			}
		})
		b.Run(bb.name+"/blitiri", func(b *testing.B) {
			ip := net.IP(client.AsSlice())
			b.ReportAllocs()
			for b.Loop() {
				got, err := blitiri.CheckHostWithSender(ip, "mail.example", bb.sender, blitiri.WithResolver(z), blitiri.WithContext(b.Context()))
				if string(got) != string(bb.want) {
					b.Fatal(got, err)
				}
			}
		})
	}
}
