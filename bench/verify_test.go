package bench

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	blitiri "blitiri.com.ar/go/spf"
	msgauth "github.com/emersion/go-msgauth/dkim"

	"github.com/smtpguard/smtpguard/auth/arc"
	"github.com/smtpguard/smtpguard/auth/dkim"
	"github.com/smtpguard/smtpguard/auth/verify"
)

// records is a resolver that has every answer at once.
type records map[string]string

func (w records) LookupTXT(_ context.Context, name string) ([]string, error) {
	if text, ok := w[strings.TrimSuffix(name, ".")]; ok {
		return []string{text}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (w records) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (w records) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (w records) LookupIPAddr(_ context.Context, host string) ([]net.IPAddr, error) {
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (w records) LookupAddr(_ context.Context, addr string) ([]string, error) {
	return nil, &net.DNSError{Err: "no such host", Name: addr, IsNotFound: true}
}

// BenchmarkVerifyMessage verifies a message of 30 KiB with warm DNS: SPF, DKIM and
// DMARC, and for smtpguard ARC; go-msgauth with blitiri's package does SPF and DKIM
// alone.
func BenchmarkVerifyMessage(b *testing.B) {
	dns := records{"example.com": "v=spf1 ip4:192.0.2.7 -all", "_dmarc.example.com": "v=DMARC1; p=reject"}
	key := func(domain, selector string) dkim.Key {
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			b.Fatal(err)
		}
		text, err := dkim.Record(private.Public())
		if err != nil {
			b.Fatal(err)
		}
		dns[selector+"._domainkey."+domain] = text
		return dkim.Key{Domain: domain, Selector: selector, Private: private}
	}
	signer, err := dkim.NewSigner(dkim.SignConfig{})
	if err != nil {
		b.Fatal(err)
	}
	message := "From: Ann <ann@example.com>\r\nTo: bob@example.org\r\nSubject: hello\r\nDate: Fri, 24 Jul 2026 10:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\n" +
		strings.Repeat("The quick brown fox jumps over the lazy dog, and what the dog says is not recorded here.\r\n", 30<<10/90)
	signed := func(keys ...dkim.Key) string {
		fields, err := signer.Sign(context.Background(), strings.NewReader(message), keys...)
		if err != nil {
			b.Fatal(err)
		}
		return strings.Join(fields, "") + message
	}
	one := signed(key("example.com", "s1"))
	two := signed(key("example.com", "s2"), key("example.net", "s3"))
	chain := two
	validator, err := arc.New(arc.Config{Resolver: dns})
	if err != nil {
		b.Fatal(err)
	}
	sealer, err := arc.NewSealer(arc.SealConfig{})
	if err != nil {
		b.Fatal(err)
	}
	for _, host := range []string{"one.example", "two.example"} {
		k := key(host, "s1")
		before, err := validator.Validate(context.Background(), strings.NewReader(chain))
		if err != nil {
			b.Fatal(err)
		}
		fields, err := sealer.Seal(context.Background(), strings.NewReader(chain), before, host+"; dmarc=pass", arc.Key{Domain: host, Selector: "s1", Private: k.Private})
		if err != nil {
			b.Fatal(err)
		}
		chain = strings.Join(fields, "") + chain
	}
	v, err := verify.New(verify.Config{ID: "mx.example.org", Resolver: dns})
	if err != nil {
		b.Fatal(err)
	}
	client := netip.MustParseAddr("192.0.2.7")
	ours := func(text string) {
		r, err := v.Verify(context.Background(), verify.Envelope{Client: client, Hello: "mail.example.com", From: "ann@example.com"}, strings.NewReader(text))
		if _, ok := r.Author(); err != nil || !ok {
			b.Fatalf("%+v, %v", r, err)
		}
	}
	theirs := func(text string) {
		if r, err := blitiri.CheckHostWithSender(net.IP(client.AsSlice()), "mail.example.com", "ann@example.com", blitiri.WithResolver(dns)); r != blitiri.Pass {
			b.Fatal(r, err)
		}
		found, err := msgauth.VerifyWithOptions(strings.NewReader(text), &msgauth.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
			return dns.LookupTXT(context.Background(), name)
		}})
		if err != nil || found[0].Err != nil {
			b.Fatal(err, found)
		}
	}
	for _, tt := range []struct{ name, text string }{{"30K-rsa-1", one}, {"30K-rsa-2-arc-2", chain}} {
		for _, who := range []struct {
			name string
			run  func(string)
		}{{"smtpguard", ours}, {"go-msgauth", theirs}} {
			b.Run(tt.name+"/"+who.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(tt.text)))
				for b.Loop() {
					who.run(tt.text)
				}
			})
		}
		// Short turns, side by side, say more than long runs one after another.
		b.Run(tt.name+"-turns/smtpguard", func(b *testing.B) {
			var ratios []float64
			turn := func(run func(string)) time.Duration {
				clock, _ := measure(func() {
					for range 20 {
						run(tt.text)
					}
				})
				return clock
			}
			for b.Loop() {
				mine := turn(ours)
				ratios = append(ratios, turn(theirs).Seconds()/mine.Seconds())
			}
			b.ReportMetric(median(ratios), "x/go-msgauth")
		})
	}
}
