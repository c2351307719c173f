package bench

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	blitiri "blitiri.com.ar/go/spf"
	msgauth "github.com/emersion/go-msgauth/dkim"

	"github.com/smtpguard/smtpguard/auth/arc"
	"github.com/smtpguard/smtpguard/auth/dkim"
	"github.com/smtpguard/smtpguard/auth/verify"
	"github.com/smtpguard/smtpguard/internal/dnszone"
	"github.com/smtpguard/smtpguard/resolver"
)

// inbox is mail of ann@example.com that comes from sender, and a DNS server that
// has all there is to ask, behind one cache for who verifies in this process.
type inbox struct {
	b    *testing.B
	zone strings.Builder
	keys []dkim.Key
	dns  *resolver.Resolver
	at   netip.AddrPort // of the server
}

var sender = netip.MustParseAddr("192.0.2.1")

// newInbox makes keys for hosts, each with the selector s1, and for example.com.
func newInbox(b *testing.B, hosts ...string) *inbox {
	in := &inbox{b: b}
	in.zone.WriteString("example.com. IN TXT \"v=spf1 ip4:192.0.2.0/24 -all\"\n_dmarc.example.com. IN TXT \"v=DMARC1; p=reject\"\n")
	for _, host := range append([]string{"example.com"}, hosts...) {
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			b.Fatal(err)
		}
		key := dkim.Key{Domain: host, Selector: "s1", Private: private}
		record, err := key.ZoneRecord()
		if err != nil {
			b.Fatal(err)
		}
		in.zone.WriteString(record + "\n")
		in.keys = append(in.keys, key)
	}
	server := dnszone.Start(b, in.zone.String())
	in.at = server.Addr()
	dns, err := resolver.New(resolver.Config{Servers: []resolver.Server{{Addr: in.at}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { dns.Close() })
	in.dns = dns
	return in
}

// letter is a message of about n octets, without a signature.
func letter(n int) string {
	const header = "From: Ann <ann@example.com>\r\nTo: bob@example.org\r\nSubject: hello\r\nDate: Fri, 24 Jul 2026 10:00:00 +0000\r\n" +
		"Message-ID: <1@example.com>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n"
	const line = "The quick brown fox jumps over the lazy dog, and what the dog says is not recorded here.\r\n"
	return header + strings.Repeat(line, max(1, (n-len(header))/len(line)))
}

// signed puts a signature of each key before message.
func (in *inbox) signed(message string, keys ...dkim.Key) string {
	signer, err := dkim.NewSigner(dkim.SignConfig{})
	if err != nil {
		in.b.Fatal(err)
	}
	fields, err := signer.Sign(context.Background(), strings.NewReader(message), keys...)
	if err != nil {
		in.b.Fatal(err)
	}
	return strings.Join(fields, "") + message
}

// sealed puts an ARC set of each key before message.
func (in *inbox) sealed(message string, keys ...dkim.Key) string {
	validator, err := arc.New(arc.Config{Resolver: in.dns})
	if err != nil {
		in.b.Fatal(err)
	}
	sealer, err := arc.NewSealer(arc.SealConfig{})
	if err != nil {
		in.b.Fatal(err)
	}
	for _, k := range keys {
		before, err := validator.Validate(context.Background(), strings.NewReader(message))
		if err != nil {
			in.b.Fatal(err)
		}
		fields, err := sealer.Seal(context.Background(), strings.NewReader(message), before, k.Domain+"; dmarc=pass", arc.Key{Domain: k.Domain, Selector: k.Selector, Private: k.Private})
		if err != nil {
			in.b.Fatal(err)
		}
		message = strings.Join(fields, "") + message
	}
	return message
}

// ours is smtpguard. It fails unless the author is proven.
func (in *inbox) ours() func(message string) {
	v, err := verify.New(verify.Config{ID: "mx.example.org", Resolver: in.dns})
	if err != nil {
		in.b.Fatal(err)
	}
	return func(message string) {
		r, err := v.Verify(context.Background(), verify.Envelope{Client: sender, Hello: "mail.example.com", From: "ann@example.com"}, strings.NewReader(message))
		if _, ok := r.Author(); err != nil || !ok || r.ARC.Status == arc.Fail {
			panic(fmt.Sprintf("%+v, %v", r, err))
		}
	}
}

// lookupTXT is the cache in the form that go-msgauth asks for.
func (in *inbox) lookupTXT(name string) ([]string, error) {
	return in.dns.LookupTXT(context.Background(), name)
}

// theirs is SPF by blitiri's package and DKIM by go-msgauth, and nothing else.
func (in *inbox) theirs(message io.Reader) error {
	if r, err := blitiri.CheckHostWithSender(net.IP(sender.AsSlice()), "mail.example.com", "ann@example.com", blitiri.WithResolver(in.dns)); r != blitiri.Pass {
		return fmt.Errorf("spf=%s: %w", r, err)
	}
	found, err := msgauth.VerifyWithOptions(message, &msgauth.VerifyOptions{LookupTXT: in.lookupTXT})
	if err != nil || len(found) == 0 {
		return fmt.Errorf("%d signatures: %w", len(found), err)
	}
	return found[0].Err
}

// BenchmarkVerifyMessage verifies a message of 30 KiB, on all processors at once,
// with what DNS has in a cache: SPF, DKIM and DMARC, and for smtpguard ARC;
// go-msgauth with blitiri's package does SPF and DKIM alone. The limit is SHA-256
// over the message, once, and one key operation for each signature and seal that
// has to be verified: of a chain of two sets one message signature and two seals
// (RFC 8617, section 5.2).
func BenchmarkVerifyMessage(b *testing.B) {
	in := newInbox(b, "example.net", "one.example", "two.example")
	ours := in.ours()
	theirs := func(message string) {
		if err := in.theirs(strings.NewReader(message)); err != nil {
			panic(err)
		}
	}
	one := in.signed(letter(30<<10), in.keys[0])
	for _, tt := range []struct {
		name, message string
		keys          int // operations
	}{
		{"30K-rsa-1", one, 1},
		{"30K-rsa-2-arc-2", in.sealed(in.signed(letter(30<<10), in.keys[:2]...), in.keys[2:]...), 2 + 1 + 2},
	} {
		limit := bareOperations(b, []byte(tt.message), in.keys[0], tt.keys)
		for _, who := range []struct {
			name string
			run  func(string)
		}{{"smtpguard", ours}, {"go-msgauth", theirs}, {"limit", limit}} {
			b.Run(tt.name+"/"+who.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(tt.message)))
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						who.run(tt.message)
					}
				})
			})
		}
		// Short turns, side by side, say more than long runs one after another.
		b.Run(tt.name+"-turns/smtpguard", func(b *testing.B) {
			var t turns
			for b.Loop() {
				t.take(200, func() { ours(tt.message) }, func() { theirs(tt.message) }, func() { limit(tt.message) })
			}
			b.ReportMetric(t.rate(1), "x/go-msgauth")
			b.ReportMetric(t.cpu(1), "cpu-x/go-msgauth")
			b.ReportMetric(t.cpu(2), "of-limit")
		})
	}
}

// bareOperations hashes message and verifies an RSA signature of key so many
// times.
func bareOperations(b *testing.B, message []byte, key dkim.Key, times int) func(string) {
	digest := sha256.Sum256(nil)
	signature, err := key.Private.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		b.Fatal(err)
	}
	public := key.Private.Public().(*rsa.PublicKey)
	return func(string) {
		sha256.Sum256(message)
		for range times {
			if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature); err != nil {
				panic(err)
			}
		}
	}
}

// turns are what several take for the same, in short turns side by side.
type turns struct{ clocks, cpus [][]float64 }

// take has each do its work so many times, on all processors at once.
func (t *turns) take(times int, who ...func()) {
	if t.clocks == nil {
		t.clocks, t.cpus = make([][]float64, len(who)), make([][]float64, len(who))
	}
	for i, f := range who {
		clock, cpu := measure(func() { everywhere(times, f) })
		t.clocks[i], t.cpus[i] = append(t.clocks[i], clock.Seconds()), append(t.cpus[i], cpu.Seconds())
	}
}

// rate is how many times as much the first does as the one at i in the same time,
// and cpu with the same time of the processor.
func (t *turns) rate(i int) float64 { return ratio(t.clocks[i], t.clocks[0]) }
func (t *turns) cpu(i int) float64  { return ratio(t.cpus[i], t.cpus[0]) }

func ratio(a, b []float64) float64 {
	all := make([]float64, len(a))
	for i := range a {
		all[i] = a[i] / b[i]
	}
	return median(all)
}

// everywhere calls f so many times, on all processors.
func everywhere(times int, f func()) {
	var left atomic.Int64
	left.Store(int64(times))
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				f()
			}
		})
	}
	all.Wait()
}
